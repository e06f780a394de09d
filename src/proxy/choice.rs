//! The only place where a destination is chosen: for a request seen for the first time.
//! A copy of such a request gets another destination, once, if the first one is lost before it has
//! answered. [`Core::choose`] takes a turn and pins the choice; [`Core::peek`] returns the same without
//! doing either. [`Core::record`] records in the pins what needs no choice.

use super::branch::Branch;
use super::decision::{Action, CallNote, Decision, Note, Progress, Request, Rule};
use super::hop::hop_to;
use super::source::SourceLimit;
use super::verdict::{Answer, Reason};
use super::{Arrival, Core, SetPolicy};
use crate::destination::{Ask, Asked, Fit, Limits, Load, Over, Picked, Set, Slot};
use crate::message::Method;
use crate::pin::{self, Claim, Kind, PinKey, State};
use crate::transaction::{Tried, WhenFull, count};

/// What the set has for a request.
enum Offer {
    To(Rule, Taken),
    Nothing(Answer),
}

/// Why a destination that can be chosen does not get a new request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PassedOver {
    /// It came back, and takes only a part of its share yet.
    SlowStart,
    /// It holds more than its share of the calls of the set (`load_factor`).
    OverShare,
    /// It is at a limit, or the source is.
    Limit(Over),
    /// It is overloaded, and asks for fewer new requests.
    Overload(Asked),
    /// The algorithm prefers another: this one has more calls in progress, or takes longer to answer, in
    /// microseconds.
    Load {
        /// What it has.
        own: u64,
        /// What the other one has.
        other: u64,
        /// The numbers are times.
        is_time: bool,
    },
}

/// What a choice used up of the limits of its destination and of its set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    slot: Slot,
    set: u32,
    counts: Counts,
}

/// What a request counts for.
#[derive(Clone, Copy, Debug)]
struct Counts {
    /// It is a new call.
    is_call: bool,
    /// It is a call in progress, and they are counted.
    is_in_progress: bool,
    /// It is an emergency call that passes a limit.
    passes: bool,
}

/// Whether a choice is made or only looked at.
trait Mode {
    /// Returns the destination that challenged this caller.
    fn challenge(at: &Arrival, key: PinKey, cseq_bits: u8) -> Option<Slot>;
    /// Returns the next destination.
    fn next(set: &Set, ask: &Ask) -> Option<Slot>;
    /// Returns a destination that fits.
    fn pick(
        at: &Arrival,
        set: &Set,
        ask: &Ask,
        passes_over: impl Fn(Slot) -> bool,
        fits: impl FnMut(Slot) -> Fit,
    ) -> Picked;
    /// Returns whether these limits allow one more call.
    fn count(at: &Arrival, load: &Load, limits: Limits, counts: Counts) -> Result<(), Over>;
    /// Counts one more call, whatever these limits say.
    fn count_anyway(at: &Arrival, load: &Load, limits: Limits, counts: Counts);
    /// Returns whether the limit of its source allows one more call to this destination.
    fn count_source(at: &Arrival, limit: SourceLimit, to: Slot) -> Result<(), Over>;
    /// Counts one more call to this destination, whatever the limit of its source says.
    fn count_source_anyway(at: &Arrival, limit: SourceLimit, to: Slot);
    /// Returns whether this request is kept from a destination that asks for less.
    fn is_kept_away(at: &Arrival, load: &Load, is_invite: bool) -> bool;
    /// Gives a call back that was counted for the limit of its source to this destination.
    fn give_source_back(at: &Arrival, limit: SourceLimit, to: Slot);
    /// Counts a call that found no room in the table of sources.
    fn count_full(at: &Arrival);
    /// Counts an emergency call at a limit.
    fn count_emergency(at: &Arrival, passes: bool);
    /// Gives back the pass of an emergency call.
    fn give_pass_back(at: &Arrival);
    /// Gives a counted call back.
    fn give_back(load: &Load, limits: Limits, counts: Counts);
}

struct Taking;

impl Mode for Taking {
    fn challenge(at: &Arrival, key: PinKey, cseq_bits: u8) -> Option<Slot> {
        at.shared.pins.take_challenge(at.now, key, cseq_bits)
    }

