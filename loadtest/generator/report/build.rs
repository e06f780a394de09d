//! Makes a report of what a run counted.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

use super::{FORMAT, LatencyRow, Limits, Machine, MessageRow, Report, Series, ServerRow, SliceRow};
use crate::flood::{Flood, FloodOutcome, FloodPlan, Method, SLICE};
use crate::plan::{Plan, Traffic};
use crate::record::{Ends, Kind, Latency, Others, Record};
use crate::{Load, Outcome, Schedule, Shape};

/// When and where to, and what the generator could do by itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When the run began.
    pub begun: SystemTime,
    /// Where the messages went.
    pub targets: Vec<SocketAddr>,
    /// What the generator can do by itself.
    pub limits: Option<Limits>,
}

impl Report {
    /// The report of a load.
    pub fn of_load(load: &Load, outcome: &Outcome, facts: &Facts) -> Self {
        let plan = load.plan();
        let Record { ends, latencies, messages, .. } = &outcome.record;
        let seconds = thousandths(outcome.started_for.as_secs_f64());
        let mut report = Self {
            format: FORMAT,
            traffic: traffic(plan.traffic).into(),
            begun: humantime::format_rfc3339_seconds(facts.begun).to_string(),
            seconds,
            machine: Machine::this(),
            plan: plan_rows(plan, load, &facts.targets),
            rate_planned: plan.rate,
            rate: thousandths(ends.started as f64 / seconds),
            limits: facts.limits.map(Limits::rounded),
            ends: ends.clone(),
            messages: Kind::EACH
                .into_iter()
                .map(|kind| MessageRow { kind: kind.name().into(), traffic: messages.of(kind) })
                .filter(|row| row.traffic != crate::record::Traffic::default())
                .collect(),
            messages_lost: if plan.servers.is_empty() { 0 } else { messages.lost() },
            latencies: Latency::EACH
                .into_iter()
                .filter(|latency| !latencies.of(*latency).is_empty())
                .map(|latency| LatencyRow::of(latency.name(), latencies.of(latency)))
                .collect(),
            servers: server_rows(load.servers(), &outcome.record.servers),
            series: series(&outcome.record),
            others: outcome.record.others,
            warnings: Vec::new(),
        };
        report.doubt();
        report
    }

    /// The report of a flood.
    pub fn of_flood(
        flood: &Flood,
        plan: &FloodPlan,
        outcome: &FloodOutcome,
        facts: &Facts,
    ) -> Self {
        let seconds = thousandths(outcome.took.as_secs_f64());
        let arrived = outcome.arrived_all();
        let lost = outcome.sent.saturating_sub(arrived);
        let method = match plan.method {
            Method::Invite => "INVITE",
            Method::Options => "OPTIONS",
        };
        let slice = |(sent, arrived): &(u64, u64)| SliceRow {
            started: *sent,
            good: *arrived,
            bad: sent.saturating_sub(*arrived),
            ..SliceRow::default()
        };
        let mut report = Self {
            format: FORMAT,
            traffic: "flood".into(),
            begun: humantime::format_rfc3339_seconds(facts.begun).to_string(),
            seconds,
            machine: Machine::this(),
            plan: flood_rows(plan, flood, outcome, &facts.targets),
            rate_planned: plan.rate.unwrap_or(0.0),
            rate: thousandths(outcome.sent as f64 / seconds),
            limits: facts.limits.map(Limits::rounded),
            ends: Ends { started: outcome.sent, completed: arrived, lost, ..Ends::default() },
            messages: vec![MessageRow {
                kind: method.into(),
                traffic: crate::record::Traffic {
                    sent: outcome.sent,
                    arrived,
                    duplicates: arrived.saturating_sub(outcome.sent),
                    ..crate::record::Traffic::default()
                },
            }],
            messages_lost: lost,
            latencies: Vec::new(),
            servers: server_rows(flood.sinks(), &outcome.arrived),
            series: Series {
                slice_seconds: SLICE.as_secs_f64(),
                rows: outcome.slices.iter().map(slice).collect(),
            },
            others: Others::default(),
            warnings: Vec::new(),
        };
        report.doubt();
        report
    }

