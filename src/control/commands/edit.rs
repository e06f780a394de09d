//! Adds or removes one record by command. Nothing else changes, and calls are not affected.

use std::cmp::Reverse;
use std::sync::Arc;

use super::write_back;
use crate::control::Inner;
use crate::control::asker::Asker;
use crate::control::commands::selector::has_uri;
use crate::control::commands::{Added, NewRecord};
use crate::control::error::{self, Error};
use crate::control::history::Cause;
use crate::control::start::load;
use crate::destination::{Record, Resolved};
use crate::source;
use crate::transport::monotonic_now;

impl Inner {
    pub(in crate::control) fn add(
        &self,
        asker: &Asker,
        new: &NewRecord,
        save: Option<bool>,
    ) -> Result<Added, Vec<Error>> {
        let _turn = self.take_turn()?;
        let in_force = self.in_force();
        let (config, records) = (&**in_force.config(), in_force.records());
        let NewRecord { set, uri, flags, priority, attributes } = new;
        let record = source::record(config, *set, uri, *flags, *priority, attributes);
        let record = record.map_err(error::all)?;
        if let Some(there) = records.iter().find(|there| is_same_place(&there.record, &record)) {
            let Record { uri, set, origin, .. } = there.record.clone();
            return Err(vec![Error::Already { uri: uri.text, set, origin }]);
        }
        let mut resolved = load::resolve_one(record, config, &self.resolver);
        let errors = in_force.errors(&with(records, resolved.clone()), &self.shared.listeners);
        if !errors.is_empty() {
            return Err(errors);
        }
        let Added { mut notes, mut saved } = Added::default();
        if resolved.addresses.is_empty() {
            let uri = &resolved.record.uri.text;
            notes.push(format!("no address is known for {uri}: listed, but not used"));
        }
        if save.unwrap_or(config.destinations.write_back) {
            let origin = write_back::add(config, &resolved.record)?;
            saved = Some(format!("{origin} of {}", config.destinations.source));
            resolved.record.origin = origin;
        } else {
            notes.push("not written to the source: the next reload removes it".into());
        }
        // Names may have been resolved meanwhile; the set of records has not changed.
        let version = self.replace_records(asker, |known| with(known, resolved.clone()))?;
        self.wait_until_used(version);
        Ok(Added { notes, saved })
    }

    pub(in crate::control) fn remove(
        &self,
        asker: &Asker,
        set: u32,
        uri: &str,
        save: Option<bool>,
    ) -> Result<usize, Vec<Error>> {
        let _turn = self.take_turn()?;
        let in_force = self.in_force();
        let (config, records) = (&**in_force.config(), in_force.records());
        let has_uri = has_uri(uri);
        let is_selected =
            |resolved: &Resolved| resolved.record.set == set && has_uri(&resolved.record);
        let selected: Vec<Record> =
            records.iter().filter(|r| is_selected(r)).map(|r| r.record.clone()).collect();
        if selected.is_empty() {
            return Ok(0);
        }
        if save.unwrap_or(config.destinations.write_back) {
            write_back::remove(config, &selected)?;
        }
        let version = self.replace_records(asker, |known| {
            known.iter().filter(|resolved| !is_selected(resolved)).cloned().collect()
        })?;
        self.wait_until_used(version);
        Ok(selected.len())
    }
}

impl Inner {
    /// Puts in force what `edit` makes of the records in force.
    fn replace_records(
        &self,
        asker: &Asker,
        edit: impl Fn(&[Resolved]) -> Vec<Resolved> + Sync,
    ) -> Result<Option<u64>, Vec<Error>> {
        self.change_all(Cause::Command(asker), self.in_force().records().len(), |in_force| {
            let (config, records) =
                (Arc::clone(in_force.config()), edit(in_force.records()).into());
            let listeners = &self.shared.listeners;
            in_force.with_records(config, records, monotonic_now(), listeners).map(Some)
        })
    }
}

/// Returns whether both are the same destination of the same set; a source with both would be
/// refused.
fn is_same_place(a: &Record, b: &Record) -> bool {
    let place = |r: &Record| {
        (r.set, r.uri.port_or_default(), r.attributes.socket, r.attributes.duid.clone())
    };
    place(a) == place(b) && a.uri.host == b.uri.host
}

/// Returns the records with `new` inserted after all records of its set with the same or a higher
/// priority, as if it were the last line of the source.
fn with(records: &[Resolved], new: Resolved) -> Vec<Resolved> {
    let key = |resolved: &Resolved| (resolved.record.set, Reverse(resolved.record.priority));
    let at = records.partition_point(|known| key(known) <= key(&new));
    let mut records = records.to_vec();
    records.insert(at, new);
    records
}
