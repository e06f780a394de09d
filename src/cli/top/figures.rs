//! What the screen shows, computed from the last few answers of `strowger.status`: counters only
//! grow, so each figure is a difference.

#![allow(clippy::cast_precision_loss, reason = "no counter reaches 2^53")]

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use crate::cli::show::{all, field};

/// The last answers, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<Value>);

/// The figures of one relay.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) head: Head,
    pub(super) rows: Vec<Row>,
    /// Destinations that the relay left out of its answer.
    pub(super) left_out: u64,
}

/// The figures of all destinations together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    pub(super) version: String,
    pub(super) uptime: Duration,
    pub(super) listeners: Vec<String>,
    pub(super) workers: u64,
    pub(super) is_draining: bool,
    pub(super) is_source_read: bool,
    /// Per second.
    pub(super) calls: f64,
    pub(super) received: f64,
    pub(super) answered_here: f64,
    pub(super) dropped: f64,
}

/// One destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) set: u64,
    pub(super) uri: String,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) flags: String,
    pub(super) why: String,
    pub(super) since: String,
    /// Calls per second, and their share of its set's in percent.
    pub(super) calls: f64,
    pub(super) share: f64,
    /// New requests since it is there, how many of them it answered, and calls that it answered
    /// with 5xx.
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) in_progress: Option<u64>,
    /// From a call to its first response, in milliseconds: half of them, and 99 of 100, took at most
    /// as long.
    pub(super) half_ms: Option<u64>,
    pub(super) most_ms: Option<u64>,
    pub(super) heard_ms_ago: Option<u64>,
    pub(super) silent_ms: Option<u64>,
}

impl Row {
    /// What tells it from others.
    pub(super) fn key(&self) -> (u64, &str, &str) {
        (self.set, &self.uri, &self.address)
    }
}

impl Answers {
    /// Takes a new answer. Those of a process that ran before are forgotten.
    pub(super) fn push(&mut self, answer: Value) {
        let is_new = self.0.back().is_some_and(|last| {
            last["pid"] != answer["pid"] || uptime_ms(last) > uptime_ms(&answer)
        });
        if is_new {
            self.0.clear();
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(answer);
    }

    /// Returns the figures of now; `None` before the first answer.
    pub(super) fn figures(&self) -> Option<Figures> {
        let now = self.0.back()?;
        // Rates follow quickly, times need some calls.
        let short = self.0.get(self.0.len().saturating_sub(1 + RATE_OVER))?;
        let long = self.0.front()?;
        let seconds = uptime_ms(now).saturating_sub(uptime_ms(short)) as f64 / 1e3;
        let rate = |now: u64, before: u64| {
            if seconds > 0.0 { now.saturating_sub(before) as f64 / seconds } else { 0.0 }
        };
        let counters = |prefix: &str| rate(sum(now, prefix), sum(short, prefix));
        let sets = all(now, "sets");
        let calls = |status: &Value| all(status, "sets").iter().map(|of| number(of, "calls")).sum();
        let mut rows = Vec::new();
        let mut left_out = 0;
        for set in sets {
            let set_before = same_set(short, set);
            let set_calls = number(set, "calls").saturating_sub(number(set_before, "calls"));
            let destinations = all(set, "destinations");
            left_out += number(set, "count").saturating_sub(destinations.len() as u64);
            for destination in destinations {
                let before = same(set_before, destination);
                let new = number(destination, "calls").saturating_sub(number(before, "calls"));
                let long_before = same(same_set(long, set), destination);
                let times = Times::since(destination, long_before);
                rows.push(Row {
                    set: number(set, "set"),
                    uri: field(destination, "uri"),
                    address: field(destination, "address"),
                    state: field(destination, "state"),
                    flags: field(destination, "flags"),
                    why: field(destination, "reason"),
                    since: field(destination, "since"),
                    calls: rate(new, 0),
                    share: if set_calls > 0 { 100.0 * new as f64 / set_calls as f64 } else { 0.0 },
                    sent: number(destination, "requests"),
                    answered: number(destination, "answered"),
                    failed: number(destination, "failed"),
                    in_progress: destination["calls_in_progress"].as_u64(),
                    half_ms: times.at(0.5, &now["bounds_ms"]),
                    most_ms: times.at(0.99, &now["bounds_ms"]),
                    heard_ms_ago: destination["heard_ms_ago"].as_u64(),
                    silent_ms: destination["silent_ms"].as_u64(),
                });
            }
        }
        let head = Head {
            version: field(now, "version"),
            uptime: Duration::from_millis(uptime_ms(now)),
            listeners: all(now, "listeners")
                .iter()
                .filter_map(Value::as_str)
                .map(Into::into)
                .collect(),
            workers: number(now, "workers"),
            is_draining: now["draining"] == true,
            is_source_read: now["source_read"] != false,
            calls: rate(calls(now), calls(short)),
            received: counters("received"),
            answered_here: counters("answered."),
            dropped: counters("dropped."),
        };
        Some(Figures { head, rows, left_out })
    }
}

/// How often calls took how long.
struct Times(Vec<u64>);

impl Times {
    fn since(now: &Value, before: &Value) -> Self {
        let counts = |of: &Value| -> Vec<u64> {
            all(&of["first"], "counts").iter().map(|count| count.as_u64().unwrap_or(0)).collect()
        };
        let before = counts(before);
        let since = counts(now).into_iter().enumerate();
        let since = since.map(|(at, n)| n.saturating_sub(before.get(at).copied().unwrap_or(0)));
        Self(since.collect())
    }

