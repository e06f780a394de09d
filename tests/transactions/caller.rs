//! A caller: one request, its client transaction (RFC 3261 §17.1), its CANCEL, and the ACK to each 2xx.

use std::net::SocketAddr;

use crate::plan::CallPlan;
use crate::sip::{Sip, Spelling, tag, uri};
use crate::world::{T1, T2, TIMEOUT};

#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
    pub(crate) call_id: String,
    pub(crate) plan: CallPlan,
    request: Sip,
    began: u64,
    has_provisional: bool,
    pub(crate) final_code: Option<u16>,
    cancel: Cancel,
    is_gone: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cancel {
    No,
    Sent,
    Answered,
}

/// A timer of a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    Begin,
    /// The request again, and the interval after it.
    Request(u64),
    Cancel,
    /// The CANCEL again.
    CancelAgain(u64),
    Vanish,
}

/// What a caller does: messages to the relay, and timers.
#[derive(Debug, Default)]
pub(crate) struct Does {
    pub(crate) sends: Vec<Vec<u8>>,
    pub(crate) sets: Vec<(u64, Timer)>,
}

impl Caller {
    pub(crate) fn new(number: usize, plan: CallPlan) -> Self {
        let address = SocketAddr::from(([198, 51, 100, number as u8 + 1], 5062));
        let call_id = format!("call-{number}");
        let mut request = Sip::new(format!("{} sip:bob@example.com SIP/2.0", plan.method));
        request.add("Via", format!("SIP/2.0/UDP {address};branch=z9hG4bK-{number}-1"));
        request.add("Max-Forwards", "70");
        request.add("From", format!("<sip:alice@example.org>;tag=a{number}"));
        request.add("To", "<sip:bob@example.com>");
        request.add("Call-ID", call_id.clone());
        request.add("CSeq", format!("7 {}", plan.method));
        request.add("Contact", format!("<sip:alice@{address}>"));
        Self {
            address,
            call_id,
            plan,
            request,
            began: 0,
            has_provisional: false,
            final_code: None,
            cancel: Cancel::No,
            is_gone: false,
        }
    }

    pub(crate) fn is_invite(&self) -> bool {
        self.plan.method == "INVITE"
    }

    pub(crate) fn timer(&mut self, now: u64, timer: Timer) -> Does {
        let mut does = Does::default();
        if self.is_gone {
            return does;
        }
        match timer {
            Timer::Begin => {
                self.began = now;
                does.sends.push(self.request.write(Spelling::Plain));
                does.sets.push((now + T1, Timer::Request(2 * T1)));
                does.sets.extend(self.plan.cancels.map(|ms| (now + ms, Timer::Cancel)));
                does.sets.extend(self.plan.vanishes.map(|ms| (now + ms, Timer::Vanish)));
            }
            Timer::Request(interval) => {
                let is_due = now < self.began + TIMEOUT && self.final_code.is_none();
                if is_due && !(self.is_invite() && self.has_provisional) {
                    does.sends.push(self.request.write(Spelling::Plain));
                    let next = if self.is_invite() { 2 * interval } else { (2 * interval).min(T2) };
                    does.sets.push((now + interval, Timer::Request(next)));
                }
            }
            Timer::Cancel => {
                if self.final_code.is_none() {
                    self.cancel = Cancel::Sent;
                    does.sends.push(self.derived("CANCEL", None));
                    does.sets.push((now + T1, Timer::CancelAgain(2 * T1)));
                }
            }
            Timer::CancelAgain(interval) => {
                let end = self.began + self.plan.cancels.unwrap_or(0) + TIMEOUT;
                if self.cancel == Cancel::Sent && now < end {
                    does.sends.push(self.derived("CANCEL", None));
                    does.sets.push((now + interval, Timer::CancelAgain((2 * interval).min(T2))));
                }
            }
            Timer::Vanish => self.is_gone = true,
        }
        does
    }

    pub(crate) fn response(&mut self, sip: &Sip) -> Does {
        let mut does = Does::default();
        let code = sip.status().unwrap();
        if self.is_gone {
            return does;
        }
        if sip.cseq().1 == "CANCEL" {
            self.cancel = Cancel::Answered;
            return does;
        }
        if code < 200 {
            self.has_provisional = true;
            return does;
        }
        self.final_code.get_or_insert(code);
        if self.is_invite() && code >= 300 {
            does.sends.push(self.derived("ACK", Some(sip.get("To"))));
        } else if self.is_invite() {
            does.sends.push(self.ack_to_2xx(sip));
        }
        does
    }

    /// The CANCEL, or the ACK to a response that is no 2xx.
    fn derived(&self, method: &str, to: Option<&str>) -> Vec<u8> {
        let mut sip = self.request.clone();
        sip.first = format!("{method} sip:bob@example.com SIP/2.0");
        sip.rows.retain(|(name, _)| name != "Contact");
        *sip.get_mut("CSeq").unwrap() = format!("7 {method}");
        if let Some(to) = to {
            to.clone_into(sip.get_mut("To").unwrap());
        }
        sip.write(Spelling::Plain)
    }

    fn ack_to_2xx(&self, ok: &Sip) -> Vec<u8> {
        let mut sip = Sip::new(format!("ACK {} SIP/2.0", uri(ok.get("Contact"))));
        let branch = format!("{}-ack-{}", self.call_id, tag(ok.get("To")));
        sip.add("Via", format!("SIP/2.0/UDP {};branch=z9hG4bK-{branch}", self.address));
        sip.add("Max-Forwards", "70");
        if self.plan.has_route {
            ok.all("Record-Route").rev().for_each(|route| sip.add("Route", route));
        }
        sip.add("From", ok.get("From"));
        sip.add("To", ok.get("To"));
        sip.add("Call-ID", ok.get("Call-ID"));
        sip.add("CSeq", "7 ACK");
        sip.write(Spelling::Plain)
    }
}
