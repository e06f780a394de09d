//! Prepares the table of an algorithm for the records of a set.

use std::sync::Arc;

use super::by_hash::{OwnOrAny, next_of_each};
use super::consistent::{self, Owner};
use super::ranking::Ranking;
use super::{Chooser, Draw, Table, Tier, Turn, slots, weighted};
use crate::destination::{Algorithm, Choosing, Limits, Place, Slot, Turns};

/// What a record says about its own share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Its priority.
    pub(crate) priority: i32,
    /// Its attribute `weight`.
    pub(crate) weight: Option<u8>,
    /// Its attribute `rweight`.
    pub(crate) relative_weight: Option<u8>,
    /// Its limits.
    pub(crate) limits: Limits,
    /// What [`Algorithm::Consistent`] recognises it by.
    pub(crate) identity: u64,
}

impl Standing {
    /// Returns its weight. A record without the attribute has the least, so it is not left out.
    pub(crate) fn weight_or_least(&self) -> u32 {
        u32::from(self.weight.unwrap_or(1))
    }
}

/// A record of a set.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) standing: Standing,
    /// Its addresses; `None` if none can be chosen.
    pub(crate) place: Option<Place>,
}

impl Chooser {
    /// Prepares the table for these records, which are in the order of the set. `turns` and the
    /// offsets say where its rounds are. `late_ms` returns [`Load::late_ms`](super::super::Load::late_ms)
    /// of a destination.
    pub(crate) fn new(
        choosing: &Choosing,
        candidates: Vec<Candidate>,
        turns: Arc<Turns>,
        (invite_offset, other_offset): (u64, u64),
        late_ms: impl Fn(Slot) -> u64,
    ) -> Self {
        let standings: Vec<_> = candidates.iter().map(|candidate| candidate.standing).collect();
        let mut next = 0..;
        let at: Vec<Option<u16>> = candidates
            .iter()
            .map(|candidate| candidate.place.as_ref().and_then(|_| next.next()))
            .collect();
        let active = || standings.iter().zip(&at).filter_map(|(standing, at)| at.map(|_| standing));
        let is_kamailio = choosing.is_kamailio;
        let turn = Turn { turns, invite_offset, other_offset };
        let walk = Turn { invite_offset: 0, other_offset: 0, ..turn.clone() };
        let (draw, table) = match choosing.algorithm {
            Algorithm::RoundRobin | Algorithm::OverloadControl => (Draw::Turn(turn), Table::Even),
            Algorithm::RoundRobinOrFirst if is_of_one_priority(&standings) => {
                (Draw::Turn(turn), Table::Even)
            }
            Algorithm::First | Algorithm::RoundRobinOrFirst => (Draw::First, Table::Even),
            Algorithm::Random if is_kamailio => {
                (Draw::Entropy, Table::Steps(next_of_each(&at).into()))
            }
            Algorithm::Random => (Draw::Entropy, Table::Even),
            Algorithm::CallLoad => (Draw::Least, Table::Even),
            Algorithm::LeastCalls => (Draw::LessOfTwo, Table::Even),
            Algorithm::Fastest => (Draw::FasterOfTwo, Table::Even),
            Algorithm::Latency => {
                let priorities = active().map(|of| of.priority).collect();
                let places: Arc<[Place]> =
                    candidates.into_iter().filter_map(|candidate| candidate.place).collect();
                let stays = choosing.stays_in_tier();
                let ranking = Arc::new(Ranking::new(priorities, &places, stays, late_ms));
                let (draw, table) = (Draw::Turn(walk), Table::Ranking(ranking));
                return Self { places, draw, table, spill: Arc::default() };
            }
            Algorithm::CallIdHash
            | Algorithm::FromHash
            | Algorithm::ToHash
            | Algorithm::RequestUriHash
            | Algorithm::KeyHash => (Draw::Key, of_hash(is_kamailio, &at)),
            Algorithm::AuthHash => (Draw::KeyOrTurn(turn), of_hash(is_kamailio, &at)),
            Algorithm::Weight if is_kamailio => {
                let weights: Vec<_> =
                    standings.iter().map(|of| u32::from(of.weight.unwrap_or(0))).collect();
                (Draw::Turn(walk), of_slots(&slots::by_weight(&weights), &at))
            }
            Algorithm::RelativeWeight if is_kamailio => {
                let weight = |(of, at): (&Standing, &Option<u16>)| {
                    at.map_or(0, |_| u32::from(of.relative_weight.unwrap_or(0)))
                };
                let weights: Vec<_> = standings.iter().zip(&at).map(weight).collect();
                (Draw::Turn(walk), of_slots(&slots::by_relative_weight(&weights), &at))
            }
            Algorithm::RelativeWeight => {
                let weights: Vec<_> =
                    active().map(|of| u32::from(of.relative_weight.unwrap_or(1))).collect();
                (Draw::Turn(walk), weighted::table(&weights))
            }
            Algorithm::Weight | Algorithm::Weighted => {
                let weights: Vec<_> = active().map(Standing::weight_or_least).collect();
                by_turn(turn, walk, weighted::table(&weights))
            }
            Algorithm::PriorityWeight => {
                let mut tiers = tiers(candidates).into_iter();
                let Tier { places, table } = tiers.next().unwrap_or_else(|| tier(Vec::new()));
                let spill = if choosing.stays_in_tier() { Arc::default() } else { tiers.collect() };
                return Self { places: places.into(), draw: Draw::Turn(walk), table, spill };
            }
            Algorithm::Consistent => {
                let owners: Vec<_> = active()
                    .map(|of| Owner { identity: of.identity, weight: of.weight_or_least() })
                    .collect();
                let table = match owners.len() {
                    0 | 1 => Table::Even,
                    _ => Table::Buckets(consistent::buckets(&owners, standings.len()).into()),
                };
                (Draw::Key, table)
            }
        };
        let first = candidates.iter().find(|candidate| candidate.place.is_some());
        let tier = first.filter(|_| choosing.stays_in_tier() && matches!(draw, Draw::First));
        let tier = tier.map(|first| first.standing.priority);
        let is_in_tier = |of: &Candidate| tier.is_none_or(|tier| of.standing.priority == tier);
        let candidates = candidates.into_iter().filter(is_in_tier);
        let places = candidates.filter_map(|candidate| candidate.place).collect();
        Self { places, draw, table, spill: Arc::default() }
    }

