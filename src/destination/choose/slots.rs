//! Kamailio's tables of 100 slots, for `compat = "kamailio"`.
//!
//! Kamailio shuffles them at random when it loads the list. Here the slots are spread by a fixed step,
//! which gives the same shares.

/// Returns the table of algorithm 9: each record has as many slots as its weight, in the order of the
/// set. Those for which there is no slot left get nothing, and what is left over is the last one's.
/// Without a weight of the first record, everything is the first one's.
pub(super) fn by_weight(weights: &[u32]) -> Vec<usize> {
    if weights.first().copied().unwrap_or(0) == 0 {
        return vec![0; SLOTS];
    }
    let mut slots: Vec<usize> = (weights.iter().enumerate())
        .flat_map(|(at, weight)| std::iter::repeat_n(at, *weight as usize))
        .take(SLOTS)
        .collect();
    slots.resize(SLOTS, weights.len() - 1);
    spread(&slots)
}

/// Returns the table of algorithm 11: each record that can be chosen has its share of 100 slots,
/// rounded down, and what is left over is the last one's that got any. Without weights, everything is
/// the first one's. `weights` has 0 for those that cannot be chosen.
pub(super) fn by_relative_weight(weights: &[u32]) -> Vec<usize> {
    let sum: u32 = weights.iter().sum();
    if sum == 0 || weights.len() < 2 {
        return vec![0; SLOTS];
    }
    let mut slots: Vec<usize> = (weights.iter().enumerate())
        .flat_map(|(at, weight)| std::iter::repeat_n(at, (*weight as usize * SLOTS) / sum as usize))
        .collect();
    let last = slots.last().copied().unwrap_or(weights.len() - 1);
    slots.resize(SLOTS, last);
    spread(&slots)
}

/// The slots of one table.
const SLOTS: usize = 100;

/// Returns the same slots in another order: 61 and 100 have no common divisor.
fn spread(slots: &[usize]) -> Vec<usize> {
    (0..SLOTS).map(|at| slots[at * 61 % SLOTS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(slots: &[usize], count: usize) -> Vec<usize> {
        assert_eq!(slots.len(), SLOTS);
        (0..count).map(|at| slots.iter().filter(|slot| **slot == at).count()).collect()
    }

    #[test]
    fn weights() {
        for (weights, wants) in [
            (&[50, 50][..], vec![50, 50]),
            (&[20, 30], vec![20, 80]),
            (&[60, 60, 60], vec![60, 40, 0]),
            (&[100, 1], vec![100, 0]),
            (&[0, 50], vec![100, 0]),
            (&[10, 0, 10], vec![10, 0, 90]),
            (&[7], vec![100]),
        ] {
            assert_eq!(shares(&by_weight(weights), weights.len()), wants, "{weights:?}");
        }
    }

    #[test]
    fn relative_weights() {
        for (weights, wants) in [
            (&[50, 50][..], vec![50, 50]),
            (&[1, 1, 1], vec![33, 33, 34]),
            (&[2, 1], vec![66, 34]),
            (&[100, 100, 1], vec![49, 51, 0]),
            (&[0, 5, 0, 5], vec![0, 50, 0, 50]),
            (&[0, 0], vec![100, 0]),
            (&[7], vec![100]),
        ] {
            assert_eq!(shares(&by_relative_weight(weights), weights.len()), wants, "{weights:?}");
        }
    }
}
