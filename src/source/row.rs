//! One record of a source: its fields as they were written, and what is wrong with them.
//!
//! Lines of a list and rows of a table are checked here alike. What Kamailio would take silently and
//! wrongly (a set that is no number, a URI cut at a `#`, a weight out of range) is a mistake. With
//! many of them the destination can still be used, as Kamailio uses it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::values;
use crate::destination::{
    Attributes, DestinationUri, Flags, Host, Origin, Record, SocketName, UriError,
};
use crate::health::{Codes, probe_method, proxy_address};
use crate::limits;
use crate::words::nearest;

/// What is wrong, and what would be right.
pub(super) type Mistake = (String, String);

/// The fields of a record, as texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) set: &'a str,
    pub(super) uri: &'a str,
    pub(super) flags: &'a str,
    pub(super) priority: &'a str,
    pub(super) attributes: &'a str,
}

/// What the fields of a record say.
#[derive(Debug)]
pub(super) struct Reading {
    /// The destination. There may be one with mistakes too: the one that Kamailio reads from the same
    /// fields, without the values that mean nothing.
    pub(super) record: Option<Record>,
    /// Everything that is wrong.
    pub(super) mistakes: Vec<Mistake>,
}

impl Reading {
    /// Nothing can be read, and why.
    pub(super) fn wrong(mistake: Mistake) -> Self {
        Self { record: None, mistakes: vec![mistake] }
    }

    /// The record, when nothing is wrong.
    pub(super) fn strict(self) -> Result<Record, Vec<Mistake>> {
        self.record.filter(|_| self.mistakes.is_empty()).ok_or(self.mistakes)
    }
}

/// Reads the fields of a record; says everything that is wrong with them.
pub(super) fn read(fields: Fields<'_>, origin: Origin) -> Reading {
    let mut mistakes = Vec::new();
    let set = read_set(fields.set, origin).map_err(|mistake| mistakes.push(mistake)).ok();
    let uri = read_uri(fields.uri, origin, &mut mistakes);
    let flags = read_flags(fields.flags, &mut mistakes);
    let priority = read_priority(fields.priority, origin, &mut mistakes);
    let attributes = read_attributes(fields.attributes, &mut mistakes);
    let record = set.zip(uri).zip(flags).zip(priority).zip(attributes).map(
        |((((set, uri), flags), priority), attributes)| Record {
            set,
            uri,
            flags,
            priority,
            attributes,
            origin,
        },
    );
    Reading { record, mistakes }
}

/// What a line should look like.
pub(super) const LINE: &str = "write SET sip:HOST:PORT [FLAGS [PRIORITY [ATTRIBUTES]]]";

fn read_set(text: &str, origin: Origin) -> Result<u32, Mistake> {
    match number(text) {
        Some(set) if set <= u64::from(limits::SET_MAX) => Ok(set as u32),
        _ => {
            let right = match origin {
                Origin::Line(_) => format!("{LINE}, SET a number from 0 to {}", limits::SET_MAX),
                _ => format!("write a number from 0 to {}", limits::SET_MAX),
            };
            Err((format!("{text:?} is not the number of a set"), right))
        }
    }
}

/// The URI. Kamailio passes over a user part, and in a list ends a URI at a `#`.
fn read_uri(text: &str, origin: Origin, mistakes: &mut Vec<Mistake>) -> Option<DestinationUri> {
    let (mut text, whole) = (text, text);
    if text.len() > limits::URI_BYTES_MAX {
        let right = format!("keep it within {} bytes", limits::URI_BYTES_MAX);
        mistakes.push(("the URI is too long".into(), right));
        return None;
    }
    if let Some(at) = text.find('#') {
        mistakes.push((format!("{text:?}: a # in a URI"), "put a blank before a comment".into()));
        if !matches!(origin, Origin::Line(_)) {
            return None;
        }
        text = &text[..at];
    }
    if text.chars().any(char::is_control) {
        mistakes.push((format!("{text:?}: a control character"), "remove it".into()));
        return None;
    }
    let uri = DestinationUri::parse(text).or_else(|error| {
        // The error says both, separated by the last colon and blank before its advice.
        let told = error.to_string();
        mistakes.push(match told.split_once(": ") {
            Some((what, right)) => (format!("{whole:?}: {what}"), right.to_owned()),
            None => (format!("{whole:?}: {told}"), "write sip:HOST:PORT".into()),
        });
        match error {
            UriError::User(host) => DestinationUri::parse(&host),
            error => Err(error),
        }
    });
    let uri = uri.ok()?;
    match uri.host {
        Host::Address(ip) if !is_of_one_machine(ip) => {
            let what = format!("{text:?}: {ip} is not the address of a server");
            mistakes.push((what, "write the server's own address".into()));
            None
        }
        _ => Some(uri),
    }
}

