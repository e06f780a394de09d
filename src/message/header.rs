//! Rows: one header field name and its value, folds included.

use super::scan::{self, BLOCK, LineEnds};
use super::span::Span;
use crate::limits::HEADER_LINES_MAX;

/// The header fields that forwarding looks at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderName {
    /// Via, v
    Via,
    /// From, f
    From,
    /// To, t
    To,
    /// Call-ID, i
    CallId,
    /// `CSeq`
    CSeq,
    /// Max-Forwards
    MaxForwards,
    /// Max-Breadth (RFC 5393)
    MaxBreadth,
    /// Route
    Route,
    /// Content-Length, l
    ContentLength,
    /// Proxy-Require
    ProxyRequire,
    /// Authorization or Proxy-Authorization: that it is there, never what it says
    Authorization,
    /// Any other: it passes through untouched.
    Other,
}

impl HeaderName {
    /// The header field that this name means, long or compact (§7.3.3), in any case (§7.3.1).
    pub fn of(name: &[u8]) -> Self {
        if name.len() >= BLOCK {
            let is_credentials = name.eq_ignore_ascii_case(b"proxy-authorization");
            return if is_credentials { Self::Authorization } else { Self::Other };
        }
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name);
        Self::in_block(&block, name.len())
    }

    /// The same for the first `len` bytes of a block, fewer than all of it.
    #[inline]
    fn in_block(block: &[u8; BLOCK], len: usize) -> Self {
        let [first, second] = *halves(block);
        let first = small(first) & HALF_MASKS[len % BLOCK];
        let known = &KNOWN_NAMES[place_of(first)];
        if known.first != first {
            return Self::Other;
        }
        let second = if len > HALF { small(second) & HALF_MASKS[len - HALF] } else { 0 };
        if known.second == second { known.name } else { Self::Other }
    }
}

/// A name that is known.
#[derive(Clone, Copy)]
struct KnownName {
    /// Its first eight bytes, zeros behind a shorter one.
    first: u64,
    /// The rest in the same way.
    second: u64,
    name: HeaderName,
}

/// The names by the place that the hash of their first half gives them; no two have the same.
static KNOWN_NAMES: [KnownName; PLACES] = {
    const NAMES: [(&[u8], HeaderName); 16] = [
        (b"v", HeaderName::Via),
        (b"via", HeaderName::Via),
        (b"f", HeaderName::From),
        (b"from", HeaderName::From),
        (b"t", HeaderName::To),
        (b"to", HeaderName::To),
        (b"i", HeaderName::CallId),
        (b"call-id", HeaderName::CallId),
        (b"cseq", HeaderName::CSeq),
        (b"route", HeaderName::Route),
        (b"l", HeaderName::ContentLength),
        (b"content-length", HeaderName::ContentLength),
        (b"max-forwards", HeaderName::MaxForwards),
        (b"max-breadth", HeaderName::MaxBreadth),
        (b"proxy-require", HeaderName::ProxyRequire),
        (b"authorization", HeaderName::Authorization),
    ];
    let nobody = KnownName { first: 0, second: 0, name: HeaderName::Other };
    let mut table = [nobody; PLACES];
    let mut at = 0;
    while at < NAMES.len() {
        let (text, name) = NAMES[at];
        let (first, second) = (number_of(text, 0), number_of(text, HALF));
        let place = &mut table[place_of(first)];
        assert!(place.first == 0, "two names have the same place: pick another factor");
        *place = KnownName { first, second, name };
        at += 1;
    }
    table
};

const PLACES: usize = 64;
const HALF: usize = BLOCK / 2;

/// Returns the place of a name in [`KNOWN_NAMES`] by its first half.
const fn place_of(first: u64) -> usize {
    // The factor was picked so that no two names meet; the table's making checks it.
    const FACTOR: u64 = 0x9b81_0e76_6ec9_d287;
    (first.wrapping_mul(FACTOR) >> 58) as usize
}

/// Returns up to eight bytes of a name as one number.
const fn number_of(text: &[u8], start: usize) -> u64 {
    let mut number = 0;
    let mut at = if text.len() < start + HALF { text.len() } else { start + HALF };
    while at > start {
        at -= 1;
        number = number << 8 | text[at] as u64;
    }
    number
}

#[inline]
fn halves(block: &[u8; BLOCK]) -> &[[u8; HALF]; 2] {
    block.as_chunks().0.try_into().expect("two halves")
}

