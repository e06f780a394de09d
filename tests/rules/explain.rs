//! Explanations: why a message goes where it goes. For every message of every test here,
//! [`Relay::send_to`] asserts that the explanation comes true and that explaining changes nothing.

use strowger::destination::Slot;
use strowger::message::Fault;
use strowger::pin::State;
use strowger::proxy::{
    Answer, Explained, Forwarded, Leads, OwnRoute, Reason, Rule, Speaker, Verdict, likely_source,
};

use strowger::transaction::Failover;

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::Relay;

const A: &str = "sip:10.0.0.1:5060";
const B: &str = "sip:10.0.0.2:5060";

fn why(relay: &mut Relay, from: &str, text: &str) -> Explained {
    relay.explain(from, text)
}

/// Returns where it would go, and by which rule.
fn whither(relay: &mut Relay, from: &str, text: &str) -> (Rule, String) {
    let explained = why(relay, from, text);
    let hop = explained.leaves.map_or(String::new(), |leaves| leaves.flow.peer.to_string());
    (explained.rule, hop)
}

#[test]
fn a_new_call_gets_the_next_turn_however_often_it_is_explained() {
    let mut relay = Relay::new(&[A, B]);
    for n in 0..3 {
        let explained = why(&mut relay, CALLER, &invite("new"));
        assert_eq!(explained.rule, Rule::Turn, "time {n}");
        assert_eq!(explained.set, 1);
        assert_eq!(explained.destination, Some(explained.round[0]));
        assert_eq!(explained.leaves.unwrap().flow.peer.to_string(), "10.0.0.1:5060");
        assert_eq!((explained.transaction, explained.call), (None, None));
    }
    relay.send(CALLER, invite("other")).forwarded();
    let explained = why(&mut relay, CALLER, &invite("new"));
    let hops = explained
        .round
        .iter()
        .map(|slot| relay.snapshot.destinations.get(*slot).unwrap().address.to_string());
    assert_eq!(hops.collect::<Vec<_>>(), ["10.0.0.2:5060", "10.0.0.1:5060"]);
    // Other requests than INVITE have their own round.
    let options = Request::new("OPTIONS", "ping").text();
    assert_eq!(whither(&mut relay, CALLER, &options), (Rule::Turn, "10.0.0.1:5060".into()));
}

#[test]
fn the_addresses_of_one_record_are_told_in_their_own_order() {
    let mut relay = Relay::new(&[A, "sip:media.example.com"]);
    let hops = |relay: &mut Relay, call: &str| {
        let round = why(relay, CALLER, &invite(call)).round;
        let hops = round.iter().map(|slot| relay.snapshot.destinations.get(*slot).unwrap().address);
        hops.map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ")
    };
    let (a, m1, m2) = ("10.0.0.1", "203.0.113.1", "203.0.113.2");
    assert_eq!(hops(&mut relay, "n"), format!("{a} {m1} {m2}"));
    relay.send(CALLER, invite("one")).forwarded();
    assert_eq!(hops(&mut relay, "n"), format!("{m1} {m2} {a}"));
    relay.send(CALLER, invite("two")).forwarded();
    assert_eq!(hops(&mut relay, "n"), format!("{a} {m2} {m1}"));
}

#[test]
fn what_is_remembered_is_told_with_its_destination() {
    let mut relay = Relay::new(&[A, B]);
    let sent = relay.send(CALLER, invite("kept")).forwarded();
    let a = "10.0.0.1:5060".to_owned();
    let copy = why(&mut relay, CALLER, &invite("kept"));
    assert_eq!(copy.rule, Rule::Transaction);
    let remembered = copy.transaction.unwrap();
    assert_eq!((remembered.to, remembered.state), (Leads::To(Slot(0)), State::None));
    let cancel = Request::new("CANCEL", "kept").text();
    assert_eq!(whither(&mut relay, CALLER, &cancel), (Rule::Transaction, a.clone()));

    // Its response, and then a BYE without a Route.
    let ok = response(&sent, "200 OK", "bob");
    assert_eq!(whither(&mut relay, &a, &ok), (Rule::Via, CALLER.into()));
    assert_eq!(why(&mut relay, &a, &ok).destination, Some(Slot(0)));
    relay.send(&a, &ok).forwarded();
    let mut bye = Request::new("BYE", "kept");
    bye.to = "<sip:bob@example.com>;tag=bob";
    let bye = bye.text();
    assert_eq!(whither(&mut relay, CALLER, &bye), (Rule::Call, a.clone()));

    // The row is removed, the call stays.
    relay.load(&[B]);
    let explained = why(&mut relay, CALLER, &bye);
    assert_eq!((explained.rule, explained.destination), (Rule::Call, Some(Slot(0))));
    assert_eq!(explained.call.unwrap().to, Leads::To(Slot(0)));
}

#[test]
fn a_token_is_told_with_who_sends_by_it() {
    let mut relay = Relay::new(&[A, B]);
    let sent = relay.send(CALLER, invite("routed")).forwarded();
    let mut bye = Request::new("BYE", "routed");
    bye.to = "<sip:bob@example.com>;tag=bob";
    bye.more = format!("Route: {}\r\n", sent.record_routes()[0]);
    let explained = why(&mut relay, CALLER, &bye.text());
    assert_eq!((explained.rule, explained.destination), (Rule::Token, Some(Slot(0))));
    let OwnRoute::Verified(Speaker::Caller, token) = explained.route else {
        panic!("{explained:?}");
    };
    assert_eq!(token.destination.to_string(), "10.0.0.1:5060");
    // What is malformed, and a response, is not read for Routes.
    let bad = bye.text().replace("CSeq: 1", "CSeq: x");
    assert_eq!(why(&mut relay, CALLER, &bad).route, OwnRoute::Nothing);
    let ok = response(&sent, "200 OK", "bob").replace("From: ", &format!("{}From: ", bye.more));
    assert_eq!(why(&mut relay, "10.0.0.1:5060", &ok).route, OwnRoute::Nothing);
    let unreadable = bye.text().replace(">\r\nContent", ">, <x>\r\nContent");
    assert_eq!(why(&mut relay, CALLER, &unreadable).route, OwnRoute::Nothing);
    bye.call_id = "stolen";
    let explained = why(&mut relay, CALLER, &bye.text());
    assert_eq!(explained.route, OwnRoute::Forged);
    assert_eq!(explained.verdict, Verdict::Answered(Answer::Forbidden));
}

