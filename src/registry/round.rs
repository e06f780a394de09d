//! Continues the round of a set when its table is built anew.

use std::sync::Arc;

use super::RecordIdentity;
use super::sets::Roster;

/// The position of one counter's round.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The turn of the first active record of the table.
    pub(super) offset: u64,
    /// The turns taken when the table was built.
    pub(super) turn: u64,
    /// The record that took the last turn.
    last_used: Option<Arc<RecordIdentity>>,
}

impl Round {
    /// Makes the next turn go to the active record after the last one used. `before` is the round of
    /// the table so far, with its records and the indices of the active ones; `roster` and `active`
    /// are those of the next table.
    ///
    /// A turn that a worker takes from the old table right now is as good as an earlier one.
    pub(super) fn go_on(
        turn: u64,
        before: Option<(&Self, &Roster, &[usize])>,
        roster: &Roster,
        active: &[usize],
    ) -> Self {
        let Some((before, old, old_active)) = before else {
            return Self { offset: turn, turn, last_used: None };
        };
        let at_turn = |turn: u64| {
            let at = turn.wrapping_sub(before.offset).checked_rem(old_active.len() as u64)?;
            Some(&old.members[old_active[at as usize]].identity)
        };
        let used = (turn != before.turn).then(|| at_turn(turn.wrapping_sub(1))).flatten();
        let last_used = used.or(before.last_used.as_ref());
        let next = last_used.and_then(|last| {
            first_active(last, 1, roster, roster, active)
                .or_else(|| first_active(last, 1, old, roster, active))
                // That record was removed earlier: the turn stays with the one that it went to
                // then.
                .or_else(|| first_active(at_turn(turn)?, 0, old, roster, active))
        });
        Self {
            offset: turn.wrapping_sub(next.unwrap_or(0)),
            turn,
            last_used: last_used.map(Arc::clone),
        }
    }
}

/// Returns the place of the first active record that is at least `steps` after `from` in `list`.
fn first_active(
    from: &RecordIdentity,
    steps: usize,
    list: &Roster,
    roster: &Roster,
    active: &[usize],
) -> Option<u64> {
    let at = list.index_of(from)?;
    (steps..=list.members.len()).find_map(|step| {
        let at = (at + step) % list.members.len();
        let is_same = std::ptr::eq(list, roster);
        let at = if is_same { at } else { roster.index_of(&list.members[at].identity)? };
        // Their indices ascend.
        active.binary_search(&at).ok().map(|place| place as u64)
    })
}
