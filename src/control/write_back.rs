//! Changes by command that are written to the source too.

use std::collections::BTreeSet;

use super::error::{self, Error};
use crate::config::Config;
use crate::destination::{Origin, Record};
use crate::source::write_back;

/// Writes a record to the source; says where it stands there.
pub(super) fn add(config: &Config, record: &Record) -> Result<Origin, Vec<Error>> {
    write_back::add(config, record).map_err(error::all)
}

/// Takes records out of the source. One that it does not have, since a command brought it, is no error.
pub(super) fn remove(config: &Config, records: &[Record]) -> Result<(), Vec<Error>> {
    // Those that no source knows of are looked for too: one may have been written there since.
    let places: BTreeSet<_> = records.iter().map(|r| (r.set, r.uri.text.as_str())).collect();
    for (set, uri) in places {
        write_back::remove(config, set, uri).map_err(error::all)?;
    }
    Ok(())
}
