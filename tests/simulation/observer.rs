//! Checks what a relay did with each datagram against what the world knows of it. It never asks the
//! code under test: it tracks transactions, choices, pins and their ages independently, from the
//! messages that were sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use strowger::proxy::{Answer, Cause, ForeignRoute, Forwarded, ListenerId, Reason, Verdict};

use crate::addresses;
use crate::coverage::Coverage;
use crate::overload::{Overloads, is_overloaded};
use crate::pins::{At, CallPins, without_try};
use crate::relay::{Handled, Relay, Sent};
use crate::sip::{Sip, parameter, tag};
use crate::truth::{Class, Datagram, EndId, InDialog, Part, Pass, RelayId, Truth, TxId};
use crate::turns::Turns;

/// A transaction, and what each relay did with it.
#[derive(Debug)]
pub(crate) struct Tx {
    pub(crate) owner: EndId,
    pub(crate) class: Class,
    pub(crate) method: String,
    pub(crate) has_branch: bool,
    /// Call-ID and the caller's tag.
    pub(crate) call_key: (String, String),
    pub(crate) cseq: u32,
    pub(crate) has_credentials: bool,
    pub(crate) at: BTreeMap<Place, At>,
}

/// A relay, how many it passed before, and how often their keys had changed: by a new key they write
/// other branches, and that is another transaction for whoever comes after them.
type Place = (RelayId, usize, u8);

fn place(number: RelayId, passes: &[Pass]) -> Place {
    (number, passes.len(), passes.iter().map(|pass| pass.key_generation).sum())
}

/// Somebody's attempt at harm.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) expects: Expected,
    /// What it wrote as its source: there the answers go.
    pub(crate) from: SocketAddr,
    /// Where it may end besides the destinations and the attacker.
    pub(crate) may_reach: Vec<SocketAddr>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expected {
    Dropped,
    /// 403, or silence where an answer is not allowed.
    Forbidden,
    /// An error, or silence.
    Refused,
    Anything,
}

/// One judgement: the relay, when, where and what.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) number: RelayId,
    pub(crate) relay: &'a Relay,
    pub(crate) now: u64,
    pub(crate) listener: ListenerId,
    pub(crate) datagram: &'a Datagram,
    pub(crate) handled: &'a Handled,
}

type Judged = Result<Option<Truth>, String>;

#[derive(Debug, Default)]
pub(crate) struct Observer {
    pub(crate) txs: Vec<Tx>,
    pub(crate) attacks: Vec<Attack>,
    pub(crate) pins: CallPins,
    pub(crate) turns: Turns,
    /// The table of pins is so small that living ones are evicted.
    pub(crate) has_small_pins: bool,
    /// Copies of requests may come from attackers.
    pub(crate) has_attacks: bool,
    pub(crate) coverage: Coverage,
    pub(crate) overloads: Overloads,
    /// Branches of tries that were left, and whose final response went no further.
    pub(crate) left: BTreeSet<String>,
}

impl Observer {
    pub(crate) fn add(&mut self, tx: Tx) -> TxId {
        self.txs.push(tx);
        self.txs.len() - 1
    }

    /// What the message that left is, or what the relay did wrong.
    pub(crate) fn judge(&mut self, case: Case) -> Judged {
        case.handled.lawful.clone()?;
        match case.datagram.truth.part {
            Part::Attack(number) => self.attack(case, number),
            Part::Response(tx, _) | Part::Answer(tx) => self.response(case, tx),
            Part::Request(tx) => {
                let judged = match self.txs[tx].class.clone() {
                    Class::New => self.new_request(case, tx),
                    Class::AsksUs => Self::asks_us(case),
                    Class::Cancel(of) => self.cancel_or_ack(case, of, false),
                    Class::AckFailure(of) => self.cancel_or_ack(case, of, true),
                    Class::InDialog(dialog) => self.in_dialog(case, tx, &dialog),
                };
                judged?;
                Ok(truth_of_request(case, tx))
            }
        }
    }