    /// Says what makes the result doubtful.
    fn doubt(&mut self) {
        let Others { unsent, overflowed, strays, misrouted, .. } = self.others;
        let mut warn = |is_so: bool, text: String| {
            if is_so {
                self.warnings.push(text);
            }
        };
        warn(
            unsent > 0,
            format!("{unsent} messages were not sent: the kernel had no room for them"),
        );
        warn(
            overflowed > 0,
            format!(
                "{overflowed} messages came faster than this program took them: they count as lost"
            ),
        );
        warn(
            self.ends.not_started > 0,
            format!("{} calls were not started: too many were open", self.ends.not_started),
        );
        warn(
            misrouted > 0,
            format!("{misrouted} requests came to a server that has not got their call"),
        );
        warn(strays > 0, format!("{strays} responses belong to no call, or came very late"));
        let is_flood = self.traffic == "flood";
        if let Some(Limits { rate }) = self.limits {
            // A flood is meant to be as fast as it can.
            let is_near = !is_flood && self.rate_planned > rate / 2.0;
            warn(
                is_near,
                format!(
                    "the rate is above half of what this program can do by itself here ({rate:.0}/s): \
                     times and losses may be its own"
                ),
            );
        }
        if self.rate_planned > 0.0 && self.rate < self.rate_planned * 0.98 && self.seconds >= 1.0 {
            let text = format!(
                "{:.0} a second were started instead of {:.0}",
                self.rate, self.rate_planned
            );
            self.warnings.push(text);
        }
        let (lag, answer) = (self.latency("generator's own lag"), self.latency("answer"));
        if let (Some(lag), Some(answer)) = (lag, answer) {
            let (lag, answer) = (lag.at(99.0), answer.at(99.0));
            if lag > LAG_US_MIN && lag > answer / 10.0 {
                self.warnings.push(format!(
                    "this program itself was late by {} at the 99th percentile: the machine is \
                     too busy for these times",
                    super::figures::time(lag)
                ));
            }
        }
    }
}

impl LatencyRow {
    fn of(name: &str, histogram: &Histogram<u64>) -> Self {
        let us = |ns: u64| ns as f64 / 1e3;
        let percentiles =
            PERCENTILES.iter().map(|p| (*p, us(histogram.value_at_quantile(p / 100.0))));
        Self {
            name: name.into(),
            count: histogram.len(),
            mean_us: thousandths(histogram.mean() / 1e3),
            max_us: us(histogram.max()),
            percentiles: percentiles.collect(),
        }
    }
}

impl Limits {
    fn rounded(self) -> Self {
        Self { rate: thousandths(self.rate) }
    }
}

/// Nobody needs more digits, and these are read back as they were.
fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// The rows of what was asked for.
struct Rows(Vec<(String, String)>);

impl Rows {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push((name.into(), value.to_string()));
    }

    fn shape(&mut self, shape: Shape) {
        if let Some(bytes) = shape.bytes {
            self.add("bytes of a first request", bytes);
        }
        if let Some(rows) = shape.rows {
            self.add("header rows of a first request", rows);
        }
    }
}

fn plan_rows(plan: &Plan, load: &Load, targets: &[SocketAddr]) -> Vec<(String, String)> {
    let mut rows = Rows(Vec::new());
    let own = load.servers();
    rows.add(
        "target",
        if targets == own { "its own servers, directly".into() } else { join(targets) },
    );
    rows.add("rate", format!("{}/s for {}", super::figures::rate(plan.rate), time(plan.time)));
    rows.add(
        "schedule",
        match plan.schedule {
            Schedule::Uniform => "uniform",
            Schedule::Poisson => "Poisson",
            Schedule::Burst => "bursts: ten times the rate for 10 ms of 100",
        },
    );
    rows.add("source ports", format!("{} at {}", plan.sources, plan.local));
    rows.add("servers", if own.is_empty() { "others".into() } else { own.len().to_string() });
    if plan.traffic == Traffic::Calls {
        rows.add("ring, talk", format!("{}, {}", time(plan.ring), time(plan.talk)));
        let mix = plan.mix;
        for (name, share) in [
            ("cancelled", mix.cancel),
            ("refused", mix.refuse),
            ("failing", mix.fail),
            ("not answered", mix.silent),
        ] {
            if share > 0.0 {
                rows.add(name, format!("{} %", share * 100.0));
            }
        }
    }
    rows.shape(plan.shape);
    rows.add("retransmissions", if plan.retransmits { "by RFC 3261" } else { "none" });
    rows.add("patience", time(plan.patience));
    rows.add("threads", plan.threads);
    rows.0
}

fn flood_rows(
    plan: &FloodPlan,
    flood: &Flood,
    outcome: &FloodOutcome,
    targets: &[SocketAddr],
) -> Vec<(String, String)> {
    let mut rows = Rows(Vec::new());
    let own = flood.sinks();
    rows.add(
        "target",
        if targets == own { "its own sinks, directly".into() } else { join(targets) },
    );
    rows.add("rate", plan.rate.map_or("all it can".into(), |rate| format!("{rate}/s")));
    rows.add("time", time(plan.time));
    rows.add("source ports", format!("{} at {}", plan.sources, plan.local));
    rows.add("sinks", own.len());
    rows.add("bytes of a message", outcome.message_bytes);
    rows.shape(Shape { bytes: None, ..plan.shape });
    rows.add("system calls", if plan.is_segmented { "UDP_SEGMENT" } else { "sendmmsg" });
    rows.add("threads", plan.threads);
    rows.0
}

