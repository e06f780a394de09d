//! The algorithms: which destination each message gets, and what a hash does without a pin.

use strowger::destination::{Algorithm, Choosing, HeaderField, Part, UriOf};
use strowger::proxy::{Answer, Forwarded, Reason, Rule, Verdict};

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::Relay;

const A: &str = "sip:10.0.0.1:5060";
const B: &str = "sip:10.0.0.2:5060";
const C: &str = "sip:10.0.0.3:5060";
const D: &str = "sip:10.0.0.4:5060";

fn settings(algorithm: Algorithm) -> Choosing {
    Choosing { algorithm, ..Choosing::default() }
}

fn kamailio(algorithm: Algorithm) -> Choosing {
    Choosing { is_kamailio: true, ..settings(algorithm) }
}

fn over(algorithm: Algorithm, parts: &[Part]) -> Choosing {
    Choosing { hash_over: parts.to_vec(), ..settings(algorithm) }
}

fn letter(hop: &str) -> char {
    match hop.strip_prefix("10.0.0.").and_then(|rest| rest.split(':').next()) {
        Some(last) => char::from(b'A' - 1 + last.parse::<u8>().unwrap()),
        None => panic!("{hop}"),
    }
}

fn hop(relay: &mut Relay, request: &Request) -> char {
    letter(&relay.send(CALLER, request.text()).next_hop())
}

/// Where calls with these numbers go.
fn calls(relay: &mut Relay, calls: std::ops::Range<usize>) -> String {
    calls.map(|n| letter(&relay.send(CALLER, invite(&format!("call-{n}"))).next_hop())).collect()
}

#[test]
fn choices_without_a_hash() {
    for (choosing, list, wants) in [
        (settings(Algorithm::First), vec![A, B], "AAAA"),
        (
            settings(Algorithm::Weight),
            vec!["sip:10.0.0.1 weight=2", "sip:10.0.0.2 weight=1"],
            "ABAABA",
        ),
        (
            settings(Algorithm::RelativeWeight),
            vec!["sip:10.0.0.1 rweight=1", "sip:10.0.0.2 rweight=2"],
            "BABBAB",
        ),
        (
            settings(Algorithm::PriorityWeight),
            vec!["sip:10.0.0.1 priority=2", "sip:10.0.0.2 priority=1"],
            "BBB",
        ),
        (
            settings(Algorithm::RoundRobinOrFirst),
            vec!["sip:10.0.0.1 priority=2", "sip:10.0.0.2 priority=2"],
            "ABA",
        ),
        (kamailio(Algorithm::RoundRobin), vec![A, B, C], "CBAC"),
        (kamailio(Algorithm::First), vec![A, B, C], "CCC"),
        (Choosing { use_default: true, ..settings(Algorithm::RoundRobin) }, vec![A, B, C], "ABAB"),
        (
            Choosing { use_default: true, ..settings(Algorithm::RoundRobin) },
            vec!["1 sip:10.0.0.1:5060", "4 sip:10.0.0.2:5060", C],
            "CC",
        ),
    ] {
        let mut relay = Relay::choosing(&choosing, &list);
        assert_eq!(calls(&mut relay, 0..wants.len()), wants, "{choosing:?} {list:?}");
    }
}

#[test]
fn random_is_even_and_the_same_for_copies() {
    let mut relay = Relay::choosing(&settings(Algorithm::Random), &[A, B, C, D]);
    let all = calls(&mut relay, 0..2_000);
    for name in "ABCD".chars() {
        let count = all.matches(name).count();
        assert!((430..570).contains(&count), "{name}: {count}");
    }
    assert_eq!(calls(&mut relay, 0..50), all[..50]);
}

type Change = fn(&mut Request<'_>, &'static str);

struct Alike {
    choosing: Choosing,
    change: Change,
    same: &'static [&'static str],
    other: &'static [&'static str],
}

