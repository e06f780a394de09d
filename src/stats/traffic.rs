//! What happens at each destination: counted by the workers without a lock, read by who watches the
//! destinations.
//!
//! Each worker has one cache line for each slot, which it alone writes. Who made the calls that failed
//! stands apart, and is written only when a call fails. The memory is mapped and not touched: a slot
//! without traffic costs nothing.
//!
//! The numbers only grow, also when a slot is given to another destination, so a reader takes
//! differences ([`SlotTraffic::since`]). Who starts to watch a destination looks once and counts from
//! there. What is late for the destination that had the slot before cannot follow: a slot is given
//! away long after the last response that counts for it.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use super::answers::{self, SlotAnswers};
use crate::destination::Slot;
use crate::limits::SLOTS_MAX;
use crate::message::Method;
use crate::pin::is_destination;
use crate::proxy::{Dispatched, Event, Heard};
use crate::sync::{AtomicU64, Ordering};

/// The traffic of all destinations, by worker.
pub struct Traffic {
    /// For each worker a line for each slot; then for each worker the failed calls of each slot;
    /// then a line for each worker; then for each worker the answers of each slot.
    words: Box<dyn Deref<Target = [AtomicU64]> + Send + Sync>,
    workers: usize,
}

/// What was counted for one slot until some moment, by all workers together. Its numbers wrap.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SlotTraffic {
    /// New requests that were sent to it. Copies, and requests in a dialog, are not counted.
    pub requests: u64,
    /// INVITEs among them.
    pub calls: u64,
    /// How many of the requests have had a response, provisional or final.
    pub answered: u64,
    /// How many of the calls have had a response.
    pub calls_answered: u64,
    /// Responses of every kind, copies included, to requests in a dialog, too.
    pub heard: u64,
    /// Calls that were answered with 503.
    pub busy: u32,
    /// Calls that were answered with another 5xx.
    pub failed: u32,
    /// The time from a call to its first response, summed over `calls_answered`, in milliseconds.
    pub answer_ms: u64,
    /// The addresses that requests came from since it was last heard: each sets one of 64 bits. Not
    /// a number: differences leave it as it is.
    pub sources: u64,
}

/// Whose calls failed, each caller and each called number sets one of 64 bits, and what the responses
/// said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FailedCalls {
    /// The callers.
    pub callers: u64,
    /// The called numbers.
    pub numbers: u64,
    /// The longest Retry-After of those that failed with 503, in seconds, at least 1.
    pub retry_after_s: Option<u32>,
}

impl Traffic {
    /// Returns how many words of memory are needed for this many workers.
    pub const fn words_for(workers: usize) -> usize {
        workers * (SLOTS_MAX * (LINE_WORDS + FAILED_WORDS + answers::WORDS) + LINE_WORDS)
    }

    /// Creates the counters in this memory, which must be zero.
    ///
    /// # Panics
    /// If there is less memory than [`Traffic::words_for`] says.
    pub fn new(
        words: impl Deref<Target = [AtomicU64]> + Send + Sync + 'static,
        workers: usize,
    ) -> Self {
        assert!(words.len() >= Self::words_for(workers));
        Self { words: Box::new(words), workers }
    }

    /// Counts what a worker's core told. Only the worker with this number calls it.
    #[inline]
    pub fn count(&self, worker: usize, event: &Event<'_>) {
        match event {
            Event::Dispatched(dispatched) => self.count_request(worker, dispatched),
            Event::Heard(heard) => self.count_response(worker, heard),
            Event::Left(_) | Event::ProbeAnswered(_) => {}
        }
    }

    /// Returns what all workers counted for this slot until now.
    pub fn of(&self, slot: Slot) -> SlotTraffic {
        let mut sum = SlotTraffic::default();
        for worker in 0..self.workers {
            let Some(line) = self.line(worker, slot) else { break };
            let get = |word: usize| line[word].load(Ordering::Relaxed);
            let failures = get(FAILURES);
            sum.add(&SlotTraffic {
                requests: get(REQUESTS),
                calls: get(CALLS),
                answered: get(ANSWERED),
                calls_answered: get(CALLS_ANSWERED),
                heard: get(HEARD),
                busy: failures as u32,
                failed: (failures >> 32) as u32,
                answer_ms: get(ANSWER_MS),
                sources: get(SOURCES),
            });
        }
        sum
    }

