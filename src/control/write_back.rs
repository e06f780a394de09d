//! Changes by command that are written to the source too.

use super::error::{Error, all};
use crate::config::Config;
use crate::destination::Record;
use crate::source::write_back;

/// Writes a record to the source.
pub(super) fn add(config: &Config, record: &Record) -> Result<(), Vec<Error>> {
    write_back::add(config, record).map(drop).map_err(all)
}

/// Takes records out of the source. One that it does not have, since a command brought it, is no error.
pub(super) fn remove(config: &Config, records: &[Record]) -> Result<(), Vec<Error>> {
    for record in records {
        write_back::remove(config, record.set, &record.uri.text).map_err(all)?;
    }
    Ok(())
}
