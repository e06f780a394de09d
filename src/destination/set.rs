//! A set, and how a destination is chosen from it.

use std::cell::Cell;
use std::sync::Arc;

use super::choose::{Ask, Choice, Chooser, Compares};
use super::key::Key;
use super::load::{Limits, Load, WHOLE_SHARE};
use super::turns::{Place, look, take};
use super::{EvenShares, Slot};
use crate::clock::Now;
use crate::limits::LIMIT_LOOKS_MAX;
use crate::sync::AtomicU64;

/// A destination set, ready to choose from.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its number.
    pub id: u32,
    pub(crate) chooser: Chooser,
    /// The record that is used only if no other can be.
    pub(crate) last_resort: Option<Place>,
    /// What the algorithm hashes.
    pub(crate) key: Option<Arc<Key>>,
    /// The slots of the active records, sorted.
    pub(crate) active_members: Arc<[Slot]>,
    /// The slots of the inactive ones, sorted; not those that an operator has disabled.
    pub(crate) inactive_members: Arc<[Slot]>,
    /// Its calls in progress are counted: a destination has a limit of them, or the algorithm goes by
    /// them.
    pub(crate) counts_calls: bool,
    /// A destination has limits.
    pub(crate) has_limits: bool,
    /// How long the share of a destination that came back grows, in milliseconds.
    pub(crate) slow_start_ms: u32,
    /// How many of them a destination holds before a hash passes it over.
    pub(crate) even_shares: Option<EvenShares>,
    /// How busy it is. Kept across reloads.
    pub(crate) load: Arc<Load>,
}

/// The result of a choice among those that fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Picked {
    /// This destination.
    To(Slot),
    /// None fits of those that can be chosen.
    NoneFits,
    /// No destination can be chosen.
    Nothing,
}

/// Whether a destination takes a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fit {
    /// It does.
    Takes,
    /// It has no room.
    Full,
    /// It would have room, but asks for less: the request is redirected to another one, which gets it
    /// besides its own turns.
    Redirects,
}

impl Set {
    /// Returns the next destination; `None` if none is active.
    ///
    /// Each call may take a turn, so call it only for requests seen for the first time.
    pub fn choose(&self, ask: &Ask) -> Option<Slot> {
        self.pick(ask, take)
    }

    /// Returns what [`Set::choose`] would return now, and takes no turn.
    pub fn peek(&self, ask: &Ask) -> Option<Slot> {
        self.pick(ask, look)
    }

    fn pick(&self, ask: &Ask, turn: impl Fn(&AtomicU64) -> u64 + Copy) -> Option<Slot> {
        match self.chooser.pick(ask, turn) {
            Choice::To(slot) => Some(slot),
            Choice::NoneActive => self.last_resort.as_ref()?.slot(ask.key, turn),
            Choice::NoKey => None,
        }
    }

    /// Returns the next destination that `fits` and is not passed over; if all are passed over, one that
    /// `fits`. Takes turns like [`Set::choose`]. `load` returns what
    /// [`Set::compared`] says of a destination.
    pub fn choose_fitting(
        &self,
        ask: &Ask,
        load: impl Fn(Slot) -> Option<u64>,
        passes_over: impl Fn(Slot) -> bool,
        fits: impl FnMut(Slot) -> Fit,
    ) -> Picked {
        self.pick_fitting(ask, |turns, _| take(turns), load, passes_over, fits)
    }

    /// Returns what [`Set::choose_fitting`] would return now, and takes no turn.
    pub fn peek_fitting(
        &self,
        ask: &Ask,
        load: impl Fn(Slot) -> Option<u64>,
        passes_over: impl Fn(Slot) -> bool,
        fits: impl FnMut(Slot) -> Fit,
    ) -> Picked {
        self.pick_fitting(
            ask,
            |turns, drawn| look(turns).wrapping_add(drawn),
            load,
            passes_over,
            fits,
        )
    }

    fn pick_fitting(
        &self,
        ask: &Ask,
        turn: impl Fn(&AtomicU64, u64) -> u64 + Copy,
        load: impl Fn(Slot) -> Option<u64>,
        passes_over: impl Fn(Slot) -> bool,
        mut fits: impl FnMut(Slot) -> Fit,
    ) -> Picked {
        let is_redirected = Cell::new(false);
        let mut fits = |slot| match fits(slot) {
            Fit::Takes => true,
            Fit::Full => false,
            Fit::Redirects => {
                is_redirected.set(true);
                false
            }
        };
        // Where one redirects a request to is unpredictable, and by the weights: if the turns of the
        // others were taken for it, they would not get more than before, and the one that asks for less
        // a larger part of what is left.
        let turn = |turns: &AtomicU64, drawn: u64| {
            if is_redirected.get() { ask.again(drawn).entropy } else { turn(turns, drawn) }
        };
        let by_load = self.chooser.pick_by_load(ask, load);
        let Some(first) = by_load.or_else(|| self.pick(ask, |turns| turn(turns, 0))) else {
            return Picked::Nothing;
        };
        let mut passed_over = None;
        let mut takes = |slot| {
            if passes_over(slot) {
                passed_over.get_or_insert(slot);
                return false;
            }
            fits(slot)
        };
        if takes(first) {
            return Picked::To(first);
        }
        if let Some(slot) = self.chooser.pick_another(ask, turn, &mut takes) {
            return Picked::To(slot);
        }
        // One that should have fewer requests is better than the last resort, and than none.
        if let Some(slot) = passed_over
            && let Some(slot) =
                Some(slot).filter(|slot| fits(*slot)).or_else(|| self.chooser.any(&mut fits))
        {
            return Picked::To(slot);
        }
        let last_resort = self.last_resort.as_ref().map(Place::addresses).unwrap_or_default();
        let mut slots = last_resort.iter().take(LIMIT_LOOKS_MAX);
        slots.find(|slot| fits(**slot)).map_or(Picked::NoneFits, |slot| Picked::To(*slot))
    }

