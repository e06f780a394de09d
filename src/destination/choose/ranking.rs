//! The order of the records by their priorities, of which a long time to answer takes something away:
//! Kamailio's algorithm 13.
//!
//! The records with the highest priority that is left take turns. Whoever measures the times brings
//! the order up to date, and the workers read it meanwhile. A choice is one step in a set of any size.
//!
//! **Orderings.** Each word of the order is the position of some record at every moment, so all that a
//! worker can read while the order changes is a mixture of the old one and the new one. For one call
//! that is as good as either.

use std::cmp::Reverse;

use crate::destination::{Place, Slot};
use crate::sync::{AtomicU64, Ordering};

/// The records of a set in their order.
#[derive(Debug)]
pub(crate) struct Ranking {
    /// The priorities of the records that can be chosen.
    priorities: Box<[i32]>,
    /// Their positions, the highest priority first.
    order: Box<[AtomicU64]>,
    /// How many of them have the highest priority.
    best: AtomicU64,
    /// No others are offered, also when these are at their limits.
    stays: bool,
}

impl Ranking {
    /// Creates the order of records with these priorities; `late_ms` is what [`adjusted`] takes.
    pub(super) fn new(
        priorities: Vec<i32>,
        places: &[Place],
        stays: bool,
        late_ms: impl Fn(Slot) -> u64,
    ) -> Self {
        let ranking = Self {
            order: (0..priorities.len()).map(|at| AtomicU64::new(at as u64)).collect(),
            priorities: priorities.into(),
            best: AtomicU64::new(0),
            stays,
        };
        ranking.update(places, late_ms);
        ranking
    }

    /// Brings the order up to date. Only one thread at a time may do so.
    pub(super) fn update(&self, places: &[Place], late_ms: impl Fn(Slot) -> u64) {
        let late = |place: &Place| place.addresses().iter().map(|slot| late_ms(*slot)).max();
        let ranks = self.priorities.iter().zip(places);
        let ranks: Vec<_> =
            ranks.map(|(priority, place)| adjusted(*priority, late(place).unwrap_or(0))).collect();
        let mut order: Vec<_> = (0..ranks.len()).collect();
        // Equal ones stay in the order of the set.
        order.sort_by_key(|at| Reverse(ranks[*at]));
        let best = order.iter().take_while(|at| ranks[**at] == ranks[order[0]]).count();
        for (word, at) in self.order.iter().zip(order) {
            word.store(at as u64, Ordering::Relaxed);
        }
        self.best.store(best as u64, Ordering::Relaxed);
    }

    /// Returns whose this turn is.
    pub(super) fn at(&self, turn: u64) -> Option<usize> {
        let best = self.best.load(Ordering::Relaxed);
        self.nth(turn.checked_rem(best)? as usize)
    }

    /// Returns all positions: first those that take turns, from this turn on, then the others, if calls
    /// may go there.
    pub(super) fn from(&self, turn: u64) -> impl Iterator<Item = usize> {
        let best = self.best.load(Ordering::Relaxed) as usize;
        let next = turn.checked_rem(best as u64).unwrap_or(0) as usize;
        let last = if self.stays { best } else { self.order.len() };
        let turns = (next..best).chain(0..next).chain(best..last);
        turns.filter_map(|n| self.nth(n))
    }

    fn nth(&self, n: usize) -> Option<usize> {
        self.order.get(n).map(|word| word.load(Ordering::Relaxed) as usize)
    }
}

/// Returns what is left of a priority if a destination takes this long to answer. A time that is not
/// longer than the priority takes nothing away. Of a longer one, each whole multiple of the priority
/// takes 1, and 1 is left at least.
fn adjusted(priority: i32, late_ms: u64) -> i64 {
    let whole = i64::from(priority);
    let late = i64::try_from(late_ms).unwrap_or(i64::MAX);
    if whole > 0 && late > whole { (whole - late / whole).max(1) } else { whole }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_priority() {
        for (priority, late_ms, wants) in [
            (30, 0, 30),
            (30, 21, 30),
            (30, 30, 30),
            (30, 31, 29),
            (30, 59, 29),
            (30, 60, 28),
            (30, 91, 27),
            (30, 1_000_000, 1),
            (1, 900, 1),
            (0, 900, 0),
            (-5, 900, -5),
            (i32::MAX, u64::MAX, 1),
        ] {
            assert_eq!(adjusted(priority, late_ms), wants, "{priority} {late_ms}");
        }
    }

    #[test]
    fn an_order_follows_the_times() {
        let places: Vec<_> = (0..4).map(|slot| Place::One(Slot(slot))).collect();
        let mut late = [21, 61, 91, 20];
        let ranking = Ranking::new(vec![30; 4], &places, false, |slot| late[usize::from(slot.0)]);
        let turns = |ranking: &Ranking| (0..4).map(|turn| ranking.at(turn).unwrap()).collect();
        let told: Vec<usize> = turns(&ranking);
        assert_eq!(told, [0, 3, 0, 3]);
        assert_eq!(ranking.from(1).collect::<Vec<_>>(), [3, 0, 1, 2]);
        late = [200, 61, 91, 200];
        ranking.update(&places, |slot| late[usize::from(slot.0)]);
        let told: Vec<usize> = turns(&ranking);
        assert_eq!(told, [1, 1, 1, 1]);
        assert_eq!(ranking.from(7).collect::<Vec<_>>(), [1, 2, 0, 3]);
        assert_eq!(Ranking::new(Vec::new(), &[], false, |_| 0).at(7), None);
    }

    #[test]
    fn of_several_addresses_the_slowest_counts() {
        let several =
            Place::Several { wheel: [1, 2].map(Slot).into(), turns: std::sync::Arc::default() };
        let places = [Place::One(Slot(0)), several];
        let late = |slot: Slot| [50, 0, 70][usize::from(slot.0)];
        let ranking = Ranking::new(vec![30, 30], &places, true, late);
        assert_eq!((ranking.at(0), ranking.at(1)), (Some(0), Some(0)));
        assert_eq!(ranking.from(0).collect::<Vec<_>>(), [0], "it stays with the best");
    }
}
