//! What is kept of each set, and how it becomes ready to choose from.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::round::Round;
use super::slots::Slots;
use super::states::{FlagChange, RecordState};
use super::{RecordIdentity, Registry};
use crate::destination::{
    Address, Algorithm, Candidate, Chooser, Choosing, DestinationState, EvenShares, Flags, Key,
    Load, Place, Resolved, Set, Slot, Standing, Turns, identity, wheel,
};

/// A record of a load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a> {
    pub(super) resolved: &'a Resolved,
    /// The same with only the addresses that a listener reaches.
    pub(super) reached: &'a Resolved,
    /// The slots of these addresses.
    pub(super) slots: &'a [Slot],
}

/// How each set chooses.
#[derive(Clone, Debug, Default)]
pub struct Choosings {
    default: Arc<Choosing>,
    sets: BTreeMap<u32, Arc<Choosing>>,
}

impl Choosings {
    /// Creates it from the settings of sets that have none of their own, and of those that have.
    pub fn new<'a>(
        default: &Choosing,
        sets: impl IntoIterator<Item = (u32, &'a Choosing)>,
    ) -> Self {
        let sets = sets.into_iter().map(|(id, of)| (id, Arc::new(of.clone()))).collect();
        Self { default: Arc::new(default.clone()), sets }
    }

    fn of(&self, set: u32) -> &Arc<Choosing> {
        self.sets.get(&set).unwrap_or(&self.default)
    }
}

/// What is kept of a set.
#[derive(Debug)]
pub(super) struct SetMemory {
    choosing: Arc<Choosing>,
    roster: Arc<Roster>,
    /// The states of the records, in their order.
    states: Vec<RecordState>,
    turns: Arc<Turns>,
    /// The indices of the active records, without the last resort.
    active: Vec<usize>,
    invite: Round,
    other: Round,
    set: Arc<Set>,
}

/// The records of a set, in dispatch order. Only a load changes them.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) members: Vec<Member>,
    index_of: HashMap<Arc<RecordIdentity>, usize>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) identity: Arc<RecordIdentity>,
    standing: Standing,
    /// The addresses that a listener reaches.
    reached: Box<[(Address, Slot)]>,
}

impl Registry {
    /// Updates the sets to these records.
    pub(super) fn follow(&mut self, listed: &[Listed<'_>]) {
        let mut by_set: BTreeMap<u32, Vec<Listed<'_>>> = BTreeMap::new();
        for listed in listed {
            by_set.entry(listed.resolved.record.set).or_default().push(*listed);
        }
        for (id, listed) in &mut by_set {
            if self.choosings.of(*id).is_kamailio {
                let priority = |listed: &Listed<'_>| listed.resolved.record.priority;
                let equal = listed.chunk_by_mut(|a, b| priority(a) == priority(b));
                equal.for_each(<[_]>::reverse);
            }
        }
        let mut next: BTreeMap<_, _> = by_set
            .iter()
            .map(|(id, listed)| {
                let before = self.sets.get(id).map(AsRef::as_ref);
                let choosing = Arc::clone(self.choosings.of(*id));
                (*id, Arc::new(SetMemory::follow(*id, choosing, before, listed, &self.slots)))
            })
            .collect();
        let with_slots = self.sets_with_slots();
        for (id, memory) in &*self.sets {
            if !by_set.contains_key(id) && with_slots.contains(id) {
                next.insert(*id, SetMemory::without_records(*id, memory, &self.slots));
            }
        }
        self.sets = Arc::new(next);
    }

    /// Forgets the sets that have neither a record nor a retired destination left. Until then a set
    /// keeps its counters, because it may come back.
    pub(super) fn forget_sets(&mut self) {
        let with_slots = self.sets_with_slots();
        Arc::make_mut(&mut self.sets)
            .retain(|id, memory| !memory.states.is_empty() || with_slots.contains(id));
    }

    /// Continues the rounds after the turns that workers have taken from the table of `before` since
    /// this was built from it.
    pub(crate) fn continue_rounds(&mut self, before: &Self) {
        let late: Vec<_> = self
            .sets
            .iter()
            .filter_map(|(id, memory)| Some((*id, memory.after_turns(before.sets.get(id)?)?)))
            .collect();
        if !late.is_empty() {
            let sets = Arc::make_mut(&mut self.sets);
            sets.extend(late.into_iter().map(|(id, memory)| (id, Arc::new(memory))));
            self.collect_sets();
        }
    }

    fn sets_with_slots(&self) -> HashSet<u32> {
        self.slots.in_use.iter().flatten().map(|slot| slot.identity.set).collect()
    }

    /// Overwrites the state of these records of a set, or of one address of each, as Kamailio does.
    /// Builds this set anew and nothing else.
    pub fn set_state(
        &mut self,
        set: u32,
        selected: &[(RecordIdentity, Option<SocketAddr>)],
        state: DestinationState,
        is_probed: bool,
    ) {
        let Some(memory) = self.sets.get(&set) else { return };
        let mut states = memory.states.clone();
        for (identity, address) in selected {
            if let Some(at) = memory.roster.index_of.get(identity) {
                states[*at].set(*address, state, is_probed);
            }
        }
        self.put_states(set, states);
    }

    /// Replaces the flags of these destinations and returns the changes that took effect. Builds their
    /// sets anew and nothing else.
    pub fn change_flags(&mut self, changes: &[FlagChange]) -> Vec<FlagChange> {
        let mut by_set: BTreeMap<u32, HashMap<Slot, &FlagChange>> = BTreeMap::new();
        for change in changes {
            if let Some(Some(slot)) = self.slots.in_use.get(usize::from(change.slot.0)) {
                by_set.entry(slot.identity.set).or_default().insert(change.slot, change);
            }
        }
        let mut changed = HashSet::new();
        for (set, changes) in by_set {
            let Some(memory) = self.sets.get(&set) else { continue };
            let mut states = memory.states.clone();
            let before = changed.len();
            // Records with one URI that differ only in `duid` share a slot.
            for (member, state) in memory.roster.members.iter().zip(&mut states) {
                for (address, slot) in &member.reached {
                    if let Some(change) = changes.get(slot)
                        && state.replace(address.socket, change)
                    {
                        changed.insert(*slot);
                    }
                }
            }
            if changed.len() > before {
                self.put_states(set, states);
            }
        }
        changes.iter().filter(|change| changed.contains(&change.slot)).copied().collect()
    }

    /// Builds a set anew with these states of its records.
    fn put_states(&mut self, set: u32, states: Vec<RecordState>) {
        let Some(memory) = self.sets.get(&set) else { return };
        let (choosing, roster) = (Arc::clone(&memory.choosing), Arc::clone(&memory.roster));
        let memory = SetMemory::new(set, choosing, Some(memory), roster, states, &self.slots);
        if let Ok(at) = self.table.set_ids.binary_search(&set) {
            self.table.sets[at] = Arc::clone(&memory.set);
        }
        Arc::make_mut(&mut self.sets).insert(set, Arc::new(memory));
    }

    /// Returns what is kept of this record; `None` if it is not in force.
    pub(super) fn state_of(&self, identity: &RecordIdentity) -> Option<&RecordState> {
        let memory = self.sets.get(&identity.set())?;
        Some(&memory.states[*memory.roster.index_of.get(identity)?])
    }
}

impl SetMemory {
    pub(super) fn set(&self) -> &Arc<Set> {
        &self.set
    }

