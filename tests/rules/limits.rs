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
