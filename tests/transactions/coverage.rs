//! How often each thing happened: what never happens proves nothing.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use strowger::proxy::Verdict;
use strowger::transaction::{Left, TransactionCounters};

/// What must have happened in every quarter of the ordinary runs.
const WANTED: [&str; 41] = [
    "100",
    "200",
    "481",
    "repeated",
    "chosen",
    "response",
    "token",
    "call_pin",
    "absorbed",
    "tried_next",
    "no_transaction",
    "handed over",
    "no_destination",
    "own 408",
    "own 487",
    "own 500",
    "2xx of a left try",
    "2xx after the caller's CANCEL",
    "6xx of a left try",
    "18x of a left try",
    "best of several",
    "CANCEL for the caller",
    "CANCEL of a left try",
    "CANCEL by Timer C",
    "reset",
    "2xx after a reset",
    "left: code",
    "left: silent",
    "left: no_progress",
    "left: unreachable",
    "left: inactive",
    "left: unconfirmed",
    "left: overtaken",
    "further tries",
    "over budget",
    "none left",
    "repeated to a destination",
    "CANCEL to a destination",
    "no room",
    "begun",
    "ended",
];

#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) seeds: u64,
    counts: BTreeMap<String, u64>,
}

impl Coverage {
    pub(crate) fn count(&mut self, name: &str, n: u64) {
        if n > 0 {
            match self.counts.get_mut(name) {
                Some(count) => *count += n,
                None => drop(self.counts.insert(name.to_owned(), n)),
            }
        }
    }

    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        let name = match verdict {
            Verdict::Forwarded(how) => how.label(),
            Verdict::Answered(answer) => answer.label(),
            Verdict::Dropped(reason) => reason.label(),
            Verdict::HandedOver(_) => "handed over",
        };
        self.count(name, 1);
    }

    /// The run has ended: what its relay counted.
    pub(crate) fn end(&mut self, counters: &TransactionCounters, is_well: bool) {
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        self.seeds += 1;
        for (because, counter) in Left::LABELS.iter().zip(&counters.left) {
            self.count(&format!("left: {because}"), of(counter));
        }
        self.count("begun", of(&counters.begun));
        self.count("ended", of(&counters.ended));
        self.count("no room", of(&counters.no_room));
        self.count("further tries", of(&counters.further_tries));
        self.count("over budget", of(&counters.over_budget));
        self.count("none left", of(&counters.none_left));
        self.count("repeated to a destination", of(&counters.repeated));
        self.count("CANCEL to a destination", of(&counters.cancels));
        let is_balanced = of(&counters.begun) == of(&counters.ended);
        assert!(is_balanced || !is_well, "as many transactions ended as began");
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        other.counts.iter().for_each(|(name, n)| self.count(name, *n));
    }

    pub(crate) fn missing(&self) -> Vec<&'static str> {
        WANTED.into_iter().filter(|name| !self.counts.contains_key(*name)).collect()
    }

    pub(crate) fn table(&self) -> String {
        let lines = self.counts.iter().map(|(name, n)| format!("{n:>12}  {name}\n"));
        format!("{} seeds\n{}", self.seeds, lines.collect::<String>())
    }
}