/// Changes of a request that leave the choice as it is, and changes that do not. Which destination a
/// key gets does not matter, so many are compared.
#[test]
fn what_a_hash_looks_at() {
    let call_id: Change = |request, value| request.call_id = value;
    let from: Change = |request, value| request.from = value;
    let to: Change = |request, value| request.to = value;
    let uri: Change = |request, value| request.uri = value;
    let more: Change = |request, value| request.more = value.into();
    let user_only = |algorithm| Choosing { hash_user_only: true, ..settings(algorithm) };
    let header = Part::Header(HeaderField::new("X-Account"));
    let subject = Part::Header(HeaderField::new("Subject"));
    let parameter = Part::Parameter(UriOf::Request, "tgrp".into());
    let rows = [
        Alike {
            choosing: settings(Algorithm::CallIdHash),
            change: call_id,
            same: &["a@x"],
            other: &["b@x", "a@y", "A@x", "aa"],
        },
        Alike {
            choosing: settings(Algorithm::FromHash),
            change: from,
            same: &[
                "<sip:alice@example.org>;tag=1",
                "\"Alice\" <sip:alice@EXAMPLE.org:5060;x=y>;tag=2",
                "sip:alice@example.org;tag=3",
                "<sip:alice:secret@example.org>;tag=4",
            ],
            other: &[
                "<sip:bob@example.org>;tag=1",
                "<sip:alice@example.com>;tag=1",
                "<sip:alice@example.org:5061>;tag=1",
                "<tel:+4930123>;tag=1",
            ],
        },
        Alike {
            choosing: user_only(Algorithm::ToHash),
            change: to,
            same: &["<sip:alice@example.org>", "<sip:alice@example.com:5070>"],
            other: &["<sip:bob@example.org>", "<sip:carol@example.org>", "<sip:example.org>"],
        },
        Alike {
            choosing: settings(Algorithm::RequestUriHash),
            change: uri,
            same: &["sip:bob@example.com", "sip:bob@example.com;x=y", "sip:bob@example.com:5060"],
            other: &["sip:alice@example.com", "sip:bob@example.net", "tel:+4930123", "sip:b@x"],
        },
        Alike {
            choosing: over(Algorithm::KeyHash, &[header]),
            change: more,
            same: &["X-Account: 7\r\n", "x-account:   7  \r\n", "Y: 1\r\nX-ACCOUNT : 7\r\n"],
            other: &["X-Account: 8\r\n", "X-Account: 77\r\n", "X-Account: seven\r\n"],
        },
        Alike {
            choosing: over(Algorithm::Consistent, &[subject]),
            change: more,
            same: &["Subject: 7\r\n", "s: 7\r\n"],
            other: &["s: 8\r\n", "s: 9\r\n", "s: 10\r\n", "s: 11\r\n"],
        },
        Alike {
            choosing: over(Algorithm::KeyHash, &[parameter, Part::User(UriOf::Request)]),
            change: uri,
            same: &["sip:b@x;tgrp=1", "sip:b@y;a=b;TGRP=1"],
            other: &["sip:b@x;tgrp=2", "sip:c@x;tgrp=1", "sip:b@x", "sip:b@x;tgrp=3"],
        },
        Alike {
            choosing: over(Algorithm::KeyHash, &[Part::Uri(UriOf::From)]),
            change: from,
            same: &["<sip:alice@example.org>;tag=1", "<sip:alice@example.org>;tag=2"],
            other: &[
                "<sip:alice@example.org;x=y>;tag=1",
                "<sip:alice@EXAMPLE.org>;tag=1",
                "<sip:a@b>;tag=1",
            ],
        },
        Alike {
            choosing: over(Algorithm::KeyHash, &[Part::Host(UriOf::To)]),
            change: to,
            same: &["<sip:a@example.org>", "<sip:b@EXAMPLE.org:7>"],
            other: &["<sip:a@example.com>", "<sip:a@example.net>", "<sip:a@example.de>"],
        },
        Alike {
            choosing: settings(Algorithm::AuthHash),
            change: more,
            same: &[
                "Authorization: Digest username=\"alice\"\r\n",
                "Authorization: Digest realm=\"x\", username=\"alice@example.org\"\r\n",
                "Authorization: Digest username=\"bob\"\r\nProxy-Authorization: Digest username=\"alice\"\r\n",
            ],
            other: &[
                "Authorization: Digest username=\"bob\"\r\n",
                "Authorization: Digest username=\"carol\"\r\n",
                "Authorization: Digest username=\"dave\"\r\n",
            ],
        },
    ];
    let many: Vec<String> = (1..=200).map(|n| format!("sip:10.0.0.{n}:5060")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (number, Alike { choosing, change, same, other }) in rows.into_iter().enumerate() {
        let mut relay = Relay::choosing(&choosing, &many);
        let mut branch = 0;
        let mut of = |value: &'static str| {
            let mut request = Request::new("INVITE", "fixed");
            change(&mut request, value);
            branch += 1;
            request.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-{branch}");
            relay.send(CALLER, request.text()).next_hop()
        };
        let first = of(same[0]);
        for value in same {
            assert_eq!(of(value), first, "row {number}: {value:?}");
        }
        for value in other {
            assert_ne!(of(value), first, "row {number}: {value:?}");
        }
    }
}

