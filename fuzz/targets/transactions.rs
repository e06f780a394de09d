//! What must hold of what transactions send by themselves, and of their end.

use strowger::message::{Message, Method, StartLine};
use strowger::proxy::{Cause, Forwarded, Proxy};

use super::call::branch;
use super::naive::Parts;
use super::relay::{GROWTH_MAX, Relay, Sent, Way, shown};

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

    /// Remembers a request that got a transaction.
    pub(super) fn begin(&mut self, way: Way, bytes: &[u8], sent: &Sent) {
        self.begun.insert(common(&sent.bytes), (bytes.to_vec(), way));
    }

    /// Whether this request, or one with the same branch, has or had a transaction.
    pub(super) fn has_begun(&self, sent: &Sent) -> bool {
        self.begun.contains_key(&common(&sent.bytes))
    }

    /// Does what is due now.
    pub(crate) fn expire(&mut self) {
        for worker in 0..self.workers.len() {
            for step in 0.. {
                assert!(step < STEPS_MAX, "something is always due");
                let Some(all) = self.expire_at(worker) else { break };
                for (cause, sent) in all {
                    assert_eq!(cause, Cause::Transaction);
                    self.assert_of_transaction(None, sent);
                }
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
        self.workers[worker].reset();
    }

    /// To a caller: a 100 or a final response. To a destination: the request as any other that is
    /// forwarded, or what belongs to it.
    pub(super) fn assert_of_transaction(&mut self, way: Option<Way>, sent: Sent) {
        let Sent { to, listener, bytes } = &sent;
        assert_eq!(self.shared.listeners.get(*listener).local.is_ipv4(), to.is_ipv4());
        assert!(!self.is_ours(*to), "{to} is our own");
        let message = Message::read(bytes);
        assert_eq!(message.fault, None, "{}", bytes.escape_ascii());
        if let StartLine::Response { code } = message.start_line {
            let has_asked = way.is_some_and(|way| way.peer.ip() == to.ip());
            assert!(has_asked || self.callers.contains(to), "{to} has asked nothing");
            assert!(code == 100 || code >= 200, "{code}");
            return;
        }
        assert!(self.destinations.contains(to), "{to} was never listed");
        let origin = self.begun.get(&common(bytes)).expect("a request that had a transaction");
        let (request, way) = origin.clone();
        if matches!(message.method, Method::Ack | Method::Cancel) {
            let parts = Parts::of(bytes);
            assert_eq!((parts.all("via").len(), parts.body.len()), (1, 0));
            return;
        }
        assert!(bytes.len() <= request.len() + GROWTH_MAX);
        if let Err(difference) = self.check_request(way, &request, Forwarded::Chosen, &sent) {
            panic!("{difference}{}", shown(&request, bytes));
        }
        if self.tries.iter().all(|(_, other)| branch(&other.bytes) != branch(bytes)) {
            self.tries.push(((request, way), sent));
        }
    }
}

/// What the branches of all tries have in common: the last digit is the number of the try.
fn common(bytes: &[u8]) -> Vec<u8> {
    let mut branch = branch(bytes);
    branch.pop();
    branch
}
