//! The relay of the demo: the same one that `run` starts, with its own list in a temporary folder.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

use super::Error;
use crate::config::{Config, Flags};
use crate::control::{Options, Relay};

/// A running relay.
#[derive(Debug)]
pub(super) struct Running {
    relay: Relay,
    address: SocketAddr,
    _folder: Folder,
}

impl Running {
    /// Starts it with these destinations, in this order, on a free port of the loopback interface.
    pub(super) fn start(
        destinations: &[SocketAddr],
        workers: Option<usize>,
        calls_per_second: f64,
    ) -> Result<Self, Error> {
        let folder = Folder::new().map_err(super::machine("create a folder for the list"))?;
        let list = folder.path().join("dispatcher.list");
        fs::write(&list, list_of(destinations))
            .map_err(super::machine("write the list of destinations"))?;
        let flags = Flags {
            listen: vec!["udp:127.0.0.1:0".into()],
            list: Some(list),
            workers,
            ..Flags::default()
        };
        let mut config = Config::load(&flags).map_err(|p| Error::Relay(join(&p)))?;
        // Nobody needs its keys afterwards, so they are removed with the folder.
        config.relay.state_dir = Some(folder.path().to_owned());
        let peak = &mut config.relay.peak_requests_per_second;
        #[expect(clippy::cast_sign_loss, reason = "a rate is positive")]
        let wanted = calls_per_second as u32;
        *peak = wanted.max(*peak);
        let relay =
            Relay::start(&config, Options::default()).map_err(|e| Error::Relay(join(&e)))?;
        let address = relay.local_addresses()[0];
        Ok(Self { relay, address, _folder: folder })
    }

    /// Returns the address that it listens on.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of its workers.
    pub(super) fn workers(&self) -> usize {
        self.relay.worker_count()
    }

    /// Stops it, and returns its counters.
    pub(super) fn stop(self) -> Vec<(String, u64)> {
        let totals = self.relay.stop();
        totals.iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// A new folder, removed with its content.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let name = format!("strowger-demo-{}-{random:016x}", process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If it cannot be removed, a list and a key stay in a temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn list_of(destinations: &[SocketAddr]) -> String {
    let mut list = String::new();
    for address in destinations {
        // Writing to a string cannot fail.
        let _ = writeln!(list, "1 sip:{address} 0 0");
    }
    list
}

fn join<E: ToString>(errors: &[E]) -> String {
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
