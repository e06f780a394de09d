//! Our own addresses: the listeners, and every name by which a message may refer to us.

use std::net::{IpAddr, SocketAddr};

use crate::limits;
use crate::message::parse_ip;

/// The number of a listener: its index in [`Listeners`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ListenerId(pub u16);

/// One address that we listen on.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name, the same on every node of a group; by default the advertised `host:port`.
    pub name: String,
    /// The address its sockets are bound to.
    pub local: SocketAddr,
    /// `host:port` as written in Via and Record-Route.
    pub sent_by: String,
    /// Answer to the packet's source port even if the Via has no `rport` (RFC 3581).
    pub force_rport: bool,
}

/// All listeners, and all names that refer to us.
#[derive(Clone, Debug)]
pub struct Listeners {
    all: Box<[Listener]>,
    hashes: Box<[u32]>,
    sent_by_keys: Box<[SentByKey]>,
    addresses: Box<[(IpAddr, u16)]>,
    names: Box<[(Box<[u8]>, u16)]>,
}

impl Listeners {
    /// Collects the listeners and the other names, `(host, port)`, that refer to us.
    ///
    /// # Panics
    /// If there is no listener or more than [`limits::LISTENERS_MAX`]; the configuration refuses
    /// both.
    pub fn new(all: Vec<Listener>, aliases: &[(String, u16)]) -> Self {
        assert!(!all.is_empty() && all.len() <= limits::LISTENERS_MAX);
        let mut addresses = Vec::new();
        let mut names = Vec::new();
        let advertised = all.iter().filter_map(|listener| split_host_port(&listener.sent_by));
        for (host, port) in advertised.chain(aliases.iter().map(|(h, p)| (h.as_str(), *p))) {
            match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(ip) => addresses.push((ip, port)),
                Err(_) => names.push((host.to_ascii_lowercase().into_bytes().into(), port)),
            }
        }
        addresses.extend(all.iter().map(|listener| (listener.local.ip(), listener.local.port())));
        addresses.sort_unstable();
        addresses.dedup();
        let hashes = all.iter().map(|listener| name_hash(&listener.name)).collect();
        let sent_by_keys = all
            .iter()
            .map(|listener| {
                let (host, port) = split_host_port(&listener.sent_by).unwrap_or_default();
                SentByKey::new(host.as_bytes(), port).unwrap_or_default()
            })
            .collect();
        Self {
            all: all.into(),
            hashes,
            sent_by_keys,
            addresses: addresses.into(),
            names: names.into(),
        }
    }

    /// Returns the listener with this number.
    pub fn get(&self, id: ListenerId) -> &Listener {
        &self.all[usize::from(id.0)]
    }

    /// Returns the hash that Via parameters and tokens contain for this listener.
    pub fn hash_of(&self, id: ListenerId) -> u32 {
        self.hashes[usize::from(id.0)]
    }

    /// Returns the sent-by of this listener in the form that Via parameters are bound to.
    pub(crate) fn sent_by_key(&self, id: ListenerId) -> &SentByKey {
        &self.sent_by_keys[usize::from(id.0)]
    }

    /// Returns whether this host, an IPv6 address in brackets, and port are ours.
    pub fn is_us(&self, host: &[u8], port: u16) -> bool {
        match parse_ip(host) {
            Some(ip) => self.is_our_address(ip, port),
            None => self.is_our_name(host, port),
        }
    }

    /// Returns the listener whose name has this hash.
    pub fn by_hash(&self, hash: u32) -> Option<ListenerId> {
        self.hashes.iter().position(|h| *h == hash).map(|at| ListenerId(at as u16))
    }

    /// Returns all listeners, sorted by number.
    pub fn iter(&self) -> impl Iterator<Item = (ListenerId, &Listener)> {
        self.all.iter().enumerate().map(|(at, listener)| (ListenerId(at as u16), listener))
    }

    /// Returns `arrival` if it can reach addresses of this family, or else the first listener that
    /// can.
    pub fn for_family(&self, arrival: ListenerId, peer: &SocketAddr) -> Option<ListenerId> {
        if self.get(arrival).local.is_ipv4() == peer.is_ipv4() {
            return Some(arrival);
        }
        self.iter()
            .find(|(_, listener)| listener.local.is_ipv4() == peer.is_ipv4())
            .map(|(id, _)| id)
    }

    /// Returns whether this address is one of ours.
    pub fn is_our_address(&self, ip: IpAddr, port: u16) -> bool {
        self.addresses.binary_search(&(ip, port)).is_ok()
    }

    /// Returns whether this host name, compared without case, is one of ours.
    pub fn is_our_name(&self, host: &[u8], port: u16) -> bool {
        self.names.iter().any(|(name, p)| *p == port && name.eq_ignore_ascii_case(host))
    }
}

/// Host and port in one canonical form, because other stacks may rewrite IPv6 addresses and change
/// the case of names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentByKey {
    bytes: [u8; SENT_BY_BYTES],
    len: usize,
}

const SENT_BY_BYTES: usize = 2 + 253;

impl Default for SentByKey {
    fn default() -> Self {
        Self { bytes: [0; SENT_BY_BYTES], len: 0 }
    }
}

impl SentByKey {
    /// Returns `None` if the host is longer than a name can be.
    pub(crate) fn new(host: &[u8], port: u16) -> Option<Self> {
        let mut key = Self::default();
        key.bytes[..2].copy_from_slice(&port.to_be_bytes());
        let ip = parse_ip(host);
        let (octets4, octets16);
        let text = match ip {
            Some(IpAddr::V4(ip)) => {
                octets4 = ip.octets();
                &octets4[..]
            }
            Some(IpAddr::V6(ip)) => {
                octets16 = ip.octets();
                &octets16[..]
            }
            None => host,
        };
        let place = key.bytes.get_mut(2..2 + text.len())?;
        place.copy_from_slice(text);
        if ip.is_none() {
            place.make_ascii_lowercase();
        }
        key.len = 2 + text.len();
        Some(key)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Returns the hash that identifies a listener in our Via parameters and tokens: the same in every
/// process.
pub fn name_hash(name: &str) -> u32 {
    let hash = blake3::hash(name.as_bytes());
    let bytes = hash.as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Splits `host:port`; the port is optional (default 5060), and an IPv6 host is in brackets.
pub fn split_host_port(text: &str) -> Option<(&str, u16)> {
    let after_host = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(after_host);
    match rest.strip_prefix(':') {
        Some(port) => Some((host, port.parse().ok()?)),
        None if rest.is_empty() => Some((host, 5060)),
        None => None,
    }
}