    /// A message has come to a party.
    pub(crate) fn delivered(
        &self,
        to: EndId,
        is_server: bool,
        datagram: &Datagram,
    ) -> Result<(), String> {
        let is_right = match datagram.truth.part {
            Part::Attack(_) => true,
            Part::Response(tx, _) | Part::Answer(tx) => {
                self.txs[tx].owner == to && datagram.truth.passes.is_empty()
            }
            Part::Request(tx) => match &self.txs[tx].class {
                // Without Record-Route a call has one pin: when two servers took it, since a pin
                // was lost while it began, one of them is out of reach.
                Class::InDialog(dialog) => {
                    let took_part = self.pins.took_part(&self.txs[tx].call_key, datagram.to);
                    dialog.right == to || !dialog.is_routed && took_part
                }
                _ => is_server,
            },
        };
        if is_right { Ok(()) } else { Err("it came to the wrong party".into()) }
    }

    fn new_request(&mut self, case: Case, tx: TxId) -> Result<(), String> {
        let Case { relay, handled, now, datagram, .. } = case;
        let key = place(case.number, &datagram.truth.passes);
        let is_invite = self.txs[tx].method == "INVITE";
        let seen = self.txs[tx].at.get(&key).cloned();
        let is_sure =
            seen.as_ref().is_some_and(|at| at.is_sure(relay, now) && !self.has_small_pins);
        let may_be_pinned =
            self.has_attacks || seen.as_ref().is_some_and(|at| at.incarnation == relay.incarnation);
        if let Some(at) = &seen {
            self.coverage.event("request again");
            if at.list != handled.list {
                self.coverage.event("copy after the list changed");
            }
            if at.next.is_some_and(|next| !relay.lists[handled.list].lists(next)) {
                self.coverage.event("copy after its destination was removed");
            }
        }
        let list = &relay.lists[handled.list];
        let is_lost = seen.as_ref().is_some_and(|at| at.is_lost(relay, handled.list));
        let is_retried = match handled.verdict {
            Verdict::Forwarded(Forwarded::Retried) => may_be_pinned,
            Verdict::Answered(Answer::NoDestination | Answer::Overloaded) => is_lost,
            // A response that an attacker repeated has answered it.
            _ => is_lost && is_sure && !self.has_attacks,
        };
        match (&seen, &handled.sent, handled.verdict) {
            (Some(at), _, _) if is_retried => self.retried(case, tx, at, is_invite)?,
            (Some(at), _, verdict) if is_sure => {
                same_as_before(case, at, verdict)?;
                if verdict == LIST_BEHIND {
                    return Ok(());
                }
            }
            (_, Some(sent), Verdict::Forwarded(Forwarded::Pinned)) if may_be_pinned => {
                wants(list.known.contains(&sent.to), "pinned to no destination")?;
            }
            (_, _, verdict) if may_be_pinned && verdict == LIST_BEHIND => return Ok(()),
            (Some(at), _, Verdict::Answered(answer))
                if may_be_pinned && at.answered == Some(answer) => {}
            _ => self.fresh(case, tx, is_invite)?,
        }
        let mut at = At::new(case, seen.as_ref(), is_invite)?;
        at.is_retry |= is_retried;
        self.txs[tx].at.insert(key, at);
        Ok(())
    }

    /// A copy of an unanswered request whose destination has become inactive: it goes to another one, as
    /// another try, once.
    fn retried(&mut self, case: Case, tx: TxId, at: &At, is_invite: bool) -> Result<(), String> {
        let Case { relay, handled, .. } = case;
        let list = &relay.lists[handled.list];
        if list.active().next().is_none() {
            self.coverage.event("retried, and nobody left");
            let wanted = Verdict::Answered(Answer::NoDestination);
            return wants(handled.verdict == wanted, "no destination is left");
        }
        if is_overloaded(handled.verdict) {
            self.turns.forget(case.number, is_invite);
            // An attacker may have repeated a report whose time was over.
            return if self.has_attacks { Ok(()) } else { self.overloads.refused(case, list) };
        }
        wants(handled.verdict == Verdict::Forwarded(Forwarded::Retried), "another destination")?;
        let sent = sent(case)?;
        if !self.txs[tx].has_credentials {
            self.overloads.chosen(case, sent.to)?;
        }
        wants(at.next != Some(sent.to), "another destination than before")?;
        let branch = Sip::read(&sent.bytes).ok_or("unreadable")?.branch();
        wants(branch != at.branch, "another try")?;
        if self.txs[tx].has_credentials || self.has_attacks {
            self.turns.forget(case.number, is_invite);
        }
        self.took_turn(case, is_invite, sent.to)
    }