fn is_of_one_machine(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    !ip.is_unspecified() && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST
}

/// The flags. Kamailio keeps bits that mean nothing, and in a table a number may be negative.
fn read_flags(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Flags> {
    let right = "write the sum of 1 inactive, 2 trying, 4 disabled, 8 probing, 16 only NAPTR \
                 and SRV are looked up, 32 no ping, decimal or after 0x";
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let bits = match hex {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()
        }
        Some(_) => None,
        None => match text.strip_prefix('-') {
            Some(digits) => number(digits).map(u64::wrapping_neg),
            None => number(text),
        },
    };
    let Some(bits) = bits else {
        mistakes.push((format!("flags {text:?}: no number"), right.into()));
        return None;
    };
    if bits >= 64 {
        let what = if text.starts_with('-') {
            format!("flags {text}: a negative number")
        } else {
            format!("flags {text}: {} means nothing", bits & !63)
        };
        mistakes.push((what, right.into()));
    }
    Flags::from_bits((bits & 63) as u32)
}

/// The priority. Kamailio reads no minus sign in a list; a column of a table may hold one.
fn read_priority(text: &str, origin: Origin, mistakes: &mut Vec<Mistake>) -> Option<i32> {
    let min = if matches!(origin, Origin::Line(_)) { 0 } else { i32::MIN };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) if min < 0 => (-1, digits),
        _ => (1, text),
    };
    let value = number(digits).map(|value| sign * i64::try_from(value).unwrap_or(i64::MAX));
    let in_range = value.and_then(|value| i32::try_from(value).ok());
    if in_range.is_none() {
        let right = format!("write a number from {min} to {}, the highest goes first", i32::MAX);
        mistakes.push((format!("priority {text:?}: not in range"), right));
    }
    let nearest = value.map(|value| value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32);
    in_range.or(nearest)
}

