//! Why a relay refuses to start or to reload.

use std::io;

use thiserror::Error as ThisError;

use crate::config::Problem;
use crate::destination::Origin;
use crate::limits;
use crate::registry::LoadError;
use crate::transport::BindError;
use crate::words::with_remedy;
use crate::worker::StartError;

/// One thing that is wrong. Its text shows whether the operator or the machine is at fault.
#[derive(Debug, ThisError)]
pub enum Error {
    /// In a file or a flag.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// An address that we cannot listen on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The destinations as a whole.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A worker that cannot be started.
    #[error(transparent)]
    Worker(#[from] StartError),
    /// A control thread that cannot be started.
    #[error("cannot start the {name} thread: {}", with_remedy(.source))]
    Thread {
        /// Its name.
        name: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// No memory for the pin table.
    #[error(
        "no memory for the table of calls: {0}; relay.peak_requests_per_second says how large it is"
    )]
    Pins(io::Error),
    /// No memory for counters.
    #[error("no memory for the counters of destinations: {}", with_remedy(.0))]
    Traffic(io::Error),
    /// No memory for calls in progress.
    #[error("no address space for the calls in progress: {0}")]
    Calls(io::Error),
    /// No memory for the calls per second of each source.
    #[error("no address space for the calls per second of each source: {0}")]
    SourceRates(io::Error),
    /// A command that panicked.
    #[error("a bug, please report it: {0} panicked")]
    Panicked(&'static str),
    /// A reload that would remove all destinations of a set.
    #[error(
        "set {set} would have none of its {had} destinations left: correct the source, or run \
         strowger reload --force"
    )]
    WouldEmpty {
        /// The set.
        set: u32,
        /// How many it has from the source.
        had: usize,
    },
    /// A reload that would remove more of a set than `removed_percent_max`.
    #[error(
        "set {set} would lose {lost} of its {had} destinations, more than removed_percent_max = \
         {percent_max}: correct the source, or run strowger reload --force"
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
    /// Too many reloads are waiting.
    #[error("{} reloads are waiting already: try again", limits::RELOADS_WAITING_MAX)]
    Busy,
    /// A set without records.
    #[error("there is no set {set}: {has}")]
    NoSuchSet {
        /// Its number.
        set: u32,
        /// The sets that exist, as a sentence.
        has: String,
    },
    /// A destination that is not in the set.
    #[error("set {set} has no destination {wanted}: it has {has}")]
    NoSuchDestination {
        /// The set.
        set: u32,
        /// What the command asked for.
        wanted: String,
        /// Some of the destinations that it has.
        has: String,
    },
    /// A record to be added that exists already.
    #[error("{uri} is in set {set} already, {origin}")]
    Already {
        /// The URI of the existing record.
        uri: String,
        /// The set.
        set: u32,
        /// Where the existing record was written.
        origin: Origin,
    },
    /// The kernel returned no random numbers.
    #[error("the kernel returned no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Converts errors of one kind to ours.
pub(super) fn all<E: Into<Error>>(errors: Vec<E>) -> Vec<Error> {
    errors.into_iter().map(Into::into).collect()
}

/// Returns both values, or the errors of both.
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
