//! The words of an explanation: each verdict and rule as a sentence that an operator can act on.

use std::net::SocketAddr;

use crate::destination::{Asked, Over, Slot};
use crate::message::{Fault, Message, Method};
use crate::pin::State;
use crate::proxy::{
    Answer, EmergencyBy, Explained, Forwarded, Leads, OwnRoute, PassedOver, Reason, Remembered,
    Rule, Snapshot, Speaker, Verdict,
};

/// What the words describe.
pub(super) struct Facts<'a> {
    pub(super) message: &'a [u8],
    pub(super) explained: &'a Explained,
    pub(super) snapshot: &'a Snapshot,
    pub(super) source: SocketAddr,
    pub(super) describe: &'a dyn Fn(Slot) -> String,
}

/// Returns by which rule a message was forwarded, from its verdict alone: as it was decided, without
/// what the relay knows now.
pub(in crate::control) fn rule_of(verdict: Verdict) -> Option<&'static str> {
    let Verdict::Forwarded(how) = verdict else { return None };
    Some(match how {
        Forwarded::Chosen => "it is new",
        Forwarded::Retried => "it is a copy, and its destination has become inactive",
        Forwarded::Pinned => "its request went there",
        Forwarded::Token => "the token in its Route says so",
        Forwarded::CallPin => "its call is remembered",
        Forwarded::RequestUri => "its Request-URI names a destination",
        Forwarded::Hash => "nothing is remembered, and the hash of its set says so",
        Forwarded::Response => "its next Via says so",
        Forwarded::ViaParameterLost => "its next Via says so; its server dropped our parameter",
    })
}

