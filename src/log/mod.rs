//! Logs, and the dispatch line.

/// A dispatch line with Kamailio's pseudo-variables, checked.
#[derive(Clone, Debug)]
pub struct Template {}