    fn next(set: &Set, ask: &Ask) -> Option<Slot> {
        set.choose(ask)
    }

    fn pick(
        at: &Arrival,
        set: &Set,
        ask: &Ask,
        passes_over: impl Fn(Slot) -> bool,
        fits: impl FnMut(Slot) -> Fit,
    ) -> Picked {
        set.choose_fitting(ask, |slot| compared(at, set, ask, slot), passes_over, fits)
    }

    fn count(at: &Arrival, load: &Load, limits: Limits, counts: Counts) -> Result<(), Over> {
        load.take(at.now, counts.of(limits), counts.is_in_progress)
    }

    fn count_anyway(at: &Arrival, load: &Load, limits: Limits, counts: Counts) {
        load.take_anyway(at.now, counts.of(limits), counts.is_in_progress);
    }

    fn count_source(at: &Arrival, limit: SourceLimit, to: Slot) -> Result<(), Over> {
        limit.take(at, to)
    }

    fn count_source_anyway(at: &Arrival, limit: SourceLimit, to: Slot) {
        limit.take_anyway(at, to);
    }

    fn is_kept_away(at: &Arrival, load: &Load, is_invite: bool) -> bool {
        load.overload().take(at.now, is_invite)
    }

    fn give_source_back(at: &Arrival, limit: SourceLimit, to: Slot) {
        limit.give_back(at, to);
    }

    fn count_full(at: &Arrival) {
        at.shared.source_rates.count_full();
    }

    fn count_emergency(at: &Arrival, passes: bool) {
        at.shared.emergencies.count(passes);
    }

    fn give_pass_back(at: &Arrival) {
        if let Some(limit) = SourceLimit::of_emergencies(at) {
            limit.give_back(at, pin::NO_SLOT);
        }
    }

    fn give_back(load: &Load, limits: Limits, counts: Counts) {
        load.give_back(counts.of(limits), counts.is_in_progress);
    }
}

struct Looking;

impl Mode for Looking {
    fn challenge(at: &Arrival, key: PinKey, cseq_bits: u8) -> Option<Slot> {
        at.shared.pins.find_challenge(at.now, key, cseq_bits)
    }

    fn next(set: &Set, ask: &Ask) -> Option<Slot> {
        set.peek(ask)
    }

    fn pick(
        at: &Arrival,
        set: &Set,
        ask: &Ask,
        passes_over: impl Fn(Slot) -> bool,
        fits: impl FnMut(Slot) -> Fit,
    ) -> Picked {
        set.peek_fitting(ask, |slot| compared(at, set, ask, slot), passes_over, fits)
    }

    fn count(at: &Arrival, load: &Load, limits: Limits, counts: Counts) -> Result<(), Over> {
        load.look(at.now, counts.of(limits), counts.is_in_progress)
    }

    fn count_anyway(_: &Arrival, _: &Load, _: Limits, _: Counts) {}

    fn count_source(at: &Arrival, limit: SourceLimit, to: Slot) -> Result<(), Over> {
        limit.look(at, to)
    }

    fn count_source_anyway(_: &Arrival, _: SourceLimit, _: Slot) {}

    fn is_kept_away(at: &Arrival, load: &Load, is_invite: bool) -> bool {
        load.overload().look(at.now, is_invite)
    }

    fn give_source_back(_: &Arrival, _: SourceLimit, _: Slot) {}

    fn count_full(_: &Arrival) {}

    fn count_emergency(_: &Arrival, _: bool) {}

    fn give_pass_back(_: &Arrival) {}

    fn give_back(_: &Load, _: Limits, _: Counts) {}
}

impl Counts {
    /// It counts for nothing.
    const NOTHING: Self = Self { is_call: false, is_in_progress: false, passes: false };

    /// Returns what a request counts for that found the set by this rule.
    fn of_request(is_invite: bool, rule: Rule, policy: &SetPolicy, set: &Set) -> Self {
        Self {
            is_call: is_invite && rule == Rule::Turn,
            is_in_progress: is_invite && (policy.limits.calls_max > 0 || set.counts_calls()),
            passes: false,
        }
    }

