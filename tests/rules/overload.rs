//! Overload control (RFC 7339): what our Via offers, whose reports are obeyed, and which requests are
//! kept from a destination.

use std::collections::BTreeMap;
use std::sync::Arc;

use strowger::destination::{Algorithm, Choosing, Limits, Part};
use strowger::proxy::{Answer, Forwarded, Reason, SourceMatch, Verdict};
use strowger::transaction::Failover;

use crate::messages::{CALLER, Request, by_callee, by_caller, invite, response};
use crate::relay::{Relay, Sent};

const A: &str = "10.0.0.1:5060";
const B: &str = "10.0.0.2:5060";
const LIST: [&str; 3] = ["sip:10.0.0.1:5060", "sip:10.0.0.2:5060", "sip:10.0.0.3:5060"];
const OFFER: &str = ";oc;oc-algo=\"loss\"";

/// A relay whose set uses overload control.
fn controlling(list: &[&str]) -> Relay {
    let choosing = Choosing { algorithm: Algorithm::OverloadControl, ..Choosing::default() };
    with(&choosing, false, list)
}

/// A relay whose set chooses this way, and has this for `overload_control`.
fn with(choosing: &Choosing, overload_control: bool, list: &[&str]) -> Relay {
    let mut relay = Relay::choosing(choosing, list);
    let set = &mut relay.snapshot.set_default;
    set.choosing = choosing.clone();
    set.overload_control = overload_control;
    relay.snapshot.policy.controls_overload = set.controls_overload();
    relay
}

/// The response of a server that reports this in our Via.
fn report(to: &Sent, status: &str, parameters: &str) -> String {
    let response = response(to, status, "bob");
    assert_eq!(response.matches(OFFER).count(), 1, "{response}");
    response.replacen(OFFER, parameters, 1)
}

/// Sends calls until one reaches this destination, which then asks for this.
fn ask(relay: &mut Relay, destination: &str, parameters: &str) {
    for n in 0..100 {
        let name = format!("ask-{destination}-{parameters}-{n}");
        let Some(sent) = relay.send(CALLER, invite(&name)).sent else { continue };
        if sent.to.to_string() == destination {
            relay.send(destination, report(&sent, "180 Ringing", parameters)).forwarded();
            return;
        }
    }
    panic!("no call goes to {destination}");
}

/// How many of these calls go where, and how many are refused.
fn ends(relay: &mut Relay, name: &str, count: usize) -> BTreeMap<String, usize> {
    let mut ends = BTreeMap::new();
    for n in 0..count {
        let outcome = relay.send(CALLER, invite(&format!("{name}-{n}")));
        let end = match outcome.verdict {
            Verdict::Answered(answer) => answer.label().into(),
            _ => outcome.next_hop(),
        };
        *ends.entry(end).or_insert(0) += 1;
    }
    ends
}

fn counts(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect()
}

#[test]
fn our_via_offers_it_where_it_is_used() {
    for (is_used, wants) in [(true, OFFER), (false, "")] {
        let mut relay = with(&Choosing::default(), is_used, &LIST[..1]);
        let own = |sent: &Sent| {
            let via = sent.rows("Via")[0].clone();
            let at = via.find(";oc").unwrap_or(via.len());
            via[at..].to_owned()
        };
        let sent = relay.send(CALLER, invite("call")).forwarded();
        assert_eq!(own(&sent), wants);
        assert_eq!(sent.rows("Via").len(), 2);
        let cancel = invite("call").replace("INVITE", "CANCEL");
        assert_eq!(own(&relay.send(CALLER, cancel).forwarded()), wants);
        // It is stripped with our Via.
        let ok = relay.send(A, response(&sent, "200 OK", "bob")).forwarded();
        assert!(!ok.text().contains("oc"), "{}", ok.text());
        let bye = relay.send(CALLER, by_caller("BYE", "call", &sent.routes())).forwarded();
        assert_eq!(own(&bye), wants, "in its dialog, too");
        let uri = "sip:alice@198.51.100.7:5062";
        let bye = relay.send(A, by_callee("BYE", "call", uri, &sent.routes())).forwarded();
        assert_eq!((bye.to.to_string().as_str(), own(&bye).as_str()), (CALLER, ""));
    }
}

