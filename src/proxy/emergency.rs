//! Emergency calls: which calls limits do not refuse.
//!
//! A call is an emergency call if its Request-URI is the service URN of one (RFC 5031), if it is for a
//! configured number, or if a configured source marks it with a configured Resource-Priority (RFC
//! 4412). This file looks at a Request-URI or a header and decides nothing.

use super::prefix::Prefix;
use super::{Arrival, Core};
use crate::limits;
use crate::message::{Method, Rows, Span, StartLine, trim};
use crate::sync::{AtomicU64, Ordering};

/// Which calls are emergency calls, besides those to `urn:service:sos`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Emergency {
    /// The called numbers, without separators.
    pub numbers: Vec<String>,
    /// The values of Resource-Priority.
    pub resource_priority: Vec<String>,
    /// Who may send these values.
    pub resource_priority_from: Vec<Prefix>,
    /// How many calls per second of one source may pass a limit; 0 means that none may.
    pub per_source: u32,
}

/// What makes a call an emergency call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EmergencyBy {
    /// Its Request-URI is `urn:service:sos`, or a more specific one.
    Service,
    /// The number that it is for.
    Number,
    /// Its Resource-Priority.
    ResourcePriority,
}

/// Emergency calls that came to a limit.
#[derive(Debug, Default)]
pub struct EmergencyCounters {
    passed: AtomicU64,
    over_ceiling: AtomicU64,
}

impl EmergencyCounters {
    /// Counts one of them. It passes the limit, or its source had too many that did.
    pub(super) fn count(&self, passes: bool) {
        // Relaxed: numbers, which order nothing.
        let counter = if passes { &self.passed } else { &self.over_ceiling };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many passed a limit.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Returns how many were treated like other calls, because too many of their source had passed.
    pub fn over_ceiling(&self) -> u64 {
        self.over_ceiling.load(Ordering::Relaxed)
    }
}

impl Core {
    /// Returns what makes the message an emergency call.
    pub(super) fn emergency(&self, at: &Arrival) -> Option<EmergencyBy> {
        let emergency = &at.snapshot.policy.emergency;
        let StartLine::Request { uri, .. } = self.message.start_line else { return None };
        let is_call = self.message.method == Method::Invite && self.message.to_tag.is_none();
        if !is_call || emergency.per_source == 0 {
            return None;
        }
        let source = at.flow.peer.ip();
        emergency.by_uri(uri.of(at.bytes)).or_else(|| {
            let is_trusted = emergency.resource_priority_from.iter().any(|p| p.contains(source));
            let is_marked = is_trusted && emergency.is_in_header(at.bytes, self.message.rows_start);
            is_marked.then_some(EmergencyBy::ResourcePriority)
        })
    }
}

impl Default for Emergency {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            resource_priority: Vec::new(),
            resource_priority_from: Vec::new(),
            per_source: limits::EMERGENCY_PER_SOURCE_DEFAULT,
        }
    }
}

impl Emergency {
    /// Returns what of this Request-URI makes its call an emergency call.
    pub(super) fn by_uri(&self, uri: &[u8]) -> Option<EmergencyBy> {
        if is_service(uri) {
            return Some(EmergencyBy::Service);
        }
        if self.numbers.is_empty() {
            return None;
        }
        let called = number_of(uri)?;
        let is_called = |number: &String| {
            let called = called.iter().filter(|byte| !is_separator(**byte));
            number.as_bytes().iter().eq(called)
        };
        self.numbers.iter().any(is_called).then_some(EmergencyBy::Number)
    }

    // Resource-Priority = "Resource-Priority" HCOLON r-value *( COMMA r-value )
    /// Returns whether the header has one of the values. It reads the header again, which only a call
    /// over a limit is worth.
    pub(super) fn is_in_header(&self, bytes: &[u8], rows_start: usize) -> bool {
        let is_value = |value: &[u8]| {
            let value = value.trim_ascii();
            self.resource_priority.iter().any(|ours| value.eq_ignore_ascii_case(ours.as_bytes()))
        };
        Rows::new(bytes, rows_start).any(|row| {
            let name = Span::new(row.whole.start(), row.value.start()).of(bytes);
            let name = name.strip_suffix(b":").unwrap_or_default().trim_ascii_end();
            name.eq_ignore_ascii_case(b"resource-priority")
                && trim(bytes, row.value).of(bytes).split(|byte| *byte == b',').any(is_value)
        })
    }
}

