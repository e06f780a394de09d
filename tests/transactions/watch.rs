//! What must hold of every call, whatever servers and links do (RFC 3261 §9, §16, §17; RFC 4320; RFC 6026).
//!
//! It sees what the owner of a call gets, in order, and what it sends because of that. Of a call whose
//! worker was reset only the 2xx is watched: its later messages are relayed statelessly.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use strowger::proxy::{Answer, Forwarded, Verdict};
use strowger::transaction::Failover;

use crate::caller::Caller;
use crate::relay::{Sent, US, address_of};
use crate::sip::{Sip, sent_by, tag};
use crate::world::{BEGIN, TIMEOUT};

/// A timer is late by a tick of the wheel at most.
const LATE: u64 = 50;

/// What a worker got, and what it did.
pub(crate) struct Step<'a> {
    pub(crate) now: u64,
    pub(crate) input: Input<'a>,
    pub(crate) sent: &'a [Sent],
    /// Whether a server is inactive in the list of the worker.
    pub(crate) is_inactive: &'a dyn Fn(usize) -> bool,
    /// Something had no room.
    pub(crate) has_no_room: bool,
}

pub(crate) enum Input<'a> {
    Message {
        from: SocketAddr,
        sip: &'a Sip,
        bytes: &'a [u8],
        verdict: Verdict,
    },
    /// Something was due.
    Time,
}

pub(crate) struct Watch {
    failover: Failover,
    calls: Vec<Call>,
    /// When something happened last after which memory may be used for a while.
    busy: u64,
}

/// One request of a caller.
struct Call {
    call_id: String,
    caller: SocketAddr,
    is_invite: bool,
    is_spoiled: bool,
    /// Its worker was reset.
    is_reset: bool,
    began: Option<u64>,
    /// The caller's CANCEL came.
    is_cancelled: bool,
    tries: Vec<Try>,
    /// The last 101 to 199 that went to the caller.
    rang: Option<Vec<u8>>,
    /// The first final response that went to the caller, and when.
    ended: Option<(u64, u16, Vec<u8>)>,
    /// When a final response must have been sent.
    deadline: u64,
    /// What servers sent, as it is to reach the caller.
    received: BTreeSet<Vec<u8>>,
    /// A destination was unreachable, or was declared inactive: that stands for 503.
    has_lost: bool,
    /// There was no room for a response.
    is_not_kept: bool,
    /// The caller's ACK to the final response came.
    is_acknowledged: bool,
    /// How often the final response was sent again without a copy of the request.
    repeats: usize,
    /// A 100 went to the caller.
    has_100: bool,
    /// What happened.
    seen: Vec<&'static str>,
}

/// One try.
struct Try {
    server: usize,
    began: u64,
    branch: String,
    request: Sip,
    has_answered: bool,
    end: Option<u16>,
    /// Its final response came after its transaction had ended.
    is_late: bool,
    is_left: bool,
    is_unreachable: bool,
    cancels: usize,
    is_cancel_answered: bool,
}

type Result<T = ()> = std::result::Result<T, String>;

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

impl Watch {
    pub(crate) fn new(failover: Failover, callers: &[Caller]) -> Self {
        let call = |caller: &Caller| Call {
            call_id: caller.call_id.clone(),
            caller: caller.address,
            is_invite: caller.is_invite(),
            is_spoiled: false,
            is_reset: false,
            began: None,
            is_cancelled: false,
            tries: Vec::new(),
            rang: None,
            ended: None,
            deadline: 0,
            received: BTreeSet::new(),
            has_lost: false,
            is_not_kept: false,
            is_acknowledged: false,
            repeats: 0,
            has_100: false,
            seen: Vec::new(),
        };
        Self { failover, calls: callers.iter().map(call).collect(), busy: BEGIN }
    }

    /// The worker that has these calls has forgotten them.
    pub(crate) fn reset(&mut self, is_its: impl Fn(&str) -> bool) {
        for call in self.calls.iter_mut().filter(|call| is_its(&call.call_id)) {
            if call.began.is_some() {
                call.is_spoiled = true;
                call.is_reset = true;
                call.seen.push("reset");
            }
        }
    }

