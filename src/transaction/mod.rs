//! Stateful forwarding: the transactions of one worker, their tries and their timers (RFC 3261 §16, §17;
//! RFC 6026; RFC 4320). Pure: it gets events and the time, and returns what is to be done.
//!
//! | What | Where |
//! |---|---|
//! | when the next destination is tried, and how long is waited | [`settings`] |
//! | what an event means for one transaction | [`machine`] |
//! | what is to be done then | [`effect`] |
//! | which transaction a message belongs to | [`store`] |
//! | the kept messages | [`blocks`] |
//! | the timers | [`wheel`] |

mod blocks;
mod counters;
mod effect;
mod machine;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod wheel;

pub use counters::TransactionCounters;
pub(crate) use counters::count;
pub use effect::Left;
pub(crate) use effect::{Effect, Effects, Own, TryNumber};
pub(crate) use machine::{Client, Machine, Server, Tried};
pub use settings::{Codes, Failover, WhenFull};
pub(crate) use store::{About, Form, Id, Origin, Transaction, Transactions};

/// The room for the transactions of one worker.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TransactionRoom {
    /// How many there may be; 0 for none.
    pub count: usize,
    /// Bytes of the messages that they keep.
    pub bytes: usize,
}

impl TransactionRoom {
    /// Returns how many bytes of memory it takes at most.
    pub fn memory(&self) -> usize {
        let each = size_of::<Transaction>() + size_of::<wheel::Link>() + 2 * size_of::<u32>();
        let blocks = self.bytes / crate::limits::BLOCK_BYTES * size_of::<u32>();
        self.count * each + self.bytes + blocks + FIXED_BYTES
    }
}

/// What does not depend on their number: the timers, the lists of destinations, buffers of a message.
const FIXED_BYTES: usize = 1 << 20;

/// Destinations that one request is sent to: the number of a try is one digit of the branch.
pub const TRIES_MAX: usize = 15;

/// RFC 3261 §17.1.1.1: an estimate of the round-trip time, and the first distance between copies.
pub(crate) const T1_MS: u32 = 500;
/// The greatest distance between copies of what is no INVITE.
pub(crate) const T2_MS: u32 = 4_000;
/// How long a message stays in the network.
pub(crate) const T4_MS: u32 = 5_000;
/// 64*T1: Timers B, D, F, H, J, L and M.
pub(crate) const TIMEOUT_MS: u32 = 64 * T1_MS;
/// When a request that is no INVITE gets a 100, and not before: when Timer E of its sender has reached T2
/// (RFC 4320 §4.1).
pub(crate) const TRYING_MS: u32 = 3_500;
