//! The secret numbers of the steering hash.

use std::fmt;

/// Bytes of a Call-ID that are hashed; longer ones are distinguished by their first 128.
pub(super) const HASHED_BYTES: usize = 128;

/// A key for multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast",
/// 2014). The value, in 32-bit words `w` and padded with zeros, hashes to the upper half of
/// `start + Σ factors[i] * w[i]` modulo 2^64.
///
/// With a random key, the hashes of any two values are uniform and independent of each other, so an
/// attacker without the key cannot make Call-IDs that all go to one worker. The multiplications do
/// not depend on each other, and a short value costs only as many as it has words.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) start: u64,
    pub(super) factors: [u64; HASHED_BYTES / 4],
}

impl Key {
    /// Creates a key that nobody else knows.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut factors = [0; HASHED_BYTES / 4];
        for factor in &mut factors {
            *factor = getrandom::u64()?;
        }
        let start = getrandom::u64()?;
        Ok(Self { start, factors })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}