/// Sets the bit that makes capitals small. It changes no byte of a token into another letter.
#[inline]
fn small(half: [u8; HALF]) -> u64 {
    u64::from_le_bytes(half) | u64::from_le_bytes([0x20; HALF])
}

/// By length: the bytes of a name in its first half.
static HALF_MASKS: [u64; BLOCK] = {
    let mut masks = [u64::MAX; BLOCK];
    let mut len = 0;
    while len < HALF {
        masks[len] = (1 << (8 * len)) - 1;
        len += 1;
    }
    masks
};

/// One header field row, from the first byte of its name to the line end after its last fold.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Which field it is.
    pub name: HeaderName,
    /// The whole row, its last line end included.
    pub whole: Span,
    /// What stands after the colon, without the last line end.
    pub value: Span,
    /// Name and colon are as §7.3.1 wants them, and no CR or LF stands alone.
    ///
    /// A name with a control byte in it is seen by one server and not by the next: such a message
    /// is refused, not passed on.
    pub is_well_formed: bool,
}

/// Walks the rows from one place on.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    at: usize,
    line_ends: LineEnds<'a>,
    lines_left: usize,
    blank_line: Option<usize>,
}

impl<'a> Rows<'a> {
    /// The rows of `bytes` from offset `at`, where a row begins.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        let line_ends = LineEnds::new(bytes, at);
        Self { bytes, at, line_ends, lines_left: HEADER_LINES_MAX, blank_line: None }
    }

    /// Where the line end is that closes the header, once the walk has come there; `None` when the
    /// datagram ends before it.
    pub(crate) fn blank_line(&self) -> Option<usize> {
        self.blank_line
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    // message-header = field-name HCOLON field-value CRLF
    // HCOLON = *( SP / HTAB ) ":" SWS
    #[inline]
    fn next(&mut self) -> Option<Row> {
        self.next_usual().or_else(|| self.next_unusual())
    }
}

impl Rows<'_> {
    /// Reads the next row if it is as usual: a name of letters, digits and hyphens, its colon, and one
    /// line. Changes nothing if it is not.
    #[allow(
        clippy::inline_always,
        reason = "the walk over the rows is a fifth of a message's cost"
    )]
    #[inline(always)]
    pub(super) fn next_usual(&mut self) -> Option<Row> {
        let start = self.at;
        let block = scan::block_at(self.bytes, start)?;
        let mut name_len = scan::letters_len(block);
        if block.get(name_len) != Some(&b':') {
            // It has digits, or is longer than a block.
            name_len = scan::plain_len(block);
            if name_len == BLOCK {
                name_len += scan::plain_len(scan::block_at(self.bytes, start + BLOCK)?);
            }
            if self.bytes.get(start + name_len) != Some(&b':') {
                return None;
            }
        }
        let colon = start + name_len;
        if name_len == 0 || self.lines_left == 0 {
            return None;
        }
        let before = self.line_ends.next_from(colon)?;
        let [cr, lf, after] = *self.bytes.get(before..)?.first_chunk()?;
        if [cr, lf] != *b"\r\n" || matches!(after, b' ' | b'\t') {
            return None;
        }
        self.lines_left -= 1;
        self.at = before + 2;
        let name = if name_len < BLOCK {
            HeaderName::in_block(block, name_len)
        } else {
            HeaderName::of(&self.bytes[start..colon])
        };
        Some(Row {
            name,
            whole: Span::new(start, before + 2),
            value: Span::new(colon + 1, before),
            is_well_formed: true,
        })
    }

    /// Reads any row.
    #[inline(never)]
    pub(super) fn next_unusual(&mut self) -> Option<Row> {
        let start = self.at;
        let name_len = scan::token_len(self.bytes, start);
        if name_len == 0 {
            let rest = self.bytes.get(start..).unwrap_or_default();
            if rest.starts_with(b"\r\n") {
                self.blank_line = Some(start);
            }
            if rest.is_empty() || self.blank_line.is_some() {
                return None;
            }
        }
        let mut colon = start + name_len;
        while let Some(b' ' | b'\t') = self.bytes.get(colon) {
            colon += 1;
        }
        let has_name = name_len > 0 && self.bytes.get(colon) == Some(&b':');
        let value_start = if has_name { colon + 1 } else { start };
        let end = self.row_end(value_start);
        self.at = end.after;
        Some(Row {
            name: if has_name {
                HeaderName::of(&self.bytes[start..start + name_len])
            } else {
                HeaderName::Other
            },
            whole: Span::new(start, end.after),
            value: Span::new(value_start, end.before.max(value_start)),
            is_well_formed: has_name && end.is_well_formed,
        })
    }

    /// Returns the end of the row that holds offset `at`: the first line end that no blank follows.
    /// Without a line left the row is all the rest, and malformed.
    fn row_end(&mut self, mut at: usize) -> RowEnd {
        let bytes = self.bytes;
        let mut is_well_formed = true;
        while self.lines_left > 0
            && let Some(before) = self.line_ends.next_from(at)
        {
            self.lines_left -= 1;
            let is_line_end = bytes[before..].starts_with(b"\r\n");
            let after = before + 1 + usize::from(is_line_end);
            // A CR or LF alone ends a line for some readers and not for others.
            is_well_formed &= is_line_end;
            let goes_on = match bytes.get(after) {
                Some(b' ' | b'\t') => true,
                _ => !is_line_end && bytes[before] == b'\r',
            };
            if !goes_on {
                return RowEnd { before, after, is_well_formed };
            }
            at = after;
        }
        RowEnd { before: bytes.len(), after: bytes.len(), is_well_formed: false }
    }
}

