//! Decides how each destination is reached: from which listener, with which sent-by.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Registry;
use crate::destination::{Address, Destination, Host, Record, Resolved, Slot, SocketName};
use crate::listener::{ListenerId, Listeners};

impl Registry {
    /// Sets how each listed destination is reached; retired ones keep their route.
    pub(super) fn describe(
        &mut self,
        records: &[Resolved],
        slots: &[Vec<Slot>],
        listeners: &Listeners,
    ) {
        for (resolved, slots) in records.iter().zip(slots) {
            let record = &resolved.record;
            for (address, slot) in resolved.addresses.iter().zip(slots) {
                let address = address.socket;
                let place = &mut self.destinations[usize::from(slot.0)];
                let fallback_listener = route_to(address, listeners);
                // The rest depends on the slot's identity and our listeners, which never change.
                if place.as_ref().is_some_and(|old| old.fallback_listener == fallback_listener) {
                    continue;
                }
                let socket = record.attributes.socket;
                *place = Some(Arc::new(Destination {
                    uri: record.uri.text.clone(),
                    address,
                    listener: socket.and_then(|socket| listener_of(socket, listeners)),
                    fallback_listener,
                    host_port: host_port(record),
                }));
            }
        }
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

pub(super) fn listener_of(socket: SocketName, listeners: &Listeners) -> Option<ListenerId> {
    listeners.iter().find(|(_, listener)| listener.local == socket.0).map(|(id, _)| id)
}

/// Returns the listener whose address the kernel would send from, or else the first of that family.
fn route_to(address: SocketAddr, listeners: &Listeners) -> Option<ListenerId> {
    let same_family = || listeners.iter().filter(|(_, l)| l.local.is_ipv4() == address.is_ipv4());
    if same_family().count() < 2 {
        return same_family().next().map(|(id, _)| id);
    }
    let any: SocketAddr =
        if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let source = std::net::UdpSocket::bind(any)
        .and_then(|socket| socket.connect(address).and_then(|()| socket.local_addr()))
        .ok();
    same_family()
        .find(|(_, listener)| source.is_some_and(|source| listener.local.ip() == source.ip()))
        .or_else(|| same_family().next())
        .map(|(id, _)| id)
}

fn host_port(record: &Record) -> String {
    let host = match &record.uri.host {
        Host::Address(ip) if ip.is_ipv6() => format!("[{ip}]"),
        Host::Address(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    };
    record.uri.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}
