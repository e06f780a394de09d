//! The destinations as the workers see them: finished and immutable.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Set, Slot};
use crate::proxy::{ListenerId, SourceMatch};

/// One destination: a URI, a socket and a resolved address.
#[derive(Debug)]
pub struct Destination {
    /// Its URI as listed.
    pub uri: String,
    /// Where it is reached. It never changes.
    pub address: SocketAddr,
    /// The listener of its `socket` attribute.
    pub listener: Option<ListenerId>,
    /// The listener when the arrival listener is of another family.
    pub fallback_listener: Option<ListenerId>,
    /// `host[:port]` of its URI, for `rewrite = "domain"`.
    pub host_port: String,
}

/// The destinations of one moment.
#[derive(Debug, Default)]
pub struct Table {
    /// By slot number; retired ones too, until their number is needed.
    pub(super) slots: Vec<Option<Arc<Destination>>>,
    pub(super) sets: Vec<Set>,
    pub(super) by_address: HashMap<SocketAddr, Known>,
    pub(super) by_ip: HashMap<IpAddr, Known>,
    pub(super) by_name: HashMap<(Box<[u8]>, u16), Slot>,
}

/// A destination found by its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// Its slot; where several share the address, the first listed.
    pub slot: Slot,
    /// It is listed now, not only retired.
    pub is_listed: bool,
}

impl Table {
    /// The destination in this slot; `None` for reserved numbers and for what was cleared.
    pub fn get(&self, slot: Slot) -> Option<&Destination> {
        self.slots.get(usize::from(slot.0))?.as_deref()
    }

    /// The set of this number.
    pub fn set(&self, id: u32) -> Option<&Set> {
        let at = self.sets.binary_search_by_key(&id, |set| set.id).ok()?;
        Some(&self.sets[at])
    }

    /// All sets, by number.
    pub fn sets(&self) -> &[Set] {
        &self.sets
    }

    /// The set that lists this destination; the lowest number when several do.
    pub fn set_of(&self, slot: Slot) -> Option<&Set> {
        self.sets.iter().find(|set| set.lists(slot))
    }

    /// The destination that sends from this address, a current or retired one.
    pub fn by_source(&self, source: SocketAddr, how: SourceMatch) -> Option<Known> {
        match how {
            SourceMatch::AddressAndPort => self.by_address.get(&source).copied(),
            SourceMatch::Address => self.by_ip.get(&source.ip()).copied(),
        }
    }

    /// The destination that a URI with this host and port names, a current or retired one.
    ///
    /// `host` is in brackets when it is an IPv6 address.
    pub fn by_host(&self, host: &[u8], port: u16) -> Option<Slot> {
        if let Some(ip) = parse_ip(host) {
            return self
                .by_address
                .get(&SocketAddr::new(ip, port))
                .map(|known| known.slot);
        }
        if self.by_name.is_empty() || host.len() > 253 {
            return None;
        }
        let mut lower = [0; 253];
        let lower = &mut lower[..host.len()];
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        self.by_name.get(&(&*lower, port) as &dyn NameKey).copied()
    }

    /// The destination at this address, a current or retired one.
    pub fn by_address(&self, address: SocketAddr) -> Option<Known> {
        self.by_address.get(&address).copied()
    }
}

/// An address as it stands in a URI, an IPv6 one in brackets.
pub(crate) fn parse_ip(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    }
}

/// Lets the map of names be asked with borrowed bytes.
trait NameKey {
    fn parts(&self) -> (&[u8], u16);
}

impl NameKey for (Box<[u8]>, u16) {
    fn parts(&self) -> (&[u8], u16) {
        (&self.0, self.1)
    }
}

impl NameKey for (&[u8], u16) {
    fn parts(&self) -> (&[u8], u16) {
        (self.0, self.1)
    }
}

impl<'a> std::borrow::Borrow<dyn NameKey + 'a> for (Box<[u8]>, u16) {
    fn borrow(&self) -> &(dyn NameKey + 'a) {
        self
    }
}

impl std::hash::Hash for dyn NameKey + '_ {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let (name, port) = self.parts();
        // As the derived Hash of (Box<[u8]>, u16) does.
        name.hash(state);
        port.hash(state);
    }
}

impl PartialEq for dyn NameKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn NameKey + '_ {}
