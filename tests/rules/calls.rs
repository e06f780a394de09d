//! Calls in progress: what begins and ends one, and what happens at the limit.

use strowger::destination::{Algorithm, Choosing, Limits, SpillOver};
use strowger::proxy::{Answer, Verdict};

use crate::messages::{A, CALLER, Request, by_callee, by_caller, call, invite, response};
use crate::relay::{Relay, Sent};

const ONE: &str = "sip:10.0.0.1:5060 maxload=100";
const TWO: &str = "sip:10.0.0.2:5060 maxload=100";

/// Returns how many calls are counted at the first destination; the table, the destination and its set
/// must agree.
fn calls(relay: &Relay) -> u64 {
    let destinations = &relay.snapshot.destinations;
    let set = destinations.set(1).unwrap();
    let slots = (0..9).map(strowger::destination::Slot);
    let loads: Vec<_> =
        slots.filter_map(|slot| Some(destinations.get(slot)?.load.calls())).collect();
    assert_eq!(loads.iter().sum::<u64>(), set.load().calls());
    assert_eq!(relay.shared.calls.len(), set.load().calls());
    loads[0]
}

fn answer(relay: &mut Relay, sent: &Sent, status: &str) {
    relay.send(&sent.to.to_string(), response(sent, status, "bob")).forwarded();
}

fn is_over(relay: &mut Relay, call_id: &str) -> bool {
    relay.send(CALLER, invite(call_id)).verdict == Verdict::Answered(Answer::OverCalls)
}

/// Gives up what was not heard of for too long, as the control thread does.
fn sweep(relay: &Relay) {
    let destinations = &relay.snapshot.destinations;
    for _ in 0..64 {
        relay.shared.calls.sweep(relay.now, |slot| destinations.end_call(slot));
    }
}

#[test]
fn what_ends_a_call() {
    struct Row {
        says: &'static str,
        /// Whether the call is answered first.
        is_answered: bool,
        then: fn(&mut Relay, &Sent),
        wants: u64,
    }
    let rows = [
        Row { says: "nothing yet", is_answered: false, then: |_, _| {}, wants: 1 },
        Row {
            says: "a provisional response does not",
            is_answered: false,
            then: |relay, sent| {
                answer(relay, sent, "100 Trying");
                answer(relay, sent, "180 Ringing");
            },
            wants: 1,
        },
        Row {
            says: "a refusal",
            is_answered: false,
            then: |relay, sent| answer(relay, sent, "486 Busy Here"),
            wants: 0,
        },
        Row {
            says: "a copy of the refusal ends nothing else",
            is_answered: false,
            then: |relay, sent| {
                answer(relay, sent, "486 Busy Here");
                relay.send(CALLER, invite("another")).forwarded();
                answer(relay, sent, "486 Busy Here");
            },
            wants: 1,
        },
        Row {
            says: "a CANCEL by its 487",
            is_answered: false,
            then: |relay, sent| {
                relay.send(CALLER, Request::new("CANCEL", "call").text()).forwarded();
                assert_eq!(calls(relay), 1);
                answer(relay, sent, "487 Request Terminated");
            },
            wants: 0,
        },
        Row {
            says: "a copy of the INVITE begins nothing",
            is_answered: false,
            then: |relay, _| drop(relay.send(CALLER, invite("call")).forwarded()),
            wants: 1,
        },
        Row {
            says: "a late refusal does not end what was answered",
            is_answered: true,
            then: |relay, sent| answer(relay, sent, "486 Busy Here"),
            wants: 1,
        },
        Row {
            says: "the caller's BYE",
            is_answered: true,
            then: |relay, sent| {
                relay.send(CALLER, by_caller("BYE", "call", &sent.routes())).forwarded();
            },
            wants: 0,
        },
        Row {
            says: "the caller's BYE without a Route, and its copy",
            is_answered: true,
            then: |relay, _| {
                for _ in 0..2 {
                    relay.send(CALLER, by_caller("BYE", "call", "")).forwarded();
                }
            },
            wants: 0,
        },
        Row {
            says: "the callee's BYE",
            is_answered: true,
            then: |relay, sent| {
                let bye = by_callee("BYE", "call", "sip:alice@198.51.100.7:5062", &sent.routes());
                relay.send(A, bye).forwarded();
            },
            wants: 0,
        },
        Row {
            says: "the BYE of another call does not",
            is_answered: true,
            then: |relay, sent| {
                let mut bye = Request::new("BYE", "call");
                (bye.from, bye.to) = ("<sip:alice@example.org>;tag=eve", "<sip:b@c>;tag=x");
                bye.more = sent.routes();
                relay.send(CALLER, bye.text());
            },
            wants: 1,
        },
        Row {
            says: "a refused re-INVITE does not",
            is_answered: true,
            then: |relay, sent| {
                let again = by_caller("INVITE", "call", &sent.routes());
                let again = relay.send(CALLER, again).forwarded();
                answer(relay, &again, "488 Not Acceptable Here");
            },
            wants: 1,
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&[ONE]);
        let sent = if row.is_answered {
            call(&mut relay, "call")
        } else {
            relay.send(CALLER, invite("call")).forwarded()
        };
        assert_eq!(calls(&relay), 1);
        (row.then)(&mut relay, &sent);
        assert_eq!(calls(&relay), row.wants, "{}", row.says);
    }
}