struct RowEnd {
    before: usize,
    after: usize,
    is_well_formed: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    type Read = (HeaderName, Span, Span, bool);

    /// Walks over all rows, each read as an unusual one if `as_unusual`; returns them and where the
    /// blank line is.
    fn walk(text: &[u8], as_unusual: bool) -> (Vec<Read>, Option<usize>) {
        let mut rows = Rows::new(text, 0);
        let mut all = Vec::new();
        while let Some(row) = if as_unusual { rows.next_unusual() } else { rows.next() } {
            all.push((row.name, row.whole, row.value, row.is_well_formed));
        }
        (all, rows.blank_line())
    }

    #[test]
    fn the_usual_rows_need_no_second_look() {
        for (text, wants) in [
            ("v: x\r\nVia: y", HeaderName::Via),
            ("CONTENT-LENGTH:0\r\n\r\n0123456789abcdef", HeaderName::ContentLength),
            ("Proxy-Authorization: Digest x\r\n\r\n", HeaderName::Authorization),
            ("Proxy-Authorisation: Digest x\r\n\r\n", HeaderName::Other),
            ("Content-Lengths: 0\r\n\r\n0123456789abcdef", HeaderName::Other),
            ("X-Note-01: 0\r\n\r\n0123456789abcdef", HeaderName::Other),
            ("X-Sixteen-Bytes-: 0\r\n\r\n0123456789abcdef", HeaderName::Other),
        ] {
            let padded = format!("Subject: x\r\n{text}{}", " ".repeat(40));
            let mut rows = Rows::new(padded.as_bytes(), 0);
            assert_eq!(rows.next_usual().map(|row| row.name), Some(HeaderName::Other));
            let row = rows.next_usual().expect(text);
            let (name, _) = text.split_once(':').expect("a name");
            let colon = row.value.start() - 1;
            assert_eq!((row.name, colon), (wants, row.whole.start() + name.len()), "{text}");
        }
    }

    const PIECES: [&str; 34] = [
        "Via",
        "v",
        "FROM",
        "to",
        "t",
        "Call-ID",
        "i",
        "CSeq",
        "Max-Forwards",
        "Max-Breadth",
        "Route",
        "Content-Length",
        "l",
        "Proxy-Require",
        "Authorization",
        "Proxy-Authorization",
        "P-Asserted-Identity",
        "A-Name-That-Has-More-Than-32-Bytes",
        "x",
        "Sixteen-bytes-in",
        ":",
        ": ",
        " :",
        " ",
        "\t",
        "\r\n",
        "\r\n",
        "\r\n ",
        "\r",
        "\n",
        "value",
        "\0",
        "_",
        "\r\n\r\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_read_as_usual_is_read_alike_otherwise(
            pieces in prop::collection::vec(select(&PIECES[..]), 0..24),
            behind in select(&["", "0123456789abcdef0123456789abcdef"][..]),
        ) {
            let text = pieces.concat() + behind;
            prop_assert_eq!(walk(text.as_bytes(), false), walk(text.as_bytes(), true));
        }
    }
}
