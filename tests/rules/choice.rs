//! Round robin, and the pins that keep a request at its destination.

use std::sync::Arc;

use strowger::proxy::{
    Answer, Flow, Forwarded, FrameBuffer, ListenerId, Outbox, Proxy, Reason, Rewrite, Verdict,
};

use crate::messages::{CALLER, Request, invite, response};
use crate::relay::Relay;

const A: &str = "sip:10.0.0.1:5060";
const B: &str = "sip:10.0.0.2:5060";
const C: &str = "sip:10.0.0.3:5060";
const D: &str = "sip:10.0.0.4:5060";

/// Returns where new calls go, each as the letter of the last octet.
fn letters(relay: &mut Relay, calls: std::ops::Range<usize>) -> String {
    calls.map(|n| letter(&relay.send(CALLER, invite(&format!("call-{n}"))).next_hop())).collect()
}

fn letter(address: &str) -> char {
    let octet: u8 =
        address.rsplit_once(':').unwrap().0.rsplit('.').next().unwrap().parse().unwrap();
    char::from(b'A' - 1 + octet)
}

#[test]
fn calls_go_round_in_the_order_of_the_list() {
    let mut relay = Relay::new(&[A, B]);
    assert_eq!(letters(&mut relay, 0..5), "ABABA");
}

#[test]
fn inactive_and_disabled_ones_are_never_chosen_and_trying_ones_are() {
    let mut relay = Relay::new(&[A, &format!("1 {B}"), &format!("2 {C}"), &format!("4 {D}")]);
    assert_eq!(letters(&mut relay, 0..4), "ACAC");
}

#[test]
fn a_changed_set_goes_on_after_the_last_one_used() {
    struct Row {
        says: &'static str,
        calls: usize,
        new_list: &'static [&'static str],
        wants: &'static str,
    }
    let rows = [
        Row {
            says: "the last one used leaves: its follower is next",
            calls: 2,
            new_list: &[A, C, D],
            wants: "CDA",
        },
        Row {
            says: "the next one leaves: the one after it is next",
            calls: 2,
            new_list: &[A, B, D],
            wants: "DAB",
        },
        Row {
            says: "an earlier one leaves: nothing is skipped",
            calls: 3,
            new_list: &[B, C, D],
            wants: "DBC",
        },
        Row {
            says: "the last in the list was used and leaves",
            calls: 4,
            new_list: &[A, B, C],
            wants: "ABC",
        },
        Row { says: "nothing changes", calls: 3, new_list: &[A, B, C, D], wants: "DAB" },
        Row { says: "nothing was called yet", calls: 0, new_list: &[B, C, D], wants: "BCD" },
        Row { says: "all are new", calls: 3, new_list: &["sip:10.0.0.9:5060"], wants: "III" },
        Row {
            says: "one is switched off",
            calls: 1,
            new_list: &[A, "4 sip:10.0.0.2:5060", C, D],
            wants: "CDA",
        },
    ];
    for row in rows {
        let mut relay = Relay::new(&[A, B, C, D]);
        letters(&mut relay, 0..row.calls);
        relay.load(row.new_list);
        // A second load of the same list changes nothing.
        relay.load(row.new_list);
        assert_eq!(letters(&mut relay, 100..103), row.wants, "{}", row.says);
    }
}

#[test]
fn a_set_that_was_empty_for_a_while_answers_404_and_comes_back() {
    let mut relay = Relay::new(&[A, B]);
    letters(&mut relay, 0..1);
    relay.load(&[]);
    assert_eq!(relay.send(CALLER, invite("empty")).answer(), "SIP/2.0 404 No destination");
    relay.load(&[A, B]);
    assert_eq!(letters(&mut relay, 10..12), "BA", "after the last one used");
}

#[test]
fn a_record_with_two_addresses_takes_one_turn() {
    let mut relay = Relay::new(&[A, "sip:media.example.com"]);
    let hops: Vec<_> =
        (0..6).map(|n| relay.send(CALLER, invite(&format!("c{n}"))).next_hop()).collect();
    let a = "10.0.0.1:5060";
    let (m1, m2) = ("203.0.113.1:5060", "203.0.113.2:5060");
    assert_eq!(hops, [a, m1, a, m2, a, m1]);
}

