//! When a request goes on to the next destination of its set, and how long anything is waited for.

use super::TRIES_MAX;

/// How a stateful set handles its transactions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failover {
    /// Milliseconds until a destination must have sent anything, also a 100.
    pub first_response_ms: u32,
    /// Milliseconds from a 100 until a destination must have sent more than that; 0 is no limit.
    pub progress_ms: u32,
    /// Milliseconds from the last 101 to 199 until a ringing call is given up: Timer C of RFC 3261
    /// §16.6 item 11.
    pub ringing_ms: u32,
    /// Milliseconds after which a request goes to no further destination.
    pub total_ms: u32,
    /// The final responses after which a request goes to the next destination.
    pub codes: Codes,
    /// Destinations that one request is sent to, 1 to [`TRIES_MAX`].
    pub tries_max: u8,
    /// Further tries of the whole set within 10 s: this share of the first ones, in percent.
    pub retries_percent: u32,
    /// As many of them are always allowed.
    pub retries_min: u32,
    /// What happens to a new request if there is no room for its transaction.
    pub when_full: WhenFull,
}

/// What happens to a new request if there is no room for its transaction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenFull {
    /// It is forwarded statelessly.
    #[default]
    Stateless,
    /// It is answered with 503.
    Refuse,
}

impl Failover {
    /// The settings of a stateful set that has none of its own.
    pub const DEFAULT: Self = Self {
        first_response_ms: 2_000,
        progress_ms: 0,
        ringing_ms: 185_000,
        total_ms: 16_000,
        codes: Codes::of(&[408, 500, 502, 503, 504]),
        tries_max: 3,
        retries_percent: 100,
        retries_min: 100,
        when_full: WhenFull::Stateless,
    };
}

impl Default for Failover {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const _: () = assert!(TRIES_MAX <= 15, "the branch has one digit for the number of a try");

/// A set of final status codes from 300 to 699.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Codes([u64; 7]);

impl Codes {
    /// Creates a set of these.
    const fn of(codes: &[u16]) -> Self {
        let mut set = Self([0; 7]);
        let mut at = 0;
        while at < codes.len() {
            set.insert(codes[at]);
            at += 1;
        }
        set
    }

    /// Adds a code; others than 300 to 699 are never in the set.
    pub const fn insert(&mut self, code: u16) {
        if let Some((word, bit)) = place(code) {
            self.0[word] |= bit;
        }
    }

    /// Returns whether this code is in the set.
    pub fn contains(&self, code: u16) -> bool {
        place(code).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    /// Returns the codes in order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (FIRST..=LAST).filter(|code| self.contains(*code))
    }
}

impl FromIterator<u16> for Codes {
    fn from_iter<I: IntoIterator<Item = u16>>(codes: I) -> Self {
        let mut set = Self::default();
        codes.into_iter().for_each(|code| set.insert(code));
        set
    }
}

const FIRST: u16 = 300;
const LAST: u16 = 699;

const fn place(code: u16) -> Option<(usize, u64)> {
    if code < FIRST || code > LAST {
        return None;
    }
    let at = code - FIRST;
    Some(((at / 64) as usize, 1 << (at % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_just_the_codes_that_were_put_in() {
        let all: Vec<u16> = (FIRST..=LAST).collect();
        assert_eq!(all.iter().copied().collect::<Codes>().iter().collect::<Vec<_>>(), all);
        let few: Codes = [0, 299, 300, 363, 364, 699, 700, u16::MAX].into_iter().collect();
        assert_eq!(few.iter().collect::<Vec<_>>(), [300, 363, 364, 699]);
        assert!(!few.contains(301) && !few.contains(299) && !few.contains(700));
    }
}
