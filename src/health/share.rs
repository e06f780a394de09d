//! Calls that a destination answers with 5xx: how many of its calls they are, over a sliding time,
//! and whether that is clearly more than at the others of its set.

use crate::clock::Now;
use crate::limits::{SHARE_STEP_MS, SHARES_MS, WINDOW_MS};

/// Calls of a while, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Share {
    pub(super) calls: u64,
    /// Answered with 503.
    pub(super) busy: u64,
    /// Answered with another 5xx.
    pub(super) failed: u64,
    /// A bit for each caller of those that failed.
    pub(super) callers: u64,
    /// A bit for each called number of those that failed.
    pub(super) numbers: u64,
    /// How long the while is.
    pub(super) ms: u64,
}

/// The calls of the last 10 s: by the second, and those of the last second by the window.
#[derive(Clone, Debug)]
pub(super) struct Sliding {
    windows: Ring,
    seconds: Ring,
}

#[derive(Clone, Debug)]
struct Ring {
    step_ms: u64,
    steps: [Step; STEPS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// Which step since the clock began.
    number: u64,
    /// When its first calls were counted.
    since: Option<Now>,
    share: Share,
}

impl Default for Sliding {
    fn default() -> Self {
        Self { windows: Ring::new(WINDOW_MS), seconds: Ring::new(SHARE_STEP_MS) }
    }
}

impl Sliding {
    /// Adds the calls of the window that ends now.
    pub(super) fn add(&mut self, now: Now, share: Share) {
        self.windows.add(now, share);
        self.seconds.add(now, share);
    }

    /// Returns all calls of the last 10 s.
    pub(super) fn all(&self, now: Now) -> Share {
        self.seconds.latest(now, u64::MAX)
    }

    /// Returns the latest calls, as few as possible but not fewer than `calls_min`; or all.
    pub(super) fn latest(&self, now: Now, calls_min: u64) -> Share {
        let share = self.windows.latest(now, calls_min);
        if share.calls >= calls_min { share } else { self.seconds.latest(now, calls_min) }
    }
}

impl Ring {
    fn new(step_ms: u64) -> Self {
        Self { step_ms, steps: [Step::default(); STEPS] }
    }

    fn add(&mut self, now: Now, share: Share) {
        let number = now.ms() / self.step_ms;
        let step = &mut self.steps[number as usize % STEPS];
        if step.number != number {
            *step = Step { number, ..Step::default() };
        }
        step.share.add(&share);
        if share.calls > 0 {
            step.since.get_or_insert(now);
        }
    }

    /// Adds up steps, the newest first, until these are enough calls.
    fn latest(&self, now: Now, calls_min: u64) -> Share {
        let mut sum = Share::default();
        for ago in 0..STEPS as u64 {
            let Some(number) = (now.ms() / self.step_ms).checked_sub(ago) else { break };
            let step = &self.steps[number as usize % STEPS];
            if step.number != number {
                continue;
            }
            sum.add(&step.share);
            if let Some(since) = step.since {
                // They came in the window before the reading.
                sum.ms = now.ms().saturating_sub(since.ms()) + WINDOW_MS;
            }
            if sum.calls >= calls_min {
                break;
            }
        }
        sum
    }
}

impl Share {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.busy += other.busy;
        self.failed += other.failed;
        self.callers |= other.callers;
        self.numbers |= other.numbers;
    }

    /// Returns how many calls failed, with 503 or with any other 5xx.
    pub(super) fn all_failed(&self) -> u64 {
        self.busy + self.failed
    }

    /// Returns the same in percent.
    pub(super) fn percent(&self) -> u64 {
        (self.all_failed() * 100).checked_div(self.calls).unwrap_or(0)
    }

    /// Returns whether the share is at least `limit_percent`, and clearly above that of the others:
    /// twice as much, 20 % more, and further away than chance explains.
    pub(super) fn is_clearly_above(&self, limit_percent: u64, others_percent: u64) -> bool {
        let (percent, calls) = (self.percent(), self.calls);
        // Four standard deviations of a binomial distribution, squared and in percent.
        let away = (self.all_failed() * 100).saturating_sub(calls * others_percent);
        let by_chance = calls * others_percent * 100_u64.saturating_sub(others_percent);
        percent >= limit_percent
            && percent >= 2 * others_percent
            && percent >= others_percent + ABOVE_OTHERS_PERCENT
            && away.saturating_mul(away) > 16 * by_chance
    }
}