#[test]
fn options_between_calls_do_not_skew_the_calls() {
    let mut relay = Relay::new(&[A, B]);
    let mut order = String::new();
    for n in 0..4 {
        let call_id = format!("call-{n}");
        order.push(letter(&relay.send(CALLER, invite(&call_id)).next_hop()));
        let call_id = format!("ping-{n}");
        relay.send(CALLER, Request::new("OPTIONS", &call_id).text()).forwarded();
    }
    assert_eq!(order, "ABAB");
}

#[test]
fn what_belongs_to_a_request_goes_where_it_went() {
    struct Row {
        says: &'static str,
        method: &'static str,
        to: &'static str,
        from_address: &'static str,
    }
    let rows = [
        Row { says: "a copy", method: "INVITE", to: "<sip:bob@example.com>", from_address: CALLER },
        Row {
            says: "a copy from another port",
            method: "INVITE",
            to: "<sip:bob@example.com>",
            from_address: "198.51.100.7:9999",
        },
        Row {
            says: "its CANCEL",
            method: "CANCEL",
            to: "<sip:bob@example.com>",
            from_address: CALLER,
        },
        Row {
            says: "the ACK to its non-2xx",
            method: "ACK",
            to: "<sip:bob@example.com>;tag=bob",
            from_address: CALLER,
        },
    ];
    let mut relay = Relay::new(&[A, B, C]);
    letters(&mut relay, 0..1);
    let first = relay.send(CALLER, invite("pinned")).forwarded();
    for (worker, row) in rows.iter().enumerate() {
        let mut request = Request::new(row.method, "pinned");
        request.to = row.to;
        let copy = relay.send_to(worker, 0, row.from_address, request.text().as_bytes());
        assert_eq!(copy.verdict, Verdict::Forwarded(Forwarded::Pinned), "{}", row.says);
        let copy = copy.forwarded();
        assert_eq!((copy.to, copy.branch()), (first.to, first.branch()), "{}", row.says);
    }
    assert_eq!(letters(&mut relay, 10..12), "CA", "none of them took a turn");
}

#[test]
fn pins_outlive_the_row_of_their_destination() {
    let mut relay = Relay::new(&[A, B]);
    relay.send(CALLER, invite("kept")).forwarded();
    relay.load(&[B]);
    let cancel = relay.send(CALLER, Request::new("CANCEL", "kept").text());
    assert_eq!(cancel.next_hop(), "10.0.0.1:5060");
}

#[test]
fn pins_end_with_their_time() {
    let mut relay = Relay::new(&[A, B]);
    relay.send(CALLER, invite("short")).forwarded();
    relay.now = relay.now.plus_ms(239_000);
    assert_eq!(relay.send(CALLER, invite("short")).verdict, Verdict::Forwarded(Forwarded::Pinned));
    relay.now = relay.now.plus_ms(248_000);
    assert_eq!(relay.send(CALLER, invite("short")).verdict, Verdict::Forwarded(Forwarded::Chosen));
    // A ringing call is kept for half an hour.
    let ringing = relay.send(CALLER, invite("ringing")).forwarded();
    relay.send(&ringing.to.to_string(), response(&ringing, "180 Ringing", "b")).forwarded();
    relay.now = relay.now.plus_ms(1_799_000);
    assert_eq!(
        relay.send(CALLER, Request::new("CANCEL", "ringing").text()).verdict,
        Verdict::Forwarded(Forwarded::Pinned)
    );
}

#[test]
fn our_own_answer_to_an_invite_is_pinned_too() {
    let mut relay = Relay::new(&[]);
    let first = relay.send(CALLER, invite("none")).sent.unwrap();
    // A destination added in between does not get the copies.
    relay.load(&[A]);
    let copy = relay.send(CALLER, invite("none"));
    assert_eq!(copy.verdict, Verdict::Answered(Answer::NoDestination));
    assert_eq!(copy.sent.unwrap().bytes, first.bytes, "the very same answer, its To tag too");
    assert_eq!(
        relay.send(CALLER, Request::new("CANCEL", "none").text()).answer(),
        "SIP/2.0 200 OK"
    );
    let mut ack = Request::new("ACK", "none");
    let to = first.rows("To")[0].clone();
    ack.to = &to;
    assert_eq!(relay.send(CALLER, ack.text()).dropped(), Reason::OwnAck);
}

