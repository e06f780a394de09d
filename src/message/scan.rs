//! Scanning for line ends and for the ends of names and values, sixteen bytes at a time.
//!
//! The blocks are vectors of the `wide` crate: SSE2 on x86-64, NEON on 64-bit ARM, plain code
//! elsewhere. Where a datagram ends within a block, zeros stand for what is missing.

use wide::u8x16;

/// The places of CR and LF in a datagram, found in windows of 64 bytes.
#[derive(Clone, Debug)]
pub(super) struct LineEnds<'a> {
    bytes: &'a [u8],
    window_start: usize,
    /// One bit per byte of the window that is a CR or LF.
    window: u64,
}

impl<'a> LineEnds<'a> {
    /// Looks at the window that begins at `at`.
    #[inline]
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, window_start: at, window: line_ends(bytes, at) }
    }

    /// Returns the offset of the first CR or LF from `at` on.
    #[inline]
    pub(super) fn next_from(&mut self, mut at: usize) -> Option<usize> {
        loop {
            // An offset before the window is as far away as one behind it.
            let passed = at.wrapping_sub(self.window_start);
            if passed < WINDOW {
                let ahead = self.window >> passed;
                if ahead != 0 {
                    return Some(at + ahead.trailing_zeros() as usize);
                }
                at = self.window_start + WINDOW;
            }
            if at >= self.bytes.len() {
                return None;
            }
            *self = Self::new(self.bytes, at);
        }
    }
}

/// Returns the sixteen bytes from `at` on, if there are as many.
#[inline]
pub(super) fn block_at(bytes: &[u8], at: usize) -> Option<&[u8; BLOCK]> {
    bytes.get(at..)?.first_chunk()
}

/// Returns how many bytes at the start of a block are letters or hyphens.
#[inline]
pub(super) fn letters_len(block: &[u8; BLOCK]) -> usize {
    is_letter_or_hyphen(u8x16::new(*block)).to_bitmask().trailing_ones() as usize
}

/// Returns how many bytes at the start of a block are letters, digits or hyphens.
#[inline]
pub(super) fn plain_len(block: &[u8; BLOCK]) -> usize {
    is_plain(u8x16::new(*block)).to_bitmask().trailing_ones() as usize
}

/// Returns how many bytes from `at` on are those of a token (RFC 3261 §25.1).
#[inline]
pub(super) fn token_len(bytes: &[u8], at: usize) -> usize {
    // Names are letters, digits and hyphens, nearly always fewer than sixteen.
    let mut end = at + is_plain(block(bytes, at)).to_bitmask().trailing_ones() as usize;
    while let Some(byte) = bytes.get(end)
        && is_token(*byte)
    {
        end += 1;
    }
    end - at
}

/// Returns whether this byte is one of those of a token.
pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Returns how many bytes from `at` up to `end` may stand in the value of a parameter: printable
/// ones except `;` `,` `"` `<` `>`, and all above ASCII.
#[inline]
pub(super) fn value_len(bytes: &[u8], at: usize, end: usize) -> usize {
    run_len(bytes, at, end, |bytes| is_graphic(bytes) & !is_delimiter(bytes))
}

/// Returns how many bytes from `at` up to `end` are neither blanks nor control bytes.
#[inline]
pub(super) fn word_len(bytes: &[u8], at: usize, end: usize) -> usize {
    run_len(bytes, at, end, is_graphic)
}

/// Where the `@` of a URI is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AtSign {
    /// There is none.
    Nowhere,
    /// Only here.
    At(usize),
    /// There are several.
    Several,
}

/// Looks for `@` in the URI from `at` up to `end`; `None` if it has bytes that may not stand in a URI:
/// all but those of a word except `<` `>` `"`.
#[inline]
pub(super) fn at_sign(bytes: &[u8], at: usize, end: usize) -> Option<AtSign> {
    let mut found = AtSign::Nowhere;
    let mut start = at;
    while start < end {
        let block = block(bytes, start);
        let of_uri = u32::MAX >> (32 - (end - start).min(BLOCK));
        let good = (is_graphic(block) & !is_bracket_or_quote(block)).to_bitmask();
        if !good & of_uri != 0 {
            return None;
        }
        let signs = is(block, b'@').to_bitmask() & of_uri;
        if signs != 0 {
            let is_first = found == AtSign::Nowhere && signs.is_power_of_two();
            let place = AtSign::At(start + signs.trailing_zeros() as usize);
            found = if is_first { place } else { AtSign::Several };
        }
        start += BLOCK;
    }
    Some(found)
}

/// Returns how many bytes from `at` up to `end` are neither a quote nor a backslash.
#[inline]
pub(super) fn quoted_len(bytes: &[u8], at: usize, end: usize) -> usize {
    run_len(bytes, at, end, |bytes| !(is(bytes, b'"') | is(bytes, b'\\')))
}

