//! The worker that owns a call: a function of the Call-ID, computed here for what is already in user
//! space and by the program in the kernel for what arrives.

use std::fmt;

/// Bytes of a Call-ID that are hashed; longer ones are distinguished by their first 128.
pub(crate) const HASHED_BYTES: usize = 128;

/// Ends a Call-ID, as does every byte below it: RFC 3261 §25.1 allows no blank and no control
/// character in a `callid`.
pub(crate) const LAST_BLANK: u8 = b' ';

/// Which worker owns which call.
///
/// The program that steers datagrams computes the same from the same key, so a steered datagram arrives at
/// its owner. It is written for the kernel's machine; tests compare the two.
#[derive(Clone, Debug)]
pub struct Owners {
    pub(crate) key: Key,
    pub(crate) workers: u32,
}

impl Owners {
    /// Spreads calls over this many workers, by a key that nobody else knows.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn new(workers: usize) -> Result<Self, getrandom::Error> {
        Ok(Self { key: Key::random()?, workers: workers as u32 })
    }

    /// Spreads calls over this many workers, by a key of these words: a simulation needs the same owners
    /// again.
    pub fn with_words(workers: usize, mut word: impl FnMut() -> u64) -> Self {
        let key = Key { start: word(), factors: std::array::from_fn(|_| word()) };
        Self { key, workers: workers as u32 }
    }

    /// Returns the number of the worker that owns the call with this Call-ID.
    ///
    /// Equal Call-IDs have one owner, and the program computes the same for a datagram with this
    /// Call-ID.
    pub fn of(&self, call_id: &[u8]) -> usize {
        // The position among all workers that matches the hash's position among all hashes.
        ((u64::from(self.key.hash(call_id)) * u64::from(self.workers)) >> 32) as usize
    }
}

/// A key for multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast",
/// 2014). The value, in 32-bit words `w` and padded with zeros, hashes to the upper half of
/// [`mix`]`(start + Σ factors[i] * w[i])` modulo 2^64.
///
/// With a random key, the sums of any two values are uniform and independent of each other, so an
/// attacker without the key cannot make Call-IDs that all go to one worker. The multiplications do
/// not depend on each other, and a short value costs only as many as it has words.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) start: u64,
    pub(crate) factors: [u64; HASHED_BYTES / 4],
}

impl Key {
    /// Creates a key that nobody else knows.
    fn random() -> Result<Self, getrandom::Error> {
        let mut factors = [0; HASHED_BYTES / 4];
        for factor in &mut factors {
            *factor = getrandom::u64()?;
        }
        let start = getrandom::u64()?;
        Ok(Self { start, factors })
    }

    /// Returns the hash of a value, which ends at its first blank or control character.
    fn hash(&self, value: &[u8]) -> u32 {
        let len = value.iter().take(HASHED_BYTES).take_while(|byte| **byte > LAST_BLANK).count();
        let sum =
            value[..len].chunks(4).zip(self.factors).fold(self.start, |sum, (part, factor)| {
                let mut word = [0; 4];
                word[..part.len()].copy_from_slice(part);
                sum.wrapping_add(u64::from(u32::from_le_bytes(word)).wrapping_mul(factor))
            });
        (mix(sum) >> 32) as u32
    }
}

/// Spreads sums that are a regular distance apart. Call-IDs that count up have such sums, and with one
/// key in a hundred a worker would get less than 15 % of them, or more than 35 %, instead of a quarter.
fn mix(sum: u64) -> u64 {
    (sum ^ sum >> 32).wrapping_mul(MIX)
}

/// An odd number whose bits have no pattern: 2^64 divided by the golden ratio.
pub(crate) const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_ids_that_count_up_are_spread_with_every_key() {
        for seed in 0..200_u64 {
            let mut state = seed;
            // SplitMix64.
            let owners = Owners::with_words(4, || {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let word = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                word ^ word >> 31
            });
            let mut calls = [0; 4];
            for call in 0..1_000 {
                calls[owners.of(format!("call-{}@h", 10_000 + call).as_bytes())] += 1;
            }
            assert!(calls.iter().all(|calls| (180..320).contains(calls)), "key {seed}: {calls:?}");
        }
    }
}
