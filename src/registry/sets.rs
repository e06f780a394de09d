//! Builds the sets of a table, and continues the round of each after a reload.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{RecordIdentity, Registry};
use crate::destination::{Place, Resolved, Set, Slot, Table, Turns, wheel};
use crate::sync::Ordering;

type Identity = Arc<RecordIdentity>;

/// The position of each active record among the active ones.
type Places<'a> = HashMap<&'a RecordIdentity, u64>;

#[derive(Debug, Default)]
pub(super) struct SetMemory {
    turns: Arc<Turns>,
    /// The active records, in the order of the table in force.
    active: Vec<Identity>,
    /// All records, in the same order.
    listed: Vec<Identity>,
    invite: Round,
    other: Round,
}

/// The position of one counter's round.
#[derive(Debug, Default)]
struct Round {
    /// The turn of the first active record of the table in force.
    offset: u64,
    /// The turns taken when that table was built.
    turn: u64,
    /// The record that took the last turn.
    last_used: Option<Identity>,
}

impl Registry {
    /// Adds the sets of these records, which have these slots and identities.
    pub(super) fn build_sets(
        &mut self,
        records: &[Resolved],
        slots: &[Vec<Slot>],
        identities: &[Identity],
        table: &mut Table,
    ) {
        let mut by_set: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, resolved) in records.iter().enumerate() {
            by_set.entry(resolved.record.set).or_default().push(at);
        }
        // A removed set keeps its counters: it may come back.
        for id in self.sets.keys() {
            by_set.entry(*id).or_default();
        }
        for (id, listed) in by_set {
            let mut active = Vec::new();
            let (mut places, mut active_members) = (Vec::new(), Vec::new());
            for &at in &listed {
                for slot in &slots[at] {
                    // Sets are sorted by number, so the first one is the lowest.
                    table.set_of[usize::from(slot.0)].get_or_insert(id);
                }
                let state = self.states.of(&identities[at]).expect("it follows these records");
                let addresses = records[at].addresses.iter().zip(&slots[at]);
                let chosen_from = addresses
                    .filter(|(address, _)| state.flags(address.socket).is_selectable())
                    .map(|(address, slot)| (*address, *slot))
                    .collect::<Vec<_>>();
                if !chosen_from.is_empty() {
                    active.push(Arc::clone(&identities[at]));
                    let turns = Arc::clone(&state.turns);
                    places.push(Place { slots: wheel(&chosen_from), turns });
                    // Includes those with a higher priority number: they may serve calls in
                    // progress.
                    active_members.extend(chosen_from.iter().map(|(_, slot)| *slot));
                }
            }
            let active_members = sorted(active_members);

            let memory = self.sets.entry(id).or_default();
            let listed: Vec<_> = listed.iter().map(|at| Arc::clone(&identities[*at])).collect();
            let place_of: Places = active.iter().map(AsRef::as_ref).zip(0..).collect();
            memory.go_on(true, &place_of, &listed);
            memory.go_on(false, &place_of, &listed);
            memory.active = active;
            memory.listed = listed;
            table.sets.push(Set {
                id,
                active: places.into(),
                turns: Arc::clone(&memory.turns),
                invite_offset: memory.invite.offset,
                other_offset: memory.other.offset,
                active_members,
            });
        }
    }
}

impl SetMemory {
    /// Makes the next turn go to the active record after the last one used.
    fn go_on(&mut self, is_invite: bool, places: &Places, listed: &[Identity]) {
        // Relaxed: a turn that a worker takes from the old table right now is as good as an earlier
        // one.
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
                // That record was removed earlier: the turn stays with the one that it went to
                // then.
                .or_else(|| {
                    let due = (count > 0).then(|| at_turn(turn))?;
                    first_active(due, 0, &self.listed, places)
                })
        });
        round.offset = turn.wrapping_sub(next.unwrap_or(0));
        round.turn = turn;
    }
}

/// Returns the position, among the active records, of the first active one in `list` that is at
/// least `steps` after `from`.
fn first_active(
    from: &RecordIdentity,
    steps: usize,
    list: &[Identity],
    places: &Places,
) -> Option<u64> {
    let at = list.iter().position(|id| **id == *from)?;
    let after = |step: usize| &*list[(at + step) % list.len()];
    (steps..=list.len()).find_map(|step| places.get(after(step))).copied()
}

fn sorted(mut slots: Vec<Slot>) -> Box<[Slot]> {
    slots.sort_unstable();
    slots.dedup();
    slots.into()
}
