//! What a run counts and times. Each thread has a record of its own; they are added up at the end.

mod ends;
mod latency;
mod messages;
mod series;

pub use ends::{CallOutcome, End, Ends};
pub use latency::{Latencies, Latency};
pub use messages::{Kind, Messages, Traffic};
pub use series::{Series, Slice};

use serde::{Deserialize, Serialize};

/// Everything that a run counted and timed.
#[derive(Clone, Debug)]
pub struct Record {
    /// What became of the calls.
    pub ends: Ends,
    /// How long things took.
    pub latencies: Latencies,
    /// The messages that were sent, and those that arrived.
    pub messages: Messages,
    /// The calls and single requests that each server took.
    pub servers: Vec<u64>,
    /// All of it over time, by when calls were meant to start.
    pub series: Series,
    /// What is no part of calls.
    pub others: Others,
    /// Each call, if the plan wants them.
    pub calls: Vec<CallOutcome>,
}

/// Counters that are no part of calls.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Others {
    /// Responses that the relay gave by itself: without the mark of a server.
    pub by_relay: u64,
    /// Requests that are nobody's call: the relay's own probes, as a rule.
    pub probes: u64,
    /// Messages of calls that were over and forgotten, or that never were.
    pub strays: u64,
    /// In-dialog requests at a server that has not got their call.
    pub misrouted: u64,
    /// Messages that the kernel did not take: the generator's own limit.
    pub unsent: u64,
    /// Datagrams that waited in vain at a socket of the generator: its own limit, too.
    pub overflowed: u64,
}

impl Others {
    fn add(&mut self, other: &Self) {
        self.by_relay += other.by_relay;
        self.probes += other.probes;
        self.strays += other.strays;
        self.misrouted += other.misrouted;
        self.unsent += other.unsent;
        self.overflowed += other.overflowed;
    }
}

impl Record {
    pub(crate) fn new(servers: usize, slice_ns: u64) -> Self {
        Self {
            ends: Ends::default(),
            latencies: Latencies::new(),
            messages: Messages::default(),
            servers: vec![0; servers],
            series: Series::new(slice_ns),
            others: Others::default(),
            calls: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.ends.add(&other.ends);
        self.latencies.add(&other.latencies);
        self.messages.add(&other.messages);
        for (sum, more) in self.servers.iter_mut().zip(&other.servers) {
            *sum += more;
        }
        self.series.add(&other.series);
        self.others.add(&other.others);
        self.calls.extend_from_slice(&other.calls);
    }
}