    /// Returns whether each destination takes every request that it is chosen for: none has limits, and
    /// the algorithm neither compares destinations nor passes any over.
    pub fn takes_all(&self) -> bool {
        !self.has_limits && !self.passes_over_any() && self.chooser.compares() == Compares::Nothing
    }

    /// Returns whether some of its destinations may be passed over.
    pub fn passes_over_any(&self) -> bool {
        self.slow_start_ms > 0 || self.even_shares.is_some()
    }

    /// Returns whether a destination that came back leaves this request to others. Of the requests that
    /// would get it, it takes as large a part as its share has grown to.
    pub fn is_starting(&self, ask: &Ask, slot: Slot, load: &Load, now: Now) -> bool {
        let share = load.share(now, self.slow_start_ms);
        // A key comes back once, and then stays.
        let number = if self.chooser.draws_key(ask) { ask.key } else { None };
        share < WHOLE_SHARE && spread(number.unwrap_or(ask.entropy), slot) >= share
    }

    /// Returns for how long the share of a destination that came back grows, in milliseconds.
    pub fn slow_start_ms(&self) -> u32 {
        self.slow_start_ms
    }

    /// Returns whether the algorithm passes over this destination for a new call, because it holds more
    /// calls than its share. `calls_of_set` counts the new call, too.
    pub fn is_over_share(&self, slot: Slot, load: &Load, calls_of_set: u64) -> bool {
        let shares = self.even_shares.as_ref();
        shares.is_some_and(|shares| shares.is_over(slot, load.calls(), calls_of_set))
    }

    /// Returns the number by which the algorithm compares a destination with another one, 0 if it does
    /// not compare; `None` if a call would be over these limits of calls in progress.
    pub fn compared(&self, load: &Load, limits: Limits, is_call: bool) -> Option<u64> {
        let calls = if is_call { load.calls_below(limits)? } else { 0 };
        Some(match self.chooser.compares() {
            Compares::Nothing => 0,
            Compares::Calls => calls,
            Compares::AnswerTime => load.answer_us(),
        })
    }

    /// Returns whether [`Set::compared`] is a time.
    pub fn compares_time(&self) -> bool {
        self.chooser.compares() == Compares::AnswerTime
    }

    /// Brings the order of its destinations by their latency up to date, if it has one. `late_ms`
    /// returns [`Load::late_ms`] of a destination. Only one thread at a time may do so.
    pub(crate) fn rank(&self, late_ms: impl Fn(Slot) -> u64) {
        self.chooser.rank(late_ms);
    }

    /// Returns the destination that the key of a request alone decides; `None` if the algorithm
    /// decides by something else. Takes no turn.
    pub fn by_key(&self, ask: &Ask) -> Option<Slot> {
        self.chooser.draws_key(ask).then(|| self.peek(ask))?
    }

    /// Returns whether its calls in progress are counted because of a destination or the algorithm.
    pub fn counts_calls(&self) -> bool {
        self.counts_calls
    }

    /// Returns how busy it is.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Returns the key whose hash a choice needs: see [`Ask::key`].
    pub fn key(&self) -> Option<&Key> {
        self.key.as_deref()
    }

    /// Returns whether it has an active destination.
    pub fn has_active(&self) -> bool {
        !self.active_members.is_empty()
    }

    /// Returns whether this destination can be chosen.
    pub fn is_active(&self, slot: Slot) -> bool {
        self.active_members.binary_search(&slot).is_ok()
    }

    /// Returns whether this destination is inactive, and is not chosen as a last resort either.
    pub fn is_lost(&self, slot: Slot) -> bool {
        self.inactive_members.binary_search(&slot).is_ok() && !self.is_active(slot)
    }

    /// Returns the destinations that can be chosen, each once, in the order in which they come next;
    /// the last resort at the end. Takes no turn.
    pub(crate) fn round(&self, ask: &Ask) -> Vec<Slot> {
        let mut round = self.chooser.round(ask, look);
        if let Some(place) = &self.last_resort {
            round.extend(place.slots(ask.key, look));
        }
        round
    }
}

/// Returns a number below [`WHOLE_SHARE`] that does not depend on what the destination was chosen by.
fn spread(number: u64, slot: Slot) -> u64 {
    // Any odd numbers with well-mixed bits work; the first is the golden ratio's fraction.
    let number = (number ^ u64::from(slot.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((number ^ (number >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)) >> 32
}
