//! How long a destination takes to answer now, by calls and by probes: what the algorithm `fastest`
//! compares.
//!
//! A slow answer counts at once and is forgotten slowly, since a server that gets slow must get fewer
//! calls at once, and one that gets fast again has time. This is the peak-sensitive moving average of
//! Finagle's load balancer. Answers to calls are taken together for each reading of the counters.

use super::SlotTraffic;
use crate::clock::Now;
use crate::limits::{PACE_FORGET_MS, PACE_MEMORY_MS, PACE_WAIT_MAX_MS};

/// How long answers take.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// The counters at the last reading.
    last: Option<Counts>,
    average_us: u64,
    /// When an answer was measured last.
    measured_at: Option<Now>,
    /// Since when calls wait while nothing at all is heard.
    waiting_since: Option<Now>,
    /// When it sent a response last, be it to a probe.
    heard_at: Option<Now>,
}

/// The counters that matter here.
#[derive(Clone, Copy, Debug)]
struct Counts {
    calls: u64,
    answered: u64,
    answer_ms: u64,
    heard: u64,
}

impl Pace {
    /// Takes the counters of a reading.
    pub(super) fn calls(&mut self, now: Now, traffic: SlotTraffic) {
        let SlotTraffic { calls, calls_answered: answered, answer_ms, heard, .. } = traffic;
        let counts = Counts { calls, answered, answer_ms, heard };
        let Some(last) = self.last.replace(counts) else { return };
        let new_calls = calls.wrapping_sub(last.calls);
        let new_answers = answered.wrapping_sub(last.answered);
        // Counters that go back belong to another destination, or to new workers.
        if calls < last.calls || answered < last.answered || heard < last.heard {
            self.waiting_since = None;
            return;
        }
        let sum_us = answer_ms.wrapping_sub(last.answer_ms).saturating_mul(1_000);
        if let Some(mean_us) = sum_us.checked_div(new_answers) {
            self.measured(now, mean_us);
        }
        if heard > last.heard {
            self.waiting_since = None;
            self.heard_at = Some(now);
            return;
        }
        if new_calls > 0 {
            self.waiting_since.get_or_insert(now);
        }
        // An answer that is still missing takes at least this long. Who has waited this long for it
        // has given up.
        let Some(since) = self.waiting_since else { return };
        let waits_ms = now.ms().saturating_sub(since.ms());
        if waits_ms > PACE_WAIT_MAX_MS {
            self.waiting_since = None;
        } else if waits_ms * 1_000 > self.average_us {
            self.average_us = waits_ms * 1_000;
            self.measured_at = Some(now);
        }
    }

    /// Takes an answer to a probe that says nothing about how long it takes.
    pub(super) fn heard(&mut self, now: Now) {
        self.heard_at = Some(now);
    }

    /// Returns when it sent a response last.
    pub(super) fn heard_at(&self) -> Option<Now> {
        self.heard_at
    }

    /// Takes the time of an answer to a probe.
    pub(super) fn probe(&mut self, now: Now, ms: u32) {
        self.measured(now, u64::from(ms) * 1_000);
    }

    /// Returns how long an answer takes, in microseconds; 0 if that is not known. Without a measurement
    /// it is halved again and again, so that a destination which got no call because it was slow gets
    /// one some time.
    pub(super) fn us(&self, now: Now) -> u64 {
        let Some(at) = self.measured_at else { return 0 };
        let halved = now.ms().saturating_sub(at.ms()) / PACE_FORGET_MS;
        let halved = halved.try_into().unwrap_or(u32::MAX);
        // One that was measured differs from one that was not.
        self.average_us.checked_shr(halved).unwrap_or(0).max(1)
    }

