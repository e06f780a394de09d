//! One call in one word.
//!
//! ```text
//!   63        37 36      21 20          19       18        17       0
//!  | key tag 27 | slot 16 | confirmed 1 | used 1 | timed 1 | ends 18 |
//! ```
//!
//! `ends` counts units of 4 s and wraps after 12 days. Ages are signed, so a call may be silent for 6.

use crate::clock::Now;
use crate::destination::Slot;

/// A call in progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) tag: u32,
    pub(super) slot: Slot,
    /// It was answered with 2xx.
    pub(super) is_confirmed: bool,
    /// It has a session timer, and ends with it.
    pub(super) is_timed: bool,
    /// When it is given up unless it is heard of.
    pub(super) ends: u32,
}

/// The bits of a key that are kept with the call.
pub(super) const TAG_BITS: u32 = 27;
const ENDS_BITS: u32 = 18;
const TIMED: u64 = 1 << 18;
const USED: u64 = 1 << 19;
const CONFIRMED: u64 = 1 << 20;
const SLOT_SHIFT: u32 = 21;
const TAG_SHIFT: u32 = 37;
const UNIT_MS: u64 = 4_000;

/// The longest time from now to the end of a call.
pub(super) const LIFE_MAX_MS: u64 = ((1 << (ENDS_BITS - 1)) - 2) * UNIT_MS;

impl Entry {
    pub(super) fn pack(self) -> u64 {
        let Self { tag, slot, is_confirmed, is_timed, ends } = self;
        u64::from(tag) << TAG_SHIFT
            | u64::from(slot.0) << SLOT_SHIFT
            | if is_confirmed { CONFIRMED } else { 0 }
            | if is_timed { TIMED } else { 0 }
            | USED
            | u64::from(ends)
    }

    /// Returns the call in this word; `None` if it is free.
    pub(super) fn unpack(word: u64) -> Option<Self> {
        (word & USED != 0).then_some(Self {
            tag: (word >> TAG_SHIFT) as u32,
            slot: Slot((word >> SLOT_SHIFT) as u16),
            is_confirmed: word & CONFIRMED != 0,
            is_timed: word & TIMED != 0,
            ends: word as u32 & ENDS_MASK,
        })
    }

    pub(super) fn is_over(self, now: Now) -> bool {
        let age = clock_of(now).wrapping_sub(self.ends) & ENDS_MASK;
        age != 0 && age < 1 << (ENDS_BITS - 1)
    }
}

const ENDS_MASK: u32 = (1 << ENDS_BITS) - 1;

/// Returns when a call ends that lives this long from now, rounded up.
pub(super) fn ends_after(now: Now, ms: u64) -> u32 {
    clock_of(now.plus_ms(ms.min(LIFE_MAX_MS) + UNIT_MS - 1))
}

fn clock_of(now: Now) -> u32 {
    (now.ms() / UNIT_MS) as u32 & ENDS_MASK
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_word_says_what_was_put_in(tag in 0_u32..1 << TAG_BITS, slot: u16, is_confirmed: bool, is_timed: bool, ends in 0_u32..1 << ENDS_BITS) {
            let entry = Entry { tag, slot: Slot(slot), is_confirmed, is_timed, ends };
            prop_assert_eq!(Entry::unpack(entry.pack()), Some(entry));
        }

        #[test]
        fn it_ends_after_its_life_and_within_two_units(now in 0_u64..1 << 45, life in 0_u64..LIFE_MAX_MS) {
            let now = Now::from_ms(now);
            let ends = ends_after(now, life);
            let entry = Entry { tag: 0, slot: Slot(0), is_confirmed: false, is_timed: false, ends };
            prop_assert!(!entry.is_over(now) && !entry.is_over(now.plus_ms(life)));
            prop_assert!(entry.is_over(now.plus_ms(life + 2 * UNIT_MS)));
        }
    }

    #[test]
    fn zero_is_free() {
        assert_eq!(Entry::unpack(0), None);
    }
}
