//! The memory that ten million different calls use: the relay's own binary gets them one after the
//! other, none of them ever ends, and its memory is read several times on the way.
//!
//! Requests in older dialogs continue meanwhile, and each must arrive: they carry our token and
//! need no table.

use std::fs;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::ProgressBar;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::SockaddrIn;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::datagrams::{BATCH, Inbox, Outlet, bind};
use crate::messages::{self, Template};

/// What was seen.
pub(crate) struct Memory {
    samples: Vec<Sample>,
    sent: u64,
    arrived: u64,
    byes_sent: u64,
    byes_arrived: u64,
    counters: Vec<(String, u64)>,
    seconds: f64,
}

/// The process at one moment.
struct Sample {
    calls: u64,
    /// KiB: all, of its own, and shared, which is the table of calls.
    resident: [u64; 3],
    files: usize,
    threads: u64,
}

/// Has the relay forward this many million calls.
pub(crate) fn run(millions: u64) -> io::Result<Memory> {
    let here = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let (caller, server) = (bind(here, BUFFER_BYTES)?, bind(here, BUFFER_BYTES)?);
    let mut relay = Relay::start(v4(&server)?)?;
    let mut load = Load {
        relay: relay.listen,
        number: 1 << 32,
        invites: vec![messages::invite(caller.local_addr()?); BATCH],
        byes: Vec::new(),
        inbox: Inbox::new(64),
        outlet: Outlet::new(),
        caller,
        server,
        sent: 0,
        arrived: 0,
        byes_sent: 0,
        byes_arrived: 0,
    };
    load.begin_dialogs()?;

    let total = millions * 1_000_000;
    let marks: Vec<u64> = [0, 1, 5, 10, 20, 50, 100]
        .into_iter()
        .filter(|mark| *mark < millions)
        .chain([millions])
        .map(|mark| mark * 1_000_000)
        .collect();
    let progress = ProgressBar::new(total);
    let begin = Instant::now();
    let mut samples = Vec::new();
    for mark in marks {
        while load.sent < mark {
            load.flood(mark)?;
            progress.set_position(load.sent);
        }
        load.settle()?;
        samples.push(relay.sample(load.sent)?);
    }
    let seconds = begin.elapsed().as_secs_f64();
    progress.finish_and_clear();
    Ok(Memory {
        samples,
        sent: load.sent,
        arrived: load.arrived,
        byes_sent: load.byes_sent,
        byes_arrived: load.byes_arrived,
        counters: relay.stop()?,
        seconds,
    })
}

impl Memory {
    /// Memory stayed as it was but for the table, the table within its size, nothing else grew, and
    /// what was lost was lost before the relay.
    pub(crate) fn is_within(&self) -> bool {
        let (first, last) = (&self.samples[0], &self.samples[self.samples.len() - 1]);
        last.resident[1] <= first.resident[1] + OWN_GROWTH_KIB
            && last.resident[2] <= TABLE_KIB
            && (first.files, first.threads) == (last.files, last.threads)
            && self.byes_arrived == self.byes_sent
            && self.arrived + self.counter("socket_drops") == self.sent
            && self.counter("forwarded.chosen") == self.arrived + DIALOGS as u64
    }

    fn counter(&self, name: &str) -> u64 {
        self.counters.iter().find(|(other, _)| other == name).map_or(0, |(_, value)| *value)
    }

