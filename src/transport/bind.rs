//! Turns `listen` entries into listeners with sockets, one per worker.
//!
//! A wildcard address becomes one listener per local address, because Via and Record-Route need a
//! name that the other side can reach.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use socket2::{SockAddr, Socket};
use thiserror::Error;
use tracing::warn;

use super::socket::{self, Share};
use super::steering::{self, Spread};
use super::sys;
use crate::config::{ListenConfig, Steering};
use crate::limits::{self, SEND_AGAIN_MAX};
use crate::owners::Owners;
use crate::proxy::{Listener, ListenerId, Listeners, Transport, name_hash};
use crate::words::with_remedy;

/// Why we cannot listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// The address is in use.
    #[error(
        "cannot listen on udp:{0}: the address is already in use, perhaps by another strowger; \
         `ss -ulpn sport = :{port}` shows by whom", port = .0.port()
    )]
    InUse(SocketAddr),
    /// A port below 1024 without the privilege.
    #[error("cannot listen on udp:{0}: not permitted; ports below 1024 need CAP_NET_BIND_SERVICE")]
    NotPermitted(SocketAddr),
    /// Any other error of the kernel.
    #[error("cannot listen on udp:{address}: {}", with_remedy(.source))]
    Other {
        /// The address.
        address: SocketAddr,
        /// The kernel's error.
        source: io::Error,
    },
    /// A wildcard of a family that has no address here.
    #[error("cannot listen on udp:{0}: this machine has no {family} address that other hosts can \
             reach",
        family = if .0.is_ipv4() { "IPv4" } else { "IPv6" })]
    NoAddress(SocketAddr),
    /// The same address in two entries.
    #[error("udp:{0} is configured twice")]
    Twice(SocketAddr),
    /// Two listeners with the same name, or names whose hashes are equal.
    #[error(
        "the listeners {0} and {1} cannot be distinguished by their names {2:?} and {3:?}: set a \
         different `name` for one of them"
    )]
    SameName(SocketAddr, SocketAddr, String, String),
    /// More listeners than allowed.
    #[error(
        "{0} listeners, but at most {max} are possible",
        max = limits::LISTENERS_MAX
    )]
    TooMany(usize),
    /// The local addresses cannot be listed.
    #[error("cannot list the local addresses: {0}")]
    Interfaces(io::Error),
}

/// The sockets of all listeners. They live as long as the relay, even if a worker fails.
#[derive(Debug)]
pub struct Sockets {
    /// By listener, then by worker.
    groups: Vec<Vec<Socket>>,
    drops: Mutex<Drops>,
}

#[derive(Debug, Default)]
struct Drops {
    /// The kernel's counters, 32 bits wide, as last read.
    last: Vec<u32>,
    total: u64,
}

impl Sockets {
    /// Binds `workers` sockets for each listener.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first.
    pub(crate) fn bind(
        listen: &[ListenConfig],
        alias: &[(String, u16)],
        workers: usize,
        receive_buffer_bytes: usize,
    ) -> Result<(Self, Listeners), Vec<BindError>> {
        let local = local_addresses().map_err(|e| vec![BindError::Interfaces(e)])?;
        let planned = plan(listen, &local)?;
        let mut errors = Vec::new();
        let mut groups = Vec::new();
        let mut listeners = Vec::new();
        for plan in &planned {
            // All of 127.0.0.0/8 is local, although the interface lists only one address of it.
            let ip = plan.address.ip();
            if !ip.is_loopback() && !local.contains(&ip) {
                warn!(
                    "{} is not an address of this machine yet: listening on it anyway",
                    plan.address.ip()
                );
            }
            match bind_group(plan.address, workers, receive_buffer_bytes) {
                Ok((group, address)) => {
                    groups.push(group);
                    listeners.push(plan.listener(address));
                }
                Err(error) => errors.push(error),
            }
        }
        errors.extend(same_names(&listeners));
        if !errors.is_empty() {
            return Err(errors);
        }
        say_when_buffers_are_small(&groups[0][0], receive_buffer_bytes);
        let sockets = Self { groups, drops: Mutex::default() };
        Ok((sockets, Listeners::new(listeners, alias)))
    }

    /// Makes the kernel choose the worker of a datagram by its Call-ID, if that is wanted and
    /// possible.
    pub(crate) fn steer(&self, wanted: Steering, owners: &Owners) -> Spread {
        steering::steer(&self.groups, wanted, owners)
    }

