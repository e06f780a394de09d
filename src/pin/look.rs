//! Reads pins without changing them, for explanations and for waiting until calls end.
//!
//! It uses only `Relaxed` loads: each word is complete by itself, and workers are not affected.
//! Workers continue meanwhile, so a walk over the table sees each pin at some moment of the walk,
//! not all at the same one: a count may be off by the pins stored, renewed or cleared in those
//! milliseconds.

use super::entry::{Kind, Pin, State, UNIT_MS, clock_of};
use super::is_destination;
use super::table::PinTable;
use crate::clock::Now;
use crate::destination::Slot;
use crate::limits::SLOTS_MAX;
use crate::sync::Ordering;

/// What the table remembers of one destination.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Remembered {
    /// Transactions without a final response.
    pub open: u64,
    /// Transactions with one; a retransmission, or the ACK to a failure, may still come.
    pub ended: u64,
    /// Calls, remembered for callers that ignore Record-Route.
    pub calls: u64,
    /// Challenges that are not answered yet.
    pub challenges: u64,
    /// The age of the newest of these pins, accurate to 4 s.
    pub newest_age_ms: u64,
}

impl Remembered {
    /// Returns the number of all pins together.
    pub fn all(&self) -> u64 {
        self.open + self.ended + self.calls + self.challenges
    }

    fn add(&mut self, pin: Pin, age_ms: u64) {
        self.newest_age_ms = if self.all() == 0 { age_ms } else { self.newest_age_ms.min(age_ms) };
        *match (pin.kind, pin.state) {
            (Kind::Dialog, _) => &mut self.calls,
            (Kind::Challenge, _) => &mut self.challenges,
            (Kind::Invite | Kind::Request, State::Final) => &mut self.ended,
            (Kind::Invite | Kind::Request, _) => &mut self.open,
        } += 1;
    }
}

/// The INVITEs that had no final response at some moment, and their state.
#[derive(Clone, Debug, Default)]
pub struct OpenInvites {
    /// Those without any response whose last copy came within Timer B.
    pub unanswered: usize,
    /// Those with a provisional response.
    pub ringing: usize,
    /// Way and key tag of each. A pin never moves, and the tag changes if the way is given to
    /// another transaction.
    places: Vec<(usize, u32)>,
}

impl OpenInvites {
    /// Counts this pin if it is open; returns whether it is.
    fn count(&mut self, pin: Pin, clock: u16) -> bool {
        let is_waiting = !pin.is_past_timer_b(clock);
        if pin.kind != Kind::Invite || pin.is_expired(clock) {
            return false;
        }
        match pin.state {
            State::Trying | State::Ringing => self.ringing += 1,
            State::None | State::Tentative if is_waiting => self.unanswered += 1,
            _ => return false,
        }
        true
    }
}

impl PinTable {
    /// Returns the INVITEs that have no final response now. Reads all memory that holds pins once,
    /// like [`PinTable::count_by_slot`].
    pub fn open_invites(&self, now: Now) -> OpenInvites {
        let clock = clock_of(now);
        let mut open = OpenInvites::default();
        for (at, way) in self.ways() {
            let word = way.load(Ordering::Relaxed);
            let pin = Pin::unpack(word);
            if word != 0 && open.count(pin, clock) {
                open.places.push((at, pin.tag));
            }
        }
        open
    }

    /// Counts again those that are still open, and drops the others. Reads only their ways.
    pub fn look_again(&self, now: Now, open: &mut OpenInvites) {
        let clock = clock_of(now);
        let places = std::mem::take(&mut open.places);
        *open = OpenInvites::default();
        for (at, tag) in places {
            let word = self.memory().way(at).load(Ordering::Relaxed);
            let pin = Pin::unpack(word);
            if word != 0 && pin.tag == tag && open.count(pin, clock) {
                open.places.push((at, tag));
            }
        }
    }