/// The called numbers whose calls failed at the destinations of a set, each a bit.
///
/// A call that fails at two destinations says nothing about either. Whoever calls again after a 5xx
/// calls the same number, so numbers that failed elsewhere are left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    at_one: u64,
    at_several: u64,
}

impl Numbers {
    /// Adds those of one destination.
    pub(super) fn add(&mut self, numbers: u64) {
        self.at_several |= self.at_one & numbers;
        self.at_one |= numbers;
    }

    /// Returns how many of `numbers` failed at no other destination than the one that was added with
    /// `all` numbers, of which these are some.
    pub(super) fn only_in(&self, numbers: u64, all: u64) -> u32 {
        let elsewhere = self.at_one & !all | self.at_several;
        // With so many, a number may well have the bit of another one.
        let is_too_full = elsewhere.count_ones() > NUMBERS_TOLD_APART_MAX;
        let own = if is_too_full { numbers } else { numbers & !elsewhere };
        own.count_ones()
    }
}

/// Returns the median of all values but one that is `own`; of two in the middle the lower one.
/// `values` are sorted.
pub(super) fn median_of_others(values: &[u64], own: u64) -> Option<u64> {
    let middle = values.len().checked_sub(2)? / 2;
    let median = values[middle];
    Some(if own <= median { values[middle + 1] } else { median })
}

/// Steps that are kept: 10 s of a second each, and a second of windows.
const STEPS: usize = (SHARES_MS / SHARE_STEP_MS) as usize;

const _: () = assert!(STEPS as u64 * WINDOW_MS == SHARE_STEP_MS);

/// How far a share of failed calls must be above that of the others, in percent of all calls.
const ABOVE_OTHERS_PERCENT: u64 = 20;

