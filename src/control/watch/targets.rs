//! What is to be watched: every destination that is listed and that a listener reaches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::control::snapshot::in_force::InForce;
use crate::destination::{Flags, Slot};
use crate::health::{Probing, Target};
use crate::listener::Listeners;

/// Returns the destinations in force. `known` are the flags that were followed so far: where they
/// differ, an operator or the source has changed them.
pub(super) fn of(
    in_force: &InForce,
    listeners: &Listeners,
    known: &HashMap<Slot, Flags>,
) -> Vec<Target> {
    let (registry, config) = (in_force.registry(), in_force.config());
    let table = registry.table();
    let mut seen = HashSet::new();
    let mut targets = Vec::new();
    for resolved in in_force.records().iter() {
        let record = &resolved.record;
        let policy = config.sets.get(&record.set).unwrap_or(&config.set_default);
        let probing = Probing::with_attributes(&policy.probing, &record.attributes);
        let uri: Arc<str> = record.uri.text.as_str().into();
        let (_, flags) = registry.flags(resolved);
        for (address, flags) in resolved.addresses.iter().zip(flags) {
            let slot = registry.slot(record, address.socket).filter(|slot| seen.insert(*slot));
            let Some((slot, hop)) = slot.and_then(|slot| Some((slot, table.hop(slot)?))) else {
                continue;
            };
            let Some(listener) = probing.listener(hop, listeners) else { continue };
            targets.push(Target {
                slot,
                set: record.set,
                address: address.socket,
                listener,
                uri: Arc::clone(&uri),
                flags,
                from_operator: known.get(&slot).is_some_and(|known| *known != flags),
                latency_ms: record.attributes.latency_ms,
                congestion_control: record.attributes.congestion_control,
                probing: Arc::clone(&probing),
                passive: Arc::clone(&policy.passive),
            });
        }
    }
    targets
}
