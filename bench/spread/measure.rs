//! Lets each way choose for every call, before and after a change of the list, and compares.

use std::collections::HashSet;

use strowger::destination::Algorithm;

use super::Way;
use super::relay::Relay;

/// What a way to choose does with one number of destinations. Percentages of calls are of all calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// How many destinations there are before a change.
    pub(crate) destinations: u16,
    /// How many more calls than the mean the busiest destination gets, in percent of the mean.
    pub(crate) spread_percent: f64,
    /// Calls that get another destination when the busiest one is removed from the list.
    pub(crate) removed_percent: f64,
    /// Calls that get another destination when one is added.
    pub(crate) added_percent: f64,
    /// Calls that get another destination when the busiest one becomes inactive.
    pub(crate) inactive_percent: f64,
    /// How many calls more than before one of the others gets then, at most, in percent of the mean.
    pub(crate) extra_percent: f64,
}

/// Measures from 2 to 64 destinations.
///
/// # Panics
/// When the way does not do what it should.
pub(crate) fn all(way: &Way, call_ids: &[String]) -> Vec<Measured> {
    assert_eq!(call_ids.iter().collect::<HashSet<_>>().len(), call_ids.len(), "Call-IDs repeat");
    let loaded = Relay::new(way).load(0..2);
    let keys: Vec<_> = call_ids.iter().map(|call_id| loaded.key(call_id)).collect();
    check_relay(way, call_ids, &keys);
    let mut before = loaded.choose(&keys);
    let mut points = Vec::new();
    for destinations in 2..=DESTINATIONS_MAX {
        let (point, added) = measure(way, destinations, &keys, &before);
        points.push(point);
        before = added;
    }
    points
}

/// Checks that the relay, given a whole message, sends it where the set says.
fn check_relay(way: &Way, call_ids: &[String], keys: &[u64]) {
    let mut relay = Relay::new(way);
    let loaded = relay.load(0..7);
    let chosen = loaded.choose(keys);
    // No multiple of the number of kinds, so that each kind is among them.
    for (call_id, chosen) in call_ids.iter().zip(&chosen).step_by(1_009) {
        assert_eq!(relay.invite(&loaded, call_id), *chosen, "{}: {call_id}", way.name);
    }
}

/// Measures with this many destinations. `before` is what each call gets from them; also returns what
/// each gets from one more.
fn measure(way: &Way, destinations: u16, keys: &[u64], before: &[u16]) -> (Measured, Vec<u16>) {
    let calls_before = calls_of_each(before, destinations);
    let (busiest, most) = (0..).zip(&calls_before).max_by_key(|(_, calls)| **calls).expect("one");
    let mean = keys.len() as f64 / f64::from(destinations);

    let mut relay = Relay::new(way);
    assert_eq!(relay.load(0..destinations).choose(keys), before);
    let inactive = relay.make_inactive(busiest).choose(keys);
    let removed = relay.load((0..destinations).filter(|number| *number != busiest)).choose(keys);
    let added = Relay::new(way).load(0..=destinations).choose(keys);

    let name = format!("{} of {destinations}", way.name);
    for (before, inactive) in before.iter().zip(&inactive) {
        assert!(*before == busiest || before == inactive, "{name}: a call of another one moves");
    }
    for after in [&inactive, &removed] {
        assert!(!after.contains(&busiest), "{name}: a call goes to a destination that is gone");
    }
    let (moved_if_removed, moved_if_added) = (moved(before, &removed), moved(before, &added));
    if way.choosing.algorithm == Algorithm::Consistent {
        let limit = keys.len() as f64 * (1.0 / f64::from(destinations) + 0.01);
        for moved in [moved_if_removed, moved_if_added, moved(before, &inactive)] {
            assert!(moved as f64 <= limit, "{name}: {moved} calls move, more than {limit}");
        }
        assert_eq!(
            removed, inactive,
            "{name}: the calls of a removed destination go elsewhere than those of an inactive one"
        );
        for (before, added) in before.iter().zip(&added) {
            assert!(
                *added == destinations || added == before,
                "{name}: a call moves to another old destination"
            );
        }
    }

    let calls_after = calls_of_each(&inactive, destinations);
    let extra =
        calls_after.iter().zip(&calls_before).map(|(after, before)| after.saturating_sub(*before));
    let percent = |calls: usize| 100.0 * calls as f64 / keys.len() as f64;
    let point = Measured {
        destinations,
        spread_percent: 100.0 * (*most as f64 / mean - 1.0),
        removed_percent: percent(moved_if_removed),
        added_percent: percent(moved_if_added),
        inactive_percent: percent(moved(before, &inactive)),
        extra_percent: 100.0 * extra.max().unwrap_or_default() as f64 / mean,
    };
    (point, added)
}

fn calls_of_each(chosen: &[u16], destinations: u16) -> Vec<usize> {
    let mut calls = vec![0; usize::from(destinations)];
    for number in chosen {
        calls[usize::from(*number)] += 1;
    }
    calls
}

fn moved(before: &[u16], after: &[u16]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

const DESTINATIONS_MAX: u16 = 64;