#[test]
fn the_repeat_after_a_challenge_goes_to_the_server_that_knows_the_nonce() {
    let mut relay = Relay::new(&[A, B, C]);
    let first = relay.send(CALLER, invite("auth")).forwarded();
    relay.send("10.0.0.1:5060", response(&first, "401 Unauthorized", "b")).forwarded();
    let again = |number: u32| {
        let mut repeat = Request::new("INVITE", "auth");
        repeat.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-auth-{number}");
        repeat.cseq = format!("{number} INVITE");
        repeat.more = "Proxy-Authorization: Digest x\r\n".into();
        repeat.text()
    };
    assert_eq!(relay.send(CALLER, again(2)).next_hop(), "10.0.0.1:5060");
    assert_eq!(
        relay.send(CALLER, again(2)).verdict,
        Verdict::Forwarded(Forwarded::Pinned),
        "its copy"
    );
    assert_eq!(
        relay.send(CALLER, again(3)).next_hop(),
        "10.0.0.2:5060",
        "one repeat only; it took no turn"
    );
}

#[test]
fn a_challenger_that_was_switched_off_is_not_asked_again() {
    let mut relay = Relay::new(&[A, B]);
    let first = relay.send(CALLER, invite("auth")).forwarded();
    relay
        .send("10.0.0.1:5060", response(&first, "407 Proxy Authentication Required", "b"))
        .forwarded();
    relay.load(&[&format!("4 {A}"), B]);
    let mut repeat = Request::new("INVITE", "auth");
    repeat.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-auth-2");
    repeat.cseq = "2 INVITE".into();
    repeat.more = "authorization: Digest x\r\n".into();
    assert_eq!(relay.send(CALLER, repeat.text()).next_hop(), "10.0.0.2:5060");
}

#[test]
fn forks_and_keep_alives_with_one_call_id_spread() {
    let mut relay = Relay::new(&[A, B]);
    let mut order = String::new();
    for n in 0..4 {
        let mut fork = Request::new("INVITE", "one-call-id");
        fork.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-fork-{n}");
        order.push(letter(&relay.send(CALLER, fork.text()).next_hop()));
    }
    assert_eq!(order, "ABAB");
}