    /// Returns how the destination with this slot answered until now.
    pub fn answers(&self, slot: Slot) -> SlotAnswers {
        let mut sum = SlotAnswers::default();
        let all = (0..self.workers).map_while(|worker| self.answers_of(worker, slot));
        all.for_each(|words| answers::add_to(&mut sum, words));
        sum
    }

    /// Forgets the sources of this slot at all workers: the destination was heard, or the slot has
    /// another one. A worker that hears it forgets only its own.
    pub fn forget_sources(&self, slot: Slot) {
        for worker in 0..self.workers {
            let Some(line) = self.line(worker, slot) else { break };
            if line[SOURCES].load(Ordering::Relaxed) != 0 {
                line[SOURCES].store(0, Ordering::Relaxed);
            }
        }
    }

    /// Returns whose calls failed at this destination since the last call of this function.
    pub fn take_failed(&self, slot: Slot) -> FailedCalls {
        let mut all = FailedCalls::default();
        for worker in 0..self.workers {
            let Some(words) = self.failed(worker, slot) else { break };
            all.callers |= take(&words[CALLERS]);
            all.numbers |= take(&words[NUMBERS]);
            let retry_after_s = u32::try_from(take(&words[RETRY_AFTER])).ok();
            all.retry_after_s = all.retry_after_s.max(retry_after_s.filter(|s| *s > 0));
        }
        all
    }

    /// Returns the addresses that requests came from since the last call of this function, to
    /// whatever destination: each sets one of 64 bits.
    pub fn take_senders(&self) -> u64 {
        (0..self.workers).fold(0, |all, worker| all | take(self.senders(worker)))
    }

    #[inline]
    fn count_request(&self, worker: usize, dispatched: &Dispatched<'_>) {
        let Some(line) = self.line(worker, dispatched.slot) else { return };
        add(&line[REQUESTS], 1);
        add(&line[CALLS], u64::from(dispatched.is_invite));
        let bit = source_bit(dispatched.source);
        let sources = line[SOURCES].load(Ordering::Relaxed);
        line[SOURCES].store(sources | bit, Ordering::Relaxed);
        set(self.senders(worker), bit);
    }

    #[inline]
    fn count_response(&self, worker: usize, heard: &Heard) {
        let Some(line) = self.line(worker, heard.slot) else { return };
        if let Some(words) = self.answers_of(worker, heard.slot) {
            answers::count(words, heard);
        }
        add(&line[HEARD], 1);
        if line[SOURCES].load(Ordering::Relaxed) != 0 {
            line[SOURCES].store(0, Ordering::Relaxed);
        }
        let is_call = heard.method == Method::Invite;
        if heard.is_first {
            add(&line[ANSWERED], 1);
            if let Some(age_ms) = heard.age_ms.filter(|_| is_call) {
                add(&line[ANSWER_MS], u64::from(age_ms));
                add(&line[CALLS_ANSWERED], 1);
            }
        }
        if heard.is_failed_call() {
            self.count_failed(worker, heard);
            let failures = line[FAILURES].load(Ordering::Relaxed);
            let (busy, failed) = (failures as u32, (failures >> 32) as u32);
            let is_busy = heard.code == 503;
            let busy = busy.wrapping_add(u32::from(is_busy));
            let failed = failed.wrapping_add(u32::from(!is_busy));
            line[FAILURES].store(u64::from(failed) << 32 | u64::from(busy), Ordering::Relaxed);
        }
    }