    /// Returns what is remembered of each destination, by slot. Reads all memory that holds pins
    /// once: at most 58 MB for 10,000 requests a second.
    pub fn count_by_slot(&self, now: Now) -> Vec<(Slot, Remembered)> {
        let clock = clock_of(now);
        let mut slots = vec![Remembered::default(); SLOTS_MAX];
        for (_, way) in self.ways() {
            let word = way.load(Ordering::Relaxed);
            let pin = Pin::unpack(word);
            // A tentative pin has its worker's number instead of a slot.
            let counts = word != 0
                && pin.state != State::Tentative
                && is_destination(pin.slot)
                && !pin.is_expired(clock);
            if counts {
                let age_ms = u64::from(pin.age(clock)) * UNIT_MS;
                slots[usize::from(pin.slot.0)].add(pin, age_ms);
            }
        }
        let numbered = slots.into_iter().enumerate();
        numbered
            .filter(|(_, remembered)| remembered.all() > 0)
            .map(|(number, remembered)| (Slot(number as u16), remembered))
            .collect()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::{ANSWERED_NO_DESTINATION, Claim, PinKey, PinMemory};
    use super::*;

    const NOW: Now = Now::from_ms(4_000_000_000);

    fn table() -> PinTable {
        PinTable::new(PinMemory::on_heap(64))
    }

    /// Spreads the keys over a table.
    fn key(number: u64) -> PinKey {
        PinKey((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn put(table: &PinTable, now: Now, number: u64, kind: Kind, slot: Slot, state: State) {
        match table.claim(now, key(number), kind, 0) {
            Claim::Claimed(claimed) => claimed.commit(slot, state),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_lives_is_counted_by_destination() {
        let table = table();
        let later = NOW.plus_ms(20_000);
        put(&table, NOW, 1, Kind::Invite, Slot(3), State::None);
        put(&table, NOW, 2, Kind::Invite, Slot(3), State::Ringing);
        put(&table, later, 3, Kind::Invite, Slot(3), State::Final);
        put(&table, NOW, 4, Kind::Request, Slot(5), State::Final);
        put(&table, NOW, 5, Kind::Invite, ANSWERED_NO_DESTINATION, State::Final);
        table.set_call(NOW, key(6), Kind::Dialog, Slot(3), 0, 0);
        table.set_call(NOW, key(7), Kind::Challenge, Slot(5), 1, 0);
        // Not chosen yet: instead of a slot it has the worker's number.
        let claim = table.claim(NOW, key(8), Kind::Invite, 5);

        let three = Remembered { open: 2, ended: 1, calls: 1, challenges: 0, newest_age_ms: 8_000 };
        let five = Remembered { open: 0, ended: 1, calls: 0, challenges: 1, newest_age_ms: 28_000 };
        assert_eq!(table.count_by_slot(NOW.plus_ms(28_000)), [(Slot(3), three), (Slot(5), five)]);
        // A request lives for 32 s, a call and its INVITE for 240 s, a ringing one for 1,800 s.
        let five = Remembered { ended: 0, newest_age_ms: 60_000, ..five };
        let of_five = table.count_by_slot(NOW.plus_ms(60_000));
        assert_eq!(of_five.last(), Some(&(Slot(5), five)));
        let three = Remembered { open: 1, newest_age_ms: 1_800_000, ..Remembered::default() };
        assert_eq!(table.count_by_slot(NOW.plus_ms(1_800_000)), [(Slot(3), three)]);
        assert_eq!(table.count_by_slot(NOW.plus_ms(1_900_000)), []);
        drop(claim);
    }

    #[test]
    fn the_invites_without_a_final_response_and_no_newer_ones() {
        let table = table();
        let told = |open: &OpenInvites| (open.unanswered, open.ringing);
        let later = NOW.plus_ms(60_000);
        put(&table, NOW, 1, Kind::Invite, Slot(3), State::None);
        put(&table, NOW, 2, Kind::Invite, Slot(3), State::Ringing);
        put(&table, later, 3, Kind::Invite, Slot(3), State::None);
        put(&table, later, 4, Kind::Invite, Slot(3), State::Trying);
        put(&table, later, 5, Kind::Invite, Slot(3), State::Final);
        put(&table, later, 6, Kind::Request, Slot(3), State::None);
        table.set_call(later, key(7), Kind::Dialog, Slot(3), 0, 0);
        let claim = table.claim(later, key(8), Kind::Invite, 5);
        let mut open = table.open_invites(later);
        assert_eq!(told(&open), (2, 2), "3 and 8; 2 and 4; nobody answers 1 any more");

        if let Claim::Claimed(claimed) = claim {
            claimed.commit(Slot(3), State::None);
        }
        put(&table, later, 9, Kind::Invite, Slot(3), State::None);
        table.renew(later, key(3), false, Some(State::Ringing));
        table.renew(later, key(4), false, Some(State::Final));
        table.look_again(later, &mut open);
        assert_eq!(told(&open), (1, 2), "8; 2 and 3; 4 is over, and 9 began since");
        table.look_again(later.plus_ms(40_000), &mut open);
        assert_eq!(told(&open), (0, 2), "nobody waits for an answer to 8 any more");
        table.renew(later, key(3), false, Some(State::Final));
        table.look_again(later.plus_ms(2_000_000), &mut open);
        assert_eq!(told(&open), (0, 0));
    }
}