#[test]
fn copies_at_many_workers_at_once_get_one_answer() {
    let relay = Relay::new(&[A, B, C]);
    let (shared, snapshot, now) = (&relay.shared, &relay.snapshot, relay.now);
    let calls: Vec<String> = (0..300).map(|n| invite(&format!("raced-{n}"))).collect();
    let go_to = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let calls = &calls;
                scope.spawn(move || {
                    let mut proxy = Proxy::new(Arc::clone(shared));
                    let mut outbox = Outbox::new();
                    let mut frame = FrameBuffer::default();
                    let flow = Flow::new(&shared.listeners, ListenerId(0), CALLER.parse().unwrap());
                    let mut hops = Vec::new();
                    for call in calls {
                        let verdict = proxy.datagram(
                            now,
                            snapshot,
                            flow,
                            frame.receive(call.as_bytes()),
                            &mut outbox,
                        );
                        let is_dropped = verdict == Verdict::Dropped(Reason::PinContended);
                        hops.push((!is_dropped).then(|| outbox.entries()[0].flow.peer));
                    }
                    hops
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let mut shares = std::collections::HashMap::new();
    for call in 0..calls.len() {
        let hops: std::collections::HashSet<_> =
            go_to.iter().filter_map(|hops| hops[call]).collect();
        assert_eq!(hops.len(), 1, "call {call} went to {hops:?}");
        *shares.entry(hops.into_iter().next().unwrap()).or_insert(0) += 1;
    }
    assert!(shares.values().all(|share| *share == 100), "{shares:?}");
}

#[test]
fn an_address_of_the_other_family_leaves_by_the_listener_that_reaches_it() {
    let v6 = "sip:[2001:db8::9]:5060";
    let addresses = ["192.0.2.1:5060", "[2001:db8::1]:5060"];
    let mut relay = Relay::listening(&addresses, &[v6]);
    let sent = relay.send(CALLER, invite("v6")).forwarded();
    assert_eq!(sent.listener, ListenerId(1));
}

#[test]
fn one_that_goes_and_comes_back_between_calls_keeps_its_turn() {
    let mut relay = Relay::new(&[A, B, C]);
    assert_eq!(letters(&mut relay, 0..2), "AB");
    relay.load(&[A, &format!("1 {B}"), C]);
    relay.load(&[A, B, C]);
    assert_eq!(letters(&mut relay, 2..4), "CA", "B was the last one used");
    relay.load(&[B, C]);
    relay.load(&[B, C]);
    relay.load(&[A, B, C]);
    assert_eq!(letters(&mut relay, 4..6), "BC", "A was the last one used");
}

#[test]
fn a_retired_destination_that_calls_and_is_challenged_comes_back_to_its_challenger() {
    let mut relay = Relay::new(&[A, B, C]);
    relay.load(&[B, C]);
    let retired = "10.0.0.1:5060";
    let request = |number: u32| {
        let mut request = Request::new("INVITE", "retired");
        request.via = format!("SIP/2.0/UDP {retired};branch=z9hG4bK-retired-{number}");
        request.cseq = format!("{number} INVITE");
        request.more = "Authorization: Digest x\r\n".into();
        request.text()
    };
    let first = relay.send(retired, request(1)).forwarded();
    let challenger = first.to.to_string();
    relay.send(&challenger, response(&first, "401 Unauthorized", "b")).forwarded();
    assert_eq!(relay.send(retired, request(2)).next_hop(), challenger);
}

#[test]
fn the_branch_is_of_what_no_copy_changes_and_of_all_of_it() {
    let mut relay = Relay::new(&[A]);
    let mut branch = |change: fn(&mut Request)| {
        let mut request = Request::new("OPTIONS", "branch");
        change(&mut request);
        relay.send(CALLER, request.text()).forwarded().branch()
    };
    let first = branch(|_| {});
    let alike: [fn(&mut Request); 2] = [
        |r| r.from = "\"Alice\" <sip:other@example.org>;tag=ALICE",
        |r| r.uri = "sip:carol@example.com",
    ];
    for change in alike {
        assert_eq!(branch(change), first);
    }
    let others: [fn(&mut Request); 7] = [
        |r| r.cseq = "2 OPTIONS".into(),
        |r| r.from = "<sip:alice@example.org>;tag=bob",
        |r| r.call_id = "other",
        |r| r.via = r.via.replace("branch-1", "branch-2"),
        |r| r.via = r.via.replace("198.51.100.7", "host.example.org"),
        |r| r.via = r.via.replace(":5062", ":5063"),
        |r| r.via = r.via.replace("z9hG4bK", ""),
    ];
    let mut seen = std::collections::HashSet::from([first]);
    for (number, change) in others.into_iter().enumerate() {
        assert!(seen.insert(branch(change)), "change {number}");
    }
    // Without a usable branch, the whole Via is used instead.
    assert!(seen.insert(branch(|r| r.via = "SIP/2.0/UDP 198.51.100.7:5062".into())));
    assert!(seen.insert(branch(|r| r.via = "SIP/2.0/UDP 198.51.100.7:5063".into())));
}

#[test]
fn a_copy_its_cancel_and_its_ack_are_written_alike() {
    let mut relay = Relay::new(&[A, B]);
    relay.snapshot.set_default.rewrite = Rewrite::Domain;
    let mut send = |method| {
        let mut request = Request::new(method, "alike");
        request.more = "Route: <sip:203.0.113.66;lr>\r\n".into();
        relay.send(CALLER, request.text()).forwarded()
    };
    let (first, copy) = (send("INVITE"), send("INVITE"));
    assert_eq!(copy.text(), first.text());
    assert_eq!(copy.record_routes().len(), 1);
    for method in ["CANCEL", "ACK"] {
        let sent = send(method);
        assert!(sent.text().starts_with(&format!("{method} sip:bob@10.0.0.1:5060 SIP/2.0\r\n")));
        assert_eq!(sent.rows("Via"), first.rows("Via"));
        assert!(sent.rows("Route").is_empty() && sent.record_routes().is_empty());
    }
}

#[test]
fn only_an_invite_that_we_answered_is_pinned() {
    let mut relay = Relay::new(&[]);
    let request = Request::new("REGISTER", "free").text();
    relay.send(CALLER, &request).answer();
    relay.load(&[A]);
    assert_eq!(relay.send(CALLER, &request).verdict, Verdict::Forwarded(Forwarded::Chosen));
}

#[test]
fn whatever_belongs_to_a_request_renews_its_pin() {
    for method in ["INVITE", "CANCEL", "ACK"] {
        let mut relay = Relay::new(&[A, B]);
        relay.send(CALLER, invite("renewed")).forwarded();
        for _ in 0..3 {
            relay.now = relay.now.plus_ms(200_000);
            let outcome = relay.send(CALLER, Request::new(method, "renewed").text());
            assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::Pinned), "{method}");
        }
    }
}

