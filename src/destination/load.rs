//! How busy a destination or a set is, and the limits of it.
//!
//! The numbers stand beside the snapshot: they are kept over reloads, and a slot that is given to
//! another destination starts with new ones. The limits are part of the snapshot.
//!
//! A rate is counted by the generic cell rate algorithm. One word holds the time at which the burst is
//! whole again, and each call moves it on by one interval. A call conforms if the word is less than a
//! burst ahead of now.

use super::{Budget, Overload};
use crate::clock::Now;
use crate::sync::{AtomicU64, Ordering};

/// The limits of a destination or a set. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Limits {
    /// New calls per second.
    pub calls_per_second: u32,
    /// How many calls may come at once; 0 is [`default_burst`].
    pub burst: u32,
    /// Calls in progress.
    pub calls_max: u32,
}

/// Which limit refuses a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Over {
    /// Calls per second.
    Rate,
    /// Calls per second from this source.
    SourceRate,
    /// The same: there is no room to count them.
    SourcesFull,
    /// Calls in progress.
    Calls,
    /// It is overloaded, and asks for less.
    Overload,
}

/// How busy a destination or a set is.
#[derive(Debug, Default)]
pub struct Load {
    /// When the burst is whole again, in nanoseconds of our clock.
    whole_ns: AtomicU64,
    /// Calls in progress, if they are counted.
    calls: AtomicU64,
    /// Tries of a stateful set.
    tries: Budget,
    /// How much less a destination asks for.
    overload: Overload,
    /// How long it takes to answer, in microseconds; 0 if that is not known.
    answer_us: AtomicU64,
    /// What its latency takes from its priority, in milliseconds.
    late_ms: AtomicU64,
    /// When it came back after it could not be chosen, in milliseconds of our clock; 0 is never.
    back_since_ms: AtomicU64,
}

/// The result of one look at a rate.
struct Step {
    /// The word if the call is taken.
    next_ns: u64,
    conforms: bool,
}

impl Limits {
    /// Returns whether there is any.
    pub fn is_any(self) -> bool {
        self.calls_per_second > 0 || self.calls_max > 0
    }

    /// Returns the same without the limit of new calls per second.
    #[must_use]
    pub fn without_rate(self) -> Self {
        Self { calls_per_second: 0, ..self }
    }

    /// Returns the nanoseconds of one call, rounded up, so that the rate is never exceeded.
    fn interval_ns(self) -> u64 {
        NS_PER_S.div_ceil(u64::from(self.calls_per_second))
    }

    /// Returns how far ahead of now the word may be for a call to conform.
    fn ahead_max_ns(self) -> u64 {
        u64::from(self.burst_in_force() - 1) * self.interval_ns()
    }

    /// Returns how many calls may come at once.
    pub(super) fn burst_in_force(self) -> u32 {
        let burst = if self.burst == 0 { default_burst(self.calls_per_second) } else { self.burst };
        // The clock ticks in milliseconds. A smaller burst would lower the rate.
        burst.max(self.calls_per_second.div_ceil(1_000))
    }
}

/// Returns the burst of a rate for which none is configured: the calls of a tenth of a second.
pub const fn default_burst(calls_per_second: u32) -> u32 {
    calls_per_second.div_ceil(10)
}

impl Load {
    /// Takes one call if these limits allow it. If calls in progress are counted, it is one of them
    /// until [`Load::end_call`].
    pub fn take(&self, now: Now, limits: Limits, is_counted: bool) -> Result<(), Over> {
        if is_counted && !self.begin_call(limits.calls_max) {
            return Err(Over::Calls);
        }
        let taken = self.take_turn(now, limits);
        if taken.is_err() && is_counted {
            self.end_call();
        }
        taken
    }

    fn take_turn(&self, now: Now, limits: Limits) -> Result<(), Over> {
        if limits.calls_per_second == 0 {
            return Ok(());
        }
        // Relaxed: the word is complete by itself, and nothing else is published through it. The
        // compare-and-swap makes each worker see what the others took.
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        let next = |word| {
            let Step { next_ns, conforms } = step(word, now, limits);
            conforms.then_some(next_ns)
        };
        self.whole_ns.fetch_update(order, failed, next).map(drop).map_err(|_| Over::Rate)
    }

