//! Round robin: records take turns, and the addresses of one record share its turns.

use std::collections::HashSet;
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
        // Relaxed: the number publishes nothing.
        self.of(is_invite).load(Ordering::Relaxed)
    }
}

/// The turns of a set's active records.
#[derive(Clone, Debug)]
pub(crate) struct RoundRobin {
    pub(crate) places: Arc<[Place]>,
    pub(crate) turns: Arc<Turns>,
    /// The number of the turn that the first place has, for INVITE and for other methods.
    pub(crate) invite_offset: u64,
    pub(crate) other_offset: u64,
}

/// One record's position in the round.
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

impl RoundRobin {
    pub(crate) fn choose(&self, is_invite: bool) -> Option<Slot> {
        if self.places.is_empty() {
            return None;
        }
        // Relaxed: the number only spreads load. Nothing else is published through it, and if two
        // workers take neighbouring numbers, either order is equally fair.
        let turn = self.turns.of(is_invite).fetch_add(1, Ordering::Relaxed);
        Some(match self.place(is_invite, turn)? {
            Place::One(slot) => *slot,
            Place::Several { wheel, turns } => at(wheel, turns.fetch_add(1, Ordering::Relaxed))?,
        })
    }

    pub(crate) fn peek(&self, is_invite: bool) -> Option<Slot> {
        Some(match self.place(is_invite, self.turns.taken(is_invite))? {
            Place::One(slot) => *slot,
            Place::Several { wheel, turns } => at(wheel, turns.load(Ordering::Relaxed))?,
        })
    }

    /// Returns the destinations that can be chosen, each once, in the order of their next turns, as
    /// far as one round of records shows it.
    pub(crate) fn round(&self, is_invite: bool) -> Vec<Slot> {
        let turn = self.turns.taken(is_invite).wrapping_sub(self.offset(is_invite));
        let mut seen = HashSet::new();
        from_turn(&self.places, turn)
            .flat_map(|place| match place {
                Place::One(slot) => vec![*slot],
                Place::Several { wheel, turns } => {
                    from_turn(wheel, turns.load(Ordering::Relaxed)).copied().collect()
                }
            })
            .filter(|slot| seen.insert(*slot))
            .collect()
    }

    fn place(&self, is_invite: bool, turn: u64) -> Option<&Place> {
        let turn = turn.wrapping_sub(self.offset(is_invite));
        let at = turn.checked_rem(self.places.len() as u64)?;
        self.places.get(at as usize)
    }

    fn offset(&self, is_invite: bool) -> u64 {
        if is_invite { self.invite_offset } else { self.other_offset }
    }
}

fn at(wheel: &[Slot], turn: u64) -> Option<Slot> {
    wheel.get(turn.checked_rem(wheel.len() as u64)? as usize).copied()
}

/// Returns all items, starting with the one whose turn this is.
fn from_turn<T>(items: &[T], turn: u64) -> impl Iterator<Item = &T> {
    let next = turn.checked_rem(items.len() as u64).unwrap_or(0) as usize;
    items[next..].iter().chain(&items[..next])
}
