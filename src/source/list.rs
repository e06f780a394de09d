//! Kamailio's `dispatcher.list`: one destination per line.
//!
//! It is read as Kamailio reads it, except that what Kamailio would take silently and wrongly (a
//! set that is no number, a URI cut at a `#`, a weight out of range) is a mistake with its line.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::socket_attribute;
use crate::config::{Problem, in_order, read_at_most};
use crate::destination::{Attributes, DestinationUri, Flags, Host, Origin, Record, SocketName};
use crate::limits;
use crate::words::nearest;

/// A list that was read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct List {
    /// Sets ascending, in each the highest priority first, then as listed.
    pub records: Vec<Record>,
    /// Names of attributes that we do not know, each once.
    pub unknown: Vec<String>,
    /// There was not a single byte to read.
    pub is_blank: bool,
}

/// Reads a list from a file.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines.
pub fn read(path: &Path) -> Result<List, Vec<Problem>> {
    let name = path.display().to_string();
    let bytes = read_at_most(path, limits::LIST_BYTES_MAX)
        .map_err(|(what, right)| vec![Problem::of(&name, what, right)])?;
    parse(&name, &bytes)
}

/// Reads a list; `file` is what problems call it.
///
/// ```text
/// line   = [ set blanks uri [ blanks flags [ blanks priority [ blanks attributes ] ] ] ] [ comment ]
/// flags  = decimal, or hexadecimal after 0x;  attributes = name=value *( ";" name=value )
/// comment = "#" anything, at the line's start or after a blank
/// ```
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines.
pub fn parse(file: &str, bytes: &[u8]) -> Result<List, Vec<Problem>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut records = Vec::new();
    let mut unknown = BTreeSet::new();
    let mut seen = HashMap::new();
    let mut problems = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line_number = at + 1;
        let mut wrong = |mistakes: Vec<Mistake>| {
            let told = mistakes
                .into_iter()
                .map(|(what, right)| Problem::at(file, line_number, what, right));
            problems.extend(told);
        };
        match read_line(line, line_number) {
            Ok(None) => {}
            Ok(Some(record)) => {
                let identity = (
                    record.set,
                    record.uri.host.clone(),
                    record.uri.port_or_default(),
                    record.attributes.socket,
                );
                if let Some(first) = seen.insert(identity, line_number) {
                    let what = format!(
                        "{} is in set {} already, on line {first}",
                        record.uri.text, record.set
                    );
                    wrong(vec![(what, "list a destination once in a set".into())]);
                    continue;
                }
                unknown.extend(record.attributes.unknown.iter().cloned());
                records.push(record);
            }
            Err(mistakes) => wrong(mistakes),
        }
    }
    if !problems.is_empty() {
        return Err(in_order(problems));
    }
    // The sort is stable: what is equal stays as listed.
    records.sort_by_key(|record: &Record| (record.set, std::cmp::Reverse(record.priority)));
    let unknown = unknown.into_iter().collect();
    Ok(List { records, unknown, is_blank: bytes.is_empty() })
}

type Mistake = (String, String);

fn read_line(line: &[u8], line_number: usize) -> Result<Option<Record>, Vec<Mistake>> {
    let line = without_comment(line);
    let Ok(line) = std::str::from_utf8(line) else {
        return Err(vec![("not UTF-8".into(), "save the list as UTF-8".into())]);
    };
    let fields = line.split_ascii_whitespace().collect::<Vec<_>>();
    let (set, uri, rest) = match *fields.as_slice() {
        [] => return Ok(None),
        [set] => {
            let what = format!("only {set:?} on this line");
            return Err(vec![(what, LINE.into())]);
        }
        [set, uri, ref rest @ ..] => (set, uri, rest),
    };
    let mut mistakes = Vec::new();
    if line.contains('\0') {
        mistakes.push(("a zero byte".into(), "remove it".into()));
    }
    if rest.len() > 3 {
        let what = format!("{:?} after the attributes", rest[3]);
        let right = "write attributes without blanks, name=value;name=value, and comments after #";
        mistakes.push((what, right.into()));
    }
    let mut note = |mistake: Mistake| mistakes.push(mistake);
    let set = read_set(set).map_err(&mut note);
    let uri = read_uri(uri).map_err(&mut note);
    let flags = read_flags(rest.first().unwrap_or(&"0")).map_err(&mut note);
    let priority = read_priority(rest.get(1).unwrap_or(&"0")).map_err(&mut note);
    let attributes = match rest.get(2) {
        Some(text) => read_attributes(text, &mut mistakes),
        None => Attributes::default(),
    };
    match (set, uri, flags, priority) {
        (Ok(set), Ok(uri), Ok(flags), Ok(priority)) if mistakes.is_empty() => Ok(Some(Record {
            set,
            uri,
            flags,
            priority,
            attributes,
            origin: Origin::Line(line_number),
        })),
        _ => Err(mistakes),
    }
}

