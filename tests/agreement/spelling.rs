//! One message in thousands of spellings (RFC 3261 §7.3.1, §7.3.3): long, compact and odd names,
//! folds, lists in one field or in many, blanks around separators. All are the same message, so all
//! get the same decision.

use strowger::proxy::Verdict;

use crate::reading::assert_same;
use crate::relay::{CALLER, DESTINATION, Options, Relay, Sent};

/// How fields are written. Each number chooses one of a few ways.
#[derive(Clone, Copy, Debug)]
struct Spelling {
    /// Long, compact, mixed case.
    name: usize,
    /// None, behind the colon, at each separator.
    fold: usize,
    /// One list, or a row for each value.
    has_rows: bool,
    /// Round separators: none, a space before, a space behind, tabs on both sides.
    blank: usize,
}

const NAMES: usize = 3;
const FOLDS: usize = 3;
const BLANKS: usize = 4;

fn spellings() -> impl Iterator<Item = Spelling> {
    (0..NAMES * FOLDS * BLANKS * 2).map(|number| Spelling {
        name: number % NAMES,
        fold: number / NAMES % FOLDS,
        blank: number / NAMES / FOLDS % BLANKS,
        has_rows: number / NAMES / FOLDS / BLANKS == 1,
    })
}

impl Spelling {
    const PLAIN: Self = Self { name: 0, fold: 0, has_rows: false, blank: 0 };

    /// The field with these values, in which `_` stands for a place that blanks may be at, and `|`
    /// for one where there is at least one.
    fn write(self, long: &str, compact: &str, values: &[&str]) -> String {
        let mixed: String = long
            .chars()
            .enumerate()
            .map(
                |(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() },
            )
            .collect();
        let name = [long, compact, &mixed][self.name];
        // Blanks before the colon, but no fold (HCOLON).
        let before_colon = ["", " ", "", "\t"][self.blank];
        let after_colon = [" ", "\r\n ", "\r\n\t "][self.fold];
        let fold = if self.fold == 2 { "\r\n" } else { "" };
        let before = ["", " ", "", "\t"][self.blank];
        let after = ["", "", " ", "\t "][self.blank];
        let gap = if fold.is_empty() {
            format!("{before}{after}")
        } else {
            format!("{before}{fold} {after}")
        };
        let wide = if gap.is_empty() { " " } else { &gap };
        let comma = if fold.is_empty() {
            format!("{before},{after}")
        } else {
            format!("{before},{fold} {after}")
        };
        let values: Vec<_> =
            values.iter().map(|value| value.replace('_', &gap).replace('|', wide)).collect();
        let row = |value: &str| format!("{name}{before_colon}:{after_colon}{value}\r\n");
        if self.has_rows {
            values.iter().map(|value| row(value)).collect()
        } else {
            row(&values.join(&comma))
        }
    }
}

const VIAS: &[&str] = &[
    "SIP_/_2.0_/_UDP|198.51.100.7_:_5062_;_branch_=_z9hG4bK-spelt_;_x_=_\"a;b,c\"",
    "SIP_/_2.0_/_TCP|proxy.example.org_;_branch=z9hG4bK-lower_;_received=192.0.2.77",
];
const FROM: &[&str] = &["\"Alice, A.\"_<sip:alice@example.org>_;_tag_=_alice"];
const TO: &[&str] = &["<sip:bob@example.com>_;_tag_=_bob_;_x"];
const RECORD_ROUTES: &[&str] = &["<sip:203.0.113.1;lr>_;_x=y", "\"b\"_<sip:203.0.113.2;lr>"];

/// In what one message's spellings must agree.
#[derive(Debug, Eq, PartialEq)]
struct Decision {
    verdict: Verdict,
    to: String,
    branch: String,
    own_routes_left: bool,
    body: String,
}

fn decision(relay: &mut Relay, bytes: &[u8], token: &str) -> (Decision, Sent) {
    let (verdict, sent) = relay.send(CALLER, bytes);
    let sent = sent.unwrap_or_else(|| panic!("{verdict:?}: {}", bytes.escape_ascii()));
    let text = sent.text();
    let via = sent.rows("Via").first().cloned().unwrap_or_default();
    let decision = Decision {
        verdict,
        to: sent.to.to_string(),
        branch: via.split(";sw=").next().unwrap().to_owned(),
        own_routes_left: text.contains(token),
        body: text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned(),
    };
    (decision, sent)
}

/// A relay, and the Record-Route that it gave to the call that the spellings belong to.
fn relay_with_call() -> (Relay, String) {
    let mut relay = Relay::new(Options::default());
    let invite = format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-first\r\n\
         From: <sip:alice@example.org>;tag=alice\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: spelt@host\r\nCSeq: 1 INVITE\r\n\r\n"
    );
    let (_, sent) = relay.send(CALLER, invite.as_bytes());
    let route = sent.unwrap().rows("Record-Route")[0].clone();
    (relay, route)
}

