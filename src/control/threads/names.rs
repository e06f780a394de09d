//! The thread that resolves host names again when they expire. Nothing ever waits for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use tracing::{error, info, warn};

use crate::control::events::source_trouble;
use crate::control::history::Cause;
use crate::control::threads::{self, is_alive};
use crate::control::{Error, Inner, ready};
use crate::destination::Resolved;
use crate::listener::Listeners;
use crate::registry::{leads_to_us, what_of_ours};
use crate::transport::monotonic_now;
use crate::worker::catch;

/// Starts the thread.
pub(in crate::control) fn spawn(inner: Weak<Inner>, gone: Receiver<()>) -> Result<(), Vec<Error>> {
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
    let in_force = inner.in_force();
    let (config, records) = (in_force.config(), in_force.records());
    let resolver = Arc::clone(&inner.resolver);
    // The relay must be able to end without waiting for a name server.
    drop(inner);
    let refreshed = resolver.refresh(records, &config.destinations.name_servers);
    for note in &refreshed.notes {
        warn!("{note}");
    }
    if let (false, Some(inner)) = (refreshed.notes.is_empty(), relay.upgrade()) {
        inner.notifier.notify(|| source_trouble(refreshed.notes));
    }
    let Some(found) = refreshed.records else {
        told.clear();
        return Some(());
    };
    let inner = relay.upgrade()?;
    let (found, notes) = without_ourselves(records, found, &inner.shared.listeners);
    for note in notes.difference(told) {
        warn!("{note}");
    }
    *told = notes;
    if found[..] == records[..] {
        return Some(());
    }
    match publish(&inner, records, &found.into()) {
        Ok(true) => {
            let in_force = inner.in_force();
            let sets = ready::sets(in_force.records(), in_force.registry());
            info!("host names resolved: {sets}");
        }
        // Other records are in force by now, so look at those.
        Ok(false) => resolver.look_again(),
        Err(errors) => {
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

/// Puts the records found in force. Returns false if `asked_for`, for which they were found, are no
/// longer in force.
fn publish(
    inner: &Inner,
    asked_for: &Arc<[Resolved]>,
    found: &Arc<[Resolved]>,
) -> Result<bool, Vec<Error>> {
    let version = inner.change_all(Cause::Names, found.len(), |in_force| {
        if !Arc::ptr_eq(in_force.records(), asked_for) {
            return Ok(None);
        }
        let config = Arc::clone(in_force.config());
        let (now, listeners) = (monotonic_now(), &inner.shared.listeners);
        in_force.with_records(config, Arc::clone(found), now, listeners).map(Some)
    })?;
    Ok(version.is_some())
}
