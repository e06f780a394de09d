//! The subjects: each is a relay in its own process, alone on its core, with its files in its own
//! folder.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use strowger::config::Poll as PollMode;

use super::kamailio;

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
    child: Child,
    folder: TempDir,
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
        let log = File::create(folder.path().join(LOG))?;
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { kind, child, folder, listen })
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default()
    }

    /// Ends it, and says what it said; `None` when it says nothing.
    pub(super) fn stop(mut self) -> io::Result<Option<Summary>> {
        self.signal()?;
        if self.kind == Kind::Strowger {
            // A second signal ends the waiting for calls in progress.
            self.wait_until(|subject| Ok(subject.log().contains("ending: ")))?;
            self.signal()?;
        }
        self.wait_until(|subject| Ok(subject.child.try_wait()?.is_some()))?;
        let log = self.log();
        let number = |name: &str| -> Option<u64> {
            let rest = log.split(&format!("{name}=")).nth(1)?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        Ok(number("received")
            .zip(number("forwarded"))
            .map(|(received, forwarded)| Summary { received, forwarded }))
    }

    fn signal(&self) -> io::Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        Ok(kill(pid, Signal::SIGTERM)?)
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

impl Drop for Subject {
    fn drop(&mut self) {
        // It has ended already unless something went wrong before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Arguments = Vec<String>;

fn null_arguments(
    listen: SocketAddrV4,
    servers: &[SocketAddrV4],
    poll: PollMode,
) -> io::Result<Arguments> {
    let own = std::env::current_exe()?.display().to_string();
    let mut arguments = vec![own, "--null-relay".into(), listen.to_string()];
    arguments.push(format!("--poll={}", super::poll_word(poll)));
    arguments.extend(servers.iter().map(|server| format!("--server={server}")));
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

/// An address that nobody has at this moment.
fn free_address() -> io::Result<SocketAddrV4> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    super::null::v4(socket.local_addr()?)
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
const LOG: &str = "log";
const PATIENCE: Duration = Duration::from_secs(10);
