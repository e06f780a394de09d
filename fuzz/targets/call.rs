//! A forwarded request, and what its two ends may do afterwards. Everything that follows the rules
//! must succeed.

use std::net::SocketAddr;

use strowger::keys::MasterKey;
use strowger::message::Message;
use strowger::proxy::{Answer, Forwarded, InDialog as Follow, Reason, Verdict};

use super::relay::{Relay, Sent, Way};
use crate::oracle::law::response_address;
use crate::oracle::rows::Parts;
use crate::oracle::server::{Habits, response};
use crate::oracle::text::{bytes_of, split_outside, text_of, trim};
use crate::oracle::{Reading, StartLine};

/// A request that was forwarded.
pub(crate) struct Call {
    /// As its sender wrote it.
    pub(crate) request: Vec<u8>,
    pub(crate) way: Way,
    /// As its next hop got it.
    pub(crate) sent: Sent,
    pub(crate) how: Forwarded,
    response_address: SocketAddr,
    is_invite: bool,
    at_ms: u64,
    lives: usize,
    /// The number and secret of the key that it was signed with.
    key: (u8, [u8; 32]),
    policy: u64,
    /// It has, or had, a transaction.
    is_try: bool,
}

impl Call {
    pub(crate) fn new(
        relay: &Relay,
        way: Way,
        request: Vec<u8>,
        sent: Sent,
        how: Forwarded,
        policy: u64,
    ) -> Self {
        let Reading { start_line, top_via, .. } = Reading::of(&request);
        let force_rport = relay.shared.listeners.get(way.listener).force_rport;
        let via = top_via.expect("it was forwarded");
        Self {
            response_address: response_address(&via, way.peer, force_rport),
            is_invite: matches!(start_line, StartLine::Request { method, .. } if method == "INVITE"),
            request,
            way,
            sent,
            how,
            at_ms: relay.now.ms(),
            lives: relay.lives,
            key: identity(&relay.keys[0]),
            policy,
            is_try: false,
        }
    }

    /// The same, a try of a transaction or not.
    pub(crate) fn of_transaction(self, is_try: bool) -> Self {
        Self { is_try, ..self }
    }

    /// The pin of its transaction is there, and nothing that would be decided differently now.
    fn is_pinned(&self, relay: &Relay, policy: u64) -> bool {
        self.how == Forwarded::Chosen
            && self.lives == relay.lives
            && self.policy == policy
            && relay.now.ms() - self.at_ms < 24_000
            && !relay.has_evicted()
            && relay.snapshot.policy.allows(&self.way.peer)
    }

