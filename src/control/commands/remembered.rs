//! What the relay remembers of each destination, for operators who wait for its calls to end, and
//! how much memory that takes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use crate::control::Commands;
use crate::destination::Slot;
use crate::limits::SLOTS_MAX;
use crate::pin::{PinMemory, Remembered};
use crate::transport::monotonic_now;

/// What is remembered of one address of one destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StillComing {
    /// The sets that list it; empty if it is no longer listed.
    pub sets: Vec<u32>,
    /// Its URI.
    pub uri: String,
    /// Its address.
    pub address: SocketAddr,
    /// How much.
    pub remembered: Remembered,
}

/// Use of the memory that all workers share, the pin table, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MemoryUse {
    /// The total size; it never changes.
    pub total: u64,
    /// What is in use: the head, and the entries that are taken.
    pub used: u64,
    /// The highest use seen by a query.
    pub used_max: u64,
}

impl Commands {
    /// Returns how much of the pin table is in use. Reads the whole table once.
    pub fn memory(&self) -> MemoryUse {
        let inner = self.inner();
        let pins = &inner.shared.pins;
        let bytes_of = |pins| PinMemory::words_for(pins) as u64 * 8;
        let (total, used) = (bytes_of(pins.capacity()), bytes_of(0) + pins.count() as u64 * 8);
        // Relaxed: the number is only shown.
        let before = inner.memory_used_max.fetch_max(used, Ordering::Relaxed);
        MemoryUse { total, used, used_max: before.max(used) }
    }

    /// Returns the destinations with remembered transactions or calls, even those no longer listed.
    pub fn remembered(&self) -> Vec<StillComing> {
        let inner = self.inner();
        let snapshot = inner.current.snapshot();
        let mut sets_of: HashMap<Slot, Vec<u32>> = HashMap::new();
        for set in self.list().sets {
            for slot in set.records.iter().flat_map(|record| &record.addresses) {
                if let Some(slot) = slot.slot {
                    sets_of.entry(slot).or_default().push(set.id);
                }
            }
        }
        let mut counted: BTreeMap<_, _> =
            inner.shared.pins.count_by_slot(monotonic_now()).into_iter().collect();
        // Where calls in progress are counted, their number is better than that of the pins.
        let destinations = &snapshot.destinations;
        for slot in (0..SLOTS_MAX).map(|number| Slot(number as u16)) {
            let Some(destination) = destinations.get(slot) else { continue };
            let calls = destination.load.calls();
            let set = destinations.set_of(slot);
            if calls > 0 || set.is_some_and(|set| snapshot.counts_calls(set)) {
                match counted.get_mut(&slot) {
                    Some(remembered) => remembered.calls = calls,
                    None if calls > 0 => {
                        counted.insert(slot, Remembered { calls, ..Remembered::default() });
                    }
                    None => {}
                }
            }
        }
        counted
            .into_iter()
            .filter_map(|(slot, remembered)| {
                let destination = destinations.get(slot)?;
                Some(StillComing {
                    sets: sets_of.remove(&slot).unwrap_or_default(),
                    uri: destination.uri.clone(),
                    address: destination.address,
                    remembered,
                })
            })
            .collect()
    }
}
