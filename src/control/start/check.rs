//! Checks destinations against our own listeners, for a start, a reload and `strowger check`: finds
//! those that no listener reaches and those that lead back to this relay.

use crate::config::{Config, LoadMode, Problem};
use crate::destination::Resolved;
use crate::listener::Listeners;
use crate::registry::{LoadError, Registry, error_of};
use crate::transport::planned;

/// Returns the destinations that would run, and warnings. Nothing is bound: a listener with port 0
/// has no port yet, and a wildcard is every address that this machine has now.
///
/// # Errors
/// Everything that a start would refuse them for.
pub fn check_destinations(
    config: &Config,
    records: Vec<Resolved>,
) -> Result<(Vec<Resolved>, Vec<String>), Vec<Problem>> {
    let listeners = planned(&config.relay.listen, &config.relay.alias)
        .map_err(|errors| errors.iter().map(|e| worded("relay.listen", e)).collect::<Vec<_>>())?;
    let (records, left_out) = leave_out_unusable(config, records, &listeners);
    let errors = Registry::default().errors(&records, &listeners);
    if errors.is_empty() {
        return Ok((records, left_out));
    }
    let source = config.destinations.source.to_string();
    Err(errors.iter().map(|error| problem(error, &source)).collect())
}

/// With `load_mode = "skip"`, leaves out the destinations that cannot be used with these listeners
/// and reports them. With `"all"` they stay, and the load is refused because of them.
pub(in crate::control) fn leave_out_unusable(
    config: &Config,
    mut records: Vec<Resolved>,
    listeners: &Listeners,
) -> (Vec<Resolved>, Vec<String>) {
    let mut left_out = Vec::new();
    if config.destinations.load_mode == LoadMode::Skip {
        let source = config.destinations.source.to_string();
        records.retain(|resolved| match error_of(resolved, listeners) {
            Some(error) => {
                left_out.push(format!("left out: {}", problem(&error, &source)));
                false
            }
            None => true,
        });
    }
    (records, left_out)
}

fn problem(error: &LoadError, source: &str) -> Problem {
    match error.origin() {
        Some(origin) => Problem::of_record(source, origin, error.what(), error.right()),
        None => Problem::of(source, error.what(), error.right()),
    }
}

/// The problem that this error's text names; the text ends with what would be right.
fn worded(place: &str, error: &impl std::fmt::Display) -> Problem {
    let text = error.to_string();
    let (what, right) = text.rsplit_once(": ").unwrap_or((&text, "change it"));
    Problem::of(place, what, right)
}
