//! Limits of calls: who is passed over, and what a caller is told if all are at their limit.

use strowger::destination::{Algorithm, Choosing, Limits};
use strowger::proxy::{Answer, Forwarded, OverLimit, Reason, StatusLine, Verdict};

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::{Relay, record};

const A: &str = "sip:10.0.0.1:5060";
const B: &str = "sip:10.0.0.2:5060";
const C: &str = "sip:10.0.0.3:5060";

/// Returns where new calls go, each as the letter of the last octet; `-` if over a limit.
fn letters(relay: &mut Relay, calls: std::ops::Range<usize>) -> String {
    calls.map(|n| letter(relay, &invite(&format!("call-{n}")))).collect()
}

fn letter(relay: &mut Relay, invite: &str) -> char {
    let outcome = relay.send(CALLER, invite);
    if outcome.verdict == Verdict::Answered(Answer::OverRate) {
        return '-';
    }
    let hop = outcome.next_hop();
    let host = hop.rsplit_once(':').unwrap().0;
    char::from(b'A' - 1 + host.rsplit('.').next().unwrap().parse::<u8>().unwrap())
}

fn limit(relay: &mut Relay, calls_per_second: u32, burst: u32) {
    relay.snapshot.set_default.limits = Limits { calls_per_second, burst, calls_max: 0 };
}

#[test]
fn calls_at_one_moment_and_a_second_later() {
    struct Row {
        says: &'static str,
        list: &'static [&'static str],
        of_set: (u32, u32),
        wants: &'static str,
        later: &'static str,
    }
    let rows = [
        Row { says: "no limit", list: &[A, B], of_set: (0, 0), wants: "ABABAB", later: "ABABAB" },
        Row {
            says: "the next one takes the turns of one at its limit",
            list: &["sip:10.0.0.1:5060 cps=1", B, C],
            of_set: (0, 0),
            wants: "ABCBCB",
            later: "CABCBC",
        },
        Row {
            says: "all at their limits",
            list: &["sip:10.0.0.1:5060 cps=1", "sip:10.0.0.2:5060 cps=2 cps_burst=2"],
            of_set: (0, 0),
            wants: "ABB---",
            later: "ABB---",
        },
        Row {
            says: "inactive ones are not looked at",
            list: &["sip:10.0.0.1:5060 cps=1", "1 sip:10.0.0.2:5060"],
            of_set: (0, 0),
            wants: "A-----",
            later: "A-----",
        },
        Row {
            says: "the set as a whole",
            list: &[A, B],
            of_set: (4, 3),
            wants: "ABA---",
            later: "BAB---",
        },
        Row {
            says: "what a destination refuses does not count for the set",
            list: &["sip:10.0.0.1:5060 cps=1", "4 sip:10.0.0.2:5060"],
            of_set: (2, 2),
            wants: "A-----",
            later: "A-----",
        },
        Row {
            says: "0 is no limit",
            list: &["sip:10.0.0.1:5060 cps=0 cps_burst=1"],
            of_set: (0, 5),
            wants: "AAAAAA",
            later: "AAAAAA",
        },
        Row {
            says: "each address of a name has the limit",
            list: &["sip:media.example.com cps=1"],
            of_set: (0, 0),
            wants: "AB----",
            later: "AB----",
        },
    ];
    for row in rows {
        let mut relay = Relay::new(row.list);
        limit(&mut relay, row.of_set.0, row.of_set.1);
        assert_eq!(letters(&mut relay, 0..6), row.wants, "{}", row.says);
        relay.pass_ms(1_000);
        assert_eq!(letters(&mut relay, 10..16), row.later, "{}, later", row.says);
    }
}

/// After the destinations of the list are at their limits, the rest of the set is found by any
/// algorithm, and copies go where the first one went.
#[test]
fn every_algorithm_finds_the_one_that_is_below_its_limit() {
    for (algorithm, name, _) in Algorithm::ALL {
        for is_kamailio in [false, true] {
            let choosing = Choosing {
                algorithm: *algorithm,
                is_kamailio,
                hash_over: vec![strowger::destination::Part::CallId],
                ..Choosing::default()
            };
            let mut list: Vec<_> =
                (1..=40).map(|n| format!("sip:10.0.0.{n}:5060 cps=1 weight=2 rweight=2")).collect();
            list[16] = "sip:10.0.0.17:5060 weight=1 rweight=2".into();
            let list: Vec<_> = list.iter().map(String::as_str).collect();
            let mut relay = Relay::choosing(&choosing, &list);
            let mut taken = std::collections::HashMap::new();
            for n in 0..200 {
                let call = invite(&format!("call-{n}"));
                let hop = relay.send(CALLER, &call).next_hop();
                let copy = relay.send(CALLER, &call);
                assert_eq!(copy.verdict, Verdict::Forwarded(Forwarded::Pinned));
                assert_eq!(copy.next_hop(), hop);
                *taken.entry(hop).or_insert(0) += 1;
            }
            assert!(taken["10.0.0.17:5060"] > 150, "{name}: {taken:?}");
            taken.remove("10.0.0.17:5060");
            assert!(taken.values().all(|calls| *calls == 1), "{name}: {taken:?}");
        }
    }
}

