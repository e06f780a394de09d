//! The commands that an operator can run on a live relay. Every control socket and the command line
//! end here, so the same question always gets the same answer.

mod edit;
mod plan;
mod reload;
mod remembered;
pub(super) mod selector;
mod write_back;

pub use plan::{Change, Plan};
pub use remembered::{MemoryUse, StillComing};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use crate::clock::Now;
use crate::control::asker::{Asker, Named};
use crate::control::error::Error;
use crate::control::events::StateEvent;
use crate::control::history::Cause;
use crate::control::reloads::PastReload;
use crate::control::{Inner, state_word};
use crate::destination::{
    Address, Algorithm, Asked, Attributes, DestinationState, Flags, Origin, Resolved, Slot, Table,
    WHOLE_SHARE,
};
use crate::health::{Health, Latency};
use crate::proxy::Answer;
use crate::registry::{RecordIdentity, Registry};
use crate::stats::{SlotAnswers, SlotTraffic, Totals};
use crate::transport::monotonic_now;
use crate::worker::catch_here;

/// A running relay, as operators see it.
#[derive(Clone, Debug)]
pub struct Commands {
    inner: Arc<Inner>,
    asker: Asker,
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
    /// How its destinations are chosen.
    pub algorithm: Algorithm,
    /// Its records, in dispatch order.
    pub records: Vec<ListedRecord>,
}

/// One record of a [`Listing`].
#[derive(Clone, Debug)]
pub struct ListedRecord {
    /// Its URI as written.
    pub uri: String,
    /// The flags in force. With several addresses: active when one of them is.
    pub flags: Flags,
    /// Higher values go first.
    pub priority: i32,
    /// Its attributes.
    pub attributes: Attributes,
    /// Where the record was written.
    pub origin: Origin,
    /// Identifies the record in logs for as long as it exists: Kamailio's IUID.
    pub iuid: String,
    /// Its addresses, each a separate destination. Empty while its name is not resolved.
    pub addresses: Vec<ListedAddress>,
}

impl ListedRecord {
    /// Returns its calls in progress, at all its addresses; `None` if its set does not count them.
    pub fn calls(&self) -> Option<u64> {
        self.addresses.iter().filter_map(|address| address.calls).reduce(|a, b| a + b)
    }
}

/// One address of a [`ListedRecord`].
#[derive(Clone, Debug)]
pub struct ListedAddress {
    /// The address, and the listener that reaches it.
    pub address: Address,
    /// Its flags in force.
    pub flags: Flags,
    /// Its calls in progress; `None` if its set does not count them.
    pub calls: Option<u64>,
    /// Its number in this process; `None` when no listener reaches it.
    pub slot: Option<Slot>,
    /// Kamailio's `PROBING_COUNT`: failures in a row, or successes while it is inactive.
    pub probing_count: u32,
    /// How long its last answer to a probe took, in milliseconds.
    pub answer_ms: Option<u64>,
    /// How long its answers to probes took; `None` as long as nothing is known.
    pub latency: Option<Latency>,
    /// How long it takes to answer calls and probes now, in microseconds; `None` as long as nothing is
    /// known.
    pub answer_us: Option<u64>,
    /// How much of its share it takes, in percent, and in how many milliseconds it takes all of it;
    /// `None` if it does now.
    pub slow_start: Option<(u8, u64)>,
    /// How much less it asks for; `None` if nothing.
    pub overload: Option<Asked>,
    /// Why it is in its state.
    pub reason: Option<String>,
    /// Since when it is in its state.
    pub since: Option<SystemTime>,
    /// How long ago it sent a response last, in milliseconds; `None` if nobody has heard it.
    pub heard_ms_ago: Option<u64>,
    /// For how long requests wait while nothing at all is heard from it, in milliseconds.
    pub silent_ms: Option<u64>,
    /// What was sent to it, and how much of that it answered.
    pub traffic: SlotTraffic,
    /// Its responses, and how long they took.
    pub answers: SlotAnswers,
}

/// Options of a reload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReloadHow {
    /// Only report what the reload would do.
    pub dry_run: bool,
    /// Reload even if it empties a set, or removes more than `removed_percent_max` of one.
    pub force: bool,
}

