//! What became of one destination: its last changes of state, with their reasons.

use std::collections::VecDeque;

use super::ChangeReason;
use crate::clock::Now;
use crate::destination::Flags;
use crate::limits;

/// One change of state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// When it changed.
    pub at: Now,
    /// Its flags until then.
    pub from: Flags,
    /// Its flags from then on.
    pub to: Flags,
    /// Why.
    pub reason: ChangeReason,
}

/// The last changes of one destination. A new one replaces the oldest.
#[derive(Clone, Debug, Default)]
pub struct History {
    // It grows as changes come, since most destinations have none.
    entries: VecDeque<Entry>,
}

impl History {
    /// Returns the changes, the oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if self.entries.len() >= limits::HISTORY_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes() {
        let mut history = History::default();
        for ms in 0..40 {
            let flags = Flags::default();
            let (at, reason) = (Now::from_ms(ms), ChangeReason::Operator);
            history.push(Entry { at, from: flags, to: flags, reason });
        }
        let times: Vec<_> = history.entries().map(|entry| entry.at.ms()).collect();
        assert_eq!(times, (8..40).collect::<Vec<_>>());
    }
}
