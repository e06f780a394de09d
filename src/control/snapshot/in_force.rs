//! The configuration and the destinations in force.

use std::sync::Arc;

use crate::clock::Now;
use crate::config::Config;
use crate::control::commands::selector::Selected;
use crate::control::error::{self, Error};
use crate::destination::{DestinationState, Resolved, Slot};
use crate::listener::Listeners;
use crate::proxy::{SetPolicy, Snapshot, StatusLine};
use crate::registry::{Choosings, FlagChange, RecordIdentity, Registry};

/// What is in force from one change to the next. It never changes: whoever holds it can read it
/// without a lock, and build what comes next from it.
#[derive(Clone, Debug)]
pub(in crate::control) struct InForce {
    config: Arc<Config>,
    records: Arc<[Resolved]>,
    registry: Registry,
    draining: bool,
    /// Increases by one with each change.
    version: u64,
}

impl InForce {
    /// Returns what a relay starts with.
    pub(in crate::control) fn first(
        config: Config,
        records: Vec<Resolved>,
        now: Now,
        listeners: &Listeners,
    ) -> Result<Self, Vec<Error>> {
        let nothing = Self {
            config: Arc::default(),
            records: Arc::default(),
            registry: Registry::default(),
            draining: false,
            version: 0,
        };
        nothing.with_records(Arc::new(config), records.into(), now, listeners)
    }

    pub(in crate::control) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Returns the records in force, as the source and the name servers give them.
    pub(in crate::control) fn records(&self) -> &Arc<[Resolved]> {
        &self.records
    }

    /// Returns the states that survive reloads.
    pub(in crate::control) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns whether new requests are refused.
    pub(in crate::control) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(in crate::control) fn version(&self) -> u64 {
        self.version
    }

    /// Returns why these records would be refused.
    pub(in crate::control) fn errors(
        &self,
        records: &[Resolved],
        listeners: &Listeners,
    ) -> Vec<Error> {
        error::all(self.registry.errors(records, listeners))
    }

    /// Returns the next one, with this configuration and these records.
    pub(in crate::control) fn with_records(
        &self,
        config: Arc<Config>,
        records: Arc<[Resolved]>,
        now: Now,
        listeners: &Listeners,
    ) -> Result<Self, Vec<Error>> {
        let mut registry = self.registry.clone();
        let sets = config.sets.iter().map(|(id, set)| (*id, &set.choosing));
        registry.choose_by(Choosings::new(&config.set_default.choosing, sets));
        let registry = registry.loaded(now, &records, listeners).map_err(error::all)?;
        Ok(Self { config, records, registry, ..self.next() })
    }

    /// Returns the next one, with another state of the selected destinations of this set.
    pub(in crate::control) fn with_state(
        &self,
        set: u32,
        selected: &[Selected],
        state: DestinationState,
        is_probed: bool,
    ) -> Self {
        let mut next = self.next();
        let identity = |at: usize| RecordIdentity::of(&self.records[at].record);
        let selected: Vec<_> =
            selected.iter().map(|(at, address)| (identity(*at), *address)).collect();
        next.registry.set_state(set, &selected, state, is_probed);
        next
    }

    /// Returns the next one, with other flags of these destinations, and the changes that took effect.
    pub(in crate::control) fn with_flags(&self, changes: &[FlagChange]) -> (Self, Vec<FlagChange>) {
        let mut next = self.next();
        let changed = next.registry.change_flags(changes);
        (next, changed)
    }

    /// Returns the next one, which refuses new requests or accepts them again.
    pub(in crate::control) fn with_draining(&self, draining: bool) -> Self {
        Self { draining, ..self.next() }
    }

    /// Returns the next one, without the destinations whose trust has ended.
    pub(in crate::control) fn without_ended(&self, now: Now) -> Self {
        Self { registry: self.registry.without_ended(now), ..self.next() }
    }

    /// Returns the next one, in which these slots are free.
    pub(in crate::control) fn with_free(&self, unused: &[Slot]) -> Self {
        let mut next = self.next();
        next.registry.free(unused);
        next
    }

    /// Returns the same, with the rounds continued after the turns taken from `before` since this was
    /// built from it.
    pub(in crate::control) fn with_rounds_after(mut self, before: &Self) -> Self {
        self.registry.continue_rounds(&before.registry);
        self
    }

    fn next(&self) -> Self {
        Self { version: self.version + 1, ..self.clone() }
    }

    /// Returns what the workers read.
    pub(in crate::control) fn snapshot(&self) -> Snapshot {
        Snapshot {
            version: self.version,
            policy: self.config.policy.clone(),
            set_default: self.config.set_default.clone(),
            sets: Arc::clone(&self.config.sets),
            draining: self.draining,
            destinations: self.registry.table(),
        }
    }

    /// Returns the answer to new requests if this set has no active destination.
    pub(in crate::control) fn no_destination(&self, set: u32) -> &StatusLine {
        &self.set_policy(set).no_destination
    }

    /// Returns the settings of a set.
    pub(in crate::control) fn set_policy(&self, set: u32) -> &SetPolicy {
        self.config.sets.get(&set).unwrap_or(&self.config.set_default)
    }

    /// Returns a warning if no destination of this set can be chosen.
    pub(in crate::control) fn warn_if_empty(&self, set: u32) -> Option<String> {
        let may_be_chosen =
            |r: &Resolved| self.registry.flags(r).1.iter().any(|f| f.is_selectable());
        if self.records.iter().any(|r| r.record.set == set && may_be_chosen(r)) {
            return None;
        }
        let StatusLine { code, reason } = self.no_destination(set);
        let follows = if self.config.sets_in_use().contains(&set) {
            format!("every new call gets {code} {reason}")
        } else {
            "it can take no new call".into()
        };
        Some(format!("set {set} has no active destination left: {follows}"))
    }
}
