//! Hashes fields with a key. The fields are first collected in one buffer, because that is several
//! times faster than hashing them one by one.

use siphasher::sip::{SipHasher13, SipHasher24};
use siphasher::sip128;
use siphasher::sip128::Hasher128 as _;
use wide::u8x16;

use crate::limits::HASHED_BYTES;

/// A 128-bit key.
#[derive(Clone, Copy)]
pub(crate) struct Key128(pub(crate) u64, pub(crate) u64);

impl std::fmt::Debug for Key128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Key128 {
    /// Returns the 128-bit digest of one field: SipHash-1-3. It never leaves the process.
    pub(crate) fn digest(self, field: &[u8]) -> u128 {
        sip128::SipHasher13::new_with_keys(self.0, self.1).hash(field).as_u128()
    }

    /// Returns the 64-bit digest of one field, ignoring its case.
    #[inline]
    pub(crate) fn digest_lower(self, field: &[u8]) -> u64 {
        // What fits is hashed alike in a buffer of any size.
        if field.len() > SHORT_BYTES - LEN_BYTES {
            return self.digest_lower_long(field);
        }
        let mut fields = ShortFields::new(self);
        fields.lower(field);
        fields.spread()
    }

    #[cold]
    fn digest_lower_long(self, field: &[u8]) -> u64 {
        let mut fields: Fields = Fields::new(self);
        fields.lower(field);
        fields.spread()
    }
}

/// Fields to be hashed together. If the buffer of `N` bytes is full, its content is replaced by its
/// hash under the same key. Fields that fit are hashed alike in a buffer of any size.
pub(crate) struct Fields<const N: usize = HASHED_BYTES> {
    key: Key128,
    bytes: [u8; N],
    len: usize,
}

/// Few fields, each with a small bound: together they always fit.
pub(crate) type ShortFields = Fields<SHORT_BYTES>;

/// The longest list of short fields is what the tag of a token covers: a token without its tag, and
/// two digests. It has 75 bytes.
const SHORT_BYTES: usize = 80;

impl<const N: usize> Fields<N> {
    /// Creates an empty list of fields.
    #[inline]
    pub(crate) fn new(key: Key128) -> Self {
        Self { key, bytes: [0; N], len: 0 }
    }

    /// Adds bytes whose number is always the same.
    #[inline]
    pub(crate) fn fixed<const M: usize>(&mut self, bytes: [u8; M]) {
        self.make_room(M);
        if let Some(room) = self.bytes[self.len..].first_chunk_mut() {
            *room = bytes;
            self.len += M;
        }
    }

    /// Adds bytes whose number follows from those before them.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        copy(bytes, &mut self.bytes[self.len..self.len + bytes.len()]);
        self.len += bytes.len();
    }

    /// Adds a field of any length. The length is hashed, too, so no two lists of fields are hashed
    /// alike.
    pub(crate) fn field(&mut self, bytes: &[u8]) {
        self.fixed((bytes.len() as u16).to_be_bytes());
        for part in bytes.chunks(N - FOLDED_BYTES) {
            self.bytes(part);
        }
    }

    /// Adds a field, ignoring its case.
    #[inline]
    pub(crate) fn lower(&mut self, bytes: &[u8]) {
        self.fixed((bytes.len() as u16).to_be_bytes());
        match self.bytes[self.len..].get_mut(..bytes.len()) {
            Some(room) => {
                copy_lower(bytes, room);
                self.len += bytes.len();
            }
            None => self.lower_in_parts(bytes),
        }
    }

    #[cold]
    fn lower_in_parts(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(N - FOLDED_BYTES) {
            self.make_room(part.len());
            copy_lower(part, &mut self.bytes[self.len..self.len + part.len()]);
            self.len += part.len();
        }
    }

    /// Returns the tag that authenticates the fields: SipHash-2-4.
    #[inline]
    pub(crate) fn tag(&self) -> u64 {
        SipHasher24::new_with_keys(self.key.0, self.key.1).hash(&self.bytes[..self.len])
    }

    /// Returns a number for spreading: SipHash-1-3.
    #[inline]
    pub(crate) fn spread(&self) -> u64 {
        SipHasher13::new_with_keys(self.key.0, self.key.1).hash(&self.bytes[..self.len])
    }

    /// Returns the same with 128 bits.
    #[inline]
    pub(crate) fn spread128(&self) -> u128 {
        self.key.digest(&self.bytes[..self.len])
    }

    /// Folds the buffer if `len` more bytes do not fit.
    #[inline]
    fn make_room(&mut self, len: usize) {
        if self.len + len > N {
            self.fold();
        }
    }

    #[cold]
    fn fold(&mut self) {
        let mut hasher = sip128::SipHasher24::new_with_keys(self.key.0, self.key.1);
        std::hash::Hasher::write(&mut hasher, &self.bytes[..self.len]);
        let folded = hasher.finish128().as_bytes();
        self.bytes[..folded.len()].copy_from_slice(&folded);
        self.len = folded.len();
    }
}

