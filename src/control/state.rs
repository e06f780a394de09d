//! The destinations as the control side knows them, and how they become the next snapshot.

use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::Waker;

use super::error::{self, Error};
use super::meant::Meant;
use super::publish::Publisher;
use crate::config::Config;
use crate::destination::{self, Resolved};
use crate::limits;
use crate::proxy::{Shared, Snapshot, StatusLine};
use crate::registry::Registry;
use crate::transport::monotonic_now;
use crate::worker::wake;

/// The configuration and the destinations in force.
#[derive(Debug)]
pub(super) struct State {
    config: Config,
    records: Arc<[Resolved]>,
    registry: Registry,
    draining: bool,
    /// The version of the last published snapshot.
    version: u64,
    /// `None` only until the workers have started.
    outlet: Option<(Publisher<Snapshot>, Arc<[Waker]>)>,
}

impl State {
    /// Returns the initial state and its snapshot.
    pub(super) fn new(
        config: Config,
        records: Vec<Resolved>,
        shared: &Shared,
    ) -> Result<(Self, Snapshot), Vec<Error>> {
        let mut state = Self {
            config,
            records: records.into(),
            registry: Registry::default(),
            draining: false,
            version: 0,
            outlet: None,
        };
        let first = state.build(shared)?;
        Ok((state, first))
    }

    /// Sets where the next snapshots go.
    pub(super) fn publish_with(&mut self, publisher: Publisher<Snapshot>, wakers: Arc<[Waker]>) {
        self.outlet = Some((publisher, wakers));
    }

    /// Returns the snapshot in force; `None` only until the workers have started.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        Some(self.outlet.as_ref()?.0.current().load_full())
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the records in force, as the source and the name servers give them.
    pub(super) fn records(&self) -> &Arc<[Resolved]> {
        &self.records
    }

    /// Returns the states that survive reloads.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns a number that changes whenever something is published.
    pub(super) fn generation(&self) -> u64 {
        self.version
    }

    /// Returns why these records would be refused.
    pub(super) fn errors(&self, records: &[Resolved], shared: &Shared) -> Vec<Error> {
        error::all(self.registry.errors(records, &shared.listeners))
    }

    /// Replaces the records in force and returns the published version. If they are refused,
    /// nothing changes.
    pub(super) fn replace(
        &mut self,
        config: Config,
        records: Vec<Resolved>,
        shared: &Shared,
    ) -> Result<u64, Vec<Error>> {
        self.free_numbers(&records, shared)?;
        let before = (mem::replace(&mut self.config, config), self.records.clone());
        self.records = records.into();
        match self.build(shared) {
            Ok(next) => Ok(self.publish(next)),
            Err(errors) => {
                (self.config, self.records) = before;
                Err(errors)
            }
        }
    }

    /// Like [`State::replace`], with the same configuration.
    pub(super) fn replace_records(
        &mut self,
        records: Vec<Resolved>,
        shared: &Shared,
    ) -> Result<u64, Vec<Error>> {
        self.replace(self.config.clone(), records, shared)
    }

    /// Changes the state of the selected destinations and returns the published version.
    pub(super) fn put(
        &mut self,
        meant: &[Meant],
        state: destination::State,
        is_probed: bool,
        shared: &Shared,
    ) -> Result<u64, Vec<Error>> {
        for (at, address) in meant {
            self.registry.put_state(&self.records[*at], *address, state, is_probed);
        }
        // This list was accepted before, and nothing else has changed.
        let next = self.build(shared)?;
        Ok(self.publish(next))
    }

    /// Makes every snapshot from now on tell the workers to refuse new requests, or to accept them
    /// again. Returns the setting before.
    pub(super) fn drain(&mut self, on: bool, shared: &Shared) -> Result<(u64, bool), Vec<Error>> {
        let before = mem::replace(&mut self.draining, on);
        let next = self.build(shared)?;
        Ok((self.publish(next), before))
    }

    /// Returns the answer to new requests if this set has no active destination.
    pub(super) fn no_destination(&self, set: u32) -> &StatusLine {
        &self.config.sets.get(&set).unwrap_or(&self.config.set_default).no_destination
    }

    /// Returns a warning if no destination of this set can be chosen.
    pub(super) fn warn_if_empty(&self, set: u32) -> Option<String> {
        let may_be_chosen =
            |r: &Resolved| self.registry.flags(r).1.iter().any(|f| f.is_selectable());
        if self.records.iter().any(|r| r.record.set == set && may_be_chosen(r)) {
            return None;
        }
        let StatusLine { code, reason } = self.no_destination(set);
        let follows = if set == self.config.policy.set {
            format!("every new call gets {code} {reason}")
        } else {
            "it can take no new call".into()
        };
        Some(format!("set {set} has no active destination left: {follows}"))
    }

    /// Returns whether new requests are refused.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    fn publish(&mut self, next: Snapshot) -> u64 {
        if let Some((publisher, wakers)) = &mut self.outlet {
            publisher.publish(next);
            wake(wakers);
        }
        self.version
    }

    pub(super) fn free_old_snapshots(&mut self) {
        if let Some((publisher, _)) = &mut self.outlet {
            publisher.free_old();
        }
    }

    /// Frees the slots of destinations retired long ago if `records` need them: publishes the list
    /// in force without them, and waits until no worker knows them any more.
    ///
    /// Otherwise a worker that is a snapshot behind would pin the old destination under the slot of
    /// the new one, or send a call that was pinned to the new one to the old.
    fn free_numbers(&mut self, records: &[Resolved], shared: &Shared) -> Result<(), Vec<Error>> {
        let given_up = self.registry.give_up(monotonic_now(), records);
        if given_up.is_empty() || self.outlet.is_none() {
            return Ok(());
        }
        let without = self.build(shared)?;
        let Some((publisher, wakers)) = &mut self.outlet else {
            return Ok(());
        };
        publisher.publish(without);
        wake(wakers);
        let begin = Instant::now();
        while publisher.free_old() > 0 {
            if begin.elapsed() > limits::MOVE_ON_TIME_MAX {
                // They stay given up; the next load tries again.
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.registry.reuse(given_up, &shared.pins);
        Ok(())
    }

    /// Builds the next snapshot from what is in force.
    fn build(&mut self, shared: &Shared) -> Result<Snapshot, Vec<Error>> {
        let destinations = self
            .registry
            .load(monotonic_now(), &self.records, &shared.listeners, &shared.pins)
            .map_err(error::all)?;
        self.version += 1;
        Ok(Snapshot {
            version: self.version,
            policy: self.config.policy.clone(),
            set_default: self.config.set_default.clone(),
            sets: self.config.sets.clone(),
            draining: self.draining,
            destinations,
        })
    }
}
