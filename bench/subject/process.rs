//! A relay in a process of its own, with its files in a folder of its own.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A relay that runs. Dropping it ends it.
pub(super) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts it by this command, on this core if one is named, and returns when it listens at this
    /// address.
    pub(super) fn start(
        folder: TempDir,
        arguments: &[String],
        core: Option<usize>,
        listen: SocketAddrV4,
    ) -> io::Result<Self> {
        let log = File::create(folder.path().join(LOG))?;
        let pinned = core.map(|core| ["taskset", "-c", &core.to_string()].map(str::to_owned));
        let all: Vec<_> = pinned.iter().flatten().chain(arguments).collect();
        let (program, arguments) = all.split_first().expect("a command line");
        let child = Command::new(program)
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut process = Self { child, folder };
        process.wait_bound(listen)?;
        Ok(process)
    }

    /// Its process.
    #[allow(dead_code, reason = "not every bench asks what it uses")]
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder.
    #[allow(dead_code, reason = "not every bench looks into it")]
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it wrote.
    pub(super) fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?)
    }

    /// Whether it has ended.
    #[allow(dead_code, reason = "most benches end it by dropping it")]
    pub(super) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn wait_bound(&mut self, listen: SocketAddrV4) -> io::Result<()> {
        let port = format!(":{:04X} ", listen.port());
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end && self.child.try_wait()?.is_none() {
            if fs::read_to_string("/proc/net/udp")?.contains(&port) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other(format!("the relay does not start: {}", self.log())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.terminate();
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address of this machine that nobody has at this moment.
pub(super) fn free_address() -> io::Result<SocketAddrV4> {
    match UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => unreachable!("it is bound to an IPv4 address"),
    }
}

const LOG: &str = "log";