/// Copies `from` into `to`, which is as long, with small letters for capitals.
#[inline]
fn copy_lower(from: &[u8], to: &mut [u8]) {
    let (blocks, rest) = from.as_chunks::<BLOCK>();
    for (block, lower) in blocks.iter().zip(to.as_chunks_mut().0) {
        *lower = lower_block(*block);
    }
    if rest.is_empty() {
        return;
    }
    // The last block overlaps the one before it.
    if let (Some(last), Some(to_last)) = (from.last_chunk(), to.last_chunk_mut()) {
        *to_last = lower_block(*last);
    } else if let (Some(first), Some(last)) = (from.first_chunk(), from.last_chunk()) {
        to[..EIGHT].copy_from_slice(&lower_eight(*first));
        to[from.len() - EIGHT..].copy_from_slice(&lower_eight(*last));
    } else {
        for (byte, lower) in from.iter().zip(to) {
            *lower = byte.to_ascii_lowercase();
        }
    }
}

/// Copies `from` into `to`, which is as long. For the few bytes of a field it takes less than a call
/// of memcpy.
#[inline]
fn copy(from: &[u8], to: &mut [u8]) {
    match from.len() {
        4..8 => copy_ends::<4>(from, to),
        8..16 => copy_ends::<8>(from, to),
        16..=32 => copy_ends::<16>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// The same for `N` to `2 * N` bytes: the first and the last `N`, which may overlap.
#[inline]
fn copy_ends<const N: usize>(from: &[u8], to: &mut [u8]) {
    let len = from.len();
    to[..N].copy_from_slice(&from[..N]);
    to[len - N..].copy_from_slice(&from[len - N..]);
}

#[inline]
fn lower_block(bytes: [u8; BLOCK]) -> [u8; BLOCK] {
    let bytes = u8x16::new(bytes);
    let from_a = bytes - u8x16::splat(b'A');
    let is_capital = from_a.min(u8x16::splat(b'Z' - b'A')).simd_eq(from_a);
    (bytes | (is_capital & u8x16::splat(0x20))).to_array()
}

/// The same for eight bytes.
#[inline]
fn lower_eight(bytes: [u8; EIGHT]) -> [u8; EIGHT] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let word = u64::from_le_bytes(bytes);
    // In each byte without its high bit, one addition carries into that bit from `A` on, the other
    // from behind `Z` on. No carry leaves its byte.
    let low = word & !HIGH;
    let is_from_a = low + (0x80 - u64::from(b'A')) * ONES;
    let is_behind_z = low + (0x7f - u64::from(b'Z')) * ONES;
    let is_capital = is_from_a & !is_behind_z & !word & HIGH;
    (word | is_capital >> 2).to_le_bytes()
}

const BLOCK: usize = 16;
const EIGHT: usize = 8;

/// The size of a field's length.
const LEN_BYTES: usize = 2;

/// The size of the hash that replaces a full buffer.
const FOLDED_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&[u8]]) -> u64 {
        let mut all: Fields = Fields::new(Key128(1, 2));
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

    #[test]
    fn what_fits_is_hashed_alike_in_a_buffer_of_any_size() {
        fn of<const N: usize>(field: &[u8]) -> (u64, u64, u128) {
            let mut fields = Fields::<N>::new(Key128(1, 2));
            fields.bytes(field);
            fields.fixed([1, 2, 3]);
            (fields.tag(), fields.spread(), fields.spread128())
        }
        let bytes: Vec<u8> = (0..SHORT_BYTES as u8 - 3).collect();
        for len in 0..=bytes.len() {
            assert_eq!(of::<SHORT_BYTES>(&bytes[..len]), of::<HASHED_BYTES>(&bytes[..len]));
        }
        for len in 0..200 {
            let (upper, lower) = (vec![b'Q'; len], vec![b'q'; len]);
            let mut long: Fields = Fields::new(Key128(1, 2));
            long.lower(&lower);
            assert_eq!(Key128(1, 2).digest_lower(&upper), long.spread(), "{len}");
        }
    }

    #[test]
    fn a_field_is_not_hashed_like_its_neighbours() {
        let of = |first: &[u8], second: &[u8]| {
            let mut fields: Fields = Fields::new(Key128(1, 2));
            fields.field(first);
            fields.field(second);
            (fields.tag(), fields.spread(), fields.spread128())
        };
        let all = of(b"ab", b"c");
        for other in [of(b"a", b"bc"), of(b"abc", b""), of(b"AB", b"c")] {
            assert!(all.0 != other.0 && all.1 != other.1 && all.2 != other.2);
        }
    }

    #[test]
    fn small_letters_are_those_of_the_standard_library() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK {
                let mut bytes = [b'Q'; BLOCK];
                bytes[at] = byte;
                assert_eq!(lower_block(bytes), bytes.map(|b| b.to_ascii_lowercase()));
                let half = *bytes.last_chunk().unwrap();
                assert_eq!(lower_eight(half), half.map(|b: u8| b.to_ascii_lowercase()));
            }
        }
        let all: Vec<u8> = (0..=u8::MAX).collect();
        for len in 0..all.len() {
            let mut lower = vec![0; len];
            copy_lower(&all[..len], &mut lower);
            assert_eq!(lower, all[..len].to_ascii_lowercase());
            copy(&all[..len], &mut lower);
            assert_eq!(lower, all[..len]);
        }
    }
}