    /// A new request went by turn, unless some destination asks for less.
    fn took_turn(&mut self, case: Case, is_invite: bool, to: SocketAddr) -> Result<(), String> {
        let Case { relay, handled, number, now, .. } = case;
        if self.overloads.are_any(relay, number, now) {
            self.turns.forget(number, is_invite);
            return Ok(());
        }
        self.turns.took(number, relay, handled.list, is_invite, to)
    }

    /// Whether this response is of a try that was left, and therefore goes no further: whether it must,
    /// and whether it may.
    fn is_of_other_try(&self, case: Case, tx: TxId, sip: &Sip, at_key: Place) -> (bool, bool) {
        let code = sip.status().unwrap_or(0);
        let method = sip.cseq().1;
        let is_first = sip.branch().ends_with('0');
        let Some(at) = self.txs[tx].at.get(&at_key) else { return (false, false) };
        let matters = method == "INVITE" && (200..300).contains(&code);
        let is_other = is_first == at.is_retry && (code >= 200 || !is_first) && !matters;
        let is_sure = at.is_sure(case.relay, case.now) && !self.has_small_pins && !self.has_attacks;
        (is_other && is_sure, is_other || self.has_attacks)
    }

    /// A request that has no pin, and what must become of it.
    fn fresh(&mut self, case: Case, tx: TxId, is_invite: bool) -> Result<(), String> {
        let Case { relay, handled, datagram, now, .. } = case;
        let list = &relay.lists[handled.list];
        let foreign_route = relay.spec.set.foreign_route;
        // A relay before may have removed it.
        let has_route = Sip::read(&datagram.bytes).is_some_and(|sip| !sip.get("Route").is_empty());
        let is_refused = has_route && foreign_route == ForeignRoute::Refuse;
        let wanted = if relay.is_listed(handled.list, datagram.from) || is_refused {
            Some(Answer::Forbidden)
        } else if list.is_draining {
            Some(Answer::Unavailable)
        } else if list.active().next().is_none() {
            Some(Answer::NoDestination)
        } else {
            None
        };
        if let Some(answer) = wanted {
            return wants(handled.verdict == Verdict::Answered(answer), "another answer");
        }
        if is_overloaded(handled.verdict) {
            self.turns.forget(case.number, is_invite);
            // An attacker may have repeated a report whose time was over.
            return if self.has_attacks { Ok(()) } else { self.overloads.refused(case, list) };
        }
        wants(handled.verdict == Verdict::Forwarded(Forwarded::Chosen), "a new choice")?;
        let sent = sent(case)?;
        let is_active = list.active().any(|line| line.addresses.contains(&sent.to));
        wants(is_active, "an active destination")?;
        if self.txs[tx].has_credentials {
            let key = (case.number, self.txs[tx].call_key.clone());
            if let Some(challenge) = self.pins.take_challenge(&key, relay, self.txs[tx].cseq) {
                let is_chosen = sent.to == challenge.destination;
                let is_active =
                    list.active().any(|line| line.addresses.contains(&challenge.destination));
                let is_sure = challenge.is_sure(relay, now) && !self.has_small_pins;
                if self.has_attacks {
                    self.turns.forget(case.number, is_invite);
                } else if is_active && is_sure {
                    self.coverage.event("challenge met");
                    return wants(is_chosen, "the destination that asked for credentials");
                }
                if is_chosen || self.has_attacks {
                    // By the challenge or by turn: nobody can say.
                    self.turns.forget(case.number, is_invite);
                    return Ok(());
                }
            }
        }
        self.overloads.chosen(case, sent.to)?;
        self.took_turn(case, is_invite, sent.to)
    }

    fn asks_us(case: Case) -> Result<(), String> {
        let list = &case.relay.lists[case.handled.list];
        let is_well = list.active().next().is_some() && !list.is_draining
            || case.relay.spec.policy.options_always_ok;
        let answer = if is_well { Answer::Ok } else { Answer::Unavailable };
        wants(case.handled.verdict == Verdict::Answered(answer), "our own state")
    }