/// Writes the message: the ways of Via and Route, of the other lists, and of single fields.
fn message(route: &str, via: Spelling, routes: Spelling, single: Spelling) -> String {
    let own = format!("{route}_;_y_=_\"<,>\"");
    let routes = routes.write(
        "Route",
        "Route",
        &[&own, "\"c, d\"_<sip:10.0.0.9;lr>", "<sip:10.0.0.8;lr>_;_z"],
    );
    let via = via.write("Via", "v", VIAS);
    let record_routes = single.write("Record-Route", "Record-Route", RECORD_ROUTES);
    let once = Spelling { has_rows: false, ..single };
    let rest = [
        once.write("From", "f", FROM),
        once.write("To", "t", TO),
        once.write("Call-ID", "i", &["spelt@host_"]),
        once.write("CSeq", "CSeq", &["2|INFO_"]),
        once.write("Max-Forwards", "Max-Forwards", &["70_"]),
        once.write("Content-Length", "l", &["4_"]),
    ]
    .concat();
    format!(
        "INFO sip:bob@192.168.7.7:5060 SIP/2.0\r\n{via}{record_routes}{routes}{rest}\r\nbodyCUT"
    )
}

#[test]
fn thousands_of_spellings_of_one_request_get_one_decision() {
    let (mut relay, route) = relay_with_call();
    let token = route["<sip:".len()..route.find('@').unwrap()].to_owned();
    let plain = message(&route, Spelling::PLAIN, Spelling::PLAIN, Spelling::PLAIN);
    let (wants, _) = decision(&mut relay, plain.as_bytes(), &token);
    assert_eq!((wants.to.as_str(), wants.own_routes_left), (DESTINATION, false));
    assert_eq!(wants.body, "body");
    let read = assert_same(plain.as_bytes());
    let mut count = 0;
    let mut check = |text: String| {
        let slow = assert_same(text.as_bytes());
        assert_eq!(slow.top_via, read.top_via, "{text}");
        assert_eq!(slow.next_via, read.next_via, "{text}");
        assert_eq!(slow.routes, read.routes, "{text}");
        assert_eq!((&slow.from_tag, &slow.to_tag), (&read.from_tag, &read.to_tag), "{text}");
        let (found, _) = decision(&mut relay, text.as_bytes(), &token);
        assert_eq!(found, wants, "{text}");
        count += 1;
    };
    // Every way of Via with every way of Route, all others plain or as the Vias are.
    for via in spellings() {
        for routes in spellings() {
            check(message(
                &route,
                via,
                routes,
                if count_is_even(via, routes) { via } else { Spelling::PLAIN },
            ));
        }
    }
    // Every way of the others, with a few of these.
    for single in spellings() {
        for via in spellings().step_by(25) {
            check(message(&route, via, Spelling { name: 2, ..single }, single));
        }
    }
    println!("{count} spellings, one decision: {wants:?}");
    assert!(count >= 5_000);
}

fn count_is_even(via: Spelling, routes: Spelling) -> bool {
    (via.fold + routes.blank).is_multiple_of(2)
}

#[test]
fn spellings_of_our_own_via_in_a_response() {
    let (mut relay, _) = relay_with_call();
    let invite = format!(
        "OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-own\r\n\
         From: <sip:alice@example.org>;tag=alice\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: spelt@host\r\nCSeq: 7 OPTIONS\r\n\r\n"
    );
    let (_, sent) = relay.send(CALLER, invite.as_bytes());
    let own = sent.unwrap().rows("Via")[0].clone();
    let spelt = own
        .replace("SIP/2.0/UDP ", "SIP_/_2.0_/_UDP|")
        .replace(";branch=", "_;_branch_=_")
        .replace(";sw=", "_;_SW_=_");
    let upper = spelt.replace("z9hG4bK", "Z9HG4BK");
    let theirs = format!("SIP_/_2.0_/_UDP|{CALLER}_;_branch_=_z9hG4bK-own");
    let mut count = 0;
    for spelling in spellings() {
        for own in [&spelt, &upper] {
            let text = format!(
                "SIP/2.0 200 OK\r\n{}{}{}{}{}{}\r\n",
                spelling.write("Via", "v", &[own, &theirs]),
                spelling.write("From", "f", FROM),
                spelling.write("To", "t", TO),
                spelling.write("Call-ID", "i", &["spelt@host"]),
                spelling.write("CSeq", "CSeq", &["7|OPTIONS"]),
                spelling.write("Content-Length", "l", &["0"]),
            );
            assert_same(text.as_bytes());
            let (verdict, sent) = relay.send(DESTINATION, text.as_bytes());
            let sent = sent.unwrap_or_else(|| panic!("{verdict:?}: {text}"));
            assert_eq!(sent.to.to_string(), CALLER, "{text}");
            assert!(!sent.text().to_lowercase().contains("sw"), "{}", sent.text());
            count += 1;
        }
    }
    assert_eq!(count, 144);
}
