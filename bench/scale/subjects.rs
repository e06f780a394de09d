//! What grows, and the cost of a new INVITE at each size of it.

use std::time::Duration;

use serde_json::{Value, json};
use strowger::destination::{Algorithm, Choosing};

use super::calls;
use super::cases::{BATCH, Batch, Case, Core};
use super::messages::{ROWS_MIN, USUAL_ROWS};
use super::samples::Samples;
use super::timing::timed;

/// What grows.
pub(crate) struct Growth {
    /// Its name.
    pub(crate) title: &'static str,
    /// Under one or several conditions.
    pub(crate) curves: Vec<Curve>,
}

/// The cost under one condition, from the smallest size to the largest.
pub(crate) struct Curve {
    /// The condition; empty if there is only one.
    pub(crate) name: &'static str,
    /// The sizes.
    pub(crate) points: Vec<Point>,
}

/// The cost at one size.
pub(crate) struct Point {
    /// The size.
    pub(crate) label: String,
    /// Nanoseconds of a message, one sample per round.
    pub(crate) ns: Samples,
    subject: Subject,
}

enum Subject {
    /// Batches of new INVITEs.
    Messages(Box<(Core, Batch)>),
    /// Calls that are answered, beside others that ring.
    Calls(Box<calls::Core>),
}

impl Growth {
    /// Returns every point.
    pub(crate) fn points(&mut self) -> impl Iterator<Item = &mut Point> {
        self.curves.iter_mut().flat_map(|curve| &mut curve.points)
    }

    /// Returns the figures.
    pub(crate) fn as_json(&self) -> Value {
        let point = |point: &Point| {
            json!({
                "at": point.label,
                "median_ns": point.ns.median(),
                "least_ns": point.ns.least(),
                "most_ns": point.ns.most(),
            })
        };
        let curve = |curve: &Curve| {
            let points: Vec<_> = curve.points.iter().map(point).collect();
            json!({ "name": curve.name, "points": points })
        };
        json!({ "by": self.title, "curves": self.curves.iter().map(curve).collect::<Vec<_>>() })
    }
}

impl Point {
    fn new(label: impl Into<String>, subject: Subject) -> Self {
        Self { label: label.into(), ns: Samples::default(), subject }
    }

    fn of_messages(label: impl Into<String>, core: Core, batch: Batch) -> Self {
        Self::new(label, Subject::Messages(Box::new((core, batch))))
    }

    /// Takes one sample.
    pub(crate) fn measure(&mut self) {
        let ns = self.subject.sample();
        self.ns.add(ns);
    }

    /// Does the same without counting it.
    pub(crate) fn warm_up(&mut self) {
        self.subject.sample();
    }
}

impl Subject {
    /// Returns the nanoseconds of a message.
    fn sample(&mut self) -> f64 {
        match self {
            Self::Messages(parts) => of_messages(&mut parts.0, &mut parts.1),
            Self::Calls(core) => {
                let times = core.measure(CALLS);
                // Answered calls are kept for 32 s, in case their 2xx is repeated.
                core.pass_ms(40_000);
                core.expire();
                times.invite.as_nanos() as f64
            }
        }
    }
}

fn of_messages(core: &mut Core, batch: &mut Batch) -> f64 {
    let mut spent = Duration::ZERO;
    for _ in 0..BATCHES {
        batch.renew(core);
        let mut wrong = 0;
        spent += timed(|| wrong = batch.relay(core, BATCH));
        assert_eq!(wrong, 0, "a verdict that should not be");
    }
    spent.as_nanos() as f64 / (BATCHES * BATCH) as f64
}

/// Returns everything that grows, at its sizes.
pub(crate) fn all() -> Vec<Growth> {
    vec![destinations(), pins(), rows(), body(), transactions()]
}

fn destinations() -> Growth {
    let curve = |name, algorithm| {
        let point = |count: usize| {
            let choosing = Choosing { algorithm, ..Choosing::default() };
            let mut core = Core::choosing(&choosing, count, LIVING);
            let batch = Batch::new(Case::NewInvite, &mut core).keeping(LIVING);
            Point::of_messages(with_commas(count), core, batch)
        };
        Curve { name, points: [1, 10, 100, 1_000, 10_000].map(point).into() }
    };
    let curves = vec![
        curve("round-robin", Algorithm::RoundRobin),
        curve("weighted", Algorithm::Weighted),
        curve("consistent", Algorithm::Consistent),
    ];
    Growth { title: "destinations", curves }
}

fn pins() -> Growth {
    let point = |living: usize| {
        let mut core = Core::new(DESTINATIONS, living);
        let batch = Batch::new(Case::NewInvite, &mut core).keeping(living);
        Point::of_messages(with_commas(living), core, batch)
    };
    let points = [0, 10_000, 100_000, 1_000_000, 10_000_000].map(point).into();
    Growth { title: "live pins", curves: vec![Curve { name: "", points }] }
}

fn rows() -> Growth {
    let point = |rows: usize| {
        let mut core = Core::new(DESTINATIONS, LIVING);
        let batch = Batch::of_invites(rows, "", &mut core).keeping(LIVING);
        Point::of_messages(rows.to_string(), core, batch)
    };
    let points = [ROWS_MIN, USUAL_ROWS, 30, 45, 60].map(point).into();
    Growth { title: "header fields", curves: vec![Curve { name: "", points }] }
}

fn body() -> Growth {
    let point = |octets: usize| {
        let mut core = Core::new(DESTINATIONS, LIVING);
        let body = "a=candidate:1\r\n".repeat(octets / 15 + 1);
        let batch = Batch::of_invites(USUAL_ROWS, &body[..octets], &mut core).keeping(LIVING);
        Point::of_messages(with_commas(octets), core, batch)
    };
    let points = [0, 500, 2_000, 8_000].map(point).into();
    Growth { title: "octets of the body", curves: vec![Curve { name: "", points }] }
}

fn transactions() -> Growth {
    let stateless = Point::new("stateless", Subject::Calls(Box::new(calls::Core::new(false, 0))));
    let stateful = [0, 10_000, 100_000, 1_000_000].map(|live| {
        let mut core = calls::Core::new(true, live + 2 * CALLS);
        core.ring(live);
        Point::new(with_commas(live), Subject::Calls(Box::new(core)))
    });
    let points = std::iter::once(stateless).chain(stateful).collect();
    Growth { title: "live transactions", curves: vec![Curve { name: "", points }] }
}

fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// Messages of one sample: enough for some 30 ms.
const BATCHES: usize = 150;
/// Calls of one sample.
const CALLS: usize = 4_000;
/// Destinations, unless their number is what grows.
pub(super) const DESTINATIONS: usize = 10;
/// Live pins, unless their number is what grows. They end after 240 s.
pub(super) const LIVING: usize = 100_000;
