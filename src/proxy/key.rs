//! Reads the key of a hash algorithm from a message, part by part, without copying it.

use std::io::Write;
use std::net::IpAddr;

use super::branch::Branch;
use super::{Arrival, Core};
use crate::destination::{Ask, HeaderField, Key, KeyHasher, Part, Set, UriOf};
use crate::message::{
    DEFAULT_PORT, DEFAULT_PORT_TLS, Method, NameAddr, Rows, Span, StartLine, Uri, UriScheme, trim,
};

impl Core {
    /// Returns what the choice for this request may depend on, as far as this set wants to know it.
    pub(super) fn ask(&self, at: &Arrival, branch: Option<Branch>, set: &Set) -> Ask {
        Ask {
            is_invite: self.message.method == Method::Invite,
            // The other half is the key of the pin.
            entropy: branch.map_or(0, |branch| (branch.hash >> 64) as u64),
            key: set.key().and_then(|key| self.hash_of(at, key)),
        }
    }

    /// Returns the hash of the key; `None` if the message does not have it.
    fn hash_of(&self, at: &Arrival, key: &Key) -> Option<u64> {
        let hash = self.hash_parts(at, key, &key.parts);
        hash.or_else(|| match key.fallback() {
            [] => None,
            parts => self.hash_parts(at, key, parts),
        })
    }

    fn hash_parts(&self, at: &Arrival, key: &Key, parts: &[Part]) -> Option<u64> {
        let mut hasher = key.hasher();
        for part in parts {
            self.add_part(at, part, &mut hasher)?;
        }
        hasher.finish()
    }

    /// Adds a part of the key; `None` if the message has no key at all.
    fn add_part(&self, at: &Arrival, part: &Part, hasher: &mut KeyHasher) -> Option<()> {
        let bytes = at.bytes;
        let of = |span: Option<Span>| span.unwrap_or_default().of(bytes);
        match part {
            Part::CallId => hasher.part(of(self.message.call_id)),
            Part::SourceAddress => {
                let mut text = [0; IP_TEXT_MAX];
                hasher.part(ip_text(at.flow.peer.ip(), &mut text));
            }
            Part::Header(field) => hasher.part(self.header(bytes, field)),
            Part::CredentialsUser => hasher.part(self.credentials_user(bytes)),
            Part::Uri(which) => hasher.part(self.uri_text(bytes, *which)?.of(bytes)),
            Part::User(which) => {
                let (span, uri) = self.uri_of(bytes, *which)?;
                hasher.part(user(bytes, span, &uri));
            }
            Part::Host(which) => {
                hasher.part_without_case(self.uri_of(bytes, *which)?.1.host.of(bytes));
            }
            Part::HostAndPort(which) => {
                hasher.part_without_case(host_and_port(bytes, &self.uri_of(bytes, *which)?.1));
            }
            Part::UserOrHost(which) => {
                let (span, uri) = self.uri_of(bytes, *which)?;
                match user(bytes, span, &uri) {
                    [] => hasher.part_without_case(host_and_port(bytes, &uri)),
                    user => hasher.part(user),
                }
            }
            Part::Parameter(which, name) => {
                hasher.part(parameter(bytes, &self.uri_of(bytes, *which)?.1, name));
            }
        }
        Some(())
    }

    pub(super) fn uri_of(&self, bytes: &[u8], which: UriOf) -> Option<(Span, Uri)> {
        let span = self.uri_text(bytes, which)?;
        let uri = match which {
            UriOf::Request => self.message.uri,
            UriOf::From | UriOf::To => Uri::read(bytes, span)?,
        };
        Some((span, uri))
    }

    fn uri_text(&self, bytes: &[u8], which: UriOf) -> Option<Span> {
        let field = match which {
            UriOf::Request => match self.message.start_line {
                StartLine::Request { uri, .. } => return Some(uri),
                _ => return None,
            },
            UriOf::From => self.message.from?,
            UriOf::To => self.message.to?,
        };
        Some(NameAddr::read(bytes, field)?.uri)
    }

    /// Returns the first value of this header field; empty if there is none.
    fn header<'a>(&self, bytes: &'a [u8], field: &HeaderField) -> &'a [u8] {
        let mut rows = Rows::new(bytes, self.message.rows_start);
        let row = rows.find(|row| {
            let name = Span::new(row.whole.start(), row.value.start());
            let name = name.of(bytes).strip_suffix(b":").unwrap_or_default();
            field.is_named(name.trim_ascii_end())
        });
        row.map(|row| trim(bytes, row.value).of(bytes)).unwrap_or_default()
    }

    /// Returns the user name of the credentials, up to an `@`: those for a proxy before those for a
    /// server.
    fn credentials_user<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if !self.message.has_credentials {
            return &[];
        }
        let mut fallback: &[u8] = &[];
        for row in Rows::new(bytes, self.message.rows_start) {
            let name = Span::new(row.whole.start(), row.value.start()).of(bytes);
            let name = name.strip_suffix(b":").unwrap_or_default().trim_ascii_end();
            if name.eq_ignore_ascii_case(b"proxy-authorization") {
                return user_name(trim(bytes, row.value).of(bytes));
            }
            if fallback.is_empty() && name.eq_ignore_ascii_case(b"authorization") {
                fallback = user_name(trim(bytes, row.value).of(bytes));
            }
        }
        fallback
    }
}

/// Returns the user of a URI, or else its host.
pub(super) fn user_or_host<'a>(bytes: &'a [u8], span: Span, uri: &Uri) -> &'a [u8] {
    match user(bytes, span, uri) {
        [] => uri.host.of(bytes),
        user => user,
    }
}