#[test]
fn a_set_that_does_not_use_it_offers_and_obeys_nothing() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.policy.controls_overload = true;
    let mut other = relay.snapshot.set_default.clone();
    other.overload_control = true;
    Arc::make_mut(&mut relay.snapshot.sets).insert(2, other);
    let sent = relay.send(CALLER, invite("first")).forwarded();
    assert!(!sent.text().contains(";oc"));
    let forced = response(&sent, "200 OK", "bob").replacen(";sw=", ";oc=100;sw=", 1);
    relay.send(A, forced).forwarded();
    assert_eq!(ends(&mut relay, "call", 10), counts(&[(A, 10)]));
}

#[test]
fn of_a_hundred_calls_exactly_as_many_as_asked_for_are_kept_away() {
    for (percent, wants) in [
        (0, counts(&[(A, 50), (B, 50)])),
        (10, counts(&[(A, 45), (B, 55)])),
        (50, counts(&[(A, 25), (B, 75)])),
        (98, counts(&[(A, 1), (B, 99)])),
        (100, counts(&[(B, 100)])),
    ] {
        let mut relay = controlling(&LIST[..2]);
        ask(&mut relay, A, &format!(";oc={percent};oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1"));
        relay.send(CALLER, invite("the turn of B"));
        // Twice 50 turns of A are all of its 100 places.
        let (first, second) = (ends(&mut relay, "a", 100), ends(&mut relay, "b", 100));
        let sum = |end: &str| first.get(end).unwrap_or(&0) + second.get(end).unwrap_or(&0);
        let all: BTreeMap<String, usize> =
            wants.iter().map(|(end, count)| (end.clone(), 2 * count)).collect();
        let sums: BTreeMap<String, usize> = all.keys().map(|end| (end.clone(), sum(end))).collect();
        assert_eq!(sums, all, "{percent}");
    }
}

#[test]
fn what_one_redirects_goes_to_none_that_asks_for_less() {
    let mut relay = controlling(&LIST[..2]);
    ask(&mut relay, A, ";oc=40;oc-validity=5000;oc-seq=1.1");
    ask(&mut relay, B, ";oc=10;oc-validity=5000;oc-seq=1.1");
    let all = ends(&mut relay, "call", 1_000);
    let near = |end: &str, wants: usize| all[end].abs_diff(wants) <= 2;
    assert!(near(A, 300) && near(B, 450) && near("overloaded", 250), "{all:?}");
    // With a third one, nothing is refused: it gets what both redirect.
    let mut relay = controlling(&LIST);
    ask(&mut relay, A, ";oc=40;oc-validity=5000;oc-seq=1.1");
    ask(&mut relay, B, ";oc=10;oc-validity=5000;oc-seq=1.1");
    let all = ends(&mut relay, "call", 900);
    let near = |end: &str, wants: usize| all[end].abs_diff(wants) <= 2;
    assert!(near(A, 180) && near(B, 270) && near("10.0.0.3:5060", 450), "{all:?}");
}

#[test]
fn what_is_redirected_spreads_over_all_others() {
    let list: Vec<String> = (1..=10).map(|n| format!("sip:10.0.0.{n}:5060")).collect();
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    let mut relay = controlling(&list);
    ask(&mut relay, A, ";oc=100;oc-validity=5000;oc-seq=1.1");
    let all = ends(&mut relay, "call", 2_000);
    assert!(!all.contains_key(A), "{all:?}");
    assert!(all.len() == 9 && all.values().all(|count| count.abs_diff(222) < 30), "{all:?}");
}

/// Any algorithm: the set's key is one mechanism for all.
#[test]
fn every_algorithm_redirects() {
    for (algorithm, name, _) in Algorithm::ALL {
        for is_kamailio in [false, true] {
            let choosing = Choosing {
                algorithm: *algorithm,
                is_kamailio,
                hash_over: vec![Part::CallId],
                ..Choosing::default()
            };
            let list = LIST.map(|uri| format!("{uri} weight=2 rweight=2 priority=5"));
            let mut relay = with(&choosing, true, &list.each_ref().map(String::as_str));
            let first = relay.send(CALLER, invite("first")).forwarded();
            let lost = first.to.to_string();
            let asked = ";oc=100;oc-validity=5000;oc-seq=1.1";
            relay.send(&lost, report(&first, "100 Trying", asked)).forwarded();
            let all = ends(&mut relay, "call", 60);
            assert!(!all.contains_key(&lost) && !all.contains_key("overloaded"), "{name}: {all:?}");
        }
    }
}