    /// §16.11: a copy, at whichever worker, goes where the first one went, with the same branch.
    pub(crate) fn repeat(&self, relay: &mut Relay, worker: usize, policy: u64) {
        let is_pinned = self.is_pinned(relay, policy);
        let outcome = relay.send(Way { worker, ..self.way }, &self.request);
        if is_pinned && self.has_transaction(relay) {
            // A worker that has panicked has no transaction any more.
            assert!(
                matches!(
                    outcome.verdict,
                    Verdict::Answered(Answer::Trying | Answer::Repeated)
                        | Verdict::Dropped(
                            Reason::Absorbed | Reason::TooShort | Reason::Unanswerable
                        )
                        | Verdict::Forwarded(Forwarded::Pinned)
                ),
                "{:?}",
                outcome.verdict
            );
        } else if is_pinned {
            assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::Pinned));
            self.assert_went_along(&outcome.sent.expect("forwarded"));
        }
    }

    /// The CANCEL of an INVITE, and the ACK to its non-2xx, follow it.
    pub(crate) fn follow(&self, relay: &mut Relay, worker: usize, method: &str, policy: u64) {
        let is_expected = self.is_pinned(relay, policy)
            && self.is_invite
            && relay.snapshot.policy.max_breadth.is_none();
        let text = self.hop_by_hop(method);
        let outcome = relay.send(Way { worker, ..self.way }, &text);
        if is_expected && self.has_transaction(relay) {
            assert!(
                matches!(
                    (method, outcome.verdict),
                    (
                        "CANCEL",
                        Verdict::Answered(Answer::Ok)
                            | Verdict::Dropped(Reason::TooShort | Reason::Unanswerable)
                    ) | ("ACK", Verdict::Dropped(Reason::Absorbed | Reason::OwnAck))
                        | (_, Verdict::Forwarded(Forwarded::Pinned))
                ),
                "{method} {:?}",
                outcome.verdict
            );
        } else if is_expected {
            assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::Pinned), "{method}");
            self.assert_went_along(&outcome.sent.expect("forwarded"));
        }
    }

    /// It is a try, or the same request has come again and got a transaction.
    fn has_transaction(&self, relay: &Relay) -> bool {
        self.is_try || relay.has_begun(&self.sent)
    }

    fn assert_went_along(&self, sent: &Sent) {
        assert_eq!((sent.to, sent.listener), (self.sent.to, self.sent.listener));
        assert_eq!(sent.branch(), self.sent.branch());
    }

    /// §9.1, §17.1.1.3: the Request-URI, Call-ID, From, the number of the `CSeq` and the topmost
    /// Via of the request.
    fn hop_by_hop(&self, method: &str) -> Vec<u8> {
        let parts = parts(&self.request);
        let uri = parts.first_line.split(' ').nth(1).expect("a request");
        let via = trim(split_outside(parts.first("via").raw(), ',')[0]);
        let (from, to) = (&parts.first("from").whole, trim(&parts.first("to").whole));
        let call_id = &parts.first("call-id").whole;
        let tag = if method == "ACK" { ";tag=answered" } else { "" };
        let number = Reading::of(&self.request).cseq_number.expect("it was forwarded");
        bytes_of(&format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\n{from}{to}{tag}\r\n{call_id}\
             CSeq: {number} {method}\r\n\r\n"
        ))
    }

    /// A response of the next hop comes to who asked, without our Via and otherwise as it was.
    pub(crate) fn answer(&self, relay: &mut Relay, worker: usize, status: &str, habits: Habits) {
        let text = response(&self.sent.bytes, status, "callee", habits);
        let way = Way { worker, listener: self.sent.listener, peer: self.sent.to };
        let mut is_expected = self.is_signed_by_us(relay) && self.can_be_answered(relay, way.peer);
        if habits.drops_parameter {
            let policy = &relay.snapshot.policy;
            let table = &relay.snapshot.destinations;
            let message = Message::read(&self.request);
            is_expected &= policy.allows(&self.response_address)
                && identity(&relay.keys[0]) == self.key
                && table.by_source(way.peer, policy.source_match).is_some()
                && message.via.is_some_and(|via| via.usable_branch(&self.request).is_some());
        }
        let outcome = relay.send(way, &text);
        // What goes on of the responses to tries is the transaction's to say.
        if !is_expected || self.has_transaction(relay) {
            return;
        }
        let wanted =
            if habits.drops_parameter { Forwarded::ViaParameterLost } else { Forwarded::Response };
        assert_eq!(outcome.verdict, Verdict::Forwarded(wanted), "{}", text.escape_ascii());
        let sent = outcome.sent.expect("forwarded");
        assert_eq!(sent.to, self.response_address);
        if !habits.drops_parameter {
            let is_same_family = self.way.peer.is_ipv4() == self.response_address.is_ipv4();
            assert!(!is_same_family || sent.listener == self.way.listener, "by the way it came");
        }
        if !habits.joins_vias {
            let mut parts = parts(&text);
            let top = parts.rows.iter().position(|row| row.is("via")).expect("it stands there");
            parts.rows.remove(top);
            assert_eq!(text_of(&sent.bytes), parts.text());
        }
    }

    fn is_signed_by_us(&self, relay: &Relay) -> bool {
        relay.keys.iter().any(|key| identity(key) == self.key)
    }

    fn can_be_answered(&self, relay: &Relay, peer: SocketAddr) -> bool {
        relay.snapshot.policy.allows(&peer)
            && !relay.is_ours(peer)
            && !relay.is_ours(self.response_address)
    }

    /// The values of the Record-Routes that are ours.
    pub(crate) fn own_routes(&self) -> Vec<String> {
        let before = parts(&self.request).all("record-route").count();
        let after = parts(&self.sent.bytes);
        let own = after.all("record-route").count() - before;
        after.all("record-route").take(own).map(|row| row.raw().to_owned()).collect()
    }

    /// A request in the dialog by our Record-Route, from the caller or the callee.
    pub(crate) fn go_on(&self, relay: &mut Relay, worker: usize, method: &str, says: Says) {
        let own = self.own_routes();
        if own.is_empty() {
            return;
        }
        let parts = parts(&self.request);
        let caller = parts.first("from").raw().to_owned();
        let callee = format!("{};tag=callee", parts.first("to").raw());
        let (from, to, peer, listener) = if says.is_callee {
            (callee, caller, self.sent.to, self.sent.listener)
        } else {
            (caller, callee, self.way.peer, self.way.listener)
        };
        let mut routes = own;
        if !says.is_callee {
            // §12.1.2: the caller's route set is in reverse order.
            routes.reverse();
        }
        let mut uri = "sip:contact@somewhere.example".to_owned();
        if says.by_a_strict_router {
            let first = routes.remove(0);
            routes.push(format!("<{uri}>"));
            first.trim_matches(['<', '>']).clone_into(&mut uri);
        }
        routes.extend(says.further_route.map(str::to_owned));
        let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let call_id = parts.first("call-id").raw();
        let text = bytes_of(&format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};rport;branch=z9hG4bK-in-{method}\r\n\
             {routes}From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 7 {method}\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        ));
        let way = Way { worker, listener, peer };
        let wanted = if says.is_callee { self.response_address } else { self.sent.to };
        let has_other_tag = Reading::of(&self.request)
            .from_tag
            .is_none_or(|tag| !tag.eq_ignore_ascii_case("callee"));
        let is_expected = self.is_signed_by_us(relay)
            && relay.snapshot.policy.allows(&peer)
            && !relay.is_ours(peer)
            && has_other_tag
            && relay.snapshot.policy.max_breadth.is_none();
        // Where an operator lets requests follow their route, the route may lead elsewhere.
        let may_be_routed = says.further_route.is_some()
            && (says.is_callee || relay.snapshot.set_default.in_dialog == Follow::Route);
        let outcome = relay.send(way, &text);
        if !is_expected {
            return;
        }
        if relay.is_ours(wanted) {
            assert!(may_be_routed || outcome.verdict == Verdict::Dropped(Reason::SelfLoop));
            return;
        }
        assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::Token));
        if !may_be_routed {
            assert_eq!(outcome.sent.expect("forwarded").to, wanted);
        }
    }
}

fn identity(key: &MasterKey) -> (u8, [u8; 32]) {
    (key.id, key.secret)
}

/// How a request in a dialog is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Says {
    pub(crate) is_callee: bool,
    pub(crate) by_a_strict_router: bool,
    /// A Route value behind ours.
    pub(crate) further_route: Option<&'static str>,
}

fn parts(message: &[u8]) -> Parts {
    Parts::of(&text_of(message)).expect("it was forwarded")
}
