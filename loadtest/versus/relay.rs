//! The relays that are compared: each in a process of its own, alone on its core.

use std::fs;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

use tempfile::TempDir;

use super::kamailio;
use super::null::{self, v4};
use super::process::{Process, free_address};

/// Which relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// None: the generator calls its own servers.
    Direct,
    /// The system calls of a relay, and nothing else.
    Null,
    /// `strowger run` with one worker.
    Strowger,
    /// The same with `forwarding = "stateful"`.
    StrowgerStateful,
    /// `ds_select_dst("1","4"); forward();` with so many children.
    Kamailio(usize),
    /// `t_relay()` with a failure route.
    KamailioStateful(usize),
}

impl Kind {
    /// Its name in results.
    pub(super) fn name(self) -> String {
        let children =
            |count| if count == 1 { String::new() } else { format!(", {count} children") };
        match self {
            Self::Direct => "no relay".into(),
            Self::Null => "null relay".into(),
            Self::Strowger => "Strowger, stateless".into(),
            Self::StrowgerStateful => "Strowger, stateful".into(),
            Self::Kamailio(count) => format!("Kamailio, forward(){}", children(count)),
            Self::KamailioStateful(count) => format!("Kamailio, t_relay(){}", children(count)),
        }
    }

    /// The relay of Kamailio's that does the same job.
    pub(super) fn counterpart(self) -> Option<Self> {
        match self {
            Self::Strowger => Some(Self::Kamailio(1)),
            Self::StrowgerStateful => Some(Self::KamailioStateful(1)),
            _ => None,
        }
    }

    /// Whether it remembers calls, and not as another of these relays does: more children remember the
    /// same.
    pub(super) fn has_memory_of_its_own(self) -> bool {
        match self {
            Self::Direct | Self::Null => false,
            Self::Strowger | Self::StrowgerStateful => true,
            Self::Kamailio(children) | Self::KamailioStateful(children) => children == 1,
        }
    }

    /// Whether it is on this machine.
    pub(super) fn is_here(self) -> bool {
        !matches!(self, Self::Kamailio(_) | Self::KamailioStateful(_))
            || Path::new(kamailio::PROGRAM).exists()
    }
}

/// A relay that runs, or none.
pub(super) struct Relay(Option<(Process, SocketAddr)>);

impl Relay {
    /// Starts it on this core, with these servers as destinations, and returns when it listens.
    pub(super) fn start(kind: Kind, core: usize, servers: &[SocketAddr]) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let listen = free_address()?;
        let servers = servers.iter().map(|server| v4(*server)).collect::<io::Result<Vec<_>>>()?;
        let arguments = match kind {
            Kind::Direct => return Ok(Self(None)),
            Kind::Null => null::command(listen, &servers)?,
            Kind::Strowger => strowger(folder.path(), listen, &servers, "stateless")?,
            Kind::StrowgerStateful => strowger(folder.path(), listen, &servers, "stateful")?,
            Kind::Kamailio(children) => {
                let route = kamailio::FORWARD_ROUTE.to_owned();
                of_kamailio(folder.path(), listen, &servers, children, &route)?
            }
            Kind::KamailioStateful(children) => {
                let route = [kamailio::FAILOVER_SETTINGS, kamailio::FAILOVER_ROUTE].concat();
                of_kamailio(folder.path(), listen, &servers, children, &route)?
            }
        };
        let process = Process::start(folder, &arguments, Some(core), listen);
        let process =
            process.map_err(|error| io::Error::other(format!("{}: {error}", kind.name())))?;
        Ok(Self(Some((process, listen.into()))))
    }

    /// Where to send calls: to the relay, or to the servers if there is none.
    pub(super) fn targets(&self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        self.0.as_ref().map_or_else(|| servers.to_vec(), |(_, listen)| vec![*listen])
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.0.as_ref().map(|(process, _)| process.pid())
    }

    /// The memory of the process and its children, what they share counted once, in bytes.
    pub(super) fn memory(&self) -> io::Result<u64> {
        let Some(pid) = self.pid() else { return Ok(0) };
        let mut all = vec![pid];
        let mut at = 0;
        while at < all.len() {
            let path = format!("/proc/{0}/task/{0}/children", all[at]);
            let children = fs::read_to_string(path).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            at += 1;
        }
        let mut sum = 0;
        for pid in all {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kib =
                line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
            sum += kib.unwrap_or_default() * 1024;
        }
        Ok(sum)
    }

    /// What it wrote.
    pub(super) fn log(&self) -> String {
        self.0.as_ref().map(|(process, _)| process.log()).unwrap_or_default()
    }
}

fn strowger(
    folder: &Path,
    listen: SocketAddrV4,
    servers: &[SocketAddrV4],
    forwarding: &str,
) -> io::Result<Vec<String>> {
    let config = folder.join("strowger.toml");
    let text = format!(
        "[relay]\nlisten = [\"udp:{listen}\"]\nworkers = 1\ngrace_s = 0\nstate_dir = \"{}\"\n\
         [dispatch]\nforwarding = \"{forwarding}\"\n\
         [destinations]\nsource = \"list:{}\"\n",
        folder.display(),
        write_list(folder, servers)?
    );
    fs::write(&config, text)?;
    let binary = env!("CARGO_BIN_EXE_strowger");
    Ok([binary, "run", "--config", &config.display().to_string()].map(str::to_owned).to_vec())
}

fn of_kamailio(
    folder: &Path,
    listen: SocketAddrV4,
    servers: &[SocketAddrV4],
    children: usize,
    route: &str,
) -> io::Result<Vec<String>> {
    let config = folder.join("kamailio.cfg");
    // Nothing is logged.
    let settings = format!("debug=-1\n{}", kamailio::MODULES);
    let list = write_list(folder, servers)?;
    fs::write(&config, kamailio::config(listen, children, &list, &settings, route))?;
    Ok(kamailio::arguments(&config, folder))
}

fn write_list(folder: &Path, servers: &[SocketAddrV4]) -> io::Result<String> {
    let list = folder.join("dispatcher.list");
    let lines: String = servers.iter().map(|server| format!("1 sip:{server}\n")).collect();
    fs::write(&list, lines)?;
    Ok(list.display().to_string())
}
