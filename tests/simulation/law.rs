//! What holds for every datagram from any sender, and the few address rules that the observer uses.

use std::net::{IpAddr, SocketAddr};

use strowger::proxy::{
    Cause, ForeignRoute, Forwarded, Listener, ListenerId, Rewrite, Verdict, split_host_port,
};

use crate::endpoint;
use crate::observer::{Case, wants};
use crate::oracle::edits::{self, How};
use crate::relay::{Relay, Sent, Spec};
use crate::sip::{Sip, sent_by};

/// Bytes that a forwarded message may be longer: our Via (250, with a name of 60 in it), two
/// Record-Routes (200 each), `received` and `rport` (60), Max-Forwards and Max-Breadth (40), and as
/// much again for Request-URIs that are put right for strict routers.
const FORWARD_MORE: usize = 1_500;

/// One verdict, at most one message, an answer only to what may be answered, nothing much longer
/// than what came, and nothing to ourselves.
pub(crate) fn check(case: Case) -> Result<(), String> {
    let (verdict, bytes) = (case.handled.verdict, &case.datagram.bytes);
    let cause = case.handled.sent.as_ref().map(|sent| sent.cause);
    let wanted = match verdict {
        Verdict::Forwarded(_) => Some(Cause::Forward),
        Verdict::Answered(_) => Some(Cause::Answer),
        Verdict::Dropped(_) | Verdict::HandedOver(_) => None,
    };
    wants(cause == wanted, "messages as many as the verdict says")?;
    let text = bytes.trim_ascii_start();
    let is_silent = text.starts_with(b"SIP/2.0 ") || text.starts_with(b"ACK ");
    wants(!(is_silent && cause == Some(Cause::Answer)), "no answer to an ACK or a response")?;
    let Some(sent) = &case.handled.sent else {
        return Ok(());
    };
    let more = if sent.cause == Cause::Answer { bytes.len() / 8 } else { FORWARD_MORE };
    wants(sent.bytes.len() <= bytes.len() + more, "hardly more bytes than came")?;
    wants(case.relay.listener_at(sent.to).is_none(), "nobody sends to himself")?;
    wants(sent.to.port() != 0, "a port")?;
    let local = case.relay.listener(sent.listener).local;
    wants(local.is_ipv4() == sent.to.is_ipv4(), "a listener of its family")?;
    if sent.cause == Cause::Forward && case.is_thorough { check_edits(case, sent) } else { Ok(()) }
}

/// Nothing but the permitted edits was made: a slow reader that knows nothing of the relay's code
/// compares every byte.
fn check_edits(case: Case, sent: &Sent) -> Result<(), String> {
    let (came, left) = (&case.datagram.bytes, &sent.bytes);
    let how = match case.handled.verdict {
        Verdict::Forwarded(Forwarded::Response | Forwarded::ViaParameterLost) => {
            return edits::check_response(came, left);
        }
        Verdict::Forwarded(Forwarded::Chosen | Forwarded::Retried | Forwarded::Pinned) => {
            How::Dispatched { rewrite: rewritten(case.relay, sent.to) }
        }
        Verdict::Forwarded(Forwarded::Token) => How::Token,
        _ => How::Other,
    };
    let Spec { listeners, set, policy, .. } = &case.relay.spec;
    let relay = edits::Relay {
        sent_by: listeners.iter().map(|listener| listener.sent_by.clone()).collect(),
        names: listeners.iter().flat_map(names_of).collect(),
        record_route: set.record_route,
        keeps_foreign_routes: set.foreign_route == ForeignRoute::Keep,
        max_breadth: policy.max_breadth,
        force_rport: case.relay.listener(case.listener).force_rport,
    };
    edits::check_request(came, left, case.datagram.from, &relay, &how)?;
    let top = Sip::read(left);
    let egress = &case.relay.listener(sent.listener).sent_by;
    wants(top.is_none_or(|sip| sip.sent_by() == egress), "the sent-by of its way out")
}

/// Host and port of the destination, where the Request-URI gets them.
fn rewritten(relay: &Relay, destination: SocketAddr) -> Option<String> {
    let lines = || relay.lists.iter().rev().flat_map(|list| &list.lines);
    let line = lines().find(|line| line.addresses.contains(&destination))?;
    (relay.spec.set.rewrite == Rewrite::Domain).then(|| line.uri.replacen("sip:", "", 1))
}

/// The ways to name a listener: its address, IPv6 in brackets, and what it writes.
fn names_of(listener: &Listener) -> [(String, u16); 2] {
    let (host, port) = split_host_port(&listener.sent_by).expect("the world writes good names");
    let ip = listener.local.ip();
    let address = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
    [(address, listener.local.port()), (host.to_owned(), port)]
}

/// Where the responses to this request must go: RFC 3261 §18.2.2, RFC 3581 §4.
pub(crate) fn response_address(case: Case) -> SocketAddr {
    let peer = case.datagram.from;
    if case.relay.listener(case.listener).force_rport {
        return peer;
    }
    let sip = Sip::read(&case.datagram.bytes);
    sip.map_or(peer, |sip| endpoint::response_address(sip.get("Via"), peer))
}

pub(crate) fn first_of_family(relay: &Relay, address: SocketAddr) -> ListenerId {
    let listeners = &relay.spec.listeners;
    let at = listeners.iter().position(|l| l.local.is_ipv4() == address.is_ipv4());
    ListenerId(at.unwrap_or(0) as u16)
}

/// Whether a callee may name this address for its request in a dialog with a caller at `caller`.
pub(crate) fn may_be_named(relay: &Relay, address: SocketAddr, caller: SocketAddr) -> bool {
    let is_listed = relay.spec.policy.in_dialog_to.iter().any(|p| p.contains(address.ip()));
    is_listed
        && !address.ip().is_loopback()
        && !address.ip().is_multicast()
        && relay.listener_at(address).is_none()
        && (is_private(caller.ip()) || !is_private(address.ip()))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// The host of a Via's sent-by is the address itself.
pub(crate) fn names_source(via: &str, source: SocketAddr) -> bool {
    let host = sent_by(via);
    let host = host.rsplit_once(':').filter(|(_, p)| !p.contains(']')).map_or(host, |(h, _)| h);
    host.trim_matches(['[', ']']).parse() == Ok(source.ip())
}
