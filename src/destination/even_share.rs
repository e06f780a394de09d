//! Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016): a destination that
//! holds more than its share of the calls in progress, times a factor, is passed over.
//!
//! The factor is above 1, so there is always a destination that is not passed over.

use std::sync::Arc;

use super::{Place, Slot};
use crate::limits::WHEEL_MAX;

/// How much each destination of a set may hold.
#[derive(Clone, Debug)]
pub(crate) struct EvenShares {
    /// In percent.
    factor: u64,
    /// The share of each destination, sorted by slot.
    shares: Arc<[(Slot, u64)]>,
    /// Their sum.
    all: u64,
}

impl EvenShares {
    /// Creates it for records with these weights.
    pub(crate) fn new<'a>(
        factor_percent: u32,
        records: impl IntoIterator<Item = (&'a Place, u32)>,
    ) -> Self {
        let mut shares: Vec<_> = records
            .into_iter()
            .flat_map(|(place, weight)| {
                let addresses = place.addresses();
                let share = u64::from(weight) * PARTS / addresses.len().max(1) as u64;
                addresses.iter().map(move |slot| (*slot, share))
            })
            .collect();
        shares.sort_unstable();
        // Several turns of one address.
        shares.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0 };
            is_same
        });
        let all = shares.iter().map(|(_, share)| share).sum();
        Self { factor: factor_percent.into(), shares: shares.into(), all }
    }

    /// Returns whether a destination with `calls` in progress holds its part of all calls already.
    /// `calls_of_set` counts the new call, too.
    pub(crate) fn is_over(&self, slot: Slot, calls: u64, calls_of_set: u64) -> bool {
        let Ok(at) = self.shares.binary_search_by_key(&slot, |(slot, _)| *slot) else {
            return false;
        };
        let part =
            u128::from(calls_of_set) * u128::from(self.factor) * u128::from(self.shares[at].1);
        u128::from(calls) >= part.div_ceil(u128::from(self.all) * 100)
    }
}

/// Parts of a weight, so that the addresses of a record can share it. A wheel has fewer turns.
const PARTS: u64 = 1 << 16;

const _: () = assert!(WHEEL_MAX as u64 * 64 < PARTS);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn place(slots: &[u16]) -> Place {
        match slots {
            [slot] => Place::One(Slot(*slot)),
            several => Place::Several {
                wheel: several.iter().copied().map(Slot).collect(),
                turns: Arc::default(),
            },
        }
    }

    /// The fewest calls with which each destination is over its share.
    fn limits(shares: &EvenShares, calls_of_set: u64, slots: &[u16]) -> Vec<u64> {
        let limit = |slot: &u16| {
            (0..10 * calls_of_set)
                .find(|calls| shares.is_over(Slot(*slot), *calls, calls_of_set))
                .unwrap()
        };
        slots.iter().map(limit).collect()
    }

    #[test]
    fn shares_of_all_calls_rounded_up() {
        let even = [place(&[1]), place(&[2]), place(&[3]), place(&[4])];
        for (factor, calls, wants) in [
            (125, 1, 1),
            (125, 3, 1),
            (125, 4, 2),
            (125, 100, 32),
            (125, 101, 32),
            (101, 100, 26),
            (200, 100, 50),
            (1_000, 1_000_000, 2_500_000),
        ] {
            let shares = EvenShares::new(factor, even.iter().map(|place| (place, 1)));
            assert_eq!(limits(&shares, calls, &[1, 4]), [wants, wants], "{factor} {calls}");
            assert!(!shares.is_over(Slot(9), 1_000_000, 1), "it is not one of the set");
        }
    }

    #[test]
    fn weights_and_addresses() {
        let places = [place(&[1]), place(&[2]), place(&[3, 4, 3, 3])];
        let weights = [10, 50, 40];
        let shares = EvenShares::new(150, places.iter().zip(weights));
        assert_eq!(limits(&shares, 100, &[1, 2, 3, 4]), [15, 75, 45, 15]);
    }

    #[test]
    fn one_is_always_left() {
        let places: Vec<_> = (0..7).map(|slot| place(&[slot])).collect();
        let shares = EvenShares::new(101, places.iter().zip([1, 2, 3, 4, 5, 6, 7]));
        let mut calls = [0_u64; 7];
        for of_set in 1..2_000 {
            let has_room = |slot: &usize| !shares.is_over(Slot(*slot as u16), calls[*slot], of_set);
            // The worst that a hash can do: always the last one that has room.
            let slot = (0..7).rev().find(has_room).unwrap();
            calls[slot] += 1;
        }
    }
}
