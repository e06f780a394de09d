//! The destinations of a relay that starts: those of its source or, while its database cannot be read,
//! the last good ones.

use super::{Failure, Loaded, database, last_good, load, take};
use crate::config::{Config, Problem};

/// What a relay starts with.
#[derive(Clone, Debug)]
pub struct AtStart {
    /// The destinations.
    pub loaded: Loaded,
    /// Said when they are not those of the source.
    pub stale: Option<Stale>,
}

/// Why a relay does not start with what its source holds, and what it starts with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stale {
    /// What is wrong with the source.
    pub why: Vec<Problem>,
    /// What is taken in its place, one sentence.
    pub instead: String,
}

/// Reads the source for a relay that starts. A missing `SQLite` file is made. When a database cannot be
/// read, the last good destinations are taken; when there are none either, a database that is away
/// stands for an empty one.
///
/// # Errors
/// Everything that is wrong, when nothing can be taken in its place.
pub fn load_at_start(config: &Config) -> Result<AtStart, Vec<Problem>> {
    let source = &config.destinations.source;
    let failure = match database::make_missing(&config.destinations).and_then(|is_new| {
        let mut loaded = load(config)?;
        if is_new {
            loaded
                .warnings
                .insert(0, format!("{source}: did not exist: created, with empty tables"));
        }
        Ok(loaded)
    }) {
        Ok(loaded) => return Ok(AtStart { loaded, stale: None }),
        Err(failure) if source.is_database() => failure,
        Err(failure) => return Err(failure.problems()),
    };
    let is_away = matches!(failure, Failure::Away(_));
    let mut why = failure.problems();
    match last_good::read(config)
        .and_then(|last| last.map(|last| Ok((take(last.records, config)?, last.age))).transpose())
    {
        // An empty table is nothing to go on with.
        Ok(Some((loaded, age))) if !loaded.records.is_empty() => {
            let instead = format!(
                "started with the {} destinations that {source} had {} ago",
                loaded.records.len(),
                last_good::for_people(age)
            );
            return Ok(AtStart { loaded, stale: Some(Stale { why, instead }) });
        }
        Ok(_) => {}
        Err(more) => why.extend(more),
    }
    if !is_away {
        return Err(why);
    }
    let instead = "started without destinations: every call gets 404".into();
    Ok(AtStart { loaded: Loaded::default(), stale: Some(Stale { why, instead }) })
}
