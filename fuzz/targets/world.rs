//! The network around the relay: its hosts, and the operator's settings.

use std::sync::Arc;

use strowger::destination::{SourceMatch, Table};
use strowger::proxy::{
    ForeignRoute, InDialog, Listener, Listeners, Policy, Prefix, Rewrite, SetPolicy, Snapshot,
    Transport,
};
use strowger::transaction::{Failover, WhenFull};

/// Where datagrams come from: callers, destinations, one of ours, and a bystander.
pub(crate) const PEERS: [&str; 10] = [
    "198.51.100.7:5062",
    "10.0.0.1:5060",
    "10.0.0.2:5060",
    "[2001:db8:1::7]:5062",
    "198.51.100.8:5060",
    "10.0.0.1:40000",
    "[2001:db8:2::1]:5060",
    "203.0.113.66:5060",
    "192.0.2.1:9999",
    "192.0.2.1:5060",
];

/// What the list may say, from one moment to the next.
pub(crate) const LISTS: [&str; 10] = [
    "1 sip:10.0.0.1:5060\n1 sip:10.0.0.2:5060\n",
    "1 sip:10.0.0.1:5060\n",
    "1 sip:10.0.0.2:5060 0 5\n1 sip:10.0.0.1:5060 1\n",
    "",
    "1 sip:gw.example.com:5060\n",
    "1 sip:10.0.0.1:5060 0 0 socket=udp:192.0.2.1:5070\n2 sip:10.0.0.3\n",
    "1 sip:[2001:db8:2::1]:5060\n1 sip:10.0.0.1\n",
    "1 sip:192.0.2.99:5060\n",
    "2 sip:10.0.0.1:5060\n2 sip:198.51.100.8\n",
    "1 sip:10.0.0.1:5060 4\n1 sip:nowhere0 2\n1 sip:10.0.0.2;x=y 2\n",
];

/// Ours: two of IPv4, of which one has a name and ignores what Vias say about ports, one of IPv6.
pub(crate) fn listeners() -> Listeners {
    let listener = |address: &str, sent_by: &str, force_rport| Listener {
        name: address.into(),
        local: address.parse().unwrap(),
        transport: Transport::Udp,
        sent_by: sent_by.into(),
        force_rport,
        set: None,
    };
    let all = vec![
        listener("192.0.2.1:5060", "192.0.2.1:5060", false),
        listener("192.0.2.1:5070", "edge.example.net:5070", true),
        listener("[2001:db8::1]:5060", "[2001:db8::1]:5060", false),
    ];
    Listeners::new(all, &[alias()])
}

/// Another name of ours.
pub(crate) fn alias() -> (String, u16) {
    ("sip.example.net".to_owned(), 5060)
}

/// An empty snapshot with the operator's choices by default.
pub(crate) fn snapshot() -> Snapshot {
    Snapshot {
        version: 0,
        policy: Policy::default(),
        set_default: SetPolicy::default(),
        sets: Arc::default(),
        draining: false,
        destinations: Table::default(),
    }
}

/// The choice of stateful sets.
pub(crate) const STATEFUL: u16 = 1 << 12;

/// Other choices, each by its bits.
pub(crate) fn choose_policy(snapshot: &mut Snapshot, bits: u16) {
    let is = |bit: u16| bits >> bit & 1 == 1;
    let prefix = |text: &str, bits| Prefix::new(text.parse().unwrap(), bits).unwrap();
    let everyone = Policy::default().allow;
    let policy = &mut snapshot.policy;
    policy.allow = if is(0) {
        vec![prefix("198.51.100.0", 24), prefix("10.0.0.0", 8)]
    } else {
        everyone.clone()
    };
    policy.in_dialog_to = match bits >> 1 & 3 {
        0 => everyone,
        1 => vec![prefix("203.0.113.0", 24), prefix("2001:db8:3::", 48)],
        2 => vec![prefix("198.51.100.0", 25), prefix("10.0.0.0", 30)],
        _ => Vec::new(),
    };
    policy.set = if is(3) { 2 } else { 1 };
    policy.source_match = if is(4) { SourceMatch::Address } else { SourceMatch::AddressAndPort };
    policy.options_always_ok = is(5);
    policy.max_breadth = is(6).then_some(60);
    let set = &mut snapshot.set_default;
    set.record_route = !is(7);
    set.foreign_route = match bits >> 8 & 3 {
        0 | 3 => ForeignRoute::Remove,
        1 => ForeignRoute::Keep,
        _ => ForeignRoute::Refuse,
    };
    set.rewrite = if is(10) { Rewrite::Domain } else { Rewrite::None };
    set.in_dialog = if is(11) { InDialog::Route } else { InDialog::Destination };
    set.stateful = is(12).then(|| {
        Arc::new(Failover {
            progress_ms: if is(13) { 5_000 } else { 0 },
            tries_max: if is(14) { 15 } else { 3 },
            when_full: if is(15) { WhenFull::Refuse } else { WhenFull::Stateless },
            ..Failover::default()
        })
    });
    snapshot.policy.is_stateful = is(12);
}
