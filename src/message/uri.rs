//! URIs, as far as routing looks into them (RFC 3261 §19.1, §25.1).

use super::DEFAULT_PORT;
use super::cursor::{leading_number, number};
use super::scan::{self, AtSign};
use super::span::Span;

/// The schemes that are told apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UriScheme {
    /// sip or sips
    #[default]
    Sip,
    /// tel (RFC 3966): it has no host, and a destination knows what to do with it.
    Tel,
    /// Any other, such as `urn:service:sos`: routing does not need to understand it.
    Other,
}

/// Where the parts of a URI lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uri {
    /// Which scheme.
    pub scheme: UriScheme,
    /// It is `sips`.
    pub is_sips: bool,
    /// The user part with its password, before the `@`.
    pub user: Option<Span>,
    /// The host, IPv6 addresses with their brackets; empty unless the scheme is SIP.
    pub host: Span,
    /// The port, when written.
    pub port: Option<u16>,
    /// Where `host[:port]` ends.
    pub host_port_end: usize,
    /// The parameters, from the first semicolon on.
    pub parameters: Span,
    /// Headers behind a question mark follow: never allowed in a Request-URI (§19.1.1).
    pub has_headers: bool,
}

impl Uri {
    // SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ]
    /// Reads the URI that lies at `span`; `None` when it is malformed.
    pub fn read(bytes: &[u8], span: Span) -> Option<Self> {
        let text = span.of(bytes);
        let at_sign = scan::at_sign(bytes, span.start(), span.end())?;
        // scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
        let colon = if text.starts_with(b"sip:") {
            SIP_LEN
        } else {
            text.iter().position(|b| !is_scheme(*b))?
        };
        if !text[0].is_ascii_alphabetic() || text[colon] != b':' {
            return None;
        }
        let scheme = match &text[..colon] {
            b"sip" => UriScheme::Sip,
            s if s.eq_ignore_ascii_case(b"sip") || is_sips(s) => UriScheme::Sip,
            s if s.eq_ignore_ascii_case(b"tel") => UriScheme::Tel,
            _ => UriScheme::Other,
        };
        if scheme != UriScheme::Sip {
            return Some(Self { scheme, ..Self::default() });
        }
        let after_scheme = span.start() + colon + 1;
        // A user part may hold ; ? and / but no second @ (it is written %40).
        let (user, host_start) = match at_sign {
            AtSign::At(at) => (Some(Span::new(after_scheme, at)), at + 1),
            AtSign::Nowhere => (None, after_scheme),
            AtSign::Several => return None,
        };
        let rest = &bytes[host_start..span.end()];
        let host_len = host_len(bytes, host_start, span.end())?;
        let host = Span::new(host_start, host_start + host_len);
        let (port, host_port_len) = match rest.get(host_len) {
            Some(b':') => {
                let (port, digits) = port(&rest[host_len + 1..])?;
                (Some(port), host_len + 1 + digits)
            }
            _ => (None, host_len),
        };
        let tail = &rest[host_port_len..];
        if !matches!(tail.first(), None | Some(b';' | b'?')) {
            return None;
        }
        let host_port_end = host_start + host_port_len;
        let question =
            if tail.is_empty() { None } else { scan::find(bytes, host_port_end, span.end(), b'?') };
        let parameters_end = question.unwrap_or(span.end());
        Some(Self {
            scheme,
            is_sips: is_sips(&text[..colon]),
            user,
            host,
            port,
            host_port_end,
            parameters: Span::new(host_port_end, parameters_end),
            has_headers: question.is_some(),
        })
    }

    /// The port that is meant: [`DEFAULT_PORT`] when none is written.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// Whether a parameter of this name is there, with a value or without.
    pub fn has_parameter(&self, bytes: &[u8], name: &[u8]) -> bool {
        self.parameters
            .of(bytes)
            .split(|b| *b == b';')
            .map(|parameter| parameter.split(|b| *b == b'=').next().unwrap_or_default())
            .any(|found| found.eq_ignore_ascii_case(name))
    }
}

/// The length of the host that begins at `at`: `hostname / IPv4address / IPv6reference`.
///
/// Generous: an underscore is let through, since operators' names have them.
#[inline]
pub(super) fn host_len(bytes: &[u8], at: usize, end: usize) -> Option<usize> {
    match scan::host_name_len(bytes, at, end) {
        0 => ipv6_reference_len(&bytes[at..end]),
        len => Some(len),
    }
}

#[inline(never)]
fn ipv6_reference_len(text: &[u8]) -> Option<usize> {
    let close = memchr::memchr(b']', text)?;
    let inner = text[..close].strip_prefix(b"[")?;
    let is_address = !inner.is_empty()
        && inner.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
    is_address.then_some(close + 1)
}

/// The port at the start of `text`, and how many digits it has; `None` when there is none, or it is
/// out of range.
fn port(text: &[u8]) -> Option<(u16, usize)> {
    let (mut port, mut len) = leading_number(text);
    if text.get(len).is_some_and(u8::is_ascii_digit) {
        // Only with zeros before it.
        len = text.iter().take_while(|b| b.is_ascii_digit()).count();
        port = number(&text[..len], 65_535)? as u32;
    }
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    Some((port, len))
}

/// The length of the usual scheme.
const SIP_LEN: usize = 3;

fn is_sips(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"sips")
}

fn is_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}
