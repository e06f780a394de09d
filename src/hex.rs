//! Bytes as hexadecimal digits and back, for our branches, Via parameters and tokens.

use wide::{bytemuck, i16x8, u8x16};

/// The digits, lower-case.
pub(crate) const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes `bytes` as hexadecimal at the start of `out` and returns the part that was written.
pub(crate) fn encode<'a>(bytes: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    let digits = &mut out[..bytes.len() * 2];
    for (block, digits) in bytes.as_chunks().0.iter().zip(digits.as_chunks_mut().0) {
        *digits = encode_block(block);
    }
    if bytes.len().is_multiple_of(BLOCK) {
        return digits;
    }
    // The last block overlaps the one before it.
    if let Some((block, digits)) = bytes.last_chunk().zip(digits.last_chunk_mut()) {
        *digits = encode_block(block);
    } else {
        for (byte, digits) in bytes.iter().zip(digits.as_chunks_mut::<2>().0) {
            *digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
    }
    digits
}

/// Reads hexadecimal of either case into the start of `out`; returns `None` if it contains anything
/// else or does not fit.
pub(crate) fn decode<'a>(digits: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let len = digits.len() / 2;
    if !digits.len().is_multiple_of(2) || len > out.len() {
        return None;
    }
    let bytes = &mut out[..len];
    for (digits, block) in digits.as_chunks().0.iter().zip(bytes.as_chunks_mut().0) {
        *block = decode_block(digits)?;
    }
    if len.is_multiple_of(BLOCK) {
        return Some(bytes);
    }
    // The last block overlaps the one before it.
    if let Some((digits, block)) = digits.last_chunk().zip(bytes.last_chunk_mut()) {
        *block = decode_block(digits)?;
    } else {
        for (pair, byte) in digits.as_chunks::<2>().0.iter().zip(&mut *bytes) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
    }
    Some(bytes)
}

/// The value of one digit.
pub(crate) const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Bytes that are converted at once.
const BLOCK: usize = 16;

fn encode_block(bytes: &[u8; BLOCK]) -> [u8; 2 * BLOCK] {
    let bytes = u8x16::new(*bytes);
    // There is no shift of bytes: the bits that come over from the neighbour are masked out.
    let high = u8x16::new((u128::from_le_bytes(bytes.to_array()) >> 4).to_le_bytes());
    let nibble = u8x16::splat(15);
    let (high, low) = (high & nibble, bytes & nibble);
    let mut digits = [0; 2 * BLOCK];
    digits[..BLOCK].copy_from_slice(&to_digits(u8x16::unpack_low(high, low)));
    digits[BLOCK..].copy_from_slice(&to_digits(u8x16::unpack_high(high, low)));
    digits
}

fn to_digits(nibbles: u8x16) -> [u8; BLOCK] {
    let is_letter = nibbles.max(u8x16::splat(10)).simd_eq(nibbles);
    let to_letter = is_letter & u8x16::splat(b'a' - b'0' - 10);
    (nibbles + u8x16::splat(b'0') + to_letter).to_array()
}

fn decode_block(digits: &[u8; 2 * BLOCK]) -> Option<[u8; BLOCK]> {
    let (first, second) = digits.split_at(BLOCK);
    let of = |digits: &[u8]| nibbles(u8x16::from(<[u8; BLOCK]>::try_from(digits).ok()?));
    let (first, second) = (pairs(of(first)?), pairs(of(second)?));
    Some(u8x16::narrow_i16x8(first, second).to_array())
}

/// The values of sixteen digits; `None` if one is no digit.
fn nibbles(digits: u8x16) -> Option<u8x16> {
    // The bit that makes a capital small makes no digit of anything else.
    let letters = (digits | u8x16::splat(0x20)) - u8x16::splat(b'a');
    let numbers = digits - u8x16::splat(b'0');
    let is_letter = letters.min(u8x16::splat(5)).simd_eq(letters);
    let is_number = numbers.min(u8x16::splat(9)).simd_eq(numbers);
    if (is_letter | is_number).to_bitmask() != 0xffff {
        return None;
    }
    Some((numbers & is_number) | ((letters + u8x16::splat(10)) & is_letter))
}

/// Puts each two values together, the first one in the high bits.
fn pairs(nibbles: u8x16) -> i16x8 {
    let pairs: [i16; BLOCK / 2] = bytemuck::cast(nibbles.to_array());
    // The first value is in the low byte, the second one in the high byte.
    let pairs = i16x8::new(pairs.map(i16::from_le));
    (pairs << 4 | pairs >> 8) & i16x8::splat(0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_and_length_comes_back() {
        for len in 0..70 {
            let bytes: Vec<u8> = (0_u32..len).map(|at| (at * 37 + len) as u8).collect();
            let mut digits = vec![b'?'; 2 * bytes.len() + 1];
            let wants: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(encode(&bytes, &mut digits), wants.as_bytes());
            assert_eq!(digits.last(), Some(&b'?'), "nothing is written behind them");
            let mut out = vec![0; bytes.len()];
            assert_eq!(decode(wants.as_bytes(), &mut out), Some(&bytes[..]));
            assert_eq!(decode(wants.to_uppercase().as_bytes(), &mut out), Some(&bytes[..]));
            if len > 0 {
                assert_eq!(decode(wants.as_bytes(), &mut out[1..]), None, "too little room");
                assert_eq!(decode(&wants.as_bytes()[1..], &mut out), None, "an odd number");
            }
        }
    }

    #[test]
    fn only_digits_are_digits_wherever_they_stand() {
        for at in 0..66 {
            for byte in 0..=u8::MAX {
                let mut digits = [b'7'; 66];
                digits[at] = byte;
                let mut out = [0; 33];
                let told = decode(&digits, &mut out).map(|bytes| bytes[at / 2]);
                let wants = digit(byte)
                    .map(|value| if at % 2 == 0 { value << 4 | 7 } else { 0x70 | value });
                assert_eq!(told, wants, "{byte:#x} at {at}");
            }
        }
    }
}
