//! Bytes as hexadecimal digits and back, for our branches, Via parameters and tokens.

/// The digits, lower-case.
pub(crate) const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes `bytes` as hexadecimal at the start of `out` and returns the part that was written.
pub(crate) fn encode<'a>(bytes: &[u8], out: &'a mut [u8]) -> &'a [u8] {
    for (byte, digits) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    &out[..bytes.len() * 2]
}

/// Reads hexadecimal of either case into the start of `out`; returns `None` if it contains anything
/// else or does not fit.
pub(crate) fn decode<'a>(digits: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let len = digits.len() / 2;
    if !digits.len().is_multiple_of(2) || len > out.len() {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(out.iter_mut()) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(&out[..len])
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