    /// Takes one call, whatever these limits say.
    pub fn take_anyway(&self, now: Now, limits: Limits, is_counted: bool) {
        if is_counted {
            self.begin_call(0);
        }
        if limits.calls_per_second > 0 {
            let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
            let next = |word| Some(step(word, now, limits).next_ns);
            let taken = self.whole_ns.fetch_update(order, failed, next);
            debug_assert!(taken.is_ok(), "there always is a next word");
        }
    }

    /// Returns what [`Load::take`] would return, and takes nothing.
    pub fn look(&self, now: Now, limits: Limits, is_counted: bool) -> Result<(), Over> {
        if is_counted && !is_below(self.calls(), limits.calls_max) {
            return Err(Over::Calls);
        }
        if limits.calls_per_second == 0 {
            return Ok(());
        }
        let word = self.whole_ns.load(Ordering::Relaxed);
        if step(word, now, limits).conforms { Ok(()) } else { Err(Over::Rate) }
    }

    /// Returns the tries of a stateful set.
    pub fn tries(&self) -> &Budget {
        &self.tries
    }

    /// Returns how much less it asks for.
    pub fn overload(&self) -> &Overload {
        &self.overload
    }

    /// Returns how many calls are in progress.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns how many calls are in progress; `None` if that is the limit.
    pub fn calls_below(&self, limits: Limits) -> Option<u64> {
        let calls = self.calls();
        is_below(calls, limits.calls_max).then_some(calls)
    }

    /// Returns how long it takes to answer, as the algorithm `fastest` compares it, in microseconds; 0
    /// if that is not known.
    pub fn answer_us(&self) -> u64 {
        // Relaxed, here and in the next three: a number that is complete by itself. A worker that
        // reads the one before chooses as it would have a moment ago.
        self.answer_us.load(Ordering::Relaxed)
    }

    /// Sets how long it takes to answer.
    pub(crate) fn set_answer_us(&self, us: u64) {
        self.answer_us.store(us, Ordering::Relaxed);
    }

    /// Returns what the algorithm `latency` takes from its priority, in milliseconds of its latency.
    pub fn late_ms(&self) -> u64 {
        self.late_ms.load(Ordering::Relaxed)
    }

    /// Sets what the algorithm `latency` takes from its priority.
    pub(crate) fn set_late_ms(&self, ms: u64) {
        self.late_ms.store(ms, Ordering::Relaxed);
    }

    /// Starts a slow start: it can be chosen again from now on.
    pub fn came_back(&self, now: Now) {
        self.back_since_ms.store(now.ms().max(1), Ordering::Relaxed);
    }

    /// Returns how much of its share it takes, in parts of [`WHOLE_SHARE`], if that grows for so long
    /// after it came back: nothing at the moment when it came back, all of it at the end.
    pub fn share(&self, now: Now, slow_start_ms: u32) -> u64 {
        let since_ms = self.back_since_ms.load(Ordering::Relaxed);
        let slow_start_ms = u64::from(slow_start_ms);
        // A worker may have taken the time just before.
        let passed_ms = now.ms().saturating_sub(since_ms);
        if since_ms == 0 || passed_ms >= slow_start_ms {
            return WHOLE_SHARE;
        }
        passed_ms * WHOLE_SHARE / slow_start_ms
    }

    /// Returns in how many milliseconds it takes all of its share.
    pub fn whole_share_in_ms(&self, now: Now, slow_start_ms: u32) -> u64 {
        let since_ms = self.back_since_ms.load(Ordering::Relaxed);
        let end_ms = if since_ms == 0 { 0 } else { since_ms + u64::from(slow_start_ms) };
        end_ms.saturating_sub(now.ms())
    }

    /// Counts one more call in progress unless there are this many; 0 is any number.
    fn begin_call(&self, calls_max: u32) -> bool {
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        let one_more = |calls| is_below(calls, calls_max).then(|| calls + 1);
        self.calls.fetch_update(order, failed, one_more).is_ok()
    }

    /// Counts one call in progress less.
    pub fn end_call(&self) {
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        let one_less = self.calls.fetch_update(order, failed, |calls| calls.checked_sub(1));
        debug_assert!(one_less.is_ok(), "each call is counted once and ends once");
    }

    /// Gives back one call that was taken under these limits and is not sent.
    pub fn give_back(&self, limits: Limits, is_counted: bool) {
        if is_counted {
            self.end_call();
        }
        if limits.calls_per_second > 0 {
            // The call had moved the word on by this much, so it stays above zero.
            self.whole_ns.fetch_sub(limits.interval_ns(), Ordering::Relaxed);
        }
    }
}

