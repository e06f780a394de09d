//! Emergency calls: which pass a limit, and how many.

use strowger::destination::Limits;
use strowger::proxy::{Answer, EmergencyBy, Prefix, Verdict};

use crate::messages::{CALLER, Request, invite};
use crate::relay::Relay;

const SOS: &str = "urn:service:sos.police";
const A: &str = "10.0.0.1:5060";

/// A relay with this list that knows some emergency calls, of which three a second of each source may
/// pass a limit.
fn full(list: &[&str]) -> Relay {
    let mut relay = Relay::new(list);
    let emergency = &mut relay.snapshot.policy.emergency;
    emergency.numbers = vec!["112".into()];
    emergency.resource_priority = vec!["esnet.0".into()];
    emergency.resource_priority_from =
        vec![Prefix::new("198.51.100.7".parse().unwrap(), 32).unwrap()];
    emergency.per_source = 3;
    relay
}

fn call<'a>(call_id: &'a str, uri: &'a str) -> Request<'a> {
    Request { uri, ..Request::new("INVITE", call_id) }
}

/// Returns where it goes, or the name of our answer.
fn end(relay: &mut Relay, from: &str, request: &Request) -> String {
    let outcome = relay.send(from, request.text());
    match outcome.verdict {
        Verdict::Answered(answer) => answer.label().into(),
        _ => outcome.next_hop(),
    }
}

fn counted(relay: &Relay) -> (u64, u64) {
    let emergencies = &relay.shared.emergencies;
    (emergencies.passed(), emergencies.over_ceiling())
}

#[test]
fn which_calls_pass() {
    let prio = "Resource-Priority: dsn.flash, esnet.0\r\n";
    for (says, method, uri, more, from, passes) in [
        ("an ordinary call", "INVITE", "sip:bob@example.com", "", CALLER, None),
        ("the service", "INVITE", SOS, "", CALLER, Some(EmergencyBy::Service)),
        ("the number", "INVITE", "sip:112@example.com", "", CALLER, Some(EmergencyBy::Number)),
        ("the same as tel", "INVITE", "tel:112", "", CALLER, Some(EmergencyBy::Number)),
        ("another number", "INVITE", "tel:113", "", CALLER, None),
        (
            "the priority of a source that may send it",
            "INVITE",
            "tel:5",
            prio,
            CALLER,
            Some(EmergencyBy::ResourcePriority),
        ),
        ("and of one that may not", "INVITE", "tel:5", prio, "198.51.100.8:5062", None),
    ] {
        for list in [&["sip:10.0.0.1:5060 cps=1 maxload=9"], &["sip:10.0.0.1:5060 maxload=1"]] {
            let mut relay = full(list);
            assert_eq!(end(&mut relay, CALLER, &call("first", "sip:bob@example.com")), A, "{says}");
            let mut request = call("second", uri);
            request.method = method;
            request.more = more.into();
            assert_eq!(relay.explain(from, request.text()).emergency, passes, "{says}");
            let wants = match (passes, list[0].contains("cps")) {
                (Some(_), _) => A,
                (None, true) => "over_rate",
                (None, false) => "over_calls",
            };
            assert_eq!(end(&mut relay, from, &request), wants, "{says}");
            assert_eq!(counted(&relay), (u64::from(passes.is_some()), 0), "{says}");
            // A copy goes where the first one went, and counts no more.
            assert_eq!(end(&mut relay, from, &request), wants, "{says}");
            assert_eq!(counted(&relay), (u64::from(passes.is_some()), 0), "{says}");
            let in_progress = 1 + u64::from(passes.is_some());
            assert_eq!(relay.shared.calls.len(), in_progress, "{says}");
        }
    }
}

