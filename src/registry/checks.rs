//! Which records cannot be taken beside our listeners.

use std::net::SocketAddr;

use thiserror::Error;

use super::routes::{is_reached, listener_of};
use crate::destination::{Host, Origin, Record, Resolved};
use crate::limits;
use crate::listener::Listeners;

/// A load that cannot be taken.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LoadError {
    /// More addresses than there are slots.
    #[error(
        "{wanted} destination addresses, but at most {max} fit: divide the list over several relays",
        max = limits::SLOTS_MAX
    )]
    TooMany {
        /// How many slots the load needs besides those that are still in quarantine.
        wanted: usize,
    },
    /// A `socket=` attribute that names none of our listeners.
    #[error("{origin}: socket=udp:{socket} is not one of our listeners: {listeners}")]
    NoSuchSocket {
        /// Where it was written.
        origin: Origin,
        /// What it says.
        socket: SocketAddr,
        /// What would be right.
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
        /// Which family it has.
        is_ipv4: bool,
        /// The listeners that there are.
        listeners: String,
    },
}

/// What is wrong with each record beside our listeners.
pub(super) fn errors(records: &[Resolved], listeners: &Listeners) -> Vec<LoadError> {
    let of = |record| socket_error(record, listeners).or_else(|| family_error(record, listeners));
    records.iter().filter_map(|resolved| of(&resolved.record)).collect()
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

/// An address whose family neither its socket nor, without one, any listener has.
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