    #[cold]
    fn count_failed(&self, worker: usize, heard: &Heard) {
        let (Some(words), Some(call)) = (self.failed(worker, heard.slot), heard.failed) else {
            return;
        };
        set(&words[CALLERS], 1 << (call.caller % 64));
        set(&words[NUMBERS], 1 << (call.number % 64));
        if let Some(seconds) = heard.retry_after_s {
            // The reader writes, too, so this is one step.
            words[RETRY_AFTER].fetch_max(u64::from(seconds.max(1)), Ordering::Relaxed);
        }
    }

    /// Returns the words of the failed calls of a slot; `None` for a reserved number.
    fn failed(&self, worker: usize, slot: Slot) -> Option<&[AtomicU64; FAILED_WORDS]> {
        self.words_of(self.workers * SLOTS_MAX * LINE_WORDS, worker, slot)
    }

    /// Returns the words of the answers of a slot; `None` for a reserved number.
    #[inline]
    fn answers_of(&self, worker: usize, slot: Slot) -> Option<&answers::Words> {
        let start = self.workers * (SLOTS_MAX * (LINE_WORDS + FAILED_WORDS) + LINE_WORDS);
        self.words_of(start, worker, slot)
    }

    #[inline]
    fn senders(&self, worker: usize) -> &AtomicU64 {
        let start = self.workers * SLOTS_MAX * (LINE_WORDS + FAILED_WORDS);
        &self.words[start + worker * LINE_WORDS]
    }

    /// Returns the line of a slot; `None` for a reserved number.
    #[inline]
    fn line(&self, worker: usize, slot: Slot) -> Option<&[AtomicU64; LINE_WORDS]> {
        self.words_of(0, worker, slot)
    }

    /// Returns the words of a slot in the part that begins at `start` and has `N` words for each slot of
    /// each worker; `None` for a reserved number.
    #[inline]
    fn words_of<const N: usize>(
        &self,
        start: usize,
        worker: usize,
        slot: Slot,
    ) -> Option<&[AtomicU64; N]> {
        if !is_destination(slot) || worker >= self.workers {
            return None;
        }
        let at = (worker * SLOTS_MAX + usize::from(slot.0)) * N;
        self.words[start + at..].first_chunk()
    }
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traffic").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl SlotTraffic {
    /// Adds what was counted by another worker, or for another slot.
    pub const fn add(&mut self, other: &Self) {
        self.requests = self.requests.wrapping_add(other.requests);
        self.calls = self.calls.wrapping_add(other.calls);
        self.answered = self.answered.wrapping_add(other.answered);
        self.calls_answered = self.calls_answered.wrapping_add(other.calls_answered);
        self.heard = self.heard.wrapping_add(other.heard);
        self.busy = self.busy.wrapping_add(other.busy);
        self.failed = self.failed.wrapping_add(other.failed);
        self.answer_ms = self.answer_ms.wrapping_add(other.answer_ms);
        self.sources |= other.sources;
    }

    /// Returns what was counted after `before`, an earlier look at the same slot.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            requests: self.requests.wrapping_sub(before.requests),
            calls: self.calls.wrapping_sub(before.calls),
            answered: self.answered.wrapping_sub(before.answered),
            calls_answered: self.calls_answered.wrapping_sub(before.calls_answered),
            heard: self.heard.wrapping_sub(before.heard),
            busy: self.busy.wrapping_sub(before.busy),
            failed: self.failed.wrapping_sub(before.failed),
            answer_ms: self.answer_ms.wrapping_sub(before.answer_ms),
            sources: self.sources,
        }
    }
}

/// Words of one line: one cache line.
const LINE_WORDS: usize = 8;

// What each word counts.
const REQUESTS: usize = 0;
const CALLS: usize = 1;
const ANSWERED: usize = 2;
const CALLS_ANSWERED: usize = 3;
const HEARD: usize = 4;
/// The calls answered with 503 in the low half, with another 5xx in the high half.
const FAILURES: usize = 5;
const ANSWER_MS: usize = 6;
/// A worker and who forgets may both write it. If a write is lost, a bit of an earlier time stays
/// until the next response, or one request's bit is missing.
const SOURCES: usize = 7;

/// Words of the failed calls of one slot.
const FAILED_WORDS: usize = 3;
const CALLERS: usize = 0;
const NUMBERS: usize = 1;
const RETRY_AFTER: usize = 2;

