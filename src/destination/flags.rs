//! The flags of a destination and the state in them, with Kamailio's numbers and letters.

/// The flags of a destination (Kamailio's `ds_flags`), and two bits of our own.
///
/// Our own bits are set by [`health`](crate::health) only. No source and no command can set them,
/// every change of state by an operator clears them, and Kamailio's tools see neither.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(u32);

impl Flags {
    /// Not selected until a probe succeeds.
    pub const INACTIVE: u32 = 1;
    /// Selected, but failing and about to become inactive.
    pub const TRYING: u32 = 2;
    /// Neither selected nor probed, because the operator said so.
    pub const DISABLED: u32 = 4;
    /// Probed.
    pub const PROBING: u32 = 8;
    /// Only NAPTR and SRV are looked up, not A and AAAA of the name itself.
    pub const NO_DNS_A: u32 = 16;
    /// Never probed.
    pub const NO_PING: u32 = 32;

    /// Kamailio's bits.
    const KAMAILIO: u32 = 63;
    /// Alive, but it said that it takes no more for now. Not selected.
    const FULL: u32 = 1 << 30;
    /// Selected although inactive, because too few of its set are left.
    const LAST_RESORT: u32 = 1 << 31;

    /// Returns the flags with these bits; `None` if a bit is undefined.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits <= Self::KAMAILIO { Some(Self(bits)) } else { None }
    }

    /// Returns whether it is inactive, and no operator has disabled it.
    pub const fn is_inactive(self) -> bool {
        self.0 & (Self::INACTIVE | Self::DISABLED) == Self::INACTIVE
    }

    /// Returns the bits that Kamailio knows.
    pub const fn bits(self) -> u32 {
        self.0 & Self::KAMAILIO
    }

    /// Returns whether it can be chosen.
    pub const fn is_selectable(self) -> bool {
        match self.state() {
            DestinationState::Active | DestinationState::Trying => true,
            DestinationState::Inactive => self.is_last_resort() && self.0 & Self::DISABLED == 0,
            DestinationState::Disabled | DestinationState::Full => false,
        }
    }

    /// Returns whether it said that it takes no more for now.
    pub const fn is_full(self) -> bool {
        self.0 & Self::FULL != 0
    }

    /// Returns the same flags, full or not.
    #[must_use]
    pub const fn with_full(self, is_full: bool) -> Self {
        self.with(Self::FULL, is_full)
    }

    /// Returns whether it is chosen although it is inactive, because too few of its set are left.
    pub const fn is_last_resort(self) -> bool {
        self.0 & Self::LAST_RESORT != 0
    }

    /// Returns the same flags, a last resort or not.
    #[must_use]
    pub const fn with_last_resort(self, is_last_resort: bool) -> Self {
        self.with(Self::LAST_RESORT, is_last_resort)
    }

    const fn with(self, bit: u32, is_set: bool) -> Self {
        Self(if is_set { self.0 | bit } else { self.0 & !bit })
    }

    /// Returns the state in the flags.
    pub const fn state(self) -> DestinationState {
        if self.0 & Self::INACTIVE != 0 {
            DestinationState::Inactive
        } else if self.0 & Self::DISABLED != 0 {
            DestinationState::Disabled
        } else if self.is_full() {
            DestinationState::Full
        } else if self.0 & Self::TRYING != 0 {
            DestinationState::Trying
        } else {
            DestinationState::Active
        }
    }

    /// Returns the flags for another state. Whether the destination is resolved and pinged at all
    /// is the operator's setting, not a state, and does not change. Our own bits are cleared, except
    /// that the state full sets one.
    #[must_use]
    pub const fn in_state(self, state: DestinationState, is_probed: bool) -> Self {
        let state = match state {
            DestinationState::Active => 0,
            DestinationState::Full => Self::FULL,
            DestinationState::Trying => Self::TRYING,
            DestinationState::Inactive => Self::INACTIVE,
            DestinationState::Disabled => Self::DISABLED,
        };
        let probing = if is_probed { Self::PROBING } else { 0 };
        Self(self.0 & (Self::NO_DNS_A | Self::NO_PING) | state | probing)
    }

    /// Returns the letters that `dispatcher.list` shows: `AP` is active and probed, `IX` inactive,
    /// `DN` disabled and never probed. A full destination is alive, so it has the letter that it would
    /// have if it were not full.
    pub const fn letters(self) -> &'static str {
        let probing = if self.0 & Self::PROBING != 0 {
            0
        } else if self.0 & Self::NO_PING != 0 {
            1
        } else {
            2
        };
        match self.with_full(false).state() {
            DestinationState::Active | DestinationState::Full => ["AP", "AN", "AX"][probing],
            DestinationState::Trying => ["TP", "TN", "TX"][probing],
            DestinationState::Inactive => ["IP", "IN", "IX"][probing],
            DestinationState::Disabled => ["DP", "DN", "DX"][probing],
        }
    }
}

