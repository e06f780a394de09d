//! The target of the attacks: a relay in its own process in the relay's namespace.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::arena::{Arena, RELAY};
use super::harness::process::Process;
use super::harness::wait;
use super::processor::Used;
use super::{kamailio, servers};

/// Which relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Kind {
    /// `strowger run` with its defaults.
    Strowger,
    /// `ds_select_dst("1","4"); forward();`
    Kamailio,
    /// Record-Route, loose routing and `t_relay()`, as Kamailio's sample has them.
    KamailioStateful,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Strowger, Self::Kamailio, Self::KamailioStateful];

    /// Its name in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Strowger => "Strowger",
            Self::Kamailio => "Kamailio, forward()",
            Self::KamailioStateful => "Kamailio, t_relay()",
        }
    }

    /// Whether it is on this machine.
    pub(super) fn is_here(self) -> bool {
        self == Self::Strowger || Path::new(kamailio::PROGRAM).exists()
    }
}

/// What differs from attack to attack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// Workers, or children.
    pub(super) workers: usize,
    /// Serves only the network of the caller and the servers.
    pub(super) only_neighbours: bool,
}

/// A relay that runs.
pub(super) struct Subject {
    kind: Kind,
    process: Process,
    pid: u32,
    folder: TempDir,
}

impl Subject {
    /// Starts it, and returns when it listens.
    pub(super) fn start(kind: Kind, arena: &Arena, settings: Settings) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let list = folder.path().join("dispatcher.list");
        fs::write(&list, servers::list())?;
        let arguments = match kind {
            Kind::Strowger => strowger(folder.path(), &list, settings)?,
            _ => kamailio(folder.path(), &list, kind, settings)?,
        };
        let log = File::create(folder.path().join(LOG))?;
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", arena.relay.name()])
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut process = Process::start(kind.name(), &mut command);
        process.wait_bound(RELAY.into());
        let pid = process.child().id();
        Ok(Self { kind, process, pid, folder })
    }

    /// Processor time until now, in ns.
    pub(super) fn cpu_ns(&self) -> io::Result<u64> {
        Ok(Used::by(self.pid)?.ns)
    }

    /// Memory in use by it and its children, in KiB.
    pub(super) fn rss_kib(&self) -> io::Result<u64> {
        rss_kib(self.pid)
    }

    /// A counter of its network by protocol and name, as `/proc/net/snmp` has them.
    pub(super) fn network(&self, protocol: &str, counter: &str) -> io::Result<u64> {
        let table = fs::read_to_string(format!("/proc/{}/net/snmp", self.pid))?;
        let mut lines = table.lines().filter(|l| l.split(':').next() == Some(protocol));
        let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
        let place = names.split_whitespace().position(|name| name == counter);
        let value = place.and_then(|place| values.split_whitespace().nth(place));
        Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
    }

    /// Datagrams that were lost before it could read them.
    pub(super) fn lost(&self) -> io::Result<u64> {
        self.network("Udp", "RcvbufErrors")
    }

    /// Lines of its log so far.
    pub(super) fn log_lines(&self) -> u64 {
        self.log().lines().count() as u64
    }

    /// Whether it is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Ends it, and returns the counters that it told, when it tells any.
    pub(super) fn stop(mut self) -> Option<Summary> {
        self.process.signal(Signal::SIGTERM);
        if self.kind == Kind::Strowger {
            // A second signal ends the waiting for calls in progress.
            wait::until("the relay to end", || {
                let is_ended = self.process.ended().is_some();
                (is_ended || self.log().contains("ending: ")).then_some(())
            });
            if self.process.ended().is_none() {
                self.process.signal(Signal::SIGTERM);
            }
        }
        self.process.wait();
        let log = self.log();
        let line = log.lines().rev().find(|line| line.contains("summary"))?;
        Some(Summary(line.to_owned()))
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a relay counted.
#[derive(Debug)]
pub(super) struct Summary(String);

impl Summary {
    /// The count under this name; counters that stayed at 0 are not told.
    pub(super) fn get(&self, name: &str) -> u64 {
        let words = self.0.split([' ', ',']).filter_map(|word| word.split_once('='));
        let mut named = words.filter(|(word, _)| *word == name);
        named.next().and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }

    /// Whether every datagram came to exactly one end, and none of these was a panic.
    pub(super) fn is_lawful(&self) -> bool {
        let ends: u64 = ["forwarded", "answered", "dropped"].map(|end| self.get(end)).iter().sum();
        self.get("received") == ends
            && self.get("panicked") == 0
            && self.get("worker_restarts") == 0
    }

    /// All of it.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

fn strowger(folder: &Path, list: &Path, settings: Settings) -> io::Result<Vec<String>> {
    let config = folder.join("strowger.toml");
    let allow = if settings.only_neighbours {
        "allow = [\"192.0.2.0/24\", \"198.51.100.0/24\"]\n"
    } else {
        ""
    };
    let text = format!(
        "[relay]\nlisten = [\"udp:{RELAY}\"]\nworkers = {}\nstate_dir = \"{}\"\n{allow}\
         [destinations]\nsource = \"list:{}\"\n",
        settings.workers,
        folder.display(),
        list.display()
    );
    fs::write(&config, text)?;
    let binary = env!("CARGO_BIN_EXE_strowger");
    Ok([binary, "run", "--config", &config.display().to_string()].map(str::to_owned).to_vec())
}

fn kamailio(folder: &Path, list: &Path, kind: Kind, settings: Settings) -> io::Result<Vec<String>> {
    let config = folder.join("kamailio.cfg");
    let list = list.display().to_string();
    let (modules, route) = match kind {
        Kind::KamailioStateful => (STATEFUL_MODULES, STATEFUL_ROUTE),
        _ => ("", STATELESS_ROUTE),
    };
    let only = if settings.only_neighbours { ONLY_NEIGHBOURS } else { "" };
    let route = route.replace("ONLY_NEIGHBOURS", only);
    let text = kamailio::config(RELAY, settings.workers, &list, modules, &route);
    fs::write(&config, text)?;
    Ok(kamailio::arguments(&config, folder))
}

fn rss_kib(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let shared = status.lines().find_map(|line| line.strip_prefix("RssShmem:"));
    let number = |text: Option<&str>| -> u64 {
        text.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let mut sum = number(line) + number(shared);
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        for child in fs::read_to_string(task?.path().join("children"))?.split_whitespace() {
            sum += rss_kib(child.parse().map_err(io::Error::other)?)?;
        }
    }
    Ok(sum)
}

const ONLY_NEIGHBOURS: &str = "if (!(src_ip == 192.0.2.0/24 || src_ip == 198.51.100.0/24)) exit;";

const STATELESS_ROUTE: &str = "\
request_route {
    ONLY_NEIGHBOURS
    ds_select_dst(\"1\", \"4\");
    forward();
}
";

const STATEFUL_MODULES: &str = "\
loadmodule \"tm.so\"
loadmodule \"tmx.so\"
loadmodule \"sl.so\"
loadmodule \"rr.so\"
loadmodule \"pv.so\"
loadmodule \"maxfwd.so\"
loadmodule \"textops.so\"
loadmodule \"siputils.so\"
loadmodule \"sanity.so\"
modparam(\"rr\", \"enable_full_lr\", 0)
modparam(\"rr\", \"append_fromtag\", 1)
modparam(\"tm\", \"failure_reply_mode\", 3)
modparam(\"tm\", \"fr_timer\", 30000)
";

/// The order of things in the sample: sanity, dialogs by their Route, then the dispatcher.
const STATEFUL_ROUTE: &str = "\
request_route {
    ONLY_NEIGHBOURS
    if (!mf_process_maxfwd_header(\"10\")) { sl_send_reply(\"483\", \"Too Many Hops\"); exit; }
    if (!sanity_check(\"17895\", \"7\")) exit;
    if (is_method(\"CANCEL\")) { if (t_check_trans()) t_relay(); exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method(\"ACK\")) { if (t_check_trans()) t_relay(); exit; }
        sl_send_reply(\"404\", \"Not here\");
        exit;
    }
    if (!is_method(\"ACK\") && t_precheck_trans()) { t_check_trans(); exit; }
    t_check_trans();
    remove_hf(\"Route\");
    if (is_method(\"INVITE|SUBSCRIBE\")) record_route();
    if (!ds_select_dst(\"1\", \"4\")) { send_reply(\"404\", \"No destination\"); exit; }
    if (!t_relay()) sl_reply_error();
}
";

const LOG: &str = "log";