    /// Returns the limits that it counts for.
    fn of(self, limits: Limits) -> Limits {
        if self.is_call { limits } else { limits.without_rate() }
    }

    fn is_any(self) -> bool {
        self.is_call || self.is_in_progress
    }

    /// Returns the limit of its source, if it counts for one.
    fn source_limit(self, at: &Arrival, policy: &SetPolicy) -> Option<SourceLimit> {
        if self.is_call { SourceLimit::of(at, policy) } else { None }
    }
}

impl Taken {
    fn give_back(self, at: &Arrival) {
        let destinations = &at.snapshot.destinations;
        if let (Some(hop), Some(of)) = (destinations.hop(self.slot), destinations.get(self.slot)) {
            Taking::give_back(&of.load, hop.limits, self.counts);
        }
        let policy = at.snapshot.set_policy(self.set);
        if let Some(set) = destinations.set(self.set) {
            Taking::give_back(set.load(), policy.limits, self.counts);
        }
        if let Some(limit) = self.counts.source_limit(at, policy) {
            limit.give_back(at, self.slot);
        }
        if self.counts.passes {
            Taking::give_pass_back(at);
        }
    }
}

impl Core {
    /// Chooses a destination if that was decided, and pins the choice. Returns what has to be given
    /// back if the request does not leave.
    pub(super) fn choose(&self, at: &Arrival, decision: &mut Decision) -> Option<Taken> {
        match decision.action {
            Action::Choose(request) => self.choose_first(at, &request, decision),
            Action::ChooseAgain(request, lost) => self.choose_again(at, &request, lost, decision),
            _ => None,
        }
    }

    /// Returns what [`Core::choose`] would do with this request now.
    pub(super) fn peek(&self, at: &Arrival, decision: &mut Decision) {
        match decision.action {
            Action::Choose(request) => {
                let offer = self.look_at_offer(at, &request, decision.set);
                let request = self.as_try(at, &request, &offer);
                decision.action = self.accept(at, &request, &offer);
            }
            Action::ChooseAgain(request, lost) => {
                decision.set = set_again(at, lost, decision.set);
                let offer = self.look_at_offer(at, &request, decision.set);
                decision.action = self.accept_again(at, &request, &offer);
            }
            _ => {}
        }
    }

    fn choose_first(
        &self,
        at: &Arrival,
        request: &Request,
        decision: &mut Decision,
    ) -> Option<Taken> {
        let is_invite = self.message.method == Method::Invite;
        let kind = if is_invite { Kind::Invite } else { Kind::Request };
        let key = request.branch.pin_key();
        let claimed = match at.shared.pins.claim(at.now, key, kind, self.number) {
            Claim::Claimed(claimed) => claimed,
            // Another worker has just chosen for a copy.
            Claim::Found(pin) => {
                decision.action = self.repeat(at, request, pin);
                decision.note = Note::Transaction(key, None);
                return None;
            }
            Claim::Contended => {
                decision.action = Action::Drop(Reason::PinContended);
                return None;
            }
        };
        let offer = self.offer_first(at, request, decision.set);
        let request = &self.as_try(at, request, &offer);
        decision.action = self.accept(at, request, &offer);
        match offer {
            Offer::To(_, taken) => {
                claimed.commit(taken.slot, State::None);
                taken.counts.is_any().then_some(taken)
            }
            // An INVITE that we answer is pinned, too, so that copies get the same answer and its
            // ACK and CANCEL end here. For any other request the way is freed.
            Offer::Nothing(answer) => {
                if is_invite {
                    claimed.commit(answer.pinned(), State::Final);
                }
                None
            }
        }
    }

    /// Chooses a destination for a request that is new. A set that refuses what it has no room for as a
    /// transaction does not choose.
    fn offer_first(&self, at: &Arrival, request: &Request, set: u32) -> Offer {
        let stateful = at.snapshot.set_policy(set).stateful.as_deref();
        if stateful.is_some() && !self.has_room_for(self.place().len()) {
            count(&at.shared.transaction_counters.no_room, 1);
            if stateful.is_some_and(|failover| failover.when_full == WhenFull::Refuse) {
                return Offer::Nothing(Answer::Unavailable);
            }
        }
        self.offer_call(at, request, set, &Tried::NONE)
    }

