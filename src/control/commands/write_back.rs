//! Writes changes made by command to the source.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::control::error::{self, Error};
use crate::destination::{Origin, Record};
use crate::source::write_back;

/// Writes a record to the source and returns its place there.
pub(in crate::control) fn add(config: &Config, record: &Record) -> Result<Origin, Vec<Error>> {
    write_back::add(config, record).map_err(error::all)
}

/// Removes records from the source. A record that the source does not have, because a command added
/// it, is not an error.
pub(in crate::control) fn remove(config: &Config, records: &[Record]) -> Result<(), Vec<Error>> {
    // Also searches for records that came by command: one may have been written to the source
    // since.
    let places: BTreeSet<_> = records.iter().map(|r| (r.set, r.uri.text.as_str())).collect();
    for (set, uri) in places {
        write_back::remove(config, set, uri).map_err(error::all)?;
    }
    Ok(())
}
