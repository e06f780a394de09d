//! The few address rules that the observer and the parties use.

use std::net::{IpAddr, SocketAddr};

use strowger::proxy::ListenerId;

use crate::endpoint;
use crate::observer::Case;
use crate::relay::Relay;
use crate::sip::{Sip, sent_by};

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