    fn cancel_or_ack(&mut self, case: Case, invite: TxId, is_ack: bool) -> Result<(), String> {
        let Case { relay, handled, now, datagram, .. } = case;
        let key = place(case.number, &datagram.truth.passes);
        let seen = self.txs[invite].at.get(&key).cloned();
        let is_sure =
            seen.as_ref().is_some_and(|at| at.is_sure(relay, now) && !self.has_small_pins);
        self.coverage.event(if is_ack { "ACK to a failure" } else { "CANCEL" });
        if !is_ack && seen.as_ref().is_some_and(|at| at.is_final) {
            self.coverage.event("CANCEL after the end");
        }
        let answered = seen.as_ref().and_then(|at| at.answered);
        let list = &relay.lists[handled.list];
        let verdict = handled.verdict;
        match (&seen, verdict) {
            (Some(at), _) if is_sure && at.next.is_some() => same_as_before(case, at, verdict)?,
            (Some(_), _) if is_sure => {
                let wanted = if is_ack {
                    Verdict::Dropped(Reason::OwnAck)
                } else {
                    Verdict::Answered(Answer::Ok)
                };
                wants(verdict == wanted, "an end here: we answered its INVITE")?;
            }
            (_, Verdict::Forwarded(Forwarded::Pinned)) if self.has_attacks || seen.is_some() => {
                let sent = sent(case)?;
                wants(list.known.contains(&sent.to), "a destination")?;
                if let Some(at) = &seen {
                    same_branch(case, at, sent)?;
                }
            }
            (_, Verdict::Dropped(Reason::StrayAck)) if is_ack => {}
            (_, Verdict::Dropped(Reason::OwnAck)) if is_ack && answered.is_some() => {}
            // A provisional response had begun a dialog.
            (_, Verdict::Forwarded(Forwarded::CallPin)) if is_ack => {
                wants(list.known.contains(&sent(case)?.to), "a destination")?;
            }
            (_, Verdict::Answered(Answer::NoTransaction)) if !is_ack => {}
            (_, Verdict::Answered(Answer::Ok)) if !is_ack && answered.is_some() => {}
            (_, LIST_BEHIND) if self.has_attacks || seen.is_some() => {}
            _ => return Err("wanted: where its INVITE went, or an end here".into()),
        }
        if let Some(at) = self.txs[invite].at.get_mut(&key)
            && matches!(
                verdict,
                Verdict::Forwarded(Forwarded::Pinned) | Verdict::Answered(Answer::Ok)
            )
        {
            at.touch(relay, now);
        }
        Ok(())
    }

    fn in_dialog(&mut self, case: Case, tx: TxId, dialog: &InDialog) -> Result<(), String> {
        let Case { relay, handled, now, datagram, .. } = case;
        let depth = datagram.truth.passes.len();
        let at = if dialog.is_by_caller {
            Some(depth)
        } else {
            dialog.passes.len().checked_sub(depth + 1)
        };
        let (at, pass) = at
            .and_then(|at| Some((at, *dialog.passes.get(at)?)))
            .filter(|(_, pass)| pass.relay == case.number)
            .ok_or("it came to a relay that is not on its way")?;
        let is_ack = self.txs[tx].method == "ACK";
        self.coverage.event(match (is_ack, dialog.is_by_caller) {
            (true, _) => "ACK to a 2xx",
            (_, true) => "by the caller in a dialog",
            (_, false) => "by the callee in a dialog",
        });
        if dialog.is_routed {
            if relay.incarnation > 1 {
                self.coverage.event("in a dialog after a restart");
            }
            wants(handled.verdict == Verdict::Forwarded(Forwarded::Token), "by its token")?;
            let sent = sent(case)?;
            let next = if dialog.is_by_caller {
                callers_next(case, dialog, pass)
            } else {
                callees_next(case, dialog, at, pass)
            };
            wants(next.contains(&sent.to), "the other party")?;
            let way = if dialog.is_by_caller { pass.egress } else { pass.arrival };
            let is_same_family = relay.listener(way).local.is_ipv4() == sent.to.is_ipv4();
            return wants(sent.listener == way || !is_same_family, "the listener of the call");
        }
        let sip = Sip::read(&datagram.bytes).ok_or("a request in a dialog")?;
        let key =
            ((case.number, self.txs[tx].call_key.clone()), tag(sip.get("To")).to_ascii_lowercase());
        let list = &relay.lists[handled.list];
        let is_sure = !self.has_small_pins;
        match (self.pins.dialog(&key, relay), handled.verdict) {
            (Some(pin), verdict) if is_sure && pin.is_sure(relay, now) => {
                if verdict == LIST_BEHIND {
                    return wants(!list.known.contains(&pin.destination), "a known destination");
                }
                wants(verdict == Verdict::Forwarded(Forwarded::CallPin), "by the call's pin")?;
                wants(sent(case)?.to == pin.destination, "the callee")?;
            }
            (_, Verdict::Forwarded(Forwarded::CallPin)) => {
                let to = sent(case)?.to;
                let is_other = self.pins.took_part(&key.0.1, to);
                wants(to == pass.next || is_other, "the callee")?;
            }
            (_, Verdict::Forwarded(Forwarded::RequestUri)) => {
                wants(Some(sent(case)?.to) == dialog.target, "whom it names")?;
                return wants(list.known.contains(&sent(case)?.to), "a destination");
            }
            (_, Verdict::Answered(Answer::NoTransaction)) if !is_ack => return Ok(()),
            (_, Verdict::Dropped(Reason::StrayAck)) if is_ack => return Ok(()),
            (_, LIST_BEHIND) => return Ok(()),
            _ => return Err("wanted: the callee, or 481".into()),
        }
        self.pins.touch(&key, relay, now);
        Ok(())
    }

