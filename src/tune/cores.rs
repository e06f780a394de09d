//! Sets of processor cores in the two forms that the kernel writes: lists and masks.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A set of cores by their numbers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cores(BTreeSet<u16>);

/// Cores that Linux can be built for (`NR_CPUS` on x86).
const CORES_MAX: u16 = 8192;

impl Cores {
    /// Reads a mask: hex words of 32 bits, the highest first, joined by commas.
    pub(crate) fn from_mask(text: &str) -> Option<Self> {
        let mut cores = BTreeSet::new();
        for (at, word) in text.trim().rsplit(',').enumerate() {
            let bits = u32::from_str_radix(word, 16).ok()?;
            let first = u16::try_from(at * 32).ok().filter(|first| *first < CORES_MAX)?;
            cores.extend((0..32).filter(|bit| bits >> bit & 1 == 1).map(|bit| first + bit));
        }
        Some(Self(cores))
    }

    /// The mask that the kernel takes.
    pub(crate) fn to_mask(&self) -> String {
        let words = self.0.last().map_or(1, |last| usize::from(*last) / 32 + 1);
        let word = |at: usize| {
            let bits = self.0.iter().filter(|core| usize::from(**core) / 32 == at);
            bits.fold(0_u32, |word, core| word | 1 << (core % 32))
        };
        let words: Vec<String> = (0..words).rev().map(|at| format!("{:08x}", word(at))).collect();
        words.join(",")
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + Clone {
        self.0.iter().copied()
    }

    pub(crate) fn first(&self) -> Option<u16> {
        self.0.first().copied()
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    pub(crate) fn both(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    pub(crate) fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl FromIterator<u16> for Cores {
    fn from_iter<I: IntoIterator<Item = u16>>(cores: I) -> Self {
        Self(cores.into_iter().collect())
    }
}

impl FromStr for Cores {
    type Err = String;

    /// Reads a list such as `0-3,8`; an empty one is no core.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: write cores as a list, such as 0-3,8");
        let number = |text: &str| {
            let core = text.trim().parse::<u16>().ok();
            core.filter(|core| *core < CORES_MAX).ok_or_else(wrong)
        };
        let mut cores = BTreeSet::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            cores.extend(first..=last);
        }
        Ok(Self(cores))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cores = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = cores.next() {
            let mut last = first;
            while cores.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_say_the_same() {
        for (list, mask) in [
            ("", "00000000"),
            ("0", "00000001"),
            ("0-1", "00000003"),
            ("0-3,8", "0000010f"),
            ("31-32", "00000001,80000000"),
            ("0,2,64", "00000001,00000000,00000005"),
        ] {
            let cores: Cores = list.parse().unwrap();
            assert_eq!(cores.to_string(), list);
            assert_eq!(cores.to_mask(), mask, "{list}");
            assert_eq!(Cores::from_mask(mask), Some(cores), "{mask}");
        }
        // As short as the kernel writes them on a small machine.
        assert_eq!(Cores::from_mask("3\n"), Some("0-1".parse().unwrap()));
        assert_eq!("8,0-3".parse::<Cores>().unwrap().to_string(), "0-3,8");
    }

    #[test]
    fn what_is_no_set_of_cores() {
        for text in ["a", "3-1", "1-", "-1", "0 1", "8192", "70000"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
        assert!("8191".parse::<Cores>().is_ok());
        for text in ["", "g", "1,,1", "123456789"] {
            assert_eq!(Cores::from_mask(text), None, "{text}");
        }
        assert_eq!(Cores::from_mask(&vec!["0"; 257].join(",")), None);
        assert!(Cores::from_mask(&vec!["0"; 256].join(",")).is_some());
    }
}
