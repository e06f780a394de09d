//! The only place where a destination is chosen: for a request seen for the first time.
//! A copy of such a request gets another destination, once, if the first one is lost before it has
//! answered. [`Core::choose`] takes a turn and pins the choice; [`Core::peek`] returns the same without
//! doing either. [`Core::record`] records in the pins what needs no choice.

use super::branch::Branch;
use super::decision::{Action, CallNote, Decision, Note, Progress, Request, Rule};
use super::request::hop_to;
use super::verdict::{Answer, Reason};
use super::{Arrival, Core};
use crate::destination::{Ask, Set, Slot};
use crate::message::Method;
use crate::pin::{self, Claim, Kind, PinKey, State};

/// What the set has for a request.
enum Offer {
    To(Slot, Rule),
    Nothing(Answer),
}

impl Core {
    /// Chooses a destination if that was decided, and pins the choice.
    pub(super) fn choose(&self, at: &Arrival, decision: &mut Decision) {
        match decision.action {
            Action::Choose(request) => self.choose_first(at, &request, decision),
            Action::ChooseAgain(request, lost) => self.choose_again(at, &request, lost, decision),
            _ => {}
        }
    }

    /// Returns what [`Core::choose`] would do with this request now.
    pub(super) fn peek(&self, at: &Arrival, decision: &mut Decision) {
        let find = |key, cseq_bits| at.shared.pins.find_challenge(at.now, key, cseq_bits);
        match decision.action {
            Action::Choose(request) => {
                let offer = self.offer(at, &request, decision.set, find, Set::peek);
                decision.action = self.accept(at, &request, &offer);
            }
            Action::ChooseAgain(request, lost) => {
                decision.set = set_again(at, lost, decision.set);
                let offer = self.offer(at, &request, decision.set, find, Set::peek);
                decision.action = self.accept_again(at, &request, &offer);
            }
            _ => {}
        }
    }

    fn choose_first(&self, at: &Arrival, request: &Request, decision: &mut Decision) {
        let is_invite = self.message.method == Method::Invite;
        let kind = if is_invite { Kind::Invite } else { Kind::Request };
        let key = request.branch.pin_key();
        let claimed = match at.shared.pins.claim(at.now, key, kind, self.number) {
            Claim::Claimed(claimed) => claimed,
            // Another worker has just chosen for a copy.
            Claim::Found(pin) => {
                decision.action = self.repeat(at, request, pin);
                decision.note = Note::Transaction(key, None);
                return;
            }
            Claim::Contended => {
                decision.action = Action::Drop(Reason::PinContended);
                return;
            }
        };
        let take = |key, cseq_bits| at.shared.pins.take_challenge(at.now, key, cseq_bits);
        let offer = self.offer(at, request, decision.set, take, Set::choose);
        decision.action = self.accept(at, request, &offer);
        match offer {
            Offer::To(slot, _) => claimed.commit(slot, State::None),
            // An INVITE that we answer is pinned, too, so that copies get the same answer and its
            // ACK and CANCEL end here. For any other request the way is freed.
            Offer::Nothing(answer) if is_invite => {
                claimed.commit(pinned_answer(answer), State::Final);
            }
            Offer::Nothing(_) => {}
        }
    }

    /// Chooses another destination instead of `lost`. If no other can be chosen, the request is
    /// answered, which is better than to wait for a server that is gone.
    ///
    /// Of two copies at two workers only one changes the pin; the other goes where that one went. The
    /// turn that it took is lost.
    fn choose_again(&self, at: &Arrival, request: &Request, lost: Slot, decision: &mut Decision) {
        let pins = &at.shared.pins;
        let key = request.branch.pin_key();
        let take = |key, cseq_bits| pins.take_challenge(at.now, key, cseq_bits);
        decision.set = set_again(at, lost, decision.set);
        let offer = self.offer(at, request, decision.set, take, Set::choose);
        let (slot, state) = match offer {
            Offer::To(slot, _) => (slot, State::None),
            Offer::Nothing(answer) => (pinned_answer(answer), State::Final),
        };
        if pins.retry(at.now, key, lost, slot, state) {
            decision.action = self.accept_again(at, request, &offer);
            return;
        }
        decision.action = match pins.find(at.now, key, false) {
            Some(pin) => self.repeat(at, request, pin),
            None => Action::Drop(Reason::PinContended),
        };
    }

    /// A destination that challenged this caller before is the only one that knows the nonce, so a
    /// request with credentials goes there. Any other gets the next turn.
    fn offer(
        &self,
        at: &Arrival,
        request: &Request,
        set: u32,
        challenge: impl FnOnce(PinKey, u8) -> Option<Slot>,
        turn: impl FnOnce(&Set, &Ask) -> Option<Slot>,
    ) -> Offer {
        if at.snapshot.draining {
            return Offer::Nothing(Answer::Unavailable);
        }
        let set = at.snapshot.destinations.set(set);
        if self.message.has_credentials {
            let key = self.call_key(at, request.from_destination, false);
            let slot = challenge(key, self.message.cseq_number as u8);
            if let Some(slot) = slot.filter(|slot| set.is_some_and(|set| set.is_active(*slot))) {
                return Offer::To(slot, Rule::Challenge);
            }
        }
        match set.and_then(|set| turn(set, &self.ask(at, Some(request.branch), set))) {
            Some(slot) => Offer::To(slot, Rule::Turn),
            None => Offer::Nothing(Answer::NoDestination),
        }
    }

    fn accept(&self, at: &Arrival, request: &Request, offer: &Offer) -> Action {
        match *offer {
            Offer::Nothing(answer) => self.refuse(answer),
            Offer::To(slot, rule) => match hop_to(at, slot, rule) {
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
            Offer::To(slot, _) => self.accept(at, &request, &Offer::To(slot, Rule::Retry)),
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

/// Returns what is pinned instead of a destination for a request that we answer this way.
fn pinned_answer(answer: Answer) -> Slot {
    if answer == Answer::NoDestination {
        pin::ANSWERED_NO_DESTINATION
    } else {
        pin::ANSWERED_UNAVAILABLE
    }
}
