//! Steers datagrams to workers by Call-ID: a program in the kernel picks the socket.
//!
//! The kernel's own choice depends on source and destination address, so all calls of one trunk go
//! to one worker. With steering, calls spread evenly and each one stays at one worker. This is only
//! for speed: every worker handles every message, and if steering is refused, everything else works
//! the same.

mod assembler;
mod load;
mod program;
#[cfg(test)]
mod tests;

use std::fmt;

use socket2::Socket;

use crate::config::Steering;
use crate::owners::Owners;
pub use load::Refusal;

/// How datagrams are spread over workers.
#[derive(Debug)]
pub enum Spread {
    /// There is one worker.
    OneWorker,
    /// By a hash of the Call-ID; datagrams without one, like [`Spread::BySource`].
    ByCallId,
    /// By a hash of source and destination address, because the operator wants it.
    BySource,
    /// Like [`Spread::BySource`], because steering was refused.
    Refused(Refusal),
}

/// For operators: `steered by Call-ID`.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneWorker => f.write_str("nothing to spread"),
            Self::ByCallId => f.write_str("steered by Call-ID"),
            Self::BySource => f.write_str("spread by source address: steering is off"),
            Self::Refused(why) => write!(f, "spread by source address: {why}"),
        }
    }
}

/// Steers the datagrams of these listeners, whose sockets are in the order of the workers, if that
/// is wanted, useful and possible. Returns how datagrams are spread now.
pub(super) fn steer(groups: &[Vec<Socket>], wanted: Steering, owners: &Owners) -> Spread {
    if groups.iter().all(|group| group.len() < 2) {
        return Spread::OneWorker;
    }
    if wanted == Steering::Off {
        return Spread::BySource;
    }
    match steer_all(groups, owners) {
        Ok(()) => Spread::ByCallId,
        Err(refusal) => Spread::Refused(refusal),
    }
}

/// Loads all programs before it attaches the first, so that all listeners are steered or none.
fn steer_all(groups: &[Vec<Socket>], owners: &Owners) -> Result<(), Refusal> {
    if cfg!(target_endian = "big") {
        return Err(Refusal::BigEndian);
    }
    // The same owners for all, so that a call that arrives at two listeners stays at one worker.
    let buffer = load::buffer()?;
    let programs = groups
        .iter()
        .map(|group| load::load(group, &buffer, owners))
        .collect::<Result<Vec<_>, _>>()?;
    for (group, program) in groups.iter().zip(&programs) {
        load::attach(group, program)?;
    }
    Ok(())
}
