//! The thread that resolves host names again when they expire. Nothing ever waits for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use tracing::{error, info, warn};

use super::aside::aside;
use super::threads::{self, is_alive};
use super::{Error, Inner, ready};
use crate::destination::Resolved;
use crate::listener::Listeners;
use crate::registry::{leads_to_us, what_of_ours};
use crate::worker::catch;

/// Starts the thread.
pub(super) fn spawn(inner: Weak<Inner>, gone: Receiver<()>) -> Result<(), Vec<Error>> {
    threads::spawn("resolver", move || {
        let mut told = BTreeSet::new();
        while is_alive(&gone, Duration::from_secs(1)) {
            let _ = catch(|| refresh(&inner, &mut told));
        }
    })
    .map(drop)
}

/// Resolves the names that are due and publishes what changed. `told` are the names that led to
/// this relay last time, which are already warned of. Returns `None` if the relay ends.
fn refresh(relay: &Weak<Inner>, told: &mut BTreeSet<String>) -> Option<()> {
    let inner = relay.upgrade()?;
    let is_due = |due: Instant| due <= Instant::now();
    if !inner.resolver.next_refresh().is_some_and(is_due) {
        return Some(());
    }
    let (generation, records, name_servers) = {
        let state = inner.state();
        let servers = state.config().destinations.name_servers.clone();
        (state.generation(), Arc::clone(state.records()), servers)
    };
    let resolver = Arc::clone(&inner.resolver);
    // The relay must be able to end without waiting for a name server.
    drop(inner);
    let refreshed = resolver.refresh(&records, &name_servers);
    for note in refreshed.notes {
        warn!("{note}");
    }
    let Some(found) = refreshed.records else {
        told.clear();
        return Some(());
    };
    let inner = relay.upgrade()?;
    let (found, notes) = without_ourselves(&records, found, &inner.shared.listeners);
    for note in notes.difference(told) {
        warn!("{note}");
    }
    *told = notes;
    if found[..] == records[..] {
        return Some(());
    }
    let records = found;
    match aside(records.len(), || publish(&inner, generation, records)) {
        Ok(Ok(true)) => {
            let state = inner.state();
            info!("host names resolved: {}", ready::sets(state.records(), state.registry()));
        }
        // Other records are in force by now, so look at those.
        Ok(Ok(false)) => resolver.look_again(),
        Ok(Err(errors)) | Err(errors) => {
            for error in errors {
                error!("destinations not changed: {error}");
            }
        }
    }
    Some(())
}

/// Removes this relay's own addresses from the answers. A destination with no other address keeps
/// the addresses in force: its name was changed by mistake, or is ours during a failover. Returns
/// warnings.
fn without_ourselves(
    in_force: &[Resolved],
    mut found: Vec<Resolved>,
    listeners: &Listeners,
) -> (Vec<Resolved>, BTreeSet<String>) {
    let mut notes = BTreeSet::new();
    for (before, resolved) in in_force.iter().zip(&mut found) {
        let Some(error) = leads_to_us(resolved, listeners) else { continue };
        let host = &resolved.record.uri.host;
        resolved.addresses.retain(|a| what_of_ours(host, a.socket, listeners).is_none());
        let instead = if !resolved.addresses.is_empty() {
            "the other addresses of the name are used"
        } else if before.addresses.is_empty() {
            "it has no other address, so it is not used"
        } else {
            resolved.addresses.clone_from(&before.addresses);
            "the addresses from before stay"
        };
        notes.insert(format!("{error}. Until then {instead}"));
    }
    (found, notes)
}

/// Publishes these records. Returns false if others came into force since they were read.
fn publish(inner: &Inner, generation: u64, records: Vec<Resolved>) -> Result<bool, Vec<Error>> {
    let mut state = inner.state();
    if state.generation() != generation {
        return Ok(false);
    }
    state.replace_records(records, &inner.shared).map(|_| true)
}
