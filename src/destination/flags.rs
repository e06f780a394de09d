//! The flags of a destination and the state in them, with Kamailio's numbers and letters.

/// The flags of a destination (Kamailio's `ds_flags`).
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

    /// Returns the flags with these bits; `None` if a bit is undefined.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < 64 { Some(Self(bits)) } else { None }
    }

    /// Returns the bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns whether it can be chosen.
    pub const fn is_selectable(self) -> bool {
        self.0 & (Self::INACTIVE | Self::DISABLED) == 0
    }

    /// Returns the state in the flags.
    pub const fn state(self) -> DestinationState {
        if self.0 & Self::INACTIVE != 0 {
            DestinationState::Inactive
        } else if self.0 & Self::DISABLED != 0 {
            DestinationState::Disabled
        } else if self.0 & Self::TRYING != 0 {
            DestinationState::Trying
        } else {
            DestinationState::Active
        }
    }

    /// Returns the flags for another state. Whether the destination is resolved and pinged at all
    /// is the operator's setting, not a state, and does not change.
    #[must_use]
    pub const fn in_state(self, state: DestinationState, is_probed: bool) -> Self {
        let state = match state {
            DestinationState::Active => 0,
            DestinationState::Trying => Self::TRYING,
            DestinationState::Inactive => Self::INACTIVE,
            DestinationState::Disabled => Self::DISABLED,
        };
        let probing = if is_probed { Self::PROBING } else { 0 };
        Self(self.0 & (Self::NO_DNS_A | Self::NO_PING) | state | probing)
    }

    /// Returns the letters that `dispatcher.list` shows: `AP` is active and probed, `IX` inactive,
    /// `DN` disabled and never probed.
    pub const fn letters(self) -> &'static str {
        let probing = if self.0 & Self::PROBING != 0 {
            0
        } else if self.0 & Self::NO_PING != 0 {
            1
        } else {
            2
        };
        match self.state() {
            DestinationState::Active => ["AP", "AN", "AX"][probing],
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
    fn a_state_leaves_the_operators_word_alone() {
        let flags = Flags::from_bits(16 | 32 | 8 | 1).unwrap();
        assert_eq!(flags.in_state(DestinationState::Active, false).bits(), 16 | 32);
        assert_eq!(flags.in_state(DestinationState::Disabled, true).bits(), 16 | 32 | 8 | 4);
    }
}
