//! A reload: reads and checks everything first, then puts all of it in force together, or nothing.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use tracing::{error, info, warn};

use super::aside::aside;
use super::beside::leave_out_ourselves;
use super::desk::{ReloadHow, Reloaded, Took};
use super::error::{self, Error};
use super::plan::{self, Plan};
use super::{Inner, load};
use crate::config::Config;
use crate::destination::Resolved;
use crate::limits;

/// The right to change the set of records.
pub(super) struct Turn<'a> {
    inner: &'a Inner,
    _one_at_a_time: MutexGuard<'a, ()>,
}

impl Inner {
    /// Waits until no other reload, addition or removal is running.
    ///
    /// Each waiting reload runs; none takes the result of another. An operator who changes the
    /// source and then reloads must get a reload that started after the change.
    pub(super) fn take_turn(&self) -> Result<Turn<'_>, Vec<Error>> {
        // Relaxed: a count, which orders nothing.
        if self.reloads.fetch_add(1, Ordering::Relaxed) > limits::RELOADS_WAITING_MAX {
            self.reloads.fetch_sub(1, Ordering::Relaxed);
            return Err(vec![Error::Busy]);
        }
        let guard = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Turn { inner: self, _one_at_a_time: guard })
    }

    /// Logs the result of a reload.
    pub(super) fn tell(&self, how: ReloadHow, result: &Result<Reloaded, Vec<Error>>) {
        match result {
            _ if how.dry_run => {}
            Ok(reloaded) => {
                for note in &reloaded.notes {
                    warn!("{note}");
                }
                info!("reloaded: {}; {}", reloaded.plan, self.describe_destinations());
            }
            Err(errors) => {
                for error in errors {
                    error!("{error}");
                }
                error!("not reloaded: nothing has changed");
            }
        }
    }

    pub(super) fn reload(&self, how: ReloadHow) -> Result<Reloaded, Vec<Error>> {
        self.strike(b"strowger reload");
        let _turn = self.take_turn()?;
        let begin = Instant::now();
        // Sources are read and names resolved without the state lock, because both may take long.
        let (old, known) = self.in_force();
        let (config, mut notes) = match &self.flags {
            Some(flags) => old.reload(flags).map_err(error::all)?,
            None => (old, Vec::new()),
        };
        let (records, warnings) = load::read_again(&config, &self.resolver)?;
        let (records, left_out) = leave_out_ourselves(&config, records, &self.shared.listeners);
        notes.extend(config.warnings.iter().cloned().chain(warnings).chain(left_out));

        let mut took = Took { read: begin.elapsed(), ..Took::default() };
        let count = known.len().max(records.len());
        let (plan, refused, version) =
            aside(count, || self.put_in_force(config, records, how, &mut took))??;
        if let Some(version) = version {
            let built = Instant::now();
            self.wait_until_used(version);
            took.publish = built.elapsed();
        }
        if how.dry_run {
            return Ok(Reloaded { plan, notes, refused, took });
        }
        aside(count, || self.state().free_old_snapshots())?;
        self.is_stale.store(false, Ordering::Relaxed);
        let (config, records) = self.in_force();
        load::keep(&config, &records);
        Ok(Reloaded { plan, notes, refused: Vec::new(), took })
    }

    /// Checks what was read, and publishes it unless this is a dry run. Returns the plan, for a dry
    /// run the reasons to refuse it, and the published version.
    fn put_in_force(
        &self,
        config: Config,
        records: Vec<Resolved>,
        how: ReloadHow,
        took: &mut Took,
    ) -> Result<(Plan, Vec<String>, Option<u64>), Vec<Error>> {
        let begin = Instant::now();
        let mut state = self.state();
        let errors = state.errors(&records, &self.shared);
        if !errors.is_empty() {
            return Err(errors);
        }
        let plan = Plan::of(state.records(), &records);
        let percent_max = config.destinations.removed_percent_max;
        let refused = plan::guard(state.records(), &records, percent_max);
        took.check = begin.elapsed();
        if how.dry_run {
            return Ok((plan, refused.iter().map(ToString::to_string).collect(), None));
        }
        if !refused.is_empty() && !how.force {
            return Err(refused);
        }
        let begin = Instant::now();
        let version = state.replace(config, records, &self.shared)?;
        took.build = begin.elapsed();
        Ok((plan, Vec::new(), Some(version)))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.inner.reloads.fetch_sub(1, Ordering::Relaxed);
    }
}
