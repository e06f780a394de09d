//! The relays that are compared: each in a process of its own, alone on its core.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::kamailio;
use super::null::v4;

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
pub(super) struct Relay {
    child: Option<Child>,
    folder: TempDir,
    listen: SocketAddr,
}

impl Relay {
    /// Starts it on this core, with these servers as destinations, and returns when it listens.
    pub(super) fn start(kind: Kind, core: usize, servers: &[SocketAddr]) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let listen = v4(socket.local_addr()?)?;
        drop(socket);
        let servers = servers.iter().map(|server| v4(*server)).collect::<io::Result<Vec<_>>>()?;
        let arguments = match kind {
            Kind::Direct => return Ok(Self { child: None, folder, listen: servers[0].into() }),
            Kind::Null => null(listen, &servers)?,
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
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut relay = Self { child: Some(child), folder, listen: listen.into() };
        relay.wait_bound(kind)?;
        Ok(relay)
    }

    /// Where to send calls: to the relay, or to the servers if there is none.
    pub(super) fn targets(&self, servers: &[SocketAddr]) -> Vec<SocketAddr> {
        if self.child.is_some() { vec![self.listen] } else { servers.to_vec() }
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
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
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn wait_bound(&mut self, kind: Kind) -> io::Result<()> {
        let port = format!(":{:04X} ", self.listen.port());
        let end = Instant::now() + Duration::from_secs(20);
        let child = self.child.as_mut().expect("it was started");
        while Instant::now() < end && child.try_wait()?.is_none() {
            if fs::read_to_string("/proc/net/udp")?.contains(&port) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other(format!("{} does not start: {}", kind.name(), self.log())))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn null(listen: SocketAddrV4, servers: &[SocketAddrV4]) -> io::Result<Vec<String>> {
    let own = std::env::current_exe()?.display().to_string();
    let mut arguments = vec![own, "--null-relay".into(), listen.to_string()];
    arguments.extend(servers.iter().map(|server| format!("--server={server}")));
    Ok(arguments)
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