/// Half of the bits.
const NUMBERS_TOLD_APART_MAX: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn share(calls: u64, busy: u64, failed: u64, callers: u64, numbers: u64, ms: u64) -> Share {
        Share { calls, busy, failed, callers, numbers, ms }
    }

    #[test]
    fn all_of_the_last_10_s() {
        let mut sliding = Sliding::default();
        assert_eq!(sliding.all(Now::from_ms(50)), Share::default());
        // A window without calls does not begin the time.
        sliding.add(Now::from_ms(20_100), share(0, 0, 0, 0, 0, 0));
        sliding.add(Now::from_ms(20_300), share(5, 1, 2, 1, 2, 0));
        sliding.add(Now::from_ms(20_500), share(6, 2, 1, 2, 4, 0));
        assert_eq!(sliding.all(Now::from_ms(20_500)), share(11, 3, 3, 3, 6, 300));
        sliding.add(Now::from_ms(25_000), share(100, 10, 0, 4, 0, 0));
        assert_eq!(sliding.all(Now::from_ms(29_999)), share(111, 13, 3, 7, 6, 9_799));
        assert_eq!(sliding.all(Now::from_ms(30_000)), share(100, 10, 0, 4, 0, 5_100));
        // The second of 20 has the place of the second of 30.
        sliding.add(Now::from_ms(30_000), share(1, 0, 1, 0, 8, 0));
        assert_eq!(sliding.all(Now::from_ms(30_000)), share(101, 10, 1, 4, 8, 5_100));
        assert_eq!(sliding.all(Now::from_ms(34_999)).calls, 101);
        assert_eq!(sliding.all(Now::from_ms(35_000)), share(1, 0, 1, 0, 8, 5_100));
        assert_eq!(sliding.all(Now::from_ms(50_000)), Share::default());
    }

    #[test]
    fn the_latest_calls() {
        let mut sliding = Sliding::default();
        // 3 calls in each window of 2 s, the last at 12 s.
        for window in 101..=120 {
            sliding.add(Now::from_ms(window * 100), share(3, 0, 1, 0, 0, 0));
        }
        for (ms, calls_min, wants) in [
            (12_000, 1, (3, 100)),
            (12_000, 3, (3, 100)),
            (12_000, 4, (6, 200)),
            (12_000, 30, (30, 1_000)),
            // No more windows are kept, but the seconds: of 12, of 11 and of 10.
            (12_000, 31, (33, 1_100)),
            (12_000, 34, (60, 2_000)),
            (12_000, 61, (60, 2_000)),
            (12_050, 3, (3, 150)),
            (12_899, 3, (3, 999)),
            (12_899, 4, (6, 1_099)),
            (12_899, 7, (33, 1_999)),
            (21_000, 1, (3, 9_100)),
        ] {
            let share = sliding.latest(Now::from_ms(ms), calls_min);
            assert_eq!((share.calls, share.ms), wants, "{ms} {calls_min}");
            assert_eq!(share.failed * 3, share.calls);
        }
    }

    #[test]
    fn what_is_clearly_above() {
        for (calls, busy, failed, limit, others, wants) in [
            (20, 10, 0, 50, 0, true),
            (20, 4, 6, 50, 0, true),
            (20, 4, 5, 50, 0, false),
            (100, 0, 60, 50, 30, true),
            // Twice as much.
            (1_000, 0, 599, 50, 30, false),
            (1_000, 0, 600, 50, 30, true),
            // 20 % more.
            (10_000, 0, 2_499, 10, 5, false),
            (10_000, 0, 2_500, 10, 5, true),
            // By chance.
            (20, 0, 11, 50, 20, false),
            (20, 0, 12, 50, 20, true),
            (200, 0, 100, 50, 20, true),
            (20, 0, 20, 50, 50, true),
            (20, 0, 20, 50, 51, false),
            (0, 0, 0, 0, 0, false),
            (5, 0, 0, 0, 0, false),
        ] {
            let share = Share { calls, busy, failed, ..Share::default() };
            assert_eq!(share.is_clearly_above(limit, others), wants, "{share:?} {others}");
        }
    }

    #[test]
    fn numbers_that_failed_elsewhere_do_not_count() {
        for (others, own, wants) in [
            (&[0b1000][..], 0b111, 3),
            (&[0b1100], 0b111, 2),
            (&[0b1, 0b10, 0b100], 0b111, 0),
            (&[0b11], 0b11, 0),
            (&[], 0b11, 2),
            // Half of the bits, and more.
            (&[0xffff_ffff], 0b111, 0),
            (&[0x1_ffff_ffff], 0b111, 3),
            (&[0xffff_ffff], 0x1_0000_0007, 1),
            (&[0xffff_0000, 0xffff, 0x1_0000_0000], 0b111, 3),
        ] {
            // Numbers of before fail at it, too.
            for all in [own, own | 0xff_u64 << 56] {
                let mut numbers = Numbers::default();
                for one in others {
                    numbers.add(*one);
                }
                numbers.add(all);
                assert_eq!(numbers.only_in(own, all), wants, "{others:x?} {own:x}");
            }
        }
    }

    #[test]
    fn medians() {
        for (values, own, wants) in [
            (&[][..], 0, None),
            (&[7], 7, None),
            (&[0, 100], 100, Some(0)),
            (&[0, 100], 0, Some(100)),
            (&[5, 10, 80], 80, Some(5)),
            (&[5, 10, 80], 5, Some(10)),
            (&[5, 10, 80], 10, Some(5)),
            (&[0, 0, 90, 90], 90, Some(0)),
            (&[0, 90, 90, 90], 90, Some(90)),
            (&[1, 2, 3, 4, 5], 3, Some(2)),
            (&[1, 2, 3, 4, 5], 2, Some(3)),
        ] {
            assert_eq!(median_of_others(values, own), wants, "{values:?} {own}");
            let mut others = values.to_vec();
            if let Some(at) = others.iter().position(|value| *value == own) {
                others.remove(at);
            }
            let slow = others.get(others.len().saturating_sub(1) / 2).copied();
            assert_eq!(slow, wants, "{values:?} {own}");
        }
    }
}