    fn response(&mut self, case: Case, tx: TxId) -> Judged {
        let Case { relay, handled, datagram, .. } = case;
        let mut passes = datagram.truth.passes.clone();
        let pass = passes.pop().filter(|pass| pass.relay == case.number);
        let pass = pass.ok_or("a response came to a relay that its request did not pass")?;
        let sip = Sip::read(&datagram.bytes).ok_or("unreadable")?;
        let truth = &self.txs[tx];
        let at_key = place(case.number, &passes);
        let is_lost = parameter(sip.get("Via"), "sw").is_none();
        let (must_end, may_end) = match truth.class {
            Class::New => self.is_of_other_try(case, tx, &sip, at_key),
            _ => (false, false),
        };
        let ends = handled.verdict == Verdict::Dropped(Reason::OtherTry);
        if ends {
            self.left.insert(sip.branch());
            return if may_end { Ok(None) } else { Err("wanted: a response goes back".into()) };
        }
        let mut listener = pass.arrival;
        if is_lost {
            self.coverage.event("Via parameter dropped by a server");
            // Only a branch that is computed again can prove it, and only from a destination.
            let has_branch = truth.has_branch || !passes.is_empty();
            let is_same_key = pass.key_generation == relay.key_generation;
            if !(has_branch && relay.is_destination(handled.list, datagram.from)) {
                wants(handled.verdict == Verdict::Dropped(Reason::ForgedVia), "unproven: dropped")?;
                return Ok(None);
            }
            if !is_same_key {
                wants(
                    handled.verdict == Verdict::Dropped(Reason::ForgedVia),
                    "an old branch: dropped",
                )?;
                return Ok(None);
            }
            let wanted = Verdict::Forwarded(Forwarded::ViaParameterLost);
            wants(handled.verdict == wanted, "forwarded by its branch")?;
            // The listener that the request came in by was noted in the parameter.
            if relay.listener(case.listener).local.is_ipv4() == pass.back_to.is_ipv4() {
                listener = case.listener;
            } else {
                listener = addresses::first_of_family(relay, pass.back_to);
            }
        } else {
            wants(handled.verdict == Verdict::Forwarded(Forwarded::Response), "forwarded")?;
        }
        wants(!must_end, "no response of a try that was left")?;
        let sent = sent(case)?;
        wants(sent.to == pass.back_to, "the address that waits for it")?;
        wants(sent.listener == listener, "the listener that its request came to")?;
        self.overloads.response(case, &sip, pass);
        self.note_response(case, tx, &sip, pass, at_key, is_lost);
        let truth = Truth { part: datagram.truth.part, passes };
        Ok(Some(truth))
    }

