//! The sets of a table, and where the round of each goes on after a reload.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Registry;
use super::slots::slot_identities;
use crate::destination::{Place, Resolved, Set, Slot, SocketName, Table, Turns};
use crate::sync::Ordering;

/// What makes two records of two loads the same.
pub(super) type RecordIdentity = (u32, String, Option<SocketName>);

/// Where each active record stands among the active ones.
type Places<'a> = HashMap<&'a RecordIdentity, u64>;

#[derive(Debug, Default)]
pub(super) struct SetMemory {
    turns: Arc<Turns>,
    /// The active records in the order of the table that is in force.
    active: Vec<RecordIdentity>,
    /// All records in that order.
    listed: Vec<RecordIdentity>,
    invite: Round,
    other: Round,
}

/// Where the round of one counter is.
#[derive(Debug, Default)]
struct Round {
    /// The turn that falls on the first active record of the table in force.
    offset: u64,
    /// The turns taken when that table was built.
    turn: u64,
    /// The record that took the last turn.
    last_used: Option<RecordIdentity>,
}

impl Registry {
    pub(super) fn build_sets(&mut self, records: &[Resolved], table: &mut Table) {
        let mut by_set: BTreeMap<u32, Vec<&Resolved>> = BTreeMap::new();
        for resolved in records {
            by_set.entry(resolved.record.set).or_default().push(resolved);
        }
        // A set that is gone keeps its counters: it may come back.
        for id in self.sets.keys() {
            by_set.entry(*id).or_default();
        }
        for (id, listed) in by_set {
            let is_active =
                |r: &&&Resolved| r.record.flags.is_selectable() && !r.addresses.is_empty();
            let active: Vec<RecordIdentity> =
                listed.iter().filter(is_active).map(|r| record_identity(r)).collect();
            let slots_of = |r: &Resolved| -> Vec<Slot> {
                slot_identities(r).map(|identity| self.slot_of[&identity]).collect()
            };
            for slot in listed.iter().flat_map(|r| slots_of(r)) {
                // Sets come in order of their numbers, so the first one is the lowest.
                table.set_of[usize::from(slot.0)].get_or_insert(id);
            }
            let active_members = sorted(listed.iter().filter(is_active).flat_map(|r| slots_of(r)));
            let places = listed
                .iter()
                .filter(is_active)
                .map(|r| Place {
                    slots: slots_of(r).into(),
                    turns: Arc::clone(self.place_turns.entry(record_identity(r)).or_default()),
                })
                .collect();

            let memory = self.sets.entry(id).or_default();
            let listed_now: Vec<RecordIdentity> =
                listed.iter().map(|r| record_identity(r)).collect();
            let place_of: HashMap<_, _> = active.iter().zip(0..).collect();
            memory.go_on(true, &place_of, &listed_now);
            memory.go_on(false, &place_of, &listed_now);
            memory.active = active;
            memory.listed = listed_now;
            table.sets.push(Set {
                id,
                active: places,
                turns: Arc::clone(&memory.turns),
                invite_offset: memory.invite.offset,
                other_offset: memory.other.offset,
                active_members,
            });
        }
    }
}

impl SetMemory {
    /// Makes the next turn fall on the active record after the last one used.
    fn go_on(&mut self, is_invite: bool, places: &Places, listed: &[RecordIdentity]) {
        // Relaxed: a turn drawn by the old table at this moment is as good as one drawn before.
        let turn = self.turns.of(is_invite).load(Ordering::Relaxed);
        let round = if is_invite { &mut self.invite } else { &mut self.other };
        let (offset, count) = (round.offset, self.active.len() as u64);
        let at_turn = |turn: u64| &self.active[(turn.wrapping_sub(offset) % count) as usize];
        if count > 0 && turn != round.turn {
            round.last_used = Some(at_turn(turn - 1).clone());
        }
        let next = round.last_used.as_ref().and_then(|last| {
            first_active(last, 1, listed, places)
                .or_else(|| first_active(last, 1, &self.listed, places))
                // It was gone before already: the turn stays with the one that it fell to then.
                .or_else(|| {
                    let due = (count > 0).then(|| at_turn(turn))?;
                    first_active(due, 0, &self.listed, places)
                })
        });
        round.offset = turn.wrapping_sub(next.unwrap_or(0));
        round.turn = turn;
    }
}

/// The place among the active ones of the first that is found in `list` from `steps` after `from`.
fn first_active(
    from: &RecordIdentity,
    steps: usize,
    list: &[RecordIdentity],
    places: &Places,
) -> Option<u64> {
    let at = list.iter().position(|id| id == from)?;
    (steps..=list.len()).find_map(|step| places.get(&list[(at + step) % list.len()])).copied()
}

fn record_identity(resolved: &Resolved) -> RecordIdentity {
    let record = &resolved.record;
    (record.set, record.uri.text.clone(), record.attributes.socket)
}

fn sorted(slots: impl Iterator<Item = Slot>) -> Box<[Slot]> {
    let mut slots: Vec<Slot> = slots.collect();
    slots.sort_unstable();
    slots.dedup();
    slots.into()
}