    /// Chooses the next destination for a request that was tried at these. Returns `None` if there is no
    /// other, or none within its limits.
    pub(super) fn choose_next(
        &self,
        at: &Arrival,
        request: &Request,
        set: u32,
        tried: &Tried,
    ) -> Option<Slot> {
        match self.offer_call(at, request, set, tried) {
            Offer::To(_, taken) => Some(taken.slot),
            Offer::Nothing(_) => None,
        }
    }

    /// Returns the request as the first try of a transaction, if it gets one.
    fn as_try(&self, at: &Arrival, request: &Request, offer: &Offer) -> Request {
        let is_stateful = matches!(offer, Offer::To(_, taken)
            if at.snapshot.set_policy(taken.set).stateful.is_some());
        Request { is_try: is_stateful && self.has_room_for(self.place().len()), ..*request }
    }

    /// Takes a choice back: the request does not leave.
    pub(super) fn take_back(&self, at: &Arrival, taken: Taken) {
        if taken.counts.is_in_progress {
            self.refuse_call(at, taken.slot);
        }
        taken.give_back(at);
    }

    /// Chooses another destination instead of `lost`. If no other can be chosen, the request is
    /// answered, which is better than to wait for a server that is gone.
    ///
    /// Of two copies at two workers only one changes the pin; the other goes where that one went. The
    /// turn that it took is lost.
    fn choose_again(
        &self,
        at: &Arrival,
        request: &Request,
        lost: Slot,
        decision: &mut Decision,
    ) -> Option<Taken> {
        let pins = &at.shared.pins;
        let key = request.branch.pin_key();
        decision.set = set_again(at, lost, decision.set);
        let offer = self.offer_call(at, request, decision.set, &Tried::NONE);
        let (slot, state, taken) = match offer {
            Offer::To(_, taken) => (taken.slot, State::None, Some(taken)),
            Offer::Nothing(answer) => (answer.pinned(), State::Final, None),
        };
        if pins.retry(at.now, key, lost, slot, state) {
            if self.message.method == Method::Invite {
                self.end_call_at(at, lost);
            }
            decision.action = self.accept_again(at, request, &offer);
            return taken.filter(|taken| taken.counts.is_any());
        }
        if let Some(taken) = taken {
            self.take_back(at, taken);
        }
        decision.action = match pins.find(at.now, key, false) {
            Some(pin) => self.repeat(at, request, pin),
            None => Action::Drop(Reason::PinContended),
        };
        None
    }

    /// Takes an offer of the set, and begins the call if it counts those in progress.
    fn offer_call(&self, at: &Arrival, request: &Request, set: u32, tried: &Tried) -> Offer {
        let mut offer = self.offer::<Taking>(at, request, set, tried);
        if let Offer::To(_, taken) = &mut offer
            && taken.counts.is_in_progress
            && !self.begin_call(at, taken.slot)
        {
            if !taken.counts.passes && !self.passes_limits::<Taking>(at) {
                taken.give_back(at);
                return Offer::Nothing(Answer::OverCalls);
            }
            // It is sent, and not counted.
            at.snapshot.destinations.end_call(taken.slot);
            taken.counts = Counts { is_in_progress: false, passes: true, ..taken.counts };
        }
        offer
    }

    /// Returns what [`Core::offer_call`] would return now.
    fn look_at_offer(&self, at: &Arrival, request: &Request, set: u32) -> Offer {
        let offer = self.offer::<Looking>(at, request, set, &Tried::NONE);
        match offer {
            Offer::To(_, taken)
                if taken.counts.is_in_progress
                    && !self.may_begin_call(at)
                    && !taken.counts.passes
                    && !self.passes_limits::<Looking>(at) =>
            {
                Offer::Nothing(Answer::OverCalls)
            }
            offer => offer,
        }
    }

