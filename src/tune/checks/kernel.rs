//! The kernel's network settings that hold for all cards.

use super::{Advice, Finding, Machine, Want, sysctls};
use crate::limits::{RECEIVE_BUFFER_BYTES_DEFAULT, SEND_BUFFER_BYTES};
use crate::tune::machine::Relay;

pub(super) fn rmem_max(machine: &Machine<'_>) -> Finding {
    buffer(machine, "net.core.rmem_max", RECEIVE_BUFFER_BYTES_DEFAULT)
}

pub(super) fn wmem_max(machine: &Machine<'_>) -> Finding {
    buffer(machine, "net.core.wmem_max", SEND_BUFFER_BYTES)
}

/// A privileged relay is not limited by it. One that is not running may be either.
fn buffer(machine: &Machine<'_>, name: &str, least: usize) -> Finding {
    let least = i64::try_from(least).unwrap_or(i64::MAX);
    let privileged =
        |relay: &Relay<'_>| relay.capabilities.is_some_and(|all| all >> NET_ADMIN & 1 == 1);
    if !machine.relays.is_empty() && machine.relays.iter().all(privileged) {
        return Finding::Fine("the relay has CAP_NET_ADMIN, so it does not count".into());
    }
    sysctls(machine, &[(name, Want::Least(least))])
}

/// Its number in `linux/capability.h`.
pub(super) const NET_ADMIN: u32 = 12;

/// Only packets that go from one core to another pass through the backlog.
pub(super) fn backlog(machine: &Machine<'_>) -> Finding {
    let dropped: u64 = softnet(machine).iter().map(|core| core.dropped).sum();
    let is_used = machine.cards.iter().any(|card| super::queues::has_rps(machine, card));
    if dropped == 0 && !is_used {
        return Finding::Fine("no card uses RPS, and nothing was dropped".into());
    }
    let mut finding = sysctls(machine, &[("net.core.netdev_max_backlog", Want::Least(BACKLOG))]);
    if let Finding::Advice(advice) = &mut finding
        && dropped > 0
    {
        advice.found = format!("{}; {dropped} packets dropped since the start", advice.found);
    }
    finding
}

/// At 1 million packets a second, 8 ms of them.
const BACKLOG: i64 = 8192;

/// More budget makes the kernel receive longer before a worker on that core has its turn, so it is
/// advised only where the budget was seen to end.
pub(super) fn budget(machine: &Machine<'_>) -> Finding {
    let cores = softnet(machine);
    let squeezed: u64 = cores.iter().map(|core| core.squeezed).sum();
    let packets: u64 = cores.iter().map(|core| core.packets).sum();
    if cores.is_empty() {
        return Finding::Unknown("/proc/net/softnet_stat is not there".into());
    }
    let seen = format!("{squeezed} times ended with packets left, of {packets} packets");
    if squeezed * SQUEEZES_PER < packets {
        return Finding::Fine(seen);
    }
    let wanted = [
        ("net.core.netdev_budget", Want::Least(BUDGET)),
        ("net.core.netdev_budget_usecs", Want::Least(BUDGET_US)),
    ];
    let mut finding = sysctls(machine, &wanted);
    if let Finding::Advice(advice) = &mut finding {
        advice.found = format!("{}; {seen}", advice.found);
    }
    finding
}

/// Packets for each time that the budget ended, above which it does not matter.
const SQUEEZES_PER: u64 = 10_000;

/// Twice the kernel's default.
const BUDGET: i64 = 600;

/// Twice the default of a kernel with a tick of 1 ms.
const BUDGET_US: i64 = 4000;

/// What `/proc/net/softnet_stat` counts for a core.
struct Softnet {
    packets: u64,
    dropped: u64,
    squeezed: u64,
}

fn softnet(machine: &Machine<'_>) -> Vec<Softnet> {
    let text = machine.tree.get("/proc/net/softnet_stat").unwrap_or_default();
    let cores = text.lines().filter_map(|line| {
        let mut words =
            line.split_ascii_whitespace().map(|word| u64::from_str_radix(word, 16).ok());
        let mut next = || words.next().flatten();
        Some(Softnet { packets: next()?, dropped: next()?, squeezed: next()? })
    });
    cores.collect()
}

pub(super) fn fragments(machine: &Machine<'_>) -> Finding {
    let wanted = [
        ("net.ipv4.ipfrag_time", Want::Most(FRAGMENT_SECONDS)),
        ("net.ipv4.ipfrag_high_thresh", Want::Least(FRAGMENT_BYTES)),
        ("net.ipv6.ip6frag_time", Want::Most(FRAGMENT_SECONDS)),
        ("net.ipv6.ip6frag_high_thresh", Want::Least(FRAGMENT_BYTES)),
    ];
    sysctls(machine, &wanted)
}

/// Fragments of one datagram leave together: 2 s are long enough on any network that can carry calls.
const FRAGMENT_SECONDS: i64 = 2;

/// See docs/hostile-network.md.
const FRAGMENT_BYTES: i64 = 268_435_456;

pub(super) fn conntrack(machine: &Machine<'_>) -> Finding {
    let Some(all) = machine.tree.number("/proc/sys/net/netfilter/nf_conntrack_count") else {
        return Finding::Fine("not loaded".into());
    };
    if all == 0 {
        return Finding::Fine("loaded, tracks nothing".into());
    }
    let ours: Option<Vec<i64>> = machine
        .ports
        .iter()
        .map(|port| machine.tree.number(&format!("/conntrack/udp/{port}")))
        .collect();
    let ports: Vec<String> = machine.ports.iter().map(u16::to_string).collect();
    let ports = ports.join(",");
    let found = match ours.map(|ours| ours.iter().sum::<i64>()) {
        Some(0) => {
            return Finding::Fine(format!("{all} connections tracked, none of port {ports}"));
        }
        Some(ours) => format!("{all} connections tracked, {ours} of port {ports}"),
        None => format!("{all} connections tracked; whether of port {ports} cannot be seen"),
    };
    let rule = |chain: &str, end: &str| {
        format!("nft add rule inet strowger {chain} udp {end} '{{ {ports} }}' notrack")
    };
    Advice {
        found,
        right: format!("port {ports} is not tracked"),
        see: "conntrack -L -p udp | grep -c port=5060".replace("5060", &ports.replace(',', "\\|")),
        by_hand: vec![
            "nft add table inet strowger".into(),
            "nft 'add chain inet strowger in { type filter hook prerouting priority raw; }'".into(),
            "nft 'add chain inet strowger out { type filter hook output priority raw; }'".into(),
            rule("in", "dport"),
            rule("in", "sport"),
            rule("out", "dport"),
            rule("out", "sport"),
        ],
        changes: Vec::new(),
    }
    .into()
}

pub(super) fn busy_poll(machine: &Machine<'_>) -> Finding {
    let wanted = [("net.core.busy_poll", Want::Most(0)), ("net.core.busy_read", Want::Most(0))];
    sysctls(machine, &wanted)
}
