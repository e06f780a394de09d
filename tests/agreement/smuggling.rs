//! What one server reads and the next one does not: each byte between a name and its colon, single
//! fields that occur twice, line ends of every kind. Such a message is refused, or the forwarded
//! message means the same to a strict parser and to every liberal one.

use strowger::proxy::{Answer, Reason, Verdict};

use crate::call::request;
use crate::oracle::Reading;
use crate::oracle::liberal::{self, Liberty};
use crate::relay::{CALLER, DESTINATION, Options, Relay};

/// A request in which each field that is read stands once, each with a name to be changed.
fn base() -> String {
    let via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-smuggled");
    let more = "Route: <sip:192.0.2.1;lr>\r\nMax-Breadth: 60\r\nAuthorization: Digest a=b\r\n\
                Record-Route: <sip:203.0.113.1;lr>\r\nContact: <sip:alice@198.51.100.7>\r\n\
                Subject: nothing\r\nProxy-Require-Not: x\r\n";
    let text = request("sip:bob@example.com", true, &via, "1 OPTIONS", more);
    text.replace(";tag=bob", "")
}

const NAMES: &[&str] = &[
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Max-Breadth",
    "Route",
    "Content-Length",
    "Authorization",
    "Record-Route",
    "Contact",
    "Subject",
    "Proxy-Require-Not",
];

/// All fields count for it, Max-Breadth too.
fn relay() -> Relay {
    Relay::new(Options { max_breadth: Some(60), ..Options::default() })
}

/// Forwarded and judged, or refused with 400 or in silence: the verdict.
fn send(relay: &mut Relay, bytes: &[u8]) -> Verdict {
    let (verdict, _) = relay.send(CALLER, bytes);
    let is_refused = matches!(
        verdict,
        Verdict::Answered(Answer::BadRequest | Answer::UnsupportedScheme)
            | Verdict::Dropped(
                Reason::Unanswerable | Reason::NotSip | Reason::KeepAlive | Reason::Stun
            )
    );
    let is_forwarded = matches!(verdict, Verdict::Forwarded(_));
    assert!(is_forwarded || is_refused, "{verdict:?}: {}", bytes.escape_ascii());
    verdict
}

fn replaced(text: &str, old: &str, new: &[u8]) -> Vec<u8> {
    let (before, after) = text.split_once(old).unwrap_or_else(|| panic!("{old:?}"));
    [before.as_bytes(), new, after.as_bytes()].concat()
}

#[test]
fn each_byte_between_a_name_and_its_colon() {
    let mut relay = relay();
    let (mut forwarded, mut refused) = (0, 0);
    for name in NAMES {
        for byte in 0..=255_u8 {
            for (before, after) in [("", ""), (" ", ""), ("", " ")] {
                let between = [name.as_bytes(), before.as_bytes(), &[byte], after.as_bytes(), b":"];
                let bytes = replaced(&base(), &format!("{name}:"), &between.concat());
                let verdict = send(&mut relay, &bytes);
                let is_forwarded = matches!(verdict, Verdict::Forwarded(_));
                // Blanks change nothing, and a second colon is part of the value; letters make
                // another name, which is a field fewer where one is needed.
                if b" \t".contains(&byte) {
                    assert!(is_forwarded, "{name} {byte:#x}: {verdict:?}");
                }
                if !byte.is_ascii_graphic() && !b" \t".contains(&byte) {
                    assert!(!is_forwarded, "{name} {byte:#x}");
                }
                forwarded += u32::from(is_forwarded);
                refused += u32::from(!is_forwarded);
            }
        }
    }
    println!("{forwarded} forwarded, {refused} refused");
    assert_eq!(forwarded + refused, NAMES.len() as u32 * 256 * 3);
    assert!(forwarded > 300 && refused > 7_000);
}

