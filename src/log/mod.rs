//! Logs to standard error or the journal, and the dispatch line.
//!
//! No caller waits for standard error: lines go into a bounded queue, and one thread writes them.
//! Everything that the network can cause goes through [`Limited`], and one line per call through
//! [`DispatchLog`].

mod dispatch;
mod journal;
mod limited;
mod lines;
mod stderr;
mod template;
mod uri;

pub use dispatch::{DispatchLog, DispatchRecord, DispatchThread, Templates};
pub use limited::{Limited, More};
pub use stderr::{LogGuard, init};
pub(crate) use stderr::{dispatch_lines_lost, flush};
pub use template::{Template, TemplateError};

/// The target of dispatch lines. The operator asked for them, so they are written at every level.
pub(crate) const DISPATCH: &str = "dispatch";
