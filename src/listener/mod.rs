//! Our own addresses: the listeners, and every name by which a message may refer to us.

mod flow;
mod sent_by;
mod transport;

use std::net::{IpAddr, SocketAddr};

pub use flow::Flow;
pub(crate) use sent_by::SentByKey;
pub use transport::Transport;

use crate::limits;
use crate::message::{DEFAULT_PORT, parse_ip};

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
    /// The transport protocol of its sockets.
    pub transport: Transport,
    /// `host:port` as written in Via and Record-Route.
    pub sent_by: String,
    /// Answer to the packet's source port even if the Via has no `rport` (RFC 3581).
    pub force_rport: bool,
    /// The set that requests to this listener are dispatched to, instead of the policy's.
    pub set: Option<u32>,
}

/// All listeners, and all names that refer to us.
#[derive(Clone, Debug)]
pub struct Listeners {
    all: Box<[Listener]>,
    hashes: Box<[u32]>,
    sent_bys: Box<[(Box<[u8]>, u16)]>,
    sent_by_keys: Box<[SentByKey]>,
    texts: Box<[Texts]>,
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
        let sent_bys: Box<[(Box<[u8]>, u16)]> = all
            .iter()
            .map(|listener| {
                let (host, port) = split_host_port(&listener.sent_by).unwrap_or_default();
                (host.as_bytes().into(), port)
            })
            .collect();
        let sent_by_keys = sent_bys
            .iter()
            .map(|(host, port)| SentByKey::new(host, *port).unwrap_or_default())
            .collect();
        let texts = all.iter().map(Texts::of).collect();
        Self {
            all: all.into(),
            hashes,
            sent_bys,
            sent_by_keys,
            texts,
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

    /// Returns the same if this host and port are its sent-by, letter by letter: so nearly every
    /// message names us that comes to this listener.
    #[inline]
    pub(crate) fn written_key(&self, id: ListenerId, host: &[u8], port: u16) -> Option<&SentByKey> {
        let (own_host, own_port) = &self.sent_bys[usize::from(id.0)];
        let is_written = *own_port == port && **own_host == *host && !host.is_empty();
        is_written.then(|| self.sent_by_key(id))
    }

    /// Returns what this listener writes into each message.
    pub(crate) fn texts(&self, id: ListenerId) -> &Texts {
        &self.texts[usize::from(id.0)]
    }

    /// Returns the transport protocol of this listener.
    pub fn transport(&self, id: ListenerId) -> Transport {
        self.get(id).transport
    }

    /// Returns the same as [`Listeners::is_us`], sooner if they are the sent-by of this listener.
    pub fn is_us_at(&self, id: ListenerId, host: &[u8], port: u16) -> bool {
        self.written_key(id, host, port).is_some() || self.is_us(host, port)
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

/// What a listener writes into each message, around what differs from one to the next.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    /// `Via: SIP/2.0/UDP 192.0.2.1:5060;branch=`
    pub(crate) via: Box<[u8]>,
    /// `@192.0.2.1:5060;lr>` and a line end
    pub(crate) record_route_end: Box<[u8]>,
}

impl Texts {
    fn of(listener: &Listener) -> Self {
        let Listener { transport, sent_by, .. } = listener;
        let via = format!("Via: {} {sent_by};branch=", transport.sent_protocol());
        let record_route_end = format!("@{sent_by};lr>\r\n");
        Self {
            via: via.into_bytes().into(),
            record_route_end: record_route_end.into_bytes().into(),
        }
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
        None if rest.is_empty() => Some((host, DEFAULT_PORT)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sent_by_written_as_ours_has_the_key_that_reading_it_gives() {
        let listener = |sent_by: &str| Listener {
            name: sent_by.into(),
            local: "192.0.2.1:5060".parse().unwrap(),
            transport: Transport::Udp,
            sent_by: sent_by.into(),
            force_rport: false,
            set: None,
        };
        let all = ["192.0.2.1:5060", "sip.example.com", "[2001:db8::1]:5070"];
        let listeners = Listeners::new(all.map(listener).to_vec(), &[]);
        let hosts = ["192.0.2.1", "sip.example.com", "[2001:db8::1]", "SIP.example.com", "", "x"];
        for (id, _) in listeners.iter() {
            for (at, host) in hosts.iter().enumerate() {
                for port in [5060, 5070] {
                    let key = listeners.written_key(id, host.as_bytes(), port).copied();
                    let is_own = at == usize::from(id.0) && port == [5060, 5060, 5070][at];
                    let wants = SentByKey::new(host.as_bytes(), port).filter(|_| is_own);
                    assert_eq!(key, wants, "{host}:{port} at {id:?}");
                    let is_us = listeners.is_us(host.as_bytes(), port);
                    let is_us_at = listeners.is_us_at(id, host.as_bytes(), port);
                    assert_eq!(is_us_at, is_us, "{host}:{port} at {id:?}");
                    assert!(is_us || !is_own);
                }
            }
        }
    }
}
