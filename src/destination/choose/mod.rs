//! How a destination is chosen: a number is drawn, and a prepared table says whose it is.
//!
//! | Algorithm | The number is | The table |
//! |---|---|---|
//! | round robin | the turn | each record in its order |
//! | weights | the turn | [`weighted`], or Kamailio's 100 [`slots`] |
//! | random | unpredictable | each record in its order |
//! | hashes | the hash of the key | [`by_hash`] |
//! | consistent | the hash of the key | [`consistent`] |
//! | first | always 0 | each record in its order |
//! | call load, least calls, fastest | see [`by_load`]; without the load, unpredictable | each record in its order |
//! | latency | the turn | the best of a [`ranking`] |
//!
//! Everything is prepared when the set changes. A choice is one step, or two, in a set of any size; call load
//! looks at [`LIMIT_LOOKS_MAX`] destinations at most, and so does a choice that comes to one at its limit.

mod build;
mod by_hash;
mod by_load;
mod consistent;
mod ranking;
mod slots;
#[cfg(test)]
mod tests;
mod weighted;

use std::collections::HashSet;
use std::sync::Arc;

use by_hash::OwnOrAny;
use ranking::Ranking;
use weighted::Shares;

pub(crate) use build::{Candidate, Standing};

use super::{Place, Slot, Turns};
use crate::limits::{LIMIT_DRAWS_MAX, LIMIT_LOOKS_MAX};
use crate::sync::AtomicU64;

/// What a choice may depend on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ask {
    /// The request is an INVITE.
    pub is_invite: bool,
    /// A number that is the same for every copy of the request, and that nobody can predict.
    pub entropy: u64,
    /// The hash of the key, if the set asks for one and the request has it: see
    /// [`Set::key`](super::Set::key).
    pub key: Option<u64>,
}

impl Ask {
    /// Returns what to ask after this many choices that cannot be used. Copies of a request ask the
    /// same.
    pub(super) fn again(&self, times: u64) -> Self {
        // Any odd number with well-mixed bits works; this is the golden ratio's fraction.
        let mix = times.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            entropy: self.entropy.wrapping_add(mix),
            key: self.key.map(|key| key.wrapping_add(mix)),
            ..*self
        }
    }
}

/// A set's algorithm, ready to choose.
#[derive(Clone, Debug)]
pub(crate) struct Chooser {
    /// The records that can be chosen.
    places: Arc<[Place]>,
    draw: Draw,
    table: Table,
    /// Where calls go that find all of these at their limits, one after the other.
    spill: Arc<[Tier]>,
}

/// The records of a lower priority.
#[derive(Debug)]
struct Tier {
    places: Box<[Place]>,
    table: Table,
}

/// Where the number comes from.
#[derive(Clone, Debug)]
enum Draw {
    /// The next turn.
    Turn(Turn),
    /// The branch of the request.
    Entropy,
    /// The hash of the key.
    Key,
    /// The hash of the key, or the next turn of a round without one.
    KeyOrTurn(Turn),
    /// Always 0.
    First,
    /// The fewest calls in progress.
    Least,
    /// Two at random, then the one with fewer calls in progress.
    LessOfTwo,
    /// Two at random, then the one that answers faster.
    FasterOfTwo,
}

/// The turns that a set takes.
#[derive(Clone, Debug)]
struct Turn {
    turns: Arc<Turns>,
    /// The number of the turn that the first record has, for INVITE and for other methods.
    invite_offset: u64,
    other_offset: u64,
}

/// Whose a number is.
#[derive(Clone, Debug)]
enum Table {
    /// One record after the other.
    Even,
    /// The records that stand here, one after the other.
    Steps(Arc<[u16]>),
    /// The records whose buckets these are; the first bits of the number are the bucket.
    Buckets(Arc<[u16]>),
    /// A record's own share, or an even share of one that cannot be chosen.
    OwnOrAny(OwnOrAny),
    /// Shares of any size.
    Shares(Shares),
    /// Those with the highest priority that is left, one after the other.
    Ranking(Arc<Ranking>),
}