#[test]
fn the_source_address_is_a_key() {
    let many: Vec<String> = (1..=99).map(|n| format!("sip:10.0.0.{n}:5060")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut relay = Relay::choosing(&over(Algorithm::KeyHash, &[Part::SourceAddress]), &many);
    let mut of = |from: &str, call: &str| relay.send(from, invite(call)).next_hop();
    let first = of("198.51.100.7:5062", "a");
    assert_eq!(of("198.51.100.7:9", "b"), first);
    assert_ne!(of("198.51.100.8:5062", "c"), first);
}

#[test]
fn without_the_key() {
    let header = Part::Header(HeaderField::new("X-Account"));
    // A consistent hash is then over the Call-ID.
    let over_header = over(Algorithm::Consistent, std::slice::from_ref(&header));
    let mut relays = [over_header, settings(Algorithm::Consistent)]
        .map(|choosing| Relay::choosing(&choosing, &[A, B, C, D]));
    let [with, without] = relays.each_mut().map(|relay| calls(relay, 0..40));
    assert_eq!(with, without);
    let mut relay = Relay::choosing(&over(Algorithm::KeyHash, &[header]), &[A, B]);
    let answered = relay.send(CALLER, invite("none")).verdict;
    assert_eq!(answered, Verdict::Answered(Answer::NoDestination));
    // Credentials choose, and a request without them gets the next turn.
    let mut relay = Relay::choosing(&settings(Algorithm::AuthHash), &[A, B]);
    assert_eq!(calls(&mut relay, 0..4), "ABAB");
}

/// Computed by Kamailio 5.6.3: `dispatcher.hash`, and the remainder.
#[test]
fn kamailios_destinations() {
    let mut relay = Relay::choosing(&kamailio(Algorithm::CallIdHash), &[A, B, C, D]);
    // 3416024093 and 2175018094; the last line has index 0.
    assert_eq!(
        hop(&mut relay, &Request::new("INVITE", "3848276298220188511@atlanta.example.com")),
        'C'
    );
    assert_eq!(hop(&mut relay, &Request::new("INVITE", "a84b4c76e66710@pc33.atlanta.com")), 'B');
    let mut relay = Relay::choosing(&kamailio(Algorithm::FromHash), &[A, B, C, D]);
    let mut request = Request::new("INVITE", "from");
    request.from = "<sip:bob@biloxi.example.com:5070>;tag=1";
    // 571038932
    assert_eq!(hop(&mut relay, &request), 'D');
    let two = [Part::User(UriOf::From), Part::Host(UriOf::From)];
    let choosing = Choosing { hash_over: two.to_vec(), ..kamailio(Algorithm::KeyHash) };
    let mut relay = Relay::choosing(&choosing, &[A, B, C, D]);
    request.from = "<sip:abc@de>;tag=1";
    // "abcde" is one text: 1834960001
    assert_eq!(hop(&mut relay, &request), 'C');
}

#[test]
fn a_consistent_hash_moves_only_the_calls_of_the_one_that_leaves() {
    let mut relay = Relay::choosing(&settings(Algorithm::Consistent), &[A, B, C, D]);
    let before = calls(&mut relay, 0..400);
    let mut relay = Relay::choosing(&settings(Algorithm::Consistent), &[A, C, D]);
    let after = calls(&mut relay, 0..400);
    for (before, after) in before.chars().zip(after.chars()) {
        assert!(before == after || before == 'B' && "ACD".contains(after), "{before} {after}");
    }
    for name in "ABCD".chars() {
        assert!((60..140).contains(&before.matches(name).count()), "{before}");
    }
}

struct Pinless<'a> {
    choosing: &'a Choosing,
    method: &'static str,
    to_tag: bool,
    wants: Result<Rule, &'static str>,
}

