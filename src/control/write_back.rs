//! Changes by command that are written to the source too.

use super::error::Error;
use crate::config::Config;
use crate::destination::{Origin, Record};

/// Writes a record to the source; says where it stands there.
pub(super) fn add(config: &Config, _record: &Record) -> Result<Origin, Vec<Error>> {
    Err(not_possible(config))
}

/// Takes records out of the source.
pub(super) fn remove(config: &Config, _records: &[Record]) -> Result<(), Vec<Error>> {
    Err(not_possible(config))
}

fn not_possible(config: &Config) -> Vec<Error> {
    vec![Error::NoWriteBack { source_name: config.destinations.source.to_string() }]
}