impl Facts<'_> {
    /// Describes the verdict.
    pub(super) fn says(&self) -> String {
        let leaves = self.explained.leaves.as_ref();
        match self.explained.verdict {
            Verdict::Forwarded(how) => {
                let to = leaves.map(|leaves| leaves.flow.peer.to_string()).unwrap_or_default();
                let is_response = matches!(how, Forwarded::Response | Forwarded::ViaParameterLost);
                match self.explained.destination.filter(|_| !is_response) {
                    Some(slot) => format!("forwarded to {}", (self.describe)(slot)),
                    None => format!("forwarded to {to}"),
                }
            }
            Verdict::Answered(_) => {
                let status = leaves.map(|leaves| status_line(&leaves.bytes)).unwrap_or_default();
                format!("answered with {status}")
            }
            Verdict::Dropped(reason) => format!("dropped ({}): nothing is sent", reason.label()),
            Verdict::HandedOver(worker) => format!("handed over to worker {worker}"),
        }
    }

    /// Returns the reasons, the cause first.
    pub(super) fn because(&self) -> Vec<String> {
        let cause = match self.explained.verdict {
            Verdict::Forwarded(_) => self.rule(),
            Verdict::Answered(answer) => self.answer(answer),
            Verdict::Dropped(reason) => self.reason(reason),
            Verdict::HandedOver(_) => "that worker has the transactions of its call".into(),
        };
        let mut because = vec![cause];
        because.extend(self.emergency());
        because
            .extend(self.explained.transaction.map(|pin| self.remembered("its transaction", pin)));
        because.extend(self.explained.call.map(|pin| self.remembered("its call", pin)));
        if let OwnRoute::Verified(speaker, token) = self.explained.route {
            let who = match speaker {
                Speaker::Caller => "the caller's",
                Speaker::Callee => "the callee's",
                Speaker::Either => "the caller's or the callee's",
            };
            because.push(format!(
                "the token in its Route verifies: it is {who} request, the call is between {} and {}",
                token.response_address, token.destination
            ));
        }
        if let Some(known) = self.explained.sender {
            because.push(format!(
                "{} is the address of {}",
                self.source,
                (self.describe)(known.slot)
            ));
        }
        because
    }

    fn emergency(&self) -> Option<String> {
        let what = match self.explained.emergency? {
            EmergencyBy::Service => "its Request-URI is urn:service:sos",
            EmergencyBy::Number => "it is for a number of dispatch.emergency.numbers",
            EmergencyBy::ResourcePriority => {
                "its Resource-Priority is one of dispatch.emergency.resource_priority"
            }
        };
        let per_source = self.snapshot.policy.emergency.per_source;
        Some(format!(
            "it is an emergency call ({what}): limits do not refuse it, up to {per_source} such \
             calls a second from its source"
        ))
    }

    fn rule(&self) -> String {
        let set = self.explained.set;
        match self.explained.rule {
            Rule::Turn => {
                let count = self.explained.round.len();
                let policy = self.snapshot.set_policy(set);
                let algorithm = policy.choosing.algorithm.name();
                let more = policy.stateful.as_ref().map_or(0, |failover| failover.tries_max - 1);
                let next = match more {
                    0 => String::new(),
                    1 => "; if it fails, another one is tried".into(),
                    more => format!("; if it fails, up to {more} others are tried"),
                };
                format!("it is new: {algorithm} of set {set}, with {count} to choose from{next}")
            }
            Rule::Challenge => {
                "it carries credentials: they answer the challenge of this destination".into()
            }
            Rule::Retry => {
                "it is a copy of a request that was not answered, and its destination has \
                            become inactive"
                    .into()
            }
            Rule::Transaction => "it belongs to a transaction that the relay remembers".into(),
            Rule::Call => "it belongs to a call that the relay remembers".into(),
            Rule::Token => {
                "the token in its Route, from our Record-Route, names its next hop".into()
            }
            Rule::RequestUri => "its Request-URI names this destination".into(),
            Rule::Hash | Rule::DialogHash => {
                "nothing is remembered of it, but the hash of the set chooses this destination"
                    .into()
            }
            Rule::Via => {
                let or = if self.snapshot.policy.is_stateful {
                    "; if its request has a transaction, the next destination may be tried instead"
                } else {
                    ""
                };
                format!(
                    "a response: our own Via on top verifies, and the next Via says where it goes{or}"
                )
            }
            Rule::Branch => {
                "a response: its server dropped our Via parameter, but the branch is ours".into()
            }
            Rule::Nowhere => String::new(),
        }
    }

    fn answer(&self, answer: Answer) -> String {
        let set = self.explained.set;
        let is_draining = self.snapshot.draining;
        let is_cancel = Message::read(self.message).method == Method::Cancel;
        let earlier = self.explained.transaction.map(|pin| pin.to);
        match answer {
            Answer::Ok if is_cancel => {
                "the relay itself answered the request that it cancels".into()
            }
            Answer::Ok => "it is a health check of the relay itself".into(),
            Answer::BadRequest => match self.explained.fault {
                Some(fault) => format!("malformed: {}", fault_words(fault)),
                None => "malformed: a Route, the Max-Breadth or the top Via cannot be read".into(),
            },
            Answer::Forbidden => self.forbidden(),
            Answer::NoDestination if earlier == Some(Leads::NoDestination) => {
                "a copy: it gets the same answer as the first one".into()
            }
            answer if answer.is_over_limit() && earlier == Some(Leads::OverLimit) => {
                "a copy: it gets the same answer as the first one".into()
            }
            Answer::OverRate => format!(
                "set {set}, or each destination of it that can be chosen, has all the new calls per \
                 second that its limit allows"
            ),
            Answer::OverCalls => format!(
                "set {set}, or each destination of it that can be chosen, has all the calls in \
                 progress that its limit allows"
            ),
            Answer::OverSourceRate => format!(
                "its source has sent all the calls per second that set {set} allows from one source \
                 to one destination, to each destination of it that has room"
            ),
            Answer::Overloaded if earlier == Some(Leads::Overloaded) => {
                "a copy: it gets the same answer as the first one".into()
            }
            Answer::Overloaded => format!(
                "each destination of set {set} that has room is overloaded and asks for fewer new \
                 requests (overload_control)"
            ),
            Answer::NoDestination => format!("no destination of set {set} can be chosen"),
            Answer::Trying | Answer::Repeated => {
                "a copy: it gets the response of its transaction again".into()
            }
            Answer::Timeout => "no destination answered it in time".into(),
            Answer::Terminated => "its caller has cancelled it".into(),
            Answer::Failed => "every destination that it was sent to has failed".into(),
            Answer::UnsupportedScheme => {
                "its Request-URI is sips:, and it would be sent over UDP (dispatch.sips)".into()
            }
            Answer::BadExtension => {
                "it has a Proxy-Require, and the relay supports no such extension".into()
            }
            Answer::NoTransaction => "it belongs to no transaction or call that the relay \
                                      remembers, has no token in a Route, and its Request-URI \
                                      names no destination"
                .into(),
            Answer::TooManyHops => "its Max-Forwards is 0".into(),
            Answer::BreadthExceeded => "its Max-Breadth is 0".into(),
            Answer::Unavailable if earlier == Some(Leads::Unavailable) => {
                "a copy: it gets the same answer as the first one".into()
            }
            Answer::Unavailable if is_draining => {
                "the relay is draining: it refuses new requests".into()
            }
            Answer::Unavailable => {
                format!("it is a health check, and no destination of set {set} is active")
            }
            Answer::Version => "its version of SIP is not 2.0".into(),
            Answer::TooLarge => "it would not fit a datagram after the relay's additions".into(),
        }
    }

    fn forbidden(&self) -> String {
        if self.explained.route == OwnRoute::Forged {
            return "the token in its Route does not verify: it is from another call, or made up"
                .into();
        }
        match self.explained.sender.filter(|known| known.is_listed) {
            Some(_) => {
                "it is a new request from a destination, and those are not sent to destinations"
                    .into()
            }
            None => "it has someone else's Route, and foreign_route = \"refuse\"".into(),
        }
    }

    fn reason(&self, reason: Reason) -> String {
        match reason {
            Reason::KeepAlive => "empty, or only line ends: a keep-alive for a NAT",
            Reason::Stun => "it is STUN, not SIP",
            Reason::NotSip => "its first line is not SIP",
            Reason::NotAllowed => "its source is neither in relay.allow nor a destination, and it belongs to no call of ours",
            Reason::Truncated => "it is longer than any datagram",
            Reason::BadAck => match self.explained.fault {
                Some(fault) => {
                    return format!(
                        "a malformed ACK, which is never answered: {}",
                        fault_words(fault)
                    );
                }
                None if self.explained.route == OwnRoute::Forged => {
                    "an ACK, which is never answered, with a token from another call"
                }
                None => "an ACK that cannot be forwarded, and an ACK is never answered",
            },
            Reason::OwnAck => "the ACK to one of the relay's own responses ends here",
            Reason::StrayAck => "an ACK that belongs to no transaction or call that the relay \
                                 remembers",
            Reason::Unanswerable => {
                "malformed, and its top Via does not say where an answer would go"
            }
            Reason::TooShort => {
                "so short that every answer would be longer: the relay must not amplify traffic \
                 to a forged source"
            }
            Reason::MalformedResponse => match self.explained.fault {
                Some(fault) => return format!("a malformed response: {}", fault_words(fault)),
                None => "a malformed response",
            },
            Reason::ForeignVia => "a response whose top Via is not the relay's",
            Reason::ForgedVia => {
                "a response whose top Via names the relay, but the relay did not write it for \
                 this call"
            }
            Reason::NoNextVia => "a response without a second Via: it has nowhere to go",
            Reason::LoneTrying => {
                "a 100 without a second Via: it has nowhere to go, but its request is answered"
            }
            Reason::ProbeReply => {
                "it answers a probe of the relay itself: the prober takes it, and it goes nowhere"
            }
            Reason::BadNextVia => {
                "a response whose second Via has no address that the relay may send to"
            }
            Reason::Absorbed => "it ends at its transaction",
            Reason::TriedNext => "a final response after which the next destination is tried",
            Reason::NoTransaction => "a response to a try whose transaction has ended",
            Reason::OwnerBusy => "the worker that has the transactions of its call is overloaded",
            Reason::OtherTry => "a response to an earlier try of its request",
            Reason::TooLarge => "it would not fit a datagram after the relay's changes",
            Reason::NoListener => "no listener has an address of the family of its next hop",
            Reason::SelfLoop => "it would loop back to the relay itself",
            Reason::PinContended => "another worker is choosing a destination for a copy of it \
                                     right now",
            Reason::ListBehind => "its destination is so new that not every worker knows it yet",
            Reason::Panicked => "a bug of the relay: please report it",
        }
        .into()
    }

    fn remembered(&self, what: &str, pin: Remembered) -> String {
        match pin.to {
            Leads::To(slot) if pin.is_challenge => {
                format!("{what} is remembered: {} challenged it", (self.describe)(slot))
            }
            Leads::To(slot) => {
                let state = match pin.state {
                    _ if what == "its call" => "",
                    State::None => ", not answered yet",
                    State::Trying => ", with a 100",
                    State::Ringing => ", ringing",
                    State::Final => ", answered",
                    State::Tentative => ", being chosen",
                };
                let earlier = match pin.earlier_tries {
                    0 => String::new(),
                    1 => ", after another one".into(),
                    earlier => format!(", after {earlier} others"),
                };
                format!(
                    "{what} is remembered: it went to {}{earlier}{state}",
                    (self.describe)(slot)
                )
            }
            Leads::NoDestination => {
                format!("{what} is remembered: there was no destination for it")
            }
            Leads::Overloaded => {
                format!("{what} is remembered: every destination for it was overloaded")
            }
            Leads::OverLimit => format!("{what} is remembered: it was over a limit"),
            Leads::Unavailable => {
                format!("{what} is remembered: it came while the relay was draining")
            }
        }
    }
}

