//! The flags of a destination and the state that they say, by Kamailio's numbers and letters.

/// The flags of a destination (Kamailio's `ds_flags`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Flags(u32);

impl Flags {
    /// Not selected until a probe succeeds.
    pub const INACTIVE: u32 = 1;
    /// Selected, but on its way to inactive.
    pub const TRYING: u32 = 2;
    /// Not selected and never probed, by the operator's will.
    pub const DISABLED: u32 = 4;
    /// Probed.
    pub const PROBING: u32 = 8;
    /// Only NAPTR and SRV are looked up, not A and AAAA of the name itself.
    pub const NO_DNS_A: u32 = 16;
    /// Never probed.
    pub const NO_PING: u32 = 32;

    /// The flags with these bits; `None` when one of them means nothing.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < 64 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether it may be chosen.
    pub const fn is_selectable(self) -> bool {
        self.0 & (Self::INACTIVE | Self::DISABLED) == 0
    }

    /// The state that they say.
    pub const fn state(self) -> State {
        if self.0 & Self::INACTIVE != 0 {
            State::Inactive
        } else if self.0 & Self::DISABLED != 0 {
            State::Disabled
        } else if self.0 & Self::TRYING != 0 {
            State::Trying
        } else {
            State::Active
        }
    }

    /// The same destination in another state. Whether it is looked up and pinged at all is the
    /// operator's word, not a state, and stays.
    #[must_use]
    pub const fn in_state(self, state: State, is_probed: bool) -> Self {
        let state = match state {
            State::Active => 0,
            State::Trying => Self::TRYING,
            State::Inactive => Self::INACTIVE,
            State::Disabled => Self::DISABLED,
        };
        let probing = if is_probed { Self::PROBING } else { 0 };
        Self(self.0 & (Self::NO_DNS_A | Self::NO_PING) | state | probing)
    }

    /// As `dispatcher.list` shows them: `AP` is active and probed, `IX` inactive, `DN` disabled and
    /// never probed.
    pub const fn letters(self) -> &'static str {
        let probing = if self.0 & Self::PROBING != 0 {
            0
        } else if self.0 & Self::NO_PING != 0 {
            1
        } else {
            2
        };
        match self.state() {
            State::Active => ["AP", "AN", "AX"][probing],
            State::Trying => ["TP", "TN", "TX"][probing],
            State::Inactive => ["IP", "IN", "IX"][probing],
            State::Disabled => ["DP", "DN", "DX"][probing],
        }
    }
}

/// Whether a destination is chosen, in Kamailio's words.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// It is.
    Active,
    /// It is, and on its way to inactive.
    Trying,
    /// It is not, until it answers again.
    Inactive,
    /// It is not, by the operator's will.
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
        assert_eq!(flags.in_state(State::Active, false).bits(), 16 | 32);
        assert_eq!(flags.in_state(State::Disabled, true).bits(), 16 | 32 | 8 | 4);
    }
}