#[test]
fn the_last_resort_is_last_and_has_a_limit_too() {
    let choosing = Choosing { use_default: true, ..Choosing::default() };
    let list = ["sip:10.0.0.1:5060 cps=1", "sip:10.0.0.2:5060 cps=2 cps_burst=2"];
    let mut relay = Relay::choosing(&choosing, &list);
    assert_eq!(letters(&mut relay, 0..5), "ABB--");
}

#[test]
fn a_call_with_the_same_key_goes_to_the_same_other_one() {
    let choosing = Choosing { algorithm: Algorithm::Consistent, ..Choosing::default() };
    let list: Vec<_> = (1..=20).map(|n| format!("sip:10.0.0.{n}:5060 cps=1")).collect();
    let list: Vec<_> = list.iter().map(String::as_str).collect();
    let hop = |first: usize| {
        let mut relay = Relay::choosing(&choosing, &list);
        let of = |n: usize| {
            let mut call = Request::new("INVITE", "one-call-id");
            call.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-{n}");
            call.text()
        };
        (relay.send(CALLER, of(first)).next_hop(), relay.send(CALLER, of(first + 1)).next_hop())
    };
    assert_eq!(hop(1), hop(3));
    assert_ne!(hop(1).0, hop(1).1);
}

#[test]
fn the_answer_is_the_same_for_copies_and_ends_here() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 cps=1"]);
    letters(&mut relay, 0..1);
    let first = relay.send(CALLER, invite("over"));
    assert_eq!(first.verdict, Verdict::Answered(Answer::OverRate));
    let first = first.sent.unwrap();
    assert_eq!(first.first_line(), "SIP/2.0 503 Over limit");
    assert_eq!(first.rows("Retry-After"), ["1"]);
    // Its turn would have come by now.
    relay.pass_ms(5_000);
    let copy = relay.send(CALLER, invite("over"));
    assert_eq!(copy.verdict, Verdict::Answered(Answer::OverRate));
    assert_eq!(copy.sent.unwrap().bytes, first.bytes);
    let cancel = relay.send(CALLER, Request::new("CANCEL", "over").text());
    assert_eq!(cancel.answer(), "SIP/2.0 200 OK");
    let mut ack = Request::new("ACK", "over");
    let to = first.rows("To")[0].clone();
    ack.to = &to;
    assert_eq!(relay.send(CALLER, ack.text()).dropped(), Reason::OwnAck);
    assert_eq!(letters(&mut relay, 1..2), "A");
}

#[test]
fn the_answer_as_configured() {
    for (retry_after_s, wants) in [(0, &[][..]), (9, &["9"]), (3_600, &["3600"])] {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060 cps=1"]);
        relay.snapshot.set_default.over_limit =
            OverLimit { status: StatusLine { code: 480, reason: "Later".into() }, retry_after_s };
        letters(&mut relay, 0..1);
        let sent = relay.send(CALLER, invite("over")).sent.unwrap();
        assert_eq!(sent.first_line(), "SIP/2.0 480 Later");
        assert_eq!(sent.rows("Retry-After"), wants);
    }
}

#[test]
fn only_new_calls_count() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 cps=1"]);
    limit(&mut relay, 1, 1);
    for n in 0..3 {
        let options = Request::new("OPTIONS", &format!("ping-{n}")).text();
        assert_eq!(relay.send(CALLER, options).verdict, Verdict::Forwarded(Forwarded::Chosen));
    }
    let first = relay.send(CALLER, invite("auth")).forwarded();
    relay.send("10.0.0.1:5060", response(&first, "401 Unauthorized", "b")).forwarded();
    // With credentials it is the same call.
    let mut again = Request::new("INVITE", "auth");
    again.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-auth-2");
    again.cseq = "2 INVITE".into();
    again.more = "Proxy-Authorization: Digest x\r\n".into();
    assert_eq!(relay.send(CALLER, again.text()).verdict, Verdict::Forwarded(Forwarded::Chosen));
    assert_eq!(letters(&mut relay, 0..1), "-");
}

