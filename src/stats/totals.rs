//! The counters of all workers, added up.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counter, SendFailure, WorkerStats};
use crate::calls::CallTable;
use crate::health;
use crate::pin::PinCounters;
use crate::proxy::{Answer, Forwarded, Reason, Verdict};
use crate::transaction::{Left, TransactionCounters};

/// What all workers counted.
///
/// While messages arrive, the numbers are read at slightly different moments; once the relay is
/// quiet they are exact.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams received, by worker.
    pub received_by_worker: Vec<u64>,
    /// Their payloads, in bytes.
    pub received_bytes: u64,
    /// Reads that failed, except on an empty socket.
    pub receive_failed: u64,
    /// Datagrams that the kernel dropped because a receive buffer was full.
    pub socket_drops: u64,
    /// Forwarded messages that the kernel accepted.
    pub sent_forward: u64,
    /// Our own responses that the kernel accepted.
    pub sent_answer: u64,
    /// Datagrams that a worker handed over to the one that has the transactions of the call.
    pub handed_over: u64,
    /// Datagrams that a worker took over.
    pub taken_over: u64,
    /// Messages that transactions sent besides, and the kernel accepted.
    pub sent_transaction: u64,
    /// Messages that the kernel refused once.
    pub send_retried: u64,
    /// What the pin table counted.
    pub pins: PinTotals,
    /// The calls in progress, in sets that count them.
    pub calls: CallTotals,
    /// What the transactions of stateful sets did.
    pub transactions: TransactionTotals,
    /// Calls that were refused because there was no room for the rate of their source.
    pub source_rates_full: u64,
    /// Emergency calls that passed a limit.
    pub emergencies_passed: u64,
    /// Emergency calls at a limit, of a source that had too many.
    pub emergencies_over_ceiling: u64,
    /// Dispatch lines that were lost: the log was behind, or standard error could not be written
    /// to.
    pub log_lost: u64,
    /// Changes of state that a program outside was not told of.
    pub events_lost: u64,
    /// ICMP errors that quote a message of ours to a destination.
    pub icmp_proven: u64,
    /// Other ICMP errors for the address of a destination; they may be forged.
    pub icmp_unproven: u64,
    /// ICMP errors for other addresses, or that say nothing about a destination.
    pub icmp_other: u64,
    /// Answers to probes, and reports of unreachable destinations, that did not fit their queue.
    pub sightings_lost: u64,
    /// What the watching of destinations did.
    pub watch: health::Counters,
    /// Recoveries of workers from a panic outside datagram handling.
    pub worker_restarts: u64,
    /// Traces that run, and Homer's tap.
    pub capture_armed: u64,
    /// Messages that were copied for those who watch.
    pub capture_recorded: u64,
    /// Messages that were not copied because a ring was full.
    pub capture_lost: u64,
    /// Messages that were sent to Homer.
    pub hep_sent: u64,
    /// Messages that were copied for Homer and did not get there.
    pub hep_lost: u64,
    /// Whether new requests are refused now.
    pub draining: bool,
    forwarded: [u64; Forwarded::COUNT],
    answered: [u64; Answer::COUNT],
    dropped: [u64; Reason::COUNT],
    send_failed: [u64; SendFailure::COUNT],
}

/// The pin table's counters, see [`PinCounters`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PinTotals {
    /// Pins of ended transactions, evicted from a full bucket.
    pub evicted_final: u64,
    /// Live pins evicted from a full bucket: the table is too small.
    pub evicted_live: u64,
    /// Requests that waited for another worker's choice.
    pub contended: u64,
}

/// The numbers of the table of calls, see [`CallTable`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CallTotals {
    /// Calls in progress now.
    pub in_progress: u64,
    /// Calls that were given up because they were not heard of for too long.
    pub given_up: u64,
    /// Calls that were refused because the table was full.
    pub table_full: u64,
}

/// What the transactions of stateful sets did, see [`TransactionCounters`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TransactionTotals {
    /// Those that began.
    pub begun: u64,
    /// Those that have not ended.
    pub live: u64,
    /// Requests and responses that there was no room for.
    pub no_room: u64,
    /// Tries that were sent after the first one of their transaction.
    pub further_tries: u64,
    /// Tries that were left, by why.
    pub left: [u64; Left::LABELS.len()],
    /// Requests that got no further try because the set had too many of them.
    pub over_budget: u64,
    /// Requests that no other destination was left for.
    pub none_left: u64,
    /// Requests that were sent to the same destination again.
    pub repeated: u64,
    /// CANCELs that were sent, copies included.
    pub cancels: u64,
}

