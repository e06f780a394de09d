//! Computes the share of calls that would go to another destination after a reload if they were
//! spread by a hash.
//!
//! Kamailio's hash algorithms take the destination at `hash % n` in dispatch order, or the next one
//! that can be chosen. Round robin moves nothing: existing calls keep their destinations.

use std::collections::{BTreeMap, BTreeSet};

use crate::destination::Resolved;
use crate::registry::{RecordIdentity, Registry};

/// Returns, for each of these sets, the percentage of all hashes that lead to another record in
/// `new` than in `old`. Leaves out sets in which nothing could be chosen before: they have no calls
/// to move.
pub(super) fn percent(
    old: &[Resolved],
    new: &[Resolved],
    registry: &Registry,
    sets: BTreeSet<u32>,
) -> Vec<(u32, f64)> {
    let (old, new) = (rounds(old, registry, &sets), rounds(new, registry, &sets));
    let none = Vec::new();
    sets.into_iter()
        .filter_map(|set| {
            let before = old.get(&set)?;
            let share = share(before, new.get(&set).unwrap_or(&none))?;
            Some((set, share * 100.0))
        })
        .collect()
}

/// One record in dispatch order, and whether it can be chosen.
type Step = (RecordIdentity, bool);

fn rounds(
    records: &[Resolved],
    registry: &Registry,
    sets: &BTreeSet<u32>,
) -> BTreeMap<u32, Vec<Step>> {
    let mut rounds = BTreeMap::<u32, Vec<Step>>::new();
    for resolved in records.iter().filter(|resolved| sets.contains(&resolved.record.set)) {
        let (_, addresses) = registry.flags(resolved);
        let is_active = addresses.iter().any(|flags| flags.is_selectable());
        let step = (RecordIdentity::of(&resolved.record), is_active);
        rounds.entry(resolved.record.set).or_default().push(step);
    }
    rounds
}

/// Returns `None` if nothing could be chosen before.
fn share(old: &[Step], new: &[Step]) -> Option<f64> {
    let (before, after) = (taken(old), taken(new));
    if !before.iter().any(Option::is_some) {
        return None;
    }
    let is_moved = |hash: u64| at(&before, hash) != at(&after, hash);
    // Two rounds line up again after the least common multiple of their lengths; an empty one has
    // the other's length.
    let (a, b) = (before.len() as u64, after.len().max(1) as u64);
    let period = a / common_divisor(a, b) * b;
    if period <= SAMPLES {
        return Some(share_of(&is_moved, period));
    }
    // The golden ratio's fraction spreads evenly over all 32 bits, and the same at every call.
    let hash = |number: u64| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 32;
    Some(share_of(&|number| is_moved(hash(number)), SAMPLES))
}

fn share_of(is_moved: &dyn Fn(u64) -> bool, all: u64) -> f64 {
    let moved = (0..all).filter(|number| is_moved(*number)).count();
    f64::from(moved as u32) / f64::from(all as u32)
}

/// Returns, for each position of the round, the record that a call with that hash gets.
fn taken(round: &[Step]) -> Vec<Option<&RecordIdentity>> {
    let mut taken = vec![None; round.len()];
    let mut next = None;
    // Twice around, backwards, so that the last positions find the first record.
    for at in (0..round.len()).rev().chain((0..round.len()).rev()) {
        let (identity, is_active) = &round[at];
        if *is_active {
            next = Some(identity);
        }
        taken[at] = next;
    }
    taken
}

fn at<'a>(taken: &[Option<&'a RecordIdentity>], hash: u64) -> Option<&'a RecordIdentity> {
    if taken.is_empty() { None } else { taken[(hash % taken.len() as u64) as usize] }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Hashes tried if all would be too many; the share is then accurate to about 1 %.
const SAMPLES: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{Attributes, DestinationUri, Flags, Origin, Record, Resolved as Row};

    /// A set of these destinations: a number is active, `-` before it disabled.
    fn set(numbers: &[i32]) -> Vec<Row> {
        let row = |number: &i32| {
            let uri = DestinationUri::parse(&format!("sip:192.0.2.1:{}", number.abs())).unwrap();
            let flags = Flags::from_bits(if *number < 0 { Flags::DISABLED } else { 0 }).unwrap();
            let attributes = Attributes::default();
            let record =
                Record { set: 1, uri, flags, priority: 0, attributes, origin: Origin::Line(1) };
            let address: std::net::SocketAddr = "192.0.2.1:5060".parse().unwrap();
            Row { record, addresses: vec![address.into()] }
        };
        numbers.iter().map(row).collect()
    }

    #[test]
    fn shares() {
        let many: Vec<i32> = (1..=1_000).collect();
        for (says, old, new, wants) in [
            ("nothing", &[1, 2, 3][..], &[1, 2, 3][..], Some(0.0)),
            ("one more of three: four of six hashes", &[1, 2], &[1, 2, 3], Some(66.67)),
            ("the last of three leaves", &[1, 2, 3], &[1, 2], Some(66.67)),
            ("one is disabled: its own share", &[1, 2, 3], &[1, -2, 3], Some(33.33)),
            ("it comes back", &[1, -2, 3], &[1, 2, 3], Some(33.33)),
            ("the last is disabled: round to the first", &[1, 2], &[1, -2], Some(50.0)),
            ("one is replaced", &[1, 2, 3, 4], &[1, 2, 3, 5], Some(25.0)),
            ("the order is another", &[1, 2], &[2, 1], Some(100.0)),
            ("all leave", &[1, 2], &[], Some(100.0)),
            ("none was there", &[], &[1, 2], None),
            ("none could be chosen", &[-1], &[1], None),
            ("one of a thousand leaves: sampled", &many, &many[1..], Some(100.0)),
            ("the last of a thousand", &many, &many[..999], Some(99.9)),
        ] {
            let registry = Registry::default();
            let told = percent(&set(old), &set(new), &registry, [1].into());
            match (told.as_slice(), wants) {
                ([], None) => {}
                ([(1, share)], Some(wants)) => {
                    assert!((share - wants).abs() < 0.5, "{says}: {share}, not {wants}");
                }
                _ => panic!("{says}: {told:?}"),
            }
        }
    }
}