/// The attributes; `None` when Kamailio would not take the destination either. It only logs a value
/// that is out of range.
fn read_attributes(text: &str, mistakes: &mut Vec<Mistake>) -> Option<Attributes> {
    if text.len() > limits::ATTRIBUTES_BYTES_MAX {
        let right = format!("keep them within {} bytes", limits::ATTRIBUTES_BYTES_MAX);
        mistakes.push(("the attributes are too long".into(), right));
        return None;
    }
    if text.chars().any(char::is_control) {
        mistakes.push(("a control character in the attributes".into(), "remove it".into()));
    }
    // The last good rows are kept one to a line.
    let kept = text.replace(char::is_control, " ");
    let text = kept.as_str();
    let mut attributes = Attributes { text: text.into(), ..Attributes::default() };
    let mut is_usable = true;
    let mut seen = BTreeSet::new();
    let Some(parts) = split_attributes(text) else {
        mistakes.push(("a quoted attribute without its end".into(), "write name=\"value\"".into()));
        return None;
    };
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
            None => (part, None),
        };
        let name = name.to_ascii_lowercase();
        if name.is_empty() {
            mistakes.push((format!("attribute {part:?} has no name"), "write name=value".into()));
            continue;
        }
        let Some((_, kind)) = ATTRIBUTES.iter().find(|(known, _)| *known == name) else {
            if !attributes.unknown.contains(&name) {
                attributes.unknown.push(name);
            }
            continue;
        };
        if !seen.insert(name.clone()) {
            let what = format!("attribute {name} stands twice");
            mistakes.push((what, "write it once".into()));
        }
        let value = value.unwrap_or("");
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let found = kind.read(value);
        if let Some((what, right)) = found.as_ref().err() {
            // rweight=50,maxload=80 is a common slip.
            let comma = value.split_once(',').is_some_and(|(_, more)| more.contains('='));
            let right = if comma { "separate attributes by ;" } else { right };
            mistakes.push((format!("attribute {name}={value}: {what}"), right.into()));
        }
        match kind {
            ValueType::Id if found.is_ok() => attributes.duid = Some(value.into()),
            ValueType::SocketName if found.is_ok() => attributes.sockname = Some(value.into()),
            // Kamailio takes an address without a transport, and no destination with another one.
            ValueType::Socket => match found.or_else(|_| socket_address(&format!("udp:{value}"))) {
                Ok(address) => attributes.socket = address.map(SocketName),
                Err(_) => is_usable = false,
            },
            ValueType::Number(..) if found.is_ok() => {
                let number = number(value).unwrap_or(0);
                // Both fit: they are in range.
                let (small, large) = (Some(number as u8), Some(number as u32));
                match &*name {
                    "weight" => attributes.weight = small,
                    "rweight" => attributes.rweight = small,
                    "maxload" => attributes.maxload = large,
                    "cps" => attributes.calls_per_second = large,
                    "cps_burst" => attributes.burst = large,
                    "latency" => attributes.latency_ms = large,
                    "cc" => attributes.congestion_control = number == 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    // A name that differs in a letter or two from one that we know was probably meant to be it.
    for name in &attributes.unknown {
        let known = ATTRIBUTES.iter().map(|(known, _)| *known);
        if let Some(near) = nearest(name, known).filter(|near| is_slip(name, near)) {
            let what = format!("unknown attribute {name:?}");
            mistakes.push((what, format!("did you mean {near:?}?")));
        }
    }
    is_usable.then_some(attributes)
}

/// Operators keep attributes of their own, so only the plainest slips of long names count.
fn is_slip(name: &str, known: &str) -> bool {
    known.len() >= 6 && strsim::damerau_levenshtein(name, known) == 1
}

/// The parts between semicolons, quoted ones whole; `None` when a quote does not end.
fn split_attributes(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut is_quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b';' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// What the value of an attribute may be.
enum ValueType {
    Number(u64, u64),
    /// What tells a destination apart.
    Id,
    /// The listener that a destination is reached through, by its address or its name.
    Socket,
    SocketName,
    /// The listener that probes leave from.
    OtherSocket,
    Uri,
    /// Where probes are sent instead.
    Proxy,
    /// The method of probes.
    Method,
    /// Status codes that are good answers to probes.
    Codes,
}

impl ValueType {
    /// The address of a socket, when it is one.
    fn read(&self, value: &str) -> Result<Option<SocketAddr>, Mistake> {
        match *self {
            Self::Number(min, max) => match number(value) {
                Some(number) if (min..=max).contains(&number) => Ok(None),
                _ => Err((
                    "not in range".into(),
                    format!("write a number from {min} to {max}, or leave it out"),
                )),
            },
            Self::Id | Self::SocketName if value.is_empty() => {
                Err(("an empty value".into(), "write name=value".into()))
            }
            Self::Id | Self::SocketName => Ok(None),
            Self::Socket | Self::OtherSocket => socket_address(value),
            Self::Proxy => match proxy_address(value) {
                Some(_) => Ok(None),
                None => Err(("does not name an address".into(), "write sip:ADDRESS:PORT".into())),
            },
            Self::Method => match probe_method(value) {
                Some(_) => Ok(None),
                None => Err(("cannot be probed with".into(), "write OPTIONS or INFO".into())),
            },
            Self::Codes => match Codes::parse(value) {
                Some(_) => Ok(None),
                None => Err(("not a list of status codes".into(), "write 404,5xx".into())),
            },
            Self::Uri => {
                let has_scheme = ["sip:", "sips:"].iter().any(|scheme| {
                    value
                        .get(..scheme.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
                        && value.len() > scheme.len()
                });
                if has_scheme {
                    Ok(None)
                } else {
                    Err(("not a SIP URI".into(), "write sip:USER@HOST".into()))
                }
            }
        }
    }
}

/// `udp:ADDRESS:PORT` of an attribute.
fn socket_address(text: &str) -> Result<Option<SocketAddr>, Mistake> {
    values::listen_address(text).map(Some)
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten()
}

const PING_INTERVAL_MS: (u64, u64) =
    (*limits::PROBE_INTERVAL_MS.start(), *limits::PROBE_INTERVAL_MS.end());
const PING_TIMEOUT_MS: (u64, u64) =
    (*limits::PROBE_TIMEOUT_MS.start(), *limits::PROBE_TIMEOUT_MS.end());

const ATTRIBUTES: &[(&str, ValueType)] = &[
    ("duid", ValueType::Id),
    ("maxload", ValueType::Number(0, i32::MAX as u64)),
    ("cps", ValueType::Number(0, limits::CALLS_PER_SECOND_MAX as u64)),
    ("cps_burst", ValueType::Number(1, limits::CALLS_PER_SECOND_MAX as u64)),
    ("weight", ValueType::Number(1, 100)),
    ("rweight", ValueType::Number(1, 100)),
    ("cc", ValueType::Number(0, 1)),
    ("latency", ValueType::Number(0, i32::MAX as u64)),
    ("socket", ValueType::Socket),
    ("sockname", ValueType::SocketName),
    ("ping_socket", ValueType::OtherSocket),
    ("ping_from", ValueType::Uri),
    ("obproxy", ValueType::Proxy),
    ("ping_method", ValueType::Method),
    ("ping_interval_ms", ValueType::Number(PING_INTERVAL_MS.0, PING_INTERVAL_MS.1)),
    ("ping_timeout_ms", ValueType::Number(PING_TIMEOUT_MS.0, PING_TIMEOUT_MS.1)),
    ("ping_reply_codes", ValueType::Codes),
    ("ocmin", ValueType::Number(0, 100)),
    ("ocmax", ValueType::Number(0, 100)),
    ("ocrate", ValueType::Number(0, 100)),
];

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Fields<'_> =
        Fields { set: "1", uri: "sip:192.0.2.1", flags: "0", priority: "0", attributes: "" };

    #[test]
    fn a_row_may_say_more_than_a_line() {
        let fields = Fields { priority: "-7", attributes: "duid=a; weight = 5 ;own=x y", ..RIGHT };
        let record = read(fields, Origin::Row(3)).strict().unwrap();
        assert_eq!(record.priority, -7);
        assert_eq!(record.attributes.duid.as_deref(), Some("a"));
        assert_eq!(record.attributes.unknown, ["own"]);
        assert!(read(fields, Origin::Line(3)).strict().is_err());
    }

    #[test]
    fn the_numbers_of_attributes() {
        let attributes = "Weight=7;rweight=100;maxload=300;latency=20;cc=1;cps=40;CPS_burst=9";
        let read = read(Fields { attributes, ..RIGHT }, Origin::Line(1)).strict().unwrap();
        let wants = Attributes {
            weight: Some(7),
            rweight: Some(100),
            maxload: Some(300),
            calls_per_second: Some(40),
            burst: Some(9),
            latency_ms: Some(20),
            congestion_control: true,
            text: attributes.into(),
            ..Attributes::default()
        };
        assert_eq!(read.attributes, wants);
        let out_of_range = Fields { attributes: "weight=101;rweight=0;cc=2", ..RIGHT };
        let attributes = super::read(out_of_range, Origin::Line(1)).record.unwrap().attributes;
        assert_eq!((attributes.weight, attributes.rweight), (None, None));
        assert!(!attributes.congestion_control);
    }

    #[test]
    fn what_is_wrong() {
        let long = "x".repeat(9_000);
        for (fields, what) in [
            (Fields { set: "-1", ..RIGHT }, "\"-1\" is not the number of a set"),
            (Fields { uri: "", ..RIGHT }, "is not a host"),
            (Fields { uri: &long, ..RIGHT }, "the URI is too long"),
            (Fields { flags: "-1", ..RIGHT }, "flags -1: a negative number"),
            (Fields { priority: "-2147483649", ..RIGHT }, "not in range"),
            (Fields { priority: "--1", ..RIGHT }, "not in range"),
            (Fields { priority: "", ..RIGHT }, "not in range"),
            (Fields { attributes: &long, ..RIGHT }, "the attributes are too long"),
        ] {
            let mistakes = read(fields, Origin::Row(1)).strict().unwrap_err();
            assert!(mistakes[0].0.contains(what), "{mistakes:?}");
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        }
    }

    /// What Kamailio serves is served, and named.
    #[test]
    fn what_is_used_all_the_same() {
        for attributes in [
            "weight=0",
            "rweight=101",
            "weight=x;cc=2;maxload=-1;latency=1.5",
            "cps=1000001;cps_burst=0",
            "ocmin=900;ocmax=;ocrate=-1",
            "rweight=50,maxload=80",
            "ping_socket=eth0;ping_from=nobody;obproxy=sip:proxy.example.com",
            "ping_interval_ms=50;ping_timeout_ms=x;ping_reply_codes=501;403;ping_method=INVITE",
            "duid=a;duid=a",
            "duid=",
            "=5",
            "wieght=5",
            "socket=192.0.2.8:5060",
            "a=\u{1}b",
        ] {
            let reading = read(Fields { attributes, ..RIGHT }, Origin::Row(1));
            assert!(!reading.mistakes.is_empty(), "{attributes}");
            let record = reading.record.unwrap_or_else(|| panic!("{attributes}"));
            assert!(!record.attributes.text.contains(char::is_control));
            let socket = record.attributes.socket.map(|socket| socket.0.to_string());
            assert_eq!(socket.is_some(), attributes.starts_with("socket"), "{attributes}");
        }
        for (flags, bits) in [("64", 0), ("0x48", 8), ("-60", 4), ("99999999999", 63)] {
            let record = read(Fields { flags, ..RIGHT }, Origin::Row(1)).record;
            assert_eq!(record.unwrap().flags.bits(), bits, "{flags}");
        }
        let high = Fields { priority: "4294967296", ..RIGHT };
        assert_eq!(read(high, Origin::Row(1)).record.unwrap().priority, i32::MAX);
        let user = Fields { uri: "sip:user@192.0.2.1", ..RIGHT };
        assert_eq!(read(user, Origin::Row(1)).record.unwrap().uri.text, "sip:192.0.2.1");
        // Kamailio leaves these out too.
        for attributes in ["socket=tls:192.0.2.8:5060", "socket=eth0", "x=\"a"] {
            assert!(read(Fields { attributes, ..RIGHT }, Origin::Row(1)).record.is_none());
        }
    }
}
