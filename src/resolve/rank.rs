//! Orders the addresses of all servers of a name, each with its share of the weight.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::destination::Address;
use crate::limits::ADDRESSES_MAX;

/// A server of a name, from an SRV record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) name: String,
}

/// The addresses of a name that are used, and how many there are in all.
pub(super) struct Ranked {
    pub(super) used: Vec<Address>,
    pub(super) all: usize,
}

/// Sorts addresses by priority, then IPv4 before IPv6, then by number, each once. The addresses of
/// one server share its weight, because RFC 2782 chooses by weight before it looks at addresses.
pub(super) fn rank<'a>(servers: impl Iterator<Item = (&'a Target, Vec<IpAddr>)>) -> Ranked {
    let servers: Vec<_> = servers
        .map(|(target, ips)| {
            let mut ips: Vec<_> = ips.into_iter().filter_map(usable).collect();
            ips.sort_unstable();
            ips.dedup();
            (target, ips)
        })
        .filter(|(_, ips)| !ips.is_empty())
        .collect();
    // Weights are multiplied so that they can be divided by the number of addresses.
    let multiple = |priority: u16| {
        let of_it = servers.iter().filter(|(target, _)| target.priority == priority);
        of_it.map(|(_, ips)| ips.len() as u64).fold(1, lcm).min(MULTIPLE_MAX)
    };
    let multiples: BTreeMap<u16, u64> =
        servers.iter().map(|(target, _)| (target.priority, multiple(target.priority))).collect();
    let mut best: BTreeMap<SocketAddr, (u16, u64)> = BTreeMap::new();
    for (target, ips) in &servers {
        let weight = u64::from(target.weight) * multiples[&target.priority] / ips.len() as u64;
        for ip in ips {
            let place = best.entry(SocketAddr::new(*ip, target.port)).or_insert((u16::MAX, 0));
            match target.priority.cmp(&place.0) {
                std::cmp::Ordering::Less => *place = (target.priority, weight),
                std::cmp::Ordering::Equal => place.1 += weight,
                std::cmp::Ordering::Greater => {}
            }
        }
    }
    let heaviest = best.values().map(|(_, weight)| *weight).max().unwrap_or(0);
    let fitted = |weight: u64| match u16::try_from(heaviest) {
        Ok(_) => weight as u16,
        Err(_) if weight == 0 => 0,
        Err(_) => (weight * u64::from(u16::MAX) / heaviest).max(1) as u16,
    };
    let mut addresses: Vec<_> = best
        .into_iter()
        .map(|(socket, (priority, weight))| Address { priority, weight: fitted(weight), socket })
        .collect();
    // SocketAddr sorts IPv4 before IPv6.
    addresses.sort_unstable_by_key(|address| (address.priority, address.socket));
    let all = addresses.len();
    addresses.truncate(ADDRESSES_MAX);
    Ranked { used: addresses, all }
}

/// Returns the address if it is a unicast one that can be sent to without an interface name.
fn usable(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    let is_link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    let is_none = ip.is_unspecified() || ip.is_multicast() || is_link_local || is_broadcast;
    (!is_none).then_some(ip)
}

/// The least common multiple of 1 to 8 addresses; more servers with more different sizes get
/// approximate shares.
const MULTIPLE_MAX: u64 = 840;

fn lcm(a: u64, b: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (a / gcd(a, b)).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `priority/weight:port address…;…`
    fn ranked(servers: &str) -> Vec<String> {
        let servers: Vec<_> = servers
            .split(';')
            .map(|server| {
                let mut words = server.split_whitespace();
                let rank: Vec<u16> =
                    words.next().unwrap().split(['/', ':']).map(|n| n.parse().unwrap()).collect();
                let ips: Vec<IpAddr> = words.map(|ip| ip.parse().unwrap()).collect();
                let (priority, weight, port) = (rank[0], rank[1], rank[2]);
                (Target { priority, weight, port, name: String::new() }, ips)
            })
            .collect();
        let ranked = rank(servers.iter().map(|(target, ips)| (target, ips.clone())));
        ranked.used.iter().map(|a| format!("{}/{} {}", a.priority, a.weight, a.socket)).collect()
    }

    #[test]
    fn one_order_each_once() {
        for (servers, wanted) in [
            ("0/0:5060", vec![]),
            (
                "0/0:5070 2001:db8::1 192.0.2.2 ::ffff:192.0.2.1 192.0.2.2",
                vec!["0/0 192.0.2.1:5070", "0/0 192.0.2.2:5070", "0/0 [2001:db8::1]:5070"],
            ),
            ("0/0:5060 0.0.0.0 224.0.0.1 ff02::1 fe80::1 :: 255.255.255.255", vec![]),
            (
                "20/5:5060 192.0.2.1;10/5:5062 192.0.2.9",
                vec!["10/5 192.0.2.9:5062", "20/5 192.0.2.1:5060"],
            ),
            // The same address twice: the better priority, the sum of the weights.
            ("20/5:5060 192.0.2.1;10/5:5060 192.0.2.1", vec!["10/5 192.0.2.1:5060"]),
            ("10/5:5060 192.0.2.1;10/6:5060 192.0.2.1", vec!["10/11 192.0.2.1:5060"]),
            (
                "10/5:5060 192.0.2.1;10/6:5061 192.0.2.1",
                vec!["10/5 192.0.2.1:5060", "10/6 192.0.2.1:5061"],
            ),
            // 60 for two addresses, 40 for one.
            (
                "1/60:1 192.0.2.1 192.0.2.2;1/40:1 192.0.2.3",
                vec!["1/60 192.0.2.1:1", "1/60 192.0.2.2:1", "1/80 192.0.2.3:1"],
            ),
            (
                "1/65535:1 192.0.2.1 192.0.2.2;1/65535:1 192.0.2.3;1/0:1 192.0.2.4",
                vec![
                    "1/32767 192.0.2.1:1",
                    "1/32767 192.0.2.2:1",
                    "1/65535 192.0.2.3:1",
                    "1/0 192.0.2.4:1",
                ],
            ),
        ] {
            assert_eq!(ranked(servers), wanted, "{servers}");
        }
    }

    #[test]
    fn more_than_fit_are_cut_from_the_end() {
        let many: String =
            (0..=ADDRESSES_MAX).map(|n| format!(" 192.0.{}.{}", n / 250, n % 250)).collect();
        let ranked = ranked(&format!("2/0:1{many};1/0:1 198.51.100.1"));
        assert_eq!(ranked.len(), ADDRESSES_MAX);
        assert_eq!(ranked[..2], ["1/0 198.51.100.1:1", "2/0 192.0.0.0:1"]);
    }
}