/// Returns how many bytes from `at` up to `end` may stand in a host name: letters, digits,
/// `-` `.` `_`.
#[inline]
pub(super) fn host_name_len(bytes: &[u8], at: usize, end: usize) -> usize {
    run_len(bytes, at, end, |bytes| is_plain(bytes) | is(bytes, b'.') | is(bytes, b'_'))
}

/// Returns how many bytes from `at` up to `end` come before the next `<` `>` `"` `,` or `;`.
#[inline]
pub(super) fn display_name_len(bytes: &[u8], at: usize, end: usize) -> usize {
    run_len(bytes, at, end, |bytes| !is_delimiter(bytes))
}

/// Returns the offset of the first `byte` from `at` up to `end`.
///
/// For the few bytes of a name or URI it takes less than a call of memchr.
#[inline]
pub(super) fn find(bytes: &[u8], at: usize, end: usize, byte: u8) -> Option<usize> {
    let found = at + run_len(bytes, at, end, |bytes| !is(bytes, byte));
    (found < end).then_some(found)
}

/// Returns how many bytes from `at` up to `end` belong to a class.
#[inline]
fn run_len(bytes: &[u8], at: usize, end: usize, class: impl Fn(u8x16) -> u8x16) -> usize {
    let mut to = at;
    while to < end {
        let len = class(block(bytes, to)).to_bitmask().trailing_ones() as usize;
        to += len;
        if len < BLOCK {
            break;
        }
    }
    to.min(end).saturating_sub(at)
}

/// Bytes that are looked at together.
pub(super) const BLOCK: usize = 16;
const WINDOW: usize = 4 * BLOCK;

/// Returns the sixteen bytes from `at` on.
#[inline]
fn block(bytes: &[u8], at: usize) -> u8x16 {
    // Two ends, so that the usual one stays in a register.
    match block_at(bytes, at) {
        Some(block) => u8x16::new(*block),
        None => u8x16::new(padded(bytes, at)),
    }
}

/// Returns one bit per byte of the window from `at` on that is a CR or LF.
#[inline]
fn line_ends(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(window) => line_ends_in(window),
        None => line_ends_in(&padded(bytes, at)),
    }
}

/// Returns the bytes from `at` on, which are fewer, and zeros behind them.
#[cold]
fn padded<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut padded = [0; N];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

#[inline]
fn line_ends_in(window: &[u8; WINDOW]) -> u64 {
    let ends = window.as_chunks::<BLOCK>().0.iter().zip(0..).map(|(block, number)| {
        let block = u8x16::new(*block);
        let is_end = is(block, b'\r') | is(block, b'\n');
        u64::from(is_end.to_bitmask()) << (number * BLOCK)
    });
    ends.fold(0, |all, ends| all | ends)
}

/// Letters, digits and hyphens.
#[inline]
fn is_plain(bytes: u8x16) -> u8x16 {
    is_letter_or_hyphen(bytes) | is_within(bytes, b'0', b'9')
}

#[inline]
fn is_letter_or_hyphen(bytes: u8x16) -> u8x16 {
    // The bit that makes a capital small makes no letter of anything else.
    let small = bytes | u8x16::splat(0x20);
    is_within(small, b'a', b'z') | is(bytes, b'-')
}

/// Neither a blank nor a control byte.
#[inline]
fn is_graphic(bytes: u8x16) -> u8x16 {
    is_within(bytes, b'!', u8::MAX) & !is(bytes, 0x7f)
}

/// `<` `>` `"`
#[inline]
fn is_bracket_or_quote(bytes: u8x16) -> u8x16 {
    is(bytes, b'<') | is(bytes, b'>') | is(bytes, b'"')
}

