//! What happened to the demo's calls, in numbers. Each caller keeps its own tally; the view and the
//! report add them up.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// The longest setup time in the histogram, in microseconds: longer than any call is waited for.
const SETUP_US_MAX: u64 = 60_000_000;

/// The numbers of one caller, or of all.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Calls started.
    pub started: u64,
    /// Calls that went from INVITE to the 200 for their BYE, at one destination.
    pub completed: u64,
    /// Calls that failed, by what went wrong.
    pub failed: BTreeMap<String, u64>,
    /// Calls answered by each destination.
    pub per_destination: Vec<u64>,
    /// Requests sent again because there was no response.
    pub retransmissions: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// From the first INVITE sent to the 200 received, in microseconds.
    pub setup_us: Histogram<u64>,
}

impl Tally {
    /// Creates an empty tally for this many destinations.
    pub(super) fn new(destinations: usize) -> Self {
        Self {
            started: 0,
            completed: 0,
            failed: BTreeMap::new(),
            per_destination: vec![0; destinations],
            retransmissions: 0,
            sent: 0,
            received: 0,
            setup_us: Histogram::new_with_bounds(1, SETUP_US_MAX, 3).expect("valid bounds"),
        }
    }

    /// Adds the numbers of another caller.
    pub(super) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.completed += other.completed;
        for (why, count) in &other.failed {
            *self.failed.entry(why.clone()).or_default() += count;
        }
        for (sum, count) in self.per_destination.iter_mut().zip(&other.per_destination) {
            *sum += count;
        }
        self.retransmissions += other.retransmissions;
        self.sent += other.sent;
        self.received += other.received;
        self.setup_us.add(&other.setup_us).expect("equal bounds");
    }

    /// Returns the number of calls that failed, for any reason.
    pub fn failed_count(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Returns whether no destination got more than one call more than another.
    pub fn is_even(&self) -> bool {
        let most = self.per_destination.iter().max();
        let least = self.per_destination.iter().min();
        most.zip(least).is_some_and(|(most, least)| most - least <= 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_means_to_the_call() {
        let mut tally = Tally::new(3);
        for (counts, even) in
            [([0, 0, 0], true), ([1, 1, 0], true), ([2, 1, 0], false), ([7, 7, 9], false)]
        {
            tally.per_destination = counts.to_vec();
            assert_eq!(tally.is_even(), even, "{counts:?}");
        }
    }

    #[test]
    fn tallies_add_up() {
        let mut one = Tally::new(2);
        one.failed.insert("503".into(), 2);
        one.per_destination[1] = 4;
        one.setup_us.record(100).expect("in range");
        let mut sum = one.clone();
        sum.add(&one);
        assert_eq!(sum.failed_count(), 4);
        assert_eq!(sum.per_destination, [0, 8]);
        assert_eq!(sum.setup_us.len(), 2);
    }
}
