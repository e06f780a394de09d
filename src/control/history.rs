//! Every change of a destination's state, whoever made it: kept for a while, logged, and handed to
//! the programs that are told of it.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::{info, warn};

use super::asker::Asker;
use super::events::{Notifier, StateEvent};
use crate::destination::{Flags, Slot};
use crate::limits::{HISTORY_LINES_MAX, HISTORY_MAX};
use crate::registry::{Difference, RecordIdentity};

/// Who made a change.
#[derive(Clone, Copy, Debug)]
pub(in crate::control) enum Cause<'a> {
    /// The relay started.
    Start,
    /// A reload: the source says something else.
    Reload,
    /// Host names have other addresses.
    Names,
    /// A command of this one.
    Command(&'a Asker),
    /// The destinations themselves, each for a reason.
    Health(&'a HashMap<Slot, Reason>),
    /// Nothing that changes a state.
    Upkeep,
}

/// Why a destination's own behaviour changed its state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::control) struct Reason {
    /// One word.
    pub(in crate::control) word: &'static str,
    /// For people.
    pub(in crate::control) text: String,
}

/// The last changes of each destination that is listed.
#[derive(Debug)]
pub(in crate::control) struct History {
    of: Mutex<HashMap<(Arc<RecordIdentity>, SocketAddr), Ring>>,
    notifier: Arc<Notifier>,
}

type Ring = VecDeque<Arc<StateEvent>>;

impl Cause<'_> {
    fn of(self, difference: &Difference) -> Reason {
        let (word, text) = match self {
            Self::Start => ("start", "loaded at the start"),
            Self::Reload => match (difference.from, difference.to) {
                (None, _) => ("reload", "added to the source"),
                (_, None) => ("reload", "removed from the source"),
                _ => ("reload", "its flags changed in the source"),
            },
            Self::Names => ("names", "its name has other addresses"),
            Self::Command(asker) => {
                return Reason { word: "command", text: format!("by {asker}") };
            }
            Self::Health(reasons) => {
                let reason = difference.slot.and_then(|slot| reasons.get(&slot)).cloned();
                return reason.unwrap_or(Reason { word: "health", text: String::new() });
            }
            Self::Upkeep => ("upkeep", ""),
        };
        Reason { word, text: text.into() }
    }
}

impl History {
    pub(in crate::control) fn new(notifier: Arc<Notifier>) -> Self {
        Self { of: Mutex::default(), notifier }
    }

    /// Keeps and reports these changes. `slow_starts` says for how long the share of a destination that
    /// came back grows.
    pub(in crate::control) fn record(
        &self,
        differences: &[Difference],
        cause: Cause<'_>,
        slow_starts: &HashMap<Slot, u32>,
    ) {
        if differences.is_empty() {
            return;
        }
        let time = SystemTime::now();
        let events: Vec<_> = differences
            .iter()
            .map(|difference| {
                let mut reason = cause.of(difference);
                if let Some(ms) = difference.slot.and_then(|slot| slow_starts.get(&slot)) {
                    let grows = format!("; its share grows for {} s", f64::from(*ms) / 1e3);
                    reason.text.push_str(&grows);
                }
                Arc::new(event(difference, reason, time))
            })
            .collect();
        let mut of = self.lock();
        for (difference, event) in differences.iter().zip(&events) {
            let key = (Arc::clone(&difference.identity), difference.address);
            if difference.to.is_none() {
                of.remove(&key);
                continue;
            }
            let ring = of.entry(key).or_default();
            if ring.len() == HISTORY_MAX {
                ring.pop_front();
            }
            ring.push_back(Arc::clone(event));
        }
        drop(of);
        for event in &events {
            self.notifier.notify(|| event.value());
        }
        if matches!(cause, Cause::Health(_)) {
            log(&events);
        }
    }

    /// Returns the last changes of this destination, the oldest first.
    pub(in crate::control) fn of(
        &self,
        identity: RecordIdentity,
        address: SocketAddr,
    ) -> Vec<Arc<StateEvent>> {
        let of = self.lock();
        of.get(&(Arc::new(identity), address)).into_iter().flatten().cloned().collect()
    }

    /// Returns the change that put this destination in its state.
    pub(in crate::control) fn last(
        &self,
        identity: &RecordIdentity,
        address: SocketAddr,
    ) -> Option<Arc<StateEvent>> {
        let of = self.lock();
        of.get(&(Arc::new(identity.clone()), address))?.back().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Arc<RecordIdentity>, SocketAddr), Ring>> {
        // Every step leaves it complete.
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn event(difference: &Difference, reason: Reason, time: SystemTime) -> StateEvent {
    StateEvent {
        time,
        set: difference.identity.set(),
        uri: difference.identity.uri().to_owned(),
        address: difference.address,
        from: difference.from,
        to: difference.to,
        cause: reason.word,
        reason: reason.text,
    }
}

/// Logs what happened by itself; commands and reloads log one line for all that they change. Of very
/// many changes at once, such as after a cable was pulled, only the first are logged each.
fn log(events: &[Arc<StateEvent>]) {
    for event in events.iter().take(HISTORY_LINES_MAX) {
        let StateEvent { set, uri, address, from, to, cause, reason, .. } = &**event;
        let [before, now] = [from, to].map(|flags| flags.map_or("", Flags::letters));
        let word = to.map_or("", super::state_word);
        let place = if uri.contains(&address.to_string()) {
            String::new()
        } else {
            format!(" ({address})")
        };
        let line = format!("set {set}: {uri}{place} {before} -> {now}, {word}: {reason}");
        if to.is_some_and(Flags::is_selectable) {
            info!(
                event = "state", set, destination = uri, %address, from = before, to = now,
                state = word, cause, reason, "{line}"
            );
        } else {
            warn!(
                event = "state", set, destination = uri, %address, from = before, to = now,
                state = word, cause, reason, "{line}"
            );
        }
    }
    let more = events.len().saturating_sub(HISTORY_LINES_MAX);
    if more > 0 {
        warn!("{more} more destinations changed their state: strowger list");
    }
}
