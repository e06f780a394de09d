//! Kamailio's rule: which destinations are probed, and what the result of a probe makes of the flags.
//!
//! One counter serves both directions: failures while a destination is active or trying, successes
//! while it is inactive. So failures and successes must be consecutive.

use super::{Mode, Probing};
use crate::destination::{DestinationState, Flags};

/// Returns whether probing in this mode probes a destination with these flags.
pub(super) fn is_probed(mode: Mode, flags: Flags) -> bool {
    if flags.bits() & (Flags::DISABLED | Flags::NO_PING) != 0 {
        return false;
    }
    let has_flag = flags.bits() & Flags::PROBING != 0;
    match mode {
        Mode::Off => false,
        Mode::All => true,
        Mode::Inactive => has_flag && flags.is_inactive(),
        Mode::FlaggedOnce | Mode::Flagged => has_flag,
    }
}

/// Returns the flags and the count after a probe.
///
/// `is_by_mode` says that the mode asks for the probe. Otherwise it was sent because of what live
/// traffic did, and the probing flag stays as it is.
pub(super) fn after_probe(
    settings: &Probing,
    is_by_mode: bool,
    flags: Flags,
    count: u32,
    is_good: bool,
) -> (Flags, u32) {
    let has_flag = flags.bits() & Flags::PROBING != 0;
    let count = count.saturating_add(1);
    if flags.is_inactive() && is_good && count < settings.successes {
        return (flags, count);
    }
    let is_probed = match (settings.mode, is_good) {
        _ if !is_by_mode => has_flag,
        (Mode::All, _) | (Mode::Inactive | Mode::Flagged, false) => true,
        (Mode::Flagged, true) => has_flag,
        (Mode::Off | Mode::FlaggedOnce, _) | (Mode::Inactive, true) => false,
    };
    if is_good {
        (flags.in_state(DestinationState::Active, is_probed), 0)
    } else if flags.is_inactive() {
        // Still a last resort, if it was one.
        let next = flags.in_state(DestinationState::Inactive, is_probed);
        (next.with_last_resort(flags.is_last_resort()), 0)
    } else if count < settings.failures {
        // Still full, if it was full.
        let next = flags.in_state(DestinationState::Trying, is_probed);
        (next.with_full(flags.is_full()), count)
    } else {
        (flags.in_state(DestinationState::Inactive, is_probed), 0)
    }
}

