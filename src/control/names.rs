//! The thread that asks again for host names whose time is over. Nothing ever waits for it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use tracing::{error, info, warn};

use super::aside::aside;
use super::threads::{self, is_alive};
use super::{Error, Inner, ready};
use crate::destination::Resolved;
use crate::worker::catch;

/// Starts it.
pub(super) fn spawn(inner: Weak<Inner>, gone: Receiver<()>) -> Result<(), Vec<Error>> {
    threads::spawn("resolver", move || {
        while is_alive(&gone, Duration::from_secs(1)) {
            let _ = catch(|| refresh(&inner));
        }
    })
    .map(drop)
}

/// Asks again for the names that are due; publishes what changed. `None` when the relay ends.
fn refresh(relay: &Weak<Inner>) -> Option<()> {
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
    // A relay that ends does not wait for a name server.
    drop(inner);
    let refreshed = resolver.refresh(&records, &name_servers);
    for note in refreshed.notes {
        warn!("{note}");
    }
    let Some(records) = refreshed.records else { return Some(()) };
    let inner = relay.upgrade()?;
    match aside(records.len(), || publish(&inner, generation, records)) {
        Ok(Ok(true)) => {
            let state = inner.state();
            info!("host names resolved: {}", ready::sets(state.records(), state.registry()));
        }
        // Others are in force by now, so it looks at those.
        Ok(Ok(false)) => resolver.look_again(),
        Ok(Err(errors)) | Err(errors) => {
            for error in errors {
                error!("destinations not changed: {error}");
            }
        }
    }
    Some(())
}

/// Puts these in force; says whether those that they were made of still were.
fn publish(inner: &Inner, generation: u64, records: Vec<Resolved>) -> Result<bool, Vec<Error>> {
    let mut state = inner.state();
    if state.generation() != generation {
        return Ok(false);
    }
    state.replace_records(records, &inner.shared).map(|_| true)
}