#[test]
fn a_call_that_cannot_be_sent_gives_its_turn_back() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 cps=1"]);
    limit(&mut relay, 1, 1);
    let mut long = Request::new("INVITE", "long");
    long.more = format!("X-Long: {}\r\n", "x".repeat(65_200));
    let outcome = relay.send(CALLER, long.text());
    assert_eq!(outcome.verdict, Verdict::Answered(Answer::TooLarge));
    assert_eq!(letters(&mut relay, 0..2), "A-");
}

#[test]
fn a_reload_keeps_what_is_counted_and_brings_other_limits() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 cps=1", "sip:10.0.0.2:5060 cps=1"]);
    assert_eq!(letters(&mut relay, 0..3), "AB-");
    relay.load(&["sip:10.0.0.2:5060 cps=1", "sip:10.0.0.1:5060 cps=1"]);
    assert_eq!(letters(&mut relay, 10..11), "-");
    relay.load(&["sip:10.0.0.1:5060 cps=2 cps_burst=2", "sip:10.0.0.2:5060 cps=1"]);
    relay.pass_ms(500);
    assert_eq!(letters(&mut relay, 20..23), "A--");
    relay.load(&[A]);
    assert_eq!(letters(&mut relay, 30..32), "AA");

    // The limit of a set is kept as well.
    let mut relay = Relay::new(&[A]);
    limit(&mut relay, 1, 1);
    letters(&mut relay, 0..1);
    relay.load(&[B]);
    assert_eq!(letters(&mut relay, 1..2), "-");
}

#[test]
fn a_slot_given_to_another_starts_anew() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 cps=1 cps_burst=10000"]);
    letters(&mut relay, 0..2_000);
    relay.load(&[]);
    relay.pass_ms(1_800_000);
    relay.end_trust();
    relay.load(&["sip:10.0.0.2:5060 cps=1 cps_burst=1"]);
    assert_eq!(letters(&mut relay, 5_000..5_002), "B-");
}

#[test]
fn of_two_records_with_one_slot_the_first_one_limits() {
    let mut records = ["cps=1", "cps=7"].map(|cps| record(&format!("{A} {cps}"), 0));
    records[1].record.attributes.duid = Some("other".into());
    let mut relay = Relay::new(&[]);
    relay.load_records(&records);
    assert_eq!(letters(&mut relay, 0..2), "A-");
}

/// Returns where a new call from this address goes, as [`letters`] does; `s` if its source is over
/// its limit.
fn from(relay: &mut Relay, source: &str, call_id: &str) -> char {
    let mut invite = Request::new("INVITE", call_id);
    invite.via = format!("SIP/2.0/UDP {source};branch=z9hG4bK-{call_id}");
    let outcome = relay.send(source, invite.text());
    match outcome.verdict {
        Verdict::Answered(Answer::OverSourceRate) => 's',
        Verdict::Answered(Answer::OverRate) => '-',
        _ => char::from(b'A' - 1 + outcome.next_hop().as_bytes()[7] - b'0'),
    }
}

/// A relay that lets each source send one call a second to each of these destinations.
fn one_of_each_source(list: &[&str]) -> Relay {
    let mut relay = Relay::new(list);
    let limits = Limits { calls_per_second: 1, burst: 1, calls_max: 0 };
    relay.snapshot.set_default.source_limits = limits;
    relay
}

#[test]
fn each_source_has_a_limit_of_its_own_at_each_destination() {
    struct Row {
        says: &'static str,
        list: &'static [&'static str],
        /// Who calls, by the last octet of the address.
        callers: &'static str,
        wants: &'static str,
        later: &'static str,
    }
    let rows = [
        Row {
            says: "one to each destination",
            list: &[A, B],
            callers: "777 888",
            wants: "ABs ABs",
            later: "ABs ABs",
        },
        Row {
            says: "what one source uses up is not another's",
            list: &[A],
            callers: "77879 9",
            wants: "AsAsA s",
            later: "AsAsA s",
        },
        Row {
            says: "the destination's limit is not used up by a source over its own",
            list: &["sip:10.0.0.1:5060 cps=2 cps_burst=2"],
            callers: "77789",
            wants: "AssA-",
            later: "AssA-",
        },
        Row {
            says: "nor is the source's by a destination that is at its own",
            list: &["sip:10.0.0.1:5060 cps=1", "sip:10.0.0.2:5060 cps=4 cps_burst=4"],
            callers: "7878",
            wants: "ABB-",
            later: "ABB-",
        },
    ];
    for row in rows {
        let mut relay = one_of_each_source(row.list);
        let mut calls = |round: &str| -> String {
            let calls = row.callers.chars().enumerate().map(|(n, caller)| {
                let call_id = format!("{round}-{n}");
                match caller {
                    ' ' => ' ',
                    _ => from(&mut relay, &format!("198.51.100.{caller}:506{n}"), &call_id),
                }
            });
            let calls = calls.collect();
            relay.pass_ms(1_000);
            calls
        };
        assert_eq!(calls("first"), row.wants, "{}", row.says);
        assert_eq!(calls("later"), row.later, "{}, a second later", row.says);
    }
}

