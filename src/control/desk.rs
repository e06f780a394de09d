//! What an operator may ask of a running relay. Every door and the command line end here, so that a
//! question has one answer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use super::aside::aside;
use super::error::Error;
use super::plan::Plan;
use super::{Inner, meant};
use crate::destination::{Address, Attributes, Flags, Origin, Resolved, Slot, State};
use crate::registry::{RecordIdentity, Registry};
use crate::stats::Totals;
use crate::worker::catch_here;

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
    /// New requests get 503.
    pub draining: bool,
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
    /// Of a dry run: why it would be refused unless forced, one sentence each.
    pub refused: Vec<String>,
    /// How long it took.
    pub took: Took,
}

/// How long the parts of a reload took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// Reading configuration and source, and resolving names.
    pub read: Duration,
    /// Checking it beside the listeners and comparing it with what was in force.
    pub check: Duration,
    /// Making the tables of the workers.
    pub build: Duration,
    /// Until every worker used them.
    pub publish: Duration,
}

/// A change of state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changed {
    /// How many records were meant.
    pub count: usize,
    /// What is to be warned of, one sentence each.
    pub warnings: Vec<String>,
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

    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The destinations in force.
    pub fn list(&self) -> Listing {
        let state = self.inner.state();
        let mut listing = Listing { draining: state.is_draining(), ..Listing::default() };
        for resolved in state.records().iter() {
            let id = resolved.record.set;
            if listing.sets.last().is_none_or(|set| set.id != id) {
                listing.sets.push(ListedSet { id, records: Vec::new() });
            }
            let set = listing.sets.last_mut().expect("there is one now");
            set.records.push(listed(resolved, state.registry()));
        }
        listing
    }

    /// Reads configuration and destinations again and puts them in force as one, on all workers when
    /// it returns; tells the log what became of it.
    ///
    /// # Errors
    /// Everything that is wrong; then nothing changes.
    pub fn reload(&self, how: ReloadHow) -> Result<Reloaded, Vec<Error>> {
        let result = guarded("the reload", || self.inner.reload(how));
        self.inner.tell(how, &result);
        result
    }

    /// Puts destinations into another state; says how many records were meant, and warns, in the log
    /// too, when that leaves a set without an active destination.
    ///
    /// # Errors
    /// When none is meant.
    pub fn set_state(
        &self,
        set: u32,
        which: &Which,
        state: State,
        is_probed: bool,
    ) -> Result<Changed, Vec<Error>> {
        guarded("a change of state", || {
            let inner = &self.inner;
            let (version, changed) = aside(inner.count(), || {
                let mut all = inner.state();
                let meant = meant::find(all.records(), set, which).map_err(|error| vec![error])?;
                let version = all.put(&meant, state, is_probed, &inner.shared)?;
                let warnings = all.warn_if_empty(set).into_iter().collect();
                Ok::<_, Vec<Error>>((version, Changed { count: meant.len(), warnings }))
            })??;
            inner.wait_until_used(version);
            let letters = Flags::default().in_state(state, is_probed).letters();
            info!("set {set}: {which} put to {letters} by a command");
            for warning in &changed.warnings {
                warn!("{warning}");
            }
            Ok(changed)
        })
    }

    /// Adds one record; `save` writes it to the source too (`None`: as `write_back` says).
    ///
    /// # Errors
    /// What is wrong with it; then nothing changes.
    pub fn add(&self, new: &NewRecord, save: Option<bool>) -> Result<Vec<String>, Vec<Error>> {
        let notes = guarded("an addition", || self.inner.add(new, save))?;
        info!("set {}: {} added by a command", new.set, new.uri);
        Ok(notes)
    }

    /// Removes the records of a set with this URI; says how many there were.
    ///
    /// # Errors
    /// When the source cannot be written to; then nothing changes.
    pub fn remove(&self, set: u32, uri: &str, save: Option<bool>) -> Result<usize, Vec<Error>> {
        let count = guarded("a removal", || self.inner.remove(set, uri, save))?;
        if count > 0 {
            info!("set {set}: {uri} removed by a command");
            if let Some(warning) = self.inner.state().warn_if_empty(set) {
                warn!("{warning}");
            }
        }
        Ok(count)
    }

    /// Whether destinations are pinged; sets it when `now` says so. Returns what was before.
    pub fn ping_active(&self, now: Option<bool>) -> bool {
        // Relaxed: the flag carries nothing but itself.
        let flag = &self.inner.ping_active;
        now.map_or_else(|| flag.load(Ordering::Relaxed), |now| flag.swap(now, Ordering::Relaxed))
    }

    /// Refuses new requests, or takes them again. Returns what was before.
    ///
    /// # Errors
    /// When it cannot be put in force.
    pub fn drain(&self, on: bool) -> Result<bool, Vec<Error>> {
        guarded("the draining", || {
            let inner = &self.inner;
            let (version, before) =
                aside(inner.count(), || inner.state().drain(on, &inner.shared))??;
            self.inner.wait_until_used(version);
            match (before, on) {
                (false, true) => warn!("drained by a command: new requests get 503 from now on"),
                (true, false) => info!("no longer drained: new requests are served again"),
                _ => {}
            }
            Ok(before)
        })
    }

    /// The code of the answer when the set that requests go to has no active destination.
    pub fn no_destination_code(&self) -> u16 {
        let state = self.inner.state();
        state.no_destination(state.config().policy.set).code
    }

    /// The counters as of now.
    pub fn totals(&self) -> Totals {
        self.inner.totals()
    }

    /// How long the relay has been running.
    pub fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }
}

/// As errors and logs call it.
impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all destinations"),
            Self::Uri(uri) => f.write_str(uri),
            Self::Duid(duid) => write!(f, "duid={duid}"),
        }
    }
}

fn listed(resolved: &Resolved, registry: &Registry) -> ListedRecord {
    let record = &resolved.record;
    let (flags, of_addresses) = registry.flags(resolved);
    let addresses = resolved.addresses.iter().zip(of_addresses);
    ListedRecord {
        uri: record.uri.text.clone(),
        flags,
        priority: record.priority,
        attributes: record.attributes.clone(),
        origin: record.origin,
        iuid: RecordIdentity::of(record).iuid(),
        addresses: addresses
            .map(|(address, flags)| ListedAddress {
                address: *address,
                flags,
                slot: registry.slot(record, address.socket),
            })
            .collect(),
    }
}

/// A command that panics is lost, and nothing else.
fn guarded<T>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Vec<Error>>,
) -> Result<T, Vec<Error>> {
    catch_here(work).unwrap_or_else(|| Err(vec![Error::Panicked(what)]))
}
