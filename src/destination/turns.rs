//! Turns: how many a set has taken, and how the addresses of one record share its turns.

use std::sync::Arc;

use crossbeam::utils::CachePadded;

use super::Slot;
use crate::sync::{AtomicU64, Ordering};

/// How many turns a set has taken. Kept across reloads.
///
/// INVITE has its own counter, so that OPTIONS between calls does not skew the calls.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    invite: CachePadded<AtomicU64>,
    other: CachePadded<AtomicU64>,
}

impl Turns {
    pub(crate) fn of(&self, is_invite: bool) -> &AtomicU64 {
        if is_invite { &self.invite } else { &self.other }
    }

    /// Returns how many turns were taken.
    pub(crate) fn taken(&self, is_invite: bool) -> u64 {
        look(self.of(is_invite))
    }
}

/// Takes the next turn.
pub(crate) fn take(turns: &AtomicU64) -> u64 {
    // Relaxed: the number only spreads load. Nothing else is published through it, and if two
    // workers take neighbouring numbers, either order is equally fair.
    turns.fetch_add(1, Ordering::Relaxed)
}

/// Returns the next turn without taking it.
pub(crate) fn look(turns: &AtomicU64) -> u64 {
    // Relaxed: the number publishes nothing.
    turns.load(Ordering::Relaxed)
}

/// One record that can be chosen.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// It has one address that can be chosen.
    One(Slot),
    /// Its addresses take turns within its turn.
    Several {
        /// The turns of its addresses: see [`super::wheel`]. Never empty.
        wheel: Box<[Slot]>,
        /// How many of them were taken. Kept across reloads.
        turns: Arc<AtomicU64>,
    },
}

impl Place {
    /// Returns the destination. The address is the one of the next turn; if a hash has chosen the
    /// record, that chooses the address too, so that one key always gets the same.
    pub(crate) fn slot(&self, hash: Option<u64>, turn: impl Fn(&AtomicU64) -> u64) -> Option<Slot> {
        match self {
            Self::One(slot) => Some(*slot),
            Self::Several { wheel, turns } => {
                let number = hash.map_or_else(|| turn(turns), address_hash);
                wheel.get(number.checked_rem(wheel.len() as u64)? as usize).copied()
            }
        }
    }

    /// Returns all its destinations; those with a larger share several times.
    pub(crate) fn addresses(&self) -> &[Slot] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Several { wheel, .. } => wheel,
        }
    }

    /// Returns all its destinations, starting with the next one.
    pub(crate) fn slots(&self, hash: Option<u64>, look: impl Fn(&AtomicU64) -> u64) -> Vec<Slot> {
        match self {
            Self::One(slot) => vec![*slot],
            Self::Several { wheel, turns } => {
                let number = hash.map_or_else(|| look(turns), address_hash);
                let next = number.checked_rem(wheel.len() as u64).unwrap_or(0) as usize;
                wheel[next..].iter().chain(&wheel[..next]).copied().collect()
            }
        }
    }
}

/// Returns a number for the address that does not depend on what the record was chosen by.
fn address_hash(hash: u64) -> u64 {
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}
