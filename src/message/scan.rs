//! Scanning for line ends and header field names, sixteen bytes at a time.
//!
//! The blocks are vectors of the `wide` crate: SSE2 on x86-64, NEON on 64-bit ARM, plain code
//! elsewhere. The last bytes of a datagram, which fill no block, are scanned byte by byte.

use wide::u8x16;

use super::cursor::is_token;

/// The offset of the first CR or LF in `bytes`, from `at` on.
#[inline]
pub(super) fn line_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(block) = block_at(bytes, at) {
        let ends = line_ends(block);
        if ends != 0 {
            return Some(at + ends.trailing_zeros() as usize);
        }
        at += BLOCK;
    }
    bytes.get(at..)?.iter().position(|byte| is_line_end(*byte)).map(|found| at + found)
}

/// How many bytes at the start of `bytes` are those of a token (RFC 3261 §25.1).
#[inline]
pub(super) fn token_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    // Field names are letters, digits and hyphens, nearly always fewer than sixteen.
    if let Some(block) = block_at(bytes, 0) {
        len = plain_len(block);
    }
    while let Some(byte) = bytes.get(len)
        && is_token(*byte)
    {
        len += 1;
    }
    len
}

const BLOCK: usize = 16;

#[inline]
fn block_at(bytes: &[u8], at: usize) -> Option<&[u8; BLOCK]> {
    bytes.get(at..)?.first_chunk()
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// One bit per byte that is a CR or LF.
#[inline]
fn line_ends(block: &[u8; BLOCK]) -> u32 {
    let bytes = u8x16::new(*block);
    (is(bytes, b'\r') | is(bytes, b'\n')).to_bitmask()
}

/// How many bytes at the start are letters, digits or hyphens.
#[inline]
fn plain_len(block: &[u8; BLOCK]) -> usize {
    let bytes = u8x16::new(*block);
    // The bit that makes a capital small makes no letter of anything else.
    let small = bytes | u8x16::splat(0x20);
    let is_plain = is_within(small, b'a', b'z') | is_within(bytes, b'0', b'9') | is(bytes, b'-');
    is_plain.to_bitmask().trailing_ones() as usize
}

#[inline]
fn is(bytes: u8x16, byte: u8) -> u8x16 {
    bytes.simd_eq(u8x16::splat(byte))
}

#[inline]
fn is_within(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    let above = bytes - u8x16::splat(first);
    above.min(u8x16::splat(last - first)).simd_eq(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_told_alike() {
        for filler in [b'a', b'Z', b'0', b'-', b'.', b'\r'] {
            for at in 0..BLOCK {
                for byte in 0..=u8::MAX {
                    let mut block = [filler; BLOCK];
                    block[at] = byte;
                    let told = (line_ends(&block), plain_len(&block));
                    let is_plain = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-';
                    let ends = block.iter().rev();
                    let wants = (
                        ends.fold(0, |mask, byte| mask << 1 | u32::from(is_line_end(*byte))),
                        block.iter().take_while(is_plain).count(),
                    );
                    assert_eq!(told, wants, "{byte} at {at} among {filler}");
                }
            }
        }
    }

    #[test]
    fn line_ends_and_tokens_are_found_wherever_blocks_begin_and_end() {
        for len in 0..40 {
            for at in 0..=len {
                for end in [b'\r', b'\n'] {
                    let mut bytes = vec![b'x'; len];
                    bytes.insert(at, end);
                    assert_eq!(token_len(&bytes), at);
                    for from in 0..=len + 1 {
                        let wants = (from <= at).then_some(at);
                        assert_eq!(line_end(&bytes, from), wants, "{at} of {len} from {from}");
                    }
                }
                let mut name = vec![b'A'; len];
                name.insert(at, b'~');
                assert_eq!(token_len(&name), len + 1, "a tilde is as good as a letter");
            }
        }
        assert_eq!(line_end(b"", 1), None);
    }
}
