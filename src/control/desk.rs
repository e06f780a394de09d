//! What an operator may ask of a running relay. Every door and the command line end here, so that a
//! question has one answer.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::error::Error;
use crate::destination::{Address, Attributes, Flags, Origin, Slot, State};
use crate::stats::Totals;

/// A running relay, as operators see it.
#[derive(Clone, Debug)]
pub struct Desk {
    inner: Arc<Inner>,
}

/// The destinations in force, for people and tools.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The sets, ascending.
    pub sets: Vec<ListedSet>,
}

/// One set of a [`Listing`].
#[derive(Clone, Debug)]
pub struct ListedSet {
    /// Its number.
    pub id: u32,
    /// Its records in the order of choice.
    pub records: Vec<ListedRecord>,
}

/// One record of a [`Listing`].
#[derive(Clone, Debug)]
pub struct ListedRecord {
    /// Its URI as written.
    pub uri: String,
    /// The flags in force. With several addresses: active when one of them is.
    pub flags: Flags,
    /// The higher goes first.
    pub priority: i32,
    /// Its attributes.
    pub attributes: Attributes,
    /// Where it was written.
    pub origin: Origin,
    /// What stands for it in logs, the same as long as the record stays: Kamailio's IUID.
    pub iuid: String,
    /// Its addresses, each a destination of its own; none when its name is not resolved.
    pub addresses: Vec<ListedAddress>,
}

/// One address of a [`ListedRecord`].
#[derive(Clone, Debug)]
pub struct ListedAddress {
    /// Where it is reached.
    pub address: Address,
    /// Its flags in force.
    pub flags: Flags,
    /// Its number in this process; `None` when no listener reaches it.
    pub slot: Option<Slot>,
}

/// How a reload is meant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReloadHow {
    /// Only say what it would do.
    pub dry_run: bool,
    /// Even when it empties a set, or removes more than `removed_percent_max` of one.
    pub force: bool,
}

/// A reload that could be taken.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    /// What it changes.
    pub plan: Plan,
    /// What is to be warned of, one sentence each.
    pub notes: Vec<String>,
}

/// What a reload changes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Records that are new.
    pub added: Vec<Change>,
    /// Records that are gone.
    pub removed: Vec<Change>,
    /// Records that stay, with other flags, priority, attributes or addresses.
    pub changed: Vec<Change>,
    /// Records that stay as they are.
    pub unchanged: usize,
    /// By set: the share of calls, in percent, that a hash algorithm would send elsewhere.
    pub moved_percent: Vec<(u32, f64)>,
}

/// One line of a [`Plan`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The set.
    pub set: u32,
    /// The URI.
    pub uri: String,
    /// What is different, such as `flags 0 -> 4`; empty for what is new or gone.
    pub what: String,
}

/// Which destinations of a set are meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Which {
    /// All of them.
    All,
    /// The record with this URI; or, when none has it, the one address that it names.
    Uri(String),
    /// The record with this `duid` attribute.
    Duid(String),
}

/// A record that a command brings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewRecord {
    /// The set.
    pub set: u32,
    /// The URI, `sip:` may be missing.
    pub uri: String,
    /// Its flags, Kamailio's numbers.
    pub flags: u32,
    /// Its priority.
    pub priority: i32,
    /// Its attributes, `name=value;...`.
    pub attributes: String,
}

impl Desk {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The destinations in force.
    pub fn list(&self) -> Listing {
        Listing::default()
    }

    /// Reads configuration and destinations again and puts them in force as one.
    ///
    /// # Errors
    /// Everything that is wrong; then nothing changes.
    pub fn reload(&self, _how: ReloadHow) -> Result<Reloaded, Vec<Error>> {
        let notes = self.inner.reload()?;
        Ok(Reloaded { plan: Plan::default(), notes })
    }

    /// Puts destinations into another state; says how many records were meant.
    ///
    /// # Errors
    /// When none is.
    pub fn set_state(
        &self,
        _set: u32,
        _which: &Which,
        _state: State,
        _is_probed: bool,
    ) -> Result<usize, Vec<Error>> {
        Err(vec![Error::Panicked])
    }

    /// Adds one record; `save` writes it to the source too (`None`: as `write_back` says).
    ///
    /// # Errors
    /// What is wrong with it; then nothing changes.
    pub fn add(&self, _new: &NewRecord, _save: Option<bool>) -> Result<Vec<String>, Vec<Error>> {
        Err(vec![Error::Panicked])
    }

    /// Removes the records of a set with this URI; says how many there were.
    ///
    /// # Errors
    /// When the source cannot be written to; then nothing changes.
    pub fn remove(&self, _set: u32, _uri: &str, _save: Option<bool>) -> Result<usize, Vec<Error>> {
        Err(vec![Error::Panicked])
    }

    /// Whether destinations are pinged; sets it when `now` says so. Returns what was before.
    pub fn ping_active(&self, _now: Option<bool>) -> bool {
        true
    }

    /// Refuses new requests, or takes them again. Returns what was before.
    ///
    /// # Errors
    /// When it cannot be put in force.
    pub fn drain(&self, _on: bool) -> Result<bool, Vec<Error>> {
        Err(vec![Error::Panicked])
    }

    /// The counters as of now.
    pub fn totals(&self) -> Totals {
        self.inner.totals()
    }

    /// How long the relay has been running.
    pub fn uptime(&self) -> Duration {
        Duration::ZERO
    }
}
