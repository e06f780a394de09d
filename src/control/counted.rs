//! What was counted at a destination since it has its slot. The counters of a slot go on when another
//! destination gets it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::destination::Slot;
use crate::stats::{SlotAnswers, SlotTraffic, Traffic};

/// What was counted at slots before the destinations that have them now.
#[derive(Debug, Default)]
pub(super) struct CountedBefore(Mutex<HashMap<Slot, (SlotTraffic, SlotAnswers)>>);

impl CountedBefore {
    /// Ends what the destinations with these slots count: they are about to be given to others.
    pub(super) fn end(&self, slots: &[Slot], traffic: &Traffic) {
        let mut before = self.lock();
        before
            .extend(slots.iter().map(|slot| (*slot, (traffic.of(*slot), traffic.answers(*slot)))));
    }

    /// Returns what was counted at the destination with this slot.
    pub(super) fn of(&self, slot: Slot, traffic: &Traffic) -> (SlotTraffic, SlotAnswers) {
        let (sent, answers) = (traffic.of(slot), traffic.answers(slot));
        match self.lock().get(&slot) {
            Some((sent_before, before)) => (sent.since(sent_before), answers.since(before)),
            None => (sent, answers),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Slot, (SlotTraffic, SlotAnswers)>> {
        // Every step leaves it complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
