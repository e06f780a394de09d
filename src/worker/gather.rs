//! Decides whether a worker lets messages gather before it reads them.
//!
//! Below saturation, waking up is most of what a message costs: each one wakes the worker anew. If
//! several are going to arrive within a fraction of a millisecond, one sleep for all of them is
//! cheaper, and SIP does not notice the delay. A lone message is never delayed.

use std::time::Duration;

/// The arrival rate of one worker, and what follows from it.
#[derive(Clone, Debug)]
pub struct Gather {
    /// The longest time that a message may be delayed; zero if none may.
    bound: Duration,
    window_start: Duration,
    /// Messages since then.
    count: u32,
    /// Gathering pays at the rate of the last whole window.
    pays: bool,
}

/// How long arrivals are counted before they are judged: long enough for ten messages at the lowest
/// rate that matters, short enough to follow a burst of calls.
const WINDOW: Duration = Duration::from_millis(5);

/// Messages that must be expected within the bound. A sleep costs about as much as being woken for
/// one message, so with two it begins to pay.
const EXPECTED_MIN: u32 = 2;

impl Gather {
    /// Creates it with the longest delay of a message; zero never gathers.
    pub const fn new(bound: Duration) -> Self {
        Self { bound, window_start: Duration::ZERO, count: 0, pays: false }
    }

    /// Records that this many messages were read; `now` is any monotonic time.
    pub fn received(&mut self, now: Duration, count: usize) {
        self.count = self.count.saturating_add(count as u32);
        let elapsed = now.saturating_sub(self.window_start);
        if elapsed >= WINDOW {
            // count / elapsed * bound >= EXPECTED_MIN, without a division.
            self.pays = self.bound.saturating_mul(self.count)
                >= elapsed.saturating_mul(EXPECTED_MIN)
                && !self.bound.is_zero();
            (self.window_start, self.count) = (now, 0);
        }
    }

    /// Returns how long to sleep before the next read; `None` if the worker should wait instead.
    /// `until_deadline` is the time until something else is due.
    pub fn pause(&self, until_deadline: Option<Duration>) -> Option<Duration> {
        let fits = until_deadline.is_none_or(|left| left >= self.bound);
        (self.pays && fits).then_some(self.bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_micros(300);

    /// Batches of `count` messages every `every_us`, for 20 ms; returns whether gathering pays then.
    fn pays(bound: Duration, count: usize, every_us: u64) -> bool {
        let mut gather = Gather::new(bound);
        for number in 0..=20_000 / every_us {
            gather
                .received(Duration::from_secs(9) + Duration::from_micros(number * every_us), count);
        }
        gather.pause(None) == Some(bound) && !bound.is_zero()
    }

    #[test]
    fn it_pays_from_two_messages_within_the_bound() {
        struct Row {
            says: &'static str,
            bound_us: u64,
            count: usize,
            every_us: u64,
            wants: bool,
        }
        let rows = [
            Row { says: "20,000 a second", bound_us: 300, count: 1, every_us: 50, wants: true },
            Row { says: "the least", bound_us: 300, count: 1, every_us: 150, wants: true },
            Row { says: "a little less", bound_us: 300, count: 1, every_us: 160, wants: false },
            Row { says: "1,000 a second", bound_us: 300, count: 1, every_us: 1_000, wants: false },
            Row { says: "gathered already", bound_us: 300, count: 6, every_us: 300, wants: true },
            Row { says: "a shorter bound", bound_us: 50, count: 1, every_us: 50, wants: false },
            Row { says: "no bound", bound_us: 0, count: 64, every_us: 50, wants: false },
        ];
        for row in rows {
            let bound = Duration::from_micros(row.bound_us);
            assert_eq!(pays(bound, row.count, row.every_us), row.wants, "{}", row.says);
        }
    }

    #[test]
    fn the_first_message_after_a_burst_is_not_delayed() {
        let mut gather = Gather::new(BOUND);
        let at = |us: u64| Duration::from_secs(9) + Duration::from_micros(us);
        assert_eq!(gather.pause(None), None, "nothing is known yet");
        (0..200).for_each(|n| gather.received(at(n * 50), 1));
        assert_eq!(gather.pause(None), Some(BOUND));
        gather.received(at(1_000_000), 1);
        assert_eq!(gather.pause(None), None);
    }

    #[test]
    fn nothing_that_is_due_waits_for_messages() {
        let mut gather = Gather::new(BOUND);
        (0..200).for_each(|n| gather.received(Duration::from_micros(n * 50), 1));
        assert_eq!(gather.pause(Some(BOUND)), Some(BOUND));
        assert_eq!(gather.pause(Some(Duration::from_micros(299))), None);
        assert_eq!(gather.pause(Some(Duration::ZERO)), None);
    }
}
