//! The subjects: each is a relay in its own process, alone on its core, with its files in its own
//! folder.

use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::{Duration, Instant};

use strowger::config::Poll as PollMode;
use tempfile::TempDir;

use super::process::{Process, free_address};
use super::{kamailio, null};

/// Which relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Kind {
    /// The floor: this program's own [`super::null`].
    Null,
    /// `strowger run` with one worker.
    Strowger,
    /// `ds_select_dst("1","4"); forward();` with one child and its best allocator.
    Kamailio,
}

impl Kind {
    /// Its name in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null relay",
            Self::Strowger => "strowger",
            Self::Kamailio => "kamailio",
        }
    }

    /// Whether it can be told what to do when its sockets are empty.
    pub(super) fn has_modes(self) -> bool {
        self != Self::Kamailio
    }

    /// Whether it is on this machine.
    pub(super) fn is_here(self) -> bool {
        self != Self::Kamailio || Path::new(kamailio::PROGRAM).exists()
    }
}

/// A running relay.
pub(super) struct Subject {
    kind: Kind,
    process: Process,
    /// Where it listens.
    pub(super) listen: SocketAddrV4,
}

/// What a relay said that it did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) received: u64,
    pub(super) forwarded: u64,
}

impl Subject {
    /// Starts it on this core, with these servers as destinations in turn.
    pub(super) fn start(
        kind: Kind,
        core: usize,
        poll: PollMode,
        servers: &[SocketAddrV4],
    ) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let listen = free_address()?;
        let arguments = match kind {
            Kind::Null => null_arguments(listen, servers, poll)?,
            Kind::Strowger => strowger_arguments(folder.path(), listen, servers, poll)?,
            Kind::Kamailio => kamailio_arguments(folder.path(), listen, servers)?,
        };
        let process = Process::start(folder, &arguments, Some(core), listen)?;
        Ok(Self { kind, process, listen })
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it wrote so far.
    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it, and says what it said; `None` when it says nothing.
    pub(super) fn stop(mut self) -> io::Result<Option<Summary>> {
        self.process.terminate()?;
        if self.kind == Kind::Strowger {
            // A second signal ends the waiting for calls in progress.
            self.wait_until(|subject| Ok(subject.log().contains("ending: ")))?;
            self.process.terminate()?;
        }
        self.wait_until(|subject| subject.process.has_ended())?;
        let log = self.log();
        let number = |name: &str| -> Option<u64> {
            let rest = log.split(&format!("{name}=")).nth(1)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        Ok(number("received")
            .zip(number("forwarded"))
            .map(|(received, forwarded)| Summary { received, forwarded }))
    }

    fn wait_until(&mut self, is_so: impl Fn(&mut Self) -> io::Result<bool>) -> io::Result<()> {
        let begin = Instant::now();
        while !is_so(self)? {
            if begin.elapsed() > PATIENCE {
                let says = format!("{} does not end: {}", self.kind.name(), self.log());
                return Err(io::Error::other(says));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

type Arguments = Vec<String>;

fn null_arguments(
    listen: SocketAddrV4,
    servers: &[SocketAddrV4],
    poll: PollMode,
) -> io::Result<Arguments> {
    let mut arguments = null::command(listen, servers)?;
    arguments.push(format!("--poll={}", super::poll_word(poll)));
    Ok(arguments)
}

fn strowger_arguments(
    folder: &Path,
    listen: SocketAddrV4,
    servers: &[SocketAddrV4],
    poll: PollMode,
) -> io::Result<Arguments> {
    let config = folder.join("strowger.toml");
    let list = write_list(folder, servers)?;
    // The servers answer nothing, and that is no failure here.
    let text = format!(
        "[relay]\nlisten = [\"udp:{listen}\"]\nworkers = 1\nstate_dir = \"{}\"\n\
         poll = \"{}\"\n\
         [dispatch]\npassive = false\n\
         [destinations]\nsource = \"list:{list}\"\n",
        folder.display(),
        super::poll_word(poll),
    );
    fs::write(&config, text)?;
    Ok(vec![
        env!("CARGO_BIN_EXE_strowger").into(),
        "run".into(),
        "--config".into(),
        config.display().to_string(),
    ])
}

fn kamailio_arguments(
    folder: &Path,
    listen: SocketAddrV4,
    servers: &[SocketAddrV4],
) -> io::Result<Arguments> {
    let config = folder.join("kamailio.cfg");
    let list = write_list(folder, servers)?;
    let text = kamailio::config(listen, 1, &list, KAMAILIO_SETTINGS, KAMAILIO_ROUTE);
    fs::write(&config, text)?;
    Ok(kamailio::arguments(&config, folder))
}

fn write_list(folder: &Path, servers: &[SocketAddrV4]) -> io::Result<String> {
    let list = folder.join("dispatcher.list");
    let lines: Vec<_> = servers.iter().map(|to| format!("1 sip:{to}\n")).collect();
    fs::write(&list, lines.concat())?;
    Ok(list.display().to_string())
}

/// Nothing is logged.
const KAMAILIO_SETTINGS: &str = "debug=-1\n";
/// Without Record-Route, which Strowger writes.
const KAMAILIO_ROUTE: &str = "\
request_route {
    ds_select_dst(\"1\", \"4\");
    forward();
}
";
const PATIENCE: Duration = Duration::from_secs(10);