/// What ends a display name or the value of a parameter: `<` `>` `"` `,` `;`.
#[inline]
fn is_delimiter(bytes: u8x16) -> u8x16 {
    is_bracket_or_quote(bytes) | is(bytes, b',') | is(bytes, b';')
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

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// What each scan takes, and the slow statement of the same.
    type Scan = (fn(&[u8], usize, usize) -> usize, fn(u8) -> bool);
    const SCANS: [Scan; 6] = [
        (display_name_len, |byte| !matches!(byte, b'<' | b'>' | b'"' | b',' | b';')),
        (|bytes, at, end| token_len(bytes, at).min(end.saturating_sub(at)), is_token),
        (value_len, |byte| byte > b' ' && !matches!(byte, 0x7f | b';' | b',' | b'"' | b'<' | b'>')),
        (word_len, |byte| byte > b' ' && byte != 0x7f),
        (quoted_len, |byte| !matches!(byte, b'"' | b'\\')),
        (host_name_len, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
    ];

    #[test]
    fn every_byte_at_every_place_is_told_alike() {
        for (number, (scan, class)) in SCANS.iter().enumerate() {
            for filler in [b'a', b'Z', b'0', b'-', b'.'] {
                for at in 0..35 {
                    for byte in 0..=u8::MAX {
                        let mut bytes = [filler; 35];
                        bytes[at] = byte;
                        for start in [0, 1, 15, 16, 17] {
                            let wants =
                                bytes[start..].iter().take_while(|byte| class(**byte)).count();
                            let told = scan(&bytes, start, bytes.len());
                            assert_eq!(
                                told, wants,
                                "scan {number} from {start}: {byte} at {at} among {filler}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_block_is_told_up_to_the_first_other_byte() {
        for at in 0..BLOCK {
            for byte in 0..=u8::MAX {
                for filler in [b'a', b'Z', b'-'] {
                    let mut block = [filler; BLOCK];
                    block[at] = byte;
                    let told = (letters_len(&block), plain_len(&block));
                    let is_letter = byte.is_ascii_alphabetic() || byte == b'-';
                    let is_plain = is_letter || byte.is_ascii_digit();
                    let wants = |is_taken| if is_taken { BLOCK } else { at };
                    assert_eq!(told, (wants(is_letter), wants(is_plain)), "{byte} at {at}");
                }
            }
        }
    }

    #[test]
    fn a_byte_is_found_where_it_stands() {
        for len in 0..50 {
            for at in 0..len {
                let mut bytes = vec![0; len];
                bytes[at] = b'@';
                for end in 0..=len {
                    for start in 0..=end {
                        let wants = (start..end).contains(&at).then_some(at);
                        assert_eq!(find(&bytes, start, end, b'@'), wants);
                    }
                }
            }
        }
    }

    /// The slow statement of [`at_sign`].
    fn at_sign_by_bytes(uri: &[u8]) -> Option<AtSign> {
        let is_bad = |byte: &u8| *byte <= b' ' || matches!(byte, 0x7f | b'<' | b'>' | b'"');
        if uri.iter().any(is_bad) {
            return None;
        }
        let mut signs = uri.iter().enumerate().filter(|(_, byte)| **byte == b'@');
        Some(match (signs.next(), signs.next()) {
            (None, _) => AtSign::Nowhere,
            (Some((at, _)), None) => AtSign::At(at),
            _ => AtSign::Several,
        })
    }

    #[test]
    fn the_bytes_of_a_uri_are_looked_at_once() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut bytes = [b'a'; 60];
                    bytes[at] = byte;
                    assert_eq!(at_sign(&bytes, 0, len), at_sign_by_bytes(&bytes[..len]));
                }
                for second in 0..60 {
                    for last in [60, len] {
                        let mut bytes = [b'a'; 60];
                        (bytes[at], bytes[second]) = (b'@', b'@');
                        let told = at_sign(&bytes[..last], 0, len);
                        assert_eq!(told, at_sign_by_bytes(&bytes[..len]), "{at} {second} of {len}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_scan_ends_where_the_bytes_end() {
        let all = [b'a'; 100];
        for (scan, _) in SCANS {
            for len in 0..all.len() {
                for at in 0..=len + 1 {
                    let wants = len.saturating_sub(at);
                    assert_eq!(scan(&all[..len], at, len), wants, "{at} of {len}");
                    assert_eq!(scan(&all, at, len), wants, "{at} of {len}, and more behind");
                }
            }
        }
    }

    #[test]
    fn line_ends_are_found_wherever_windows_begin_and_end() {
        for len in 0..140 {
            for at in 0..=len {
                for end in [b'\r', b'\n'] {
                    let mut bytes = vec![b'x'; len];
                    bytes.insert(at, end);
                    for start in [0, at / 2, at] {
                        let mut ends = LineEnds::new(&bytes, start);
                        assert_eq!(ends.next_from(start), Some(at), "{at} of {len} from {start}");
                        assert_eq!(ends.next_from(at), Some(at));
                        assert_eq!(ends.next_from(at + 1), None);
                    }
                }
            }
        }
        for byte in 0..=u8::MAX {
            let found = LineEnds::new(&[b'x', byte], 0).next_from(0);
            assert_eq!(found, matches!(byte, b'\r' | b'\n').then_some(1), "{byte}");
        }
        assert_eq!(LineEnds::new(b"", 0).next_from(0), None);
        let mut many = LineEnds::new(b"\r\n\n-\r", 0);
        let found: Vec<_> = (0..5).map(|at| many.next_from(at)).collect();
        assert_eq!(found, [0, 1, 2, 4, 4].map(Some));
        let far = [vec![b'\n'], vec![b'x'; 200], vec![b'\r']].concat();
        let mut back = LineEnds::new(&far, 0);
        assert_eq!([1, 0, 201, 2].map(|at| back.next_from(at)), [201, 0, 201, 201].map(Some));
    }
}
