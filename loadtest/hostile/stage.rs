//! One attack on one relay, from building the networks to the end of the last call.

use std::io;
use std::time::{Duration, Instant};

use super::arena::{Arena, RELAY, STRANGER};
use super::attacks::Attack;
use super::calls::Calls;
use super::flood::Flood;
use super::servers::Servers;
use super::subject::{Kind, Settings, Subject, Summary};
use super::watch::Watch;

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Packets per second.
    pub(super) rate: u64,
    /// What the number of packets is divided by.
    pub(super) divisor: u64,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What was done.
    pub(super) what: String,
    /// What must happen.
    pub(super) must: &'static str,
    /// What happened.
    pub(super) figure: String,
    /// Whether it is what must happen; `None` where only the figure counts.
    pub(super) holds: Option<bool>,
}

impl Row {
    pub(super) fn new(
        what: impl Into<String>,
        must: &'static str,
        figure: impl Into<String>,
        holds: impl Into<Option<bool>>,
    ) -> Self {
        Self { what: what.into(), must, figure: figure.into(), holds: holds.into() }
    }
}

/// What an attack works with.
pub(super) struct Stage {
    pub(super) kind: Kind,
    pub(super) effort: Effort,
    pub(super) watch: Watch,
    pub(super) servers: Servers,
    pub(super) subject: Subject,
    pub(super) arena: Arena,
    log_lines: u64,
}

impl Stage {
    /// Runs an attack, and says what came of it.
    pub(super) fn run(attack: &Attack, kind: Kind, effort: Effort) -> io::Result<Vec<Row>> {
        let mut stage = Self::new(kind, effort, attack.settings)?;
        let calls = (attack.calls_per_second > 0)
            .then(|| Calls::begin(&stage.arena, attack.calls_per_second));
        // A few calls before it begins.
        std::thread::sleep(Duration::from_millis(500));
        let mut rows = (attack.run)(&mut stage)?;
        stage.settle()?;
        let is_alive = stage.subject.is_alive();
        let lines = stage.subject.log_lines() - stage.log_lines;
        let mut outcome = calls.map(Calls::end);
        // What a call that came to its end late still sends.
        stage.settle()?;
        let summary = stage.subject.stop();
        if let Some(outcome) = outcome.take() {
            let figure = format!(
                "{} of {}, {} repeats",
                outcome.successful, outcome.created, outcome.retransmissions
            );
            let holds = outcome.failed == 0 && outcome.successful == outcome.created;
            rows.push(Row::new("calls meanwhile", "all complete", figure, holds));
        }
        let figure = if is_alive { format!("yes, {lines} lines") } else { "no".into() };
        // Its own ends, and a few words about full buffers.
        let is_quiet = lines <= 10;
        rows.push(Row::new(
            "it lives; its log",
            "no line per message",
            figure,
            is_alive && is_quiet,
        ));
        if let Some(summary) = &summary {
            rows.push(law(summary));
        }
        Ok(rows)
    }

    /// Builds the networks and starts everything but the calls.
    pub(super) fn new(kind: Kind, effort: Effort, settings: Settings) -> io::Result<Self> {
        let arena = Arena::new();
        let servers = Servers::new(&arena.servers)?;
        let watch = Watch::new(&arena.world);
        let subject = Subject::start(kind, &arena, settings)?;
        let log_lines = subject.log_lines();
        Ok(Self { kind, effort, watch, servers, subject, arena, log_lines })
    }

    /// A flood out of the world at the usual rate.
    pub(super) fn flood(&self) -> Flood {
        Flood::new(&self.arena.world, RELAY, self.effort.rate)
    }

    /// What reaches a destination of this request from the stranger, whom the servers leave without
    /// an answer from now on.
    pub(super) fn forwarded(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.servers.be_silent(true);
        self.servers.record();
        for _ in 0..20 {
            self.flood().datagrams(1, |_| (STRANGER, request.to_vec()), RELAY)?;
            self.settle()?;
            if let Some(forwarded) = self.servers.recorded().pop() {
                return Ok(forwarded);
            }
            self.servers.record();
        }
        Err(io::Error::other("nothing is forwarded"))
    }

    /// How many packets, when a whole run sends this many.
    pub(super) fn count(&self, whole: u64) -> u64 {
        (whole / self.effort.divisor).max(100)
    }

    /// Waits until nothing that the attack caused arrives any more.
    pub(super) fn settle(&self) -> io::Result<()> {
        let now = || (self.watch.packets(), self.servers.strangers());
        // A stateful relay goes on for 32 s after its last answer.
        let end = Instant::now() + Duration::from_secs(90);
        let mut last = (now(), Instant::now());
        while last.1.elapsed() < Duration::from_millis(250) {
            std::thread::sleep(Duration::from_millis(20));
            if now() != last.0 {
                last = (now(), Instant::now());
            }
            if Instant::now() > end {
                return Err(io::Error::other("it does not come to rest"));
            }
        }
        Ok(())
    }
}

/// Received = forwarded + answered + dropped, to the unit.
fn law(summary: &Summary) -> Row {
    let figure = format!(
        "{} = {} + {} + {}",
        summary.get("received"),
        summary.get("forwarded"),
        summary.get("answered"),
        summary.get("dropped")
    );
    eprintln!("        {}", summary.text());
    let must = "received = forwarded + answered + dropped";
    Row::new("its counters", must, figure, summary.is_lawful())
}
