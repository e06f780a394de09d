//! Why a relay does not start or does not take a reload.

use std::io;

use thiserror::Error as ThisError;

use crate::config::Problem;
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
    /// A reload that panicked.
    #[error("a bug, please report it: the reload panicked")]
    Panicked,
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
