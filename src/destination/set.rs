//! A set, and how a destination is chosen from it.

use std::collections::HashSet;
use std::sync::Arc;

use crossbeam::utils::CachePadded;

use super::Slot;
use crate::sync::{AtomicU64, Ordering};

/// What a set keeps across reloads: how many turns were taken.
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
}

/// One record's position in the round: its addresses take turns within its turn.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The turns of the addresses that can be chosen: see [`super::wheel`]. Never empty.
    pub(crate) slots: Box<[Slot]>,
    pub(crate) turns: Arc<AtomicU64>,
}

/// A destination set, ready to choose from.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its number.
    pub id: u32,
    pub(crate) active: Box<[Place]>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) invite_offset: u64,
    pub(crate) other_offset: u64,
    /// The slots of the active records, sorted.
    pub(crate) active_members: Box<[Slot]>,
}

impl Set {
    /// Returns the next destination by round robin; `None` if none is active.
    ///
    /// Each call takes a turn, so call it only for requests seen for the first time.
    pub fn choose(&self, is_invite: bool) -> Option<Slot> {
        if self.active.is_empty() {
            return None;
        }
        // Relaxed: the number only spreads load. Nothing else is published through it, and if two
        // workers take neighbouring numbers, either order is equally fair.
        let turn = self.turns.of(is_invite).fetch_add(1, Ordering::Relaxed);
        let offset = if is_invite { self.invite_offset } else { self.other_offset };
        let place = &self.active[(turn.wrapping_sub(offset) % self.active.len() as u64) as usize];
        if let [slot] = *place.slots {
            return Some(slot);
        }
        let turn = place.turns.fetch_add(1, Ordering::Relaxed);
        Some(place.slots[(turn % place.slots.len() as u64) as usize])
    }

    /// Returns what [`Set::choose`] would return now, and takes no turn.
    pub fn peek(&self, is_invite: bool) -> Option<Slot> {
        self.round(is_invite).first().copied()
    }

    /// Returns whether it has an active destination.
    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Returns whether this destination can be chosen.
    pub fn is_active(&self, slot: Slot) -> bool {
        self.active_members.binary_search(&slot).is_ok()
    }

    /// Returns how many turns [`Set::choose`] has taken.
    pub(crate) fn turns_taken(&self, is_invite: bool) -> u64 {
        self.turns.of(is_invite).load(Ordering::Relaxed)
    }

    /// Returns the destinations that can be chosen, each once, in the order of their next turns, as
    /// far as one round of records shows it. Takes no turn.
    pub(crate) fn round(&self, is_invite: bool) -> Vec<Slot> {
        let offset = if is_invite { self.invite_offset } else { self.other_offset };
        let turn = self.turns_taken(is_invite).wrapping_sub(offset);
        let mut seen = HashSet::new();
        from_turn(&self.active, turn)
            .flat_map(|place| from_turn(&place.slots, place.turns.load(Ordering::Relaxed)))
            .copied()
            .filter(|slot| seen.insert(*slot))
            .collect()
    }
}

/// Returns all items, starting with the one whose turn this is.
fn from_turn<T>(items: &[T], turn: u64) -> impl Iterator<Item = &T> {
    let next = turn.checked_rem(items.len() as u64).unwrap_or(0) as usize;
    items[next..].iter().chain(&items[..next])
}
