//! RFC 2782: how the addresses of one record share its turns. The result is computed once as a
//! wheel, so each choice is one step around it.

use super::{Address, Slot};
use crate::limits::WHEEL_MAX;

/// Returns the turns of a wheel: the addresses of the lowest priority, each as often as its weight
/// says, and if possible never the same one twice in a row. The caller leaves out addresses that
/// cannot be chosen.
///
/// A weight of 0 next to other weights gets one turn in [`WHEEL_MAX`]; if all weights are equal,
/// all addresses share equally.
pub(crate) fn wheel(addresses: &[(Address, Slot)]) -> Box<[Slot]> {
    let lowest = addresses.iter().map(|(address, _)| address.priority).min();
    let best = addresses.iter().filter(|(address, _)| Some(address.priority) == lowest);
    let (weights, slots): (Vec<_>, Vec<_>) =
        best.map(|(address, slot)| (u64::from(address.weight), *slot)).unzip();
    let turns = turns(&weights);
    in_turn(&turns).into_iter().map(|at| slots[at]).collect()
}

/// Returns how many turns each weight gets: exactly in proportion if that fits a wheel of
/// [`WHEEL_MAX`], otherwise approximately, and always at least one.
fn turns(weights: &[u64]) -> Vec<u64> {
    let divisor = weights.iter().copied().reduce(gcd).unwrap_or(0);
    if divisor == 0 {
        return vec![1; weights.len()];
    }
    let sum: u64 = weights.iter().sum();
    if sum / divisor <= WHEEL_MAX as u64 && !weights.contains(&0) {
        return weights.iter().map(|weight| weight / divisor).collect();
    }
    // Everybody gets one turn. The rest goes by weight: whole turns first, then one each to those
    // with the largest remainder.
    let free = (WHEEL_MAX - weights.len().min(WHEEL_MAX)) as u64;
    let lacks_of = |weight: u64| (weight * WHEEL_MAX as u64).saturating_sub(sum);
    let lacks: Vec<u64> = weights.iter().map(|weight| lacks_of(*weight)).collect();
    let all: u64 = lacks.iter().sum::<u64>().max(1);
    let mut turns: Vec<u64> = lacks.iter().map(|lack| 1 + lack * free / all).collect();
    let mut by_rest: Vec<usize> = (0..weights.len()).collect();
    by_rest.sort_by_key(|at| std::cmp::Reverse(lacks[*at] * free % all));
    let left = (WHEEL_MAX as u64).saturating_sub(turns.iter().sum());
    for at in by_rest.into_iter().filter(|at| lacks[*at] > 0).take(left as usize) {
        turns[at] += 1;
    }
    turns
}

/// Spreads the turns: in each step every address gains its share, and the one with the most goes.
fn in_turn(turns: &[u64]) -> Vec<usize> {
    let sum: u64 = turns.iter().sum();
    let mut gained = vec![0i64; turns.len()];
    (0..sum)
        .map(|_| {
            for (gained, turns) in gained.iter_mut().zip(turns) {
                *gained += turns.cast_signed();
            }
            // The first of equals.
            let next = (0..turns.len()).rev().max_by_key(|at| gained[*at]).unwrap_or(0);
            gained[next] -= sum.cast_signed();
            next
        })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    /// `priority/weight`, in order; returns their positions.
    fn wheel_of(ranks: &str) -> String {
        let addresses: Vec<_> = ranks
            .split_whitespace()
            .zip(0..)
            .map(|(rank, at)| {
                let (priority, weight) = rank.split_once('/').unwrap();
                let socket = SocketAddr::from(([192, 0, 2, at], 5060));
                let (priority, weight) = (priority.parse().unwrap(), weight.parse().unwrap());
                (Address { priority, weight, socket }, Slot(at.into()))
            })
            .collect();
        wheel(&addresses).iter().map(|slot| slot.0.to_string()).collect()
    }

    #[test]
    fn shares() {
        for (ranks, wheel) in [
            ("", ""),
            ("0/0", "0"),
            ("0/0 0/0 0/0", "012"),
            ("7/50 7/50", "01"),
            ("0/3 0/1", "0010"),
            ("0/1 0/3", "1011"),
            ("0/60 0/30 0/10", "0100102010"),
            // Only the lowest priority that exists.
            ("20/1 10/1 10/1", "12"),
            ("10/5 20/500", "0"),
            ("65535/65535", "0"),
        ] {
            assert_eq!(wheel_of(ranks), wheel, "{ranks}");
        }
    }

    #[test]
    fn a_large_sum_is_rounded_and_nobody_is_left_out() {
        for (ranks, shares) in [
            ("0/0 0/10", vec![1, 511]),
            ("0/0 0/1 0/0", vec![1, 510, 1]),
            ("0/65535 0/1 0/65535", vec![256, 1, 255]),
            ("0/1000 0/1000 0/1001", vec![171, 170, 171]),
        ] {
            let wheel = wheel_of(ranks);
            let count = |at: usize| wheel.matches(&at.to_string()).count();
            let counts: Vec<_> = (0..shares.len()).map(count).collect();
            assert_eq!(counts, shares, "{ranks}");
            assert_eq!(wheel.len(), WHEEL_MAX);
        }
    }

    #[test]
    fn any_weights_fit_and_come_near_their_share() {
        let mut random = 7u64;
        for _ in 0..300 {
            let mut next = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % below
            };
            let weights: Vec<u64> = (0..=next(63)).map(|_| 1 + next(65_535)).collect();
            let turns = turns(&weights);
            let (sum, all) = (weights.iter().sum::<u64>(), turns.iter().sum::<u64>());
            assert!(turns.iter().all(|turns| *turns > 0) && all <= WHEEL_MAX as u64, "{turns:?}");
            for (weight, turns) in weights.iter().zip(&turns) {
                // Within a fiftieth of the whole.
                let is_near = (weight * all).abs_diff(turns * sum) * 50 < sum * all;
                assert!(is_near, "{weights:?}: {turns} for {weight}");
            }
        }
    }

    #[test]
    fn the_same_one_does_not_come_in_bursts() {
        let wheel = wheel_of("0/2 0/1 0/1");
        assert!(!wheel.contains("00") || wheel.ends_with('0'), "{wheel}");
        assert!(!format!("{wheel}{wheel}").contains("000"), "{wheel}");
    }
}
