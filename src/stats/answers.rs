//! How destinations answer: responses by class, and how long calls wait for the first and for the
//! final response.
//!
//! Each worker has its own numbers for each slot. Like those of [`super::Traffic`], whose memory they
//! are in, they only grow, also when a slot is given to another destination.

use std::time::Duration;

use crate::message::Method;
use crate::proxy::Heard;
use crate::sync::{AtomicU64, Ordering};

/// What was counted for one slot, by all workers together. Its numbers wrap.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SlotAnswers {
    /// Responses by class, 1xx to 6xx, copies and those to requests in a dialog included.
    pub classes: [u64; CLASSES],
    /// From a call to its first response.
    pub first: Times,
    /// From a call to its final response.
    pub last: Times,
}

impl SlotAnswers {
    /// Adds those of another slot.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.classes.iter_mut().zip(other.classes) {
            *sum = sum.wrapping_add(count);
        }
        self.first.add(&other.first);
        self.last.add(&other.last);
    }

    /// Returns what was counted after `before`, an earlier look at the same slot.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let class = |class: usize| self.classes[class].wrapping_sub(before.classes[class]);
        Self {
            classes: std::array::from_fn(class),
            first: self.first.since(&before.first),
            last: self.last.since(&before.last),
        }
    }
}

/// How long something took, each time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Times {
    /// How often it took at most as long as [`BOUNDS_MS`] says at the same place, and longer than at the
    /// place before; at the end those above all bounds.
    pub counts: [u64; BUCKETS],
    /// The sum, in milliseconds.
    pub sum_ms: u64,
}

impl Times {
    /// Returns how many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |all, count| all.wrapping_add(*count))
    }

    /// Returns the sum.
    pub fn sum(&self) -> Duration {
        Duration::from_millis(self.sum_ms)
    }

    /// Adds those of another slot or worker.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum = sum.wrapping_add(count);
        }
        self.sum_ms = self.sum_ms.wrapping_add(other.sum_ms);
    }

    fn since(&self, before: &Self) -> Self {
        let count = |bucket: usize| self.counts[bucket].wrapping_sub(before.counts[bucket]);
        Self { counts: std::array::from_fn(count), sum_ms: self.sum_ms.wrapping_sub(before.sum_ms) }
    }
}

/// The numbers of one slot and one worker, who alone writes them.
pub(super) type Words = [AtomicU64; WORDS];

/// Counts a response.
#[inline]
pub(super) fn count(words: &Words, heard: &Heard) {
    let class = usize::from(heard.code / 100).clamp(1, CLASSES);
    super::traffic::add(&words[class - 1], 1);
    if heard.method != Method::Invite || !(heard.is_first || heard.is_final) {
        return;
    }
    let Some(age_ms) = heard.age_ms else { return };
    let bucket = BOUNDS_MS.iter().position(|bound| age_ms <= *bound).unwrap_or(BUCKETS - 1);
    for (is_one, place, sum) in
        [(heard.is_first, FIRST, FIRST_SUM), (heard.is_final, LAST, LAST_SUM)]
    {
        if is_one {
            super::traffic::add(&words[place + bucket], 1);
            super::traffic::add(&words[sum], u64::from(age_ms));
        }
    }
}

/// Adds what one worker counted.
pub(super) fn add_to(sum: &mut SlotAnswers, words: &Words) {
    let get = |at: usize| words[at].load(Ordering::Relaxed);
    let times = |place, sum| Times {
        counts: std::array::from_fn(|bucket| get(place + bucket)),
        sum_ms: get(sum),
    };
    for (class, all) in sum.classes.iter_mut().enumerate() {
        *all = all.wrapping_add(get(class));
    }
    sum.first.add(&times(FIRST, FIRST_SUM));
    sum.last.add(&times(LAST, LAST_SUM));
}

/// The classes of responses.
const CLASSES: usize = 6;

/// The upper bounds of the buckets of [`Times`], in milliseconds. Our clock has no finer ones.
pub const BOUNDS_MS: [u32; BUCKETS - 1] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

const BUCKETS: usize = 16;

// What each word counts: a cache line of classes and sums, and two for each histogram.
const FIRST_SUM: usize = 6;
const LAST_SUM: usize = 7;
const FIRST: usize = 8;
const LAST: usize = FIRST + BUCKETS;
/// Words of a slot.
pub(super) const WORDS: usize = LAST + BUCKETS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::Slot;

    fn heard(code: u16, (is_first, is_final): (bool, bool), age_ms: Option<u32>) -> Heard {
        Heard {
            slot: Slot(7),
            method: Method::Invite,
            code,
            is_first,
            is_final,
            age_ms,
            retry_after_s: None,
            failed: None,
        }
    }

    fn after(all: &[Heard]) -> SlotAnswers {
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        for heard in all {
            count(&words, heard);
        }
        let mut sum = SlotAnswers::default();
        add_to(&mut sum, &words);
        sum
    }

    fn one(bucket: usize, sum_ms: u64) -> Times {
        let mut times = Times { sum_ms, ..Times::default() };
        times.counts[bucket] = 1;
        times
    }

    #[test]
    fn each_response_is_of_one_class() {
        for (code, class) in
            [(100, 0), (183, 0), (200, 1), (299, 1), (302, 2), (486, 3), (503, 4), (603, 5)]
        {
            let all = after(&[heard(code, (false, false), Some(1))]);
            let mut wants = SlotAnswers::default();
            wants.classes[class] = 1;
            assert_eq!(all, wants, "{code}");
        }
    }

    #[test]
    fn first_and_final_responses_of_calls_are_timed() {
        let nothing = Times::default();
        for (says, of, first, last) in [
            ("a first 100", heard(100, (true, false), Some(3)), one(2, 3), nothing),
            ("a 180 after it", heard(180, (false, false), Some(9)), nothing, nothing),
            ("a 200 after it", heard(200, (false, true), Some(700)), nothing, one(9, 700)),
            ("a 486 at once", heard(486, (true, true), Some(10)), one(3, 10), one(3, 10)),
            ("of unknown age", heard(200, (true, true), None), nothing, nothing),
            (
                "to an OPTIONS",
                Heard { method: Method::Options, ..heard(200, (true, true), Some(1)) },
                nothing,
                nothing,
            ),
        ] {
            let all = after(&[of]);
            assert_eq!((all.first, all.last), (first, last), "{says}");
        }
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let bucket = |age_ms| {
            let all = after(&[heard(180, (true, false), Some(age_ms))]);
            assert_eq!((all.first.count(), all.first.sum_ms), (1, u64::from(age_ms)));
            all.first.counts.iter().position(|count| *count == 1).unwrap()
        };
        assert_eq!([0, 1, 2, 3].map(bucket), [0, 0, 1, 2]);
        for (at, bound) in BOUNDS_MS.into_iter().enumerate() {
            assert_eq!((bucket(bound), bucket(bound + 1)), (at, at + 1), "{bound}");
        }
        assert_eq!(bucket(u32::MAX), BOUNDS_MS.len());
    }

    #[test]
    fn sums_are_those_of_all() {
        let mut all = one(1, 2);
        all.add(&one(1, 2));
        all.add(&one(15, 70_000));
        assert_eq!((all.counts[1], all.counts[15], all.count()), (2, 1, 3));
        assert_eq!(all.sum(), Duration::from_millis(70_004));
    }
}