#[test]
fn at_the_limit_the_next_one_is_chosen_and_then_the_call_is_refused() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 maxload=1", "sip:10.0.0.2:5060 maxload=2"]);
    let first = call(&mut relay, "a");
    assert_eq!(first.to.to_string(), "10.0.0.1:5060");
    let others = ["b", "c"].map(|call_id| call(&mut relay, call_id));
    assert!(others.iter().all(|sent| sent.to.to_string() == "10.0.0.2:5060"));
    assert!(is_over(&mut relay, "d"));
    let refused = relay.send(CALLER, invite("d")).sent.unwrap();
    assert_eq!(refused.first_line(), "SIP/2.0 503 Over limit");
    relay.send(CALLER, by_caller("BYE", "a", &first.routes())).forwarded();
    assert!(is_over(&mut relay, "d"), "a copy gets the same");
    assert_eq!(relay.send(CALLER, invite("e")).next_hop(), "10.0.0.1:5060");
    assert!(is_over(&mut relay, "f"));
    // Only calls are limited.
    relay.send(CALLER, Request::new("OPTIONS", "g").text()).forwarded();
    calls(&relay);
}

#[test]
fn calls_go_to_the_one_with_the_fewest() {
    let list = ["sip:10.0.0.1:5060", "sip:10.0.0.2:5060 maxload=2", "sip:10.0.0.3:5060"];
    let choosing = Choosing { algorithm: Algorithm::CallLoad, ..Choosing::default() };
    let mut relay = Relay::choosing(&choosing, &list);
    let calls = |relay: &mut Relay, ids: &[&str]| {
        let sent: Vec<_> = ids.iter().map(|call_id| call(relay, call_id)).collect();
        let to: Vec<_> = sent.iter().map(|sent| sent.to.ip().to_string()).collect();
        (to.iter().map(|to| &to[7..]).collect::<Vec<_>>().concat(), sent)
    };
    let (to, sent) = calls(&mut relay, &["a", "b", "c", "d", "e", "f", "g", "h"]);
    assert_eq!(to, "12312313", "the second one is at its limit");
    for at in [2, 5] {
        let bye = by_caller("BYE", ["c", "f"][at / 5], &sent[at].routes());
        relay.send(CALLER, bye).forwarded();
    }
    let (to, _) = calls(&mut relay, &["i", "j", "k"]);
    assert_eq!(to, "331", "two of the third have ended");

    let choosing = Choosing { algorithm: Algorithm::LeastCalls, ..Choosing::default() };
    let mut relay = Relay::choosing(&choosing, &["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let ids: Vec<_> = (0..40).map(|n| format!("call-{n}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let (to, _) = calls(&mut relay, &ids);
    // Of two, both are looked at.
    assert_eq!(to.matches('1').count(), 20, "{to}");
}

#[test]
fn a_hash_passes_over_one_that_holds_more_than_its_share() {
    let list = ["sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "sip:10.0.0.3:5060", "sip:10.0.0.4:5060"];
    // All calls come from one caller.
    let choosing = Choosing { algorithm: Algorithm::FromHash, ..Choosing::default() };
    let mut relay = Relay::choosing(&choosing, &list);
    let first = relay.send(CALLER, invite("first")).forwarded().to;
    for n in 0..20 {
        assert_eq!(relay.send(CALLER, invite(&format!("plain-{n}"))).forwarded().to, first);
    }
    let choosing = Choosing { load_factor_percent: 125, ..choosing };
    let mut relay = Relay::choosing(&choosing, &list);
    let (mut held, mut sent) = (std::collections::BTreeMap::new(), Vec::new());
    for n in 1..=40_u64 {
        let one = call(&mut relay, &format!("call-{n}"));
        *held.entry(one.to).or_insert(0) += 1;
        sent.push(one);
        let most = (n * 125).div_ceil(400);
        assert!(held.values().all(|held| *held <= most), "{n}: {held:?}");
    }
    calls(&relay);
    assert_eq!((sent[0].to, held[&first], held.len()), (first, 13, 4), "{held:?}");
    // Other requests hold nothing, so they go where the hash says.
    assert_eq!(relay.send(CALLER, Request::new("OPTIONS", "o").text()).forwarded().to, first);
    // When two of its calls end, it gets the next one.
    let of_first: Vec<_> = (1..).zip(&sent).filter(|(_, sent)| sent.to == first).take(2).collect();
    for (n, sent) in of_first {
        relay.send(CALLER, by_caller("BYE", &format!("call-{n}"), &sent.routes())).forwarded();
    }
    assert_eq!(call(&mut relay, "next").to, first);
    // If only one is left, or all others are at their limits, it takes what there is.
    relay.choose_by(&choosing, &list[..1]);
    assert!((0..20).all(|n| !is_over(&mut relay, &format!("alone-{n}"))));
    let full = ["sip:10.0.1.1:5060 maxload=1", "sip:10.0.1.2:5060 maxload=1", "sip:10.0.1.3:5060"];
    let mut relay = Relay::choosing(&choosing, &full);
    assert!((0..50).all(|n| !is_over(&mut relay, &format!("full-{n}"))));
}

/// Where so many new calls go, each destination by its last digit; `-` is over a limit.
fn calls_to(relay: &mut Relay, count: usize) -> String {
    let at = relay.now.ms();
    let to = |n: usize| match relay.send(CALLER, invite(&format!("at-{at}-{n}"))) {
        over if over.verdict == Verdict::Answered(Answer::OverCalls) => '-',
        sent => sent.forwarded().to.ip().to_string().chars().last().unwrap(),
    };
    (0..count).map(to).collect()
}

#[test]
fn calls_over_the_limits_of_a_priority_spill_to_the_next() {
    struct Row {
        algorithm: Algorithm,
        list: &'static [&'static str],
        /// Where calls go, and where they go without `spill_over`.
        wants: [&'static str; 2],
    }
    let rows = [
        Row {
            algorithm: Algorithm::First,
            list: &[
                "sip:10.0.0.1 priority=9 maxload=2",
                "sip:10.0.0.2 priority=9 maxload=1",
                "sip:10.0.0.3 priority=5 maxload=1",
            ],
            wants: ["1123-", "112--"],
        },
        Row {
            algorithm: Algorithm::PriorityWeight,
            list: &[
                "sip:10.0.0.3 priority=7 maxload=1",
                "sip:10.0.0.2 priority=2 maxload=1",
                "sip:10.0.0.1 priority=1 maxload=2",
            ],
            wants: ["1123-", "11---"],
        },
        Row {
            algorithm: Algorithm::PriorityWeight,
            list: &["sip:10.0.0.2 priority=2 maxload=3", "4 sip:10.0.0.1 priority=1"],
            wants: ["222--", "222--"],
        },
        Row {
            algorithm: Algorithm::Latency,
            list: &[
                "sip:10.0.0.1 priority=9 maxload=1",
                "sip:10.0.0.2 priority=9 maxload=1",
                "sip:10.0.0.3 priority=8 maxload=1",
            ],
            wants: ["123--", "12---"],
        },
        Row {
            algorithm: Algorithm::RoundRobin,
            list: &["sip:10.0.0.1 priority=9 maxload=1", "sip:10.0.0.2 priority=5 maxload=1"],
            wants: ["12---", "12---"],
        },
    ];
    for Row { algorithm, list, wants } in rows {
        for (spill_over, wants) in [SpillOver::Next, SpillOver::Never].into_iter().zip(wants) {
            let choosing = Choosing { algorithm, spill_over, ..Choosing::default() };
            let mut relay = Relay::choosing(&choosing, list);
            let told = calls_to(&mut relay, 5);
            assert_eq!(told, wants, "{algorithm:?} {list:?} {spill_over:?}");
            calls(&relay);
        }
    }
}

#[test]
fn what_spills_spreads_over_the_next_priority_by_weight() {
    let list = [
        "sip:10.0.0.1 priority=1 maxload=10",
        "sip:10.0.0.2 priority=2 weight=30",
        "sip:10.0.0.3 priority=2 weight=10",
    ];
    let choosing = Choosing { algorithm: Algorithm::PriorityWeight, ..Choosing::default() };
    let mut relay = Relay::choosing(&choosing, &list);
    let told = calls_to(&mut relay, 410);
    assert!(told.starts_with("1111111111") && told.matches('1').count() == 10, "{told}");
    // Within four standard deviations.
    assert!(told.matches('2').count().abs_diff(300) < 35, "{told}");
}

#[test]
fn a_destination_that_came_back_takes_a_share_that_grows() {
    let list = ["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"];
    for algorithm in [Algorithm::RoundRobin, Algorithm::CallIdHash, Algorithm::Random] {
        let choosing = Choosing { algorithm, slow_start_ms: 10_000, ..Choosing::default() };
        let mut relay = Relay::choosing(&choosing, &list);
        let slots = [0, 1].map(strowger::destination::Slot);
        let back = |relay: &Relay, slot| {
            relay.snapshot.destinations.get(slots[slot]).unwrap().load.came_back(relay.now);
        };
        back(&relay, 1);
        // Of 400 calls, half would be its own.
        for (pass_ms, wants) in [(0, 0), (2_500, 50), (2_500, 100), (5_000, 200), (60_000, 200)] {
            relay.pass_ms(pass_ms);
            let to = calls_to(&mut relay, 400);
            let got = to.matches('2').count();
            let slack = match (wants, algorithm) {
                (0, _) | (200, Algorithm::RoundRobin) => 0,
                _ => 45,
            };
            assert!(got.abs_diff(wants) <= slack, "{algorithm:?} {wants}: {got}");
        }
        // If all have just come back, there is nobody to leave a request to.
        for slot in [0, 1] {
            back(&relay, slot);
        }
        assert_eq!(calls_to(&mut relay, 20).len(), 20);
    }
}

#[test]
fn a_key_that_has_come_back_to_a_destination_stays() {
    let choosing =
        Choosing { algorithm: Algorithm::FromHash, slow_start_ms: 10_000, ..Choosing::default() };
    let mut relay = Relay::choosing(&choosing, &["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let second = relay.snapshot.destinations.get(strowger::destination::Slot(1)).unwrap();
    second.load.came_back(relay.now);
    let mut before = String::new();
    for round in 0..=20 {
        let mut to = |key: usize| {
            let call_id = format!("{round}-{key}");
            let from = format!("<sip:key-{key}@example.com>;tag={round}");
            let request = Request { from: &from, ..Request::new("OPTIONS", &call_id) };
            let sent = relay.send(CALLER, request.text()).forwarded();
            sent.to.ip().to_string().chars().last().unwrap()
        };
        let now: String = (0..50).map(&mut to).collect();
        let has_left = before.chars().zip(now.chars()).any(|(a, b)| (a, b) == ('2', '1'));
        assert!(!has_left, "{before}\n{now}");
        let is_halfway = (6..20).contains(&now.matches('2').count());
        assert!(is_halfway || round != 10, "{now}");
        before = now;
        relay.pass_ms(500);
    }
    assert!((18..33).contains(&before.matches('2').count()), "{before}");
}

#[test]
fn a_set_has_a_limit_too() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    relay.snapshot.set_default.limits = Limits { calls_max: 3, ..Limits::default() };
    let sent = ["a", "b", "c"].map(|call_id| call(&mut relay, call_id));
    assert!(is_over(&mut relay, "d"));
    relay.send(CALLER, by_caller("BYE", "b", &sent[1].routes())).forwarded();
    assert!(!is_over(&mut relay, "e"));
    assert!(is_over(&mut relay, "f"));
    assert_eq!(calls(&relay), 2);
}

#[test]
fn a_rate_that_refuses_leaves_no_call_in_progress() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 maxload=5 cps=1"]);
    relay.send(CALLER, invite("a")).forwarded();
    let refused = relay.send(CALLER, invite("b")).verdict;
    assert_eq!((refused, calls(&relay)), (Verdict::Answered(Answer::OverRate), 1));
    let mut long = Request::new("INVITE", "long");
    long.more = format!("X-Long: {}\r\n", "x".repeat(65_200));
    relay.pass_ms(1_000);
    assert_eq!(relay.send(CALLER, long.text()).verdict, Verdict::Answered(Answer::TooLarge));
    assert_eq!(calls(&relay), 1);
    relay.send(CALLER, invite("c")).forwarded();
}

#[test]
fn a_call_that_repeats_after_a_challenge_is_one_call() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 maxload=1"]);
    let repeat = |number: u32| {
        let mut again = Request::new("INVITE", "auth");
        again.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-auth-{number}");
        again.cseq = format!("{number} INVITE");
        again.more = "Proxy-Authorization: Digest x\r\n".into();
        again.text()
    };
    let first = relay.send(CALLER, invite("auth")).forwarded();
    answer(&mut relay, &first, "401 Unauthorized");
    assert_eq!(calls(&relay), 0);
    let second = relay.send(CALLER, repeat(2)).forwarded();
    answer(&mut relay, &first, "401 Unauthorized");
    assert_eq!(calls(&relay), 1);
    assert!(is_over(&mut relay, "other"));
    answer(&mut relay, &second, "407 Proxy Authentication Required");
    // Meanwhile another call took the place.
    relay.send(CALLER, invite("third")).forwarded();
    assert_eq!(relay.send(CALLER, repeat(3)).verdict, Verdict::Answered(Answer::OverCalls));
    assert_eq!(calls(&relay), 1);
}

#[test]
fn calls_that_are_not_heard_of_are_given_up() {
    for (says, status, life_ms) in [
        ("no response", None, 36_000),
        ("a provisional response", Some("180 Ringing"), 180_000),
        ("answered", Some("200 OK"), 7_200_000),
    ] {
        let mut relay = Relay::new(&[ONE]);
        let sent = relay.send(CALLER, invite("call")).forwarded();
        if let Some(status) = status {
            answer(&mut relay, &sent, status);
        }
        relay.pass_ms(life_ms);
        sweep(&relay);
        assert_eq!(calls(&relay), 1, "{says}");
        relay.pass_ms(8_000);
        sweep(&relay);
        assert_eq!(calls(&relay), 0, "{says}");
    }
    // A message in the dialog renews it, from either side.
    let mut relay = Relay::new(&[ONE]);
    let sent = call(&mut relay, "call");
    relay.pass_ms(7_000_000);
    relay.send(CALLER, by_caller("UPDATE", "call", &sent.routes())).forwarded();
    relay.pass_ms(7_000_000);
    sweep(&relay);
    let update = by_callee("UPDATE", "call", "sip:alice@198.51.100.7:5062", &sent.routes());
    relay.send(A, update).forwarded();
    relay.pass_ms(7_000_000);
    sweep(&relay);
    assert_eq!(calls(&relay), 1);
}

#[test]
fn a_session_timer_says_how_long_a_call_counts() {
    // What the first 200 says, what a refresh 1,000 s later says, and how long that one lasts.
    for (says, first, refreshed, life_ms) in [
        ("no timer", "", "", 7_200_000),
        (
            "a timer",
            "Session-Expires: 1800;refresher=uas\r\n",
            "Session-Expires: 1800\r\n",
            1_836_000,
        ),
        ("its compact form", "x:1800\r\n", "X : 1200 ;refresher=uac\r\n", 1_236_000),
        ("longer than two hours", "", "Session-Expires: 14400\r\n", 14_436_000),
        ("no longer a timer", "Session-Expires: 1800\r\n", "", 7_200_000),
        ("one that cannot be read", "", "Session-Expires: soon\r\n", 7_200_000),
        ("another field", "", "Min-SE: 90\r\n", 7_200_000),
    ] {
        for by_callee in [false, true] {
            for method in ["INVITE", "UPDATE"] {
                let mut relay = Relay::new(&[ONE]);
                let with = |ok: String, rows: &str| {
                    ok.replacen("Content-Length", &format!("{rows}Content-Length"), 1)
                };
                let sent = relay.send(CALLER, invite("call")).forwarded();
                let ok = with(response(&sent, "200 OK", "bob"), first);
                relay.send(A, ok).forwarded();
                relay.pass_ms(1_000_000);
                let (from, to) = if by_callee { (A, CALLER) } else { (CALLER, A) };
                let again = if by_callee {
                    by_callee_of(method, &sent.routes())
                } else {
                    by_caller(method, "call", &sent.routes())
                };
                let again = relay.send(from, again).forwarded();
                // Only the answer to it counts.
                relay.pass_ms(4_000);
                let ok = with(response(&again, "200 OK", "bob"), refreshed);
                relay.send(to, ok).forwarded();
                relay.pass_ms(life_ms - 10_000);
                let timed = !refreshed.is_empty() && life_ms != 7_200_000;
                if timed {
                    // No refresh.
                    relay.send(CALLER, by_caller("INFO", "call", &sent.routes())).forwarded();
                }
                relay.pass_ms(10_000);
                sweep(&relay);
                assert_eq!(calls(&relay), 1, "{says} {method} {by_callee}");
                relay.pass_ms(8_000);
                sweep(&relay);
                assert_eq!(calls(&relay), 0, "{says} {method} {by_callee}");
            }
        }
    }
}

fn by_callee_of(method: &str, routes: &str) -> String {
    by_callee(method, "call", "sip:alice@198.51.100.7:5062", routes)
}

#[test]
fn a_reload_keeps_calls_and_a_removed_destination_still_ends_them() {
    let mut relay = Relay::new(&[ONE, TWO]);
    let sent = call(&mut relay, "call");
    relay.load(&["sip:10.0.0.1:5060 maxload=1"]);
    assert_eq!(calls(&relay), 1);
    assert!(is_over(&mut relay, "over"));
    relay.load(&[TWO]);
    relay.send(CALLER, by_caller("BYE", "call", &sent.routes())).forwarded();
    assert_eq!(calls(&relay), 0);
}

#[test]
fn sets_without_a_limit_count_nothing() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 cps=5"]);
    call(&mut relay, "call");
    assert_eq!(calls(&relay), 0);
}

#[test]
fn a_full_table_refuses_calls_where_they_are_counted() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 maxload=100000", "set=2 sip:10.0.0.2:5060"]);
    let mut n = 0;
    while !is_over(&mut relay, &format!("call-{n}")) {
        n += 1;
    }
    assert!((700..=1_024).contains(&n), "{n}");
    assert_eq!(calls(&relay), n);
    relay.snapshot.policy.set = 2;
    relay.send(CALLER, invite("not-counted")).forwarded();
}