impl From<&TransactionCounters> for TransactionTotals {
    fn from(counters: &TransactionCounters) -> Self {
        // Relaxed: counts, which order nothing.
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Those that ended are read first, so that no more have ended than begun.
        let ended = get(&counters.ended);
        let begun = get(&counters.begun);
        Self {
            begun,
            live: begun.saturating_sub(ended),
            no_room: get(&counters.no_room),
            further_tries: get(&counters.further_tries),
            left: counters.left.each_ref().map(get),
            over_budget: get(&counters.over_budget),
            none_left: get(&counters.none_left),
            repeated: get(&counters.repeated),
            cancels: get(&counters.cancels),
        }
    }
}

impl From<&CallTable> for CallTotals {
    fn from(calls: &CallTable) -> Self {
        // Relaxed: counts, which order nothing.
        Self {
            in_progress: calls.len(),
            given_up: calls.counters().given_up.load(Ordering::Relaxed),
            table_full: calls.counters().table_full.load(Ordering::Relaxed),
        }
    }
}

impl From<&PinCounters> for PinTotals {
    fn from(counters: &PinCounters) -> Self {
        // Relaxed: counts, which order nothing.
        Self {
            evicted_final: counters.evicted_final.load(Ordering::Relaxed),
            evicted_live: counters.evicted_live.load(Ordering::Relaxed),
            contended: counters.contended.load(Ordering::Relaxed),
        }
    }
}