#[test]
fn if_all_are_overloaded_the_call_is_refused_once() {
    let mut relay = controlling(&LIST[..1]);
    ask(&mut relay, A, ";oc=100;oc-validity=5000;oc-seq=1.1");
    let call = invite("refused");
    let outcome = relay.send(CALLER, &call);
    assert_eq!(outcome.verdict, Verdict::Answered(Answer::Overloaded));
    assert!(relay.heard().is_none(), "no destination has failed");
    let answer = outcome.sent.unwrap();
    assert_eq!(answer.first_line(), "SIP/2.0 503 Service Unavailable");
    assert!(answer.rows("Retry-After").is_empty(), "RFC 7339 §5.10");
    // A copy gets the same, even if there is room by then, and the ACK ends here.
    relay.pass_ms(5_000);
    let copy = relay.send(CALLER, &call);
    assert_eq!(copy.verdict, Verdict::Answered(Answer::Overloaded));
    assert_eq!(copy.sent.unwrap().bytes, answer.bytes);
    let to = answer.rows("To")[0].clone();
    let ack =
        call.replace("INVITE", "ACK").replace("To: <sip:bob@example.com>", &format!("To: {to}"));
    assert_eq!(relay.send(CALLER, ack).verdict, Verdict::Dropped(Reason::OwnAck));
    assert_eq!(ends(&mut relay, "call", 3), counts(&[(A, 3)]), "its time is over");
}

#[test]
fn only_new_requests_are_kept_away() {
    let mut relay = controlling(&LIST[..1]);
    let sent = relay.send(CALLER, invite("call")).forwarded();
    let open = invite("open");
    relay.send(CALLER, &open).forwarded();
    let challenged = relay.send(CALLER, invite("auth")).forwarded();
    relay.send(A, response(&challenged, "401 Unauthorized", "b")).forwarded();
    relay.send(A, report(&sent, "200 OK", ";oc=100;oc-validity=5000;oc-seq=1.1")).forwarded();
    let routes = sent.routes();
    for method in ["ACK", "INVITE", "INFO", "BYE"] {
        let outcome = relay.send(CALLER, by_caller(method, "call", &routes));
        assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::Token), "{method}");
    }
    for message in [open.clone(), open.replace("INVITE", "CANCEL")] {
        let outcome = relay.send(CALLER, message);
        assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::Pinned));
    }
    let mut answer = Request::new("INVITE", "auth");
    answer.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-auth-2");
    answer.cseq = "2 INVITE".into();
    answer.more = "Authorization: Digest x\r\n".into();
    assert_eq!(relay.send(CALLER, answer.text()).next_hop(), A, "it was let through before");
    // Other requests outside a dialog are new ones, too.
    for method in ["INVITE", "OPTIONS", "MESSAGE", "SUBSCRIBE", "REGISTER"] {
        let outcome = relay.send(CALLER, Request::new(method, method).text());
        assert_eq!(outcome.verdict, Verdict::Answered(Answer::Overloaded), "{method}");
    }
}

#[test]
fn whose_report_counts() {
    struct Row {
        says: &'static str,
        status: &'static str,
        from: &'static str,
        parameters: String,
        counts: bool,
    }
    let good = ";oc=100;oc-algo=\"loss\";oc-validity=5000;oc-seq=1.1";
    let row = |says, status, from, parameters: &str, counts| Row {
        says,
        status,
        from,
        parameters: parameters.to_owned(),
        counts,
    };
    for Row { says, status, from, parameters, counts } in [
        row("a 100", "100 Trying", A, good, true),
        row("a provisional response", "183 Queued", A, good, true),
        row("a 200", "200 OK", A, good, true),
        row("a failure", "503 Service Unavailable", A, good, true),
        row("no time: 500 ms", "200 OK", A, ";oc=100", true),
        row("from another destination", "200 OK", B, good, false),
        row("from another port", "200 OK", "10.0.0.1:5061", good, false),
        row("from anybody", "200 OK", "203.0.113.9:5060", good, false),
        row("another algorithm", "200 OK", A, ";oc=100;oc-algo=\"rate\"", false),
        row("our offer, unchanged", "200 OK", A, OFFER, false),
        row("a validity of 0", "200 OK", A, ";oc=100;oc-validity=0;oc-seq=1.1", false),
    ] {
        let mut relay = controlling(&LIST[..1]);
        let sent = relay.send(CALLER, invite("first")).forwarded();
        relay.send(from, report(&sent, status, &parameters));
        let is_obeyed = ends(&mut relay, "call", 1) == self::counts(&[("overloaded", 1)]);
        assert_eq!(is_obeyed, counts, "{says}");
    }
}

