//! The relays that are compared, each in a process of its own.

use std::fs;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;

use tempfile::TempDir;

use super::kamailio;
use super::process::{Process, free_address};
use super::server::Server;

/// Which relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Kind {
    /// `strowger run` with its defaults; every destination is probed.
    Strowger,
    /// The same with `forwarding = "stateful"`.
    StrowgerStateful,
    /// `ds_select_dst("1","4"); forward();`, every destination probed each second.
    Kamailio,
    /// `t_relay()` and a failure route that marks a destination inactive and tries the next.
    KamailioFailover,
}

impl Kind {
    pub(super) const ALL: [Self; 4] =
        [Self::Strowger, Self::StrowgerStateful, Self::Kamailio, Self::KamailioFailover];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Strowger => "Strowger",
            Self::StrowgerStateful => "Strowger, stateful",
            Self::Kamailio => "Kamailio, forward()",
            Self::KamailioFailover => "Kamailio, failure route",
        }
    }

    fn is_strowger(self) -> bool {
        matches!(self, Self::Strowger | Self::StrowgerStateful)
    }

    pub(super) fn is_here(self) -> bool {
        self.is_strowger() || Path::new(kamailio::PROGRAM).exists()
    }
}

/// A relay that runs.
pub(super) struct Subject {
    process: Process,
    pub(super) listen: SocketAddr,
}

impl Subject {
    /// Starts it with these servers as destinations, and returns when it answers.
    pub(super) fn start(kind: Kind, servers: &[Server]) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let listen = free_address()?;
        let list = folder.path().join("dispatcher.list");
        // Flag 8: probed.
        let lines: String =
            servers.iter().map(|server| format!("1 sip:{} 8\n", server.address())).collect();
        fs::write(&list, lines)?;
        let list = list.display().to_string();
        let arguments = if kind.is_strowger() {
            strowger(folder.path(), listen, &list, kind == Kind::StrowgerStateful)?
        } else {
            let config = folder.path().join("kamailio.cfg");
            let (settings, route) = if kind == Kind::KamailioFailover {
                (kamailio::FAILOVER_SETTINGS, kamailio::FAILOVER_ROUTE)
            } else {
                ("", kamailio::FORWARD_ROUTE)
            };
            let route = format!("{PROBING}{settings}{route}");
            fs::write(&config, kamailio::config(listen, 2, &list, kamailio::MODULES, &route))?;
            kamailio::arguments(&config, folder.path())
        };
        let process = Process::start(folder, &arguments, None, listen)?;
        Ok(Self { process, listen: listen.into() })
    }

    /// What it wrote.
    pub(super) fn log(&self) -> String {
        self.process.log()
    }
}

fn strowger(
    folder: &Path,
    listen: SocketAddrV4,
    list: &str,
    is_stateful: bool,
) -> io::Result<Vec<String>> {
    let config = folder.join("strowger.toml");
    let forwarding = if is_stateful { "stateful" } else { "stateless" };
    let text = format!(
        "[relay]\nlisten = [\"udp:{listen}\"]\ngrace_s = 0\nstate_dir = \"{}\"\n\
         [dispatch]\nforwarding = \"{forwarding}\"\n\
         [destinations]\nsource = \"list:{list}\"\n",
        folder.display()
    );
    fs::write(&config, text)?;
    let binary = std::env::var("STROWGER_TEST_BINARY")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_strowger").into());
    Ok([&*binary, "run", "--config", &config.display().to_string()].map(str::to_owned).to_vec())
}

/// What an operator configures who wants it quick; the sample has 10 s.
const PROBING: &str = "\
modparam(\"dispatcher\", \"ds_ping_interval\", 1)
modparam(\"dispatcher\", \"ds_probing_mode\", 1)
";
