//! One measurement: starts a subject, floods it, stops it, and checks its counts.

use std::io;
use std::time::{Duration, Instant};

use strowger::config::Poll as PollMode;

use super::load::Load;
use super::processor::{Machine, Used};
use super::subject::{Kind, Subject, Summary};

/// What is to be measured.
pub(super) struct Plan {
    pub(super) entries: Vec<Entry>,
    /// Per second; 0 is as fast as the load can.
    pub(super) rates: Vec<u32>,
    pub(super) rounds: usize,
    /// How long each takes after its warm-up.
    pub(super) time: Duration,
    /// Where the subject runs.
    pub(super) core: usize,
}

/// A subject, and what it does when its sockets are empty. Kamailio always waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) poll: PollMode,
}

/// What one measurement gave.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) number: usize,
    pub(super) entry: Entry,
    /// As planned.
    pub(super) rate: u32,
    pub(super) message_bytes: usize,
    /// Per second.
    pub(super) offered: f64,
    /// Per second.
    pub(super) forwarded: f64,
    /// Share of all that was sent, the warm-up included.
    pub(super) loss: f64,
    /// The median and the 99th percentile from sending to arriving; `None` in a flood as fast as
    /// the load can, where it is the length of the queue.
    pub(super) delay_us: [Option<f64>; 2],
    /// Processor time of the subject, in us, per message that it forwarded.
    pub(super) cpu_us: f64,
    /// Share of its core.
    pub(super) busy: f64,
    /// Share of its time outside the kernel, by clock ticks.
    pub(super) user: f64,
    /// What other processes took, as a share of one core.
    pub(super) others: f64,
    /// What the host took away, as a share of one core.
    pub(super) stolen: f64,
}

impl Plan {
    /// All rounds; every second one goes through the subjects backwards.
    pub(super) fn run(&self) -> io::Result<Vec<Round>> {
        let mut rounds = Vec::new();
        for number in 0..self.rounds {
            for rate in &self.rates {
                let mut entries = self.entries.clone();
                if number % 2 == 1 {
                    entries.reverse();
                }
                for entry in entries {
                    rounds.push(self.measure(number, entry, *rate)?);
                }
            }
        }
        Ok(rounds)
    }

    fn measure(&self, number: usize, entry: Entry, rate: u32) -> io::Result<Round> {
        let kind = entry.kind;
        let mut load = Load::new(SERVERS, rate > 0)?;
        let subject = Subject::start(kind, self.core, entry.poll, &load.servers()?)?;
        let relay = subject.listen;
        if !load.wait_for(relay)? {
            let says = format!("{} forwards nothing: {}", kind.name(), subject.log());
            return Err(io::Error::other(says));
        }
        let per_second = (rate > 0).then_some(rate);
        load.flood(relay, per_second, WARM_UP)?;

        let own = std::process::id();
        let (sent, arrived) = (load.sent, load.arrived_all());
        let (used, own_used, machine) = (Used::by(subject.pid())?, Used::by(own)?, Machine::now()?);
        load.delays.reset();
        let begin = Instant::now();
        load.flood(relay, per_second, self.time)?;
        let elapsed = begin.elapsed();
        let (sent, arrived) = (load.sent - sent, load.arrived_all() - arrived);
        let used = Used::by(subject.pid())?.since(used);
        // The subject is a child of this process, so it is in here too.
        let all_ns = Used::by(own)?.since(own_used).ns;
        let delay_us = [0.5, 0.99].map(|share| load.delay_us(share));
        let (others, stolen) = Machine::now()?.shares(machine, all_ns, elapsed);

        load.settle()?;
        let summary = subject.stop()?;
        // What a subject that had to wait for its core sent at its end.
        load.settle()?;
        check(kind, &load, summary)?;
        let seconds = elapsed.as_secs_f64();
        Ok(Round {
            number,
            entry,
            rate,
            delay_us,
            message_bytes: load.message_len(),
            offered: sent as f64 / seconds,
            forwarded: arrived as f64 / seconds,
            loss: 1.0 - load.arrived_all() as f64 / load.sent as f64,
            cpu_us: used.ns as f64 / 1e3 / arrived as f64,
            busy: used.ns as f64 / 1e9 / seconds,
            user: used.user_ticks as f64 / used.ticks.max(1) as f64,
            others,
            stolen,
        })
    }
}

/// What the subject says it did must be what was seen.
fn check(kind: Kind, load: &Load, summary: Option<Summary>) -> io::Result<()> {
    let wrong = |says: String| Err(io::Error::other(format!("{}: {says}", kind.name())));
    let drops = load.server_drops()?;
    if drops > 0 {
        return wrong(format!("the load is too slow: {drops} lost at the servers"));
    }
    if load.arrived.iter().max() > load.arrived.iter().min().map(|least| least + 1).as_ref() {
        return wrong(format!("uneven shares: {:?}", load.arrived));
    }
    match summary {
        Some(summary)
            if summary.forwarded != load.arrived_all() || summary.received > load.sent =>
        {
            wrong(format!(
                "says {summary:?}, but {} were sent and {} arrived",
                load.sent,
                load.arrived_all()
            ))
        }
        None if kind != Kind::Kamailio => wrong("no summary".into()),
        _ => Ok(()),
    }
}

/// Destinations of the subject.
const SERVERS: usize = 2;
/// Long enough for the pages of its tables to be touched.
const WARM_UP: Duration = Duration::from_millis(400);