fn server_rows(addresses: &[SocketAddr], taken: &[u64]) -> Vec<ServerRow> {
    let rows = addresses.iter().zip(taken);
    rows.map(|(address, taken)| ServerRow { address: address.to_string(), taken: *taken }).collect()
}

fn series(record: &Record) -> Series {
    let rows = record.series.slices().iter().map(|slice| {
        let at = |share| slice.answer_us.value_at_quantile(share) as f64;
        SliceRow {
            started: slice.started,
            good: slice.good,
            bad: slice.bad,
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: slice.answer_us.max() as f64,
        }
    });
    Series { slice_seconds: record.series.slice_ns() as f64 / 1e9, rows: rows.collect() }
}

fn traffic(traffic: Traffic) -> &'static str {
    match traffic {
        Traffic::Calls => "calls",
        Traffic::Invites => "invites",
        Traffic::Options => "options",
    }
}

fn join(targets: &[SocketAddr]) -> String {
    let texts: Vec<_> = targets.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn time(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// What is saved of a histogram: enough for a curve.
const PERCENTILES: [f64; 24] = [
    0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 97.0, 98.0,
    99.0, 99.5, 99.8, 99.9, 99.95, 99.99, 99.999, 100.0,
];
/// To be woken takes as long on a machine that has nothing else to do.
const LAG_US_MIN: f64 = 500.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Watch;

    fn facts() -> Facts {
        Facts { begun: SystemTime::UNIX_EPOCH, targets: Vec::new(), limits: None }
    }

    /// A real run straight to its own servers.
    fn report(change: impl FnOnce(&mut Plan, &mut Facts)) -> Report {
        let mut plan = Plan {
            rate: 200.0,
            time: Duration::from_millis(500),
            servers: vec!["127.0.0.1:0".parse().unwrap(); 2],
            patience: Duration::from_secs(20),
            ..Plan::default()
        };
        let mut facts = facts();
        change(&mut plan, &mut facts);
        let load = Load::bind(plan).unwrap();
        let outcome = load.run(load.servers(), &Watch::new(1)).unwrap();
        facts.targets = load.servers().to_vec();
        Report::of_load(&load, &outcome, &facts)
    }

    #[test]
    fn a_run_as_a_report_and_back() {
        let report = report(|_, _| {});
        assert_eq!((report.ends.started, report.ends.completed, report.bad()), (100, 100, 0));
        assert!((report.rate - 200.0).abs() < 1.0, "{}", report.rate);
        assert_eq!(report.begun, "1970-01-01T00:00:00Z");
        assert_eq!(report.servers.iter().map(|row| row.taken).collect::<Vec<_>>(), [50, 50]);
        assert_eq!(report.series.rows.iter().map(|row| row.started).sum::<u64>(), 100);
        let kinds: Vec<_> = report.messages.iter().map(|row| row.kind.as_str()).collect();
        assert_eq!(kinds, ["INVITE", "180", "200 (INVITE)", "ACK", "BYE", "200 (BYE)"]);
        let answer = report.latency("answer").unwrap();
        assert_eq!(answer.count, 100);
        assert!(answer.at(50.0) <= answer.at(99.0) && answer.at(99.0) <= answer.max_us * 1.001);
        assert_eq!(answer.at(0.0), answer.percentiles[0].1);
        assert_eq!(report.plan[0].1, "its own servers, directly");
        assert!(report.latency("cancel").is_none());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn what_makes_a_result_doubtful() {
        let near = report(|_, facts| facts.limits = Some(Limits { rate: 399.0 }));
        assert!(near.warnings.iter().any(|w| w.contains("above half")), "{:?}", near.warnings);
        let far = report(|_, facts| facts.limits = Some(Limits { rate: 401.0 }));
        assert!(!far.warnings.iter().any(|w| w.contains("above half")), "{:?}", far.warnings);
        let full = report(|plan, _| {
            plan.open_max = 1;
            plan.talk = Duration::from_secs(1);
        });
        assert_eq!((full.ends.started, full.ends.not_started), (1, 99));
        assert!(full.warnings[0].contains("99 calls were not started"), "{:?}", full.warnings);
        let mut others = report(|_, _| {});
        others.warnings.clear();
        others.others =
            Others { unsent: 1, overflowed: 2, strays: 3, misrouted: 4, ..others.others };
        (others.rate, others.seconds) = (100.0, 2.0);
        others.latencies = ["answer", "generator's own lag"]
            .map(|name| LatencyRow {
                name: name.into(),
                count: 1,
                mean_us: 1e3,
                max_us: 1e3,
                percentiles: vec![(100.0, 1e3)],
            })
            .into();
        others.doubt();
        let wants = [
            "1 messages were not",
            "2 messages came",
            "4 requests",
            "3 responses",
            "100 a second",
            "late by",
        ];
        for (warning, wants) in others.warnings.iter().zip(wants) {
            assert!(warning.contains(wants), "{warning}");
        }
        assert_eq!(others.warnings.len(), wants.len(), "{:?}", others.warnings);
    }
}