    pub(crate) fn json(&self) -> Value {
        let samples: Vec<_> = self
            .samples
            .iter()
            .map(|s| {
                json!({ "calls": s.calls, "resident_kib": s.resident[0], "own_kib": s.resident[1],
                    "table_kib": s.resident[2], "files": s.files, "threads": s.threads })
            })
            .collect();
        let counters: serde_json::Map<_, _> =
            self.counters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "samples": samples, "sent": self.sent, "arrived": self.arrived,
            "byes_sent": self.byes_sent, "byes_arrived": self.byes_arrived,
            "counters": counters, "seconds": self.seconds })
    }

    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["calls", "resident, KiB", "own", "table", "files", "threads"]);
        for s in &self.samples {
            let numbers = [s.calls, s.resident[0], s.resident[1], s.resident[2]];
            let mut cells: Vec<_> = numbers.map(|number| number.to_string()).to_vec();
            cells.extend([s.files.to_string(), s.threads.to_string()]);
            table.add_row(cells);
        }
        for column in 0..6 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let counters: Vec<_> = self
            .counters
            .iter()
            .filter(|(name, _)| TOLD.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!(
            "{table}\n{} of {} new calls and {} of {} BYEs arrived, {:.0} calls/s\nrelay: {}",
            self.arrived,
            self.sent,
            self.byes_arrived,
            self.byes_sent,
            self.sent as f64 / self.seconds,
            counters.join(" ")
        )
    }
}

/// A caller and a server.
struct Load {
    relay: SocketAddrV4,
    caller: UdpSocket,
    server: UdpSocket,
    number: u64,
    invites: Vec<Template>,
    byes: Vec<Template>,
    inbox: Inbox,
    outlet: Outlet,
    sent: u64,
    arrived: u64,
    byes_sent: u64,
    byes_arrived: u64,
}

impl Load {
    /// Begins dialogs, whose tokens are used later.
    fn begin_dialogs(&mut self) -> io::Result<()> {
        let caller = self.caller.local_addr()?;
        for _ in 0..DIALOGS {
            self.number += 1;
            let invite = &mut self.invites[0];
            invite.number(self.number);
            self.caller.send_to(invite.bytes(), self.relay)?;
            let forwarded = receive(&self.server)?;
            self.server.send_to(&messages::response(&forwarded, "200 OK"), self.relay)?;
            let ok = receive(&self.caller)?;
            self.byes.push(messages::in_dialog("BYE", 2, caller, &ok));
        }
        Ok(())
    }

    /// Sends a batch of new calls, and now and then one of BYEs, when not too much is on its way.
    fn flood(&mut self, end: u64) -> io::Result<()> {
        let begin = Instant::now();
        while self.on_its_way() > ON_ITS_WAY_MAX && begin.elapsed() < PATIENCE {
            self.count_arrivals()?;
        }
        if begin.elapsed() >= PATIENCE {
            return Err(io::Error::other("nothing arrives any more"));
        }
        let count = BATCH.min((end - self.sent) as usize);
        for invite in &mut self.invites[..count] {
            self.number += 1;
            invite.number(self.number);
        }
        let invites = self.invites[..count].iter().map(Template::bytes);
        (0..count).for_each(|i| self.outlet.address(i, SockaddrIn::from(self.relay)));
        self.sent += self.outlet.send(&self.caller, invites)? as u64;
        if self.sent / BYES_EVERY > (self.byes_sent / DIALOGS as u64) {
            let byes = self.byes.iter_mut();
            byes.for_each(|bye| {
                self.number += 1;
                bye.number(self.number);
            });
            for byes in self.byes.chunks(BATCH) {
                (0..byes.len()).for_each(|i| self.outlet.address(i, SockaddrIn::from(self.relay)));
                let sent = self.outlet.send(&self.caller, byes.iter().map(Template::bytes))?;
                self.byes_sent += sent as u64;
            }
        }
        self.count_arrivals()
    }

    fn on_its_way(&self) -> u64 {
        (self.sent + self.byes_sent).saturating_sub(self.arrived + self.byes_arrived)
    }

    fn settle(&mut self) -> io::Result<()> {
        let mut quiet_since = Instant::now();
        while self.on_its_way() > 0 && quiet_since.elapsed() < PATIENCE {
            let before = self.on_its_way();
            self.count_arrivals()?;
            if self.on_its_way() < before {
                quiet_since = Instant::now();
            }
        }
        Ok(())
    }

