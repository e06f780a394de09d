//! A reload: reads and checks everything first, then puts all of it in force together, or nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::config::Config;
use crate::control::Inner;
use crate::control::asker::{Asker, Named};
use crate::control::commands::plan::{self, Plan};
use crate::control::commands::{ReloadHow, Reloaded, Took};
use crate::control::error::{self, Error};
use crate::control::history::Cause;
use crate::control::snapshot::in_force::InForce;
use crate::control::snapshot::low_priority::at_low_priority;
use crate::control::start::check::leave_out_unusable;
use crate::control::start::load;
use crate::destination::Resolved;
use crate::limits;
use crate::transport::monotonic_now;

/// The right to change the set of records.
pub(in crate::control) struct Turn<'a> {
    inner: &'a Inner,
    _one_at_a_time: MutexGuard<'a, ()>,
}

impl Inner {
    /// Waits until no other reload, addition or removal is running.
    ///
    /// Each waiting reload runs; none takes the result of another. An operator who changes the
    /// source and then reloads must get a reload that started after the change.
    pub(in crate::control) fn take_turn(&self) -> Result<Turn<'_>, Vec<Error>> {
        // Relaxed: a count, which orders nothing.
        if self.reloads.fetch_add(1, Ordering::Relaxed) > limits::RELOADS_WAITING_MAX {
            self.reloads.fetch_sub(1, Ordering::Relaxed);
            return Err(vec![Error::Busy]);
        }
        let guard = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Turn { inner: self, _one_at_a_time: guard })
    }

    /// Logs the result of a reload and keeps it for a while.
    pub(in crate::control) fn tell(
        &self,
        asker: &Asker,
        took: Duration,
        result: &Result<Reloaded, Vec<Error>>,
    ) {
        let Named { by, uid, pid } = asker.named();
        match result {
            Ok(reloaded) => {
                for note in &reloaded.notes {
                    warn!("{note}");
                }
                let (plan, took_ms) = (&reloaded.plan, took.as_millis() as u64);
                info!(
                    event = "reloaded",
                    added = plan.added.len(),
                    removed = plan.removed.len(),
                    changed = plan.changed.len(),
                    unchanged = plan.unchanged,
                    took_ms,
                    by,
                    uid,
                    pid,
                    "reloaded: {plan}; {}; by {by}",
                    self.describe_destinations()
                );
            }
            Err(errors) => {
                for error in errors {
                    error!("{error}");
                }
                error!(
                    event = "not_reloaded",
                    errors = errors.len(),
                    by,
                    uid,
                    pid,
                    "not reloaded: nothing has changed; asked for by {by}"
                );
            }
        }
        let reload = self.past_reloads.add(by, took, result);
        self.notifier.notify(|| reload.value());
    }

    pub(in crate::control) fn reload(&self, how: ReloadHow) -> Result<Reloaded, Vec<Error>> {
        self.fault_point(b"strowger reload");
        let _turn = self.take_turn()?;
        let begin = Instant::now();
        let in_force = self.in_force();
        let old = Config::clone(in_force.config());
        let (config, mut notes) = match &self.flags {
            Some(flags) => old.reload(flags).map_err(error::all)?,
            None => (old, Vec::new()),
        };
        let (records, warnings) = load::read_again(&config, &self.resolver)?;
        let (records, left_out) = leave_out_unusable(&config, records, &self.shared.listeners);
        notes.extend(config.warnings.iter().cloned().chain(warnings).chain(left_out));

        let mut took = Took { read: begin.elapsed(), ..Took::default() };
        let count = in_force.records().len().max(records.len());
        drop(in_force);
        let (config, records) = (Arc::new(config), Arc::<[Resolved]>::from(records));
        let (mut plan, mut refused) = (Plan::default(), Vec::new());
        let version = self.change_all(Cause::Reload, count, |in_force| {
            (plan, refused) = self.compare(in_force, &config, &records, &mut took)?;
            if how.dry_run {
                return Ok(None);
            }
            if !refused.is_empty() && !how.force {
                return Err(std::mem::take(&mut refused));
            }
            let begin = Instant::now();
            let (config, listeners) = (Arc::clone(&config), &self.shared.listeners);
            let next =
                in_force.with_records(config, Arc::clone(&records), monotonic_now(), listeners)?;
            took.build = begin.elapsed();
            Ok(Some(next))
        })?;
        if how.dry_run {
            let refused = refused.iter().map(ToString::to_string).collect();
            return Ok(Reloaded { plan, notes, refused, took });
        }
        let built = Instant::now();
        self.wait_until_used(version);
        took.publish = built.elapsed();
        let old_snapshots = self.current.unused_snapshots();
        if count > limits::BUILD_AT_ONCE_MAX {
            at_low_priority(|| drop(old_snapshots))?;
        }
        self.is_stale.store(false, Ordering::Relaxed);
        let in_force = self.in_force();
        load::keep(in_force.config(), in_force.records());
        Ok(Reloaded { plan, notes, refused: Vec::new(), took })
    }

    /// Checks what was read. Returns what it would change, and why that is refused unless it is
    /// forced.
    fn compare(
        &self,
        in_force: &InForce,
        config: &Config,
        records: &[Resolved],
        took: &mut Took,
    ) -> Result<(Plan, Vec<Error>), Vec<Error>> {
        let begin = Instant::now();
        let errors = in_force.errors(records, &self.shared.listeners);
        if !errors.is_empty() {
            return Err(errors);
        }
        let plan = Plan::of(in_force.records(), records);
        let percent_max = config.destinations.removed_percent_max;
        let refused = plan::guard(in_force.records(), records, percent_max);
        took.check = begin.elapsed();
        Ok((plan, refused))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.inner.reloads.fetch_sub(1, Ordering::Relaxed);
    }
}