/// Returns whether an operator has disabled a destination.
pub(super) fn is_disabled(flags: Flags) -> bool {
    flags.bits() & Flags::DISABLED != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Mode; 4] = [Mode::FlaggedOnce, Mode::All, Mode::Inactive, Mode::Flagged];

    fn flags(letters: &str) -> Flags {
        let state = match &letters[..1] {
            "A" => 0,
            "T" => Flags::TRYING,
            "I" => Flags::INACTIVE,
            _ => Flags::DISABLED,
        };
        let probing = match &letters[1..] {
            "P" => Flags::PROBING,
            "N" => Flags::NO_PING,
            _ => 0,
        };
        Flags::from_bits(state | probing).unwrap()
    }

    #[test]
    fn who_is_probed() {
        // One letter for each of the modes 0 to 3: probed or not.
        for (letters, wants) in [
            ("AX", "-p--"),
            ("AP", "pp-p"),
            ("AN", "----"),
            ("TX", "-p--"),
            ("TP", "pp-p"),
            ("IX", "-p--"),
            ("IP", "pppp"),
            ("IN", "----"),
            ("DX", "----"),
            ("DP", "----"),
        ] {
            let probed = MODES.map(|mode| is_probed(mode, flags(letters)));
            let probed: String = probed.iter().map(|p| if *p { 'p' } else { '-' }).collect();
            assert_eq!(probed, wants, "{letters}");
            assert!(!is_probed(Mode::Off, flags(letters)));
        }
        let never = Flags::from_bits(Flags::NO_PING | Flags::PROBING).unwrap();
        assert!(!MODES.iter().any(|mode| is_probed(*mode, never)));
    }

    /// The flags and the count before; then, for each of the modes 0 to 3, what a good and a bad
    /// result make of them. Two failures and three successes are needed; `.`: not probed.
    type Row = (&'static str, u32, [&'static str; 4], [&'static str; 4]);

    const ROWS: &[Row] = &[
        ("AX", 0, [".", "AP 0", ".", "."], [".", "TP 1", ".", "."]),
        ("AP", 0, ["AX 0", "AP 0", ".", "AP 0"], ["TX 1", "TP 1", ".", "TP 1"]),
        ("AP", 1, ["AX 0", "AP 0", ".", "AP 0"], ["IX 0", "IP 0", ".", "IP 0"]),
        ("TX", 1, [".", "AP 0", ".", "."], [".", "IP 0", ".", "."]),
        ("TP", 0, ["AX 0", "AP 0", ".", "AP 0"], ["TX 1", "TP 1", ".", "TP 1"]),
        ("TP", 1, ["AX 0", "AP 0", ".", "AP 0"], ["IX 0", "IP 0", ".", "IP 0"]),
        ("IX", 0, [".", "IX 1", ".", "."], [".", "IP 0", ".", "."]),
        ("IX", 2, [".", "AP 0", ".", "."], [".", "IP 0", ".", "."]),
        ("IP", 0, ["IP 1", "IP 1", "IP 1", "IP 1"], ["IX 0", "IP 0", "IP 0", "IP 0"]),
        ("IP", 1, ["IP 2", "IP 2", "IP 2", "IP 2"], ["IX 0", "IP 0", "IP 0", "IP 0"]),
        ("IP", 2, ["AX 0", "AP 0", "AX 0", "AP 0"], ["IX 0", "IP 0", "IP 0", "IP 0"]),
        ("AN", 0, ["."; 4], ["."; 4]),
        ("IN", 0, ["."; 4], ["."; 4]),
        ("DX", 0, ["."; 4], ["."; 4]),
        ("DP", 0, ["."; 4], ["."; 4]),
    ];

    #[test]
    fn every_mode_state_and_outcome() {
        for (letters, count, good, bad) in ROWS {
            for (is_good, wants) in [(true, good), (false, bad)] {
                for (mode, wants) in MODES.into_iter().zip(wants) {
                    let before = flags(letters);
                    let settings =
                        Probing { mode, failures: 2, successes: 3, ..Probing::default() };
                    let told = if is_probed(mode, before) {
                        let (after, count) = after_probe(&settings, true, before, *count, is_good);
                        format!("{} {count}", after.letters())
                    } else {
                        ".".to_owned()
                    };
                    assert_eq!(&told, wants, "{letters} {count} {mode:?} {is_good}");
                }
            }
        }
    }

    #[test]
    fn one_result_is_enough_by_default() {
        for (letters, is_good, wants) in
            [("AP", false, "IP"), ("TP", false, "IP"), ("IP", true, "AP"), ("TP", true, "AP")]
        {
            let (after, count) = after_probe(&Probing::default(), true, flags(letters), 0, is_good);
            assert_eq!((after.letters(), count), (wants, 0));
        }
    }

    #[test]
    fn the_operators_bits_survive() {
        let before = Flags::from_bits(Flags::NO_DNS_A | Flags::PROBING).unwrap();
        for is_good in [true, false] {
            let (after, _) = after_probe(&Probing::default(), true, before, 0, is_good);
            assert_eq!(after.bits() & Flags::NO_DNS_A, Flags::NO_DNS_A);
        }
    }

    #[test]
    fn a_probe_that_the_mode_does_not_ask_for_leaves_the_probing_flag_alone() {
        let settings = Probing { mode: Mode::All, failures: 2, ..Probing::default() };
        for (letters, count, is_good, wants) in [
            ("AX", 0, false, "TX 1"),
            ("TX", 1, false, "IX 0"),
            ("IX", 0, true, "AX 0"),
            ("IP", 0, true, "AP 0"),
            ("IX", 1, false, "IX 0"),
        ] {
            let (after, count) = after_probe(&settings, false, flags(letters), count, is_good);
            assert_eq!(format!("{} {count}", after.letters()), wants);
        }
    }

    #[test]
    fn our_own_bits_last_as_long_as_they_mean_something() {
        let settings = Probing { failures: 2, ..Probing::default() };
        let after = |flags, count, is_good| after_probe(&settings, true, flags, count, is_good).0;
        let full = flags("AP").with_full(true);
        assert!(after(full, 0, false).is_full());
        assert!(!after(full, 1, false).is_full() && !after(full, 0, true).is_full());
        let last = flags("IP").with_last_resort(true);
        assert!(after(last, 0, false).is_last_resort() && !after(last, 0, true).is_last_resort());
    }
}
