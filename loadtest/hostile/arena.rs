//! The networks: four network namespaces. The world contains the attackers, all of 10.0.0.0/8,
//! whose hosts they impersonate, and the victims. Everything that a relay sends to any of these
//! arrives there and is counted.
//!
//! ```text
//!  caller 192.0.2.2 ──────────┐
//!                             ├── relay 192.0.2.1:5060 ── servers 198.51.100.2:5060, :5062
//!  world 203.0.113.2,         │
//!        10.0.0.0/8, ─────────┘
//!        victim 198.18.0.66
//! ```

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::harness::netns::Namespace;

/// The relay's one listener.
pub(super) const RELAY: SocketAddrV4 = at([192, 0, 2, 1], 5060);
/// Who makes the calls that must go on.
pub(super) const CALLER: SocketAddrV4 = at([192, 0, 2, 2], 5080);
/// The destinations.
pub(super) const SERVERS: [SocketAddrV4; 2] =
    [at([198, 51, 100, 2], 5060), at([198, 51, 100, 2], 5062)];
/// An attacker who does not hide.
pub(super) const STRANGER: SocketAddrV4 = at([203, 0, 113, 2], 5060);
/// Who is to be hit by what the relay sends.
pub(super) const VICTIM: SocketAddrV4 = at([198, 18, 0, 66], 5060);

const fn at([a, b, c, d]: [u8; 4], port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port)
}

/// The namespaces; they are gone when this is dropped.
pub(super) struct Arena {
    pub(super) caller: Namespace,
    pub(super) relay: Namespace,
    pub(super) servers: Namespace,
    pub(super) world: Namespace,
}

impl Arena {
    pub(super) fn new() -> Self {
        let [caller, relay, servers, world] =
            ["caller", "relay", "servers", "world"].map(Namespace::new);
        // Before there are links, so that these take it over: forged sources must arrive.
        for namespace in [&relay, &world] {
            set(namespace, "ipv4/conf/all/rp_filter", "0");
            set(namespace, "ipv4/conf/default/rp_filter", "0");
        }
        // The world answers what it did not ask for as hosts do, without mercy.
        set(&world, "ipv4/icmp_ratelimit", "0");
        Namespace::join([(&caller, "relay", "192.0.2.2/24"), (&relay, "caller", "192.0.2.1/24")]);
        Namespace::join([
            (&servers, "relay", "198.51.100.2/24"),
            (&relay, "servers", "198.51.100.1/24"),
        ]);
        Namespace::join([(&world, "relay", "203.0.113.2/24"), (&relay, "world", "203.0.113.1/24")]);
        ip(&caller, &["route", "add", "default", "via", "192.0.2.1"]);
        ip(&servers, &["route", "add", "default", "via", "198.51.100.1"]);
        ip(&world, &["route", "add", "default", "via", "203.0.113.1"]);
        ip(&relay, &["route", "add", "default", "via", "203.0.113.2"]);
        for hosts in ["10.0.0.0/8", "198.18.0.0/15"] {
            ip(&world, &["route", "add", "local", hosts, "dev", "lo"]);
        }
        let arena = Self { caller, relay, servers, world };
        // Messages of 64 KB need no fragments, unless an attack is about these.
        arena.mtu(65_535);
        arena
    }

    /// Sets the largest packet of all links.
    pub(super) fn mtu(&self, bytes: u32) {
        let bytes = bytes.to_string();
        for (namespace, links) in [
            (&self.caller, &["relay"][..]),
            (&self.servers, &["relay"]),
            (&self.world, &["relay"]),
            (&self.relay, &["caller", "servers", "world"]),
        ] {
            for link in links {
                ip(namespace, &["link", "set", link, "mtu", &bytes]);
            }
        }
    }
}

/// Sets a parameter of a namespace's network, by the path below `/proc/sys/net`.
pub(super) fn set(namespace: &Namespace, parameter: &str, value: &str) {
    namespace.enter(|| {
        let path = format!("/proc/sys/net/{parameter}");
        fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    });
}

fn ip(namespace: &Namespace, arguments: &[&str]) {
    let status = Command::new("ip").args(["-n", namespace.name()]).args(arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {arguments:?}");
}

/// On Ctrl-C: ends what runs in our namespaces and removes them.
pub(super) fn clean_up_when_told_to_end() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let prefix = format!("strowger-{}-", std::process::id());
            let list = output(&["netns", "list"]);
            let names = list.lines().filter_map(|line| line.split_whitespace().next());
            for name in names.filter(|name| name.starts_with(&prefix)) {
                for pid in output(&["netns", "pids", name]).split_whitespace() {
                    let _ = Command::new("kill").args(["-9", pid]).status();
                }
                let _ = Command::new("ip").args(["netns", "delete", name]).status();
            }
            std::process::exit(130);
        }
    });
    Ok(())
}

fn output(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}
