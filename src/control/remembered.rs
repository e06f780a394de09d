//! What still comes: what the relay remembers of each destination, for whoever waits for its calls to
//! end.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::Desk;
use crate::destination::Slot;
use crate::pin::Remembered;
use crate::transport::monotonic_now;

/// What is remembered of one address of one destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StillComing {
    /// The sets that list it; none when it is listed no more.
    pub sets: Vec<u32>,
    /// Its URI.
    pub uri: String,
    /// Its address.
    pub address: SocketAddr,
    /// How much.
    pub remembered: Remembered,
}

impl Desk {
    /// The destinations of which anything is remembered, those included that are listed no more.
    pub fn remembered(&self) -> Vec<StillComing> {
        let inner = self.inner();
        let Some(snapshot) = inner.state().snapshot() else {
            return Vec::new();
        };
        let mut sets_of: HashMap<Slot, Vec<u32>> = HashMap::new();
        for set in self.list().sets {
            for slot in set.records.iter().flat_map(|record| &record.addresses) {
                if let Some(slot) = slot.slot {
                    sets_of.entry(slot).or_default().push(set.id);
                }
            }
        }
        let counted = inner.shared.pins.count_by_slot(monotonic_now());
        counted
            .into_iter()
            .filter_map(|(slot, remembered)| {
                let destination = snapshot.destinations.get(slot)?;
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