    /// Returns the socket of this worker at this listener.
    pub(crate) fn get(&self, listener: ListenerId, worker: usize) -> BorrowedFd<'_> {
        self.groups[usize::from(listener.0)][worker].as_fd()
    }

    /// Sends a message of the control thread, such as a probe, from a socket of this listener,
    /// without waiting. Its answer comes to any worker.
    ///
    /// # Errors
    /// The kernel's error. An ICMP error for an earlier message is none: the message is sent again, and
    /// the worker takes the error off the socket's queue.
    ///
    /// # Panics
    /// If there is no such listener.
    pub fn send_probe(&self, listener: ListenerId, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let socket = &self.groups[usize::from(listener.0)][0];
        let to = SockAddr::from(to);
        let mut sent = socket.send_to(bytes, &to);
        for _ in 1..SEND_AGAIN_MAX {
            if !sent.as_ref().is_err_and(may_be_stale) {
                break;
            }
            sent = socket.send_to(bytes, &to);
        }
        sent.map(|_| ())
    }

    /// Returns the number of listeners.
    pub(crate) fn listeners(&self) -> usize {
        self.groups.len()
    }

    /// Returns the number of datagrams that the kernel dropped for lack of buffer space. Must be
    /// called before the kernel's 32-bit counters wrap around.
    pub(crate) fn drops(&self) -> u64 {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        let Drops { last, total } = &mut *drops;
        last.resize(self.groups.iter().map(Vec::len).sum(), 0);
        for (last, socket) in last.iter_mut().zip(self.groups.iter().flatten()) {
            if let Ok(value) = sys::socket_drops(socket.as_fd()) {
                *total += u64::from(value.wrapping_sub(*last));
                *last = value;
            }
        }
        *total
    }
}

/// Returns whether this error may be an ICMP error for an earlier message.
fn may_be_stale(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(
            Errno::ECONNREFUSED
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::EHOSTDOWN
                | Errno::ENONET
                | Errno::ENOPROTOOPT
                | Errno::EOPNOTSUPP
                | Errno::EPROTO
                | Errno::EMSGSIZE
                | Errno::EACCES
        )
    )
}

/// A listener before its socket is bound.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Plan {
    address: SocketAddr,
    name: Option<String>,
    advertise: Option<(String, u16)>,
    force_rport: bool,
    set: Option<u32>,
}

impl Plan {
    /// Returns the listener at the address that the kernel assigned.
    fn listener(&self, local: SocketAddr) -> Listener {
        let sent_by = match &self.advertise {
            Some((host, port)) => host_port(host, *port),
            None => host_port(&local.ip().to_string(), local.port()),
        };
        Listener {
            name: self.name.clone().unwrap_or_else(|| sent_by.clone()),
            local,
            transport: Transport::Udp,
            sent_by,
            force_rport: self.force_rport,
            set: self.set,
        }
    }
}

/// Returns the listeners that these entries would become here and now, without binding anything.
///
/// # Errors
/// The same as for [`Sockets::bind`], as far as they can be found without sockets.
pub(crate) fn planned(
    listen: &[ListenConfig],
    alias: &[(String, u16)],
) -> Result<Listeners, Vec<BindError>> {
    let local = local_addresses().map_err(|e| vec![BindError::Interfaces(e)])?;
    let listeners: Vec<_> =
        plan(listen, &local)?.iter().map(|plan| plan.listener(plan.address)).collect();
    let errors = same_names(&listeners);
    if errors.is_empty() { Ok(Listeners::new(listeners, alias)) } else { Err(errors) }
}

fn plan(listen: &[ListenConfig], local: &[IpAddr]) -> Result<Vec<Plan>, Vec<BindError>> {
    let mut errors = Vec::new();
    let mut plans: Vec<Plan> = Vec::new();
    for entry in listen {
        let entry_plans = expand(entry, local);
        if entry_plans.is_empty() {
            errors.push(BindError::NoAddress(entry.address));
        }
        for new in entry_plans {
            let is_same = |old: &Plan| old.address == new.address;
            if new.address.port() != 0 && plans.iter().any(is_same) {
                errors.push(BindError::Twice(new.address));
            } else {
                plans.push(new);
            }
        }
    }
    if plans.len() > limits::LISTENERS_MAX {
        errors.push(BindError::TooMany(plans.len()));
    }
    if errors.is_empty() { Ok(plans) } else { Err(errors) }
}

/// Returns one plan for an entry with an address; for a wildcard, one per local address of its
/// family.
fn expand(entry: &ListenConfig, local: &[IpAddr]) -> Vec<Plan> {
    let plan = |address| Plan {
        address,
        name: entry.name.clone(),
        advertise: entry.advertise.clone(),
        force_rport: entry.force_rport,
        set: entry.set,
    };
    let wildcard = entry.address.ip();
    if !wildcard.is_unspecified() {
        return vec![plan(entry.address)];
    }
    let mut plans: Vec<_> = local
        .iter()
        .filter(|ip| ip.is_ipv4() == wildcard.is_ipv4())
        .map(|ip| plan(SocketAddr::new(*ip, entry.address.port())))
        .collect();
    // One name for several addresses would be ambiguous; adding the address makes it unique, and
    // the same after every restart.
    if plans.len() > 1 {
        for plan in &mut plans {
            let common = plan.name.take().or_else(|| {
                let (host, port) = plan.advertise.as_ref()?;
                Some(host_port(host, *port))
            });
            plan.name = common.map(|name| format!("{name}/{}", plan.address.ip()));
        }
    }
    plans
}

