//! Which record a hash falls on, and what happens to the share of one that cannot be chosen.

use std::sync::Arc;

/// Divides a hash by the number of all records, so each keeps its share whatever happens to the
/// others. The share of one that cannot be chosen is spread evenly over those that can.
#[derive(Clone, Debug)]
pub(super) struct OwnOrAny {
    /// For each record of the set, its place among those that can be chosen, or [`NONE`].
    records: Arc<[u16]>,
}

/// Stands for a record that cannot be chosen: more than there are slots.
const NONE: u16 = u16::MAX;

const _: () = assert!(crate::limits::SLOTS_MAX < NONE as usize);

impl OwnOrAny {
    /// Creates it for these records: each with its place, if it can be chosen.
    pub(super) fn new(places: &[Option<u16>]) -> Self {
        Self { records: places.iter().map(|place| place.unwrap_or(NONE)).collect() }
    }

    /// Returns the place of a hash; `count` is the number of places.
    pub(super) fn at(&self, hash: u64, count: usize) -> Option<usize> {
        // Two independent halves: otherwise the share of one would fall on few of the others.
        let own = (hash >> 32).checked_rem(self.records.len() as u64)?;
        match self.records[own as usize] {
            NONE => (hash & u64::from(u32::MAX)).checked_rem(count as u64).map(|at| at as usize),
            place => Some(usize::from(place)),
        }
    }
}

/// Returns for each record the place of the first one from there on that can be chosen, as Kamailio
/// goes through a set; empty if there is none.
pub(super) fn next_of_each(places: &[Option<u16>]) -> Vec<u16> {
    let Some(mut next) = places.iter().flatten().next().copied() else {
        return Vec::new();
    };
    let mut each: Vec<u16> = places
        .iter()
        .rev()
        .map(|place| {
            next = place.unwrap_or(next);
            next
        })
        .collect();
    each.reverse();
    each
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a-b`: two records that can be chosen and one between them that cannot.
    fn places(text: &str) -> Vec<Option<u16>> {
        let mut place = 0..;
        text.chars().map(|c| (c != '-').then(|| place.next().unwrap())).collect()
    }

    #[test]
    fn the_next_of_each() {
        for (records, wants) in [
            ("abc", vec![0, 1, 2]),
            ("-bc", vec![0, 0, 1]),
            ("a-c", vec![0, 1, 1]),
            ("ab-", vec![0, 1, 0]),
            ("a--", vec![0, 0, 0]),
            ("-b-", vec![0, 0, 0]),
            ("--", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(next_of_each(&places(records)), wants, "{records}");
        }
    }

    #[test]
    fn others_keep_theirs_and_the_share_of_a_dead_one_is_spread() {
        let (all, without) = (OwnOrAny::new(&places("abcd")), OwnOrAny::new(&places("a-cd")));
        let mut taken_over = [0; 3];
        for n in 0..30_000_u64 {
            let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let before = all.at(hash, 4).unwrap();
            let after = without.at(hash, 3).unwrap();
            match before {
                1 => taken_over[after] += 1,
                0 => assert_eq!(after, 0),
                later => assert_eq!(after, later - 1),
            }
        }
        assert!(taken_over.iter().all(|count| (2_300..2_700).contains(count)), "{taken_over:?}");
    }
}