/// A `#` inside a word does not begin a comment: attributes may hold one.
fn without_comment(line: &[u8]) -> &[u8] {
    let is_start = |at: usize| at == 0 || line[at - 1].is_ascii_whitespace();
    let start = memchr::memchr_iter(b'#', line).find(|at| is_start(*at));
    &line[..start.unwrap_or(line.len())]
}

fn read_set(text: &str) -> Result<u32, Mistake> {
    match number(text) {
        Some(set) if set <= u64::from(limits::SET_MAX) => Ok(set as u32),
        _ => {
            let right = format!("{LINE}, SET a number from 0 to {}", limits::SET_MAX);
            Err((format!("{text:?} is not the number of a set"), right))
        }
    }
}

fn read_uri(text: &str) -> Result<DestinationUri, Mistake> {
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

fn read_priority(text: &str) -> Result<i32, Mistake> {
    number(text).and_then(|priority| i32::try_from(priority).ok()).ok_or_else(|| {
        let right = format!("write a number from 0 to {}, the highest goes first", i32::MAX);
        (format!("priority {text:?}: not in range"), right)
    })
}

fn read_attributes(text: &str, mistakes: &mut Vec<Mistake>) -> Attributes {
    let mut attributes = Attributes { text: text.into(), ..Attributes::default() };
    let mut seen = BTreeSet::new();
    if text.chars().any(char::is_control) {
        mistakes.push(("a control character in the attributes".into(), "remove it".into()));
    }
    let Some(parts) = split_attributes(text) else {
        mistakes.push(("a quoted attribute without its end".into(), "write name=\"value\"".into()));
        return attributes;
    };
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
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
            Self::Socket => Ok(Some(SocketName(socket_attribute(value)?))),
            Self::OtherSocket => socket_attribute(value).map(|_| None),
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

/// Decimal digits and nothing else.
fn number(text: &str) -> Option<u64> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok()).flatten()
}

