//! Counts how often each thing happened, over all runs of a campaign: what never happens proves
//! nothing.

use std::collections::BTreeMap;

use strowger::proxy::{Answer, Forwarded, Reason, Verdict};

#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) seeds: u64,
    pub(crate) datagrams: u64,
    counts: BTreeMap<&'static str, u64>,
    verdicts: BTreeMap<(&'static str, &'static str), u64>,
}

/// What the simulation can make happen. Each must have happened in every 2,500 runs.
const EVENTS: &[&str] = &[
    "call answered",
    "call refused",
    "call cancelled",
    "call timed out",
    "challenge met",
    "fork of a server",
    "request again",
    "CANCEL",
    "CANCEL after the end",
    "ACK to a 2xx",
    "ACK to a failure",
    "by the caller in a dialog",
    "by the callee in a dialog",
    "before the answer in a dialog",
    "in a dialog after a restart",
    "datagram lost",
    "datagram doubled",
    "one datagram to two workers",
    "worker with an old list",
    "copy after the list changed",
    "copy after its destination was removed",
    "list: removed",
    "list: added",
    "list: disabled or enabled",
    "list: became inactive",
    "list: came back",
    "retried, and nobody left",
    "a try that was left answers the call",
    "list: reordered",
    "list: back",
    "list: emptied",
    "drained",
    "restart",
    "restart with a new key",
    "worker reset",
    "NAT changed the port",
    "pin evicted",
    "pin swept",
    "minutes passed",
    "the clock of pins wrapped",
    "IPv6",
    "from one family to the other",
    "caller of RFC 2543",
    "Via parameter dropped by a server",
    "two relays, one key",
    "two relays, two keys",
    "ring of relays",
    "attack: garbage",
    "attack: response replayed",
    "attack: response changed",
    "attack: parameter of another call",
    "attack: request replayed",
    "attack: token of another call",
    "attack: token changed",
    "attack: token with its call",
    "attack: foreign Route",
    "attack: invented dialog",
    "attack: invented CANCEL",
    "attack: CANCEL of a call it saw",
    "attack: Via of nobody",
    "attack: from our own address",
    "attack: from a destination",
    "attack: against the rules",
    "attack: call pin",
];

/// What no run can reach, and why.
const UNREACHABLE: &[(&str, &str)] = &[
    (
        "pin_contended",
        "takes two workers at the same instruction: one thread runs all of them here",
    ),
    ("over_rate", "no set has a limit here: tests/rules has the rows"),
    ("over_calls", "no set has a limit here: tests/rules has the rows"),
    ("over_source_rate", "no set has a limit here: tests/rules has the rows"),
    ("panicked", "is the worker's verdict about the core, not the core's"),
    ("probe_reply", "no relay sends probes here: the control thread does, which is not simulated"),
    ("hash", "every relay here chooses by round robin: the rules have the hashes"),
    ("lone_100", "every server here copies all Vias into its 100: the rules have the others"),
    ("100", OF_STATEFUL),
    ("repeated", OF_STATEFUL),
    ("408", OF_STATEFUL),
    ("487", OF_STATEFUL),
    ("500", OF_STATEFUL),
    ("absorbed", OF_STATEFUL),
    ("tried_next", OF_STATEFUL),
    ("no_transaction", OF_STATEFUL),
    ("owner_busy", OF_STATEFUL),
    (
        "no_listener",
        "a list with an address that no listener reaches is refused, and so is the call",
    ),
];

const OF_STATEFUL: &str =
    "is of stateful sets, which are simulated by themselves: tests/transactions";

/// Reached every few thousand runs: a quarter may have none.
const RARE: &[&str] = &["list_behind", "too_large"];

impl Coverage {
    pub(crate) fn event(&mut self, name: &'static str) {
        debug_assert!(EVENTS.contains(&name), "{name}");
        *self.counts.entry(name).or_default() += 1;
    }

    pub(crate) fn events(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.counts.entry(name).or_default() += count;
        }
    }

    pub(crate) fn verdict(&mut self, verdict: Verdict) {
        let key = match verdict {
            Verdict::Forwarded(how) => ("forwarded", how.label()),
            Verdict::Answered(answer) => ("answered", answer.label()),
            Verdict::Dropped(reason) => ("dropped", reason.label()),
            Verdict::HandedOver(_) => unreachable!("no set here is stateful"),
        };
        *self.verdicts.entry(key).or_default() += 1;
        self.datagrams += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.datagrams += other.datagrams;
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        for (name, count) in &other.verdicts {
            *self.verdicts.entry(*name).or_default() += count;
        }
    }

    /// What should have happened and did not.
    pub(crate) fn missing(&self) -> Vec<String> {
        let events = EVENTS.iter().filter(|name| !self.counts.contains_key(**name));
        let mut missing: Vec<String> = events.map(|name| (*name).to_owned()).collect();
        for key in all_verdicts() {
            let is_unreachable = UNREACHABLE.iter().any(|(label, _)| *label == key.1);
            if self.verdicts.contains_key(&key) == is_unreachable && !RARE.contains(&key.1) {
                missing.push(format!("{} {}, expected never: {is_unreachable}", key.0, key.1));
            }
        }
        missing
    }

    pub(crate) fn table(&self) -> String {
        let mut lines =
            vec![format!("{} seeds, {} datagrams at a relay", self.seeds, self.datagrams)];
        let group = |kind: &str| -> u64 {
            self.verdicts.iter().filter(|(key, _)| key.0 == kind).map(|(_, n)| n).sum()
        };
        for kind in ["forwarded", "answered", "dropped"] {
            lines.push(format!("{:>12}  {kind}", group(kind)));
            let of_kind = self.verdicts.iter().filter(|(key, _)| key.0 == kind);
            lines.extend(of_kind.map(|(key, count)| format!("{count:>12}    {}", key.1)));
        }
        lines.extend(
            EVENTS
                .iter()
                .map(|name| format!("{:>12}  {name}", self.counts.get(name).copied().unwrap_or(0))),
        );
        for (label, why) in UNREACHABLE {
            lines.push(format!("{:>12}  {label}: {why}", "never"));
        }
        lines.join("\n")
    }
}

fn all_verdicts() -> impl Iterator<Item = (&'static str, &'static str)> {
    let forwarded = Forwarded::ALL.iter().map(|how| ("forwarded", how.label()));
    let answered = Answer::ALL.iter().map(|answer| ("answered", answer.label()));
    let dropped = Reason::ALL.iter().map(|reason| ("dropped", reason.label()));
    forwarded.chain(answered).chain(dropped)
}
