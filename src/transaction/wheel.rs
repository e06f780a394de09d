//! A hashed timing wheel (Varghese and Lauck, 1987): each entry stands in the slot of the tick at which
//! it is due, and one that is due after more than a turn waits there for a later turn.
//!
//! Adding and removing are a few stores. The links of an entry lie in an array beside those that own
//! them, so nothing is allocated.

use crate::clock::Now;
use crate::limits::{WHEEL_SLOTS, WHEEL_TICK_MS};

/// The links of one entry: the neighbours in its slot, plus one; 0 if there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Link {
    next: u32,
    previous: u32,
    /// The slot that it stands in, plus one; 0 if in none.
    slot: u32,
    due: Option<Now>,
}

/// The timers of one worker.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// By slot: its first entry, plus one.
    slots: Box<[u32]>,
    /// One bit per slot that is not empty.
    filled: Box<[u64]>,
    /// The tick that is looked at next. All earlier ones are done.
    tick: u64,
    count: usize,
}

impl Wheel {
    /// Creates an empty wheel.
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![0; WHEEL_SLOTS].into(),
            filled: vec![0; WHEEL_SLOTS / 64].into(),
            tick: 0,
            count: 0,
        }
    }

    /// Creates a wheel that takes no entry.
    pub(crate) fn empty() -> Self {
        Self { slots: Box::default(), filled: Box::default(), tick: 0, count: 0 }
    }

    /// Takes out all entries; their links are no longer valid.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(0);
        self.filled.fill(0);
        self.count = 0;
    }

    /// Sets the time at which entry `id` is due; `None` takes it out. `links` are those of all entries.
    pub(crate) fn set(&mut self, links: &mut [Link], id: u32, due: Option<Now>, now: Now) {
        if links[id as usize].due == due {
            return;
        }
        self.remove(links, id);
        let Some(due) = due else { return };
        if self.count == 0 {
            // Nothing was due since, so nothing is missed.
            self.tick = tick_of(now);
        }
        // What is past is due with the next tick that is looked at.
        let tick = due.ms().div_ceil(WHEEL_TICK_MS).max(self.tick);
        let slot = (tick % WHEEL_SLOTS as u64) as usize;
        let first = std::mem::replace(&mut self.slots[slot], id + 1);
        links[id as usize] =
            Link { next: first, previous: 0, slot: slot as u32 + 1, due: Some(due) };
        if let Some(first) = first.checked_sub(1) {
            links[first as usize].previous = id + 1;
        }
        self.filled[slot / 64] |= 1 << (slot % 64);
        self.count += 1;
    }

    fn remove(&mut self, links: &mut [Link], id: u32) {
        let Link { next, previous, slot, .. } = std::mem::take(&mut links[id as usize]);
        let Some(slot) = slot.checked_sub(1).map(|slot| slot as usize) else { return };
        if let Some(next) = next.checked_sub(1) {
            links[next as usize].previous = previous;
        }
        match previous.checked_sub(1) {
            Some(previous) => links[previous as usize].next = next,
            None => self.slots[slot] = next,
        }
        if self.slots[slot] == 0 {
            self.filled[slot / 64] &= !(1 << (slot % 64));
        }
        self.count -= 1;
    }

    /// Takes one entry that is due out of the wheel and returns it; `None` if none is.
    pub(crate) fn pop(&mut self, links: &mut [Link], now: Now) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let last = tick_of(now);
        while self.tick <= last {
            let slot = (self.tick % WHEEL_SLOTS as u64) as usize;
            let mut at = self.slots[slot];
            while let Some(id) = at.checked_sub(1) {
                if links[id as usize].due.is_some_and(|due| due <= now) {
                    self.remove(links, id);
                    return Some(id);
                }
                at = links[id as usize].next;
            }
            // After it stood still for more than a turn, one turn looks at every slot.
            self.tick = (self.tick + 1).max((last + 1).saturating_sub(WHEEL_SLOTS as u64));
        }
        None
    }

    /// Returns a time before which nothing is due; `None` if there are no timers.
    pub(crate) fn next_due(&self) -> Option<Now> {
        if self.count == 0 {
            return None;
        }
        let start = (self.tick % WHEEL_SLOTS as u64) as usize;
        let words = self.filled.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.filled[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            }
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + WHEEL_SLOTS - start) % WHEEL_SLOTS;
                return Some(Now::from_ms((self.tick + ahead as u64) * WHEEL_TICK_MS));
            }
        }
        None
    }
}

fn tick_of(now: Now) -> u64 {
    now.ms() / WHEEL_TICK_MS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_is_due_within_a_tick_and_never_early() {
        for due_ms in [0, 1, WHEEL_TICK_MS, WHEEL_TICK_MS + 1, 185_000, 10_000_000] {
            let mut wheel = Wheel::new();
            let mut links = [Link::default(); 1];
            let now = Now::from_ms(1_000_000_007);
            let due = now.plus_ms(due_ms);
            wheel.set(&mut links, 0, Some(due), now);
            let mut at = now;
            while wheel.pop(&mut links, at).is_none() {
                let next = wheel.next_due().unwrap();
                assert!(next.ms() < due.ms() + WHEEL_TICK_MS, "{due_ms}");
                at = next.max(at.plus_ms(1));
            }
            assert!((due.ms()..due.ms() + WHEEL_TICK_MS).contains(&at.ms()), "{due_ms}: {at:?}");
            assert_eq!((wheel.pop(&mut links, at), wheel.next_due()), (None, None));
        }
    }

    #[test]
    fn a_wheel_that_stood_still_finds_everything() {
        let mut wheel = Wheel::new();
        let mut links = [Link::default(); 100];
        let now = Now::from_ms(5);
        (0..100).for_each(|id| {
            wheel.set(&mut links, id, Some(now.plus_ms(u64::from(id) * 1_000)), now);
        });
        let later = now.plus_ms(1 << 40);
        let mut found: Vec<_> = std::iter::from_fn(|| wheel.pop(&mut links, later)).collect();
        found.sort_unstable();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
    }

    proptest! {
        /// The wheel does what a sorted list does.
        #[test]
        fn it_is_a_sorted_list(
            steps in prop::collection::vec((0_u32..20, 0_u64..100_000, 0_u64..2_000, any::<bool>()), 1..200),
        ) {
            let mut wheel = Wheel::new();
            let mut links = [Link::default(); 20];
            let mut list = BTreeMap::new();
            let mut now = Now::from_ms(123_456);
            for (id, due_in, pause, is_set) in steps {
                let due = is_set.then(|| now.plus_ms(due_in));
                wheel.set(&mut links, id, due, now);
                match due {
                    Some(due) => { list.insert(id, due); }
                    None => { list.remove(&id); }
                }
                now = now.plus_ms(pause);
                while let Some(id) = wheel.pop(&mut links, now) {
                    let due = list.remove(&id);
                    prop_assert!(due.is_some_and(|due| due <= now), "{due:?} at {now:?}");
                }
                // What is left is due at most a tick ago.
                for due in list.values() {
                    prop_assert!(due.ms() + WHEEL_TICK_MS > now.ms(), "{due:?} at {now:?}");
                    let next = wheel.next_due().unwrap();
                    prop_assert!(next.ms() < due.ms() + WHEEL_TICK_MS || next <= now);
                }
                prop_assert_eq!(wheel.next_due().is_none(), list.is_empty());
            }
        }
    }
}
