//! A set, and how a destination is chosen from it.

use std::sync::Arc;

use super::{RoundRobin, Slot};

/// A destination set, ready to choose from.
#[derive(Clone, Debug)]
pub struct Set {
    /// Its number.
    pub id: u32,
    pub(crate) chooser: Chooser,
    /// The slots of the active records, sorted.
    pub(crate) active_members: Arc<[Slot]>,
}

/// The table of the set's algorithm. It is prepared when the set is built, so that a choice takes
/// the same short time in a small set and in a large one.
#[derive(Clone, Debug)]
pub(crate) enum Chooser {
    RoundRobin(RoundRobin),
}

impl Set {
    /// Returns the next destination; `None` if none is active.
    ///
    /// Each call takes a turn, so call it only for requests seen for the first time.
    pub fn choose(&self, is_invite: bool) -> Option<Slot> {
        match &self.chooser {
            Chooser::RoundRobin(round) => round.choose(is_invite),
        }
    }

    /// Returns what [`Set::choose`] would return now, and takes no turn.
    pub fn peek(&self, is_invite: bool) -> Option<Slot> {
        match &self.chooser {
            Chooser::RoundRobin(round) => round.peek(is_invite),
        }
    }

    /// Returns whether it has an active destination.
    pub fn has_active(&self) -> bool {
        !self.active_members.is_empty()
    }

    /// Returns whether this destination can be chosen.
    pub fn is_active(&self, slot: Slot) -> bool {
        self.active_members.binary_search(&slot).is_ok()
    }

    /// Returns the destinations that can be chosen, each once, in the order in which they come next.
    /// Takes no turn.
    pub(crate) fn round(&self, is_invite: bool) -> Vec<Slot> {
        match &self.chooser {
            Chooser::RoundRobin(round) => round.round(is_invite),
        }
    }
}
