//! What this machine knows of names: `/etc/hosts` and `/etc/resolv.conf`, read again at each
//! lookup, because both may change while the relay runs.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;

use super::servers::{self, Servers};
use super::wanted::Search;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Which servers to ask, and where to look for names.
#[derive(Debug)]
pub(super) struct System {
    /// The settings that it was built from.
    from: From,
    pub(super) servers: Arc<Servers>,
    pub(super) search: Search,
    /// Why there is no name server to ask.
    pub(super) problem: Option<String>,
}

#[derive(Debug, Eq, PartialEq)]
enum From {
    Addresses(Vec<SocketAddr>),
    ResolvConf(Vec<u8>),
}

impl System {
    /// Uses these name servers, or else those of `/etc/resolv.conf`; returns `before` if nothing
    /// changed.
    pub(super) fn read(name_servers: &[SocketAddr], before: Option<Arc<Self>>) -> Arc<Self> {
        let from = if name_servers.is_empty() {
            From::ResolvConf(fs::read(RESOLV_CONF).unwrap_or_default())
        } else {
            From::Addresses(name_servers.to_vec())
        };
        match before {
            Some(before) if before.from == from => before,
            _ => Arc::new(Self::new(from)),
        }
    }

    fn new(from: From) -> Self {
        let (servers, search, problem) = match &from {
            // With configured name servers, names are fully qualified.
            From::Addresses(addresses) => (servers::listed(addresses), Search::default(), None),
            From::ResolvConf(text) => match parse_resolv_conf(text) {
                Ok((config, options)) => {
                    let domains = match config.search() {
                        [] => config.domain().into_iter().map(servers::text).collect(),
                        search => search.iter().map(servers::text).collect(),
                    };
                    let search = Search { domains, dots: options.ndots };
                    let (_, _, servers) = config.into_parts();
                    (Arc::new(Servers::new(servers)), search, None)
                }
                Err(error) => {
                    let problem = format!("{RESOLV_CONF}: {error}");
                    (Arc::new(Servers::new([])), Search::default(), Some(problem))
                }
            },
        };
        Self { from, servers, search, problem }
    }
}

/// The names in `/etc/hosts`, and `localhost`.
#[derive(Debug, Default)]
pub(super) struct Local(Hosts);

impl Local {
    pub(super) fn read() -> Self {
        Self(Hosts::from_system().unwrap_or_default())
    }

    /// Returns all addresses; empty if the machine does not know the name.
    pub(super) fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let Ok(full) = Name::from_ascii(name) else { return Vec::new() };
        let of = |record_type| {
            let lookup = self.0.lookup_static_host(&Query::query(full.clone(), record_type));
            let answers = lookup.into_iter().flat_map(|lookup| lookup.answers().to_vec());
            answers.filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
        };
        let mut addresses = of(RecordType::A);
        addresses.extend(of(RecordType::AAAA));
        // RFC 6761 §6.3: never ask a name server for it.
        if addresses.is_empty() && (name == "localhost" || name.ends_with(".localhost")) {
            return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_knows() {
        let mut hosts = Hosts::default();
        let text = "192.0.2.1 ms1 ms1.example\n2001:db8::1 ms1\n192.0.2.2 ms1\n";
        hosts.read_hosts_conf(text.as_bytes()).unwrap();
        let local = Local(hosts);
        let told = |name| {
            local.addresses(name).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told("ms1"), "192.0.2.1 192.0.2.2 2001:db8::1");
        assert_eq!(told("ms1.example"), "192.0.2.1");
        assert_eq!(told("example"), "");
        assert_eq!(told("a.localhost"), "127.0.0.1 ::1");
    }

    #[test]
    fn whom_to_ask() {
        let text = b"search a.example b.example\nnameserver 192.0.2.53\noptions ndots:2\n";
        let system = System::new(From::ResolvConf(text.to_vec()));
        let domains = vec!["a.example".into(), "b.example".into()];
        assert_eq!(system.search, Search { domains, dots: 2 });
        assert!(system.problem.is_none());
        assert!(System::new(From::ResolvConf(Vec::new())).problem.is_some());
        let address = "192.0.2.53:5353".parse().unwrap();
        let system = System::read(&[address], None);
        let same = System::read(&[address], Some(Arc::clone(&system)));
        assert!(Arc::ptr_eq(&system, &same), "its connections are kept");
        let other = System::read(&[address, address], Some(Arc::clone(&system)));
        assert!(!Arc::ptr_eq(&system, &other));
    }
}
