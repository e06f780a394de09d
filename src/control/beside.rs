//! Checks destinations against our own listeners: finds those that lead back to this relay, for a
//! start, a reload and `strowger check`.

use crate::config::{Config, LoadMode, Problem};
use crate::destination::Resolved;
use crate::listener::Listeners;
use crate::registry::{LoadError, Registry, leads_to_us};
use crate::transport::planned;

/// Returns the destinations that would run, and warnings. Nothing is bound: a listener with port 0
/// has no port yet, and a wildcard is every address that this machine has now.
///
/// # Errors
/// Everything that a start would refuse them for.
pub fn look_at_destinations(
    config: &Config,
    records: Vec<Resolved>,
) -> Result<(Vec<Resolved>, Vec<String>), Vec<Problem>> {
    let listeners = planned(&config.relay.listen, &config.relay.alias)
        .map_err(|errors| errors.iter().map(|e| worded("relay.listen", e)).collect::<Vec<_>>())?;
    let (records, left_out) = leave_out_ourselves(config, records, &listeners);
    let errors = Registry::default().errors(&records, &listeners);
    if errors.is_empty() {
        return Ok((records, left_out));
    }
    let source = config.destinations.source.to_string();
    Err(errors.iter().map(|error| problem(error, &source)).collect())
}

/// Leaves out the destinations that are this relay itself and reports them, with `load_mode =
/// "skip"`. With `"all"` they stay, and the load is refused because of them.
pub(super) fn leave_out_ourselves(
    config: &Config,
    mut records: Vec<Resolved>,
    listeners: &Listeners,
) -> (Vec<Resolved>, Vec<String>) {
    let mut left_out = Vec::new();
    if config.destinations.load_mode == LoadMode::Skip {
        let source = config.destinations.source.to_string();
        records.retain(|resolved| match leads_to_us(resolved, listeners) {
            Some(error) => {
                left_out.push(format!("left out: {}", problem(&error, &source)));
                false
            }
            None => true,
        });
    }
    (records, left_out)
}

/// The problem that this error's text names; the text ends with what would be right.
fn worded(place: &str, error: &impl std::fmt::Display) -> Problem {
    let text = error.to_string();
    let (what, right) = text.rsplit_once(": ").unwrap_or((&text, "change it"));
    Problem::of(place, what, right)
}

fn problem(error: &LoadError, source: &str) -> Problem {
    let (origin, what, right) = match error {
        LoadError::TooMany { .. } => return worded(source, error),
        LoadError::NoSuchSocket { origin, socket, listeners } => {
            let what = format!("socket=udp:{socket} is not one of our listeners");
            (origin, what, format!("name one of {listeners}"))
        }
        LoadError::NoListener { origin, uri, is_ipv4, listeners } => {
            let family = if *is_ipv4 { "IPv4" } else { "IPv6" };
            let right = format!("{listeners} has no {family} address: add one to relay.listen");
            (origin, format!("{uri} cannot be reached"), right)
        }
        LoadError::Ourselves { origin, uri, address, ours } => {
            let what = format!("{uri} is this relay itself: {address} is {ours}");
            (origin, what, "name a server, or listen on another address".to_owned())
        }
    };
    Problem::of_record(source, *origin, what, right)
}
