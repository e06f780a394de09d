//! One pin as 64 bits.
//!
//! ```text
//!  63        34 33        18 17      8 7      4 3   0
//! |  key tag   |    slot    |  clock  |  role  | try |
//!      30            16         10        4       4
//! ```
//!
//! A *role* combines kind and state, because not every kind has every state. Zero is an empty way.
//! The clock counts units of 4 s and wraps after 4,096 s; the sweeper clears pins long before that,
//! even if the process was stopped for a while. Ages are signed: up to eight units in the future
//! counts as now, because two workers may write in a different order than they read their clocks.

use crate::clock::Now;
use crate::destination::Slot;

/// What a pin is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// An INVITE transaction.
    Invite,
    /// Any other transaction.
    Request,
    /// The requests of a dialog, for callers that ignore Record-Route.
    Dialog,
    /// One more request after a 401 or 407; the try field holds bits of the `CSeq` that was
    /// challenged.
    Challenge,
}

/// The state of the transaction, or that its pin is being stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No response yet.
    None,
    /// After a 100, or any 1xx to a request other than INVITE.
    Trying,
    /// After a 101 to 199 to an INVITE.
    Ringing,
    /// After a final response. Call pins are always in this state.
    Final,
    /// The pin is being stored; the try field shows the step.
    Tentative,
}

/// The kind and state of each role number. The last three are unused and decoded as one that
/// expires soon.
const ROLES: [(Kind, State); 16] = [
    (Kind::Invite, State::None),
    (Kind::Invite, State::Trying),
    (Kind::Invite, State::Ringing),
    (Kind::Invite, State::Final),
    (Kind::Invite, State::Tentative),
    (Kind::Request, State::None),
    (Kind::Request, State::Trying),
    (Kind::Request, State::Final),
    (Kind::Request, State::Tentative),
    (Kind::Dialog, State::Final),
    (Kind::Dialog, State::Tentative),
    (Kind::Challenge, State::Final),
    (Kind::Challenge, State::Tentative),
    (Kind::Challenge, State::Tentative),
    (Kind::Challenge, State::Tentative),
    (Kind::Challenge, State::Tentative),
];

/// Returns the number of a role. Call pins have only one state besides Tentative, and only INVITEs
/// ring.
const fn role(kind: Kind, state: State) -> u64 {
    match (kind, state) {
        (Kind::Invite, State::None) => 0,
        (Kind::Invite, State::Trying) => 1,
        (Kind::Invite, State::Ringing) => 2,
        (Kind::Invite, State::Final) => 3,
        (Kind::Invite, State::Tentative) => 4,
        (Kind::Request, State::None) => 5,
        (Kind::Request, State::Trying | State::Ringing) => 6,
        (Kind::Request, State::Final) => 7,
        (Kind::Request, State::Tentative) => 8,
        (Kind::Dialog, State::Tentative) => 10,
        (Kind::Dialog, _) => 9,
        (Kind::Challenge, State::Tentative) => 12,
        (Kind::Challenge, _) => 11,
    }
}

/// The value of a pin, from the least to the most: a full bucket evicts in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Worth {
    /// A transaction that ended over 32 s ago: its request is no longer retransmitted (64*T1).
    Ended,
    /// An INVITE without any response for over 32 s: its caller has given up (Timer B).
    GivenUp,
    /// A challenge: without it the caller is challenged once more.
    Challenge,
    /// Any other transaction with a final response.
    Final,
    /// A transaction without a response.
    Unanswered,
    /// A transaction with a 100.
    Trying,
    /// A ringing INVITE, or a call of a caller that ignores Record-Route.
    Call,
}

/// One decoded pin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pin {
    pub(super) tag: u32,
    /// The destination, or a reserved number of [`super`].
    pub slot: Slot,
    pub(super) clock: u16,
    /// What it is for.
    pub kind: Kind,
    /// The state of the transaction.
    pub state: State,
    /// The try number of a transaction; for [`Kind::Challenge`] bits of a `CSeq`.
    pub try_number: u8,
}

/// Milliseconds of one unit of the clock.
pub(super) const UNIT_MS: u64 = 4_000;
/// Units after which the clock wraps.
const WRAP: u16 = 1 << 10;
/// Larger ages are times in the future.
const FUTURE: u16 = 8;

/// Timer C and 64*T1 (180 s + 32 s), rounded up to 240 s, and one unit because the first is
/// partial.
const LIFE_UNITS: u16 = 240 / 4 + 1;
/// 1,800 s for a ringing call: Timer C restarts with each 1xx.
pub(super) const LIFE_RINGING_UNITS: u16 = 1_800 / 4 + 1;
/// 64*T1 for other requests than INVITE.
const LIFE_REQUEST_UNITS: u16 = 32 / 4 + 1;
/// A worker that stops while it stores a pin holds the way no longer than this.
const LIFE_TENTATIVE_UNITS: u16 = 2;

