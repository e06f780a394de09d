//! Private networks: namespaces joined by veth pairs, removed when the test ends. They need root.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

/// A network namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, its loopback interface up.
    pub(crate) fn new(role: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only the number matters.
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("strowger-{}-{n}-{role}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        ip(&["-n", namespace.name(), "link", "set", "lo", "up"]);
        namespace
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A UDP socket in it.
    pub(crate) fn socket(&self, address: SocketAddr) -> UdpSocket {
        self.enter(|| UdpSocket::bind(address).expect("an address of the namespace"))
    }

    /// Runs `ip` or `tc` in it.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) {
        let (program, arguments) = command.split_once(' ').expect("a program and its arguments");
        let mut all = vec!["netns", "exec", &self.name, program];
        all.extend(arguments.split(' '));
        ip(&all);
    }

    /// Does something inside, on a thread of its own: the sockets that it opens stay inside.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let file = File::open(format!("/run/netns/{}", self.name)).expect("our namespace");
            setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join()).expect("the work does not panic")
    }

    /// Joins two namespaces by a link whose ends have these addresses (`address/bits`).
    pub(crate) fn join(ends: [(&Self, &str, &str); 2]) {
        let [(one, one_link, _), (other, other_link, _)] = ends;
        ip(&[
            "link",
            "add",
            one_link,
            "netns",
            one.name(),
            "type",
            "veth",
            "peer",
            "name",
            other_link,
            "netns",
            other.name(),
        ]);
        for (namespace, link, address) in ends {
            let name = namespace.name();
            ip(&["-n", name, "address", "add", address, "dev", link]);
            ip(&["-n", name, "link", "set", link, "up"]);
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its links go with it. When this fails there is nobody left to tell.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

#[track_caller]
fn ip(arguments: &[&str]) {
    let output =
        Command::new("ip").args(arguments).output().expect("ip, from the package iproute2");
    assert!(
        output.status.success(),
        "ip {arguments:?} (root is needed): {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