// The lines of two workers share no cache line.
const _: () = assert!((SLOTS_MAX * FAILED_WORDS).is_multiple_of(LINE_WORDS));

/// Sets a bit that the reader takes.
#[inline]
fn set(word: &AtomicU64, bit: u64) {
    // Nearly always it is set already, and then the line stays where it is. Relaxed: a bit orders
    // nothing. The reader writes, too, so this is one step.
    if word.load(Ordering::Relaxed) & bit == 0 {
        word.fetch_or(bit, Ordering::Relaxed);
    }
}

/// Takes all bits.
fn take(word: &AtomicU64) -> u64 {
    // A word without bits may be on a page that was never touched.
    if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::Relaxed) }
}

#[inline]
pub(super) fn add(word: &AtomicU64, n: u64) {
    // Only one thread writes, so nothing is lost between load and store. Relaxed: numbers, which
    // order nothing.
    word.store(word.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// Returns the bit of an address, without its port: one sender has many ports, and over IPv6 many
/// addresses of one network, so only the first 64 bits count there.
fn source_bit(source: SocketAddr) -> u64 {
    let number = match source.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    };
    // Neighbouring addresses get different bits: the golden ratio's fraction.
    1 << (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    use crate::proxy::FailedCall;

    const SLOT: Slot = Slot(7);

    fn traffic(workers: usize) -> Traffic {
        let words: Vec<_> = (0..Traffic::words_for(workers)).map(|_| AtomicU64::new(0)).collect();
        Traffic::new(words, workers)
    }

    fn request(slot: Slot, source: &str, is_invite: bool) -> Event<'static> {
        Event::Dispatched(Dispatched {
            method: b"",
            request_uri: b"",
            from: b"",
            to: b"",
            call_id: b"",
            destination: "",
            slot,
            source: source.parse().unwrap(),
            is_invite,
        })
    }

    fn response(code: u16, (is_first, is_final): (bool, bool)) -> Heard {
        Heard {
            slot: SLOT,
            method: Method::Invite,
            code,
            is_first,
            is_final,
            age_ms: Some(20),
            retry_after_s: None,
            failed: None,
        }
    }

    #[test]
    fn what_each_event_counts() {
        let nothing = SlotTraffic::default();
        let heard = SlotTraffic { heard: 1, ..nothing };
        let answered = SlotTraffic { answered: 1, calls_answered: 1, answer_ms: 20, ..heard };
        let bit = source_bit("192.0.2.1:1".parse().unwrap());
        let call = SlotTraffic { requests: 1, calls: 1, sources: bit, ..nothing };
        let options = Method::Options;
        let rows = [
            ("a call", request(SLOT, "192.0.2.1:1", true), call),
            ("a request", request(SLOT, "192.0.2.1:2", false), SlotTraffic { calls: 0, ..call }),
            ("a first 100", Event::Heard(response(100, (true, false))), answered),
            ("a 180 after it", Event::Heard(response(180, (false, false))), heard),
            ("a 200 after it", Event::Heard(response(200, (false, true))), heard),
            ("a copy of a 503", Event::Heard(response(503, (false, false))), heard),
            ("a 503", Event::Heard(response(503, (false, true))), SlotTraffic { busy: 1, ..heard }),
            (
                "a 500 at once",
                Event::Heard(response(500, (true, true))),
                SlotTraffic { failed: 1, ..answered },
            ),
            (
                "a 599",
                Event::Heard(response(599, (false, true))),
                SlotTraffic { failed: 1, ..heard },
            ),
            ("a 499", Event::Heard(response(499, (false, true))), heard),
            ("a 600", Event::Heard(response(600, (false, true))), heard),
            (
                "a 500 to an OPTIONS",
                Event::Heard(Heard { method: options, ..response(500, (true, true)) }),
                SlotTraffic { answered: 1, ..heard },
            ),
            (
                "an answer to a request of unknown age",
                Event::Heard(Heard { age_ms: None, ..response(200, (true, true)) }),
                SlotTraffic { answered: 1, ..heard },
            ),
        ];
        for (says, event, wants) in rows {
            let traffic = traffic(1);
            traffic.count(0, &event);
            assert_eq!(traffic.of(SLOT), wants, "{says}");
            assert_eq!(traffic.of(Slot(6)), nothing, "{says}");
            assert_eq!(traffic.of(Slot(8)), nothing, "{says}");
        }
    }

    #[test]
    fn workers_count_apart_and_are_added_up() {
        let traffic = traffic(3);
        for worker in 0..3 {
            for _ in 0..=worker {
                traffic.count(worker, &request(SLOT, "192.0.2.1:1", true));
                traffic.count(worker, &Event::Heard(response(503, (true, true))));
                traffic.count(worker, &Event::Heard(response(500, (true, true))));
            }
        }
        let all = traffic.of(SLOT);
        assert_eq!((all.requests, all.heard, all.busy, all.failed), (6, 12, 6, 6));
        traffic.count(2, &request(Slot(SLOTS_MAX as u16 - 1), "192.0.2.1:1", true));
        traffic.count(2, &request(Slot(SLOTS_MAX as u16), "192.0.2.1:1", true));
        assert_eq!(traffic.of(Slot(SLOTS_MAX as u16 - 1)).requests, 1);
        assert_eq!(traffic.of(Slot(SLOTS_MAX as u16)), SlotTraffic::default());
        assert_eq!(traffic.of(SLOT).since(&all), SlotTraffic { sources: 0, ..Default::default() });
    }

    #[test]
    fn answers_are_added_up_over_workers() {
        let traffic = traffic(2);
        let last = Slot(SLOTS_MAX as u16 - 1);
        for (worker, slot) in [(0, SLOT), (1, SLOT), (1, Slot(0)), (1, last)] {
            let heard = Heard { slot, ..response(200, (true, true)) };
            traffic.count(worker, &Event::Heard(heard));
        }
        for (slot, wants) in [(SLOT, 2), (Slot(0), 1), (Slot(6), 0), (last, 1)] {
            let answers = traffic.answers(slot);
            assert_eq!((answers.classes[1], answers.last.count()), (wants, wants), "{slot:?}");
            assert_eq!(answers.first.sum_ms, 20 * wants);
        }
        assert_eq!(traffic.answers(Slot(SLOTS_MAX as u16)), SlotAnswers::default());
        assert_eq!(traffic.take_senders(), 0);
        assert_eq!(traffic.take_failed(last), FailedCalls::default());
    }

    #[test]
    fn a_difference_survives_the_wrap() {
        let traffic = traffic(1);
        let line = traffic.line(0, SLOT).unwrap();
        line[FAILURES].store(u64::from(u32::MAX) << 32 | u64::from(u32::MAX), Ordering::Relaxed);
        line[HEARD].store(u64::MAX, Ordering::Relaxed);
        let before = traffic.of(SLOT);
        traffic.count(0, &Event::Heard(response(503, (false, true))));
        traffic.count(0, &Event::Heard(response(500, (false, true))));
        let since = traffic.of(SLOT).since(&before);
        assert_eq!((since.heard, since.busy, since.failed), (2, 1, 1));
    }

    #[test]
    fn whose_calls_failed() {
        let traffic = traffic(2);
        let call = |caller, number| Some(FailedCall { caller, number });
        let failed =
            |code, call| Event::Heard(Heard { failed: call, ..response(code, (true, true)) });
        traffic.count(0, &failed(500, call(65, 2)));
        traffic.count(0, &failed(503, call(1, 3)));
        traffic.count(1, &failed(503, call(63, 3)));
        traffic.count(1, &failed(503, None));
        traffic.count(1, &failed(486, call(7, 7)));
        traffic
            .count(1, &Event::Heard(Heard { failed: call(7, 7), ..response(503, (true, false)) }));
        assert_eq!(traffic.take_failed(Slot(6)), FailedCalls::default());
        let wants =
            FailedCalls { callers: 1 << 63 | 0b10, numbers: 0b1100, ..FailedCalls::default() };
        assert_eq!(traffic.take_failed(SLOT), wants);
        assert_eq!(traffic.take_failed(SLOT), FailedCalls::default());
        // Those of the last slot of each worker are neither the first's nor another's.
        let last = Slot(SLOTS_MAX as u16 - 1);
        for worker in [0, 1] {
            let heard = Heard { slot: last, ..response(503, (true, true)) };
            let failed = call(worker, 10 + worker);
            traffic.count(worker as usize, &Event::Heard(Heard { failed, ..heard }));
        }
        assert_eq!(traffic.take_senders(), 0);
        assert_eq!(traffic.take_failed(Slot(0)), FailedCalls::default());
        let wants = FailedCalls { callers: 0b11, numbers: 0b11 << 10, ..FailedCalls::default() };
        assert_eq!(traffic.take_failed(last), wants);
    }

    #[test]
    fn the_longest_retry_after_since_the_last_look() {
        let traffic = traffic(2);
        let refuse = |worker, retry_after_s| {
            let failed = Some(FailedCall { caller: 1, number: 1 });
            let heard = Heard { retry_after_s, failed, ..response(503, (true, true)) };
            traffic.count(worker, &Event::Heard(heard));
            traffic.take_failed(SLOT).retry_after_s
        };
        for (seconds, wants) in [(None, None), (Some(7), Some(7)), (None, None), (Some(0), Some(1))]
        {
            assert_eq!(refuse(0, seconds), wants);
        }
        let heard = Heard {
            failed: Some(FailedCall { caller: 1, number: 1 }),
            ..response(503, (true, true))
        };
        for (worker, seconds) in [(0, 5), (1, 9), (0, 8), (1, 2)] {
            let heard = Heard { retry_after_s: Some(seconds), ..heard };
            traffic.count(worker, &Event::Heard(heard));
        }
        traffic.count(0, &Event::Heard(heard));
        assert_eq!(traffic.take_failed(SLOT).retry_after_s, Some(9));
    }

    #[test]
    fn senders_are_those_of_all_slots() {
        let traffic = traffic(2);
        let bit = |source: &str| source_bit(source.parse().unwrap());
        traffic.count(0, &request(SLOT, "192.0.2.1:1", true));
        traffic.count(0, &request(Slot(9), "192.0.2.1:2", true));
        traffic.count(1, &request(SLOT, "192.0.2.2:1", false));
        // Heard or not.
        traffic.count(1, &Event::Heard(response(200, (true, true))));
        assert_eq!(traffic.take_senders(), bit("192.0.2.1:1") | bit("192.0.2.2:1"));
        assert_eq!(traffic.take_senders(), 0);
        traffic.count(1, &request(SLOT, "192.0.2.2:1", false));
        assert_eq!(traffic.take_senders(), bit("192.0.2.2:1"));
    }

    #[test]
    fn sources_are_those_since_it_was_last_heard() {
        let traffic = traffic(2);
        let many = |worker| {
            for host in 0..200 {
                traffic.count(worker, &request(SLOT, &format!("192.0.2.{host}:5060"), true));
            }
        };
        many(0);
        assert!(traffic.of(SLOT).sources.count_ones() > 40);
        for port in 1..100 {
            traffic.count(1, &request(Slot(9), &format!("192.0.2.1:{port}"), true));
            traffic.count(1, &request(Slot(9), &format!("[2001:db8::{port}]:5060"), true));
        }
        assert_eq!(traffic.of(Slot(9)).sources.count_ones(), 2, "two senders");
        many(1);
        traffic.count(0, &Event::Heard(response(200, (false, false))));
        assert!(traffic.of(SLOT).sources != 0, "those of the other worker");
        traffic.forget_sources(SLOT);
        assert_eq!(traffic.of(SLOT).sources, 0);
        assert_eq!(traffic.of(SLOT).requests, 400);
        assert_ne!(traffic.of(Slot(9)).sources, 0);
    }
}
