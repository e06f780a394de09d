//! SIGHUP: the file is read again, and what cannot change while the process runs stays.

use std::fs;

use super::{Config, Flags, Problem, RelayConfig, blank};
use crate::keys::MasterKey;

impl Config {
    /// Reads everything again. `[dispatch]`, `[set.N]`, `relay.allow` and `[destinations]` of the
    /// result are new; the other keys are as they were, and each that changed in the file is named.
    ///
    /// # Errors
    /// Everything that is wrong; the configuration in use stays as it is.
    pub fn reload(&self, flags: &Flags) -> Result<(Self, Vec<String>), Vec<Problem>> {
        let mut new = Self::load(flags)?;
        // Without its `allow` a relay would take calls from everybody.
        if let Some(path) = &flags.config
            && fs::metadata(path).is_ok_and(|file| file.len() == 0)
        {
            return Err(vec![blank(&path.display().to_string())]);
        }
        let changed = self
            .fixed_changes(&new)
            .into_iter()
            .map(|key| format!("{key} changed: takes effect at the next start"))
            .collect();
        // Transactions that have begun still belong to their workers when no set is stateful any more.
        new.policy.is_stateful |= self.policy.is_stateful;
        let kept = Self {
            relay: self.relay.clone(),
            control: self.control.clone(),
            events: self.events.clone(),
            hep: self.hep.clone(),
            log: self.log.clone(),
            ..new
        };
        Ok((kept, changed))
    }

    fn fixed_changes(&self, new: &Self) -> Vec<&'static str> {
        // Taken apart so that a key cannot be added and forgotten here.
        let RelayConfig {
            listen,
            alias,
            workers,
            steering,
            receive_buffer_bytes,
            peak_requests_per_second,
            populate_pins,
            grace,
            state_dir,
            transactions_max,
            transactions_bytes,
            poll,
            poll_gather,
            keys,
        } = &self.relay;
        let same_key = |(a, b): (&MasterKey, &MasterKey)| a.id == b.id && a.secret == b.secret;
        let same_keys =
            keys.len() == new.relay.keys.len() && keys.iter().zip(&new.relay.keys).all(same_key);
        [
            ("relay.listen", *listen != new.relay.listen),
            ("relay.alias", *alias != new.relay.alias),
            ("relay.workers", *workers != new.relay.workers),
            ("relay.steering", *steering != new.relay.steering),
            ("relay.receive_buffer_bytes", *receive_buffer_bytes != new.relay.receive_buffer_bytes),
            (
                "relay.peak_requests_per_second",
                *peak_requests_per_second != new.relay.peak_requests_per_second,
            ),
            ("relay.populate_pins", *populate_pins != new.relay.populate_pins),
            ("relay.grace_s", *grace != new.relay.grace),
            ("relay.state_dir", *state_dir != new.relay.state_dir),
            ("relay.transactions_max", *transactions_max != new.relay.transactions_max),
            ("relay.transactions_bytes", *transactions_bytes != new.relay.transactions_bytes),
            ("relay.poll", *poll != new.relay.poll),
            ("relay.poll_gather_us", *poll_gather != new.relay.poll_gather),
            ("relay.keys", !same_keys),
            ("control", self.control != new.control),
            ("events", self.events != new.events),
            ("hep", self.hep != new.hep),
            ("log.level", self.log.level != new.log.level),
            ("log.format", self.log.json != new.log.json),
            ("log.dispatch", self.log.dispatch != new.log.dispatch),
            ("log.left", self.log.left != new.log.left),
        ]
        .into_iter()
        .filter_map(|(key, is_changed)| is_changed.then_some(key))
        .collect()
    }
}