/// The longest lifetime of a pin, in milliseconds.
pub(super) const LIFE_MAX_MS: u64 = LIFE_RINGING_UNITS as u64 * UNIT_MS;

// The oldest pin that the sweeper can find lived its whole life, waited for its part of a pass (64
// s, and half as much again if the sweeps run late) and stayed through a gap as long as a life. Its
// age must not look like a time in the future.
const _: () = assert!(LIFE_RINGING_UNITS + 96 / 4 + 1 + LIFE_RINGING_UNITS < WRAP - FUTURE);

pub(super) const TAG_BITS: u32 = 30;

/// Returns the time as the clock of pins shows it.
pub(super) fn clock_of(now: Now) -> u16 {
    ((now.ms() / UNIT_MS) % u64::from(WRAP)) as u16
}

impl Pin {
    pub(super) fn unpack(word: u64) -> Self {
        let (kind, state) = ROLES[(word >> 4) as usize & 15];
        Self {
            tag: (word >> 34) as u32,
            slot: Slot((word >> 18) as u16),
            clock: (word >> 8) as u16 & (WRAP - 1),
            kind,
            state,
            try_number: (word & 15) as u8,
        }
    }

    pub(super) fn pack(self) -> u64 {
        (u64::from(self.tag) << 34)
            | (u64::from(self.slot.0) << 18)
            | (u64::from(self.clock) << 8)
            | (role(self.kind, self.state) << 4)
            | u64::from(self.try_number & 15)
    }

    /// Returns the units since it was last used; up to eight units in the future count as now.
    pub(super) fn age(self, clock: u16) -> u16 {
        let age = clock.wrapping_sub(self.clock) & (WRAP - 1);
        if age >= WRAP - FUTURE { 0 } else { age }
    }

    pub(super) fn is_expired(self, clock: u16) -> bool {
        let life = match (self.kind, self.state) {
            (_, State::Tentative) => LIFE_TENTATIVE_UNITS,
            (Kind::Invite, State::Ringing) => LIFE_RINGING_UNITS,
            (Kind::Request, _) => LIFE_REQUEST_UNITS,
            _ => LIFE_UNITS,
        };
        self.age(clock) > life
    }

    /// Returns whether it was last used so long ago that its request is no longer retransmitted and
    /// its caller has given up (Timer B, 64*T1).
    pub(super) fn is_past_timer_b(self, clock: u16) -> bool {
        self.age(clock) > LIFE_REQUEST_UNITS
    }

    /// Returns how valuable it is when something must be evicted.
    pub(super) fn worth(self, clock: u16) -> Worth {
        let is_past_timer_b = self.is_past_timer_b(clock);
        match (self.kind, self.state) {
            (Kind::Dialog, _) | (Kind::Invite, State::Ringing) => Worth::Call,
            (Kind::Challenge, _) => Worth::Challenge,
            (_, State::Final) if is_past_timer_b => Worth::Ended,
            (_, State::Final) => Worth::Final,
            (_, State::None) if is_past_timer_b => Worth::GivenUp,
            (_, State::None | State::Tentative) => Worth::Unanswered,
            (_, State::Trying | State::Ringing) => Worth::Trying,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        for (kind, state) in ROLES {
            let pin = Pin {
                tag: (1 << TAG_BITS) - 1,
                slot: Slot(0xfffe),
                clock: 1023,
                kind,
                state,
                try_number: 9,
            };
            assert_eq!(Pin::unpack(pin.pack()), pin);
            let pin = Pin { tag: 1, slot: Slot(0), clock: 0, try_number: 0, ..pin };
            assert_eq!(Pin::unpack(pin.pack()), pin);
        }
    }

    #[test]
    fn ages_are_signed_and_survive_the_wrap() {
        struct Row {
            says: &'static str,
            written: u16,
            read: u16,
            age: u16,
        }
        let rows = [
            Row { says: "the same unit", written: 5, read: 5, age: 0 },
            Row { says: "over the wrap", written: 1020, read: 4, age: 8 },
            Row { says: "one unit ahead is now", written: 6, read: 5, age: 0 },
            Row { says: "eight units ahead is now", written: 13, read: 5, age: 0 },
            Row { says: "nine units ahead is old", written: 14, read: 5, age: 1015 },
        ];
        for row in rows {
            let pin = Pin::unpack(u64::from(row.written) << 8);
            assert_eq!(pin.age(row.read), row.age, "{}", row.says);
        }
    }
}
