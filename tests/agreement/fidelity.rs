//! Byte fidelity: random valid messages, in every way in which they may be written, must all be
//! forwarded, with the permitted changes and no others. This covers requests outside dialogs and in
//! them from both sides, strict routers before and after the relay, and responses to what was
//! forwarded.
//!
//! A longer run, with its number of cases:
//! `STROWGER_FIDELITY=1000000 cargo test --release --test agreement fidelity -- --nocapture`

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use strowger::proxy::Verdict;

use crate::oracle::Reading;
use crate::oracle::law::response_address;
use crate::oracle::rows::Parts;
use crate::oracle::text::{bytes_of, split_outside, text_of, trim};
use crate::relay::{CALLER, DESTINATION, Options, Relay, Sent};

const CASES: u32 = 600;

/// Numbers by chance; zeros when they are used up, and zero is always the plain way.
struct Dice<'a> {
    left: std::slice::Iter<'a, u16>,
}

impl Dice<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        usize::from(*self.left.next().unwrap_or(&0)) % sides
    }

    /// Whether something that happens once in `times` happens.
    fn happens(&mut self, times: usize) -> bool {
        self.roll(times) == times - 1
    }

    fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.roll(texts.len())]
    }

    fn blanks(&mut self) -> &'static str {
        self.pick(&["", "", "", "", " ", "\t", "\r\n ", " \r\n\t "])
    }

    /// The template, its `_` blanks or nothing, its `|` at least one blank.
    fn spell(&mut self, template: &str) -> String {
        let mut text = String::new();
        for c in template.chars() {
            match c {
                '_' => text.push_str(self.blanks()),
                '|' => text.push_str(self.pick(&[" ", "  ", "\t", "\r\n ", " \r\n\t"])),
                c => text.push(c),
            }
        }
        text
    }

    /// A name in any case.
    fn cased(&mut self, name: &str) -> String {
        match self.roll(4) {
            2 => name.to_ascii_uppercase(),
            3 => name.to_ascii_lowercase(),
            _ => name.to_owned(),
        }
    }

    /// The rows of a field with these values: one list, or several rows.
    fn rows(&mut self, names: &[&str], values: &[String]) -> Vec<String> {
        let mut rows: Vec<String> = Vec::new();
        for value in values {
            let value = self.spell(value);
            match rows.last_mut() {
                Some(row) if self.happens(2) => {
                    row.push_str(&self.spell("_,_"));
                    row.push_str(&value);
                }
                _ => {
                    let name = self.pick(names);
                    let name = self.cased(name);
                    let before_colon = self.pick(&["", "", "", " ", "\t "]);
                    let behind = self.pick(&[" ", " ", "", "\r\n ", "\t"]);
                    rows.push(format!("{name}{before_colon}:{behind}{value}"));
                }
            }
        }
        for row in &mut rows {
            row.push_str(self.pick(&["", "", "", " ", "\r\n ", " \t"]));
            row.push_str("\r\n");
        }
        rows
    }

    /// Bytes of any kind.
    fn noise(&mut self) -> String {
        let len = self.roll(24);
        (0..len).map(|_| char::from(u8::try_from(self.roll(256)).unwrap())).collect()
    }

    /// Rows that nobody reads, with bytes of any kind but line ends.
    fn foreign_rows(&mut self) -> Vec<String> {
        let name = self.pick(&["Subject", "X-Odd", "Contact", "m", "Record-Route", "Vi", "Routes"]);
        let value = match self.roll(4) {
            0 => "plain".to_owned(),
            1 => "<sip:203.0.113.1;lr>, <sip:203.0.113.2>".to_owned(),
            2 => "\"never closed, ; <".to_owned(),
            _ => self.noise().replace(['\r', '\n'], "\r\n "),
        };
        vec![format!("{name}: {value}\r\n")]
    }

    /// Groups of rows in any order, each group in its own.
    fn shuffle(&mut self, mut groups: Vec<Vec<String>>) -> String {
        let mut text = String::new();
        while !groups.is_empty() {
            let at = self.roll(groups.len());
            text.push_str(&groups[at].remove(0));
            groups.retain(|group| !group.is_empty());
        }
        text
    }
}