    /// A destination that challenged this caller before is the only one that knows the nonce, so a
    /// request with credentials goes there. It is no new call, but one in progress. Any other gets the
    /// next turn.
    ///
    /// None of those that were tried is chosen. A request that was tried before goes on while the relay
    /// drains.
    fn offer<M: Mode>(&self, at: &Arrival, request: &Request, set_id: u32, tried: &Tried) -> Offer {
        if at.snapshot.draining && tried.is_empty() {
            return Offer::Nothing(Answer::Unavailable);
        }
        let set = at.snapshot.destinations.set(set_id);
        if self.message.has_credentials && tried.is_empty() {
            let key = self.call_key(at, request.from_destination, false);
            let slot = M::challenge(at, key, self.message.cseq_number as u8);
            let is_known = |slot: &Slot| set.is_some_and(|set| set.is_active(*slot));
            if let Some((slot, set)) = slot.filter(is_known).zip(set) {
                let pick = |fits: &mut dyn FnMut(Slot) -> Fit| {
                    if fits(slot) == Fit::Takes { Picked::To(slot) } else { Picked::NoneFits }
                };
                return self.within_limits::<M>(at, set, Rule::Challenge, tried, pick);
            }
        }
        let Some(set) = set else { return Offer::Nothing(Answer::NoDestination) };
        let ask = self.ask(at, Some(request.branch), set);
        // Most sets have no limits: whoever is chosen takes the request.
        if set.takes_all() && !at.snapshot.set_policy(set_id).refuses_some() && tried.is_empty() {
            return M::next(set, &ask).map_or(Offer::Nothing(Answer::NoDestination), |slot| {
                let taken = Taken { slot, set: set_id, counts: Counts::NOTHING };
                Offer::To(Rule::Turn, taken)
            });
        }
        let calls_of_set = set.load().calls() + 1;
        let passes_over = |slot| passes_over(at, set, &ask, slot, calls_of_set);
        self.within_limits::<M>(at, set, Rule::Turn, tried, |fits| {
            if tried.is_empty() {
                M::pick(at, set, &ask, passes_over, fits)
            } else {
                // The one whose turn is next, without taking that turn: the new calls of the set go
                // round as they would.
                Looking::pick(at, set, &ask, passes_over, fits)
            }
        })
    }

    /// Returns what `pick` finds within the limits of the set and of each destination.
    #[inline]
    fn within_limits<M: Mode>(
        &self,
        at: &Arrival,
        set: &Set,
        rule: Rule,
        tried: &Tried,
        pick: impl FnOnce(&mut dyn FnMut(Slot) -> Fit) -> Picked,
    ) -> Offer {
        let policy = at.snapshot.set_policy(set.id);
        let limits = policy.limits;
        let is_invite = self.message.method == Method::Invite;
        let mut counts = Counts::of_request(is_invite, rule, policy, set);
        // A call that was tried before is a call of its set already. Its set counts it twice until it has
        // ended at the destination before.
        let is_first = tried.is_empty();
        counts.is_call &= is_first;
        if counts.is_any() && !is_first {
            M::count_anyway(at, set.load(), limits, counts);
        } else if counts.is_any()
            && let Err(over) = M::count(at, set.load(), limits, counts)
        {
            counts.passes = self.passes_limits::<M>(at);
            if !counts.passes {
                return Offer::Nothing(answer_over(over));
            }
            M::count_anyway(at, set.load(), limits, counts);
        }
        let source_limit = counts.source_limit(at, policy);
        // A request that answers a challenge has been let through before.
        let controls_overload = policy.controls_overload() && rule == Rule::Turn;
        let mut is_redirected = false;
        let mut refused = None;
        let mut picked = pick(&mut |slot| {
            if tried.contains(slot) {
                return Fit::Full;
            }
            let mut counted = count_at::<M>(at, slot, counts, source_limit);
            if controls_overload
                && counted.is_ok()
                && self.is_kept_away::<M>(at, slot, is_redirected)
            {
                give_back_at::<M>(at, slot, counts, source_limit);
                counted = Err(Over::Overload);
            }
            let Err(over) = counted else { return Fit::Takes };
            refused.get_or_insert((slot, over));
            if over != Over::Overload {
                return Fit::Full;
            }
            is_redirected = true;
            Fit::Redirects
        });
        if let (Picked::NoneFits, Some((slot, _))) = (&picked, refused)
            && (counts.passes || self.passes_limits::<M>(at))
        {
            // The one that the algorithm chose first.
            counts.passes = true;
            count_anyway_at::<M>(at, slot, counts, source_limit);
            picked = Picked::To(slot);
        }
        if !matches!(picked, Picked::To(_)) && counts.is_any() {
            M::give_back(set.load(), limits, counts);
            if counts.passes {
                M::give_pass_back(at);
            }
        }
        match picked {
            Picked::To(slot) => Offer::To(rule, Taken { slot, set: set.id, counts }),
            Picked::NoneFits => {
                let over = refused.map_or(Over::Rate, |(_, over)| over);
                if over == Over::SourcesFull {
                    M::count_full(at);
                }
                Offer::Nothing(answer_over(over))
            }
            Picked::Nothing => Offer::Nothing(Answer::NoDestination),
        }
    }

