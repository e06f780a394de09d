//! Follows the calls in progress, in sets that count them: which messages begin, continue and end one.
//!
//! | Message | The call |
//! |---|---|
//! | an INVITE that gets a destination | begins |
//! | its 1xx | goes on |
//! | its 2xx | is answered, and lasts as long as its Session-Expires says |
//! | a 2xx to an INVITE or UPDATE in the dialog | the same again |
//! | its first other final response | ends |
//! | a BYE of either side | ends |
//! | another request in the dialog | goes on |
//!
//! A CANCEL makes its INVITE end with a 487. Of several copies of a message, on any workers, only one
//! ends the call.

use super::decision::{Action, Decision, Hop, Progress, Responder, Rule};
use super::{Arrival, Core};
use crate::calls::{CallKey, Phase};
use crate::destination::Slot;
use crate::message::{Method, StartLine};
use crate::pin;

impl Core {
    /// Adds the call of this INVITE; returns false if there is no room for it.
    pub(super) fn begin_call(&self, at: &Arrival, slot: Slot) -> bool {
        at.shared.calls.begin(at.now, self.key_of_call(at, self.dialog.from_tag), slot)
    }

    /// Returns what [`Core::begin_call`] would return.
    pub(super) fn may_begin_call(&self, at: &Arrival) -> bool {
        at.shared.calls.has_room(self.key_of_call(at, self.dialog.from_tag))
    }

    /// Removes the call of this INVITE, which does not leave. The caller counts it.
    pub(super) fn refuse_call(&self, at: &Arrival, slot: Slot) {
        let _ = at.shared.calls.refuse(self.key_of_call(at, self.dialog.from_tag), slot);
    }

    /// Ends the call of this INVITE at this destination, if it is in progress there.
    pub(super) fn end_call_at(&self, at: &Arrival, slot: Slot) {
        let key = self.key_of_call(at, self.dialog.from_tag);
        if is_known(at, slot) && at.shared.calls.refuse(key, slot) {
            at.snapshot.destinations.end_call(slot);
        }
    }

    /// Records what the message means for its call.
    pub(super) fn follow_call(
        &self,
        at: &Arrival,
        decision: &Decision,
        progress: Option<Progress>,
        leaves: bool,
    ) {
        match (decision.action, decision.responder) {
            (Action::Return(..), _) if self.is_answer() => {
                self.refresh_call(at, decision.responder);
            }
            (Action::Forward(_, hop), _) if leaves && is_in_dialog(hop.rule) => {
                self.request_in_call(at, &hop);
            }
            (_, Responder::Destination { slot, code, .. })
                if self.message.cseq_method == Method::Invite =>
            {
                self.response_to_call(at, slot, code, progress);
            }
            _ => {}
        }
    }

    fn request_in_call(&self, at: &Arrival, hop: &Hop) {
        let snapshot = at.snapshot;
        let slot = Some(hop.slot).filter(|slot| pin::is_destination(*slot)).or_else(|| {
            let known = snapshot.destinations.by_source(at.flow.peer, snapshot.policy.source_match);
            known.map(|known| known.slot)
        });
        let StartLine::Request { method, .. } = self.message.start_line else { return };
        let is_bye = method.of(at.bytes) == b"BYE";
        // Either side may send it, so either tag may be the caller's.
        for caller_tag in [self.dialog.from_tag, self.dialog.to_tag] {
            let key = self.key_of_call(at, caller_tag);
            if !is_bye {
                at.shared.calls.go_on(at.now, key, slot, Phase::Confirmed);
            } else if let Some(slot) = at.shared.calls.end(key, slot, |slot| is_known(at, slot)) {
                snapshot.destinations.end_call(slot);
                return;
            }
        }
    }

    /// Returns whether the message is a 2xx that begins or refreshes a session (RFC 4028).
    fn is_answer(&self) -> bool {
        matches!(self.message.start_line, StartLine::Response { code: 200..=299 })
            && matches!(self.message.cseq_method, Method::Invite | Method::Update)
    }

    fn refresh_call(&self, at: &Arrival, responder: Responder) {
        let slot = match responder {
            Responder::Destination { slot, .. } => Some(slot),
            _ => None,
        };
        // Either side may have sent the request, so either tag may be the caller's.
        for caller_tag in [self.dialog.from_tag, self.dialog.to_tag] {
            let key = self.key_of_call(at, caller_tag);
            if at.shared.calls.has(key) {
                let session_s = self.message.session_expires_s(at.bytes);
                at.shared.calls.refresh(at.now, key, slot, session_s);
                return;
            }
        }
    }

    fn response_to_call(&self, at: &Arrival, slot: Slot, code: u16, progress: Option<Progress>) {
        let calls = &at.shared.calls;
        let key = self.key_of_call(at, self.dialog.from_tag);
        match code {
            100..=199 => calls.go_on(at.now, key, Some(slot), Phase::Early),
            // It goes no further, or else it is handled as an answer.
            200..=299 => calls.go_on(at.now, key, Some(slot), Phase::Confirmed),
            // A refused INVITE in a dialog does not end it: nothing is pinned for that one.
            _ => {
                if progress.is_some_and(Progress::is_final) {
                    self.end_call_at(at, slot);
                }
            }
        }
    }

    fn key_of_call(&self, at: &Arrival, caller_tag: u64) -> CallKey {
        let mut fields = at.shared.keys.pin();
        // The keys of call pins begin with 0 or 1.
        fields.fixed([2]);
        fields.fixed(self.dialog.call_id.to_be_bytes());
        fields.fixed(caller_tag.to_be_bytes());
        CallKey(fields.spread())
    }
}

fn is_in_dialog(rule: Rule) -> bool {
    matches!(rule, Rule::Token | Rule::Call | Rule::RequestUri | Rule::DialogHash)
}

/// Returns whether this worker's list has the destination. If it has not yet, the end of a call cannot
/// be counted here; then it is given up later.
fn is_known(at: &Arrival, slot: Slot) -> bool {
    at.snapshot.destinations.get(slot).is_some()
}