#[test]
fn every_limit_is_passed_and_counts_the_call() {
    for (says, list, of_set, of_source) in [
        (
            "the set's rate",
            "sip:10.0.0.1:5060",
            Limits { calls_per_second: 1, burst: 1, calls_max: 0 },
            0,
        ),
        ("the set's calls", "sip:10.0.0.1:5060", Limits { calls_max: 1, ..Limits::default() }, 0),
        ("the destination's rate", "sip:10.0.0.1:5060 cps=1", Limits::default(), 0),
        ("the destination's calls", "sip:10.0.0.1:5060 maxload=1", Limits::default(), 0),
        ("the source's", "sip:10.0.0.1:5060", Limits::default(), 1),
        (
            "all of them",
            "sip:10.0.0.1:5060 cps=1 maxload=1",
            Limits { calls_per_second: 1, burst: 1, calls_max: 1 },
            1,
        ),
    ] {
        let mut relay = full(&[list]);
        relay.snapshot.set_default.limits = of_set;
        relay.snapshot.set_default.source_limits =
            Limits { calls_per_second: of_source, burst: of_source, calls_max: 0 };
        assert_eq!(end(&mut relay, CALLER, &call("sos-1", SOS)), A, "{says}");
        assert_eq!(counted(&relay), (0, 0), "{says}: it was within the limit");
        for n in 2..=4 {
            assert_eq!(end(&mut relay, CALLER, &call(&format!("sos-{n}"), SOS)), A, "{says}");
            assert_eq!(counted(&relay), (n - 1, 0), "{says}");
        }
        // They count, so an ordinary call waits; and above the ceiling an emergency call is one.
        assert!(end(&mut relay, CALLER, &call("sip", "sip:bob@example.com")).starts_with("over_"));
        assert!(end(&mut relay, CALLER, &call("sos-5", SOS)).starts_with("over_"), "{says}");
        assert_eq!(counted(&relay), (3, 1), "{says}");
        // Other sources have a ceiling of their own.
        let other = "198.51.100.9:5062";
        if of_source == 0 {
            assert_eq!(end(&mut relay, other, &call("sos-6", SOS)), A, "{says}");
            assert_eq!(counted(&relay), (4, 1), "{says}");
        }
        relay.pass_ms(1_000);
        relay.send(CALLER, invite("busy"));
        assert_eq!(end(&mut relay, CALLER, &call("sos-7", SOS)), A, "{says}: a second later");
    }
}

#[test]
fn one_with_room_comes_first() {
    let mut relay = full(&["sip:10.0.0.1:5060 cps=1", "sip:10.0.0.2:5060 cps=2 cps_burst=2"]);
    let ends: Vec<_> =
        (0..5).map(|n| end(&mut relay, CALLER, &call(&format!("sos-{n}"), SOS))).collect();
    let b = "10.0.0.2:5060";
    assert_eq!(ends[..3], [A, b, b]);
    assert!(ends[3..].iter().all(|end| end == A || end == b), "{ends:?}");
    assert_eq!(counted(&relay), (2, 0));
}

#[test]
fn a_pass_that_is_not_used_is_given_back() {
    let mut relay = full(&["sip:10.0.0.1:5060 cps=1"]);
    relay.snapshot.policy.emergency.per_source = 1;
    assert_eq!(end(&mut relay, CALLER, &call("first", "tel:5")), A);
    let mut long = call("long", SOS);
    long.more = format!("X-Long: {}\r\n", "x".repeat(65_200));
    assert_eq!(end(&mut relay, CALLER, &long), "513");
    assert_eq!(end(&mut relay, CALLER, &call("sos", SOS)), A);
    assert_eq!(end(&mut relay, CALLER, &call("sos-2", SOS)), "over_rate");

    // A set that is over its limit and has no destination.
    let mut relay = full(&["sip:10.0.0.1:5060"]);
    relay.snapshot.policy.emergency.per_source = 1;
    relay.snapshot.set_default.limits = Limits { calls_max: 1, ..Limits::default() };
    assert_eq!(end(&mut relay, CALLER, &call("first", "tel:5")), A);
    relay.load(&["4 sip:10.0.0.1:5060"]);
    assert_eq!(end(&mut relay, CALLER, &call("sos", SOS)), "no_destination");
    relay.load(&["sip:10.0.0.1:5060"]);
    assert_eq!(end(&mut relay, CALLER, &call("sos-2", SOS)), A);
    assert_eq!(relay.shared.calls.len(), 2);
}

#[test]
fn none_passes_if_that_is_configured() {
    let mut relay = full(&["sip:10.0.0.1:5060 cps=1"]);
    relay.snapshot.policy.emergency.per_source = 0;
    assert_eq!(end(&mut relay, CALLER, &call("first", SOS)), A);
    assert_eq!(relay.explain(CALLER, call("second", SOS).text()).emergency, None);
    let refused = relay.send(CALLER, call("second", SOS).text()).verdict;
    assert_eq!(refused, Verdict::Answered(Answer::OverRate));
    assert_eq!(counted(&relay), (0, 0));
}

#[test]
fn a_full_table_of_calls_stops_no_emergency_call() {
    let mut relay = full(&["sip:10.0.0.1:5060 maxload=100000"]);
    let mut n = 0;
    while end(&mut relay, CALLER, &call(&format!("call-{n}"), "tel:5")) == A {
        n += 1;
    }
    let counts = |relay: &Relay| {
        let set = relay.snapshot.destinations.set(1).unwrap();
        (set.load().calls(), relay.shared.calls.len())
    };
    let before = counts(&relay);
    // The same Call-ID and tag, so the same buckets, which are full.
    let mut sos = call("", SOS);
    let (call_id, via) = (format!("call-{n}"), "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-sos");
    (sos.call_id, sos.via) = (&call_id, via.into());
    assert_eq!(end(&mut relay, CALLER, &sos), A);
    assert_eq!((counts(&relay), counted(&relay)), (before, (1, 0)));
}