    /// Returns the chooser of round robin over these places.
    #[cfg(all(test, loom))]
    pub(crate) fn round_robin(places: Arc<[Place]>, turns: Arc<Turns>) -> Self {
        let turn = Turn { turns, invite_offset: 0, other_offset: 0 };
        Self { places, draw: Draw::Turn(turn), table: Table::Even, spill: Arc::default() }
    }
}

/// Records with the same weight take turns as in round robin, so their round goes on over reloads.
fn by_turn(turn: Turn, walk: Turn, table: Table) -> (Draw, Table) {
    (Draw::Turn(if matches!(table, Table::Even) { turn } else { walk }), table)
}

/// Returns the records that can be chosen by their priorities, the lowest number first.
fn tiers(candidates: Vec<Candidate>) -> Vec<Tier> {
    let mut active: Vec<_> = candidates.into_iter().filter(|of| of.place.is_some()).collect();
    active.sort_by_key(|of| of.standing.priority);
    let mut tiers = Vec::new();
    while let Some(priority) = active.first().map(|of| of.standing.priority) {
        let others = active.partition_point(|of| of.standing.priority == priority);
        let lower = active.split_off(others);
        tiers.push(tier(std::mem::replace(&mut active, lower)));
    }
    tiers
}

fn tier(candidates: Vec<Candidate>) -> Tier {
    let weights: Vec<_> = candidates.iter().map(|of| of.standing.weight_or_least()).collect();
    let places = candidates.into_iter().filter_map(|candidate| candidate.place).collect();
    Tier { places, table: weighted::table(&weights) }
}

fn is_of_one_priority(standings: &[Standing]) -> bool {
    let first = standings.first().map_or(0, |standing| standing.priority);
    first > 0 && standings.iter().all(|standing| standing.priority == first)
}

fn of_hash(is_kamailio: bool, at: &[Option<u16>]) -> Table {
    if is_kamailio {
        Table::Steps(next_of_each(at).into())
    } else {
        Table::OwnOrAny(OwnOrAny::new(at))
    }
}

/// Returns the steps of slots that name records: the next one if theirs cannot be chosen.
fn of_slots(slots: &[usize], at: &[Option<u16>]) -> Table {
    let next = next_of_each(at);
    Table::Steps(slots.iter().filter_map(|slot| next.get(*slot).copied()).collect())
}