/// Whether a destination is chosen, in Kamailio's words.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DestinationState {
    /// Chosen.
    Active,
    /// Chosen, but failing and about to become inactive.
    Trying,
    /// Not chosen for a while, because it said that it takes no more. It is alive. Kamailio has no
    /// such state and shows what it would be otherwise.
    Full,
    /// Not chosen until it answers again.
    Inactive,
    /// Not chosen, because the operator said so.
    Disabled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_the_list() {
        for (bits, letters) in [
            (0, "AX"),
            (8, "AP"),
            (32, "AN"),
            (1, "IX"),
            (9, "IP"),
            (2, "TX"),
            (10, "TP"),
            (4, "DX"),
            (36, "DN"),
            (16, "AX"),
            (5, "IX"),
        ] {
            assert_eq!(Flags::from_bits(bits).unwrap().letters(), letters, "{bits}");
        }
    }

    #[test]
    fn our_own_bits_are_neither_read_nor_shown() {
        use DestinationState::{Active, Disabled, Full, Inactive, Trying};

        assert!([64, 1 << 30, 1 << 31].into_iter().all(|bits| Flags::from_bits(bits).is_none()));
        for (bits, is_full, is_last_resort, state, is_selectable, letters) in [
            (8, false, false, Active, true, "AP"),
            (8, true, false, Full, false, "AP"),
            (2, true, false, Full, false, "TX"),
            (10, false, false, Trying, true, "TP"),
            (9, false, false, Inactive, false, "IP"),
            (9, false, true, Inactive, true, "IP"),
            (9, true, false, Inactive, false, "IP"),
            (12, true, true, Disabled, false, "DP"),
            (5, false, true, Inactive, false, "IX"),
            (4, false, false, Disabled, false, "DX"),
        ] {
            let plain = Flags::from_bits(bits).unwrap();
            let flags = plain.with_full(is_full).with_last_resort(is_last_resort);
            let says = (flags.state(), flags.is_selectable(), flags.letters());
            assert_eq!(says, (state, is_selectable, letters), "{bits} {is_full} {is_last_resort}");
            assert_eq!((flags.is_full(), flags.is_last_resort()), (is_full, is_last_resort));
            assert_eq!(flags.bits(), bits);
            assert_eq!(flags.with_full(false).with_last_resort(false), plain);
            assert_eq!(flags.in_state(Active, false), plain.in_state(Active, false));
            assert_eq!(flags.in_state(Full, true), plain.in_state(Active, true).with_full(true));
        }
    }

    #[test]
    fn a_state_leaves_the_operators_word_alone() {
        let flags = Flags::from_bits(16 | 32 | 8 | 1).unwrap();
        assert_eq!(flags.in_state(DestinationState::Active, false).bits(), 16 | 32);
        assert_eq!(flags.in_state(DestinationState::Disabled, true).bits(), 16 | 32 | 8 | 4);
    }
}
