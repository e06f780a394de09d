//! How each destination is reached: by which listener, under which name.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Registry;
use super::slots::slot_identities;
use crate::destination::{Destination, Host, Record, Resolved, SocketName};
use crate::listener::{ListenerId, Listeners};

impl Registry {
    /// Says how each listed destination is reached; retired ones keep what was said.
    pub(super) fn describe(&mut self, records: &[Resolved], listeners: &Listeners) {
        for resolved in records {
            let record = &resolved.record;
            let listener =
                record.attributes.socket.and_then(|socket| listener_of(socket, listeners));
            for identity in slot_identities(resolved) {
                let address = identity.2;
                let slot = self.slot_of[&identity];
                self.destinations[usize::from(slot.0)] = Some(Arc::new(Destination {
                    uri: record.uri.text.clone(),
                    address,
                    listener,
                    fallback_listener: route_to(address, listeners),
                    host_port: host_port(record),
                }));
            }
        }
    }
}

/// The records with those of their addresses that can be sent to: from their socket, else from any
/// listener.
pub(super) fn reachable(records: &[Resolved], listeners: &Listeners) -> Vec<Resolved> {
    let is_reached = |record: &Record, address: &SocketAddr| match record.attributes.socket {
        Some(socket) => socket.0.is_ipv4() == address.is_ipv4(),
        None => listeners.iter().any(|(_, listener)| listener.local.is_ipv4() == address.is_ipv4()),
    };
    let mut records = records.to_vec();
    for Resolved { record, addresses } in &mut records {
        addresses.retain(|address| is_reached(record, &address.socket));
    }
    records
}

pub(super) fn listener_of(socket: SocketName, listeners: &Listeners) -> Option<ListenerId> {
    listeners.iter().find(|(_, listener)| listener.local == socket.0).map(|(id, _)| id)
}

/// The listener whose address the kernel would send from, else the first of the family.
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