/// Says why a destination that can be chosen does not get a request.
pub(super) fn passed_over(why: PassedOver) -> String {
    match why {
        PassedOver::SlowStart => "slow start: it takes only a part of its share yet".into(),
        PassedOver::OverShare => {
            "it holds more than its share of the calls of the set (load_factor)".into()
        }
        PassedOver::Limit(Over::Rate) => {
            "at its limit: it has all the new calls per second that it allows (cps)".into()
        }
        PassedOver::Limit(Over::Calls) => {
            "at its limit: it has all the calls in progress that it allows (maxload)".into()
        }
        PassedOver::Limit(Over::SourceRate) => {
            "the source is at its limit of calls per second to it".into()
        }
        PassedOver::Limit(Over::SourcesFull) => {
            "there is no room to count the calls of the source to it".into()
        }
        PassedOver::Limit(Over::Overload) => "overloaded".into(),
        PassedOver::Overload(Asked { percent, left_ms, .. }) => format!(
            "overloaded: {percent} % of its new requests are kept from it for {left_ms} ms more"
        ),
        PassedOver::Load { own, other, is_time: false } => {
            format!("it has {own} calls in progress, and the one that gets it has {other}")
        }
        PassedOver::Load { own, other, is_time: true } => {
            let ms = |us: u64| format!("{}.{}", us / 1_000, us % 1_000 / 100);
            format!("it answers in {} ms, and the one that gets it in {} ms", ms(own), ms(other))
        }
    }
}

fn fault_words(fault: Fault) -> &'static str {
    match fault {
        Fault::StartLine => "its first line",
        Fault::RequestUri => "its Request-URI",
        Fault::Row => "a header field without a proper name or line end",
        Fault::NoBlankLine => "the blank line after the header is missing",
        Fault::Twice => "a field that may occur only once occurs twice",
        Fault::Missing => "Via, From, To, Call-ID or CSeq is missing",
        Fault::Via => "its top Via",
        Fault::From => "its From",
        Fault::To => "its To",
        Fault::CallId => "its Call-ID",
        Fault::CSeq => "its CSeq, or the CSeq names another method",
        Fault::MaxForwards => "its Max-Forwards",
        Fault::ContentLength => "its Content-Length, or it is shorter than that says",
    }
}

/// `404 No destination` of an answer.
fn status_line(answer: &[u8]) -> String {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    line.strip_prefix("SIP/2.0 ").unwrap_or(&line).to_owned()
}