    /// Returns the bound below which this share of them is; `None` if there are none, or if they took
    /// longer than the last bound.
    fn at(&self, share: f64, bounds: &Value) -> Option<u64> {
        let all: u64 = self.0.iter().sum();
        let wanted = share * all as f64;
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += count;
            seen > 0 && seen as f64 >= wanted
        })?;
        bounds.get(at)?.as_u64()
    }
}

fn uptime_ms(status: &Value) -> u64 {
    number(status, "uptime_ms")
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

/// Sums the counter with this name, or those of a group.
fn sum(status: &Value, name: &str) -> u64 {
    let counters = status["counters"].as_object().into_iter().flatten();
    let is_wanted =
        |key: &str| if name.ends_with('.') { key.starts_with(name) } else { key == name };
    counters.filter(|(key, _)| is_wanted(key)).filter_map(|(_, count)| count.as_u64()).sum()
}

fn same_set<'a>(status: &'a Value, set: &Value) -> &'a Value {
    all(status, "sets").iter().find(|before| before["set"] == set["set"]).unwrap_or(&Value::Null)
}

/// The same destination in an earlier answer. What was not there yet counts from 0; what may have been
/// left out of it counts from now.
fn same<'a>(set: &'a Value, destination: &'a Value) -> &'a Value {
    let is_same = |before: &&Value| {
        ["uri", "address", "duid"].iter().all(|name| before[*name] == destination[*name])
    };
    let before = all(set, "destinations");
    let if_none =
        if before.len() as u64 == number(set, "count") { &Value::Null } else { destination };
    before.iter().find(is_same).unwrap_or(if_none)
}

/// Answers that are kept, one a second: times are those of the last ten seconds.
const KEPT: usize = 11;

/// How many answers back rates are taken from.
const RATE_OVER: usize = 3;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(second: u64, first_calls: u64, second_calls: u64) -> Value {
        let destination = |address: &str, calls: u64| {
            // A tenth of them takes more than 1 ms.
            let counts = [calls - calls / 10, calls / 10, 0];
            json!({ "uri": format!("sip:{address}"), "address": address, "state": "active",
                    "flags": "AP", "requests": calls, "calls": calls, "answered": calls,
                    "failed": 0, "heard_ms_ago": 12, "first": { "counts": counts } })
        };
        json!({ "pid": 7, "uptime_ms": second * 1_000, "version": "0.1.0", "workers": 2,
                "listeners": ["udp:10.0.0.1:5060"], "source_read": true, "bounds_ms": [1, 2],
                "counters": { "received": 6 * (first_calls + second_calls),
                              "dropped.stun": second, "dropped.not_sip": second },
                "sets": [{ "set": 1, "calls": first_calls + second_calls, "count": 9,
                           "destinations": [destination("10.0.0.2:5060", first_calls),
                                            destination("10.0.0.3:5060", second_calls)] }] })
    }

    #[test]
    fn figures_are_differences() {
        let mut answers = Answers::default();
        assert_eq!(answers.figures(), None);
        answers.push(answer(100, 1_000, 0));
        let first = answers.figures().unwrap();
        assert_eq!((first.head.calls, first.rows[0].calls, first.left_out), (0.0, 0.0, 7));
        for second in 1..=4 {
            answers.push(answer(100 + second, 1_000 + 30 * second, 10 * second));
        }
        let Figures { head, rows, .. } = answers.figures().unwrap();
        assert_eq!((head.calls, head.received, head.dropped), (40.0, 240.0, 2.0));
        assert_eq!((rows[0].calls, rows[0].share, rows[1].share), (30.0, 75.0, 25.0));
        assert_eq!((rows[0].sent, rows[0].half_ms, rows[0].most_ms), (1_120, Some(1), Some(2)));
        assert_eq!(rows[1].heard_ms_ago, Some(12));
        // A new process begins anew.
        answers.push(answer(2, 500, 10));
        let restarted = answers.figures().unwrap();
        assert_eq!((restarted.head.calls, restarted.rows[0].calls), (0.0, 0.0));
        assert_eq!(restarted.head.uptime.as_secs(), 2);
    }

    #[test]
    fn what_took_longer_than_all_bounds_has_none() {
        let times = |counts: [u64; 3]| Times(counts.to_vec());
        let bounds = json!([1, 2]);
        assert_eq!(times([0, 0, 0]).at(0.5, &bounds), None);
        assert_eq!(times([0, 0, 5]).at(0.5, &bounds), None);
        assert_eq!(times([0, 3, 3]).at(0.5, &bounds), Some(2));
        assert_eq!(times([0, 3, 4]).at(0.5, &bounds), None);
        assert_eq!(times([1, 0, 0]).at(0.99, &bounds), Some(1));
    }

    #[test]
    fn a_destination_that_was_not_there_counts_from_its_beginning() {
        let mut before = answer(1, 0, 0);
        before["sets"][0]["destinations"].as_array_mut().unwrap().pop();
        let rows = |before: &Value| {
            let mut answers = Answers::default();
            answers.push(before.clone());
            answers.push(answer(2, 4, 6));
            answers.figures().unwrap().rows
        };
        assert_eq!(rows(&before)[1].share.to_string(), "0", "it may have been left out");
        before["sets"][0]["count"] = json!(1);
        assert_eq!((rows(&before)[1].calls, rows(&before)[1].share), (6.0, 60.0));
    }
}
