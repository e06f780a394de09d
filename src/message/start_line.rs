//! The first line: Request-Line or Status-Line (RFC 3261 §7.1, §7.2).

use super::method::Method;
use super::scan;
use super::span::Span;

/// What the first line says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartLine {
    /// `Method SP Request-URI SP SIP/2.0`
    Request {
        /// The method as written.
        method: Span,
        /// The Request-URI.
        uri: Span,
    },
    /// A request of another version of SIP.
    OtherVersion {
        /// The method as written.
        method: Span,
        /// The Request-URI.
        uri: Span,
    },
    /// A line that means to be a request and is not one.
    BadRequest {
        /// The method, when there is one.
        method: Span,
    },
    /// `SIP/2.0 SP Status-Code SP Reason-Phrase`
    Response {
        /// 100 to 699.
        code: u16,
    },
    /// A line that means to be a response and is not one.
    BadResponse,
    /// Neither.
    NotSip,
}

impl StartLine {
    /// Reads the line that lies at `line`, its line end left out.
    pub(crate) fn read(bytes: &[u8], line: Span) -> Self {
        let text = line.of(bytes);
        if text.starts_with(b"SIP/") || text.len() >= 4 && text[..4].eq_ignore_ascii_case(b"SIP/") {
            return read_status_line(text);
        }
        let method_len = scan::token_len(bytes, line.start()).min(text.len());
        let method = Span::new(line.start(), line.start() + method_len);
        let is_usual = text.ends_with(b" SIP/2.0");
        if method_len == 0 || !(is_usual || mentions_sip(text)) {
            return Self::NotSip;
        }
        // Exactly one space between the three parts and none elsewhere (§7.1): a line with more is
        // read differently by different servers.
        let uri_start = method_len + 1;
        if text.get(method_len) != Some(&b' ') {
            return Self::BadRequest { method };
        }
        let Some(uri_len) = memchr::memchr(b' ', &text[uri_start..]) else {
            return Self::BadRequest { method };
        };
        let uri = Span::new(line.start() + uri_start, line.start() + uri_start + uri_len);
        let version = &text[uri_start + uri_len + 1..];
        if version == b"SIP/2.0" || version.eq_ignore_ascii_case(b"SIP/2.0") {
            return Self::Request { method, uri };
        }
        if is_version(version) {
            Self::OtherVersion { method, uri }
        } else {
            Self::BadRequest { method }
        }
    }

    /// The method; `Other` for a response.
    pub(crate) fn method(self, bytes: &[u8]) -> Method {
        match self {
            Self::Request { method, .. }
            | Self::OtherVersion { method, .. }
            | Self::BadRequest { method } => Method::of(method.of(bytes)),
            _ => Method::Other,
        }
    }
}

// Status-Line = SIP-Version SP Status-Code SP Reason-Phrase CRLF
//
// Generous: the second space may be missing when the phrase is, as some devices send it.
fn read_status_line(text: &[u8]) -> StartLine {
    let Some(rest) = text.get(7..).filter(|_| text[4..7] == *b"2.0") else {
        return StartLine::BadResponse;
    };
    match rest {
        [b' ', a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', tail @ ..]
            if matches!(tail.first(), None | Some(b' ')) =>
        {
            let digit = |b: &u8| u16::from(b - b'0');
            StartLine::Response { code: digit(a) * 100 + digit(b) * 10 + digit(c) }
        }
        _ => StartLine::BadResponse,
    }
}

/// `"SIP" "/" 1*DIGIT "." 1*DIGIT`
fn is_version(text: &[u8]) -> bool {
    let Some(numbers) = text.get(4..).filter(|_| text[..4].eq_ignore_ascii_case(b"SIP/")) else {
        return false;
    };
    let mut parts = numbers.split(|b| *b == b'.');
    let is_number = |part: Option<&[u8]>| {
        part.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
    };
    is_number(parts.next()) && is_number(parts.next()) && parts.next().is_none()
}

/// Whether `SIP/` stands anywhere after the first word: what tells a broken request from noise.
fn mentions_sip(text: &[u8]) -> bool {
    memchr::memchr_iter(b'/', text).any(|slash| {
        slash >= 4 && text[slash - 3..slash].eq_ignore_ascii_case(b"SIP") && text[slash - 4] == b' '
    })
}