/// The result of a reload that was accepted.
#[derive(Clone, Debug, Default)]
pub struct Reloaded {
    /// What it changes.
    pub plan: Plan,
    /// Warnings, one sentence each.
    pub notes: Vec<String>,
    /// Why the reload would be refused unless forced, one sentence each. Only for a dry run.
    pub refused: Vec<String>,
    /// How long it took.
    pub took: Took,
}

/// How long each part of a reload took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// Reading configuration and source, and resolving names.
    pub read: Duration,
    /// Checking it against the listeners and comparing it with what is in force.
    pub check: Duration,
    /// Building the tables of the workers.
    pub build: Duration,
    /// Waiting until every worker uses them.
    pub publish: Duration,
}

/// A change of state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changed {
    /// How many records were changed.
    pub count: usize,
    /// Warnings, one sentence each.
    pub warnings: Vec<String>,
}

/// Selects destinations of a set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Which {
    /// All of them.
    All,
    /// The record with this URI; if there is none, the one address that it names.
    Uri(String),
    /// The record with this `duid` attribute.
    Duid(String),
}

/// What became of an addition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Added {
    /// Warnings, one sentence each.
    pub notes: Vec<String>,
    /// Where in the source it was written, if it was.
    pub saved: Option<String>,
}

/// A record that a command adds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewRecord {
    /// The set.
    pub set: u32,
    /// The URI; `sip:` may be missing.
    pub uri: String,
    /// Its flags, as Kamailio's numbers.
    pub flags: u32,
    /// Its priority.
    pub priority: i32,
    /// Its attributes, `name=value;...`.
    pub attributes: String,
}

