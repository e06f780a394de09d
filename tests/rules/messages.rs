//! The messages of callers and servers.

use std::net::SocketAddr;

use crate::oracle::server::{self, Habits};
use crate::relay::{Relay, Sent};

/// The caller's address, and the sent-by of its Via.
pub(crate) const CALLER: &str = "198.51.100.7:5062";

/// The To value of requests in a dialog.
pub(crate) const BOB: &str = "<sip:bob@example.com>;tag=bob";
/// The first destination.
pub(crate) const A: &str = "10.0.0.1:5060";

/// A caller's request, to be changed before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) via: String,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: String,
    /// More header rows, each with its line end.
    pub(crate) more: String,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, call_id: &'a str) -> Self {
        Self {
            method,
            uri: "sip:bob@example.com",
            via: format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call_id}-1"),
            from: "<sip:alice@example.org>;tag=alice",
            to: "<sip:bob@example.com>",
            call_id,
            cseq: format!("1 {method}"),
            more: String::new(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self { method, uri, via, from, to, call_id, cseq, more } = self;
        format!(
            "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq}\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }
}

pub(crate) fn invite(call_id: &str) -> String {
    Request::new("INVITE", call_id).text()
}

/// The response of a server to a request that the relay forwarded to it.
pub(crate) fn response(to: &Sent, status: &str, to_tag: &str) -> String {
    String::from_utf8(server::response(&to.bytes, status, to_tag, Habits::default())).unwrap()
}

/// A call that its destination has answered: the INVITE as the destination got it.
pub(crate) fn call(relay: &mut Relay, call_id: &str) -> Sent {
    call_from(relay, CALLER, call_id)
}

/// The same from another caller, to the first listener of its family.
pub(crate) fn call_from(relay: &mut Relay, caller: &str, call_id: &str) -> Sent {
    let mut invite = Request::new("INVITE", call_id);
    invite.via = format!("SIP/2.0/UDP {caller};branch=z9hG4bK-{call_id}-1");
    let is_reached = |local: &SocketAddr| local.is_ipv6() == caller.starts_with('[');
    let (listener, _) = relay.shared.listeners.iter().find(|(_, l)| is_reached(&l.local)).unwrap();
    let sent = relay.send_to(0, listener.0, caller, invite.text().as_bytes()).forwarded();
    let ok = response(&sent, "200 OK", "bob");
    relay.send_to(0, sent.listener.0, &sent.to.to_string(), ok.as_bytes()).forwarded();
    sent
}

/// A request of the caller in that call, with this Route.
pub(crate) fn by_caller(method: &str, call_id: &str, routes: &str) -> String {
    let mut request = Request::new(method, call_id);
    request.to = BOB;
    request.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call_id}-{method}-2");
    request.uri = "sip:bob@192.168.7.7:5060";
    request.more = routes.into();
    request.cseq = format!("2 {method}");
    request.text()
}

/// A request of the callee in that call.
pub(crate) fn by_callee(method: &str, call_id: &str, uri: &str, routes: &str) -> String {
    let mut request = Request::new(method, call_id);
    (request.from, request.to) = (BOB, "<sip:alice@example.org>;tag=alice");
    request.via = format!("SIP/2.0/UDP {A};branch=z9hG4bK-{call_id}-{method}-bob");
    request.uri = uri;
    request.more = routes.into();
    request.cseq = format!("7 {method}");
    request.text()
}
