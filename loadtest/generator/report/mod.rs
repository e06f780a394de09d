//! The result of a run, as a value that is saved, compared and shown.

mod build;
mod compare;
mod figures;
mod html;
mod machine;
mod plots;
mod svg;
mod text;

use serde::{Deserialize, Serialize};

pub use build::Facts;
pub use compare::compare;
pub use html::html;
pub use text::text;

use crate::record::{Ends, Others, Traffic};

/// The result of a run. Times are in microseconds where the name says so, else in seconds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// The version of this format.
    pub format: u32,
    /// What was sent: `calls`, `invites`, `options` or `flood`.
    pub traffic: String,
    /// When it began, RFC 3339.
    pub begun: String,
    /// How long messages were sent.
    pub seconds: f64,
    /// Where it ran.
    pub machine: Machine,
    /// What was asked for, as names and values for readers.
    pub plan: Vec<(String, String)>,
    /// Calls or messages a second that were asked for; 0: as many as possible.
    pub rate_planned: f64,
    /// Calls or messages a second that were started.
    pub rate: f64,
    /// What the generator can do on this machine by itself.
    pub limits: Option<Limits>,
    /// What became of the calls; of a flood, `completed` is what arrived.
    pub ends: Ends,
    /// The messages by kind.
    pub messages: Vec<MessageRow>,
    /// Messages that a relay must pass on, of which no copy arrived.
    pub messages_lost: u64,
    /// The times.
    pub latencies: Vec<LatencyRow>,
    /// What each server got.
    pub servers: Vec<ServerRow>,
    /// How it went over time.
    pub series: Series,
    /// What the relay and others sent besides.
    pub others: Others,
    /// What makes the result doubtful.
    pub warnings: Vec<String>,
}

/// Where a run was made.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Machine {
    /// The processor.
    pub processor: String,
    /// How many processors.
    pub processors: usize,
    /// The kernel's release.
    pub kernel: String,
}

/// What the generator can do by itself: straight to its own servers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Limits {
    /// Calls, requests or messages a second.
    pub rate: f64,
}

/// The messages of one kind.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MessageRow {
    /// Which.
    pub kind: String,
    /// How many.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// How long something took.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LatencyRow {
    /// What.
    pub name: String,
    /// How often it was timed.
    pub count: u64,
    /// The mean.
    pub mean_us: f64,
    /// The longest.
    pub max_us: f64,
    /// Percentiles in rising order, as percent and microseconds.
    pub percentiles: Vec<(f64, f64)>,
}

/// What one server got.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServerRow {
    /// Where it is.
    pub address: String,
    /// Calls, requests or messages.
    pub taken: u64,
}

/// A run in slices of equal length.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Series {
    /// How long a slice is.
    pub slice_seconds: f64,
    /// The slices.
    pub rows: Vec<SliceRow>,
}

/// The calls that were meant to start in one slice; of a flood, what was sent and arrived in it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "as in record::Slice")]
pub struct SliceRow {
    pub started: u64,
    pub good: u64,
    pub bad: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Report {
    /// The times of this name.
    pub fn latency(&self, name: &str) -> Option<&LatencyRow> {
        self.latencies.iter().find(|row| row.name == name)
    }

    /// One figure of all messages together.
    pub fn all(&self, figure: impl Fn(&Traffic) -> u64) -> u64 {
        self.messages.iter().map(|row| figure(&row.traffic)).sum()
    }

    /// Calls that did not end as planned; of a flood, messages that did not arrive.
    pub fn bad(&self) -> u64 {
        self.ends.bad()
    }
}

impl LatencyRow {
    /// The time that this share, in percent, did not exceed.
    pub fn at(&self, percent: f64) -> f64 {
        let row = self.percentiles.iter().find(|(p, _)| *p >= percent - 1e-9);
        row.map_or(self.max_us, |(_, us)| *us)
    }
}

/// One of the times of a row.
type Figure = fn(&LatencyRow) -> f64;

/// The version of the format that is written here.
pub const FORMAT: u32 = 1;