/// Returns the addresses of this machine, in a fixed order. Link-local IPv6 addresses are left out:
/// they are ambiguous without their interface, and a Via cannot contain one.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = nix::ifaddrs::getifaddrs()?
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        })
        .filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn bind_group(
    address: SocketAddr,
    workers: usize,
    receive_buffer_bytes: usize,
) -> Result<(Vec<Socket>, SocketAddr), BindError> {
    let explain = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::PermissionDenied => BindError::NotPermitted(address),
        _ => BindError::Other { address, source },
    };
    let first = socket::open(address, Share::First, receive_buffer_bytes).map_err(explain)?;
    let bound = first.local_addr().map_err(explain)?;
    let bound = bound.as_socket().unwrap_or(address);
    let mut group = vec![first];
    for _ in 1..workers {
        group.push(socket::open(bound, Share::Join, receive_buffer_bytes).map_err(explain)?);
    }
    Ok((group, bound))
}

fn same_names(listeners: &[Listener]) -> Vec<BindError> {
    let mut errors = Vec::new();
    for (i, a) in listeners.iter().enumerate() {
        let same = |b: &&Listener| name_hash(&a.name) == name_hash(&b.name);
        if let Some(b) = listeners[i + 1..].iter().find(same) {
            let (a_name, b_name) = (a.name.clone(), b.name.clone());
            errors.push(BindError::SameName(a.local, b.local, a_name, b_name));
        }
    }
    errors
}

fn say_when_buffers_are_small(socket: &Socket, wanted: usize) {
    match socket::receive_buffer_granted(socket) {
        Ok(granted) if granted < wanted => warn!(
            "the kernel grants a receive buffer of {granted} bytes per socket instead of {wanted}: \
             `sysctl -w net.core.rmem_max={wanted}` allows more"
        ),
        _ => {}
    }
}

/// Formats `host:port`, with an IPv6 address in brackets.
fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str) -> ListenConfig {
        ListenConfig {
            address: address.parse().unwrap(),
            name: None,
            advertise: None,
            force_rport: false,
            set: None,
        }
    }

    fn local() -> Vec<IpAddr> {
        ["127.0.0.1", "192.0.2.1", "::1"].map(|ip| ip.parse().unwrap()).to_vec()
    }

    fn addresses(plans: &[Plan]) -> Vec<String> {
        plans.iter().map(|plan| plan.address.to_string()).collect()
    }

    #[test]
    fn a_wildcard_becomes_every_address_of_its_family() {
        let plans = plan(&[entry("0.0.0.0:5060"), entry("[::]:5060")], &local()).unwrap();
        let wants = ["127.0.0.1:5060", "192.0.2.1:5060", "[::1]:5060"];
        assert_eq!(addresses(&plans), wants);
    }

    #[test]
    fn the_same_address_twice_and_a_family_without_address_are_both_said() {
        let listen = [entry("192.0.2.1:5060"), entry("0.0.0.0:5060"), entry("[::]:5060")];
        let errors = plan(&listen, &local()[..2]).unwrap_err();
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "udp:192.0.2.1:5060 is configured twice");
        assert!(texts[1].contains("no IPv6 address"), "{}", texts[1]);
    }

    #[test]
    fn names_and_sent_by() {
        let advertised = ListenConfig {
            advertise: Some(("sip.example.com".into(), 5070)),
            ..entry("192.0.2.1:5060")
        };
        let plans = expand(&advertised, &local());
        let listener = plans[0].listener(plans[0].address);
        assert_eq!(listener.name, "sip.example.com:5070");
        assert_eq!(listener.sent_by, "sip.example.com:5070");
        let plain = expand(&entry("[2001:db8::1]:0"), &local());
        let listener = plain[0].listener("[2001:db8::1]:4321".parse().unwrap());
        assert_eq!(listener.name, "[2001:db8::1]:4321");
        assert_eq!(listener.sent_by, "[2001:db8::1]:4321");
        let wide = ListenConfig { address: "0.0.0.0:5060".parse().unwrap(), ..advertised };
        let plans = expand(&wide, &local());
        let listener = plans[1].listener(plans[1].address);
        assert_eq!(listener.name, "sip.example.com:5070/192.0.2.1");
        assert_eq!(listener.sent_by, "sip.example.com:5070");
    }

    #[test]
    fn a_port_that_the_kernel_chooses_is_shared_by_all_workers() {
        let (sockets, listeners) =
            Sockets::bind(&[entry("127.0.0.1:0"), entry("127.0.0.1:0")], &[], 3, 65_536).unwrap();
        assert_eq!(sockets.listeners(), 2);
        for (id, listener) in listeners.iter() {
            assert_ne!(listener.local.port(), 0);
            for worker in 0..3 {
                let socket = socket2::SockRef::from(&sockets.get(id, worker)).local_addr();
                assert_eq!(socket.unwrap().as_socket(), Some(listener.local));
            }
        }
        let taken = entry(&listeners.get(ListenerId(1)).local.to_string());
        let errors = Sockets::bind(&[taken], &[], 1, 65_536).unwrap_err();
        assert!(matches!(errors[..], [BindError::InUse(_)]));
    }
}
