//! Finds records that cannot be used with our listeners.

use std::net::SocketAddr;

use thiserror::Error;

use super::routes::{is_reached, listener_of};
use crate::destination::{Host, Origin, Record, Resolved};
use crate::limits;
use crate::listener::{Listeners, split_host_port};

/// Why a load is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LoadError {
    /// More addresses than there are slots.
    #[error(
        "{wanted} destination addresses, but at most {max} fit: split the list between several \
         relays",
        max = limits::SLOTS_MAX
    )]
    TooMany {
        /// How many slots the load needs besides those that are still in quarantine.
        wanted: usize,
    },
    /// A `socket=` attribute that does not name one of our listeners.
    #[error("{origin}: socket=udp:{socket} is not one of our listeners: {listeners}")]
    NoSuchSocket {
        /// Where it was written.
        origin: Origin,
        /// The address in the attribute.
        socket: SocketAddr,
        /// Our listeners, one of which it must name.
        listeners: String,
    },
    /// An address of a family that none of our listeners has.
    #[error(
        "{origin}: {uri} cannot be reached: {listeners} has no {family} address",
        family = if *.is_ipv4 { "IPv4" } else { "IPv6" }
    )]
    NoListener {
        /// Where it was written.
        origin: Origin,
        /// The destination.
        uri: String,
        /// Its address family.
        is_ipv4: bool,
        /// Our listeners.
        listeners: String,
    },
    /// An address that this relay itself listens on: every call sent there would come back.
    #[error(
        "{origin}: {uri} is this relay itself: {address} is {ours}: name a server, or listen on \
         another address"
    )]
    Ourselves {
        /// Where it was written.
        origin: Origin,
        /// The destination.
        uri: String,
        /// The address that leads back.
        address: SocketAddr,
        /// Which of our addresses that is, for operators: `its listener udp:192.0.2.1:5060`.
        ours: String,
    },
}

/// Returns what is wrong with each record, given our listeners.
pub(super) fn errors(records: &[Resolved], listeners: &Listeners) -> Vec<LoadError> {
    let of = |resolved: &Resolved| {
        socket_error(&resolved.record, listeners)
            .or_else(|| family_error(&resolved.record, listeners))
            .or_else(|| leads_to_us(resolved, listeners))
    };
    records.iter().filter_map(of).collect()
}

/// Returns an error for the first address of this destination that we listen on ourselves.
pub fn leads_to_us(resolved: &Resolved, listeners: &Listeners) -> Option<LoadError> {
    let record = &resolved.record;
    let mut addresses = resolved.addresses.iter().map(|address| address.socket);
    let (address, ours) = addresses
        .find_map(|address| Some((address, what_of_ours(&record.uri.host, address, listeners)?)))?;
    let (origin, uri) = (record.origin, record.uri.text.clone());
    Some(LoadError::Ourselves { origin, uri, address, ours })
}

/// Returns which of our addresses this is; `None` if it belongs to another machine.
pub fn what_of_ours(host: &Host, address: SocketAddr, listeners: &Listeners) -> Option<String> {
    let (ip, port) = (address.ip().to_canonical(), address.port());
    let is_name = matches!(host, Host::Name(_));
    if !is_name && !listeners.is_our_address(ip, port) {
        return None;
    }
    if let Some((_, at)) = listeners.iter().find(|(_, l)| l.local == SocketAddr::new(ip, port)) {
        return Some(format!("its listener udp:{}", at.local));
    }
    // Behind a NAT, only the advertised name shows that the address is ours.
    let is_advertised = |sent_by: &str| {
        split_host_port(sent_by).is_some_and(|(advertised, its_port)| {
            let is_same_host = match host {
                Host::Name(name) if advertised.eq_ignore_ascii_case(name) => true,
                _ => advertised.trim_matches(['[', ']']).parse() == Ok(ip),
            };
            is_same_host && its_port == port
        })
    };
    if let Some((_, listener)) = listeners.iter().find(|(_, l)| is_advertised(&l.sent_by)) {
        let (local, sent_by) = (listener.local, &listener.sent_by);
        return Some(format!("what its listener udp:{local} advertises, {sent_by}"));
    }
    listeners.is_our_address(ip, port).then(|| "one of relay.alias".to_owned())
}

fn socket_error(record: &Record, listeners: &Listeners) -> Option<LoadError> {
    let socket = record.attributes.socket?;
    if listener_of(socket, listeners).is_some() {
        return None;
    }
    Some(LoadError::NoSuchSocket {
        origin: record.origin,
        socket: socket.0,
        listeners: names_of(listeners),
    })
}

/// Returns an error if neither the record's socket nor, without one, any listener has the family of
/// one of its addresses.
fn family_error(record: &Record, listeners: &Listeners) -> Option<LoadError> {
    let Host::Address(ip) = record.uri.host else {
        return None;
    };
    (!is_reached(record, ip, listeners)).then(|| LoadError::NoListener {
        origin: record.origin,
        uri: record.uri.text.clone(),
        is_ipv4: ip.is_ipv4(),
        listeners: record
            .attributes
            .socket
            .map_or_else(|| names_of(listeners), |socket| format!("socket=udp:{}", socket.0)),
    })
}

fn names_of(listeners: &Listeners) -> String {
    let names: Vec<_> =
        listeners.iter().map(|(_, listener)| format!("udp:{}", listener.local)).collect();
    names.join(", ")
}
