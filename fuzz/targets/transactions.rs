//! The time of transactions, their further tries and their end.

use strowger::proxy::Proxy;

use super::relay::{Relay, Sent};

/// More than what any number of timers and lost destinations make due at one moment.
const STEPS_MAX: usize = 1_000;
/// The last try begins within 18 s, rings for 185 s, and has 32 s to confirm its CANCEL; the caller has
/// 32 s to acknowledge the answer.
const LIFE_MS: u64 = 270_000;

impl Relay {
    /// How many transactions there are.
    pub(super) fn live(&self) -> usize {
        self.workers.iter().map(|worker| worker.transactions().0).sum()
    }

    /// Whether this request, or one with the same branch, has or had a transaction.
    pub(super) fn has_begun(&self, sent: &Sent) -> bool {
        self.law.origin(&sent.bytes).is_some()
    }

    /// Does what is due now.
    pub(crate) fn expire(&mut self) {
        for worker in 0..self.workers.len() {
            for step in 0.. {
                assert!(step < STEPS_MAX, "something is always due");
                let Some(sent) = self.expire_at(worker) else { break };
                let judged = self.law.judge_due(&self.snapshot, &sent);
                judged.unwrap_or_else(|what| panic!("{what}"));
                self.note_tries(sent);
            }
            let due = self.workers[worker].next_deadline();
            assert!(due.is_none_or(|due| due > self.now), "{due:?} is past");
        }
    }

    /// Lets the time pass until every transaction has ended.
    pub(crate) fn settle(&mut self) {
        let end = self.now.plus_ms(LIFE_MS);
        let next = |relay: &Self| relay.workers.iter().filter_map(Proxy::next_deadline).min();
        while let Some(due) = next(self) {
            assert!(due <= end, "a transaction goes on");
            self.now = due.max(self.now);
            self.expire();
        }
        for worker in &self.workers {
            assert_eq!(worker.transactions(), (0, 0), "transactions, and blocks of memory");
        }
    }

    /// The network says that this message could not be delivered.
    pub(crate) fn unreachable(&mut self, worker: usize, sent: &Sent) {
        const ECONNREFUSED: i32 = 111;
        let Self { now, snapshot, workers, .. } = self;
        let mut report =
            |at: usize| workers[at].send_failed(*now, snapshot, sent.to, ECONNREFUSED, &sent.bytes);
        // As the worker does that gets a report of another one's try.
        if let Some(owner) = report(worker).and_then(|report| report.owner) {
            report(owner.into());
        }
        self.expire();
    }

    /// A worker has panicked.
    pub(crate) fn reset(&mut self, worker: usize) {
        self.workers[worker].restart();
    }

    /// Remembers the further tries among what transactions have sent.
    pub(super) fn note_tries(&mut self, sent: Vec<Sent>) {
        for sent in sent {
            let is_try = !["SIP/2.0 ", "ACK ", "CANCEL "]
                .iter()
                .any(|other| sent.bytes.starts_with(other.as_bytes()));
            let is_known = || self.tries.iter().any(|(_, other)| other.branch() == sent.branch());
            if is_try && !is_known() {
                let origin = self.law.origin(&sent.bytes).expect("by the law");
                self.tries.push((origin.clone(), sent));
            }
        }
    }
}
