//! Overload control (RFC 7339): how many of its new requests a destination wants us to keep from it.
//!
//! One word holds the newest report, another until when it counts. A request that is kept from the
//! destination is one whose turn falls on one of the first N of 100 places. The turns visit the places in a
//! fixed order that spreads them, so of any 100 requests in a row exactly N are kept from it, and callers
//! that take turns do not always get the same half.
//!
//! Orderings: a worker that takes over an expired report writes the time before the report. Whoever reads
//! the report with acquire then also sees that it is in force, and does not replace it with an older one.
//! If two workers take a report at the same moment, the newer one wins, and it counts for as long as one of
//! the two says.

use crate::clock::Now;
use crate::limits::OC_END_MS;
use crate::message::{OcSeq, OverloadReport};
use crate::sync::{AtomicU64, Ordering};

/// How much less a destination asks for, and whose turn it is.
#[derive(Debug, Default)]
pub struct Overload {
    /// The number of the newest report, then its percentage.
    newest: AtomicU64,
    /// Until when it counts, in milliseconds of our clock.
    until_ms: AtomicU64,
    /// Requests that were counted while it asked for less: INVITE, and other methods.
    invites: AtomicU64,
    others: AtomicU64,
}

/// What a destination asks for now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asked {
    /// How many of 100 new requests are kept from it.
    pub percent: u8,
    /// For how many more milliseconds.
    pub left_ms: u64,
    /// The number of its report.
    pub seq: OcSeq,
    /// How many of 100 INVITEs were counted: the next one is this one of them, from 0.
    pub turn: u8,
}

impl Overload {
    /// Takes a report of the destination if it is newer than the one in force.
    pub fn report(&self, now: Now, report: &OverloadReport) {
        let (percent, validity_ms) = match report.validity_ms {
            0 => (0, OC_END_MS),
            validity_ms => (report.percent, validity_ms),
        };
        let (until_ms, seq) = (now.ms() + u64::from(validity_ms), report.seq.bits());
        let mut word = self.newest.load(Ordering::Acquire);
        loop {
            let is_over = self.until_ms.load(Ordering::Relaxed) <= now.ms();
            let before = word >> PERCENT_BITS;
            // Reports without a number count in the order in which they arrive.
            if !is_over && seq <= before && (seq, before) != (0, 0) {
                return;
            }
            if is_over {
                self.until_ms.fetch_max(until_ms, Ordering::Relaxed);
            }
            let next = seq << PERCENT_BITS | u64::from(percent);
            let (set, failed) = (Ordering::AcqRel, Ordering::Acquire);
            match self.newest.compare_exchange(word, next, set, failed) {
                Ok(_) => break,
                Err(found) => word = found,
            }
        }
        self.until_ms.store(until_ms, Ordering::Relaxed);
    }

    /// Returns how many of 100 new requests are to be kept from it.
    pub fn percent(&self, now: Now) -> u8 {
        // Relaxed: a worker that still reads the words before sends one request more or less.
        if self.until_ms.load(Ordering::Relaxed) <= now.ms() {
            return 0;
        }
        percent_of(self.newest.load(Ordering::Relaxed))
    }

    /// Counts a request that would go to it; returns whether it is kept from it.
    pub fn take(&self, now: Now, is_invite: bool) -> bool {
        let percent = self.percent(now);
        // Relaxed: each number is drawn once, and orders nothing.
        percent > 0 && place(self.turns(is_invite).fetch_add(1, Ordering::Relaxed)) < percent
    }

    /// Returns what [`Overload::take`] would return, and counts nothing.
    pub fn look(&self, now: Now, is_invite: bool) -> bool {
        place(self.turns(is_invite).load(Ordering::Relaxed)) < self.percent(now)
    }

    /// Returns what it asks for; `None` if nothing is in force.
    pub fn asked(&self, now: Now) -> Option<Asked> {
        let percent = self.percent(now);
        let left_ms = self.until_ms.load(Ordering::Relaxed).saturating_sub(now.ms());
        (percent > 0).then(|| Asked {
            percent,
            left_ms,
            seq: OcSeq::from_bits(self.newest.load(Ordering::Relaxed) >> PERCENT_BITS),
            turn: (self.invites.load(Ordering::Relaxed) % 100) as u8,
        })
    }

    /// INVITE has its own turns: otherwise OPTIONS between calls could take all turns that are sent.
    fn turns(&self, is_invite: bool) -> &AtomicU64 {
        if is_invite { &self.invites } else { &self.others }
    }
}

/// Returns the place of this turn. The step has no divisor in common with 100, so 100 turns visit each place
/// once. It is close to the golden ratio of 100, so neighbouring places are visited far from each other.
fn place(turn: u64) -> u8 {
    (turn % 100 * 61 % 100) as u8
}

fn percent_of(word: u64) -> u8 {
    (word % (1 << PERCENT_BITS)) as u8
}

/// 100 fits, and the number of a report beside it.
const PERCENT_BITS: u32 = 7;

