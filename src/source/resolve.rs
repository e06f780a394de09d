//! Host names to addresses, on the side of the control thread, within a time.
//!
//! The system's resolver blocks and cannot be called off, so threads of their own ask it; one that
//! hangs is left behind with its name unresolved, and how many there may be is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::destination::{Flags, Host, Record, Resolved};
use crate::limits;

/// Finds the addresses of all records: IPv4 first, then by number, each once. What is not known
/// when `timeout` is over has none. Records keep their order.
pub fn resolve(records: Vec<Record>, timeout: Duration) -> Vec<Resolved> {
    resolve_with(records, timeout, system)
}

/// The names without an address, each once, in order.
pub fn unresolved(resolved: &[Resolved]) -> Vec<String> {
    let names = resolved
        .iter()
        .filter(|resolved| resolved.addresses.is_empty())
        .filter_map(|resolved| match &resolved.record.uri.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        })
        .collect::<BTreeSet<_>>();
    names.into_iter().collect()
}

type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|a| a.ip()).collect())
}

fn resolve_with(records: Vec<Record>, timeout: Duration, lookup: Lookup) -> Vec<Resolved> {
    let names = records
        .iter()
        .filter(|record| record.flags.bits() & Flags::NO_DNS_A == 0)
        .filter_map(|record| match &record.uri.host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) => None,
        })
        .collect::<BTreeSet<_>>();
    let found = look_up(names, timeout, lookup);
    records
        .into_iter()
        .map(|record| {
            let port = record.uri.port_or_default();
            let ips = match &record.uri.host {
                Host::Address(ip) => vec![*ip],
                Host::Name(_) if record.flags.bits() & Flags::NO_DNS_A != 0 => Vec::new(),
                Host::Name(name) => found.get(name).cloned().unwrap_or_default(),
            };
            let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port).into()).collect();
            Resolved { record, addresses }
        })
        .collect()
}

fn look_up(
    names: BTreeSet<String>,
    timeout: Duration,
    lookup: Lookup,
) -> BTreeMap<String, Vec<IpAddr>> {
    let deadline = Instant::now() + timeout;
    let mut missing = names.len();
    let answers = start(names, lookup);
    let mut found = BTreeMap::new();
    while missing > 0 {
        let left = deadline.saturating_duration_since(Instant::now());
        // An error is the end of the time, or of all helpers.
        let Ok((name, ips)) = answers.recv_timeout(left) else {
            break;
        };
        // IPv4 sorts before IPv6; an address that cannot be a server's is none.
        let ips = ips
            .into_iter()
            .map(|ip| ip.to_canonical())
            .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
            .collect::<BTreeSet<_>>();
        found.insert(name, ips.into_iter().collect());
        missing -= 1;
    }
    found
}

type Answer = (String, Vec<IpAddr>);

/// Starts the helpers; each takes the next name until none is left or nobody listens.
fn start(names: BTreeSet<String>, lookup: Lookup) -> Receiver<Answer> {
    let (sender, answers) = mpsc::channel();
    let wanted = names.len().min(limits::LOOKUPS_MAX);
    let queue = Arc::new(Mutex::new(VecDeque::from_iter(names)));
    for _ in 0..wanted {
        let Some(permit) = Permit::take() else { break };
        let (queue, sender) = (Arc::clone(&queue), sender.clone());
        let started = thread::Builder::new().name("resolver".into()).spawn(move || {
            let _permit = permit;
            loop {
                let name = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(name) = name else { return };
                let ips = lookup(&name).unwrap_or_default();
                if sender.send((name, ips)).is_err() {
                    return;
                }
            }
        });
        if started.is_err() {
            break;
        }
    }
    answers
}

/// Leave for one helper among those of all loads.
struct Permit;

impl Permit {
    fn take() -> Option<Self> {
        // Relaxed: a count, which orders nothing.
        let more = |count: usize| (count < limits::LOOKUPS_ALL_MAX).then_some(count + 1);
        HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

static HELPERS: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    fn records(list: &str) -> Vec<Record> {
        super::super::parse("f", list.as_bytes()).unwrap().records
    }

    fn told(resolved: &[Resolved]) -> Vec<String> {
        resolved
            .iter()
            .map(|resolved| {
                let addresses = resolved.addresses.iter().map(|a| a.socket.to_string());
                addresses.collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    fn names(name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "many" => Ok(["2001:db8::1", "192.0.2.2", "::ffff:192.0.2.1", "192.0.2.2"]
                .map(|ip| ip.parse().unwrap())
                .into()),
            "zero" => Ok(vec![IpAddr::from([0; 4])]),
            "hangs" => loop {
                thread::park();
            },
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    #[test]
    fn addresses_in_a_fixed_order() {
        let records = records(
            "1 sip:many:5070\n1 sip:192.0.2.9\n1 sip:[2001:db8::9]:5080\n1 sip:none\n1 sip:zero\n2 sip:many 16\n",
        );
        let resolved = resolve_with(records, Duration::from_mins(1), names);
        let many = "192.0.2.1:5070 192.0.2.2:5070 [2001:db8::1]:5070";
        let wants = [many, "192.0.2.9:5060", "[2001:db8::9]:5080", "", "", ""];
        assert_eq!(told(&resolved), wants);
        assert_eq!(unresolved(&resolved), ["many", "none", "zero"]);
    }

    #[test]
    fn one_that_hangs_holds_no_other() {
        let records = records("1 sip:hangs\n1 sip:many\n1 sip:192.0.2.9\n");
        let resolved = resolve_with(records, Duration::from_secs(1), names);
        assert_eq!(told(&resolved)[0], "");
        assert!(told(&resolved)[1].starts_with("192.0.2.1:5060"));
        assert_eq!(unresolved(&resolved), ["hangs"]);
    }

    #[test]
    fn loopback_by_its_name() {
        let resolved = resolve(records("1 sip:localhost:5070\n"), Duration::from_mins(1));
        assert!(resolved[0].addresses.iter().all(|a| a.socket.ip().is_loopback()));
        assert!(!resolved[0].addresses.is_empty());
    }
}