#[test]
fn messages_of_a_call_may_come_to_any_worker() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060 maxload=1"]);
    for n in 0..20 {
        let call_id = format!("call-{n}");
        let sent = relay.send_to(n % 3, 0, CALLER, invite(&call_id).as_bytes()).forwarded();
        let ok = response(&sent, "200 OK", "bob");
        relay.send_to((n + 1) % 3, 0, A, ok.as_bytes()).forwarded();
        assert!(is_over(&mut relay, &format!("over-{n}")));
        let bye = by_caller("BYE", &call_id, &sent.routes());
        relay.send_to((n + 2) % 3, 0, CALLER, bye.as_bytes()).forwarded();
        assert_eq!(calls(&relay), 0);
    }
}

#[test]
fn a_call_that_is_retried_is_in_progress_only_where_it_went_last() {
    let begun = || {
        let mut relay = Relay::new(&[ONE, TWO]);
        relay.send(CALLER, invite("call")).forwarded();
        assert_eq!(calls(&relay), 1);
        relay
    };
    let mut relay = begun();
    relay.load(&["1 sip:10.0.0.1:5060 maxload=100", TWO]);
    let second = relay.send(CALLER, invite("call"));
    assert_eq!(second.summary(), "retried 10.0.0.2:5060");
    assert_eq!((calls(&relay), relay.shared.calls.len()), (0, 1));
    answer(&mut relay, &second.forwarded(), "486 Busy Here");
    assert_eq!(relay.shared.calls.len(), 0);

    let mut relay = begun();
    relay.load(&["1 sip:10.0.0.1:5060 maxload=100", "1 sip:10.0.0.2:5060 maxload=100"]);
    assert_eq!(relay.send(CALLER, invite("call")).summary(), "no_destination");
    assert_eq!(calls(&relay), 0);

    // A copy of another method than INVITE ends no call.
    let mut relay = begun();
    relay.send(CALLER, Request::new("MESSAGE", "other").text()).forwarded();
    assert_eq!(calls(&relay), 1);
}
