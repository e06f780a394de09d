//! One record of a source: its fields as they were written, and what is wrong with them.
//!
//! Lines of a list and rows of a table are checked here alike. What Kamailio would take silently and
//! wrongly (a set that is no number, a URI cut at a `#`, a weight out of range) is a mistake.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::values;
use crate::destination::{Attributes, DestinationUri, Flags, Host, Origin, Record, SocketName};
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

/// Reads the fields of a record; says everything that is wrong with them.
pub(super) fn read(fields: Fields<'_>, origin: Origin) -> Result<Record, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut note = |mistake: Mistake| mistakes.push(mistake);
    let set = read_set(fields.set, origin).map_err(&mut note);
    let uri = read_uri(fields.uri).map_err(&mut note);
    let flags = read_flags(fields.flags).map_err(&mut note);
    let priority = read_priority(fields.priority, origin).map_err(&mut note);
    let attributes = read_attributes(fields.attributes, &mut mistakes);
    match (set, uri, flags, priority) {
        (Ok(set), Ok(uri), Ok(flags), Ok(priority)) if mistakes.is_empty() => {
            Ok(Record { set, uri, flags, priority, attributes, origin })
        }
        _ => Err(mistakes),
    }
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

fn read_uri(text: &str) -> Result<DestinationUri, Mistake> {
    if text.len() > limits::URI_BYTES_MAX {
        let right = format!("keep it within {} bytes", limits::URI_BYTES_MAX);
        return Err(("the URI is too long".into(), right));
    }
    if text.contains('#') {
        return Err((format!("{text:?}: a # in a URI"), "put a blank before a comment".into()));
    }
    if text.chars().any(char::is_control) {
        return Err((format!("{text:?}: a control character"), "remove it".into()));
    }
    let uri = DestinationUri::parse(text).map_err(|error| {
        // The error says both, separated by the last colon and blank before its advice.
        let told = error.to_string();
        match told.split_once(": ") {
            Some((what, right)) => (format!("{text:?}: {what}"), right.to_owned()),
            None => (format!("{text:?}: {told}"), "write sip:HOST:PORT".into()),
        }
    })?;
    match uri.host {
        Host::Address(ip) if !is_of_one_machine(ip) => Err((
            format!("{text:?}: {ip} is not the address of a server"),
            "write the server's own address".into(),
        )),
        _ => Ok(uri),
    }
}

fn is_of_one_machine(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    !ip.is_unspecified() && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST
}

fn read_flags(text: &str) -> Result<Flags, Mistake> {
    let right = "write the sum of 1 inactive, 2 trying, 4 disabled, 8 probing, 16 no DNS lookup, \
                 32 no ping, decimal or after 0x";
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let bits = match hex {
        Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()
        }
        Some(_) => None,
        None => number(text).and_then(|bits| bits.try_into().ok()),
    };
    let bits = bits.ok_or_else(|| (format!("flags {text:?}: no number"), right.to_owned()))?;
    Flags::from_bits(bits).ok_or_else(|| {
        let what = format!("flags {text}: {} means nothing", bits & !63);
        (what, right.to_owned())
    })
}

/// Kamailio reads no minus sign in a list; a column of a table may hold one.
fn read_priority(text: &str, origin: Origin) -> Result<i32, Mistake> {
    let (magnitude, min) = match (origin, text.strip_prefix('-')) {
        (Origin::Line(_), _) => (number(text), 0),
        (_, Some(digits)) => (number(digits), i32::MIN),
        (_, None) => (number(text), i32::MIN),
    };
    let value = magnitude.and_then(|value| i64::try_from(value).ok());
    let value = value.map(|value| if text.starts_with('-') { -value } else { value });
    value.and_then(|priority| i32::try_from(priority).ok()).ok_or_else(|| {
        let right = format!("write a number from {min} to {}, the highest goes first", i32::MAX);
        (format!("priority {text:?}: not in range"), right)
    })
}

