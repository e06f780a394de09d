//! What a reload would change, by identity of records, and whether it removes so much that it looks
//! like a mistake.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::control::error::Error;
use crate::destination::{Origin, Record, Resolved};
use crate::registry::RecordIdentity;

/// What a reload changes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// New records.
    pub added: Vec<Change>,
    /// Removed records.
    pub removed: Vec<Change>,
    /// Records that stay, with other flags, priority, attributes or addresses.
    pub changed: Vec<Change>,
    /// Records that stay as they are.
    pub unchanged: usize,
}

/// One line of a [`Plan`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The set.
    pub set: u32,
    /// The URI.
    pub uri: String,
    /// What is different, such as `flags 0 -> 4`; empty for new and removed records.
    pub what: String,
}

/// `2 added, 1 removed, 0 changed`
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (added, removed, changed) = (self.added.len(), self.removed.len(), self.changed.len());
        write!(f, "{added} added, {removed} removed, {changed} changed")
    }
}

impl Plan {
    /// Compares `new` with the records `old` in force.
    pub(in crate::control) fn of(old: &[Resolved], new: &[Resolved]) -> Self {
        let mut plan = Self::default();
        let mut before: HashMap<RecordIdentity, usize> =
            old.iter().zip(0..).map(|(r, at)| (RecordIdentity::of(&r.record), at)).collect();
        for resolved in new {
            match before.remove(&RecordIdentity::of(&resolved.record)) {
                None => plan.added.push(Change::new(resolved, String::new())),
                Some(at) => {
                    let what = differences(&old[at], resolved);
                    if what.is_empty() {
                        plan.unchanged += 1;
                    } else {
                        plan.changed.push(Change::new(resolved, what));
                    }
                }
            }
        }
        let mut gone: Vec<usize> = before.into_values().collect();
        gone.sort_unstable();
        plan.removed = gone.iter().map(|at| Change::new(&old[*at], String::new())).collect();
        plan
    }
}

impl Change {
    fn new(resolved: &Resolved, what: String) -> Self {
        let record = &resolved.record;
        Self { set: record.set, uri: record.uri.text.clone(), what }
    }
}

/// Returns why a reload is refused unless it is forced: a set would lose all, or a net share of
/// more than `percent_max`, of the records that the source gave it.
///
/// Records that a command added do not count on either side: every reload removes them.
pub(in crate::control) fn guard(old: &[Resolved], new: &[Resolved], percent_max: u8) -> Vec<Error> {
    let mut sets = BTreeMap::<u32, (usize, usize)>::new();
    for record in old.iter().map(|r| &r.record).filter(|r| r.origin != Origin::Command) {
        sets.entry(record.set).or_default().0 += 1;
    }
    for resolved in new {
        if let Some((_, has)) = sets.get_mut(&resolved.record.set) {
            *has += 1;
        }
    }
    let too_much = sets.into_iter().filter_map(|(set, (had, has))| {
        // Removed less added is the old count less the new count.
        let lost = had.saturating_sub(has);
        if has == 0 {
            Some(Error::WouldEmpty { set, had })
        } else if lost * 100 > had * usize::from(percent_max) {
            Some(Error::WouldShrink { set, lost, had, percent_max })
        } else {
            None
        }
    });
    too_much.collect()
}

fn differences(old: &Resolved, new: &Resolved) -> String {
    let Record { flags, priority, attributes, .. } = &old.record;
    let mut told = Vec::new();
    if *flags != new.record.flags {
        told.push(format!("flags {} -> {}", flags.bits(), new.record.flags.bits()));
    }
    if *priority != new.record.priority {
        told.push(format!("priority {priority} -> {}", new.record.priority));
    }
    if *attributes != new.record.attributes {
        let shown = |text: &str| if text.is_empty() { "none".into() } else { text.to_owned() };
        let (old, new) = (shown(&attributes.text), shown(&new.record.attributes.text));
        told.push(format!("attributes {old} -> {new}"));
    }
    if old.addresses != new.addresses {
        let (old, new) = (addresses(old), addresses(new));
        told.push(format!("addresses {old} -> {new}"));
    }
    told.join(", ")
}

fn addresses(resolved: &Resolved) -> String {
    if resolved.addresses.is_empty() {
        return "none".into();
    }
    let texts = resolved.addresses.iter().map(|address| address.socket.to_string());
    texts.collect::<Vec<_>>().join(" ")
}