    fn count_arrivals(&mut self) -> io::Result<()> {
        let count = self.inbox.receive(&self.server)?;
        for i in 0..count {
            let is_bye = self.inbox.datagram(i).starts_with(b"BYE ");
            self.byes_arrived += u64::from(is_bye);
            self.arrived += u64::from(!is_bye);
        }
        Ok(())
    }
}

/// The relay's own binary.
struct Relay {
    child: Child,
    listen: SocketAddrV4,
    log: BufReader<std::process::ChildStderr>,
    _folder: TempDir,
}

impl Relay {
    fn start(server: SocketAddrV4) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let list = folder.path().join("dispatcher.list");
        fs::write(&list, format!("1 sip:{server}\n"))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_strowger"))
            .args(["run", "--listen", "udp:127.0.0.1:0", "--list"])
            .arg(&list)
            .env("STATE_DIRECTORY", folder.path())
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let ready = line_with(&mut log, "ready: udp:")?;
        let address = ready.split("udp:").nth(1).and_then(|rest| rest.split([';', ',']).next());
        let listen = address.and_then(|text| text.parse().ok());
        let listen = listen.ok_or_else(|| io::Error::other(ready))?;
        Ok(Self { child, listen, log, _folder: folder })
    }

    fn sample(&self, calls: u64) -> io::Result<Sample> {
        let folder = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Ok(Sample {
            calls,
            resident: [number("VmRSS:"), number("RssAnon:"), number("RssShmem:")],
            files: fs::read_dir(format!("{folder}/fd"))?.count(),
            threads: number("Threads:"),
        })
    }

    fn stop(&mut self) -> io::Result<Vec<(String, u64)>> {
        let process = Pid::from_raw(self.child.id().cast_signed());
        kill(process, Signal::SIGTERM)?;
        line_with(&mut self.log, "ending: ")?;
        // A second signal ends the waiting for calls in progress.
        kill(process, Signal::SIGTERM)?;
        let summary = line_with(&mut self.log, "summary: ")?;
        let words = summary.split(' ').filter_map(|word| word.split_once('='));
        Ok(words.filter_map(|(name, value)| Some((name.into(), value.parse().ok()?))).collect())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line_with(log: &mut impl io::BufRead, part: &str) -> io::Result<String> {
    let mut line = String::new();
    while log.read_line(&mut line)? > 0 {
        if line.contains(part) {
            return Ok(line);
        }
        line.clear();
    }
    Err(io::Error::other(format!("the relay never said {part:?}")))
}

fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 65_536];
    let begin = Instant::now();
    loop {
        match socket.recv_from(&mut bytes) {
            Ok((len, _)) => {
                bytes.truncate(len);
                return Ok(bytes);
            }
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && begin.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(error) => return Err(error),
        }
    }
}

fn v4(socket: &UdpSocket) -> io::Result<SocketAddrV4> {
    match socket.local_addr()? {
        std::net::SocketAddr::V4(address) => Ok(address),
        std::net::SocketAddr::V6(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Dialogs whose BYEs come again and again.
const DIALOGS: usize = 100;
/// New calls between two rounds of BYEs.
const BYES_EVERY: u64 = 50_000;
/// Few enough for the queue of the loopback interface, which holds 1,000.
const ON_ITS_WAY_MAX: u64 = 500;
const BUFFER_BYTES: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(10);
/// Memory of its own that may come and go: stacks, buffers touched for the first time.
const OWN_GROWTH_KIB: u64 = 4_096;
/// The table of the default peak of 10,000 requests a second: 8 bytes for each of 7.2 million pins,
/// rounded up to buckets, and its head.
const TABLE_KIB: u64 = 58_000;
const TOLD: [&str; 7] = [
    "received",
    "forwarded.chosen",
    "forwarded.token",
    "pins_evicted_live",
    "pins_evicted_final",
    "socket_drops",
    "dropped",
];