fn read_attributes(text: &str, mistakes: &mut Vec<Mistake>) -> Attributes {
    if text.len() > limits::ATTRIBUTES_BYTES_MAX {
        let right = format!("keep them within {} bytes", limits::ATTRIBUTES_BYTES_MAX);
        mistakes.push(("the attributes are too long".into(), right));
        return Attributes::default();
    }
    let mut attributes = Attributes { text: text.into(), ..Attributes::default() };
    let mut seen = BTreeSet::new();
    if text.chars().any(char::is_control) {
        mistakes.push(("a control character in the attributes".into(), "remove it".into()));
    }
    let Some(parts) = split_attributes(text) else {
        mistakes.push(("a quoted attribute without its end".into(), "write name=\"value\"".into()));
        return attributes;
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
            continue;
        }
        let value = value.unwrap_or("");
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        if name == "duid" && !value.is_empty() {
            attributes.duid = Some(value.into());
        }
        match kind.read(value) {
            Ok(Some(socket)) => attributes.socket = Some(socket),
            Ok(None) => {}
            Err((what, right)) => {
                // rweight=50,maxload=80 is a common slip.
                let comma = value.split_once(',').is_some_and(|(_, more)| more.contains('='));
                let right = if comma { "separate attributes by ;".into() } else { right };
                mistakes.push((format!("attribute {name}={value}: {what}"), right));
            }
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
    attributes
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
enum Kind {
    Number(u64, u64),
    Text,
    Socket,
    /// A socket for probes, read but not used.
    OtherSocket,
    Uri,
    Later(&'static str),
}

impl Kind {
    fn read(&self, value: &str) -> Result<Option<SocketName>, Mistake> {
        match *self {
            Self::Number(min, max) => match number(value) {
                Some(number) if (min..=max).contains(&number) => Ok(None),
                _ => Err((
                    "not in range".into(),
                    format!("write a number from {min} to {max}, or leave it out"),
                )),
            },
            Self::Text if value.is_empty() => {
                Err(("an empty value".into(), "write name=value".into()))
            }
            Self::Text => Ok(None),
            Self::Socket => Ok(Some(SocketName(socket_address(value)?))),
            Self::OtherSocket => socket_address(value).map(|_| None),
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
            Self::Later(instead) => {
                Err(("is not available in this version".into(), instead.into()))
            }
        }
    }
}

/// `udp:ADDRESS:PORT` of an attribute.
fn socket_address(text: &str) -> Result<SocketAddr, Mistake> {
    values::listen_address(text)
}

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten()
}

const ATTRIBUTES: &[(&str, Kind)] = &[
    ("duid", Kind::Text),
    ("maxload", Kind::Number(0, i32::MAX as u64)),
    ("weight", Kind::Number(1, 100)),
    ("rweight", Kind::Number(1, 100)),
    ("cc", Kind::Number(0, 1)),
    ("latency", Kind::Number(0, i32::MAX as u64)),
    ("socket", Kind::Socket),
    ("sockname", Kind::Later("write socket=udp:ADDRESS:PORT")),
    ("ping_socket", Kind::OtherSocket),
    ("ping_from", Kind::Uri),
    ("obproxy", Kind::Uri),
    ("ocmin", Kind::Number(0, 100)),
    ("ocmax", Kind::Number(0, 100)),
    ("ocrate", Kind::Number(0, 100)),
];

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Fields<'_> =
        Fields { set: "1", uri: "sip:192.0.2.1", flags: "0", priority: "0", attributes: "" };

    #[test]
    fn a_row_may_say_more_than_a_line() {
        let fields = Fields { priority: "-7", attributes: "duid=a; weight = 5 ;own=x y", ..RIGHT };
        let record = read(fields, Origin::Row(3)).unwrap();
        assert_eq!(record.priority, -7);
        assert_eq!(record.attributes.duid.as_deref(), Some("a"));
        assert_eq!(record.attributes.unknown, ["own"]);
        assert!(read(fields, Origin::Line(3)).is_err());
    }

    #[test]
    fn what_is_wrong() {
        let long = "x".repeat(9_000);
        for (fields, what) in [
            (Fields { set: "-1", ..RIGHT }, "\"-1\" is not the number of a set"),
            (Fields { uri: "", ..RIGHT }, "is not a host"),
            (Fields { uri: &long, ..RIGHT }, "the URI is too long"),
            (Fields { flags: "-1", ..RIGHT }, "flags \"-1\": no number"),
            (Fields { priority: "-2147483649", ..RIGHT }, "not in range"),
            (Fields { priority: "--1", ..RIGHT }, "not in range"),
            (Fields { priority: "", ..RIGHT }, "not in range"),
            (Fields { attributes: &long, ..RIGHT }, "the attributes are too long"),
        ] {
            let mistakes = read(fields, Origin::Row(1)).unwrap_err();
            assert!(mistakes[0].0.contains(what), "{mistakes:?}");
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        }
    }
}