    /// Returns whether this request is kept from a destination that asks for less. One that another
    /// destination has redirected goes to none that asks for less (RFC 7339 §5.10).
    fn is_kept_away<M: Mode>(&self, at: &Arrival, slot: Slot, is_redirected: bool) -> bool {
        let Some(destination) = at.snapshot.destinations.get(slot) else { return false };
        let load = &destination.load;
        if is_redirected {
            return load.overload().percent(at.now) > 0;
        }
        M::is_kept_away(at, load, self.message.method == Method::Invite)
    }

    /// Returns whether this call, which is over a limit, passes it: it is an emergency call, and its
    /// source has not used up the passes of this second.
    #[cold]
    fn passes_limits<M: Mode>(&self, at: &Arrival) -> bool {
        if self.emergency(at).is_none() {
            return false;
        }
        let limit = SourceLimit::of_emergencies(at);
        let passes = limit.is_some_and(|limit| M::count_source(at, limit, pin::NO_SLOT).is_ok());
        M::count_emergency(at, passes);
        passes
    }

    fn accept(&self, at: &Arrival, request: &Request, offer: &Offer) -> Action {
        match *offer {
            Offer::Nothing(answer) => self.refuse(answer),
            Offer::To(rule, taken) => match hop_to(at, taken.slot, rule) {
                Ok(hop) => Action::Forward(*request, hop),
                Err(reason) => Action::Drop(reason),
            },
        }
    }

    fn accept_again(&self, at: &Arrival, request: &Request, offer: &Offer) -> Action {
        let branch = Branch { try_number: pin::RETRY, ..request.branch };
        let request = Request { branch, ..*request };
        match *offer {
            Offer::Nothing(_) => self.accept(at, &request, offer),
            Offer::To(_, taken) => self.accept(at, &request, &Offer::To(Rule::Retry, taken)),
        }
    }

    /// Records in the pins what was decided. Returns the progress of the transaction if this is a
    /// response to its request.
    pub(super) fn record(&self, at: &Arrival, note: Note) -> Option<Progress> {
        let pins = &at.shared.pins;
        let (before, state) = match note {
            Note::Nothing => return None,
            Note::Transaction(key, state) => (pins.renew(at.now, key, false, state), state),
            Note::Call(key) => (pins.renew(at.now, key, true, None), None),
            Note::Response { transaction, state, call } => {
                let before = pins.renew(at.now, transaction, false, state);
                let CallNote { key, kind, slot, cseq_bits } = call;
                pins.set_call(at.now, key, kind, slot, cseq_bits, self.number);
                (before, state)
            }
        };
        Some(Progress { before: before?, now: state? })
    }
}

/// Returns the set that a request was dispatched to before, when it went to `lost`.
fn set_again(at: &Arrival, lost: Slot, set: u32) -> u32 {
    at.snapshot.destinations.set_of(lost).unwrap_or(set)
}