    /// What a response that was forwarded means for pins.
    fn note_response(
        &mut self,
        case: Case,
        tx: TxId,
        sip: &Sip,
        pass: Pass,
        at_key: Place,
        is_lost: bool,
    ) {
        let Case { relay, handled, datagram, now, .. } = case;
        let code = sip.status().unwrap_or(0);
        let invite = self.txs[tx].class.of_invite();
        if let Some(at) = self.txs[invite.unwrap_or(tx)].at.get_mut(&at_key) {
            at.touch(relay, now);
            if invite.is_none() {
                if at.is_retry && sip.branch().ends_with('0') && (200..300).contains(&code) {
                    self.coverage.event("a try that was left answers the call");
                }
                at.is_answered = true;
                at.is_ringing |= (101..200).contains(&code);
                at.is_final |= code >= 200;
            }
        }
        let is_callers = match &self.txs[tx].class {
            Class::New => true,
            Class::InDialog(dialog) => dialog.is_by_caller,
            _ => false,
        };
        if !is_callers {
            return;
        }
        let (cseq, method) = sip.cseq();
        let begins_dialog =
            matches!(code, 101..=299) && matches!(method, "INVITE" | "SUBSCRIBE" | "REFER");
        if begins_dialog {
            self.pins.takes_part(&self.txs[tx].call_key, pass.next);
        }
        // A process that did not write the Via goes by the response's source.
        let is_ours = pass.incarnation == relay.incarnation && !is_lost;
        let destination = if is_ours {
            pass.next
        } else if let Some(at) = relay.destination_of(handled.list, datagram.from) {
            at
        } else {
            return;
        };
        let key = (case.number, self.txs[tx].call_key.clone());
        match code {
            _ if begins_dialog => {
                let key = (key, tag(sip.get("To")).to_ascii_lowercase());
                self.pins.begin_dialog(key, relay, now, destination, is_ours);
            }
            401 | 407 => self.pins.challenge(key, relay, now, destination, cseq, is_ours),
            _ => {}
        }
    }

    fn attack(&mut self, case: Case, number: usize) -> Judged {
        let Case { relay, handled, datagram, .. } = case;
        let Attack { expects, from, .. } = self.attacks[number];
        if handled.verdict == Verdict::Answered(Answer::TooLarge) {
            // It took a turn before it was found too large, or it did not.
            self.turns.restarted(case.number);
        }
        // What another relay sent on, or answered, is judged by where it goes.
        let is_first = datagram.truth.passes.is_empty();
        match expects {
            _ if !is_first => {}
            Expected::Dropped => {
                wants(matches!(handled.verdict, Verdict::Dropped(_)), "dropped")?;
            }
            Expected::Forbidden => {
                let is_forbidden = matches!(
                    handled.verdict,
                    Verdict::Answered(Answer::Forbidden) | Verdict::Dropped(_)
                );
                wants(is_forbidden, "forbidden")?;
            }
            Expected::Refused => {
                wants(!matches!(handled.verdict, Verdict::Forwarded(_)), "refused")?;
            }
            Expected::Anything => {}
        }
        let Some(sent) = &handled.sent else {
            return Ok(None);
        };
        if handled.verdict == Verdict::Forwarded(Forwarded::Retried) {
            self.retried_by_others(case, sent)?;
        }
        if handled.verdict == Verdict::Forwarded(Forwarded::Chosen) {
            let is_invite = datagram.bytes.trim_ascii_start().starts_with(b"INVITE ");
            // With credentials it may go where they were asked for, out of turn.
            if datagram.bytes.windows(12).any(|w| w.eq_ignore_ascii_case(b"uthorization")) {
                self.turns.forget(case.number, is_invite);
            }
            self.took_turn(case, is_invite, sent.to)?;
        }
        let may_reach = self.attacks[number].may_reach.contains(&sent.to)
            || sent.to.ip() == datagram.from.ip()
            || sent.to.ip() == from.ip()
            || relay.lists[handled.list].known.contains(&sent.to);
        wants(may_reach, "no bystander")?;
        if sent.cause == Cause::Answer {
            wants(sent.listener == case.listener, "an answer by the way that it came")?;
        }
        // An answer comes back through the relays that it passed.
        self.attacks[number].may_reach.push(datagram.from);
        let pass = Pass {
            relay: case.number,
            arrival: case.listener,
            back_to: datagram.from,
            egress: sent.listener,
            next: sent.to,
            key_generation: relay.key_generation,
            incarnation: relay.incarnation,
        };
        Ok(Some(Truth { part: datagram.truth.part, passes: vec![pass] }))
    }
}

