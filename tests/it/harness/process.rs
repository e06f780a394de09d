//! A child process that does not outlive its test.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::wait;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts it. A program that is not installed fails the test with its name.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Self { name: name.to_owned(), child }
    }

    /// The child, for its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        signal::kill(pid, signal).expect("our own child, not yet waited for");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let Self { name, child } = self;
        wait::until(&format!("the end of {name}"), || child.try_wait().expect("our own child"))
    }

    /// Waits until it has a UDP socket on this port, in whatever network namespace it is.
    pub(crate) fn wait_bound(&mut self, address: SocketAddr) {
        let table = if address.is_ipv4() { "udp" } else { "udp6" };
        let path = format!("/proc/{}/net/{table}", self.child.id());
        let port = format!(":{:04X}", address.port());
        let Self { name, child } = self;
        wait::until(&format!("{name} to listen on {address}"), || {
            let status = child.try_wait().expect("our own child");
            assert!(status.is_none(), "{name} ended before it listened: {status:?}");
            let sockets = fs::read_to_string(&path).ok()?;
            sockets
                .lines()
                .filter_map(|line| line.split_whitespace().nth(1))
                .any(|local| local.ends_with(&port))
                .then_some(())
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It may end by itself in between: then there is nothing left to do.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