const _: () = assert!(PERCENT_BITS + OcSeq::BITS == u64::BITS);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const T0: u64 = 1_000_000;

    fn at(ms: u64) -> Now {
        Now::from_ms(T0 + ms)
    }

    fn report(percent: u8, validity_ms: u32, seq: u64) -> OverloadReport {
        OverloadReport { percent, validity_ms, seq: OcSeq::new(0, seq).unwrap() }
    }

    /// Returns which of so many requests are kept from it, as digits.
    fn kept(overload: &Overload, now: Now, count: usize) -> Vec<bool> {
        let take = |_| {
            let looked = overload.look(now, true);
            let taken = overload.take(now, true);
            assert_eq!(looked, taken);
            taken
        };
        (0..count).map(take).collect()
    }

    #[test]
    fn which_report_counts() {
        /// When it arrives, and the report; then when it is looked at, and the percentage in force.
        type Step = (u64, Option<(u8, u32, u64)>, u8);
        let rows: &[(&str, &[Step])] = &[
            ("nothing is asked for", &[(0, None, 0)]),
            (
                "until its time is over",
                &[(0, Some((30, 500, 1)), 30), (499, None, 30), (500, None, 0)],
            ),
            (
                "the same number does not prolong it",
                &[(0, Some((30, 500, 1)), 30), (400, Some((30, 500, 1)), 30), (500, None, 0)],
            ),
            (
                "a newer one replaces it, and its time",
                &[
                    (0, Some((30, 500, 1)), 30),
                    (400, Some((40, 200, 2)), 40),
                    (599, None, 40),
                    (600, None, 0),
                ],
            ),
            (
                "an older one does not",
                &[(0, Some((30, 500, 5)), 30), (100, Some((90, 9_000, 4)), 30), (500, None, 0)],
            ),
            (
                "after its time any number counts",
                &[
                    (0, Some((30, 500, 5)), 30),
                    (500, Some((20, 100, 1)), 20),
                    (599, None, 20),
                    (600, None, 0),
                ],
            ),
            (
                "a validity of 0 ends it, whatever its percentage",
                &[
                    (0, Some((30, 500, 1)), 30),
                    (1, Some((30, 0, 2)), 0),
                    (2, Some((30, 500, 1)), 0),
                    (3, Some((60, 500, 3)), 60),
                ],
            ),
            (
                "an old one does not come back after the end",
                &[
                    (0, Some((0, 0, 2)), 0),
                    (31_999, Some((30, 500, 1)), 0),
                    (32_000, Some((30, 500, 1)), 30),
                ],
            ),
            (
                "0 percent is a report like others",
                &[
                    (0, Some((30, 500, 1)), 30),
                    (1, Some((0, 500, 2)), 0),
                    (2, Some((30, 500, 1)), 0),
                ],
            ),
            (
                "without numbers, the last one to arrive",
                &[
                    (0, Some((30, 500, 0)), 30),
                    (100, Some((10, 500, 0)), 10),
                    (599, None, 10),
                    (600, None, 0),
                ],
            ),
            (
                "one without a number is older than one with",
                &[(0, Some((30, 500, 1)), 30), (1, Some((10, 500, 0)), 30)],
            ),
        ];
        for (says, steps) in rows {
            let overload = Overload::default();
            for (ms, new, wants) in *steps {
                if let Some((percent, validity_ms, seq)) = *new {
                    overload.report(at(*ms), &report(percent, validity_ms, seq));
                }
                assert_eq!(overload.percent(at(*ms)), *wants, "{says}, at {ms} ms");
            }
        }
    }

    #[test]
    fn what_it_asks_for() {
        let overload = Overload::default();
        assert_eq!(overload.asked(at(0)), None);
        overload.report(at(0), &report(30, 500, 9));
        kept(&overload, at(0), 3);
        let seq = OcSeq::new(0, 9).unwrap();
        let wants = Asked { percent: 30, left_ms: 400, seq, turn: 3 };
        assert_eq!(overload.asked(at(100)), Some(wants));
        assert_eq!(overload.asked(at(500)), None);
        overload.report(at(501), &report(0, 0, 10));
        assert_eq!(overload.asked(at(502)), None);
    }

    #[test]
    fn of_any_hundred_requests_exactly_as_many_as_asked_for() {
        for percent in 0..=100 {
            let overload = Overload::default();
            overload.report(at(0), &report(percent, 500, 1));
            let kept = kept(&overload, at(0), 300);
            for window in kept.windows(100) {
                let count = window.iter().filter(|kept| **kept).count();
                assert_eq!(count, usize::from(percent));
            }
            // They are spread: no quarter has many more than another.
            for window in kept.windows(25) {
                let count = window.iter().filter(|kept| **kept).count();
                assert!((4 * count).abs_diff(usize::from(percent)) <= 12, "{percent}: {count}");
            }
        }
    }

    #[test]
    fn callers_that_take_turns_are_kept_away_alike() {
        for callers in [2, 4, 5, 10] {
            for percent in [10, 20, 40, 50, 80] {
                let overload = Overload::default();
                overload.report(at(0), &report(percent, 500, 1));
                let kept = kept(&overload, at(0), 100 * callers);
                for caller in 0..callers {
                    let own = kept.iter().skip(caller).step_by(callers).filter(|kept| **kept);
                    let count = own.count();
                    assert!(
                        count.abs_diff(usize::from(percent)) <= 4,
                        "{callers} {percent} {count}"
                    );
                }
            }
        }
    }

    #[test]
    fn methods_have_turns_of_their_own() {
        let overload = Overload::default();
        overload.report(at(0), &report(50, 500, 1));
        let count = |is_invite| (0..100).filter(|_| overload.take(at(0), is_invite)).count();
        assert_eq!([true, false, true].map(count), [50; 3]);
        // Without a report no turn is taken.
        assert!(!overload.take(at(500), true));
        assert_eq!(overload.invites.load(Ordering::Relaxed), 200);
    }
}
