//! Rows: one header field name and its value, folds included.

use super::cursor::is_token;
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
        // Length and first letter leave one candidate at most.
        // Nearly everybody writes them as the RFC does, so that is compared first.
        let is = |usual: &[u8]| name == usual || name.eq_ignore_ascii_case(usual);
        match (name.len(), name.first().map_or(0, |first| first | 0x20)) {
            (1, b'v') => Self::Via,
            (1, b'f') => Self::From,
            (1, b't') => Self::To,
            (1, b'i') => Self::CallId,
            (1, b'l') => Self::ContentLength,
            (2, b't') if is(b"To") => Self::To,
            (3, b'v') if is(b"Via") => Self::Via,
            (4, b'f') if is(b"From") => Self::From,
            (4, b'c') if is(b"CSeq") => Self::CSeq,
            (5, b'r') if is(b"Route") => Self::Route,
            (7, b'c') if is(b"Call-ID") => Self::CallId,
            (11, b'm') if is(b"Max-Breadth") => Self::MaxBreadth,
            (12, b'm') if is(b"Max-Forwards") => Self::MaxForwards,
            (13, b'p') if is(b"Proxy-Require") => Self::ProxyRequire,
            (13, b'a') if is(b"Authorization") => Self::Authorization,
            (14, b'c') if is(b"Content-Length") => Self::ContentLength,
            (19, b'p') if is(b"Proxy-Authorization") => Self::Authorization,
            _ => Self::Other,
        }
    }
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
        let mut name_len = 0;
        while let Some(byte) = rest.get(name_len)
            && is_token(*byte)
        {
            name_len += 1;
        }
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
            name: if has_name { HeaderName::of(&rest[..name_len]) } else { HeaderName::Other },
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
        && let Some(found) = memchr::memchr2(b'\r', b'\n', &bytes[at..])
    {
        *lines_left -= 1;
        let before = at + found;
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
