//! The final report of the demo: what happened to the calls, as a table for people or as JSON, and
//! whether the relay did what it promises.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::tally::Tally;
use super::view::bar;

/// The percentiles that are shown, with their names.
const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// The upper ends of the histogram's steps, in microseconds.
const STEPS_US: [u64; 15] = [
    50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000,
    4_000_000, 15_000_000,
];

/// Widest bar, in characters.
const BAR_WIDTH: u64 = 24;

/// The width of a terminal that the report must fit, in columns.
const WIDTH: u16 = 80;

/// What happened in the demo.
#[derive(Clone, Debug)]
pub struct Report {
    /// How long calls were started.
    pub begun_for: Duration,
    /// It was stopped early.
    pub stopped_early: bool,
    /// The address that the relay listened on.
    pub relay: SocketAddr,
    /// The relay's workers.
    pub workers: usize,
    /// The media servers, in the order of the list.
    pub destinations: Vec<SocketAddr>,
    /// What the callers saw.
    pub tally: Tally,
    /// Messages that one side sent and the other never received.
    pub lost: u64,
    /// The relay's own counters: name and count.
    pub counters: Vec<(String, u64)>,
}

impl Report {
    /// Returns whether every call was completed and no destination got more than one call more than
    /// another.
    pub fn is_good(&self) -> bool {
        self.tally.started > 0 && self.tally.completed == self.tally.started && self.tally.is_even()
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> Value {
        let tally = &self.tally;
        let setup: serde_json::Map<_, _> = QUANTILES
            .iter()
            .map(|(name, q)| ((*name).into(), tally.setup_us.value_at_quantile(*q).into()))
            .collect();
        let destinations: Vec<_> = self
            .destinations
            .iter()
            .zip(&tally.per_destination)
            .map(|(address, calls)| json!({ "uri": format!("sip:{address}"), "calls": calls }))
            .collect();
        let counters: serde_json::Map<_, _> =
            self.counters.iter().map(|(name, count)| (name.clone(), (*count).into())).collect();
        json!({
            "good": self.is_good(),
            "stopped_early": self.stopped_early,
            "seconds": self.begun_for.as_secs_f64(),
            "workers": self.workers,
            "calls": {
                "started": tally.started,
                "completed": tally.completed,
                "failed": tally.failed,
            },
            "destinations": destinations,
            "even": tally.is_even(),
            "messages": {
                "sent": tally.sent,
                "received": tally.received,
                "lost": self.lost,
                "retransmissions": tally.retransmissions,
            },
            "setup_us": setup,
            "relay": counters,
        })
    }

    fn destinations(&self) -> Table {
        let mut table = plain(&["", "destination", "calls", "share", ""]);
        let most = self.tally.per_destination.iter().max().copied();
        let all = self.tally.per_destination.iter().sum();
        for (at, calls) in self.tally.per_destination.iter().enumerate() {
            table.add_row([
                (at + 1).to_string(),
                format!("sip:{}", self.destinations[at]),
                HumanCount(*calls).to_string(),
                format!("{:.2} %", percent(*calls, all)),
                bar(*calls, most.unwrap_or(0), BAR_WIDTH),
            ]);
        }
        right(&mut table, &[0, 2, 3]);
        table
    }

    fn numbers(&self) -> Table {
        let tally = &self.tally;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
        let count = |n: u64| HumanCount(n).to_string();
        table.add_row([
            "calls".into(),
            format!(
                "{} completed, {} failed, {:.0} per second",
                count(tally.completed),
                count(tally.failed_count()),
                rate(tally.started, self.begun_for),
            ),
        ]);
        for (why, calls) in &tally.failed {
            table.add_row([String::new(), format!("{} failed: {why}", count(*calls))]);
        }
        table.add_row([
            "messages".into(),
            format!(
                "{} sent and received by the callers, {} lost, {} retransmissions",
                count(tally.sent + tally.received),
                count(self.lost),
                count(tally.retransmissions),
            ),
        ]);
        let quantiles: Vec<_> = QUANTILES
            .iter()
            .map(|(name, q)| {
                let us = tally.setup_us.value_at_quantile(*q);
                format!("{name} {:.3}", milliseconds(us))
            })
            .collect();
        table.add_row(["setup time".into(), format!("{} ms", quantiles.join(", "))]);
        table
    }

    /// Returns the calls by setup time, from the first step with any to the last.
    fn histogram(&self) -> Table {
        let setup = &self.tally.setup_us;
        let mut table = plain(&["setup time", "calls", ""]);
        let from = STEPS_US.iter().map(|step| step + 1);
        let from = std::iter::once(0).chain(from);
        let to = STEPS_US.iter().copied().chain([setup.high()]);
        let steps: Vec<(u64, u64)> =
            from.zip(to).map(|(from, to)| (to, setup.count_between(from, to))).collect();
        let has_calls = |(_, calls): &(u64, u64)| *calls > 0;
        let first = steps.iter().position(has_calls).unwrap_or(0);
        let last = steps.iter().rposition(has_calls).unwrap_or(0);
        let most = steps.iter().map(|(_, calls)| *calls).max().unwrap_or(0);
        for (to, calls) in &steps[first..=last] {
            table.add_row([
                format!("to {:.3} ms", milliseconds(*to)),
                HumanCount(*calls).to_string(),
                bar(*calls, most, BAR_WIDTH),
            ]);
        }
        right(&mut table, &[0, 1]);
        table
    }

    fn counters(&self) -> Table {
        let mut table = plain(&["counted by the relay", ""]);
        for (name, count) in &self.counters {
            table.add_row([name.clone(), HumanCount(*count).to_string()]);
        }
        right(&mut table, &[1]);
        table
    }

    fn verdict(&self) -> String {
        if self.is_good() {
            return "Every call was completed, and the spread is even to the call.".into();
        }
        let mut faults = Vec::new();
        if self.tally.started == 0 {
            faults.push("no call was started".to_owned());
        }
        let unfinished = self.tally.started - self.tally.completed;
        if unfinished > 0 {
            faults.push(format!("{unfinished} calls were not completed"));
        }
        if !self.tally.is_even() {
            faults.push("the spread is not even".to_owned());
        }
        format!("Something went wrong:\n{}.", faults.join(",\nand "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} calls in {:.1} s through udp:{}, {}{}\n",
            HumanCount(self.tally.started),
            self.begun_for.as_secs_f64(),
            self.relay,
            match self.workers {
                1 => "1 worker".to_owned(),
                n => format!("{n} workers"),
            },
            if self.stopped_early { "\n(ended early)" } else { "" },
        )?;
        let tables = [self.destinations(), self.numbers(), self.histogram(), self.counters()];
        for table in tables {
            writeln!(f, "{}\n", table.trim_fmt())?;
        }
        write!(f, "{}", self.verdict())
    }
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for at in columns {
        if let Some(column) = table.column_mut(*at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn percent(part: u64, all: u64) -> f64 {
    if all == 0 {
        return 0.0;
    }
    part as f64 * 100.0 / all as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(0.001)
}

#[expect(clippy::cast_precision_loss, reason = "a minute has 6e7 us")]
fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(per_destination: &[u64], completed: u64) -> Report {
        let mut tally = Tally::new(per_destination.len());
        tally.per_destination = per_destination.to_vec();
        tally.started = per_destination.iter().sum();
        tally.completed = completed;
        for us in 1..=tally.started {
            tally.setup_us.record(us * 100).expect("in range");
        }
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        Report {
            begun_for: Duration::from_secs(1),
            stopped_early: false,
            relay: address,
            workers: 2,
            destinations: vec![address; per_destination.len()],
            tally,
            lost: 0,
            counters: vec![("chosen".into(), 4000)],
        }
    }

    #[test]
    fn good_is_complete_and_even() {
        assert!(report(&[3, 3, 2], 8).is_good());
        assert!(!report(&[3, 3, 2], 7).is_good());
        assert!(!report(&[3, 3, 1], 7).is_good());
        assert!(!report(&[0, 0, 0], 0).is_good());
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let calls = 1_000_000 * 86_400;
        let mut report = report(&[1, 1], 2);
        report.tally.per_destination = vec![calls, 0, calls / 3];
        report.tally.per_destination.resize(256, calls);
        report.destinations = vec![SocketAddr::from(([127, 0, 0, 1], 65_535)); 256];
        (report.tally.started, report.tally.completed) = (calls, calls / 2);
        (report.tally.sent, report.tally.received) = (7 * calls, 7 * calls);
        report.tally.retransmissions = calls;
        report.lost = calls;
        report.relay = report.destinations[0];
        (report.workers, report.stopped_early) = (64, true);
        report.begun_for = Duration::from_hours(24);
        report.counters = vec![("forwarded.via_parameter_lost".into(), 7 * calls)];
        let why = "a response to the INVITE that was not expected, and a long reason for it";
        report.tally.failed.insert(why.into(), calls);
        report.tally.setup_us.record_n(1, calls).unwrap();
        report.tally.setup_us.record_n(15_000_000, calls).unwrap();
        let text = report.to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(WIDTH), "{line}\n{text}");
        }
    }

    #[test]
    fn people_and_programs_are_told_the_same() {
        let report = report(&[1000, 1000], 2000);
        let text = report.to_string();
        // Each call took 100 us longer than the one before, and is in one step only.
        for part in [
            "to 0.100 ms      1",
            "to 0.500 ms      3",
            "to 500.000 ms",
            "2,000 calls",
            "2 workers",
            "1,000",
            "50.00 %",
            "4,000",
            "even to the call",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let json = report.to_json();
        assert_eq!(json["good"], true);
        assert_eq!(json["destinations"][1]["calls"], 1000);
        assert_eq!(json["relay"]["chosen"], 4000);
    }
}