/// Returns why this destination does not get the new request, though it can be chosen; `chosen` is the one
/// that does. `None` if it is only not its turn.
pub(super) fn passed_over(
    at: &Arrival,
    set: &Set,
    ask: &Ask,
    (slot, chosen): (Slot, Option<Slot>),
) -> Option<PassedOver> {
    let load = &at.snapshot.destinations.get(slot)?.load;
    if set.is_starting(ask, slot, load, at.now) {
        return Some(PassedOver::SlowStart);
    }
    if ask.is_invite && set.is_over_share(slot, load, set.load().calls() + 1) {
        return Some(PassedOver::OverShare);
    }
    let policy = at.snapshot.set_policy(set.id);
    let counts = Counts::of_request(ask.is_invite, Rule::Turn, policy, set);
    let source_limit = counts.source_limit(at, policy);
    if let Err(over) = count_at::<Looking>(at, slot, counts, source_limit) {
        return Some(PassedOver::Limit(over));
    }
    if policy.controls_overload()
        && let Some(asked) = load.overload().asked(at.now)
    {
        return Some(PassedOver::Overload(asked));
    }
    let (own, other) = (compared(at, set, ask, slot)?, compared(at, set, ask, chosen?)?);
    (own > other).then(|| PassedOver::Load { own, other, is_time: set.compares_time() })
}

/// Returns by what the algorithm compares this destination with another one; `None` if it is at its
/// limit of calls in progress.
fn compared(at: &Arrival, set: &Set, ask: &Ask, slot: Slot) -> Option<u64> {
    let destinations = &at.snapshot.destinations;
    let limits = destinations.hop(slot)?.limits;
    set.compared(&destinations.get(slot)?.load, limits, ask.is_invite)
}

/// Returns whether this destination should not have this request if there is another one.
fn passes_over(at: &Arrival, set: &Set, ask: &Ask, slot: Slot, calls_of_set: u64) -> bool {
    if !set.passes_over_any() {
        return false;
    }
    let destination = at.snapshot.destinations.get(slot);
    destination.map(|destination| &destination.load).is_some_and(|load| {
        set.is_starting(ask, slot, load, at.now)
            || ask.is_invite && set.is_over_share(slot, load, calls_of_set)
    })
}

/// Counts the request at this destination if its limits and that of the source allow it.
fn count_at<M: Mode>(
    at: &Arrival,
    slot: Slot,
    counts: Counts,
    source_limit: Option<SourceLimit>,
) -> Result<(), Over> {
    let destinations = &at.snapshot.destinations;
    let Some(hop) = destinations.hop(slot).filter(|_| counts.is_any()) else { return Ok(()) };
    let is_counted = hop.limits.is_any() || counts.is_in_progress;
    let destination = destinations.get(slot).filter(|_| is_counted);
    if let Some(destination) = destination {
        M::count(at, &destination.load, hop.limits, counts)?;
    }
    let Some(source_limit) = source_limit else { return Ok(()) };
    let counted = M::count_source(at, source_limit, slot);
    if counted.is_err()
        && let Some(destination) = destination
    {
        M::give_back(&destination.load, hop.limits, counts);
    }
    counted
}

/// Gives a request back that was counted at this destination.
fn give_back_at<M: Mode>(
    at: &Arrival,
    slot: Slot,
    counts: Counts,
    source_limit: Option<SourceLimit>,
) {
    let destinations = &at.snapshot.destinations;
    if let (Some(hop), Some(destination)) = (destinations.hop(slot), destinations.get(slot))
        && counts.is_any()
    {
        M::give_back(&destination.load, hop.limits, counts);
    }
    if let Some(limit) = source_limit {
        M::give_source_back(at, limit, slot);
    }
}

/// Counts the request at this destination, whatever its limits and that of the source say.
fn count_anyway_at<M: Mode>(
    at: &Arrival,
    slot: Slot,
    counts: Counts,
    source_limit: Option<SourceLimit>,
) {
    let destinations = &at.snapshot.destinations;
    if let (Some(hop), Some(destination)) = (destinations.hop(slot), destinations.get(slot)) {
        M::count_anyway(at, &destination.load, hop.limits, counts);
    }
    if let Some(limit) = source_limit {
        M::count_source_anyway(at, limit, slot);
    }
}

/// Returns the answer to a call over this limit.
fn answer_over(over: Over) -> Answer {
    match over {
        Over::Rate => Answer::OverRate,
        Over::Calls => Answer::OverCalls,
        Over::SourceRate | Over::SourcesFull => Answer::OverSourceRate,
        Over::Overload => Answer::Overloaded,
    }
}