#[test]
fn the_answer_to_a_cancel_does_not_end_its_invite() {
    let mut relay = Relay::new(&[A]);
    let ringing = relay.send(CALLER, invite("rings")).forwarded();
    relay.send("10.0.0.1:5060", response(&ringing, "180 Ringing", "b")).forwarded();
    let cancel = Request::new("CANCEL", "rings").text();
    let sent = relay.send(CALLER, &cancel).forwarded();
    relay.send("10.0.0.1:5060", response(&sent, "200 OK", "b")).forwarded();
    relay.now = relay.now.plus_ms(1_000_000);
    assert_eq!(relay.send(CALLER, &cancel).verdict, Verdict::Forwarded(Forwarded::Pinned));
}

#[test]
fn a_fork_of_the_challenged_request_is_not_its_repeat() {
    let mut relay = Relay::new(&[A, B]);
    let first = relay.send(CALLER, invite("fork")).forwarded();
    relay.send("10.0.0.1:5060", response(&first, "401 Unauthorized", "b")).forwarded();
    let mut fork = Request::new("INVITE", "fork");
    fork.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-fork-2");
    assert_eq!(relay.send(CALLER, fork.text()).next_hop(), "10.0.0.2:5060");
}

#[test]
fn a_worker_with_the_list_before_leaves_what_it_cannot_know_to_the_next_copy() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let before = std::mem::take(&mut relay.snapshot.destinations);
    relay.load(&["sip:10.0.0.2:5060"]);
    let sent = relay.send(CALLER, invite("new")).forwarded();
    assert_eq!(sent.to.to_string(), "10.0.0.2:5060");

    let after = std::mem::replace(&mut relay.snapshot.destinations, before);
    let cancel = Request::new("CANCEL", "new").text();
    let mut ack = Request::new("ACK", "new");
    ack.to = "<sip:bob@example.com>;tag=b";
    for text in [invite("new"), cancel.clone(), ack.text()] {
        assert_eq!(relay.send(CALLER, text).dropped(), Reason::ListBehind);
    }
    // A response needs no list, and its effect on the call is kept.
    relay.send("10.0.0.2:5060", response(&sent, "183 Session Progress", "b")).forwarded();
    let mut prack = Request::new("PRACK", "new");
    (prack.to, prack.via) = (ack.to, format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-prack"));
    assert_eq!(relay.send(CALLER, prack.text()).dropped(), Reason::ListBehind);

    relay.snapshot.destinations = after;
    for text in [invite("new"), cancel, ack.text(), prack.text()] {
        assert_eq!(relay.send(CALLER, text).next_hop(), "10.0.0.2:5060");
    }
}

#[test]
fn each_callee_of_a_call_has_a_dialog_of_its_own() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let first = relay.send(CALLER, invite("twice")).forwarded();
    relay.send("10.0.0.1:5060", response(&first, "200 OK", "one")).forwarded();
    // A fork, or an attacker who knows Call-ID and tag.
    let mut other = Request::new("INVITE", "twice");
    other.via = "SIP/2.0/UDP 198.51.100.9:5062;branch=z9hG4bK-other".into();
    let second = relay.send("198.51.100.9:5062", other.text()).forwarded();
    relay.send("10.0.0.2:5060", response(&second, "200 OK", "two")).forwarded();
    for (tag, hop) in [("one", "10.0.0.1:5060"), ("two", "10.0.0.2:5060"), ("ONE", "10.0.0.1:5060")]
    {
        let to = format!("<sip:bob@example.com>;tag={tag}");
        let mut bye = Request::new("BYE", "twice");
        bye.to = &to;
        assert_eq!(relay.send(CALLER, bye.text()).next_hop(), hop, "{tag}");
    }
    let mut bye = Request::new("BYE", "twice");
    bye.to = "<sip:bob@example.com>;tag=three";
    assert!(relay.send(CALLER, bye.text()).answer().contains("481"));
}
