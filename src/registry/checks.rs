//! Finds records that cannot be used with our listeners.

use std::fmt;
use std::net::SocketAddr;

use thiserror::Error;

use super::routes::is_reached;
use crate::destination::{Host, Origin, Record, Resolved, SocketName};
use crate::limits;
use crate::listener::{Listener, Listeners, split_host_port};

/// Why a load is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LoadError {
    /// More addresses than there are slots.
    TooMany {
        /// How many slots the load needs besides those of retired destinations.
        wanted: usize,
    },
    /// A `socket=` attribute that does not name one of our listeners.
    NoSuchSocket {
        /// Where it was written.
        origin: Origin,
        /// The address in the attribute.
        socket: SocketAddr,
        /// Our listeners, one of which it must name.
        listeners: String,
    },
    /// An address of a family that none of our listeners has, or not the one of its socket.
    NoListener {
        /// Where it was written.
        origin: Origin,
        /// The destination.
        uri: String,
        /// Its address family.
        is_ipv4: bool,
        /// The listeners that it could be reached from.
        listeners: String,
        /// Whether its `socket=` attribute names the listener.
        has_socket: bool,
    },
    /// An address that this relay itself listens on: every call sent there would come back.
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

impl LoadError {
    /// Returns the record's place; `None` if the load as a whole is wrong.
    pub fn origin(&self) -> Option<Origin> {
        match self {
            Self::TooMany { .. } => None,
            Self::NoSuchSocket { origin, .. }
            | Self::NoListener { origin, .. }
            | Self::Ourselves { origin, .. } => Some(*origin),
        }
    }

    /// Returns what is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::TooMany { wanted } => {
                format!("{wanted} destination addresses, but at most {} fit", limits::SLOTS_MAX)
            }
            Self::NoSuchSocket { socket, .. } => {
                format!("socket=udp:{socket} is not one of our listeners")
            }
            Self::NoListener { uri, is_ipv4, listeners, .. } => {
                format!("{uri} cannot be reached: {listeners} has no {} address", family(*is_ipv4))
            }
            Self::Ourselves { uri, address, ours, .. } => {
                format!("{uri} is this relay itself: {address} is {ours}")
            }
        }
    }

    /// Returns what would be right.
    pub fn right(&self) -> String {
        match self {
            Self::TooMany { .. } => "split the list between several relays".into(),
            Self::NoSuchSocket { listeners, .. } => {
                format!("name one of {listeners}, or add it to relay.listen")
            }
            Self::NoListener { is_ipv4, has_socket: true, .. } => {
                format!("name a socket with an {} address", family(*is_ipv4))
            }
            Self::NoListener { is_ipv4, .. } => {
                format!("add an {} address to relay.listen", family(*is_ipv4))
            }
            Self::Ourselves { .. } => "name a server, or listen on another address".into(),
        }
    }
}

/// `line 3: sip:[2001:db8::7] cannot be reached: … has no IPv6 address: add …`
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = self.origin() {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{}: {}", self.what(), self.right())
    }
}

/// Returns what is wrong with each record, given our listeners.
pub(super) fn errors(records: &[Resolved], listeners: &Listeners) -> Vec<LoadError> {
    records.iter().filter_map(|resolved| error_of(resolved, listeners)).collect()
}

/// Returns what is wrong with this record, given our listeners.
pub fn error_of(resolved: &Resolved, listeners: &Listeners) -> Option<LoadError> {
    record_error(&resolved.record, listeners).or_else(|| leads_to_us(resolved, listeners))
}

/// Returns what is wrong with this record whatever its name resolves to. Also for listeners as the
/// operator wrote them, where a wildcard is not expanded.
pub fn record_error(record: &Record, listeners: &Listeners) -> Option<LoadError> {
    socket_error(record, listeners).or_else(|| family_error(record, listeners)).or_else(|| {
        let Host::Address(ip) = record.uri.host else { return None };
        our_own(record, [SocketAddr::new(ip, record.uri.port_or_default())], listeners)
    })
}

/// Returns an error for the first address of this destination that we listen on ourselves.
pub fn leads_to_us(resolved: &Resolved, listeners: &Listeners) -> Option<LoadError> {
    let addresses = resolved.addresses.iter().map(|address| address.socket);
    our_own(&resolved.record, addresses, listeners)
}

fn our_own(
    record: &Record,
    addresses: impl IntoIterator<Item = SocketAddr>,
    listeners: &Listeners,
) -> Option<LoadError> {
    let (address, ours) = addresses
        .into_iter()
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
    if listeners.iter().any(|(_, listener)| has_socket(listener, socket)) {
        return None;
    }
    Some(LoadError::NoSuchSocket {
        origin: record.origin,
        socket: socket.0,
        listeners: names_of(listeners),
    })
}

/// Returns whether this is the listener's address, or one that its wildcard may stand for.
fn has_socket(listener: &Listener, SocketName(socket): SocketName) -> bool {
    let local = listener.local;
    let is_same_ip = local.ip() == socket.ip()
        || local.ip().is_unspecified() && local.is_ipv4() == socket.is_ipv4();
    is_same_ip && local.port() == socket.port()
}

/// Returns an error if neither the record's socket nor, without one, any listener has the family of
/// its address.
fn family_error(record: &Record, listeners: &Listeners) -> Option<LoadError> {
    let Host::Address(ip) = record.uri.host else {
        return None;
    };
    let socket = record.attributes.socket;
    (!is_reached(record, ip, listeners)).then(|| LoadError::NoListener {
        origin: record.origin,
        uri: record.uri.text.clone(),
        is_ipv4: ip.is_ipv4(),
        listeners: socket
            .map_or_else(|| names_of(listeners), |socket| format!("socket=udp:{}", socket.0)),
        has_socket: socket.is_some(),
    })
}

fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "IPv4" } else { "IPv6" }
}

fn names_of(listeners: &Listeners) -> String {
    let names: Vec<_> =
        listeners.iter().map(|(_, listener)| format!("udp:{}", listener.local)).collect();
    names.join(", ")
}