impl Commands {
    pub(in crate::control) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, asker: Asker::default() }
    }

    /// Returns the same commands for whoever asks here.
    #[must_use]
    pub fn asked_by(&self, asker: Asker) -> Self {
        Self { inner: Arc::clone(&self.inner), asker }
    }

    pub(in crate::control) fn asker(&self) -> &Asker {
        &self.asker
    }

    pub(in crate::control) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Returns the destinations in force.
    pub fn list(&self) -> Listing {
        let in_force = self.inner.in_force();
        let (snapshot, health) = (self.inner.current.snapshot(), self.inner.health());
        let mut listing = Listing { draining: in_force.is_draining(), ..Listing::default() };
        for resolved in in_force.records().iter() {
            let id = resolved.record.set;
            if listing.sets.last().is_none_or(|set| set.id != id) {
                let algorithm = snapshot.set_policy(id).choosing.algorithm;
                listing.sets.push(ListedSet { id, algorithm, records: Vec::new() });
            }
            let set = listing.sets.last_mut().expect("there is one now");
            let counts_calls = snapshot.counts_calls(id);
            set.records.push(self.listed(resolved, in_force.registry(), &health, counts_calls));
        }
        listing
    }

    fn listed(
        &self,
        resolved: &Resolved,
        registry: &Registry,
        health: &Health,
        counts_calls: bool,
    ) -> ListedRecord {
        let record = &resolved.record;
        let identity = RecordIdentity::of(record);
        let (flags, of_addresses) = registry.flags(resolved);
        let (table, now) = (registry.table(), monotonic_now());
        let ms_since = |then: Now| Some(now.ms().saturating_sub(then.ms()));
        let addresses = resolved.addresses.iter().zip(of_addresses).map(|(address, flags)| {
            let slot = registry.slot(record, address.socket);
            let view = slot.and_then(|slot| health.view(slot));
            let last = self.inner.history.last(&identity, address.socket);
            let counted = slot.map(|slot| self.inner.counted_before.of(slot, &self.inner.traffic));
            let (traffic, answers) = counted.unwrap_or_default();
            ListedAddress {
                address: *address,
                flags,
                calls: slot
                    .filter(|_| counts_calls)
                    .and_then(|slot| Some(table.get(slot)?.load.calls())),
                slot,
                probing_count: view.map_or(0, |view| view.count),
                answer_ms: view.and_then(|view| view.answer_ms),
                latency: view.map(|view| view.latency).filter(|latency| !latency.is_empty()),
                answer_us: slot
                    .and_then(|slot| Some(table.get(slot)?.load.answer_us()))
                    .filter(|us| *us > 0),
                slow_start: slot
                    .filter(|_| flags.is_selectable())
                    .and_then(|slot| slow_start(&table, slot, now)),
                overload: slot.and_then(|slot| table.get(slot)?.load.overload().asked(now)),
                reason: last.as_ref().map(|last| last.reason.clone()),
                since: last.map(|last| last.time),
                heard_ms_ago: view.and_then(|view| ms_since(view.heard_at?)),
                silent_ms: view.and_then(|view| ms_since(view.silent_since?)),
                traffic,
                answers,
            }
        });
        let addresses = addresses.collect();
        ListedRecord {
            uri: record.uri.text.clone(),
            flags,
            priority: record.priority,
            attributes: record.attributes.clone(),
            origin: record.origin,
            iuid: identity.iuid(),
            addresses,
        }
    }

    /// Returns the last changes of state of every destination that is listed, the oldest first, in
    /// the order of the list.
    pub(in crate::control) fn history(&self) -> Vec<Arc<StateEvent>> {
        let in_force = self.inner.in_force();
        let addresses = in_force.records().iter().flat_map(|resolved| {
            let identity = RecordIdentity::of(&resolved.record);
            let addresses = resolved.addresses.iter();
            addresses.map(move |address| (identity.clone(), address.socket))
        });
        let history = &self.inner.history;
        addresses.flat_map(|(identity, address)| history.of(identity, address)).collect()
    }

    /// Reads configuration and destinations again, puts both in force together and logs the result.
    /// All workers use them when it returns.
    ///
    /// # Errors
    /// Everything that is wrong; then nothing changes.
    pub fn reload(&self, how: ReloadHow) -> Result<Reloaded, Vec<Error>> {
        if !how.dry_run {
            self.inner.notices.reloading();
        }
        let begin = Instant::now();
        let result = guarded("the reload", || self.inner.reload(how));
        if !how.dry_run {
            self.inner.tell(&self.asker, begin.elapsed(), &result);
            self.inner.notices.reloaded();
        }
        result
    }

    /// Returns the last reloads, the oldest first.
    pub fn past_reloads(&self) -> Vec<Arc<PastReload>> {
        self.inner.past_reloads.all()
    }

    /// Changes the state of destinations and returns how many records were changed. Warns, also in
    /// the log, if this leaves a set without an active destination.
    ///
    /// # Errors
    /// No destination matches.
    pub fn set_state(
        &self,
        set: u32,
        which: &Which,
        state: DestinationState,
        is_probed: bool,
    ) -> Result<Changed, Vec<Error>> {
        guarded("a change of state", || {
            let inner = &self.inner;
            let mut changed = Changed::default();
            let version = inner.change(Cause::Command(&self.asker), |in_force| {
                let selected =
                    selector::find(in_force.records(), set, which).map_err(|error| vec![error])?;
                let next = in_force.with_state(set, &selected, state, is_probed);
                let warnings = next.warn_if_empty(set).into_iter().collect();
                changed = Changed { count: selected.len(), warnings };
                Ok(Some(next))
            })?;
            inner.wait_until_used(version);
            let flags = Flags::default().in_state(state, is_probed);
            let (letters, Named { by, uid, pid }) = (flags.letters(), self.asker.named());
            info!(
                event = "state_set", set, destination = %which, flags = letters,
                state = state_word(flags), records = changed.count, by, uid, pid,
                "set {set}: {which} set to {letters} by {by}"
            );
            for warning in &changed.warnings {
                warn!("{warning}");
            }
            Ok(changed)
        })
    }

    /// Adds one record. `save` also writes it to the source; with `None`, `write_back` decides.
    ///
    /// # Errors
    /// What is wrong with it; then nothing changes.
    pub fn add(&self, new: &NewRecord, save: Option<bool>) -> Result<Added, Vec<Error>> {
        let added = guarded("an addition", || self.inner.add(&self.asker, new, save))?;
        let (NewRecord { set, uri, .. }, Named { by, uid, pid }) = (new, self.asker.named());
        let place = added.saved.as_deref();
        let saved = place.map(|place| format!(", saved as {place}")).unwrap_or_default();
        info!(
            event = "added",
            set,
            destination = uri,
            saved = place,
            by,
            uid,
            pid,
            "set {set}: {uri} added by {by}{saved}"
        );
        Ok(added)
    }

    /// Removes the records of a set with this URI and returns how many there were.
    ///
    /// # Errors
    /// The source cannot be written to; then nothing changes.
    pub fn remove(&self, set: u32, uri: &str, save: Option<bool>) -> Result<usize, Vec<Error>> {
        let count = guarded("a removal", || self.inner.remove(&self.asker, set, uri, save))?;
        if count > 0 {
            let Named { by, uid, pid } = self.asker.named();
            info!(
                event = "removed",
                set,
                destination = uri,
                records = count,
                by,
                uid,
                pid,
                "set {set}: {uri} removed by {by}"
            );
            if let Some(warning) = self.inner.in_force().warn_if_empty(set) {
                warn!("{warning}");
            }
        }
        Ok(count)
    }

    /// Returns whether destinations were pinged before this call; `now` changes the setting.
    pub fn ping_active(&self, now: Option<bool>) -> bool {
        // Relaxed: the flag carries nothing but itself.
        let flag = &self.inner.ping_active;
        let before = now
            .map_or_else(|| flag.load(Ordering::Relaxed), |now| flag.swap(now, Ordering::Relaxed));
        if let Some(on) = now.filter(|now| *now != before) {
            let Named { by, uid, pid } = self.asker.named();
            let what = if on { "probed again" } else { "no longer probed" };
            info!(event = "probing", on, by, uid, pid, "destinations are {what}, by {by}");
        }
        self.inner.sightings.wake();
        before
    }

    /// Refuses new requests, or accepts them again. Returns the setting before.
    ///
    /// # Errors
    /// The change cannot be put in force.
    pub fn drain(&self, on: bool) -> Result<bool, Vec<Error>> {
        guarded("the draining", || {
            let inner = &self.inner;
            let mut before = false;
            let version = inner.change(Cause::Command(&self.asker), |in_force| {
                before = in_force.is_draining();
                Ok(Some(in_force.with_draining(on)))
            })?;
            inner.wait_until_used(version);
            let Named { by, uid, pid } = self.asker.named();
            match (before, on) {
                (false, true) => warn!(
                    event = "drained",
                    on, by, uid, pid, "drained by {by}: new requests get 503 from now on"
                ),
                (true, false) => info!(
                    event = "drained",
                    on, by, uid, pid, "no longer drained: new requests are served again, by {by}"
                ),
                _ => {}
            }
            Ok(before)
        })
    }

    /// Returns the status code of an answer whose code is configured, for the set that new requests
    /// are dispatched to.
    pub fn code_of(&self, answer: Answer) -> u16 {
        let in_force = self.inner.in_force();
        let policy = in_force.set_policy(in_force.config().policy.set);
        match answer {
            answer if answer.is_over_limit() => policy.over_limit.status.code,
            _ => policy.no_destination.code,
        }
    }

    /// Returns the current counters.
    pub fn totals(&self) -> Totals {
        self.inner.totals()
    }

    /// Returns how long the relay has been running.
    pub fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }
}

/// Written as in errors and logs.
impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all destinations"),
            Self::Uri(uri) => f.write_str(uri),
            Self::Duid(duid) => write!(f, "duid={duid}"),
        }
    }
}

/// Runs a command so that a panic ends only that command.
fn guarded<T>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Vec<Error>>,
) -> Result<T, Vec<Error>> {
    catch_here(work).unwrap_or_else(|| Err(vec![Error::Panicked(what)]))
}

/// Returns how much of its share a destination takes, in percent, and in how many milliseconds it takes
/// all of it; `None` if it does now.
fn slow_start(table: &Table, slot: Slot, now: Now) -> Option<(u8, u64)> {
    let slow_start_ms = table.set(table.set_of(slot)?)?.slow_start_ms();
    let load = &table.get(slot)?.load;
    let left_ms = load.whole_share_in_ms(now, slow_start_ms);
    let percent = load.share(now, slow_start_ms) * 100 / WHOLE_SHARE;
    (left_ms > 0).then_some((percent as u8, left_ms))
}