/// Who sends, and where the request belongs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    OutsideDialog,
    ByCaller,
    ByCallee,
    /// A strict router before the relay put its Route into the Request-URI.
    ByCallerStrictly,
    ByCalleeStrictly,
}

const KINDS: [Kind; 5] = [
    Kind::OutsideDialog,
    Kind::ByCaller,
    Kind::ByCallee,
    Kind::ByCallerStrictly,
    Kind::ByCalleeStrictly,
];

/// A request of this kind in the call `call`, whose Record-Routes are `ours` as a server got them.
fn request(dice: &mut Dice, kind: Kind, call: &str, ours: &[String]) -> Vec<u8> {
    let is_callee = matches!(kind, Kind::ByCallee | Kind::ByCalleeStrictly);
    let is_strict = matches!(kind, Kind::ByCallerStrictly | Kind::ByCalleeStrictly);
    let methods: &[&str] = match kind {
        Kind::OutsideDialog => &["INVITE", "OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "N3W-x"],
        _ => &["BYE", "INVITE", "ACK", "INFO", "UPDATE", "NOTIFY", "CANCEL"],
    };
    let method = dice.pick(methods);
    let number = dice.pick(&["2", "0", "4294967295", "0007"]);

    // The route: ours on top, then those of others.
    let mut routes: Vec<String> = Vec::new();
    if kind != Kind::OutsideDialog {
        routes.extend(ours.iter().cloned());
        // As the caller sees them.
        if !is_callee {
            routes.reverse();
        }
    }
    let request_uri = if is_strict {
        routes.remove(0).trim_matches(['<', '>']).to_owned()
    } else {
        dice.pick(&[
            "sip:bob@example.com",
            "SIP:bob;x=%40@Example.COM:5070;user=phone;lr",
            "sips:+49-30/1?2@[2001:db8::7]:5061",
            "tel:+4930123456;phone-context=x",
            "sip:example.com;maddr=192.0.2.77",
        ])
        .to_owned()
    };
    for _ in 0..dice.roll(3) {
        routes.push(
            dice.pick(&[
                "<sip:203.0.113.5;lr>",
                "\"x, <y>\"_<sip:u@proxy.example.org:5070;LR=on>_;_p=\"a,b\"",
                "<sip:203.0.113.6>",
                "Display Name <sip:203.0.113.7;x=y>_;_lr",
                "<_sip:203.0.113.8;lr_>",
            ])
            .to_owned(),
        );
    }
    if is_strict {
        routes.push("<sip:target@203.0.113.9:5090;x=y>".to_owned());
    }

    let via = match kind {
        Kind::ByCallee | Kind::ByCalleeStrictly => DESTINATION,
        _ => dice.pick(&[CALLER, "client.example.org", "198.51.100.7", "[2001:db8::5]:5062"]),
    };
    let mut value = format!("SIP_/_2.0_/_UDP|{via}_");
    let mut parameters = vec![
        dice.pick(&[";_branch_=_z9hG4bK-", ";BRANCH=Z9HG4BK-", ";branch=old-"]).to_owned()
            + call
            + method,
    ];
    let more = [
        ";_rport_",
        ";rport=5_",
        ";_received_=_192.0.2.66_",
        ";maddr=224.0.1.75",
        ";x_=_\"a;b,\\\"c\"",
    ];
    let mut kinds: Vec<usize> = Vec::new();
    for _ in 0..dice.roll(4) {
        let at = dice.roll(more.len());
        // rport stands once.
        let kind = at.max(1);
        if !kinds.contains(&kind) {
            kinds.push(kind);
            let place = dice.roll(parameters.len() + 1);
            parameters.insert(place, more[at].to_owned());
        }
    }
    value.push_str(&parameters.join("_"));
    let mut vias = vec![value];
    for _ in 0..dice.roll(4) {
        vias.push("SIP_/_2.0_/_TLS|203.0.113.77_:_5071_;_branch=lower".to_owned());
    }

    let alice = dice.pick(&[
        "\"Al \\\" <ice>\"_<sip:alice@example.org>_;_tag_=_",
        "sip:alice@example.org_;tag=",
    ]);
    let alice = format!("{alice}alice");
    let bob = dice.pick(&["<sip:bob@example.com>_", "Bob B. <sip:bob@example.com>_", "tel:+4930_"]);
    let (from, to) = match kind {
        Kind::OutsideDialog => (alice, bob.to_owned()),
        _ if is_callee => (format!("{bob};_x=y_;_TAG=bob"), alice),
        _ => (alice, format!("{bob};_tag=bob_;_x")),
    };

    let has_length = !dice.happens(4);
    let body = dice.noise();
    let behind = if has_length { dice.noise() } else { String::new() };
    let length = format!("{}{}_", dice.pick(&["", "00"]), body.chars().count());
    let hops = dice.pick(&["70_", "1", "0255_", "256", "4294967295"]).to_owned();
    let one = |dice: &mut Dice, names: &[&str], value: String| dice.rows(names, &[value]);
    let mut groups = vec![
        dice.rows(&["Via", "v"], &vias),
        one(dice, &["From", "f"], from),
        one(dice, &["To", "t"], to),
        one(dice, &["Call-ID", "i"], format!("{call}_")),
        one(dice, &["CSeq"], format!("{number}|{method}_")),
    ];
    if !routes.is_empty() {
        groups.push(dice.rows(&["Route"], &routes));
    }
    if has_length {
        groups.push(one(dice, &["Content-Length", "l"], length));
    }
    if !dice.happens(4) {
        groups.push(one(dice, &["Max-Forwards"], hops));
    }
    if dice.happens(4) {
        let breadth = dice.pick(&["60", "1", "61_", "0900"]).to_owned();
        groups.push(one(dice, &["Max-Breadth"], breadth));
    }
    for _ in 0..dice.roll(4) {
        groups.push(dice.foreign_rows());
    }
    let before = dice.pick(&["", "", "", "\r\n", "\r\n\r\n", "\n\r"]);
    let version = dice.pick(&["SIP/2.0", "SIP/2.0", "sip/2.0"]);
    let rows = dice.shuffle(groups);
    bytes_of(&format!("{before}{method} {request_uri} {version}\r\n{rows}\r\n{body}{behind}"))
}

/// A response to what a neighbour got, written by a stack of another taste.
fn response(dice: &mut Dice, to: &Sent) -> Vec<u8> {
    let text = text_of(&to.bytes);
    let parts = Parts::of(&text).unwrap();
    let values = |long: &str| -> Vec<String> {
        let rows = parts.all(long);
        rows.flat_map(|row| split_outside(&row.value, ',').into_iter().map(|v| trim(v).to_owned()))
            .collect()
    };
    let read = Reading::of(&to.bytes);
    let whole = |value: Option<String>| value.unwrap();
    let tag = if read.to_tag.is_some() { "" } else { ";tag=bob" };
    let cseq = format!("{}|{}", read.cseq_number.unwrap(), read.cseq_method.clone().unwrap());
    let body = dice.noise();
    // The underscore of a template stands in none of the values that are kept.
    let mut groups = vec![
        dice.rows(&["Via", "v"], &values("via")),
        vec![format!("From: {}\r\n", whole(read.from))],
        vec![format!("t:{}{tag}\r\n", whole(read.to))],
        vec![format!("CALL-ID : {}\r\n", whole(read.call_id))],
        dice.rows(&["CSeq"], &[cseq]),
        dice.rows(&["Content-Length", "l"], &[body.chars().count().to_string()]),
    ];
    for _ in 0..dice.roll(3) {
        groups.push(dice.foreign_rows());
    }
    let status = dice.pick(&["180 Ringing", "200 OK", "404 ", "503", "699 \u{e9}\u{0}\u{b}x"]);
    let behind = dice.noise();
    let rows = dice.shuffle(groups);
    bytes_of(&format!("SIP/2.0 {status}\r\n{rows}\r\n{body}{behind}"))
}

/// The Record-Routes that the relay gave to this call.
fn record_routes(relay: &mut Relay, call: &str) -> Vec<String> {
    let invite = format!(
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK-{call}\r\n\
         From: <sip:alice@example.org>;tag=alice\r\nTo: <sip:bob@example.com>\r\nCall-ID: {call}\r\n\
         CSeq: 1 INVITE\r\n\r\n"
    );
    let (verdict, sent) = relay.send(CALLER, invite.as_bytes());
    let sent = sent.unwrap_or_else(|| panic!("{verdict:?}"));
    let routes = sent.rows("Record-Route");
    let ok = response(&mut Dice { left: [1].iter() }, &sent);
    relay.send(DESTINATION, &ok);
    routes
}

const RELAYS: [Options; 4] = [
    Options {
        keeps_foreign_routes: false,
        rewrites: false,
        no_record_route: false,
        max_breadth: None,
        force_rport: false,
        has_two_listeners: false,
    },
    Options {
        keeps_foreign_routes: true,
        rewrites: false,
        no_record_route: false,
        max_breadth: Some(60),
        force_rport: false,
        has_two_listeners: true,
    },
    Options {
        keeps_foreign_routes: true,
        rewrites: true,
        no_record_route: false,
        max_breadth: None,
        force_rport: true,
        has_two_listeners: false,
    },
    Options {
        keeps_foreign_routes: false,
        rewrites: true,
        no_record_route: true,
        max_breadth: Some(1),
        force_rport: true,
        has_two_listeners: true,
    },
];

#[test]
fn valid_messages_leave_with_permitted_edits_only() {
    let cases = std::env::var("STROWGER_FIDELITY").map_or(CASES, |n| n.parse().expect("a number"));
    let relays = RefCell::new(RELAYS.map(Relay::new));
    let counts = RefCell::new(BTreeMap::<String, u32>::new());
    let calls = RefCell::new(0_u32);
    let count = |what: String| *counts.borrow_mut().entry(what).or_default() += 1;
    let numbers = (0..RELAYS.len(), prop::collection::vec(any::<u16>(), 0..220));
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&numbers, |(which, numbers)| {
        let relay = &mut relays.borrow_mut()[which];
        let mut dice = Dice { left: numbers.iter() };
        *calls.borrow_mut() += 1;
        let call = format!("call-{}", calls.borrow());
        let kinds = if RELAYS[which].no_record_route { &KINDS[..1] } else { &KINDS[..] };
        let kind = kinds[dice.roll(kinds.len())];
        let ours =
            if kind == Kind::OutsideDialog { Vec::new() } else { record_routes(relay, &call) };
        let bytes = request(&mut dice, kind, &call, &ours);
        let is_callee = matches!(kind, Kind::ByCallee | Kind::ByCalleeStrictly);
        let from = if is_callee { DESTINATION } else { CALLER };
        let (verdict, sent) = relay.send(from, &bytes);
        let Verdict::Forwarded(how) = verdict else {
            panic!("{kind:?} is valid, but {verdict:?}:\n{}", String::from_utf8_lossy(&bytes));
        };
        count(format!("{kind:?}: {}", how.label()));

        // And back: to the packet's source, at the port that its Via asked for.
        let sent = sent.unwrap();
        let wants = Reading::of(&bytes).top_via.unwrap();
        let answer = response(&mut dice, &sent);
        let neighbour = sent.to.to_string();
        let (verdict, back) = relay.send(&neighbour, &answer);
        let Verdict::Forwarded(how) = verdict else {
            panic!("a valid response, but {verdict:?}:\n{}", String::from_utf8_lossy(&answer));
        };
        count(format!("response: {}", how.label()));
        let wants = response_address(&wants, from.parse().unwrap(), RELAYS[which].force_rport);
        assert_eq!(back.unwrap().to, wants);
        Ok(())
    });
    for (what, count) in counts.take() {
        println!("{what:<32} {count:>10}");
    }
    outcome.unwrap();
}