/// Returns whether one more call in progress is allowed.
fn is_below(calls: u64, calls_max: u32) -> bool {
    calls_max == 0 || calls < u64::from(calls_max)
}

/// Returns the next word if one more call is taken, and whether that call conforms.
fn step(word: u64, now: Now, limits: Limits) -> Step {
    let now_ns = now.ms() * NS_PER_MS;
    let (interval, ahead_max) = (limits.interval_ns(), limits.ahead_max_ns());
    // A smaller burst may have come into force since: then all of it is used up, and no more.
    let word = word.clamp(now_ns, now_ns + ahead_max + interval);
    Step { next_ns: word + interval, conforms: word - now_ns <= ahead_max }
}

/// All of a destination's share.
pub const WHOLE_SHARE: u64 = 1 << 32;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000 * NS_PER_MS;

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: u64 = 1_000_000_000;

    fn rate(calls_per_second: u32, burst: u32) -> Limits {
        Limits { calls_per_second, burst, calls_max: 0 }
    }

    /// Returns how many calls are taken at this millisecond.
    fn taken(load: &Load, ms: u64, limits: Limits) -> usize {
        let now = Now::from_ms(T0 + ms);
        let mut taken = 0;
        loop {
            let seen = load.look(now, limits, false);
            assert_eq!(load.take(now, limits, false), seen);
            if seen.is_err() {
                return taken;
            }
            taken += 1;
        }
    }

    #[test]
    fn bursts_and_what_comes_after() {
        for (says, limits, rows) in [
            ("one a second", rate(1, 1), &[(0, 1), (999, 0), (1_000, 1), (5_000, 1)][..]),
            ("a burst of three", rate(10, 3), &[(0, 3), (99, 0), (100, 1), (300, 2), (900, 3)]),
            ("the default burst is a tenth of a second", rate(50, 0), &[(0, 5), (20, 1), (999, 5)]),
            ("a slow rate has a burst of one", rate(3, 0), &[(0, 1), (333, 0), (334, 1)]),
            ("each tick of the clock has its calls", rate(5_000, 1), &[(0, 5), (1, 5), (9, 5)]),
        ] {
            let load = Load::default();
            for (ms, wants) in rows {
                assert_eq!(taken(&load, *ms, limits), *wants, "{says} at {ms} ms");
            }
        }
    }

    #[test]
    fn no_limit_takes_all_and_writes_nothing() {
        let (load, none) = (Load::default(), Limits::default());
        assert!(!none.is_any() && rate(1, 0).is_any());
        for _ in 0..1_000 {
            assert_eq!(load.look(Now::from_ms(0), none, false), Ok(()));
            assert_eq!(load.take(Now::from_ms(0), none, false), Ok(()));
            load.give_back(none, false);
        }
        assert_eq!(load.whole_ns.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (load, limits) = (Load::default(), rate(10, 2));
        assert_eq!(taken(&load, 0, limits), 2);
        load.give_back(limits, false);
        assert_eq!(taken(&load, 0, limits), 1);
        assert_eq!(taken(&load, 99, limits), 0);
    }

    #[test]
    fn a_smaller_burst_takes_effect_at_once() {
        let (load, large, small) = (Load::default(), rate(1, 1_000_000), rate(10, 2));
        assert_eq!(load.take(Now::from_ms(T0), large, false), Ok(()));
        load.whole_ns.fetch_add(1_000_000 * NS_PER_S, Ordering::Relaxed);
        assert_eq!(taken(&load, 0, small), 0);
        assert_eq!(
            load.take(Now::from_ms(T0 + 100), small, false),
            Err(Over::Rate),
            "nothing is kept"
        );
        load.whole_ns.store((T0 + 200) * NS_PER_MS, Ordering::Relaxed);
        assert_eq!(taken(&load, 100, small), 1);
    }

    #[test]
    fn calls_in_progress() {
        let (load, now) = (Load::default(), Now::from_ms(T0));
        let limits = Limits { calls_max: 2, ..rate(10, 3) };
        assert!(limits.is_any() && limits.without_rate().is_any());
        assert_eq!(load.take(now, limits, true), Ok(()));
        assert_eq!(load.take(now, limits, true), Ok(()));
        assert_eq!(load.look(now, limits, true), Err(Over::Calls));
        assert_eq!(load.take(now, limits, true), Err(Over::Calls));
        load.end_call();
        assert_eq!((load.calls(), load.look(now, limits, true)), (1, Ok(())));
        assert_eq!(load.take(now, limits, true), Ok(()));
        load.give_back(limits, true);
        assert_eq!(load.take(now, limits, true), Ok(()), "both were given back");
        load.end_call();
        // A call that the rate refuses is not in progress.
        assert_eq!(load.look(now, limits, true), Err(Over::Rate));
        assert_eq!((load.take(now, limits, true), load.calls()), (Err(Over::Rate), 1));
        assert_eq!(load.take(now, limits.without_rate(), true), Ok(()));
        // Where calls are not counted, their number is no limit.
        assert_eq!(load.take(now, limits.without_rate(), false), Ok(()));
        assert_eq!(load.calls(), 2);
        let any = Limits::default();
        assert!((0..100).all(|_| load.take(now, any, true).is_ok()));
        assert_eq!(load.calls(), 102);
    }

    #[test]
    fn what_is_taken_anyway_is_taken_from_the_others() {
        let (load, now) = (Load::default(), Now::from_ms(T0));
        let limits = Limits { calls_max: 1, ..rate(10, 2) };
        for _ in 0..50 {
            load.take_anyway(now, limits, true);
        }
        assert_eq!((load.calls(), load.look(now, limits, true)), (50, Err(Over::Calls)));
        // One interval later than after a usual burst, and no more.
        assert_eq!([100, 200, 300].map(|ms| taken(&load, ms, rate(10, 2))), [0, 1, 1]);
        load.give_back(limits, true);
        assert_eq!((load.calls(), taken(&load, 300, rate(10, 2))), (49, 1));
        load.take_anyway(now, Limits::default(), false);
        assert_eq!(load.calls(), 49);
    }

    #[test]
    fn a_share_grows_from_nothing_to_all_of_it() {
        let load = Load::default();
        let at = |ms| Now::from_ms(T0 + ms);
        assert_eq!(load.share(at(0), 30_000), WHOLE_SHARE, "it was never away");
        assert_eq!(load.whole_share_in_ms(at(0), 30_000), 0);
        load.came_back(at(100));
        for (ms, share, left_ms) in [
            (0, 0, 30_100),
            (100, 0, 30_000),
            (7_600, WHOLE_SHARE / 4, 22_500),
            (15_100, WHOLE_SHARE / 2, 15_000),
            (30_100, WHOLE_SHARE, 0),
            (1 << 40, WHOLE_SHARE, 0),
        ] {
            assert_eq!(load.share(at(ms), 30_000), share, "{ms}");
            assert_eq!(load.whole_share_in_ms(at(ms), 30_000), left_ms, "{ms}");
            assert_eq!(load.share(at(ms), 0), WHOLE_SHARE, "no slow start");
        }
        assert!(load.share(at(30_099), 30_000) < WHOLE_SHARE);
    }

    #[test]
    fn workers_together_take_no_more_than_one_does() {
        let (load, limits) = (Load::default(), rate(1_000, 500));
        let take =
            || (0..400).filter(|_| load.take(Now::from_ms(T0), limits, false).is_ok()).count();
        let taken: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(taken, 500);
    }

    proptest! {
        /// In every span of time: at most the burst, and what the rate gives in that span.
        #[test]
        fn never_more_than_the_rate_and_the_burst(
            calls_per_second in 1_u32..3_000,
            burst in 1_u32..40,
            steps in prop::collection::vec((0_u64..400, 0_usize..60), 1..60),
        ) {
            let (load, limits) = (Load::default(), rate(calls_per_second, burst));
            let burst = u64::from(burst.max(calls_per_second.div_ceil(1_000)));
            let (mut ms, mut times) = (0, Vec::new());
            for (step, calls) in steps {
                ms += step;
                let now = Now::from_ms(T0 + ms);
                times.extend((0..calls).filter(|_| load.take(now, limits, false).is_ok()).map(|_| ms));
            }
            for (n, from) in times.iter().enumerate() {
                for (m, to) in times.iter().enumerate().skip(n) {
                    let allowed = burst + (to - from) * u64::from(calls_per_second) / 1_000;
                    prop_assert!((m - n + 1) as u64 <= allowed);
                }
            }
        }
    }
}
