//! Rows: one header field name and its value, folds included.

use super::cursor::is_token;
use super::span::Span;

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
    /// Any other: it passes through untouched.
    Other,
}

impl HeaderName {
    /// The header field that this name means, long or compact (§7.3.3), in any case (§7.3.1).
    pub fn of(name: &[u8]) -> Self {
        // The length leaves one or two candidates; nearly all rows are told apart by it alone.
        match name.len() {
            1 => match name[0] | 0x20 {
                b'v' => Self::Via,
                b'f' => Self::From,
                b't' => Self::To,
                b'i' => Self::CallId,
                b'l' => Self::ContentLength,
                _ => Self::Other,
            },
            2 if name.eq_ignore_ascii_case(b"to") => Self::To,
            3 if name.eq_ignore_ascii_case(b"via") => Self::Via,
            4 if name.eq_ignore_ascii_case(b"from") => Self::From,
            4 if name.eq_ignore_ascii_case(b"cseq") => Self::CSeq,
            5 if name.eq_ignore_ascii_case(b"route") => Self::Route,
            7 if name.eq_ignore_ascii_case(b"call-id") => Self::CallId,
            11 if name.eq_ignore_ascii_case(b"max-breadth") => Self::MaxBreadth,
            12 if name.eq_ignore_ascii_case(b"max-forwards") => Self::MaxForwards,
            13 if name.eq_ignore_ascii_case(b"proxy-require") => Self::ProxyRequire,
            14 if name.eq_ignore_ascii_case(b"content-length") => Self::ContentLength,
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
    blank_line: Option<usize>,
}

impl<'a> Rows<'a> {
    /// The rows of `bytes` from offset `at`, where a row begins.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            blank_line: None,
        }
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
        if rest.starts_with(b"\r\n") {
            self.blank_line = Some(start);
            return None;
        }
        if rest.is_empty() || self.blank_line.is_some() {
            return None;
        }
        let name_len = rest
            .iter()
            .position(|b| !is_token(*b))
            .unwrap_or(rest.len());
        let name = &rest[..name_len];
        let blanks = rest[name_len..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let colon = name_len + blanks;
        let has_name = name_len > 0 && rest.get(colon) == Some(&b':');
        let value_start = if has_name { colon + 1 } else { 0 };

        let line_end = find_row_end(rest, value_start);
        self.at = start + line_end.after;
        Some(Row {
            name: if has_name {
                HeaderName::of(name)
            } else {
                HeaderName::Other
            },
            whole: Span::new(start, start + line_end.after),
            value: Span::new(
                start + value_start,
                start + line_end.before.max(value_start),
            ),
            is_well_formed: has_name && line_end.is_well_formed,
        })
    }
}

struct RowEnd {
    before: usize,
    after: usize,
    is_well_formed: bool,
}

/// The end of the row that holds offset `at`: the first line end that no blank follows.
fn find_row_end(bytes: &[u8], mut at: usize) -> RowEnd {
    let mut is_well_formed = true;
    loop {
        let Some(found) = memchr::memchr2(b'\r', b'\n', &bytes[at..]) else {
            return RowEnd {
                before: bytes.len(),
                after: bytes.len(),
                is_well_formed: false,
            };
        };
        let before = at + found;
        let after = if bytes[before..].starts_with(b"\r\n") {
            before + 2
        } else {
            // A CR or LF alone ends a line for some readers and not for others.
            is_well_formed = false;
            before + 1
        };
        match bytes.get(after) {
            Some(b' ' | b'\t') => at = after,
            _ if bytes[before] == b'\r' && after == before + 1 => at = after,
            _ => {
                return RowEnd {
                    before,
                    after,
                    is_well_formed,
                };
            }
        }
    }
}