#[test]
fn each_byte_before_a_name() {
    let mut relay = relay();
    for name in NAMES {
        for byte in 0..=255_u8 {
            let row = [b"\r\n", &[byte][..], name.as_bytes(), b":"].concat();
            let bytes = replaced(&base(), &format!("\r\n{name}:"), &row);
            let is_forwarded = matches!(send(&mut relay, &bytes), Verdict::Forwarded(_));
            // A blank makes it a fold of the row before it.
            if !byte.is_ascii_graphic() && !b" \t".contains(&byte) {
                assert!(!is_forwarded, "{name} {byte:#x}");
            }
        }
    }
}

#[test]
fn each_byte_at_both_ends_of_a_value_and_inside_it() {
    let mut relay = relay();
    let values = [
        ("z9hG4bK-smuggled", "a branch"),
        ("tag=alice", "a tag"),
        ("one-call", "a Call-ID"),
        ("1 OPTIONS", "a CSeq"),
        ("Max-Forwards: 70", "hops"),
        ("Content-Length: 4", "a length"),
        ("<sip:192.0.2.1;lr>", "a route"),
        ("sip:bob@example.com SIP", "a Request-URI"),
        ("<sip:bob@example.com>", "a To"),
    ];
    for (value, what) in values {
        let is_control = |byte: u8| byte < b' ' || byte == 0x7f;
        for byte in 0..=255_u8 {
            for at in [0, value.len() / 2, value.len()] {
                let new = [&value.as_bytes()[..at], &[byte], &value.as_bytes()[at..]].concat();
                let verdict = send(&mut relay, &replaced(&base(), value, &new));
                // A display name may hold anything that does not end it, and it decides nothing.
                let is_display_name = value.starts_with('<') && at == 0;
                let is_inside_to = what == "a To";
                if is_control(byte) && byte != b'\t' && !is_display_name && !is_inside_to {
                    let is_forwarded = matches!(verdict, Verdict::Forwarded(_));
                    assert!(!is_forwarded, "{what}: {byte:#x} at {at}");
                }
            }
        }
    }
}

#[test]
fn a_single_field_that_stands_twice_in_every_order_and_spelling() {
    let mut relay = relay();
    let rows = [
        ("From", "f", "<sip:eve@example.org>;tag=eve"),
        ("To", "t", "<sip:eve@example.org>"),
        ("Call-ID", "i", "other"),
        ("CSeq", "cseq", "1 OPTIONS"),
        ("Max-Forwards", "MAX-FORWARDS", "70"),
        ("Content-Length", "l", "4"),
    ];
    for (long, other, value) in rows {
        for name in [long, other, &long.to_uppercase()] {
            for row in [
                format!("{name}: {value}\r\n"),
                format!("{name} :\r\n {value}\r\n"),
                format!("{name}\t: {value} \r\n"),
            ] {
                for place in ["Via: ", "Subject: ", "Content-Length: "] {
                    let bytes = replaced(&base(), place, format!("{row}{place}").as_bytes());
                    let verdict = send(&mut relay, &bytes);
                    assert!(!matches!(verdict, Verdict::Forwarded(_)), "{row:?} before {place}");
                }
            }
        }
        let joined = replaced(&base(), &format!("\r\n{long}: "), &{
            format!("\r\n{long}: {value}, ").into_bytes()
        });
        let verdict = send(&mut relay, &joined);
        // A comma in a Call-ID does not make two of it.
        let is_forwarded = matches!(verdict, Verdict::Forwarded(_));
        assert!(!is_forwarded, "{long}: {verdict:?}");
    }
}

