//! Rows: one header field name and its value, folds included.

use super::scan;
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
        Self::at(name, name.len())
    }

    /// The same for the first `len` bytes of `rest`, a token.
    #[inline]
    fn at(rest: &[u8], len: usize) -> Self {
        // Setting this bit makes capitals small and changes no byte of a token into another letter.
        const SMALL: u64 = 0x2020_2020_2020_2020;
        let word = match rest.first_chunk() {
            Some(first) => u64::from_le_bytes(*first),
            None => first_eight(rest),
        };
        let mask = u64::MAX >> (64 - 8 * len.clamp(1, 8));
        let word = (word | SMALL) & mask;
        let behind = |usual: &[u8]| {
            rest.get(8..len).is_some_and(|behind| behind.eq_ignore_ascii_case(&usual[8..]))
        };
        match (len, word) {
            (1, V) | (3, VIA) => Self::Via,
            (1, F) | (4, FROM) => Self::From,
            (1, T) | (2, TO) => Self::To,
            (1, I) | (7, CALL_ID) => Self::CallId,
            (4, CSEQ) => Self::CSeq,
            (5, ROUTE) => Self::Route,
            (11, MAX_BREA) if behind(b"max-breadth") => Self::MaxBreadth,
            (12, MAX_FORW) if behind(b"max-forwards") => Self::MaxForwards,
            (13, PROXY_RE) if behind(b"proxy-require") => Self::ProxyRequire,
            (13, AUTHORIZ) if behind(b"authorization") => Self::Authorization,
            (1, L) => Self::ContentLength,
            (14, CONTENT_) if behind(b"content-length") => Self::ContentLength,
            (19, PROXY_AU) if behind(b"proxy-authorization") => Self::Authorization,
            _ => Self::Other,
        }
    }
}

const V: u64 = first_eight(b"v");
const F: u64 = first_eight(b"f");
const T: u64 = first_eight(b"t");
const I: u64 = first_eight(b"i");
const L: u64 = first_eight(b"l");
const TO: u64 = first_eight(b"to");
const VIA: u64 = first_eight(b"via");
const FROM: u64 = first_eight(b"from");
const CSEQ: u64 = first_eight(b"cseq");
const ROUTE: u64 = first_eight(b"route");
const CALL_ID: u64 = first_eight(b"call-id");
const MAX_BREA: u64 = first_eight(b"max-brea");
const MAX_FORW: u64 = first_eight(b"max-forw");
const PROXY_RE: u64 = first_eight(b"proxy-re");
const AUTHORIZ: u64 = first_eight(b"authoriz");
const CONTENT_: u64 = first_eight(b"content-");
const PROXY_AU: u64 = first_eight(b"proxy-au");

/// The first eight bytes as a number, fewer when there are fewer.
const fn first_eight(text: &[u8]) -> u64 {
    let mut word = [0; 8];
    let mut at = 0;
    while at < text.len() && at < word.len() {
        word[at] = text[at];
        at += 1;
    }
    u64::from_le_bytes(word)
}

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
    lines_left: usize,
    blank_line: Option<usize>,
}

impl<'a> Rows<'a> {
    /// The rows of `bytes` from offset `at`, where a row begins.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, lines_left: HEADER_LINES_MAX, blank_line: None }
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
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let name_len = scan::token_len(rest);
        if name_len == 0 {
            if rest.starts_with(b"\r\n") {
                self.blank_line = Some(start);
            }
            if rest.is_empty() || self.blank_line.is_some() {
                return None;
            }
        }
        let mut colon = name_len;
        while let Some(b' ' | b'\t') = rest.get(colon) {
            colon += 1;
        }
        let has_name = name_len > 0 && rest.get(colon) == Some(&b':');
        let value_start = if has_name { colon + 1 } else { 0 };
        let end = find_row_end(rest, value_start, &mut self.lines_left);
        self.at = start + end.after;
        Some(Row {
            name: if has_name { HeaderName::at(rest, name_len) } else { HeaderName::Other },
            whole: Span::new(start, start + end.after),
            value: Span::new(start + value_start, start + end.before.max(value_start)),
            is_well_formed: has_name && end.is_well_formed,
        })
    }
}

struct RowEnd {
    before: usize,
    after: usize,
    is_well_formed: bool,
}

/// The end of the row that holds offset `at`: the first line end that no blank follows. Without a
/// line left the row is all the rest, and malformed.
#[inline]
fn find_row_end(bytes: &[u8], mut at: usize, lines_left: &mut usize) -> RowEnd {
    let mut is_well_formed = true;
    while *lines_left > 0
        && let Some(before) = scan::line_end(bytes, at)
    {
        *lines_left -= 1;
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
