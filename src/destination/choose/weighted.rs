//! Turns by weight: exactly in proportion, and none comes in a burst.
//!
//! As long as the sum of the weights is small, one round of turns is prepared as a sequence and then
//! walked: in each stretch of it, everyone has had its share to within one turn. A longer one would
//! take too long to prepare and too much memory: then turns step through the circle of all shares by
//! the golden ratio, which spreads any number of them evenly, and a table finds whose share it is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::Table;
use crate::limits::WEIGHT_TURNS_MAX;

/// Returns the table for records with these weights, none of them 0.
pub(super) fn table(weights: &[u32]) -> Table {
    let divisor = weights.iter().copied().reduce(gcd).unwrap_or(1).max(1);
    let weights: Vec<u64> = weights.iter().map(|weight| u64::from(weight / divisor)).collect();
    let sum: u64 = weights.iter().sum();
    if weights.iter().all(|weight| *weight == 1) {
        return Table::Even;
    }
    if sum <= WEIGHT_TURNS_MAX as u64 {
        Table::Steps(sequence(&weights).into())
    } else {
        Table::Shares(Shares::new(&weights))
    }
}

/// Returns one round of turns. Turn `k` of a weight `w` may be taken from `k * sum / w` on and is
/// due at `(k + 1) * sum / w`. Each time, the turn that is due first is taken, so every turn is taken
/// in its own span of time.
fn sequence(weights: &[u64]) -> Vec<u16> {
    let sum: u64 = weights.iter().sum();
    // When turn `k` begins, rounded up to whole turns, and when it is due, in parts of a turn. With
    // at most 2^16 turns, a product has 32 bits.
    let begins = |at: usize, k: u64| (k * sum).div_ceil(weights[at]);
    let is_due = |at: usize, k: u64| (((k + 1) * sum) << 20) / weights[at];
    let mut waiting: BinaryHeap<_> = (0..weights.len()).map(|at| Reverse((0, at, 0))).collect();
    let mut ready = BinaryHeap::new();
    let mut sequence = Vec::with_capacity(sum as usize);
    for now in 0..sum {
        while let Some(Reverse((begin, at, k))) = waiting.peek().copied()
            && begin <= now
        {
            waiting.pop();
            ready.push(Reverse((is_due(at, k), at, k)));
        }
        let Some(Reverse((_, at, k))) = ready.pop() else { break };
        sequence.push(at as u16);
        waiting.push(Reverse((begins(at, k + 1), at, k + 1)));
    }
    sequence
}

/// The circle of all shares, cut into as many cells of the same size as there are records. Each cell
/// holds a part of its own record's share, and behind it a part of one other's.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    cells: Arc<[Cell]>,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    /// How much of the cell is its own record's, of 2^64.
    own: u64,
    /// Whose the rest is.
    other: u16,
}

impl Shares {
    fn new(weights: &[u64]) -> Self {
        let count = weights.len() as u64;
        let sum: u64 = weights.iter().sum();
        // In units in which a cell has `sum`.
        let mut left: Vec<u64> = weights.iter().map(|weight| weight * count).collect();
        let (mut small, mut large): (Vec<_>, Vec<_>) =
            (0..weights.len()).partition(|at| left[*at] < sum);
        let mut cells: Vec<_> =
            (0..weights.len()).map(|at| Cell { own: u64::MAX, other: at as u16 }).collect();
        while let (Some(at), Some(other)) = (small.pop(), large.last().copied()) {
            let own = (u128::from(left[at]) << 64) / u128::from(sum);
            cells[at] = Cell { own: own as u64, other: other as u16 };
            left[other] -= sum - left[at];
            if left[other] < sum {
                large.pop();
                small.push(other);
            }
        }
        Self { cells: cells.into() }
    }

    /// Returns whose this turn is.
    pub(super) fn at(&self, turn: u64) -> Option<usize> {
        let angle = turn.wrapping_mul(GOLDEN);
        let product = u128::from(angle) * self.cells.len() as u128;
        let (at, within) = ((product >> 64) as usize, product as u64);
        let cell = self.cells.get(at)?;
        Some(if within < cell.own { at } else { usize::from(cell.other) })
    }
}

/// The golden ratio's fraction of 2^64. Its multiples divide the circle more evenly than those of any
/// other number.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(weights: &[u32]) -> String {
        match table(weights) {
            Table::Even => (0..weights.len()).map(|at| char::from(b'a' + at as u8)).collect(),
            Table::Steps(steps) => steps.iter().map(|at| char::from(b'a' + *at as u8)).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn short_rounds() {
        for (weights, wants) in [
            (&[1][..], "a"),
            (&[50, 50], "ab"),
            (&[7, 7, 7], "abc"),
            (&[3, 1], "abaa"),
            (&[1, 3], "babb"),
            (&[50, 30, 20], "abacababac"),
            (&[60, 30, 10], "abacaababa"),
            (&[5, 1, 1], "abaacaa"),
            (&[10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "abacadaeafagahaiajak"),
        ] {
            assert_eq!(letters(weights), wants, "{weights:?}");
        }
    }

    #[test]
    fn everyone_has_its_share_at_every_moment() {
        let mut random = 7_u64;
        for _ in 0..200 {
            let mut next = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % below
            };
            let weights: Vec<u64> = (0..=next(40)).map(|_| 1 + next(100)).collect();
            let sum: u64 = weights.iter().sum();
            let mut had = vec![0_u64; weights.len()];
            for (turn, at) in (1..).zip(sequence(&weights)) {
                had[usize::from(at)] += 1;
                for (had, weight) in had.iter().zip(&weights) {
                    // Within one turn of turn * weight / sum.
                    assert!((had * sum).abs_diff(turn * weight) <= sum, "{weights:?}: {turn}");
                }
            }
            assert_eq!(had, weights);
        }
    }

    #[test]
    fn a_sum_too_large_for_a_sequence_is_spread_as_well() {
        let weights: Vec<u32> = (0..10_000).map(|n| 1 + n * 37 % 100).collect();
        let Table::Shares(shares) = table(&weights) else { panic!() };
        let sum: u32 = weights.iter().sum();
        assert!(sum as usize > WEIGHT_TURNS_MAX);
        let mut had = vec![0_u32; weights.len()];
        let mut last = vec![0_u32; weights.len()];
        let turns = 20 * sum;
        for turn in 0..turns {
            let at = shares.at(u64::from(turn)).unwrap();
            had[at] += 1;
            // No burst: it does not come again at once.
            assert!(turn < 100 || turn - last[at] > 20, "{at} at {turn} after {}", last[at]);
            last[at] = turn;
        }
        for (had, weight) in had.iter().zip(&weights) {
            let wants = 20 * weight;
            assert!(had.abs_diff(wants) <= 4 + wants / 20, "{had} for {wants}");
        }
    }
}
