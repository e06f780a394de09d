//! Kamailio's `dispatcher.list`: one destination per line.
//!
//! It is read as Kamailio reads it, except that a line that Kamailio would take silently and wrongly
//! is a mistake with its number.

use std::path::Path;

use super::records::Records;
use super::row::{self, Fields, LINE, Reading};
use crate::config::{LoadMode, Problem, read_at_most};
use crate::destination::{Origin, Record};
use crate::limits;

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
    parse(&path.display().to_string(), &bytes_of(path)?)
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
    let kept = lines(file, bytes).finish(LoadMode::All)?;
    let unknown = super::records::unknown_attributes(&kept.records);
    Ok(List { records: kept.records, unknown, is_blank: is_blank(bytes) })
}

/// The bytes of a list.
pub(super) fn bytes_of(path: &Path) -> Result<Vec<u8>, Vec<Problem>> {
    let problem = |(what, right)| vec![Problem::of(&path.display().to_string(), what, right)];
    read_at_most(path, limits::LIST_BYTES_MAX).map_err(problem)
}

/// Whether there is not a single byte to read.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    without_mark(bytes).is_empty()
}

/// The lines of a list, good and bad.
pub(super) fn lines(file: &str, bytes: &[u8]) -> Records {
    let mut records = Records::new(file);
    for (at, line) in without_mark(bytes).split(|byte| *byte == b'\n').enumerate() {
        let line_number = at + 1;
        if let Some(reading) = read_line(line, line_number) {
            records.read(Origin::Line(line_number), reading);
        }
    }
    records
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// One line, without the end of it; `None` when it holds no record.
pub(super) fn read_line(line: &[u8], line_number: usize) -> Option<Reading> {
    let line = without_comment(line);
    let Ok(line) = std::str::from_utf8(line) else {
        return Some(Reading::wrong(("not UTF-8".into(), "save the list as UTF-8".into())));
    };
    let fields = line.split_ascii_whitespace().collect::<Vec<_>>();
    let origin = Origin::Line(line_number);
    let mut mistakes = Vec::new();
    if line.contains('\0') {
        return Some(Reading::wrong(("a zero byte".into(), "remove it".into())));
    }
    let (set, uri, rest) = match *fields.as_slice() {
        [] => return None,
        [set] => {
            mistakes.push((format!("only {set:?} on this line"), LINE.into()));
            (set, "", &[][..])
        }
        [set, uri, ref rest @ ..] => (set, uri, rest),
    };
    if rest.len() > 3 {
        let what = format!("{:?} after the attributes", rest[3]);
        let right = "write attributes without blanks, name=value;name=value, and comments after #";
        mistakes.push((what, right.into()));
    }
    if !uri.is_empty() {
        let fields = Fields {
            set,
            uri,
            flags: rest.first().unwrap_or(&"0"),
            priority: rest.get(1).unwrap_or(&"0"),
            attributes: rest.get(2).unwrap_or(&""),
        };
        let reading = row::read(fields, origin);
        if mistakes.is_empty() && reading.mistakes.is_empty() {
            return Some(reading);
        }
        mistakes.extend(reading.mistakes);
    }
    let record = as_kamailio_reads(line).and_then(|fields| row::read(fields, origin).record);
    Some(Reading { record, mistakes })
}

/// The fields of a line as Kamailio divides it: a field of a number has as many digits as there are,
/// perhaps none, and the next one begins right behind it.
fn as_kamailio_reads(line: &str) -> Option<Fields<'_>> {
    let (set, rest) = digits(line.trim_ascii_start(), 10);
    let rest = rest.trim_ascii_start();
    let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
    let (uri, rest) = rest.split_at(end);
    // Without a set, or with one that is no number, it is set 0, if what follows is a URI.
    if set == "0" && !uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:")) {
        return None;
    }
    let rest = rest.trim_ascii_start();
    let (flags, rest) = match rest.strip_prefix("0x") {
        Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => {
            let (_, after) = digits(hex, 16);
            (&rest[..rest.len() - after.len()], after)
        }
        Some(rest) => ("0", rest),
        None => digits(rest, 10),
    };
    let (priority, rest) = digits(rest.trim_ascii_start(), 10);
    let attributes = rest.split_ascii_whitespace().next().unwrap_or("");
    Some(Fields { set, uri, flags, priority, attributes })
}

/// The digits at the start, `0` when there is none, and what follows.
fn digits(text: &str, radix: u32) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_digit(radix)).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (if digits.is_empty() { "0" } else { digits }, rest)
}

/// A `#` inside a word does not begin a comment: attributes may hold one.
fn without_comment(line: &[u8]) -> &[u8] {
    let is_start = |at: usize| at == 0 || line[at - 1].is_ascii_whitespace();
    let start = memchr::memchr_iter(b'#', line).find(|at| is_start(*at));
    &line[..start.unwrap_or(line.len())]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::destination::Host;

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
        ("1 sip:192.0.2.1 0 0 sockname=", "an empty value", "name=value"),
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

    /// What Kamailio serves of a line is served too, and what is wrong is named.
    #[test]
    fn lines_that_are_used_all_the_same() {
        for (line, wants) in [
            ("1 sip:192.0.2.1 0 0 weight=0", "1 sip:192.0.2.1 0 0 weight=0"),
            ("1 sip:192.0.2.1 0 weight=5", "1 sip:192.0.2.1 0 0 weight=5"),
            ("1 sip:192.0.2.1 8 duid=a;x", "1 sip:192.0.2.1 8 0 duid=a;x"),
            ("1 sip:192.0.2.1 AX", "1 sip:192.0.2.1 0 0 AX"),
            ("1 sip:192.0.2.1 72 7x", "1 sip:192.0.2.1 8 7 x"),
            ("1 sip:192.0.2.1 0x 3", "1 sip:192.0.2.1 0 3 "),
            ("1 sip:192.0.2.1 -1", "1 sip:192.0.2.1 0 0 -1"),
            ("1 sip:192.0.2.1 0 0 a=1; b=2", "1 sip:192.0.2.1 0 0 a=1;"),
            ("1 sip:192.0.2.1#old", "1 sip:192.0.2.1 0 0 "),
            ("1 sip:ms1@192.0.2.1:5080", "1 sip:192.0.2.1:5080 0 0 "),
            ("sip:192.0.2.1 4", "0 sip:192.0.2.1 4 0 "),
            ("1sip:192.0.2.1", "1 sip:192.0.2.1 0 0 "),
        ] {
            assert!(parse("f", line.as_bytes()).is_err(), "{line}");
            let kept = lines("f", line.as_bytes()).finish(LoadMode::Skip).unwrap();
            let told = kept.records.iter().map(|r| {
                let (flags, attributes) = (r.flags.bits(), &r.attributes.text);
                format!("{} {} {flags} {} {attributes}", r.set, r.uri.text, r.priority)
            });
            assert_eq!(told.collect::<Vec<_>>(), [wants], "{line}: {:?}", kept.left_out);
            assert!(!kept.tolerated.is_empty(), "{line}");
        }
        for line in ["x sip:192.0.2.1", "-1 sip:192.0.2.1", "1", "1 sips:a", "1 a;transport=tcp"] {
            let kept = lines("f", line.as_bytes()).finish(LoadMode::Skip).unwrap();
            assert_eq!((kept.records.len(), kept.tolerated.len()), (0, 0), "{line}");
            assert!(!kept.left_out.is_empty(), "{line}");
        }
    }

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
