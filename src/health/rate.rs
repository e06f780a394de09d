//! The limit of probes per second over all destinations.

use crate::clock::Now;

/// A bucket of permissions to send. It holds those of a tenth of a second, so that a pause is not
/// followed by a burst.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    per_second: u32,
    /// Thousandths of a permission.
    level: u64,
    at: Option<Now>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), level: 0, at: None }
    }

    pub(super) fn set(&mut self, per_second: u32) {
        self.per_second = per_second.max(1);
        self.level = self.level.min(self.capacity());
    }

    /// Takes a permission, if there is one.
    pub(super) fn take(&mut self, now: Now) -> bool {
        let gained = self.at.map_or(ONE, |at| {
            now.ms().saturating_sub(at.ms()).saturating_mul(self.per_second.into())
        });
        self.at = self.at.max(Some(now));
        self.level = self.level.saturating_add(gained).min(self.capacity());
        if self.level < ONE {
            return false;
        }
        self.level -= ONE;
        true
    }

    /// Returns when there is a permission.
    pub(super) fn ready_at(&self) -> Option<Now> {
        let missing = ONE.saturating_sub(self.level).div_ceil(self.per_second.into());
        self.at.map(|at| at.plus_ms(missing))
    }

    fn capacity(&self) -> u64 {
        ONE.max(u64::from(self.per_second) * ONE / 10)
    }
}

/// One permission. A rate per second gains so many thousandths in a millisecond.
const ONE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_rate() {
        for per_second in [1, 3, 10, 999, 5_000] {
            let mut rate = Rate::new(per_second);
            let taken = |rate: &mut Rate, ms| {
                (0..10_000).take_while(|_| rate.take(Now::from_ms(ms))).count() as u64
            };
            let sent: u64 = (0..10_000).map(|ms| taken(&mut rate, ms)).sum();
            let most = u64::from(per_second) * 10;
            assert!((most - most / 100..=most + 1).contains(&sent), "{per_second}: {sent}");
            // After a pause, a tenth of a second's.
            let after = taken(&mut rate, 100_000);
            assert_eq!(after, u64::from(per_second / 10).max(1));
        }
    }

    #[test]
    fn it_tells_when_the_next_may_go() {
        let mut rate = Rate::new(3);
        assert_eq!(rate.ready_at(), None);
        assert!(rate.take(Now::from_ms(5)) && !rate.take(Now::from_ms(5)));
        let at = rate.ready_at().unwrap();
        assert_eq!(at, Now::from_ms(5 + 334));
        assert!(!rate.take(Now::from_ms(338)) && rate.take(at));
        rate.set(1_000);
        assert!(rate.take(Now::from_ms(400)));
    }
}
