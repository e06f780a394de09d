//! Chooses by how busy destinations are: for calls by the number of calls in progress, for every request
//! by how long they take to answer.
//!
//! `call-load` looks at every address and takes the one with the fewest calls, the first of several, as
//! Kamailio does. `least-calls` and `fastest` look at two that are chosen at random, and take the one with
//! fewer calls, or that answers faster. That costs the same in a set of any size, and not all workers choose
//! the same one at the same time.
//!
//! All of them only look. The caller counts the call and then knows whether there was still room.

use super::{Ask, Chooser, Draw, Place};
use crate::destination::Slot;
use crate::limits::{LIMIT_DRAWS_MAX, LIMIT_LOOKS_MAX};

impl Chooser {
    /// Returns the destination with the least load; `None` if the algorithm goes by something else, or
    /// if it finds none below its limit. `load` returns what [`Chooser::compares`] says, and `None` for
    /// a destination that is at its limit of calls.
    pub(crate) fn pick_by_load(
        &self,
        ask: &Ask,
        load: impl Fn(Slot) -> Option<u64>,
    ) -> Option<Slot> {
        match self.draw {
            _ if self.places.is_empty() => None,
            Draw::Least if ask.is_invite => self.least(ask, load),
            Draw::LessOfTwo if ask.is_invite => self.less_of_two(ask, load),
            Draw::FasterOfTwo => self.less_of_two(ask, load),
            _ => None,
        }
    }

    fn least(&self, ask: &Ask, load: impl Fn(Slot) -> Option<u64>) -> Option<Slot> {
        let count = self.places.len();
        // All of them, from the first one; of a large set a part that begins anywhere.
        let start =
            if count <= LIMIT_LOOKS_MAX { 0 } else { (ask.entropy % count as u64) as usize };
        let places = (0..count).map(|step| &self.places[(start + step) % count]);
        let slots = places.flat_map(Place::addresses).take(LIMIT_LOOKS_MAX);
        let below = slots.filter_map(|slot| Some((load(*slot)?, *slot)));
        below.min_by_key(|(load, _)| *load).map(|(_, slot)| slot)
    }