    /// Returns the flags of every address of every record.
    pub(super) fn addresses(
        &self,
    ) -> impl Iterator<Item = (&Arc<RecordIdentity>, SocketAddr, Flags)> {
        let records = self.roster.members.iter().zip(&self.states);
        records.flat_map(|(member, state)| {
            let addresses = state.addresses().iter();
            addresses.map(|(address, flags)| (&member.identity, *address, *flags))
        })
    }

    /// Returns the slot of an address that a listener reaches.
    pub(super) fn slot_of(&self, identity: &RecordIdentity, address: SocketAddr) -> Option<Slot> {
        let member = &self.roster.members[self.roster.index_of(identity)?];
        let reached = member.reached.iter().find(|(reached, _)| reached.socket == address);
        reached.map(|(_, slot)| *slot)
    }

    fn follow(
        id: u32,
        choosing: Arc<Choosing>,
        before: Option<&Self>,
        listed: &[Listed<'_>],
        slots: &Slots,
    ) -> Self {
        let mut roster = Roster::default();
        roster.members.reserve(listed.len());
        roster.index_of.reserve(listed.len());
        let mut states = Vec::with_capacity(listed.len());
        let mut known = HashSet::new();
        for (Listed { resolved, reached, slots: reached_slots }, at) in listed.iter().zip(0..) {
            let identity = Arc::new(RecordIdentity::of(&resolved.record));
            let before = before.and_then(|before| {
                before.roster.index_of.get(&identity).map(|at| &before.states[*at])
            });
            states.push(RecordState::follow(before, resolved));
            roster.index_of.insert(Arc::clone(&identity), at);
            let reached =
                reached.addresses.iter().copied().zip(reached_slots.iter().copied()).collect();
            let standing = standing(resolved, &mut known);
            roster.members.push(Member { identity, standing, reached });
        }
        Self::new(id, choosing, before, Arc::new(roster), states, slots)
    }

    fn without_records(id: u32, memory: &Arc<Self>, slots: &Slots) -> Arc<Self> {
        if memory.states.is_empty() {
            return Arc::clone(memory);
        }
        let choosing = Arc::clone(&memory.choosing);
        Arc::new(Self::new(id, choosing, Some(memory), Arc::default(), Vec::new(), slots))
    }

    fn new(
        id: u32,
        choosing: Arc<Choosing>,
        before: Option<&Self>,
        roster: Arc<Roster>,
        states: Vec<RecordState>,
        slots: &Slots,
    ) -> Self {
        let has_last_resort = choosing.use_default && roster.members.len() > 1;
        let last_at = has_last_resort.then(|| roster.members.len() - 1);
        let (mut active, mut active_members) = (Vec::new(), Vec::new());
        let mut inactive_members = Vec::new();
        let mut candidates = Vec::with_capacity(roster.members.len());
        let mut last_resort = None;
        for (at, (member, state)) in roster.members.iter().zip(&states).enumerate() {
            let reached = member.reached.iter().copied();
            let inactive =
                reached.clone().filter(|(address, _)| state.flags(address.socket).is_inactive());
            inactive_members.extend(inactive.map(|(_, slot)| slot));
            let chosen_from: Vec<_> = reached
                .filter(|(address, _)| state.flags(address.socket).is_selectable())
                .collect();
            // Includes those with a higher priority number: they may serve calls in progress.
            active_members.extend(chosen_from.iter().map(|(_, slot)| *slot));
            let place = (!chosen_from.is_empty()).then(|| place(&chosen_from, state));
            if Some(at) == last_at {
                last_resort = place;
                continue;
            }
            if place.is_some() {
                active.push(at);
            }
            candidates.push(Candidate { standing: member.standing, place });
        }
        active_members.sort_unstable();
        active_members.dedup();
        inactive_members.sort_unstable();

        let turns = before.map(|before| Arc::clone(&before.turns)).unwrap_or_default();
        let (invite, other) = rounds(&turns, before, &roster, &active);
        let offsets = (invite.offset, other.offset);
        let even_shares = (choosing.load_factor() > 0).then(|| {
            let weigh = |candidate: &Candidate| match choosing.algorithm {
                Algorithm::Consistent => candidate.standing.weight_or_least(),
                _ => 1,
            };
            let records = candidates.iter().filter_map(|of| Some((of.place.as_ref()?, weigh(of))));
            EvenShares::new(choosing.load_factor(), records)
        });
        let late_ms = |slot| slots.load(slot).map_or(0, Load::late_ms);
        let chooser = Chooser::new(&choosing, candidates, Arc::clone(&turns), offsets, late_ms);
        let set = Arc::new(Set {
            id,
            chooser,
            last_resort,
            key: Key::of(&choosing).map(Arc::new),
            slow_start_ms: choosing.slow_start_ms,
            even_shares,
            has_limits: roster.members.iter().any(|member| member.standing.limits.is_any()),
            counts_calls: choosing.counts_calls()
                || roster.members.iter().any(|member| member.standing.limits.calls_max > 0),
            load: before.map(|before| Arc::clone(&before.set.load)).unwrap_or_default(),
            active_members: active_members.into(),
            inactive_members: inactive_members.into(),
        });
        Self { choosing, roster, states, turns, active, invite, other, set }
    }

    /// Continues the round after the turns that were taken while this was built; `None` if there
    /// were none.
    fn after_turns(&self, before: &Self) -> Option<Self> {
        let is_up_to_date = |is_invite, round: &Round| self.turns.taken(is_invite) == round.turn;
        if is_up_to_date(true, &self.invite) && is_up_to_date(false, &self.other) {
            return None;
        }
        let (invite, other) = rounds(&self.turns, Some(before), &self.roster, &self.active);
        let chooser = self.set.chooser.with_offsets(invite.offset, other.offset);
        Some(Self {
            choosing: Arc::clone(&self.choosing),
            roster: Arc::clone(&self.roster),
            states: self.states.clone(),
            turns: Arc::clone(&self.turns),
            active: self.active.clone(),
            invite,
            other,
            set: Arc::new(Set { chooser, ..Set::clone(&self.set) }),
        })
    }
}

/// Returns the rounds of INVITE and of the other methods for these records, continued from `before`.
fn rounds(
    turns: &Turns,
    before: Option<&SetMemory>,
    roster: &Roster,
    active: &[usize],
) -> (Round, Round) {
    let go_on = |is_invite| {
        let before = before.map(|memory| {
            let round = if is_invite { &memory.invite } else { &memory.other };
            (round, &*memory.roster, &*memory.active)
        });
        Round::go_on(turns.taken(is_invite), before, roster, active)
    };
    (go_on(true), go_on(false))
}

impl Roster {
    pub(super) fn index_of(&self, identity: &RecordIdentity) -> Option<usize> {
        self.index_of.get(identity).copied()
    }
}

/// Returns what a record says about its share. `known` has the identities of the records before it:
/// two with the same URI are still two.
fn standing(resolved: &Resolved, known: &mut HashSet<u64>) -> Standing {
    let attributes = &resolved.record.attributes;
    let mut identity = identity(&resolved.record.uri.text, attributes.duid.as_deref());
    while !known.insert(identity) {
        identity = identity.wrapping_add(1);
    }
    Standing {
        priority: resolved.record.priority,
        weight: attributes.weight,
        relative_weight: attributes.rweight,
        limits: attributes.limits(),
        identity,
    }
}

fn place(chosen_from: &[(Address, Slot)], state: &RecordState) -> Place {
    if let [(_, slot)] = chosen_from {
        return Place::One(*slot);
    }
    match &*wheel(chosen_from) {
        [slot] => Place::One(*slot),
        wheel => Place::Several { wheel: wheel.into(), turns: Arc::clone(&state.turns) },
    }
}
