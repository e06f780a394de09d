//! The neighbour that a message came from: where its responses go, and what is written into its top
//! Via (RFC 3261 §18.2.1, §18.2.2; RFC 3581 §4).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use super::Listeners;
use crate::message::{Edits, Rport, Span, Via, parse_ip};

/// Returns where responses to a request with this top Via go: to the packet's source, at the port
/// of sent-by unless `rport` asks for the source port.
///
/// `maddr` changes nothing: it is honoured only if it is the packet's own source.
pub(super) fn response_address(peer: SocketAddr, via: &Via, force_rport: bool) -> SocketAddr {
    let port = if uses_source_port(via, force_rport) { peer.port() } else { via.port_or_default() };
    SocketAddr::new(peer.ip(), port)
}

/// Adds the edits that record in the top Via where its message came from.
pub(super) fn edit_top_via(
    edits: &mut Edits,
    bytes: &[u8],
    peer: SocketAddr,
    via: &Via,
    force_rport: bool,
) {
    if uses_source_port(via, force_rport) && via.rport != Rport::Port(peer.port()) {
        let place = via.rport_whole.unwrap_or(Span::new(via.value.end(), via.value.end()));
        edits.replace_with(place, |edits| {
            edits.write(b";rport=");
            edits.write_number(u32::from(peer.port()));
        });
    }
    let is_told =
        via.received.is_some_and(|span| received_address(span.of(bytes)) == Some(peer.ip()));
    let is_needed = via.received.is_some()
        || uses_source_port(via, force_rport)
        || parse_ip(via.host.of(bytes)) != Some(peer.ip());
    if is_needed && !is_told {
        let place = via.received_whole.unwrap_or(Span::new(via.value.end(), via.value.end()));
        edits.replace_with(place, |edits| {
            edits.write(b";received=");
            // Writing to the edits never fails; what does not fit is recorded there.
            let _ = write!(edits, "{}", peer.ip());
        });
    }
}

/// Returns where the response with this Via on top must go, as [`edit_top_via`] recorded it in the
/// request; `None` if there is no usable address.
pub(super) fn next_via_address(via: &Via, bytes: &[u8]) -> Option<SocketAddr> {
    let ip = match via.received {
        Some(received) => received_address(received.of(bytes))?,
        None => parse_ip(via.host.of(bytes))?,
    };
    let port = match via.rport {
        Rport::Port(port) => port,
        Rport::Absent | Rport::Asked => via.port_or_default(),
    };
    Some(SocketAddr::new(ip, port))
}

/// Returns whether a datagram may be sent to this address at all: never to broadcast, multicast,
/// unspecified and our own addresses (RFC 4475 §3.3.10).
pub(super) fn may_send_to(address: SocketAddr, listeners: &Listeners) -> bool {
    let ip = address.ip().to_canonical();
    let is_one_host = match ip {
        IpAddr::V4(ip) => !(ip.is_broadcast() || ip.is_multicast() || ip.octets()[0] == 0),
        IpAddr::V6(ip) => !(ip.is_multicast() || ip.is_unspecified()),
    };
    is_one_host && address.port() != 0 && !listeners.is_our_address(ip, address.port())
}

/// Returns whether the address is valid only inside a network (RFC 1918, 3927, 4193, 4291, 6598).
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            ip.is_private() || ip.is_link_local() || ip.is_loopback() || is_shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

fn uses_source_port(via: &Via, force_rport: bool) -> bool {
    force_rport || via.rport != Rport::Absent
}

/// Parses `received`, which is written without brackets around IPv6 and accepted with and without
/// (RFC 5118 §4.5).
fn received_address(text: &[u8]) -> Option<IpAddr> {
    parse_ip(text).or_else(|| std::str::from_utf8(text).ok()?.parse().ok())
}