#[test]
fn a_call_over_the_limit_of_its_source_is_answered_alike_every_time() {
    let mut relay = one_of_each_source(&[A]);
    assert_eq!(from(&mut relay, CALLER, "first"), 'A');
    let first = relay.send(CALLER, invite("over"));
    assert_eq!(first.verdict, Verdict::Answered(Answer::OverSourceRate));
    let first = first.sent.unwrap();
    assert_eq!(first.first_line(), "SIP/2.0 503 Over limit");
    assert_eq!(first.rows("Retry-After"), ["1"]);
    // By now it would be taken.
    relay.pass_ms(5_000);
    let copy = relay.send(CALLER, invite("over"));
    assert_eq!(copy.verdict, Verdict::Answered(Answer::OverSourceRate));
    assert_eq!(copy.sent.unwrap().bytes, first.bytes);
    assert_eq!(from(&mut relay, CALLER, "next"), 'A');
}

#[test]
fn a_call_that_is_not_sent_is_given_back_to_its_source() {
    let mut relay = one_of_each_source(&["sip:10.0.0.1:5060 maxload=2"]);
    let mut long = Request::new("INVITE", "long");
    long.more = format!("X-Long: {}\r\n", "x".repeat(65_200));
    assert_eq!(relay.send(CALLER, long.text()).verdict, Verdict::Answered(Answer::TooLarge));
    assert_eq!(from(&mut relay, CALLER, "a"), 'A');
    // What its source refuses is not in progress either.
    assert_eq!(from(&mut relay, CALLER, "b"), 's');
    assert_eq!(relay.shared.calls.len(), 1);
    let set = relay.snapshot.destinations.set(1).unwrap();
    assert_eq!(set.load().calls(), 1);
    assert_eq!(from(&mut relay, "198.51.100.8:5060", "c"), 'A');
}

#[test]
fn a_full_table_refuses_new_sources_and_no_others() {
    let mut relay = one_of_each_source(&[A]);
    let limits = Limits { calls_per_second: 1, burst: 2, calls_max: 0 };
    relay.snapshot.set_default.source_limits = limits;
    let source = |n: usize| format!("198.51.{}.{}:5060", n / 256, n % 256);
    let refused = (0..300).find(|n| from(&mut relay, &source(*n), &format!("call-{n}")) == 's');
    assert!((180..=256).contains(&refused.unwrap()), "{refused:?}");
    assert_eq!(relay.shared.source_rates.table_full(), 1);
    assert_eq!(from(&mut relay, &source(0), "again"), 'A');
    relay.pass_ms(2_000);
    assert_eq!(from(&mut relay, &source(refused.unwrap()), "later"), 'A');
}

#[test]
fn over_ipv6_the_source_is_a_network() {
    let mut relay = Relay::listening(&["192.0.2.1:5060", "[2001:db8::1]:5060"], &[A]);
    relay.snapshot.set_default.source_limits =
        Limits { calls_per_second: 1, burst: 1, calls_max: 0 };
    for (source, is_taken) in [
        ("[2001:db8:0:7::1]:5060", true),
        ("[2001:db8:0:7::2]:5060", false),
        ("[2001:db8:0:8::1]:5060", true),
        ("[2001:db8:0:8:ffff::1]:5070", false),
    ] {
        let mut call = Request::new("INVITE", source);
        call.via = format!("SIP/2.0/UDP {source};branch=z9hG4bK-{}", source.len());
        let outcome = relay.send_to(0, 1, source, call.text().as_bytes());
        assert_eq!(matches!(outcome.verdict, Verdict::Forwarded(_)), is_taken, "{source}");
    }
}