#[test]
fn a_report_needs_our_parameter() {
    let asked = ";oc=100;oc-validity=5000;oc-seq=1.1";
    let sent_with = |change: &dyn Fn(String) -> String, wants: &str, verdict: Option<Reason>| {
        let mut relay = controlling(&LIST[..1]);
        let sent = relay.send(CALLER, invite("first")).forwarded();
        let outcome = relay.send(A, change(report(&sent, "200 OK", asked)));
        match verdict {
            None => assert!(matches!(outcome.verdict, Verdict::Forwarded(_)), "{wants}"),
            Some(reason) => assert_eq!(outcome.verdict, Verdict::Dropped(reason), "{wants}"),
        }
        assert_eq!(ends(&mut relay, "call", 1), counts(&[(wants, 1)]));
    };
    sent_with(&|response| response, "overloaded", None);
    // Forwarded by the branch, as always, but the report may be anybody's.
    let lost = |response: String| {
        let at = response.find(";sw=").unwrap();
        let end = at + response[at + 1..].find(';').unwrap() + 1;
        format!("{}{}", &response[..at], &response[end..])
    };
    sent_with(&lost, A, None);
    let forged = |response: String| {
        let at = response.find(";sw=").unwrap() + 20;
        let digit = if response[at..].starts_with('0') { "1" } else { "0" };
        format!("{}{digit}{}", &response[..at], &response[at + 1..])
    };
    sent_with(&forged, A, Some(Reason::ForgedVia));
    // In the Via of the caller it is the caller's.
    let next = |response: String| {
        let at = response.find(asked).unwrap();
        let without = response.replacen(asked, "", 1);
        format!(
            "{}{}",
            &without[..at],
            without[at..].replacen(";branch", &format!("{asked};branch"), 1)
        )
    };
    sent_with(&next, A, None);
}

#[test]
fn a_server_that_answers_from_another_port_is_known_by_its_address() {
    let mut relay = controlling(&LIST[..1]);
    relay.snapshot.policy.source_match = SourceMatch::Address;
    let sent = relay.send(CALLER, invite("first")).forwarded();
    relay.send("10.0.0.1:40000", report(&sent, "200 OK", ";oc=100")).forwarded();
    assert_eq!(ends(&mut relay, "call", 1), counts(&[("overloaded", 1)]));
}

#[test]
fn a_lone_100_reports_too() {
    let mut relay = controlling(&LIST[..1]);
    let sent = relay.send(CALLER, invite("first")).forwarded();
    let trying = report(&sent, "100 Trying", ";oc=100;oc-seq=1.1");
    let lone = trying.replacen(&format!("Via: {}\r\n", sent.rows("Via")[1]), "", 1);
    assert_eq!(relay.send(A, lone).verdict, Verdict::Dropped(Reason::LoneTrying));
    assert_eq!(ends(&mut relay, "call", 1), counts(&[("overloaded", 1)]));
}