/// By what two destinations are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Compares {
    /// By nothing.
    Nothing,
    /// By their calls in progress, for a new call.
    Calls,
    /// By how long they take to answer.
    AnswerTime,
}

/// The result of a choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// This destination.
    To(Slot),
    /// No destination can be chosen.
    NoneActive,
    /// The request does not have the key.
    NoKey,
}

impl Chooser {
    /// Returns the choice. `turn` takes the next number of a counter, or only looks at it.
    pub(crate) fn pick(&self, ask: &Ask, turn: impl Fn(&AtomicU64) -> u64 + Copy) -> Choice {
        if self.places.is_empty() {
            return Choice::NoneActive;
        }
        let Some(at) = self.at(ask, turn) else { return Choice::NoKey };
        let address = self.draws_key(ask).then_some(ask.key).flatten();
        self.places[at].slot(address, turn).map_or(Choice::NoneActive, Choice::To)
    }

    /// Returns whether the choice for this request depends on its key alone.
    pub(crate) fn draws_key(&self, ask: &Ask) -> bool {
        ask.key.is_some() && matches!(self.draw, Draw::Key | Draw::KeyOrTurn(_))
    }

    /// Returns a destination that `fits`, after the first choice did not: the algorithm chooses some
    /// more times, then one address after the other is looked at. `turn` gets the number of turns that
    /// were drawn before, which matters to one who only looks.
    #[cold]
    pub(crate) fn pick_another(
        &self,
        ask: &Ask,
        turn: impl Fn(&AtomicU64, u64) -> u64 + Copy,
        mut fits: impl FnMut(Slot) -> bool,
    ) -> Option<Slot> {
        let count = self.places.len();
        let draws = if matches!(self.draw, Draw::First) { 1 } else { LIMIT_DRAWS_MAX.min(count) };
        let mut last = 0;
        for drawn in 1..draws as u64 {
            let again = ask.again(drawn);
            let at = self.at(&again, |turns| turn(turns, drawn));
            let Some(place) = at.and_then(|at| self.places.get(at)) else { break };
            last = at.unwrap_or(0);
            let address = self.draws_key(&again).then_some(again.key).flatten();
            let slot = place.slot(address, |turns| turn(turns, 0));
            if let Some(slot) = slot.filter(|slot| fits(*slot)) {
                return Some(slot);
            }
        }
        if let Table::Ranking(ranking) = &self.table {
            let after = ranking.from(0).map(|at| &self.places[at]);
            let mut slots = after.flat_map(Place::addresses).take(LIMIT_LOOKS_MAX);
            return slots.find(|slot| fits(**slot)).copied();
        }
        let after = (1..=count).map(|step| &self.places[(last + step) % count]);
        // No turn is taken from a lower tier. Where it is entered is unpredictable, and by its weights.
        let lower = self.spill.iter().flat_map(|tier| {
            let first = tier.table.at(ask.entropy, tier.places.len()).unwrap_or(0);
            let (before, after) = tier.places.split_at(first.min(tier.places.len()));
            after.iter().chain(before)
        });
        let mut slots = after.chain(lower).flat_map(Place::addresses).take(LIMIT_LOOKS_MAX);
        slots.find(|slot| fits(**slot)).copied()
    }

    /// Returns a destination that `fits`, whatever the algorithm says.
    #[cold]
    pub(crate) fn any(&self, mut fits: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let lower = self.spill.iter().flat_map(|tier| &tier.places);
        let places = self.places.iter().chain(lower);
        let mut slots = places.flat_map(Place::addresses).take(LIMIT_LOOKS_MAX);
        slots.find(|slot| fits(**slot)).copied()
    }