    /// A worker hears of an ICMP error with this quote.
    pub(crate) fn refused(&mut self, now: u64, quote: &str, is_owner: bool) {
        self.busy = now;
        let branch = quote.split("branch=").nth(1).and_then(|text| text.split(';').next());
        let branch = branch.map(str::to_ascii_lowercase);
        let tries = self.calls.iter_mut().flat_map(|call| &mut call.tries);
        for of in tries.filter(|of| is_owner && branch.as_ref() == Some(&of.branch)) {
            of.is_unreachable = true;
        }
    }

    pub(crate) fn step(&mut self, step: &Step) -> Result {
        let mut sent = Vec::new();
        for one in step.sent {
            sent.push((one, Sip::read(&one.bytes).ok_or("the relay wrote what is no SIP")?));
        }
        let call_id = match &step.input {
            Input::Message { sip, .. } => sip.get("Call-ID").to_owned(),
            Input::Time => match sent.first() {
                Some((_, sip)) => sip.get("Call-ID").to_owned(),
                None => return Ok(()),
            },
        };
        let of_others = sent.iter().find(|(_, sip)| sip.get("Call-ID") != call_id);
        ensure!(of_others.is_none(), "one event of {call_id} sends for another call");
        let call = self.calls.iter_mut().find(|call| call.call_id == call_id).unwrap();
        let (tries, is_ended) = (call.tries.len(), call.ended.is_some());
        call.step(step, &sent, &self.failover).map_err(|what| format!("{call_id}: {what}"))?;
        let is_message = matches!(step.input, Input::Message { .. });
        if is_message || call.tries.len() > tries || call.ended.is_some() && !is_ended {
            self.busy = step.now;
        }
        Ok(())
    }

    /// Everything that happened.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &'static str> {
        self.calls.iter().flat_map(|call| &call.seen).copied()
    }

    /// Nothing more happens; the last transaction ended at `gone`.
    pub(crate) fn end(&self, gone: u64) -> Result {
        for call in self.calls.iter().filter(|call| !call.is_spoiled) {
            call.end().map_err(|what| format!("{}: {what}", call.call_id))?;
        }
        let limit = self.busy + 40_000;
        ensure!(
            gone <= limit,
            "the last transaction ended {} ms after anything happened",
            gone - self.busy
        );
        Ok(())
    }
}

