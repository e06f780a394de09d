//! When each call is meant to start. It never depends on what became of the earlier ones.

use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// How the starts of calls are spread over time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// At equal distances.
    Uniform,
    /// At random: the number of calls in any stretch of time is Poisson distributed.
    Poisson,
    /// All calls of each 100 ms in its first 10 ms: ten times the rate, then nothing.
    Burst,
}

/// The starts of one thread's calls, which takes every `threads`-th.
#[derive(Clone, Debug)]
pub(super) struct Starts {
    schedule: Schedule,
    rate: f64,
    end: u64,
    threads: u64,
    next: Start,
    rng: Rng,
}

/// A call that starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Start {
    /// Its number among all calls of the run.
    pub(super) number: u64,
    /// When, in ns since the run began.
    pub(super) due: u64,
}

impl Starts {
    pub(super) fn new(
        schedule: Schedule,
        rate: f64,
        time: Duration,
        (thread, threads): (usize, usize),
        seed: u64,
    ) -> Self {
        let mut starts = Self {
            schedule,
            rate,
            end: time.as_nanos() as u64,
            threads: threads as u64,
            next: Start { number: thread as u64, due: 0 },
            rng: Rng::with_seed(seed ^ (thread as u64) << 32),
        };
        starts.next.due = starts.due(starts.next.number);
        starts
    }

    /// The next start; `None` after the last.
    pub(super) fn peek(&self) -> Option<Start> {
        (self.next.due < self.end).then_some(self.next)
    }

    /// Goes on to the start after it.
    pub(super) fn advance(&mut self) {
        self.next.number += self.threads;
        self.next.due = self.due(self.next.number);
    }

    fn due(&mut self, number: u64) -> u64 {
        let even = (number as f64 / self.rate * SECOND) as u64;
        match self.schedule {
            Schedule::Uniform => even,
            Schedule::Burst => even - even % PERIOD + even % PERIOD / 10,
            Schedule::Poisson => {
                // Independent processes add up to one of the sum of their rates.
                let mean = SECOND * self.threads as f64 / self.rate;
                self.next.due + (-(1.0 - self.rng.f64()).ln() * mean) as u64
            }
        }
    }
}

const SECOND: f64 = 1e9;
const PERIOD: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(schedule: Schedule, rate: f64, ms: u64, thread: usize, threads: usize) -> Vec<Start> {
        let time = Duration::from_millis(ms);
        let mut starts = Starts::new(schedule, rate, time, (thread, threads), 1);
        std::iter::from_fn(|| {
            let start = starts.peek()?;
            starts.advance();
            Some(start)
        })
        .collect()
    }

    #[test]
    fn uniform_starts_are_equally_far_apart() {
        let dues: Vec<_> = all(Schedule::Uniform, 4.0, 1_000, 0, 1).iter().map(|s| s.due).collect();
        assert_eq!(dues, [0, 250_000_000, 500_000_000, 750_000_000]);
        assert_eq!(all(Schedule::Uniform, 100.0, 3_000, 0, 1).len(), 300);
        assert_eq!(all(Schedule::Uniform, 0.5, 3_000, 0, 1).len(), 2);
    }

    #[test]
    fn threads_share_the_calls() {
        for schedule in [Schedule::Uniform, Schedule::Burst] {
            let mut together: Vec<_> =
                (0..3).flat_map(|t| all(schedule, 1_000.0, 500, t, 3)).collect();
            together.sort_by_key(|start| start.number);
            assert_eq!(together, all(schedule, 1_000.0, 500, 0, 1));
        }
        let poisson: Vec<_> =
            (0..2).map(|t| all(Schedule::Poisson, 10_000.0, 1_000, t, 2)).collect();
        assert_ne!(poisson[0][5].due, poisson[1][5].due, "each thread has chances of its own");
    }

    #[test]
    fn a_burst_is_ten_times_the_rate_for_a_tenth_of_the_time() {
        let starts = all(Schedule::Burst, 1_000.0, 1_000, 0, 1);
        assert_eq!(starts.len(), 1_000);
        let in_window = |s: &&Start| s.due % PERIOD < PERIOD / 10;
        assert_eq!(starts.iter().filter(in_window).count(), 1_000);
        assert_eq!(starts[1].due - starts[0].due, 100_000);
        assert_eq!(starts[100].due, PERIOD);
    }

    #[test]
    fn poisson_starts_are_so_distributed() {
        let starts = all(Schedule::Poisson, 10_000.0, 10_000, 0, 1);
        // 100,000 are expected, with a standard deviation of 316.
        assert!((98_500..101_500).contains(&starts.len()), "{}", starts.len());
        let gaps = starts.windows(2).map(|pair| pair[1].due - pair[0].due);
        // A gap is longer than the mean of 100 us with probability 1/e.
        let long = gaps.filter(|gap| *gap > 100_000).count() as f64 / starts.len() as f64;
        assert!((0.36..0.376).contains(&long), "{long}");
    }
}