#[test]
fn line_ends_of_every_kind_at_every_row() {
    let mut relay = relay();
    let ends: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\n\r",
        b"\r\r\n",
        b"\r\n\n",
        b"\r\n\r",
        b"\0\r\n",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\x85",
        b"\xa0",
        b"\xe2\x80\xa8",
        b"\0",
        b"\n ",
        b"\r ",
        b"\n\t",
        b"\r\n \n",
    ];
    let text = base();
    let header_end = text.find("\r\n\r\n").unwrap() + 2;
    let places: Vec<_> = text[..header_end].match_indices("\r\n").map(|(at, _)| at).collect();
    assert!(places.len() > 12);
    for place in places {
        for end in ends {
            let bytes = [&text.as_bytes()[..place], end, &text.as_bytes()[place + 2..]].concat();
            let verdict = send(&mut relay, &bytes);
            // What is no line end for anybody joins two rows; that may pass in a field that decides
            // nothing, and then the row that was joined to it is gone for all.
            if end.contains(&b'\r') && *end != b"\0\r\n" || end.contains(&b'\n') && end[0] != 0 {
                let is_forwarded = matches!(verdict, Verdict::Forwarded(_));
                assert!(!is_forwarded, "{} at {place}", end.escape_ascii());
            }
        }
    }
}

/// Differences between readers that the relay accepts, each with its reason: these readers do not
/// keep RFC 3261's grammar in fields that the relay must pass on untouched (§16.3 item 1).
#[test]
fn what_is_passed_on_though_some_readers_differ() {
    let mut relay = relay();
    let rows: &[(&str, &[u8])] = &[
        // Line feeds of Unicode are line ends for text libraries, not for SIP.
        ("VT in a field that is not used", b"Subject: a\x0bRoute: <sip:203.0.113.66>"),
        ("NEL in a field that is not used", b"Subject: a\x85Route: <sip:203.0.113.66>"),
        // A C string ends here, and with it the header: such a server refuses the message.
        ("NUL in a field that is not used", b"Subject: a\0b"),
        // Blanks alone on a line are a fold (§25.1: LWS = [*WSP CRLF] 1*WSP).
        ("a line of blanks", b"Subject: a\r\n  \r\n b"),
        // Folding is not deprecated in SIP, as it is in HTTP.
        ("a fold that looks like a row", b"Subject: a\r\n Route: <sip:203.0.113.66>"),
    ];
    for (says, row) in rows {
        let bytes = replaced(&base(), "Subject: nothing", row);
        let (verdict, sent) = relay.send(CALLER, &bytes);
        assert!(matches!(verdict, Verdict::Forwarded(_)), "{says}: {verdict:?}");
        let sent = sent.unwrap();
        assert_eq!(sent.to.to_string(), DESTINATION, "{says}");
        assert!(sent.bytes.windows(row.len()).any(|window| window == *row), "{says}");
    }
}

#[test]
fn the_liberal_readers_are_liberal() {
    let base = base();
    let rows: &[(Liberty, &str, &[u8])] = &[
        (Liberty::LoneLineFeed, "\r\nTo:", b"\nTo:"),
        (Liberty::LoneReturn, "\r\nTo:", b"\rTo:"),
        (Liberty::NamesTrimmed, "\r\nTo:", b"\r\nTo\x0b:"),
        (Liberty::ControlsAreBlanks, "tag=alice", b"tag=\x01alice"),
        (Liberty::FirstWins, "Subject: nothing", b"To: <sip:x@y>;tag=second"),
        (Liberty::BadRowsIgnored, "Subject: nothing", b"no row"),
    ];
    for (liberty, old, new) in rows {
        let bytes = replaced(&base, old, new);
        let strict = Reading::of(&bytes);
        assert!(strict.fault.is_some(), "{liberty:?}");
        let seen = liberal::read(&bytes, *liberty).unwrap();
        assert_eq!((seen.fault, seen.from_tag.as_deref()), (None, Some("alice")), "{liberty:?}");
        assert!(liberal::difference(&strict, &seen, true).is_some());
    }
    let twice = replaced(&base, "Subject: nothing", b"To: <sip:x@y>;tag=second");
    let last = liberal::read(&twice, Liberty::LastWins).unwrap();
    assert_eq!(last.to_tag.as_deref(), Some("second"));
}
