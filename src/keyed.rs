//! Hashes fields with a key. The fields are first collected in one buffer, because that is several
//! times faster than hashing them one by one.

use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128;
use siphasher::sip128::Hasher128 as _;

use crate::limits::HASHED_BYTES;

/// A 128-bit key.
#[derive(Clone, Copy)]
pub(crate) struct Key128(pub(crate) u64, pub(crate) u64);

impl std::fmt::Debug for Key128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Fields to be hashed together. If the buffer is full, its content is replaced by its hash under
/// the same key.
pub(crate) struct Fields {
    key: Key128,
    bytes: [u8; HASHED_BYTES],
    len: usize,
}

impl Fields {
    /// Creates an empty list of fields.
    pub(crate) fn new(key: Key128) -> Self {
        Self { key, bytes: [0; HASHED_BYTES], len: 0 }
    }

    /// Adds bytes whose number is always the same.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Adds a field of any length. The length is hashed, too, so no two lists of fields are hashed
    /// alike.
    pub(crate) fn field(&mut self, bytes: &[u8]) {
        self.any(bytes, |_| {});
    }

    /// Adds a field, ignoring its case.
    pub(crate) fn lower(&mut self, bytes: &[u8]) {
        self.any(bytes, <[u8]>::make_ascii_lowercase);
    }

    /// Returns the tag that authenticates the fields: SipHash-2-4.
    pub(crate) fn tag(&self) -> u64 {
        SipHasher24::new_with_keys(self.key.0, self.key.1).hash(&self.bytes[..self.len])
    }

    /// Returns a number for spreading: SipHash-1-3.
    pub(crate) fn spread(&self) -> u64 {
        SipHasher13::new_with_keys(self.key.0, self.key.1).hash(&self.bytes[..self.len])
    }

    /// Returns the same with 128 bits.
    pub(crate) fn spread128(&self) -> u128 {
        sip128::SipHasher13::new_with_keys(self.key.0, self.key.1)
            .hash(&self.bytes[..self.len])
            .as_u128()
    }

    fn any(&mut self, bytes: &[u8], change: impl Fn(&mut [u8])) {
        self.fixed(&(bytes.len() as u16).to_be_bytes());
        if bytes.len() <= HASHED_BYTES - self.len {
            let room = self.room(bytes.len());
            room.copy_from_slice(bytes);
            change(room);
            return;
        }
        for part in bytes.chunks(HASHED_BYTES - FOLDED_BYTES) {
            let room = self.room(part.len());
            room.copy_from_slice(part);
            change(room);
        }
    }

    /// Returns room for what still fits; if the buffer is full, folds it first.
    fn room(&mut self, len: usize) -> &mut [u8] {
        if self.len + len > HASHED_BYTES {
            let mut hasher = sip128::SipHasher24::new_with_keys(self.key.0, self.key.1);
            std::hash::Hasher::write(&mut hasher, &self.bytes[..self.len]);
            let folded = hasher.finish128().as_bytes();
            self.bytes[..folded.len()].copy_from_slice(&folded);
            self.len = folded.len();
        }
        let start = self.len;
        self.len += len;
        &mut self.bytes[start..self.len]
    }
}

/// The size of the hash that replaces a full buffer.
const FOLDED_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&[u8]]) -> u64 {
        let mut all = Fields::new(Key128(1, 2));
        for field in fields {
            all.lower(field);
        }
        all.tag()
    }

    #[test]
    fn every_byte_and_every_border_counts_at_any_length() {
        for len in [0, 1, 100, HASHED_BYTES - 3, HASHED_BYTES, HASHED_BYTES + 1, 65_000] {
            let plain = vec![b'a'; len];
            let tag = of(&[&plain, b"x"]);
            assert_eq!(tag, of(&[&plain.to_ascii_uppercase(), b"X"]));
            assert_ne!(tag, of(&[&plain, b"y"]));
            for at in [0, len / 2, len.saturating_sub(1)].into_iter().filter(|at| *at < len) {
                let mut other = plain.clone();
                other[at] = b'b';
                assert_ne!(tag, of(&[&other, b"x"]), "byte {at} of {len}");
            }
            let mut longer = plain.clone();
            longer.push(b'x');
            assert_ne!(tag, of(&[&longer, b""]));
        }
    }
}
