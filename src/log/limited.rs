//! Limits log lines that the network can cause: one a second, with the number of suppressed ones.

use std::fmt;

use crate::clock::Now;
use crate::sync::{AtomicU64, Ordering};

/// The limit of one log site.
///
/// ```
/// use strowger::{clock::Now, log::Limited};
/// static SEND_FAILED: Limited = Limited::new();
///
/// if let Some(more) = SEND_FAILED.allow(Now::from_ms(1)) {
///     tracing::warn!("a message could not be sent{more}");
/// }
/// ```
#[derive(Debug, Default)]
pub struct Limited {
    /// The millisecond from which the next line may be written.
    next_ms: AtomicU64,
    suppressed: AtomicU64,
}

/// How many lines were suppressed since the last one; formats as nothing if there were none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct More(pub u64);

impl Limited {
    /// Creates a limit that allows the first line.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { next_ms: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Returns whether a line may be written now: at most one in any second.
    pub fn allow(&self, now: Now) -> Option<More> {
        // Relaxed everywhere: the exchange lets exactly one thread through, and neither number
        // publishes anything else. A count that is read too early is reported one line later.
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let is_first = now.ms() >= next_ms
            && self
                .next_ms
                .compare_exchange(
                    next_ms,
                    now.ms() + INTERVAL_MS,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if is_first {
            return Some(More(self.suppressed.swap(0, Ordering::Relaxed)));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            n => write!(f, " (suppressed {n} lines like this)"),
        }
    }
}

const INTERVAL_MS: u64 = 1_000;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_the_number_of_others() {
        let limited = Limited::new();
        let told = [0, 1, 999, 1_000, 1_001, 5_000]
            .map(|ms| limited.allow(Now::from_ms(ms)).map(|more| more.to_string()));
        let suppressed = |n| Some(format!(" (suppressed {n} lines like this)"));
        let wants = [Some(String::new()), None, None, suppressed(2), None, suppressed(1)];
        assert_eq!(told, wants);
    }
}