impl Call {
    /// Nothing more happens.
    fn end(&self) -> Result {
        let Some(began) = self.began else { return Ok(()) };
        let Some((at, code, _)) = &self.ended else {
            ensure!(!self.is_invite, "no final response");
            ensure!(self.has_100, "neither a final response nor a 100");
            return Ok(());
        };
        if !self.is_invite {
            // RFC 4320 §4.1
            let is_late = *at > began + 3_500 + LATE;
            ensure!(self.has_100 || !is_late, "no 100 before a late final response");
        } else if *code >= 300 && !self.is_acknowledged && !self.is_not_kept {
            // Timers G and H: after 0.5, 1.5, 3.5, 7.5, then each 4 s until 31.5.
            ensure!(self.repeats == 10, "a final response was repeated {} times", self.repeats);
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, sent: &[(&Sent, Sip)], failover: &Failover) -> Result {
        if step.has_no_room {
            // It is relayed statelessly.
            self.is_spoiled |= self.began.is_none();
            self.is_not_kept = true;
        }
        if self.is_spoiled {
            return self.step_after_reset(step, sent);
        }
        let before = (self.tries.len(), self.ended.is_some());
        let of_try = self.take_input(step, failover)?;
        if self.is_spoiled {
            return Ok(());
        }
        // What a CANCEL is sent for may follow it in the same step.
        for (one, sip) in sent.iter().filter(|(_, sip)| sip.method() != "CANCEL") {
            self.take_sent(step, one, sip, of_try, failover)?;
        }
        for (one, sip) in sent.iter().filter(|(_, sip)| sip.method() == "CANCEL") {
            self.cancel_sent(step, one, sip, failover)?;
        }
        match &step.input {
            Input::Message { sip, verdict, .. } => {
                self.after_message(step, sip, *verdict, sent, of_try, before)
            }
            Input::Time => Ok(()),
        }
    }

    /// A call whose worker has forgotten it goes on: a 2xx still reaches the caller.
    fn step_after_reset(&mut self, step: &Step, sent: &[(&Sent, Sip)]) -> Result {
        if let Input::Message { sip, .. } = &step.input
            && self.is_reset
            && sip.cseq().1 == "INVITE"
            && sip.status().is_some_and(|code| (200..300).contains(&code))
        {
            let is_heard = sent.len() == 1 && sent[0].0.to == self.caller;
            ensure!(is_heard, "a 2xx does not reach the caller after a reset");
            self.seen.push("2xx after a reset");
        }
        Ok(())
    }

    /// Takes in what came; returns its try if it is a response.
    fn take_input(&mut self, step: &Step, failover: &Failover) -> Result<Option<usize>> {
        let Input::Message { from, sip, bytes, verdict } = &step.input else { return Ok(None) };
        let now = step.now;
        let Some(code) = sip.status() else {
            if *verdict == Verdict::Forwarded(Forwarded::Pinned) {
                // Its transaction has ended, or had no room.
                let is_late = self.began.is_none_or(|began| {
                    now >= began + 31_000
                        || self.ended.as_ref().is_some_and(|(at, ..)| now >= at + 5_000)
                });
                ensure!(is_late, "a copy passes its transaction");
                self.is_spoiled = true;
            }
            if sip.method() == "ACK" && !sip.branch().contains("ack") {
                self.is_acknowledged = true;
            }
            if sip.method() == "CANCEL" && self.began.is_some() && self.ended.is_none() {
                self.is_cancelled = true;
                self.deadline = self.deadline.max(now + 2 * TIMEOUT + LATE);
            }
            return Ok(None);
        };
        let number = self.tries.iter().position(|of| of.branch == sip.branch());
        let number = number.ok_or("a response to no try")?;
        ensure!(address_of(self.tries[number].server) == *from, "a branch of another server");
        let is_cancel = sip.cseq().1 == "CANCEL";
        let is_first = !self.tries[number].has_answered;
        let is_current = self.is_current(number);
        let of = &mut self.tries[number];
        if is_cancel {
            of.is_cancel_answered = true;
            return Ok(Some(number));
        }
        self.received.insert(without_top_via(bytes));
        let is_left = of.is_left;
        self.seen.extend(match code {
            200..300 if is_left => Some("2xx of a left try"),
            200..300 if self.is_cancelled => Some("2xx after the caller's CANCEL"),
            600.. if is_left && self.ended.is_none() => Some("6xx of a left try"),
            101..200 if is_left => Some("18x of a left try"),
            _ => None,
        });
        let of = &mut self.tries[number];
        of.has_answered = true;
        if code >= 200 {
            // After Timer B or F it was over.
            of.is_late |= of.end.is_none() && of.is_left && now + LATE >= of.began + TIMEOUT;
            of.end.get_or_insert(code);
        } else if of.end.is_none() && self.is_invite {
            let ringing = now + u64::from(failover.ringing_ms) + TIMEOUT + LATE;
            let progress = u64::from(failover.progress_ms);
            if code > 100 || progress == 0 && is_first {
                self.deadline = self.deadline.max(ringing);
            } else if is_first && is_current {
                let first = u64::from(failover.first_response_ms);
                self.deadline = self.deadline.max(now + progress + first + LATE);
            }
        }
        Ok(Some(number))
    }

    /// Whether the caller hears of this try.
    fn is_current(&self, number: usize) -> bool {
        number + 1 == self.tries.len() && !self.tries[number].is_left
    }

    fn take_sent(
        &mut self,
        step: &Step,
        sent: &Sent,
        sip: &Sip,
        of_try: Option<usize>,
        failover: &Failover,
    ) -> Result {
        if sent.to == self.caller {
            return match sip.cseq().1 {
                "CANCEL" => Ok(()),
                _ => self.response_sent(step, sent, sip, of_try),
            };
        }
        match sip.method() {
            "ACK" => self.ack_sent(step, sent, sip, of_try),
            _ => self.request_sent(step, sent, sip, failover),
        }
    }

    /// The request of the caller goes to a server.
    fn request_sent(&mut self, step: &Step, sent: &Sent, sip: &Sip, failover: &Failover) -> Result {
        let (now, branch) = (step.now, sip.branch());
        let (base, digit) = branch.split_at(branch.len() - 1);
        let number = usize::from_str_radix(digit, 16).map_err(|_| "a branch without a digit")?;
        if let Some(of) = self.tries.get(number) {
            let is_same = of.branch == branch && address_of(of.server) == sent.to;
            ensure!(is_same, "a copy of try {number} goes elsewhere");
            ensure!(of.end.is_none(), "try {number} is repeated after its final response");
            let is_answered = of.has_answered && self.is_invite;
            ensure!(!is_answered, "try {number} is repeated after a provisional response");
            ensure!(!of.is_left, "try {number} is repeated after it was left");
            ensure!(!of.is_unreachable, "try {number} is repeated though it is unreachable");
            return Ok(());
        }
        ensure!(number == self.tries.len(), "try {number} after {}", self.tries.len());
        ensure!(number < usize::from(failover.tries_max), "more tries than allowed");
        let server = (0..16).find(|server| address_of(*server) == sent.to);
        let server = server.ok_or_else(|| format!("a try goes to {}", sent.to))?;
        ensure!(self.tries.iter().all(|of| of.server != server), "a server is tried twice");
        ensure!(!(step.is_inactive)(server), "an inactive server is tried");
        ensure!(!self.is_cancelled, "a try after the caller's CANCEL");
        ensure!(self.rang.is_none(), "a try after the caller heard ringing");
        ensure!(self.ended.is_none(), "a try after a final response");
        let has_declined = self.tries.iter().any(|of| of.end.is_some_and(|code| code >= 600));
        ensure!(!has_declined, "a try after a 6xx");
        let vias: Vec<_> = sip.all("Via").collect();
        ensure!(vias.len() == 2 && sent_by(vias[0]) == US, "a try has the Vias {vias:?}");
        if let Some(last) = self.tries.last_mut() {
            ensure!(last.branch.starts_with(base), "a try has another branch");
            last.is_left = true;
            let is_lost = last.is_unreachable || (step.is_inactive)(last.server);
            self.has_lost |= is_lost && last.end.is_none();
        }
        let began = *self.began.get_or_insert(now);
        ensure!(now <= began + u64::from(failover.total_ms) + LATE, "a try after the total time");
        if self.is_invite {
            let routes: Vec<_> = sip.all("Record-Route").collect();
            ensure!(routes.len() == 1, "a try has the Record-Routes {routes:?}");
            let is_own = self.tries.iter().all(|of| of.request.get("Record-Route") != routes[0]);
            ensure!(is_own, "two tries have the same Record-Route");
        }
        if number == 0 {
            let first = u64::from(failover.first_response_ms).min(TIMEOUT);
            self.deadline = now + u64::from(failover.total_ms) + first + LATE;
        }
        self.tries.push(Try {
            server,
            began: now,
            branch: branch.clone(),
            request: sip.clone(),
            has_answered: false,
            end: None,
            is_late: false,
            is_left: false,
            is_unreachable: false,
            cancels: 0,
            is_cancel_answered: false,
        });
        Ok(())
    }

    /// An ACK goes to a server: the caller's to a 2xx, or ours.
    fn ack_sent(&self, step: &Step, sent: &Sent, sip: &Sip, of_try: Option<usize>) -> Result {
        let Input::Message { sip: input, .. } = &step.input else {
            return Err("an ACK for nothing".into());
        };
        let Some(number) = of_try else {
            ensure!(input.method() == "ACK", "an ACK for a {}", input.method());
            let callee = tag(sip.get("To"));
            let server = self
                .tries
                .iter()
                .find(|of| callee.starts_with(&format!("s{}-", of.server)) && of.end == Some(200));
            let server = server.ok_or("an ACK to nobody who sent a 2xx")?.server;
            ensure!(address_of(server) == sent.to, "the ACK to a 2xx goes to another server");
            return Ok(());
        };
        let of = &self.tries[number];
        let code = input.status().unwrap_or(0);
        ensure!(code >= 300 && self.is_invite, "an ACK to a {code}");
        ensure!(address_of(of.server) == sent.to, "an ACK goes to another server");
        ensure!(sip.branch() == of.branch, "an ACK has another branch");
        ensure!(sip.all("Via").count() == 1, "an ACK has several Vias");
        ensure!(sip.get("To") == input.get("To"), "an ACK has the To {}", sip.get("To"));
        self.is_derived(of, sip, "ACK")
    }

    fn cancel_sent(&mut self, step: &Step, sent: &Sent, sip: &Sip, failover: &Failover) -> Result {
        let number = self.tries.iter().position(|of| of.branch == sip.branch());
        let number = number.ok_or("a CANCEL of no try")?;
        let of = &self.tries[number];
        ensure!(self.is_invite, "a CANCEL of what is no INVITE");
        ensure!(address_of(of.server) == sent.to, "a CANCEL goes to another server");
        ensure!(of.has_answered, "a CANCEL before a provisional response");
        ensure!(of.end.is_none(), "a CANCEL after a final response");
        ensure!(!of.is_cancel_answered, "a CANCEL that was answered is repeated");
        let has_declined = self.tries.iter().any(|of| of.end.is_some_and(|code| code >= 600));
        let is_timer_c = step.now >= of.began + u64::from(failover.ringing_ms);
        let is_due = self.is_cancelled || of.is_left || has_declined || is_timer_c;
        ensure!(is_due || self.ended.is_some(), "a CANCEL of the current try");
        ensure!(of.cancels < 12, "a CANCEL without end");
        ensure!(sip.all("Via").count() == 1, "a CANCEL has several Vias");
        ensure!(sip.get("To") == of.request.get("To"), "a CANCEL has the To {}", sip.get("To"));
        self.is_derived(of, sip, "CANCEL")?;
        self.seen.push(match () {
            () if self.is_cancelled => "CANCEL for the caller",
            () if of.is_left => "CANCEL of a left try",
            () if has_declined => "CANCEL after a 6xx",
            () => "CANCEL by Timer C",
        });
        self.tries[number].cancels += 1;
        Ok(())
    }

    /// A copy of the request gets what its caller got last (§17.2.1, §17.2.2).
    fn after_copy(&self, now: u64, sent: &[(&Sent, Sip)], is_chosen: bool) -> Result {
        if is_chosen || self.began.is_none() {
            return Ok(());
        }
        let gets = |bytes: &[u8]| sent.len() == 1 && sent[0].0.bytes == bytes;
        match &self.ended {
            None => {
                let is_100 = sent.len() == 1 && sent[0].1.status() == Some(100);
                let is_again = self.rang.as_ref().is_some_and(|rang| gets(rang));
                let is_silent = sent.is_empty() && (!self.is_invite || self.is_not_kept);
                ensure!(is_100 || is_again || is_silent, "a copy gets nothing");
            }
            Some((at, code, bytes)) => {
                let is_2xx = self.is_invite && *code < 300;
                let is_over = self.is_acknowledged || now >= at + TIMEOUT;
                let is_silent = sent.is_empty() && (is_2xx || is_over || self.is_not_kept);
                ensure!(is_silent || !is_2xx && gets(bytes), "a copy gets no {code}");
            }
        }
        Ok(())
    }

    fn is_derived(&self, of: &Try, sip: &Sip, method: &str) -> Result {
        let invite = &of.request;
        let is_same = |name| sip.get(name) == invite.get(name);
        ensure!(sip.request_uri() == invite.request_uri(), "{method}: another Request-URI");
        ensure!(is_same("From") && is_same("Call-ID"), "{method}: another From or Call-ID");
        ensure!(sip.cseq() == (invite.cseq().0, method), "{method}: CSeq {}", sip.get("CSeq"));
        ensure!(sip.all("Route").eq(invite.all("Route")), "{method}: other Routes");
        Ok(())
    }

    /// A response to the request itself goes to the caller.
    fn response_sent(
        &mut self,
        step: &Step,
        sent: &Sent,
        sip: &Sip,
        of_try: Option<usize>,
    ) -> Result {
        let code = sip.status().ok_or("the caller got a request")?;
        let (now, bytes) = (step.now, &sent.bytes);
        let is_of_server = self.received.contains(bytes);
        let is_input_copy = matches!(&step.input,
            Input::Message { sip, .. } if sip.status().is_none() && sip.method() != "ACK");
        let Some(began) = self.began else {
            ensure!(self.is_invite && code == 100 || code == 404, "{code} before any try");
            return Ok(());
        };
        if code == 100 {
            ensure!(self.ended.is_none(), "a 100 after the final response");
            let is_early = !self.is_invite && now < began + 3_500;
            ensure!(!is_early, "a 100 after {} ms to what is no INVITE", now - began);
            self.has_100 = true;
            return Ok(());
        }
        if code < 200 {
            ensure!(self.is_invite && is_of_server, "a {code} that no server sent");
            ensure!(self.ended.is_none(), "a {code} after the final response");
            match of_try {
                Some(number) => ensure!(self.is_current(number), "a {code} of a left try"),
                None => {
                    ensure!(is_input_copy, "a {code} for nothing");
                    ensure!(self.rang.as_ref() == Some(bytes), "not the last provisional again");
                }
            }
            self.rang = Some(bytes.clone());
            return Ok(());
        }
        if let Some((_, first, text)) = &self.ended {
            let is_2xx = self.is_invite && (200..300).contains(&code);
            if !(is_2xx && is_of_server && of_try.is_some()) {
                ensure!(text == bytes, "{code} after {first}");
                ensure!(code >= 300 || !self.is_invite, "a 2xx is repeated by the relay");
                ensure!(is_input_copy || of_try.is_none(), "{code} again for a response");
                ensure!(!self.is_acknowledged, "{code} again after its ACK");
                self.repeats += usize::from(!is_input_copy);
            }
            return Ok(());
        }
        if self.is_invite {
            ensure!(now <= self.deadline, "{code} comes {} ms late", now - self.deadline);
        }
        self.check_final(step, code, is_of_server)?;
        self.ended = Some((now, code, bytes.clone()));
        let winner = of_try.filter(|_| is_of_server);
        for (number, of) in self.tries.iter_mut().enumerate() {
            if Some(number) != winner {
                of.is_left = true;
            }
        }
        Ok(())
    }

    /// §16.7 item 6: the caller gets the best of what the servers sent.
    fn check_final(&mut self, step: &Step, code: u16, is_of_server: bool) -> Result {
        let is_other = !self.is_invite;
        ensure!(code != 503, "a 503 goes to the caller");
        ensure!(!(code == 408 && is_other), "a 408 to what is no INVITE");
        if let Some(last) = self.tries.last().filter(|of| of.end.is_none()) {
            self.has_lost |= last.is_unreachable || (step.is_inactive)(last.server);
        }
        // A left try that we have cancelled says only that.
        let is_own = |of: &&Try| of.is_late || of.is_left && of.cancels > 0 && of.end == Some(487);
        let ends = || {
            let ends = self.tries.iter().filter(|of| !is_own(of)).filter_map(|of| of.end);
            // RFC 4320 §4.2
            ends.filter(|code| !(*code == 408 && is_other))
        };
        if !is_of_server {
            let is_due = match code {
                408 => true,
                487 => self.is_cancelled,
                500 => self.has_lost || ends().any(|code| code == 503) || self.is_not_kept,
                _ => false,
            };
            ensure!(is_due, "the relay made up a {code}");
            self.seen.push(match code {
                408 => "own 408",
                487 => "own 487",
                _ => "own 500",
            });
        }
        if code >= 300 && !self.is_cancelled && !self.is_not_kept {
            let finals = ends().filter(|code| *code >= 300);
            if finals.clone().count() > 1 {
                self.seen.push("best of several");
            }
            let best = finals.map(rank).min();
            ensure!(best.is_none_or(|best| rank(code) <= best), "a {code} though there is better");
        }
        Ok(())
    }

    /// What must have followed from a message.
    fn after_message(
        &mut self,
        step: &Step,
        input: &Sip,
        verdict: Verdict,
        sent: &[(&Sent, Sip)],
        of_try: Option<usize>,
        (tries_before, was_ended): (usize, bool),
    ) -> Result {
        let caller = self.caller;
        let to_caller = |code: u16| {
            let is_it = |(one, sip): &&(&Sent, Sip)| one.to == caller && sip.status() == Some(code);
            sent.iter().filter(is_it).count()
        };
        let Some(code) = input.status() else {
            match input.method() {
                "CANCEL" => {
                    let answers = sent.iter().filter(|(_, sip)| sip.cseq().1 == "CANCEL");
                    let answers = answers.filter_map(|(_, sip)| sip.status()).collect::<Vec<_>>();
                    let is_known = self.began.is_some();
                    let wants = if is_known { [200] } else { [481] };
                    let is_refused = !is_known && answers == [200];
                    ensure!(answers == wants || is_refused, "a CANCEL is answered {answers:?}");
                    // A try that has answered is cancelled at once.
                    if self.is_cancelled && self.ended.is_none() {
                        let last = self.tries.last().expect("it began");
                        let is_due = last.has_answered && last.end.is_none() && !last.is_left;
                        ensure!(!is_due || last.cancels > 0, "the caller's CANCEL goes nowhere");
                    }
                }
                "ACK" => {}
                _ => {
                    let is_chosen = verdict == Verdict::Forwarded(Forwarded::Chosen);
                    ensure!(!is_chosen || self.tries.len() == 1, "a copy begins anew");
                    let is_first = is_chosen && self.is_invite;
                    ensure!(!is_first || to_caller(100) == 1, "an INVITE without a 100");
                    if let Verdict::Answered(answer) = verdict {
                        let is_own = matches!(answer, Answer::Trying | Answer::Repeated)
                            || self.began.is_none() && answer == Answer::NoDestination;
                        ensure!(is_own, "a request is answered {}", answer.label());
                    }
                    self.after_copy(step.now, sent, is_chosen)?;
                }
            }
            return Ok(());
        };
        let number = of_try.expect("it is a response");
        let of = &self.tries[number];
        if input.cseq().1 == "CANCEL" {
            ensure!(sent.is_empty(), "something follows from the answer to a CANCEL");
            return Ok(());
        }
        let was_current = number + 1 == tries_before && !was_ended;
        // An INVITE that is current may ring for minutes.
        let is_alive =
            step.now + LATE < of.began + TIMEOUT || self.is_invite && was_current && !of.is_late;
        let is_2xx = (200..300).contains(&code);
        let is_lone = input.all("Via").count() == 1;
        if self.is_invite && is_2xx && is_alive {
            ensure!(to_caller(code) == 1, "a 2xx does not reach the caller");
        }
        if self.is_invite && code >= 300 && is_alive {
            let acks = sent.iter().filter(|(_, sip)| sip.method() == "ACK").count();
            let is_other = of.end != Some(code) || of.is_unreachable;
            ensure!(acks == 1 || is_other, "a {code} gets {acks} ACKs");
        }
        if code < 200 && self.is_invite && of.end.is_none() && is_alive && !of.is_unreachable {
            if of.is_left {
                ensure!(of.cancels > 0, "a left try answers, and is not cancelled");
            } else if self.is_cancelled {
                ensure!(of.cancels > 0, "a cancelled try answers, and is not cancelled");
            }
            if was_current && !of.is_left && code > 100 && !is_lone {
                ensure!(to_caller(code) == 1, "a {code} does not reach the caller");
            }
        }
        if code >= 200 && was_current && is_alive && !of.is_unreachable {
            let goes_on = self.tries.len() > tries_before || self.ended.is_some();
            ensure!(goes_on || is_408_to_other(code, self), "nothing follows from a {code}");
        }
        Ok(())
    }
}

/// RFC 4320 §4.2: to what is no INVITE a 408 does not go on.
fn is_408_to_other(code: u16, call: &Call) -> bool {
    code == 408 && !call.is_invite
}

/// The place of a final response in the order of §16.7 item 6: lower is better.
fn rank(code: u16) -> u16 {
    match code {
        600.. => 0,
        401 | 407 | 415 | 420 | 484 => 40,
        _ => code / 100 * 10 + 5,
    }
}

/// A response as it goes on.
fn without_top_via(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let mut has_via = false;
    let lines = text.split_inclusive("\r\n").filter(|line| {
        let is_top = line.starts_with("Via:") && !has_via;
        has_via |= is_top;
        !is_top
    });
    lines.collect::<String>().into_bytes()
}