    fn less_of_two(&self, ask: &Ask, load: impl Fn(Slot) -> Option<u64>) -> Option<Slot> {
        (0..LIMIT_DRAWS_MAX as u64).find_map(|drawn| {
            let number = ask.again(drawn).entropy;
            let count = self.places.len() as u64;
            let one = number % count;
            // Any but the first one, if there is another.
            let other = (one + 1 + (number >> 32) % (count - 1).max(1)) % count;
            let both = [one, other].map(|at| {
                let addresses = self.places[at as usize].addresses();
                addresses[((number >> 16) % addresses.len() as u64) as usize]
            });
            let below = both.into_iter().filter_map(|slot| Some((load(slot)?, slot)));
            below.min_by_key(|(load, _)| *load).map(|(_, slot)| slot)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::destination::choose::{Candidate, Standing};
    use crate::destination::{Algorithm, Choosing};

    fn chooser(algorithm: Algorithm, count: u16) -> Chooser {
        let choosing = Choosing { algorithm, ..Choosing::default() };
        let candidate =
            |slot| Candidate { standing: Standing::default(), place: Some(Place::One(Slot(slot))) };
        Chooser::new(&choosing, (0..count).map(candidate).collect(), Arc::default(), (0, 0), |_| 0)
    }

    fn ask(number: u64) -> Ask {
        let entropy = number.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
        Ask { is_invite: true, entropy: entropy.wrapping_mul(0x94d0_49bb_1331_11eb), key: None }
    }

    #[test]
    fn the_fewest_and_the_first_of_several() {
        for (calls, wants) in [
            (&[Some(3), Some(1), Some(2)][..], Some(1)),
            (&[Some(2), Some(1), Some(1)], Some(1)),
            (&[None, Some(9), None], Some(1)),
            (&[None, None, None], None),
            (&[], None),
        ] {
            let chooser = chooser(Algorithm::CallLoad, calls.len() as u16);
            let of = |slot: Slot| calls[usize::from(slot.0)];
            assert_eq!(chooser.pick_by_load(&ask(1), of).map(|slot| slot.0), wants, "{calls:?}");
            let other = Ask { is_invite: false, ..ask(1) };
            assert_eq!(chooser.pick_by_load(&other, |_| panic!("not a call")), None);
        }
        let by_turn = chooser(Algorithm::RoundRobin, 3);
        assert_eq!(by_turn.pick_by_load(&ask(1), |_| panic!("not by calls")), None);
    }

    #[test]
    fn of_a_large_set_any_part_is_looked_at() {
        let chooser = chooser(Algorithm::CallLoad, 2_000);
        let mut looked = 0;
        let mut chosen: Vec<_> = (0..500)
            .map(|n| {
                let looks = std::cell::Cell::new(0);
                let of = |slot: Slot| {
                    looks.set(looks.get() + 1);
                    Some(u64::from(slot.0 % 500))
                };
                let slot = chooser.pick_by_load(&ask(n), of).unwrap();
                looked = looked.max(looks.get());
                slot.0
            })
            .collect();
        assert_eq!(looked, LIMIT_LOOKS_MAX);
        chosen.sort_unstable();
        chosen.dedup();
        assert!(chosen.len() > 100, "{}", chosen.len());
    }

    #[test]
    fn two_choices_are_nearly_even_and_never_twice_the_same() {
        let chooser = chooser(Algorithm::LeastCalls, 10);
        let counts = std::cell::RefCell::new([0_u64; 10]);
        for n in 0..10_000 {
            let of = |slot: Slot| Some(counts.borrow()[usize::from(slot.0)]);
            let slot = chooser.pick_by_load(&ask(n), of).unwrap();
            counts.borrow_mut()[usize::from(slot.0)] += 1;
        }
        let counts = counts.into_inner();
        let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
        // One choice would spread them by some 100.
        assert!(spread <= 6, "{counts:?}");
        // The one with the most calls is never chosen, so the two always differ.
        for n in 0..1_000 {
            let of = |slot: Slot| Some(u64::from(slot.0 == 3));
            assert_ne!(chooser.pick_by_load(&ask(n), of), Some(Slot(3)));
        }
    }

    #[test]
    fn the_faster_of_two_gets_at_most_twice_its_share() {
        let chooser = chooser(Algorithm::Fastest, 10);
        let mut counts = [0_u64; 10];
        for n in 0..10_000 {
            let ask = Ask { is_invite: n % 2 == 0, ..ask(n) };
            let slot = chooser.pick_by_load(&ask, |slot| Some(u64::from(slot.0) * 100)).unwrap();
            counts[usize::from(slot.0)] += 1;
        }
        // Of ten, the n-th is the faster one in 18 - 2n of 90 pairs.
        for (n, count) in (0..).zip(counts) {
            let wants = 10_000 * (18 - 2 * n) / 90;
            assert!(u64::abs_diff(count, wants) < 200, "{counts:?}");
        }
        // Those that are not measured yet count as the fastest, and of equals each is the first.
        let mut counts = [0_u64; 10];
        for n in 0..10_000 {
            let slot = chooser.pick_by_load(&ask(n), |_| Some(0)).unwrap();
            counts[usize::from(slot.0)] += 1;
        }
        assert!(counts.iter().all(|count| count.abs_diff(1_000) < 150), "{counts:?}");
    }

    #[test]
    fn one_that_is_full_is_left_to_the_other() {
        let two = chooser(Algorithm::LeastCalls, 2);
        for n in 0..100 {
            let of = |slot: Slot| (slot.0 == 1).then_some(50);
            assert_eq!(two.pick_by_load(&ask(n), of), Some(Slot(1)));
        }
        let alone = chooser(Algorithm::LeastCalls, 1);
        assert_eq!(alone.pick_by_load(&ask(7), |_| Some(5)), Some(Slot(0)));
        assert_eq!(alone.pick_by_load(&ask(7), |_| None), None);
    }
}
