//! Where destinations come from: a list or a database. What the names in it mean is `resolve`'s
//! matter.
//!
//! A source is read and checked as a whole before anything is done with it. What is read of a database
//! is kept in a file too, for a start while the database is away.

mod database;
mod failure;
mod last_good;
mod list;
mod records;
mod row;
mod start;
pub mod write_back;

use crate::config::{Config, ListenConfig, Problem, Source, blank};
use crate::destination::{Origin, Record, SocketName};
use crate::limits;
use crate::listener::{Listener, Listeners, Transport};
use crate::registry::record_error;
use records::Records;
use row::{Fields, Mistake};

pub use database::is_to_be_made;
pub use failure::Failure;
pub use last_good::keep;
pub use list::{List, parse, read};
pub use start::{AtStart, Stale, load_at_start};

/// The destinations of a configuration, read and checked, names not yet resolved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    /// The records: sets ascending, in each the highest priority first, then as listed, or by the `id`
    /// of their rows.
    pub records: Vec<Record>,
    /// What is allowed but perhaps not meant, one sentence each.
    pub warnings: Vec<String>,
    /// The source was there without a single byte in it.
    pub is_blank: bool,
}

/// Reads what the configuration names as its source. It waits for a database as long as `limits` say.
///
/// # Errors
/// Whether it is away, or everything that is wrong with it, in the order of its lines or rows.
pub fn load(config: &Config) -> Result<Loaded, Failure> {
    let source = &config.destinations.source;
    let (records, is_blank) = match source {
        Source::List(path) => {
            let bytes = list::bytes_of(path)?;
            (list::lines(&source.to_string(), &bytes), list::is_blank(&bytes))
        }
        _ => (database::read(&config.destinations)?, false),
    };
    Ok(Loaded { is_blank, ..take(records, config)? })
}

/// A record that a command brings, checked as those of the source are.
///
/// # Errors
/// Everything that is wrong with it.
pub fn record(
    config: &Config,
    set: u32,
    uri: &str,
    flags: u32,
    priority: i32,
    attributes: &str,
) -> Result<Record, Vec<Problem>> {
    let (set, flags, priority) = (set.to_string(), flags.to_string(), priority.to_string());
    let fields = Fields { set: &set, uri, flags: &flags, priority: &priority, attributes };
    let checked = row::read(fields, Origin::Command).strict().and_then(|mut record| {
        match judge(&mut record, config, listeners_as_written(config).as_ref()) {
            None => Ok(record),
            Some(mistake) => Err(vec![mistake]),
        }
    });
    checked.map_err(|mistakes| {
        let told = mistakes.into_iter();
        told.map(|(what, right)| Problem::of("the new record", what, right)).collect()
    })
}

/// The records as this configuration takes them.
fn take(mut records: Records, config: &Config) -> Result<Loaded, Vec<Problem>> {
    let name = config.destinations.source.to_string();
    let listeners = listeners_as_written(config);
    records.check(|record| judge(record, config, listeners.as_ref()));
    let kept = records.finish(config.destinations.load_mode)?;
    let left_out = kept.left_out.iter().map(|p| format!("left out: {p}"));
    let tolerated = kept.tolerated.iter().map(|p| format!("used all the same: {p}"));
    let mut warnings = left_out.chain(tolerated).collect::<Vec<_>>();
    warnings.extend(warn(&kept.records, &name));
    for set in config.sets_in_use() {
        let in_use = kept.records.iter().filter(|record| record.set == set);
        if !in_use.clone().any(|record| record.flags.is_selectable()) {
            let what = if in_use.count() == 0 {
                "no destination"
            } else {
                "no destination that may be chosen"
            };
            warnings.push(format!("{name}: {what} in set {set}: every call is refused"));
        }
    }
    Ok(Loaded { records: kept.records, warnings, is_blank: false })
}

/// As [`load`], for a relay at work: a list without a single byte is one that is about to be written,
/// or was lost with its disk, and refused.
///
/// # Errors
/// As [`load`].
pub fn reload(config: &Config) -> Result<Loaded, Vec<Problem>> {
    let loaded = load(config)?;
    if loaded.is_blank {
        return Err(vec![blank(&config.destinations.source.to_string())]);
    }
    Ok(loaded)
}

/// Returns what is wrong with a record, given the listeners of this configuration. The name of a
/// listener becomes its address.
fn judge(record: &mut Record, config: &Config, listeners: Option<&Listeners>) -> Option<Mistake> {
    if let Some(name) = &record.attributes.sockname {
        let mut entries = config.relay.listen.iter();
        let Some(named) = entries.find(|entry| entry.name.as_ref() == Some(name)) else {
            let what = format!("sockname={name} is not the name of a listener");
            return Some((what, "give a listener of relay.listen this name".into()));
        };
        record.attributes.socket = Some(SocketName(named.address));
    }
    let error = record_error(record, listeners?)?;
    Some((error.what(), error.right()))
}

/// Returns the listeners as they are written; `None` without any. They are bound later, so a
/// wildcard is not expanded yet, and what names lead to is not known.
fn listeners_as_written(config: &Config) -> Option<Listeners> {
    let listener = |entry: &ListenConfig| Listener {
        name: entry.name.clone().unwrap_or_default(),
        local: entry.address,
        transport: Transport::Udp,
        sent_by: entry.address.to_string(),
        force_rport: false,
        set: None,
    };
    let all: Vec<_> =
        config.relay.listen.iter().take(limits::LISTENERS_MAX).map(listener).collect();
    (!all.is_empty()).then(|| Listeners::new(all, &[]))
}

/// Names the attributes that have no effect here.
fn warn(records: &[Record], name: &str) -> Option<String> {
    let unknown = records::unknown_attributes(records);
    if unknown.is_empty() {
        return None;
    }
    Some(format!("{name}: unknown attributes, kept as they are: {}", unknown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_lines_are_left_out_and_named_when_that_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.list");
        let text = "1 sip:192.0.2.1\nx sip:192.0.2.2\n1 sip:192.0.2.1 4\n1 sip:192.0.2.3 0 0 duid=a\n\
                    1 sip:192.0.2.3 0 0 duid=b\n";
        std::fs::write(&path, text).unwrap();
        let mut config = Config::default();
        config.destinations.source = Source::List(path);
        let Failure::Wrong(problems) = load(&config).unwrap_err() else { panic!("not away") };
        assert_eq!(problems.iter().filter_map(|p| p.line).collect::<Vec<_>>(), [2, 3]);
        config.destinations.load_mode = crate::config::LoadMode::Skip;
        let loaded = load(&config).unwrap();
        assert_eq!(loaded.records.len(), 3);
        assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
        let wants = ":2: \"x\" is not the number of a set";
        assert!(loaded.warnings[0].starts_with("left out: "), "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains(wants), "{:?}", loaded.warnings);
    }
}