impl Totals {
    /// Returns the number of datagrams with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Forwarded(kind) => self.forwarded[kind as usize],
            Verdict::Answered(answer) => self.answered[answer as usize],
            Verdict::Dropped(reason) => self.dropped[reason as usize],
            Verdict::HandedOver(_) => self.handed_over,
        }
    }

    /// Returns the number of messages not sent for this reason.
    pub fn send_failed(&self, failure: SendFailure) -> u64 {
        self.send_failed[failure as usize]
    }

    /// Returns the number of datagrams forwarded, of every kind.
    pub fn forwarded_all(&self) -> u64 {
        self.forwarded.iter().sum()
    }

    /// Returns the number of responses forwarded.
    pub fn responses(&self) -> u64 {
        self.of(Verdict::Forwarded(Forwarded::Response))
            + self.of(Verdict::Forwarded(Forwarded::ViaParameterLost))
    }

    /// Returns the number of datagrams that we answered.
    pub fn answered_all(&self) -> u64 {
        self.answered.iter().sum()
    }

    /// Returns the number of datagrams dropped, for every reason.
    pub fn dropped_all(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Returns the number of messages not sent, for every reason.
    pub fn send_failed_all(&self) -> u64 {
        self.send_failed.iter().sum()
    }

    /// Returns how far the law is violated: 0 whenever no datagram is being handled.
    pub fn unaccounted(&self) -> i128 {
        let ends =
            self.forwarded_all() + self.answered_all() + self.dropped_all() + self.handed_over;
        i128::from(self.received + self.taken_over) - i128::from(ends)
    }

    /// Returns every counter with its name, zeros included: `received`, `forwarded.pinned`,
    /// `dropped.stun` ….
    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        fn group<'a, T: Copy>(
            name: &'static str,
            all: &'static [T],
            label: fn(T) -> &'static str,
            values: &'a [u64],
        ) -> impl Iterator<Item = (String, u64)> + 'a {
            let names = all.iter().map(move |member| format!("{name}.{}", label(*member)));
            names.zip(values.iter().copied())
        }
        // With one worker, its share is the total.
        let by_worker = self.received_by_worker.iter().copied().enumerate();
        let by_worker = by_worker
            .filter(|_| self.received_by_worker.len() > 1)
            .map(|(number, value)| (format!("received.worker.{number}"), value));
        let plain = [
            ("received", self.received),
            ("received_bytes", self.received_bytes),
            ("receive_failed", self.receive_failed),
            ("socket_drops", self.socket_drops),
            ("handed_over", self.handed_over),
            ("taken_over", self.taken_over),
            ("sent.forward", self.sent_forward),
            ("sent.answer", self.sent_answer),
            ("sent.transaction", self.sent_transaction),
            ("send_retried", self.send_retried),
            ("pins_evicted_final", self.pins.evicted_final),
            ("pins_evicted_live", self.pins.evicted_live),
            ("pins_contended", self.pins.contended),
            ("calls.in_progress", self.calls.in_progress),
            ("calls.given_up", self.calls.given_up),
            ("calls.table_full", self.calls.table_full),
            ("transactions.begun", self.transactions.begun),
            ("transactions.live", self.transactions.live),
            ("transactions.no_room", self.transactions.no_room),
            ("transactions.further_tries", self.transactions.further_tries),
            ("transactions.over_budget", self.transactions.over_budget),
            ("transactions.none_left", self.transactions.none_left),
            ("transactions.repeated", self.transactions.repeated),
            ("transactions.cancels", self.transactions.cancels),
            ("source_rates.table_full", self.source_rates_full),
            ("emergency.passed", self.emergencies_passed),
            ("emergency.over_ceiling", self.emergencies_over_ceiling),
            ("icmp.proven", self.icmp_proven),
            ("icmp.unproven", self.icmp_unproven),
            ("icmp.other", self.icmp_other),
            ("sightings_lost", self.sightings_lost),
            ("probes.sent", self.watch.probes_sent),
            ("probes.repeated", self.watch.probes_repeated),
            ("probes.answered", self.watch.probes_answered),
            ("probes.unanswered", self.watch.probes_unanswered),
            ("probes.late", self.watch.answers_late),
            ("probes.contradicted", self.watch.probes_contradicted),
            ("state_changes", self.watch.changes),
            ("capture.armed", self.capture_armed),
            ("capture.recorded", self.capture_recorded),
            ("capture.lost", self.capture_lost),
            ("hep.sent", self.hep_sent),
            ("hep.lost", self.hep_lost),
            ("log_lost", self.log_lost),
            ("events_lost", self.events_lost),
            ("worker_restarts", self.worker_restarts),
            ("draining", self.draining.into()),
        ];
        plain
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(by_worker)
            .chain(group("tries", &Left::LABELS, |label| label, &self.transactions.left))
            .chain(group("forwarded", Forwarded::ALL, Forwarded::label, &self.forwarded))
            .chain(group("answered", Answer::ALL, Answer::label, &self.answered))
            .chain(group("dropped", Reason::ALL, Reason::label, &self.dropped))
            .chain(group("send_failed", SendFailure::ALL, SendFailure::label, &self.send_failed))
    }

    fn add(&mut self, stats: &WorkerStats) {
        let c = &stats.counters;
        self.received_by_worker.push(c.received.get());
        let single = [
            (&mut self.received, &c.received),
            (&mut self.received_bytes, &c.received_bytes),
            (&mut self.receive_failed, &c.receive_failed),
            (&mut self.handed_over, &c.handed_over),
            (&mut self.taken_over, &c.taken_over),
            (&mut self.sent_forward, &c.sent_forward),
            (&mut self.sent_answer, &c.sent_answer),
            (&mut self.sent_transaction, &c.sent_transaction),
            (&mut self.send_retried, &c.send_retried),
            (&mut self.worker_restarts, &c.restarts),
            (&mut self.icmp_proven, &c.reports_proven),
            (&mut self.icmp_unproven, &c.reports_unproven),
            (&mut self.icmp_other, &c.reports_other),
        ];
        for (sum, counter) in single {
            *sum += counter.get();
        }
        add_each(&mut self.forwarded, &c.forwarded);
        add_each(&mut self.answered, &c.answered);
        add_each(&mut self.dropped, &c.dropped);
        add_each(&mut self.send_failed, &c.send_failed);
    }
}

impl<S: Borrow<WorkerStats>> FromIterator<S> for Totals {
    fn from_iter<I: IntoIterator<Item = S>>(workers: I) -> Self {
        let mut totals = Self::default();
        for stats in workers {
            totals.add(stats.borrow());
        }
        totals
    }
}

fn add_each(sums: &mut [u64], counters: &[Counter]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each counter is documented under its one name, and nothing else is.
    #[test]
    fn counters_are_documented() {
        let documented: Vec<_> = include_str!("../../docs/counters.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name))
            .filter(|name| *name != "received.worker.N")
            .collect();
        let totals = Totals::default();
        let mut names: Vec<_> = totals.iter().map(|(name, _)| name).collect();
        for name in &names {
            let times = documented.iter().filter(|known| *known == name).count();
            assert_eq!(times, 1, "{name} in docs/counters.md");
        }
        let stranger = documented.iter().find(|known| !names.iter().any(|name| name == *known));
        assert_eq!(stranger, None, "docs/counters.md");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), documented.len(), "a name stands for two counters");
    }
}
