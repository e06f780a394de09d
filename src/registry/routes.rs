//! Decides how each destination is reached: from which listener, with which sent-by.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::slots::Slots;
use crate::destination::{Address, Destination, Host, Load, NextHop, Record, Resolved, SocketName};
use crate::listener::{ListenerId, Listeners};

/// Asks the kernel which of our addresses it would send from to this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteLookup(pub(super) fn(SocketAddr) -> Option<IpAddr>);

impl Default for RouteLookup {
    fn default() -> Self {
        Self(source_address)
    }
}

/// The fallback listeners of addresses. The kernel is asked once for each new address, which costs
/// five system calls; one that a slot in use has keeps its listener.
pub(super) struct Routes<'a> {
    listeners: &'a Listeners,
    lookup: RouteLookup,
    known: HashMap<IpAddr, Option<ListenerId>>,
}

impl Slots {
    pub(super) fn routes<'a>(&self, lookup: RouteLookup, listeners: &'a Listeners) -> Routes<'a> {
        let in_use = self.in_use.iter().flatten();
        let known = in_use.map(|slot| (slot.hop.address.ip(), slot.hop.fallback_listener));
        Routes { listeners, lookup, known: known.collect() }
    }
}

impl Routes<'_> {
    /// Returns how a new destination is reached.
    pub(super) fn describe(
        &mut self,
        record: &Record,
        address: SocketAddr,
    ) -> (Destination, NextHop) {
        let (listeners, lookup) = (self.listeners, self.lookup);
        let known = self.known.entry(address.ip());
        let fallback_listener = *known.or_insert_with(|| route_to(address, lookup, listeners));
        let socket = record.attributes.socket;
        let hop = NextHop {
            address,
            listener: socket.and_then(|socket| listener_of(socket, listeners)),
            fallback_listener,
            set: record.set,
            limits: record.attributes.limits(),
        };
        let destination = Destination {
            uri: record.uri.text.clone(),
            address,
            host_port: host_port(record),
            load: Load::default(),
        };
        (destination, hop)
    }
}

/// Returns the records with only the addresses that can be sent to: from their socket, or without
/// one from any listener. Nearly always that is all of them, and nothing is copied.
pub(super) fn reachable<'a>(records: &'a [Resolved], listeners: &Listeners) -> Cow<'a, [Resolved]> {
    let is_reached = |record: &Record, a: &Address| is_reached(record, a.socket.ip(), listeners);
    if records.iter().all(|r| r.addresses.iter().all(|address| is_reached(&r.record, address))) {
        return Cow::Borrowed(records);
    }
    let mut records = records.to_vec();
    for Resolved { record, addresses } in &mut records {
        addresses.retain(|address| is_reached(record, address));
    }
    Cow::Owned(records)
}

/// Returns whether a listener, or the one named by `socket=`, has the family of this address.
pub(super) fn is_reached(record: &Record, address: IpAddr, listeners: &Listeners) -> bool {
    match record.attributes.socket {
        Some(socket) => socket.0.is_ipv4() == address.is_ipv4(),
        None => listeners.iter().any(|(_, listener)| listener.local.is_ipv4() == address.is_ipv4()),
    }
}

fn listener_of(socket: SocketName, listeners: &Listeners) -> Option<ListenerId> {
    listeners.iter().find(|(_, listener)| listener.local == socket.0).map(|(id, _)| id)
}

/// Returns the listener whose address the kernel would send from, or else the first of that family.
fn route_to(address: SocketAddr, lookup: RouteLookup, listeners: &Listeners) -> Option<ListenerId> {
    let same_family = || listeners.iter().filter(|(_, l)| l.local.is_ipv4() == address.is_ipv4());
    if same_family().count() < 2 {
        return same_family().next().map(|(id, _)| id);
    }
    let source = lookup.0(address);
    same_family()
        .find(|(_, listener)| Some(listener.local.ip()) == source)
        .or_else(|| same_family().next())
        .map(|(id, _)| id)
}

fn source_address(address: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr =
        if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(address).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn host_port(record: &Record) -> String {
    let host = match &record.uri.host {
        Host::Address(ip) if ip.is_ipv6() => format!("[{ip}]"),
        Host::Address(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    };
    record.uri.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}
