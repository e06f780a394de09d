//! What the relay must still remember according to the documentation: tracked from the messages
//! that were sent, with the documented lifetimes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use strowger::proxy::{Answer, Forwarded, ListenerId, Verdict};

use crate::observer::{Case, wants};
use crate::relay::Relay;
use crate::sip::Sip;
use crate::truth::RelayId;

/// Timer C and 64*T1, rounded up.
const LIFE_MS: u64 = 240_000;
const LIFE_RINGING_MS: u64 = 1_800_000;
/// 64*T1.
const LIFE_REQUEST_MS: u64 = 32_000;

/// What a relay did with a transaction.
#[derive(Clone, Debug)]
pub(crate) struct At {
    pub(crate) branch: String,
    pub(crate) next: Option<SocketAddr>,
    pub(crate) egress: ListenerId,
    pub(crate) answered: Option<Answer>,
    pub(crate) incarnation: u16,
    pub(crate) key_generation: u8,
    pub(crate) list: usize,
    pub(crate) is_ringing: bool,
    pub(crate) is_final: bool,
    /// A response went back.
    pub(crate) is_answered: bool,
    /// Its destination became inactive before that, and it was sent to another one.
    pub(crate) is_retry: bool,
    is_invite: bool,
    touched: u64,
}

impl At {
    /// After this datagram.
    pub(crate) fn new(case: Case, seen: Option<&Self>, is_invite: bool) -> Result<Self, String> {
        let Case { relay, handled, .. } = case;
        let is_same = seen.is_some_and(|at| at.incarnation == relay.incarnation);
        let mut at = Self {
            branch: seen.map_or(String::new(), |at| at.branch.clone()),
            next: None,
            egress: case.listener,
            answered: None,
            incarnation: relay.incarnation,
            key_generation: relay.key_generation,
            list: handled.list,
            is_ringing: is_same && seen.is_some_and(|at| at.is_ringing),
            is_final: is_same && seen.is_some_and(|at| at.is_final),
            is_answered: is_same && seen.is_some_and(|at| at.is_answered),
            is_retry: is_same && seen.is_some_and(|at| at.is_retry),
            is_invite,
            touched: case.now,
        };
        at.is_retry |= handled.verdict == Verdict::Forwarded(Forwarded::Retried);
        match (&handled.sent, handled.verdict) {
            (Some(sent), Verdict::Forwarded(_)) => {
                let left = Sip::read(&sent.bytes).ok_or("unreadable")?;
                let branch = left.branch();
                if let Some(seen) = seen
                    && seen.key_generation == relay.key_generation
                    && !seen.branch.is_empty()
                {
                    // The last digit is the number of the try.
                    let is_same = without_try(&branch) == without_try(&seen.branch);
                    wants(is_same, "the same branch")?;
                }
                at.branch = branch;
                at.next = Some(sent.to);
                at.egress = sent.listener;
            }
            (_, Verdict::Answered(answer)) => at.answered = Some(answer),
            _ => {}
        }
        Ok(at)
    }

    pub(crate) fn touch(&mut self, relay: &Relay, now: u64) {
        if self.incarnation == relay.incarnation {
            self.touched = now;
        }
    }

    /// A copy goes to another destination: this one is inactive in that list, and nobody has answered.
    pub(crate) fn is_lost(&self, relay: &Relay, list: usize) -> bool {
        let list = &relay.lists[list];
        let may_go = !self.is_answered && !self.is_retry && self.incarnation == relay.incarnation;
        may_go
            && relay.spec.set.retry
            && !list.is_draining
            && self.next.is_some_and(|next| list.is_inactive(next))
    }

    /// Its pin must be there.
    pub(crate) fn is_sure(&self, relay: &Relay, now: u64) -> bool {
        let is_pinned = match self.answered {
            // Only our own answers for want of a destination are pinned, and only to INVITE.
            Some(answer) => {
                self.is_invite
                    && matches!(
                        answer,
                        Answer::NoDestination | Answer::Overloaded | Answer::Unavailable
                    )
            }
            None => self.next.is_some(),
        };
        let life = match (self.is_invite, self.is_ringing && !self.is_final) {
            (true, true) => LIFE_RINGING_MS,
            (true, false) => LIFE_MS,
            (false, _) => LIFE_REQUEST_MS,
        };
        is_pinned && self.incarnation == relay.incarnation && now - self.touched <= life
    }
}

/// A branch without the number of its try.
pub(crate) fn without_try(branch: &str) -> &str {
    &branch[..branch.len().saturating_sub(1)]
}

/// Relay, Call-ID and the caller's tag.
pub(crate) type CallKey = (RelayId, (String, String));

/// A dialog of it: the tag of the one who answered.
pub(crate) type DialogKey = (CallKey, String);

/// What responses said about a call.
#[derive(Clone, Debug)]
pub(crate) struct CallPin {
    pub(crate) destination: SocketAddr,
    incarnation: u16,
    touched: u64,
    cseq: u32,
    /// It was written for certain.
    is_certain: bool,
}

impl CallPin {
    pub(crate) fn is_sure(&self, relay: &Relay, now: u64) -> bool {
        self.is_certain && self.incarnation == relay.incarnation && now - self.touched <= LIFE_MS
    }
}

#[derive(Debug, Default)]
pub(crate) struct CallPins {
    dialogs: BTreeMap<DialogKey, CallPin>,
    challenges: BTreeMap<CallKey, CallPin>,
    /// Who took part in which call.
    takers: BTreeSet<((String, String), SocketAddr)>,
}

impl CallPins {
    /// A destination began a dialog in this call.
    pub(crate) fn takes_part(&mut self, call: &(String, String), destination: SocketAddr) {
        self.takers.insert((call.clone(), destination));
    }

    pub(crate) fn took_part(&self, call: &(String, String), destination: SocketAddr) -> bool {
        self.takers.contains(&(call.clone(), destination))
    }

    pub(crate) fn begin_dialog(
        &mut self,
        key: DialogKey,
        relay: &Relay,
        now: u64,
        destination: SocketAddr,
        is_certain: bool,
    ) {
        let pin = CallPin {
            destination,
            incarnation: relay.incarnation,
            touched: now,
            cseq: 0,
            is_certain,
        };
        self.dialogs.insert(key, pin);
    }

    pub(crate) fn challenge(
        &mut self,
        key: CallKey,
        relay: &Relay,
        now: u64,
        destination: SocketAddr,
        cseq: u32,
        is_certain: bool,
    ) {
        let incarnation = relay.incarnation;
        let pin = CallPin { destination, incarnation, touched: now, cseq, is_certain };
        self.challenges.insert(key, pin);
    }

    pub(crate) fn dialog(&self, key: &DialogKey, relay: &Relay) -> Option<&CallPin> {
        self.dialogs.get(key).filter(|pin| pin.incarnation == relay.incarnation)
    }

    /// It serves one request with another `CSeq`.
    pub(crate) fn take_challenge(
        &mut self,
        key: &CallKey,
        relay: &Relay,
        cseq: u32,
    ) -> Option<CallPin> {
        let pin = self.challenges.get(key)?;
        let is_repeat = pin.cseq != cseq && pin.incarnation == relay.incarnation;
        if is_repeat { self.challenges.remove(key) } else { None }
    }

    pub(crate) fn touch(&mut self, key: &DialogKey, relay: &Relay, now: u64) {
        if let Some(pin) = self.dialogs.get_mut(key)
            && pin.incarnation == relay.incarnation
        {
            pin.touched = now;
        }
    }
}