const LINE: &str = "write SET sip:HOST:PORT [FLAGS [PRIORITY [ATTRIBUTES]]]";

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
    use proptest::prelude::*;

    use super::*;

    fn uris(list: &List) -> Vec<String> {
        list.records.iter().map(|record| format!("{} {}", record.set, record.uri.text)).collect()
    }

    #[test]
    fn lines_that_are_right() {
        for (says, text, wants) in [
            ("an empty file", "", &[][..]),
            ("only comments", "# a\n\n  # b\r\n", &[]),
            (
                "as listed within one priority",
                "1 sip:192.0.2.3\n1 sip:192.0.2.1\n1 sip:192.0.2.2\n",
                &["1 sip:192.0.2.3", "1 sip:192.0.2.1", "1 sip:192.0.2.2"],
            ),
            (
                "sets ascending, the highest priority first",
                "2 sip:192.0.2.1 0 5\n1 sip:192.0.2.1 0 1\n1 sip:192.0.2.2 0 10\n",
                &["1 sip:192.0.2.2", "1 sip:192.0.2.1", "2 sip:192.0.2.1"],
            ),
            (
                "tabs, CRLF, a byte order mark and no line end",
                "\u{feff}1\tsip:a.example:5070\t0x8\r\n  1   192.0.2.1  0  0  weight=50 # the big one",
                &["1 sip:a.example:5070", "1 sip:192.0.2.1"],
            ),
            (
                "the same server by two sockets",
                "1 sip:192.0.2.1 0 0 socket=udp:192.0.2.8:5060\n1 sip:192.0.2.1\n",
                &["1 sip:192.0.2.1", "1 sip:192.0.2.1"],
            ),
            (
                "IPv6, a scheme in capitals, transport udp",
                "1 SIP:[2001:db8::1]:5060;transport=UDP\n",
                &["1 SIP:[2001:db8::1]:5060;transport=UDP"],
            ),
        ] {
            let list = parse("f", text.as_bytes()).unwrap_or_else(|p| panic!("{says}: {p:?}"));
            assert_eq!(uris(&list), wants, "{says}");
        }
    }

    #[test]
    fn every_field_of_a_line() {
        let text = "3 sip:a.example:5070 0x28 7 Weight=50;prefix=4\"9;x\";socket=udp:192.0.2.8:5060;own#1;\n";
        let list = parse("f", text.as_bytes()).unwrap();
        let record = &list.records[0];
        assert_eq!(record.set, 3);
        assert_eq!(record.uri.host, Host::Name("a.example".into()));
        assert_eq!(record.flags.bits(), 0x28);
        assert_eq!(record.priority, 7);
        assert_eq!(record.origin, Origin::Line(1));
        let socket = record.attributes.socket.unwrap();
        assert_eq!(socket.0, "192.0.2.8:5060".parse().unwrap());
        assert_eq!(record.attributes.unknown, ["prefix", "own#1"]);
        assert_eq!(list.unknown, ["own#1", "prefix"]);
    }

    const WRONG_LINES: &[(&str, &str, &str)] = &[
        ("x sip:192.0.2.1", "\"x\" is not the number of a set", "write SET"),
        ("-1 sip:192.0.2.1", "\"-1\" is not the number", "0 to 2147483647"),
        ("4294967296 sip:192.0.2.1", "is not the number", "0 to 2147483647"),
        ("sip:192.0.2.1 0", "\"sip:192.0.2.1\" is not the number of a set", "write SET"),
        ("1", "only \"1\" on this line", "write SET sip:HOST:PORT"),
        ("1 sip:192.0.2.1#old", "a # in a URI", "a blank before a comment"),
        ("1 sip:192.0.2.1:0", "is not a port", "1 to 65535"),
        ("1 sip:192.0.2.300", "is not a host", "write sip:HOST:PORT"),
        ("1 sip:2001:db8::1", "is not", "write"),
        ("1 sip:[[2001:db8::1]", "is not a host", "in brackets"),
        ("1 sips:a.example", "scheme \"sips\" is not supported", "write sip:"),
        ("1 sip:a.example;transport=tcp", "transport \"tcp\" is not supported", "udp"),
        ("1 sip:a.example;x=\u{1b}[2J", "a control character", "remove it"),
        ("1 sip:user@192.0.2.1", "no user part", "write sip:192.0.2.1"),
        ("1 sip:0.0.0.0", "not the address of a server", "own address"),
        ("1 sip:[ff02::1]", "not the address of a server", "own address"),
        ("1 sip:192.0.2.1 64", "flags 64: 64 means nothing", "sum of 1 inactive"),
        ("1 sip:192.0.2.1 0xzz", "flags \"0xzz\": no number", "sum of"),
        ("1 sip:192.0.2.1 AX", "flags \"AX\": no number", "sum of"),
        ("1 sip:192.0.2.1 0 -1", "priority \"-1\"", "0 to 2147483647"),
        ("1 sip:192.0.2.1 0 weight=5", "priority \"weight=5\"", "0 to"),
        ("1 sip:192.0.2.1 0 0 weight=0", "attribute weight=0", "1 to 100"),
        ("1 sip:192.0.2.1 0 0 weight=101", "attribute weight=101", "1 to 100"),
        (
            "1 sip:192.0.2.1 0 0 rweight=50,maxload=80",
            "attribute rweight",
            "separate attributes by ;",
        ),
        ("1 sip:192.0.2.1 0 0 socket=192.0.2.8:5060", "lacks the transport", "udp:192.0.2.8:5060"),
        ("1 sip:192.0.2.1 0 0 socket=tls:192.0.2.8:5060", "not available", "udp:"),
        ("1 sip:192.0.2.1 0 0 sockname=a", "not available", "socket=udp:"),
        (
            "1 sip:192.0.2.1 0 0 wieght=5",
            "unknown attribute \"wieght\"",
            "did you mean \"weight\"?",
        ),
        ("1 sip:192.0.2.1 0 0 weight=5;weight=6", "stands twice", "once"),
        ("1 sip:192.0.2.1 0 0 =5", "has no name", "name=value"),
        ("1 sip:192.0.2.1 0 0 x=\"a;b", "without its end", "name=\"value\""),
        ("1 sip:192.0.2.1 0 0 a=1; b=2", "\"b=2\" after the attributes", "without blanks"),
    ];

    #[test]
    fn lines_that_are_wrong() {
        for (line, what, right) in WRONG_LINES {
            let problems = parse("f", format!("# first\n{line}\n").as_bytes()).unwrap_err();
            let found = problems
                .iter()
                .any(|p| p.line == Some(2) && p.what.contains(what) && p.right.contains(right));
            assert!(found, "{line}: {problems:?}");
        }
    }

    #[test]
    fn all_mistakes_at_once() {
        let text = "x sip:192.0.2.1 99\n1 sip:192.0.2.1\n1 sip:192.0.2.1:5060\n1 \u{e9}\n";
        let problems = parse("d.list", text.as_bytes()).unwrap_err();
        let lines = problems.iter().map(|p| p.line.unwrap()).collect::<Vec<_>>();
        assert_eq!(lines, [1, 1, 3, 4], "{problems:?}");
        let wants = "d.list:3: sip:192.0.2.1:5060 is in set 1 already, on line 2: list a destination once in a set";
        assert_eq!(problems[2].to_string(), wants);
        let latin_1 = parse("f", b"1 sip:192.0.2.1 # caf\xe9\n1 sip:b\xe9\n").unwrap_err();
        assert_eq!(latin_1[0].line, Some(2), "a comment may be in any encoding");
    }

    #[test]
    fn a_long_line_is_read_whole() {
        let text = format!("1 sip:192.0.2.1 0 0 note={}\n", "x".repeat(5_000));
        assert_eq!(parse("f", text.as_bytes()).unwrap().records.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse("f", &bytes);
        }

        #[test]
        fn lines_made_of_likely_pieces(text in "([0-9]{1,11}|sip:|a|\\[|:|;|=|#|\"|0x|weight|socket|udp| |\t|\r|\n){0,40}") {
            if let Ok(list) = parse("f", text.as_bytes()) {
                let order = list.records.iter().map(|r| (r.set, std::cmp::Reverse(r.priority)));
                prop_assert!(order.is_sorted());
            }
        }
    }
}