    fn measured(&mut self, now: Now, us: u64) {
        self.average_us = match self.measured_at {
            Some(at) if us < self.average_us => {
                let passed_ms = now.ms().saturating_sub(at.ms());
                let falls_us = u128::from(self.average_us - us) * u128::from(passed_ms)
                    / u128::from(PACE_MEMORY_MS + passed_ms);
                self.average_us - falls_us as u64
            }
            _ => us,
        };
        self.measured_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_000_000;

    fn at(ms: u64) -> Now {
        Now::from_ms(T0 + ms)
    }

    /// Takes readings: when, how many calls since the last one, how many were answered, and in how
    /// many milliseconds together. Returns what is known after each, in microseconds.
    fn after(pace: &mut Pace, readings: &[(u64, u64, u64, u64)]) -> Vec<u64> {
        let mut sum = SlotTraffic::default();
        pace.calls(at(0), sum);
        let mut take = |(ms, calls, answered, answer_ms): &(u64, u64, u64, u64)| {
            sum.calls += calls;
            sum.calls_answered += answered;
            sum.heard += answered;
            sum.answer_ms += answer_ms;
            pace.calls(at(*ms), sum);
            pace.us(at(*ms))
        };
        readings.iter().map(&mut take).collect()
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
        let readings = [(100, 2, 2, 10), (200, 4, 4, 400), (300, 1, 1, 5), (10_300, 1, 1, 5)];
        let mut pace = Pace::default();
        assert_eq!(pace.us(at(0)), 0, "nothing is known");
        let told = after(&mut pace, &readings);
        assert_eq!(told[..2], [5_000, 100_000]);
        // A hundredth of the memory has passed, then all of it.
        assert_eq!(told[2..], [99_060, 52_030]);
    }

    #[test]
    fn probes_count_as_calls_do() {
        let mut pace = Pace::default();
        pace.probe(at(0), 80);
        assert_eq!(pace.us(at(0)), 80_000);
        pace.probe(at(10_000), 80);
        pace.probe(at(20_000), 0);
        assert_eq!(pace.us(at(20_000)), 40_000);
        pace.probe(at(20_001), 2_000);
        assert_eq!(pace.us(at(20_001)), 2_000_000);
    }

    #[test]
    fn calls_that_wait_make_it_slow() {
        let mut pace = Pace::default();
        let told =
            after(&mut pace, &[(100, 1, 1, 3), (200, 5, 0, 0), (300, 5, 0, 0), (700, 0, 0, 0)]);
        assert_eq!(told, [3_000, 3_000, 100_000, 500_000]);
        // A call that is never answered counts for as long as a caller waits.
        let mut pace = Pace::default();
        let told = after(&mut pace, &[(100, 1, 0, 0), (30_100, 0, 0, 0), (90_000, 0, 0, 0)]);
        assert_eq!(told, [0, 30_000_000, 15_000_000]);
        assert_eq!(pace.waiting_since, None);
    }

    #[test]
    fn what_is_not_measured_any_more_is_forgotten() {
        let mut pace = Pace::default();
        pace.probe(at(0), 64);
        for (ms, wants) in [
            (PACE_FORGET_MS - 1, 64_000),
            (PACE_FORGET_MS, 32_000),
            (3 * PACE_FORGET_MS, 8_000),
            (16 * PACE_FORGET_MS, 1),
            (100 * PACE_FORGET_MS, 1),
            (1 << 40, 1),
        ] {
            assert_eq!(pace.us(at(ms)), wants, "{ms}");
        }
        // A probe that is answered within the same millisecond is known, too.
        let mut pace = Pace::default();
        pace.probe(at(0), 0);
        assert_eq!(pace.us(at(0)), 1);
    }

    #[test]
    fn counters_that_go_back_say_nothing() {
        let mut pace = Pace::default();
        let many = SlotTraffic { calls: 10, heard: 9, ..SlotTraffic::default() };
        pace.calls(at(0), many);
        pace.calls(at(100), SlotTraffic { calls: 1, ..SlotTraffic::default() });
        assert_eq!((pace.us(at(100)), pace.waiting_since), (0, None));
    }
}
