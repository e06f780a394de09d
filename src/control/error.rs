//! Why a relay does not start or does not take a reload.

use std::io;

use thiserror::Error as ThisError;

use crate::config::Problem;
use crate::destination::Origin;
use crate::limits;
use crate::registry::LoadError;
use crate::transport::BindError;
use crate::words::with_remedy;
use crate::worker::StartError;

/// One thing that is wrong; each is the operator's or the machine's, as its words say.
#[derive(Debug, ThisError)]
pub enum Error {
    /// In a file or a flag.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// With an address that we should listen on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// With the destinations as a whole.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// With a worker.
    #[error(transparent)]
    Worker(#[from] StartError),
    /// With a control thread.
    #[error("cannot start the {name} thread: {}", with_remedy(.source))]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// No memory for the pin table.
    #[error(
        "no memory for the table of calls: {0}; relay.peak_requests_per_second says how large it is"
    )]
    Pins(io::Error),
    /// A command that panicked.
    #[error("a bug, please report it: {0} panicked")]
    Panicked(&'static str),
    /// A reload that would take all destinations of a set.
    #[error(
        "set {set} would have none of its {had} destinations left: mend the source, or say \
         strowger reload --force"
    )]
    WouldEmpty {
        /// The set.
        set: u32,
        /// How many it has from the source.
        had: usize,
    },
    /// A reload that would take more of a set than `removed_percent_max`.
    #[error(
        "set {set} would lose {lost} of its {had} destinations, more than removed_percent_max = \
         {percent_max}: mend the source, or say strowger reload --force"
    )]
    WouldShrink {
        /// The set.
        set: u32,
        /// How many fewer it would have.
        lost: usize,
        /// How many it has from the source.
        had: usize,
        /// How many percent it may lose.
        percent_max: u8,
    },
    /// More reloads than may wait for each other.
    #[error("{} reloads are waiting already: try again", limits::RELOADS_WAITING_MAX)]
    Busy,
    /// A set that no record is in.
    #[error("there is no set {set}: {has}")]
    NoSuchSet {
        /// Its number.
        set: u32,
        /// Which sets there are, a sentence.
        has: String,
    },
    /// A destination that the set does not have.
    #[error("set {set} has no destination {wanted}: it has {has}")]
    NoSuchDestination {
        /// The set.
        set: u32,
        /// What was asked for.
        wanted: String,
        /// Some of those that it has.
        has: String,
    },
    /// A record that is to be added and is there.
    #[error("{uri} is in set {set} already, {origin}")]
    Already {
        /// The URI of the one that is there.
        uri: String,
        /// The set.
        set: u32,
        /// Where that one was written.
        origin: Origin,
    },
    /// No randomness.
    #[error("the machine gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Many errors of one kind as errors of ours.
pub(super) fn all<E: Into<Error>>(errors: Vec<E>) -> Vec<Error> {
    errors.into_iter().map(Into::into).collect()
}

/// Both values, or the errors of both.
pub(super) fn both<A, B>(
    a: Result<A, Vec<Error>>,
    b: Result<B, Vec<Error>>,
) -> Result<(A, B), Vec<Error>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(mut a), Err(b)) => {
            a.extend(b);
            Err(a)
        }
        (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => Err(errors),
    }
}
