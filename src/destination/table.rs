//! The destinations as the workers see them: complete and immutable.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Limits, Load, Set, Slot};
use crate::listener::ListenerId;
use crate::message::parse_ip;

/// One destination: a URI, a socket and a resolved address, in one set. What forwarding needs of it
/// is its [`NextHop`].
#[derive(Debug)]
pub struct Destination {
    /// Its URI as listed.
    pub uri: String,
    /// Its address. It never changes.
    pub address: SocketAddr,
    /// `host[:port]` of its URI, for `rewrite = "domain"`.
    pub host_port: String,
    /// How busy it is.
    pub load: Load,
}

/// Where requests to a destination go, and from which listener: one cache line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(align(64))]
pub struct NextHop {
    /// The destination's address.
    pub address: SocketAddr,
    /// The listener of its `socket` attribute.
    pub listener: Option<ListenerId>,
    /// The listener to use if the arrival listener is of another family.
    pub fallback_listener: Option<ListenerId>,
    /// The set it belongs to.
    pub set: u32,
    /// The limits of its record.
    pub limits: Limits,
}

const _: () = assert!(size_of::<Option<NextHop>>() == 64);

/// The destinations of one snapshot. A clone shares all parts with the original.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By slot number. A retired destination stays until nobody trusts it any more.
    pub(crate) hops: Arc<[Option<NextHop>]>,
    /// By slot number: what only the dispatch log, rewriting and people need.
    pub(crate) destinations: Arc<[Option<Arc<Destination>>]>,
    /// The numbers of the sets, sorted.
    pub(crate) set_ids: Arc<[u32]>,
    /// The sets, in the order of their numbers. A changed state replaces one of them.
    pub(crate) sets: Vec<Arc<Set>>,
    pub(crate) index: Arc<Index>,
}

/// Finds destinations by what a message contains.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) addresses: HashMap<SocketAddr, Known, Folding>,
    pub(crate) ips: HashMap<IpAddr, Known, Folding>,
    /// By host name in lower case, and port.
    pub(crate) names: HashMap<(Box<[u8]>, u16), Slot>,
}

/// What counts as coming from a destination.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SourceMatch {
    /// Its address and port.
    #[default]
    AddressAndPort,
    /// Its address, with any port.
    Address,
}

/// The hash of the maps by address. It is fast and needs no secret key, because only the operator
/// adds entries.
type Folding = std::hash::BuildHasherDefault<Folded>;

/// Folds each input with a multiplication of 64 to 128 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Folded(u64);

impl Folded {
    fn fold(&mut self, word: u64) {
        // Any odd number with well-mixed bits works; this is the golden ratio's fraction.
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64 ^ word.rotate_left(32);
    }
}

impl std::hash::Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.fold(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_usize(number.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A destination found by its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// Its slot; if several share the address, the first listed.
    pub slot: Slot,
    /// It is listed now, not only retired.
    pub is_listed: bool,
}

impl Table {
    /// Returns where requests to the destination in this slot go; `None` for reserved numbers and
    /// for free slots.
    pub fn hop(&self, slot: Slot) -> Option<&NextHop> {
        self.hops.get(usize::from(slot.0))?.as_ref()
    }

    /// Returns the destination in this slot; `None` for reserved numbers and for free slots.
    pub fn get(&self, slot: Slot) -> Option<&Destination> {
        self.destinations.get(usize::from(slot.0))?.as_deref()
    }

    /// Counts one call fewer at this destination and in its set.
    pub fn end_call(&self, slot: Slot) {
        if let Some(destination) = self.get(slot) {
            destination.load.end_call();
        }
        if let Some(set) = self.set_of(slot).and_then(|set| self.set(set)) {
            set.load().end_call();
        }
    }

    /// Returns the set with this number.
    pub fn set(&self, id: u32) -> Option<&Set> {
        let at = self.set_ids.binary_search(&id).ok()?;
        Some(&self.sets[at])
    }

    /// Returns all sets, sorted by number.
    pub fn sets(&self) -> &[Arc<Set>] {
        &self.sets
    }

    /// Returns the number of the set that this destination belongs to, also if it is retired.
    pub fn set_of(&self, slot: Slot) -> Option<u32> {
        self.hop(slot).map(|hop| hop.set)
    }

    /// Returns the destination that sends from this address, a current or retired one.
    pub fn by_source(&self, source: SocketAddr, how: SourceMatch) -> Option<Known> {
        let Index { addresses, ips, .. } = &*self.index;
        match how {
            SourceMatch::AddressAndPort => addresses.get(&source).copied(),
            // Several may share an address: prefer the one that also has the port.
            SourceMatch::Address => {
                addresses.get(&source).or_else(|| ips.get(&source.ip())).copied()
            }
        }
    }

    /// Returns the destination that a URI with this host and port names, a current or retired one.
    ///
    /// `host` is in brackets if it is an IPv6 address.
    pub fn by_host(&self, host: &[u8], port: u16) -> Option<Slot> {
        if let Some(ip) = parse_ip(host) {
            return self.index.addresses.get(&SocketAddr::new(ip, port)).map(|known| known.slot);
        }
        if self.index.names.is_empty() || host.len() > 253 {
            return None;
        }
        let mut lower = [0; 253];
        let lower = &mut lower[..host.len()];
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        self.index.names.get(&(&*lower, port) as &dyn NameKey).copied()
    }

    /// Returns the destination at this address, a current or retired one.
    pub fn by_address(&self, address: SocketAddr) -> Option<Known> {
        self.index.addresses.get(&address).copied()
    }
}

/// Allows lookups in the map of names with borrowed bytes.
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
        // The same as the derived Hash of (Box<[u8]>, u16).
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_spread_over_the_map() {
        let hash = |n: u32| {
            let address =
                SocketAddr::new(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(), 5060);
            std::hash::BuildHasher::hash_one(&Folding::default(), address)
        };
        // Both ends matter: the map takes its bucket from the low bits and its tag from the high
        // ones.
        for bits in [|h: u64| h & 0xfff, |h: u64| h >> 52] {
            let used: std::collections::HashSet<_> = (0..4096).map(|n| bits(hash(n))).collect();
            assert!(used.len() > 2_000, "{}", used.len());
        }
    }
}