#[test]
fn emergency_calls_pass_up_to_their_ceiling() {
    let mut relay = controlling(&LIST[..1]);
    relay.snapshot.policy.emergency.per_source = 2;
    ask(&mut relay, A, ";oc=100;oc-validity=5000;oc-seq=1.1");
    let sos = |n: usize| {
        Request { uri: "urn:service:sos", ..Request::new("INVITE", "sos") }
            .text()
            .replace("sos\r\n", &format!("sos-{n}\r\n"))
            .replace("-sos-1", &format!("-sos-{n}"))
    };
    for n in 0..2 {
        assert_eq!(relay.send(CALLER, sos(n)).next_hop(), A);
    }
    let refused = relay.send(CALLER, sos(2));
    assert_eq!(refused.verdict, Verdict::Answered(Answer::Overloaded));
    let emergencies = &relay.shared.emergencies;
    assert_eq!((emergencies.passed(), emergencies.over_ceiling()), (2, 1));
}

#[test]
fn a_call_that_is_kept_away_counts_nowhere() {
    let mut relay =
        controlling(&["sip:10.0.0.1:5060 cps=1 cps_burst=5 maxload=5", "sip:10.0.0.2:5060"]);
    relay.snapshot.set_default.source_limits =
        Limits { calls_per_second: 1, burst: 200, calls_max: 0 };
    ask(&mut relay, A, ";oc=100;oc-validity=5000;oc-seq=1.1");
    assert_eq!(ends(&mut relay, "kept", 20), counts(&[(B, 20)]));
    relay.pass_ms(5_000);
    // The first call is in progress; A has room for four more.
    assert_eq!(ends(&mut relay, "call", 20), counts(&[(A, 4), (B, 16)]));
    let destination =
        relay.snapshot.destinations.by_source(A.parse().unwrap(), SourceMatch::Address);
    let slot = destination.unwrap().slot;
    assert_eq!(relay.snapshot.destinations.get(slot).unwrap().load.calls(), 5);
}

/// A full destination would not get the call anyway, so its turn does not count.
#[test]
fn what_one_at_its_limit_does_not_take_is_not_kept_from_it() {
    let mut relay = controlling(&["sip:10.0.0.1:5060 maxload=1"]);
    ask(&mut relay, A, ";oc=50;oc-validity=5000;oc-seq=1.1");
    assert_eq!(ends(&mut relay, "full", 7), counts(&[("over_calls", 7)]));
    let slot = relay.snapshot.destinations.by_source(A.parse().unwrap(), SourceMatch::Address);
    let load = &relay.snapshot.destinations.get(slot.unwrap().slot).unwrap().load;
    assert_eq!(load.overload().asked(relay.now).unwrap().turn, 0);
}

#[test]
fn a_stateful_set_reads_reports_and_tries_those_with_room() {
    let mut relay = Relay::stateful(Failover::default(), &LIST);
    relay.snapshot.set_default.overload_control = true;
    relay.snapshot.policy.controls_overload = true;
    let request =
        |sent: &[Sent]| sent.iter().find(|s| s.text().starts_with("INVITE")).unwrap().clone();
    // B reports in a response that ends at its transaction.
    let first = request(&relay.deliver(CALLER, invite("one")).1);
    let second = request(&relay.deliver(CALLER, invite("two")).1);
    assert_eq!((first.to.to_string().as_str(), second.to.to_string().as_str()), (A, B));
    relay.deliver(B, report(&second, "100 Trying", ";oc=100;oc-validity=5000;oc-seq=1.1"));
    // The next try of the first call goes past B.
    let busy = report(&first, "503 Busy", ";oc=0;oc-validity=0;oc-seq=1.1");
    let next = request(&relay.deliver(A, busy).1);
    assert_eq!(next.to.to_string(), "10.0.0.3:5060");
    assert!(next.rows("Via")[0].ends_with(OFFER));
    // With B and C overloaded, a call that A fails has no other destination.
    relay.deliver("10.0.0.3:5060", report(&next, "100 Trying", ";oc=100;oc-seq=1.1"));
    let call = (0..9).find_map(|n| {
        let sent = request(&relay.deliver(CALLER, invite(&format!("call-{n}"))).1);
        (sent.to.to_string() == A).then_some(sent)
    });
    let busy = report(&call.unwrap(), "503 Busy", ";oc=0;oc-validity=0;oc-seq=1.2");
    let sent = relay.deliver(A, busy).1;
    assert!(sent.iter().all(|sent| !sent.text().starts_with("INVITE")), "{sent:?}");
    assert!(sent.iter().any(|sent| sent.text().starts_with("SIP/2.0 500 ")), "§16.7: no 503");
}