#[test]
fn without_a_pin_a_hash_finds_the_way_again() {
    let call_id = settings(Algorithm::CallIdHash);
    let consistent = settings(Algorithm::Consistent);
    let from = settings(Algorithm::FromHash);
    let auth = settings(Algorithm::AuthHash);
    let row = |choosing, method, to_tag, wants| Pinless { choosing, method, to_tag, wants };
    for Pinless { choosing, method, to_tag, wants } in [
        row(&call_id, "CANCEL", false, Ok(Rule::Hash)),
        row(&call_id, "ACK", true, Ok(Rule::Hash)),
        row(&call_id, "BYE", true, Ok(Rule::DialogHash)),
        row(&consistent, "INFO", true, Ok(Rule::DialogHash)),
        row(&from, "CANCEL", false, Ok(Rule::Hash)),
        row(&from, "ACK", true, Ok(Rule::Hash)),
        row(&from, "BYE", true, Err("481")),
        row(&auth, "CANCEL", false, Err("481")),
        row(&auth, "ACK", true, Err("stray_ack")),
        row(&Choosing::default(), "CANCEL", false, Err("481")),
        row(&settings(Algorithm::Random), "BYE", true, Err("481")),
    ] {
        let list = [A, B, C, D, "sip:10.0.0.5:5060", "sip:10.0.0.6:5060", "sip:10.0.0.7:5060"];
        for n in 0..8 {
            let call = format!("call-{n}");
            let mut first = Relay::choosing(choosing, &list);
            let invited = first.send(CALLER, invite(&call)).next_hop();
            // Another node, or the same after a restart without its Route.
            let mut relay = Relay::choosing(choosing, &list);
            let mut request = Request::new(method, &call);
            if to_tag {
                request.to = "<sip:bob@example.com>;tag=bob";
            }
            let explained = relay.explain(CALLER, request.text());
            let outcome = relay.send(CALLER, request.text());
            match wants {
                Ok(rule) => {
                    assert_eq!(explained.rule, rule, "{choosing:?} {method}");
                    assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::Hash));
                    assert_eq!(outcome.next_hop(), invited, "{choosing:?} {method}");
                }
                Err(wants) => assert_eq!(outcome.summary(), wants, "{choosing:?} {method}"),
            }
        }
    }
}

#[test]
fn a_callee_is_not_sent_back_to_itself_by_a_hash() {
    let mut relay = Relay::choosing(&settings(Algorithm::CallIdHash), &[A]);
    let mut bye = Request::new("BYE", "callee");
    bye.to = "<sip:bob@example.com>;tag=bob";
    assert_eq!(relay.send("10.0.0.1:5060", bye.text()).summary(), "481");
    let mut ack = Request::new("ACK", "callee");
    ack.to = bye.to;
    assert_eq!(relay.send("10.0.0.1:5060", ack.text()).dropped(), Reason::StrayAck);
}

#[test]
fn a_cancel_by_a_hash_is_written_like_its_invite() {
    let choosing = settings(Algorithm::CallIdHash);
    let written = |method| {
        let mut relay = Relay::choosing(&choosing, &[A, B]);
        relay.snapshot.set_default.rewrite = strowger::proxy::Rewrite::Domain;
        let mut request = Request::new(method, "alike");
        request.more = "Route: <sip:203.0.113.66;lr>\r\n".into();
        let sent = relay.send(CALLER, request.text()).forwarded();
        let uri = sent.first_line().split(' ').nth(1).unwrap().to_owned();
        (uri, sent.rows("Route"), sent.branch())
    };
    assert_eq!(written("CANCEL"), written("INVITE"));
}

#[test]
fn a_challenge_comes_before_the_hash() {
    let mut relay = Relay::choosing(&settings(Algorithm::FromHash), &[A, B, C, D]);
    let first = relay.send(CALLER, invite("challenged")).forwarded();
    let challenger = first.to.to_string();
    relay.send(&challenger, response(&first, "401 Unauthorized", "b")).forwarded();
    let mut again = Request::new("INVITE", "challenged");
    (again.cseq, again.from) = ("2 INVITE".into(), "<sip:other@example.org>;tag=alice");
    again.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-again");
    again.more = "Authorization: Digest username=\"x\"\r\n".into();
    assert_eq!(relay.send(CALLER, again.text()).next_hop(), challenger);
}