    /// Returns the destinations that can be chosen, each once, in the order in which they come next.
    pub(crate) fn round(&self, ask: &Ask, look: impl Fn(&AtomicU64) -> u64 + Copy) -> Vec<Slot> {
        let first = self.at(ask, look).unwrap_or(0);
        let after = (0..self.places.len()).map(|step| (first + step) % self.places.len());
        let mut order: Vec<_> = match (&self.table, &self.draw) {
            (Table::Steps(steps), Draw::Turn(turn)) => {
                let number = turn.number(ask.is_invite, look);
                let next = (number % steps.len().max(1) as u64) as usize;
                let steps = steps[next..].iter().chain(&steps[..next]);
                steps.map(|at| usize::from(*at)).collect()
            }
            (Table::Ranking(ranking), Draw::Turn(turn)) => {
                ranking.from(turn.number(ask.is_invite, look)).collect()
            }
            _ => Vec::new(),
        };
        order.extend(after);
        let mut seen = HashSet::new();
        let mut listed = vec![false; self.places.len()];
        order.retain(|at| !std::mem::replace(&mut listed[*at], true));
        let address = self.draws_key(ask).then_some(ask.key).flatten();
        let places = order.into_iter().map(|at| &self.places[at]);
        places
            .chain(self.spill.iter().flat_map(|tier| &tier.places))
            .flat_map(|place| place.slots(address, look))
            .filter(|slot| seen.insert(*slot))
            .collect()
    }

    /// Returns the position of the record that is chosen; `None` if there is none or the key is
    /// missing.
    fn at(&self, ask: &Ask, turn: impl Fn(&AtomicU64) -> u64) -> Option<usize> {
        let count = self.places.len();
        let number = match &self.draw {
            Draw::Turn(of) => of.number(ask.is_invite, turn),
            // Without the calls in progress.
            Draw::Entropy | Draw::Least | Draw::LessOfTwo | Draw::FasterOfTwo => ask.entropy,
            Draw::Key => ask.key?,
            Draw::KeyOrTurn(of) => match ask.key {
                Some(key) => key,
                None => {
                    return (of.number(ask.is_invite, turn))
                        .checked_rem(count as u64)
                        .map(|at| at as usize);
                }
            },
            Draw::First => 0,
        };
        self.table.at(number, count)
    }

    /// Brings the order by latency up to date, if there is one.
    pub(crate) fn rank(&self, late_ms: impl Fn(Slot) -> u64) {
        if let Table::Ranking(ranking) = &self.table {
            ranking.update(&self.places, late_ms);
        }
    }

    /// Returns by what it compares two destinations.
    pub(crate) fn compares(&self) -> Compares {
        match self.draw {
            Draw::Least | Draw::LessOfTwo => Compares::Calls,
            Draw::FasterOfTwo => Compares::AnswerTime,
            _ => Compares::Nothing,
        }
    }

    /// Returns the same with its rounds at these turns.
    pub(crate) fn with_offsets(&self, invite_offset: u64, other_offset: u64) -> Self {
        let mut next = self.clone();
        // Where a round goes on matters only to one that gives each record the same share.
        let is_even = matches!(next.table, Table::Even);
        match &mut next.draw {
            Draw::Turn(turn) if is_even => {
                (turn.invite_offset, turn.other_offset) = (invite_offset, other_offset);
            }
            Draw::KeyOrTurn(turn) => {
                (turn.invite_offset, turn.other_offset) = (invite_offset, other_offset);
            }
            _ => {}
        }
        next
    }
}

impl Table {
    /// Returns the position of the record whose number this is, of so many.
    fn at(&self, number: u64, count: usize) -> Option<usize> {
        match self {
            Self::Even => number.checked_rem(count as u64).map(|at| at as usize),
            Self::Steps(steps) => {
                let step = number.checked_rem(steps.len() as u64)?;
                Some(usize::from(steps[step as usize]))
            }
            Self::Buckets(buckets) => consistent::owner(buckets, number),
            Self::OwnOrAny(table) => table.at(number, count),
            Self::Shares(shares) => shares.at(number),
            Self::Ranking(ranking) => ranking.at(number),
        }
    }
}

impl Turn {
    fn number(&self, is_invite: bool, turn: impl Fn(&AtomicU64) -> u64) -> u64 {
        let offset = if is_invite { self.invite_offset } else { self.other_offset };
        turn(self.turns.of(is_invite)).wrapping_sub(offset)
    }
}