#[test]
fn credentials_go_to_who_asked_for_them() {
    let mut relay = Relay::new(&[A, B]);
    let sent = relay.send(CALLER, invite("asked")).forwarded();
    relay.send("10.0.0.1:5060", response(&sent, "401 Unauthorized", "x")).forwarded();
    let mut again = Request::new("INVITE", "asked");
    again.via = again.via.replace("-1", "-2");
    again.cseq = "2 INVITE".into();
    again.more = "Authorization: Digest username=\"alice\"\r\n".into();
    for _ in 0..2 {
        let explained = why(&mut relay, CALLER, &again.text());
        assert_eq!((explained.rule, explained.destination), (Rule::Challenge, Some(Slot(0))));
        assert!(explained.call.unwrap().is_challenge);
    }
    assert_eq!(relay.send(CALLER, again.text()).next_hop(), "10.0.0.1:5060");
}

#[test]
fn what_goes_nowhere_is_told_with_its_facts() {
    let mut relay = Relay::new(&[&format!("4 {A}")]);
    let explained = why(&mut relay, CALLER, &invite("nobody"));
    assert_eq!(explained.verdict, Verdict::Answered(Answer::NoDestination));
    assert_eq!((explained.rule, explained.round.len()), (Rule::Nowhere, 0));
    assert!(explained.leaves.unwrap().bytes.starts_with(b"SIP/2.0 404"));
    relay.send(CALLER, invite("nobody"));
    relay.load(&[A]);
    let copy = why(&mut relay, CALLER, &invite("nobody"));
    assert_eq!(copy.transaction.unwrap().to, Leads::NoDestination);
    assert_eq!(copy.verdict, Verdict::Answered(Answer::NoDestination));

    let explained = why(&mut relay, "10.0.0.1:5060", &invite("back"));
    assert_eq!(explained.verdict, Verdict::Answered(Answer::Forbidden));
    assert!(explained.sender.unwrap().is_listed);
    let explained = why(&mut relay, CALLER, &invite("bad").replace("CSeq: 1", "CSeq: one"));
    assert_eq!(explained.fault, Some(Fault::CSeq));
    assert_eq!(why(&mut relay, CALLER, "\r\n").verdict, Verdict::Dropped(Reason::KeepAlive));
}

#[test]
fn who_sent_it_is_guessed_from_the_message() {
    let mut relay = Relay::new(&[A, B]);
    let sent = relay.send(CALLER, invite("guess")).forwarded();
    let rport = invite("guess").replace(";branch", ";rport=4000;received=198.51.100.9;branch");
    let named = invite("guess").replace(CALLER, "pbx.example.com");
    let ours = invite("guess").replace(CALLER, "192.0.2.1:5060");
    let ok = response(&sent, "200 OK", "bob");
    let stranger = ok.replace("z9hG4bK", "z9hG4bL");
    let rows = [
        (invite("guess"), Some(CALLER)),
        (rport, Some("198.51.100.9:4000")),
        (named, None),
        (ours, None),
        (ok, Some("10.0.0.1:5060")),
        (stranger, None),
        ("rubbish".into(), None),
    ];
    for (text, wants) in rows {
        let source = likely_source(relay.now, &relay.shared, &relay.snapshot, text.as_bytes());
        assert_eq!(source.map(|source| source.to_string()).as_deref(), wants, "{text}");
    }
}

/// Who explains has no transactions: a response of the current try is explained by its pin.
#[test]
fn a_response_to_a_live_try_is_told_with_its_destination() {
    let mut relay = Relay::stateful(Failover::default(), &[A, B]);
    let (_, sent) = relay.deliver(CALLER, invite("tried"));
    let first = sent.last().unwrap().clone();
    let (_, sent) = relay.deliver("10.0.0.1:5060", response(&first, "503 Busy", "x"));
    let second = sent.last().unwrap().clone();
    assert_eq!(second.to.to_string(), "10.0.0.2:5060");
    let rows = [
        // Of the one that was left: only a 2xx would go to the caller.
        (&first, "486 Busy Here", Verdict::Dropped(Reason::OtherTry), Rule::Nowhere, None),
        (&second, "180 Ringing", Verdict::Forwarded(Forwarded::Response), Rule::Via, Some(Slot(1))),
        (&second, "200 OK", Verdict::Forwarded(Forwarded::Response), Rule::Via, Some(Slot(1))),
    ];
    for (request, status, verdict, rule, destination) in rows {
        let text = response(request, status, "x");
        let explained = why(&mut relay, &request.to.to_string(), &text);
        assert_eq!((explained.verdict, explained.rule), (verdict, rule), "{status}");
        assert_eq!(explained.destination, destination, "{status}");
        assert_eq!(explained.transaction.unwrap().to, Leads::To(Slot(1)));
        relay.deliver(&request.to.to_string(), &text);
    }
}

#[test]
fn what_is_longer_than_any_datagram_is_explained_too() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut text = invite("long").into_bytes();
    text.resize(70_000, b'x');
    assert_eq!(relay.send(CALLER, text).dropped(), Reason::Truncated);
}