// service-URN = "URN:service:" top-level *( "." sub-service )
/// Returns whether a URI is `urn:service:sos`, or a more specific one such as `urn:service:sos.fire`.
fn is_service(uri: &[u8]) -> bool {
    let Some((start, rest)) = uri.split_at_checked(SOS.len()) else { return false };
    start.eq_ignore_ascii_case(SOS) && matches!(rest.first(), None | Some(b'.'))
}

/// Returns the number in a `tel:` URI, or the user of a `sip:` URI, without its parameters.
fn number_of(uri: &[u8]) -> Option<&[u8]> {
    let colon = uri.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = (&uri[..colon], &uri[colon + 1..]);
    let is = |name: &[u8]| scheme.eq_ignore_ascii_case(name);
    let user = if is(b"tel") {
        rest
    } else if is(b"sip") || is(b"sips") {
        &rest[..rest.iter().position(|byte| *byte == b'@')?]
    } else {
        return None;
    };
    user.split(|byte| matches!(byte, b';' | b':')).next()
}

// visual-separator = "-" / "." / "(" / ")"
pub(crate) fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'(' | b')')
}

const SOS: &[u8] = b"urn:service:sos";

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn request_uris() {
        let emergency = Emergency {
            numbers: ["112", "+4930112", "*31#"].map(str::to_owned).into(),
            ..Emergency::default()
        };
        for (uri, wants) in [
            ("urn:service:sos", Some(EmergencyBy::Service)),
            ("URN:Service:SOS.Fire", Some(EmergencyBy::Service)),
            ("urn:service:sos.ecall.manual", Some(EmergencyBy::Service)),
            ("urn:service:sosx", None),
            ("urn:service:so", None),
            ("urn:service:test.sos", None),
            ("sip:urn:service:sos@example.com", None),
            ("tel:112", Some(EmergencyBy::Number)),
            ("TEL:1-1.2;phone-context=+49", Some(EmergencyBy::Number)),
            ("sip:112@example.com", Some(EmergencyBy::Number)),
            ("sips:112;cic=5@example.com;user=phone", Some(EmergencyBy::Number)),
            ("sip:112:secret@example.com", Some(EmergencyBy::Number)),
            ("sip:+49(30)112@example.com", Some(EmergencyBy::Number)),
            ("sip:*31#@example.com", Some(EmergencyBy::Number)),
            ("tel:+112", None),
            ("tel:1120", None),
            ("tel:11", None),
            ("tel:", None),
            ("sip:112", None),
            ("sip:example.com", None),
            ("http:112@example.com", None),
            ("112", None),
            ("", None),
        ] {
            assert_eq!(emergency.by_uri(uri.as_bytes()), wants, "{uri}");
            let of_service = wants.filter(|by| *by == EmergencyBy::Service);
            assert_eq!(
                Emergency::default().by_uri(uri.as_bytes()),
                of_service,
                "{uri}, no numbers"
            );
        }
    }

    #[test]
    fn resource_priorities() {
        let values = ["esnet.0", "wps.1"].map(str::to_owned).into();
        let emergency = Emergency { resource_priority: values, ..Emergency::default() };
        for (rows, wants) in [
            ("Resource-Priority: esnet.0\r\n", true),
            ("RESOURCE-PRIORITY :ESNET.0\r\n", true),
            ("Resource-Priority: dsn.flash , wps.1\r\n", true),
            ("Resource-Priority: dsn.flash,\r\n wps.1\r\n", true),
            ("Resource-Priority: dsn.flash\r\nA: b\r\nResource-Priority: wps.1\r\n", true),
            ("Resource-Priority: esnet.01\r\n", false),
            ("Resource-Priority:\r\n", false),
            ("Accept-Resource-Priority: esnet.0\r\n", false),
            ("X: Resource-Priority: esnet.0\r\n", false),
            ("\r\nResource-Priority: esnet.0\r\n", false),
            ("", false),
        ] {
            let header = format!("{rows}\r\n");
            assert_eq!(emergency.is_in_header(header.as_bytes(), 0), wants, "{rows:?}");
        }
        let none = Emergency::default();
        assert!(!none.is_in_header(b"Resource-Priority: esnet.0\r\n\r\n", 0));
    }
}
