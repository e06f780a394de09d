//! How many further tries the requests of a set may have, so that a set of which half is dead does not
//! get twice its load.

use crate::clock::Now;
use crate::sync::{AtomicU64, Ordering};

/// Milliseconds of a period.
const PERIOD_MS: u64 = 10_000;

/// The first and the further tries of a set in this period and the one before it. It is kept across
/// reloads.
#[derive(Debug, Default)]
pub struct Budget {
    first: Count,
    further: Count,
}

/// Events of this period and the one before it, in one word:
///
/// ```text
///  63        48 47         24 23          0
/// |   period   | one before  |    this     |
/// ```
#[derive(Debug, Default)]
struct Count(AtomicU64);

const COUNT_MAX: u64 = (1 << 24) - 1;

impl Budget {
    /// Counts a first try.
    pub(crate) fn first(&self, now: Now) {
        self.first.add(now);
    }

    /// Takes a further try; returns false if within the last 10 s there were as many as this share of
    /// the first ones, and no fewer than `least`.
    pub(crate) fn take(&self, now: Now, percent: u32, least: u32) -> bool {
        let allowed = u64::from(percent) * self.first.recent(now) / 100;
        // Two workers may take the last one at the same time; so one more may go.
        if self.further.recent(now) >= allowed.max(least.into()) {
            return false;
        }
        self.further.add(now);
        true
    }
}

impl Count {
    fn add(&self, now: Now) {
        let more = |word| {
            let (before, this) = read(word, now);
            Some(pack(now, before, (this + 1).min(COUNT_MAX)))
        };
        // Relaxed: the word is complete by itself, and nothing else is published through it.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Returns how many there were within the last period: those of this one, and of the one before it
    /// the share that is not over yet.
    fn recent(&self, now: Now) -> u64 {
        let (before, this) = read(self.0.load(Ordering::Relaxed), now);
        this + before * (PERIOD_MS - now.ms() % PERIOD_MS) / PERIOD_MS
    }
}

fn period(now: Now) -> u64 {
    (now.ms() / PERIOD_MS) & 0xffff
}

/// Returns the counts of the period before this one and of this one.
fn read(word: u64, now: Now) -> (u64, u64) {
    let (before, this) = (word >> 24 & COUNT_MAX, word & COUNT_MAX);
    match period(now).wrapping_sub(word >> 48) & 0xffff {
        // Another worker may have read its clock a little later than we read ours.
        0 | 0xffff => (before, this),
        1 => (this, 0),
        _ => (0, 0),
    }
}

fn pack(now: Now, before: u64, this: u64) -> u64 {
    period(now) << 48 | before << 24 | this
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &Budget, now: Now, percent: u32, least: u32) -> u32 {
        (0..1_000).filter(|_| budget.take(now, percent, least)).count() as u32
    }

    #[test]
    fn a_share_of_the_first_tries_is_allowed_and_never_less_than_the_least() {
        let now = Now::from_ms(70_000);
        for (firsts, percent, least, allowed) in
            [(0, 100, 7, 7), (200, 50, 7, 100), (200, 100, 0, 200), (10, 50, 7, 7), (10, 0, 0, 0)]
        {
            let budget = Budget::default();
            (0..firsts).for_each(|_| budget.first(now));
            assert_eq!(taken(&budget, now, percent, least), allowed);
        }
    }

    #[test]
    fn what_is_longer_ago_than_a_period_does_not_count() {
        let budget = Budget::default();
        let begin = Now::from_ms(PERIOD_MS * 65_535);
        (0..100).for_each(|_| budget.first(begin));
        assert_eq!(taken(&budget, begin, 100, 0), 100);
        // A quarter of the period before is over, of both alike.
        let later = begin.plus_ms(PERIOD_MS + PERIOD_MS / 4);
        assert_eq!((budget.first.recent(later), budget.further.recent(later)), (75, 75));
        budget.first(later);
        assert_eq!(taken(&budget, later, 100, 0), 1);
        let much_later = begin.plus_ms(2 * PERIOD_MS);
        assert_eq!((budget.first.recent(much_later), taken(&budget, much_later, 100, 1)), (1, 0));
        assert_eq!(budget.first.recent(begin.plus_ms(4 * PERIOD_MS)), 0);
    }

    #[test]
    fn a_worker_whose_clock_is_behind_takes_nothing_away() {
        let budget = Budget::default();
        let now = Now::from_ms(PERIOD_MS);
        budget.first(now);
        assert_eq!(budget.first.recent(Now::from_ms(PERIOD_MS - 1)), 1);
    }
}