impl Observer {
    /// An attacker's copy of a request made it go to another destination, as one of its caller would have.
    fn retried_by_others(&mut self, case: Case, sent: &Sent) -> Result<(), String> {
        let branch = Sip::read(&sent.bytes).ok_or("unreadable")?.branch();
        for is_invite in [true, false] {
            self.turns.forget(case.number, is_invite);
        }
        for tx in &mut self.txs {
            for ((relay, ..), at) in &mut tx.at {
                if *relay == case.number && without_try(&at.branch) == without_try(&branch) {
                    at.branch.clone_from(&branch);
                    (at.next, at.egress, at.is_retry) = (Some(sent.to), sent.listener, true);
                }
            }
        }
        Ok(())
    }
}

impl Class {
    /// The INVITE that a CANCEL or ACK belongs to.
    fn of_invite(&self) -> Option<TxId> {
        match self {
            Self::Cancel(of) | Self::AckFailure(of) => Some(*of),
            _ => None,
        }
    }
}

/// What a worker says whose list does not have the destination of a pin yet.
const LIST_BEHIND: Verdict = Verdict::Dropped(Reason::ListBehind);

/// An error that says what was wanted.
pub(crate) fn wants(is_so: bool, what: &str) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(format!("wanted: {what}")) }
}

fn sent(case: Case<'_>) -> Result<&Sent, String> {
    case.handled.sent.as_ref().ok_or_else(|| "nothing was sent".to_owned())
}

/// §16.11: a copy, CANCEL or ACK goes where its request went, with the same branch.
fn same_as_before(case: Case, at: &At, verdict: Verdict) -> Result<(), String> {
    let Some(next) = at.next else {
        return wants(Some(verdict) == at.answered.map(Verdict::Answered), "the same answer");
    };
    if verdict == LIST_BEHIND {
        let known = &case.relay.lists[case.handled.list].known;
        return wants(!known.contains(&next), "its destination, which the worker's list has");
    }
    wants(verdict == Verdict::Forwarded(Forwarded::Pinned), "by its pin")?;
    let sent = sent(case)?;
    wants(sent.to == next, "where its request went")?;
    wants(sent.listener == at.egress, "by the way its request went")?;
    same_branch(case, at, sent)
}

fn same_branch(case: Case, at: &At, sent: &Sent) -> Result<(), String> {
    let branch = Sip::read(&sent.bytes).ok_or("unreadable")?.branch();
    let is_same_key = at.key_generation == case.relay.key_generation;
    wants(at.branch.is_empty() || branch == at.branch || !is_same_key, "the same branch")
}

fn truth_of_request(case: Case, tx: TxId) -> Option<Truth> {
    let Case { handled, datagram, .. } = case;
    let sent = handled.sent.as_ref()?;
    let mut passes = datagram.truth.passes.clone();
    if sent.cause == Cause::Answer {
        return Some(Truth { part: Part::Answer(tx), passes });
    }
    passes.push(Pass {
        relay: case.number,
        arrival: case.listener,
        back_to: addresses::response_address(case),
        egress: sent.listener,
        next: sent.to,
        key_generation: case.relay.key_generation,
        incarnation: case.relay.incarnation,
    });
    Some(Truth { part: Part::Request(tx), passes })
}

/// Where a caller's request goes from this relay.
fn callers_next(case: Case, dialog: &InDialog, pass: Pass) -> Vec<SocketAddr> {
    use strowger::proxy::InDialog::Route;
    let mut next = vec![pass.next];
    if case.relay.spec.set.in_dialog == Route {
        next.extend(dialog.target);
    }
    next
}

/// Where a callee's request goes from this relay: to the relay before it, or to the caller, by the
/// Request-URI where it may be believed.
fn callees_next(case: Case, dialog: &InDialog, at: usize, pass: Pass) -> Vec<SocketAddr> {
    let is_destination = case.relay.is_destination(case.handled.list, case.datagram.from);
    match dialog.target {
        Some(target)
            if at == 0
                && is_destination
                && addresses::may_be_named(case.relay, target, pass.back_to) =>
        {
            vec![target]
        }
        _ => vec![pass.back_to],
    }
}

/// Tags have no case.
pub(crate) fn call_key(sip: &Sip) -> (String, String) {
    (sip.get("Call-ID").to_owned(), tag(sip.get("From")).to_ascii_lowercase())
}