/// Returns the user of a URI without its password. A URI without a host has its number or name there.
fn user<'a>(bytes: &'a [u8], span: Span, uri: &Uri) -> &'a [u8] {
    let text = match uri.scheme {
        UriScheme::Sip => uri.user.unwrap_or_default().of(bytes),
        UriScheme::Tel | UriScheme::Other => {
            let text = span.of(bytes);
            let scheme = text.iter().position(|b| *b == b':').map_or(0, |colon| colon + 1);
            let text = &text[scheme..];
            return text.split(|b| *b == b';').next().unwrap_or_default();
        }
    };
    text.split(|b| *b == b':').next().unwrap_or_default()
}

/// Returns the host, and the port unless it is the default of the scheme.
fn host_and_port<'a>(bytes: &'a [u8], uri: &Uri) -> &'a [u8] {
    let default = if uri.is_sips { DEFAULT_PORT_TLS } else { DEFAULT_PORT };
    match uri.port {
        Some(port) if port != default => Span::new(uri.host.start(), uri.host_port_end).of(bytes),
        _ => uri.host.of(bytes),
    }
}

/// Returns the value of a URI parameter; empty if there is none.
fn parameter<'a>(bytes: &'a [u8], uri: &Uri, name: &str) -> &'a [u8] {
    uri.parameters
        .of(bytes)
        .split(|b| *b == b';')
        .find_map(|parameter| {
            let equals = parameter.iter().position(|b| *b == b'=')?;
            let (found, value) = (&parameter[..equals], &parameter[equals + 1..]);
            found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
        .unwrap_or_default()
}

// credentials = "Digest" LWS dig-resp *( COMMA dig-resp ); username = "username" EQUAL quoted-string
/// Returns the user name of digest credentials, up to an `@`; empty if they have none.
fn user_name(credentials: &[u8]) -> &[u8] {
    let is_digest = |(scheme, _): &(&[u8], &[u8])| matches!(scheme, [name @ .., b' ' | b'\t'] if name.eq_ignore_ascii_case(b"digest"));
    let split = credentials.split_at_checked(b"Digest ".len()).filter(is_digest);
    let Some((_, mut rest)) = split else { return &[] };
    while let Some(equals) = rest.iter().position(|b| *b == b'=') {
        let name = rest[..equals].trim_ascii();
        let Some((value, after)) = parameter_value(rest[equals + 1..].trim_ascii_start()) else {
            break;
        };
        if name.eq_ignore_ascii_case(b"username") {
            return value.split(|b| *b == b'@').next().unwrap_or_default();
        }
        match after.trim_ascii_start().strip_prefix(b",") {
            Some(next) => rest = next,
            None => break,
        }
    }
    &[]
}

/// Splits off a value, without its quotes; `None` if they do not end.
fn parameter_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|b| *b == b',').unwrap_or(text.len());
        return Some((text[..end].trim_ascii_end(), &text[end..]));
    };
    let mut is_escaped = false;
    let end = quoted.iter().position(|b| {
        let is_end = *b == b'"' && !is_escaped;
        is_escaped = *b == b'\\' && !is_escaped;
        is_end
    })?;
    Some((&quoted[..end], &quoted[end + 1..]))
}

/// Bytes of the longest address.
const IP_TEXT_MAX: usize = 45;

fn ip_text(ip: IpAddr, text: &mut [u8; IP_TEXT_MAX]) -> &[u8] {
    let mut rest = &mut text[..];
    let fits = write!(rest, "{}", ip.to_canonical()).is_ok();
    debug_assert!(fits, "no address is longer");
    let len = IP_TEXT_MAX - rest.len();
    &text[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names() {
        for (credentials, wants) in [
            ("Digest username=\"alice\"", "alice"),
            ("digest realm=\"a, username=x\", USERNAME = \"alice@atlanta.com\"", "alice"),
            ("Digest qop=auth,username=\"a\\\"b\",uri=\"sip:x\"", "a\\\"b"),
            ("Digest\tusername=alice , nonce=\"\"", "alice"),
            ("Digest realm=\"x\"", ""),
            ("Digest realm=\"x", ""),
            ("Digest username", ""),
            ("Digest", ""),
            ("Basic username=\"alice\"", ""),
            ("", ""),
        ] {
            let read = user_name(credentials.as_bytes());
            assert_eq!(std::str::from_utf8(read), Ok(wants), "{credentials}");
        }
    }

    #[test]
    fn parts_of_uris() {
        for (text, who, where_, value) in [
            ("sip:alice@atlanta.com", "alice", "atlanta.com", ""),
            ("sip:alice:secret@atlanta.com:5060;x=7", "alice", "atlanta.com", "7"),
            ("sip:alice@atlanta.com:5061", "alice", "atlanta.com:5061", ""),
            ("sips:alice@atlanta.com:5061;X=8;x=9", "alice", "atlanta.com", "8"),
            ("sip:[2001:db8::1]:5070;y=1;x", "", "[2001:db8::1]:5070", ""),
            ("tel:+4930123456;phone-context=x", "+4930123456", "", ""),
            ("urn:service:sos", "service:sos", "", ""),
        ] {
            let bytes = text.as_bytes();
            let span = Span::new(0, bytes.len());
            let uri = Uri::read(bytes, span).unwrap();
            let read =
                [user(bytes, span, &uri), host_and_port(bytes, &uri), parameter(bytes, &uri, "x")];
            assert_eq!(read.map(String::from_utf8_lossy), [who, where_, value], "{text}");
        }
    }

    #[test]
    fn addresses_as_texts() {
        for (ip, wants) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:1111:2222:3333:4444:5555:6666"),
        ] {
            let mut text = [0; IP_TEXT_MAX];
            assert_eq!(ip_text(ip.parse().unwrap(), &mut text), wants.as_bytes());
        }
    }
}
