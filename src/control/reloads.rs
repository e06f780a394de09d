//! The last reloads: who asked, what they changed, or why they were refused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::commands::{Change, Plan, Reloaded};
use super::error::Error;
use crate::limits::{RELOAD_LINE_CHARS_MAX, RELOAD_LINES_MAX, RELOADS_KEPT_MAX};
use crate::rpc::Value;
use crate::words::shortened;

/// One reload, dry runs aside.
#[derive(Clone, Debug)]
pub struct PastReload {
    /// When it ended.
    pub time: SystemTime,
    /// Who asked for it.
    pub by: String,
    /// What it changed, in a few words; `None` if nothing changed because it was refused.
    pub changed: Option<String>,
    /// The first changes: the list and what happened to a record.
    pub changes: Vec<(&'static str, Change)>,
    /// What it warned of, or the first of what was wrong.
    pub says: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl PastReload {
    /// Returns the reload as programs get it.
    pub(in crate::control) fn value(&self) -> Value {
        let changes = self.changes.iter().map(|(list, change)| {
            Value::object([
                ("list", Value::from(*list)),
                ("set", change.set.into()),
                ("uri", change.uri.as_str().into()),
                ("what", change.what.as_str().into()),
            ])
        });
        Value::object([
            ("event", "reload".into()),
            ("time", humantime::format_rfc3339_millis(self.time).to_string().into()),
            ("by", self.by.as_str().into()),
            ("changed", self.changed.clone().into()),
            ("changes", Value::Array(changes.collect())),
            ("says", Value::Array(self.says.iter().map(|text| text.as_str().into()).collect())),
            ("took_ms", (self.took.as_millis() as u64).into()),
        ])
    }
}

/// The last reloads, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Reloads(Mutex<VecDeque<Arc<PastReload>>>);

impl Reloads {
    pub(super) fn add(
        &self,
        by: String,
        took: Duration,
        result: &Result<Reloaded, Vec<Error>>,
    ) -> Arc<PastReload> {
        let (changed, changes, mut says) = match result {
            Ok(reloaded) => {
                let plan = &reloaded.plan;
                (Some(plan.to_string()), changes(plan), reloaded.notes.clone())
            }
            Err(errors) => (None, Vec::new(), errors.iter().map(ToString::to_string).collect()),
        };
        says.truncate(RELOAD_LINES_MAX);
        for text in &mut says {
            *text = shortened(text, RELOAD_LINE_CHARS_MAX);
        }
        let time = SystemTime::now();
        let mut kept = self.lock();
        if kept.len() == RELOADS_KEPT_MAX {
            kept.pop_front();
        }
        let reload = Arc::new(PastReload { time, by, changed, changes, says, took });
        kept.push_back(Arc::clone(&reload));
        reload
    }

    pub(super) fn all(&self) -> Vec<Arc<PastReload>> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<PastReload>>> {
        // Every step leaves it complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first changes of a plan.
fn changes(plan: &Plan) -> Vec<(&'static str, Change)> {
    let of = |what, changes: &[Change]| {
        let first = changes.iter().take(RELOAD_LINES_MAX);
        let shortened = |Change { set, uri, what }: &Change| Change {
            set: *set,
            uri: shortened(uri, RELOAD_LINE_CHARS_MAX),
            what: shortened(what, RELOAD_LINE_CHARS_MAX),
        };
        first.map(|change| (what, shortened(change))).collect::<Vec<_>>()
    };
    let lists = [("added", &plan.added), ("removed", &plan.removed), ("changed", &plan.changed)];
    let mut all: Vec<_> = lists.into_iter().flat_map(|(what, list)| of(what, list)).collect();
    all.truncate(RELOAD_LINES_MAX);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_with_their_first_lines() {
        let reloads = Reloads::default();
        let change = |uri: usize| Change { set: 1, uri: format!("sip:{uri}"), what: String::new() };
        let many = |from: usize, count| (from..from + count).map(change).collect::<Vec<_>>();
        let plan = Plan {
            added: many(0, RELOAD_LINES_MAX - 1),
            removed: many(100, 3),
            changed: many(200, 1),
            unchanged: 7,
        };
        let notes = vec!["é".repeat(RELOAD_LINE_CHARS_MAX + 1); RELOAD_LINES_MAX + 1];
        let good = Ok(Reloaded { plan, notes, ..Reloaded::default() });
        reloads.add("SIGHUP".into(), Duration::from_millis(3), &good);
        reloads.add("a command".into(), Duration::ZERO, &Err(vec![Error::Busy]));
        let [first, second] = &reloads.all()[..] else { panic!() };
        assert_eq!(first.changed.as_deref(), Some("9 added, 3 removed, 1 changed"));
        assert_eq!((first.by.as_str(), first.took.as_millis()), ("SIGHUP", 3));
        assert_eq!((first.changes.len(), first.says.len()), (RELOAD_LINES_MAX, RELOAD_LINES_MAX));
        let (what, change) = first.changes.last().unwrap();
        assert_eq!((*what, change.uri.as_str()), ("removed", "sip:100"));
        assert_eq!(first.says[0].chars().count(), RELOAD_LINE_CHARS_MAX + 3);
        assert_eq!((second.changed.as_ref(), second.changes.len()), (None, 0));
        assert_eq!(second.says, [Error::Busy.to_string()]);
        for number in 0..RELOADS_KEPT_MAX {
            reloads.add(number.to_string(), Duration::ZERO, &good);
        }
        let kept: Vec<_> = reloads.all().iter().map(|reload| reload.by.clone()).collect();
        assert_eq!(kept.len(), RELOADS_KEPT_MAX);
        assert_eq!((kept[0].as_str(), kept.last().unwrap().as_str()), ("0", "19"));
    }
}
