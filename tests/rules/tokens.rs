//! The tokens in our Routes: which one counts, which prove nothing, and how requests leave by them.

use strowger::proxy::{ForeignRoute, InDialog, ListenerId, Rewrite};

use crate::messages::{A, BOB, CALLER, Request, by_callee, by_caller, call, call_from, response};
use crate::relay::{Relay, US, keys, listeners};

const B: &str = "10.0.0.2:5060";

/// A call whose INVITE passed the relay twice: the caller's token leads to A, a proxy behind A's
/// place sent it back, and the second token leads to B.
struct Spiral {
    relay: Relay,
    first: String,
    second: String,
}

fn spiral() -> Spiral {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let first = relay.send(CALLER, Request::new("INVITE", "spiral").text()).forwarded();
    assert_eq!(first.to.to_string(), A);
    let mut again = Request::new("INVITE", "spiral");
    again.via = "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bK-proxy".into();
    let second = relay.send("203.0.113.9:5060", again.text()).forwarded();
    assert_eq!(second.to.to_string(), B);
    let of = |sent: &crate::relay::Sent| sent.record_routes()[0].clone();
    Spiral { first: of(&first), second: of(&second), relay }
}

#[test]
fn of_several_tokens_the_last_that_verifies_counts() {
    struct Row<'a> {
        says: &'static str,
        given: Vec<&'a str>,
        wants: &'static str,
    }
    let Spiral { mut relay, first, second } = spiral();
    let other = call(&mut relay, "other").record_routes()[0].clone();
    let bare = "<sip:192.0.2.1;lr>";
    let upper = first.to_ascii_uppercase();
    let rows = [
        Row { says: "the first alone", given: vec![&first], wants: "token 10.0.0.1:5060" },
        Row { says: "the second alone", given: vec![&second], wants: "token 10.0.0.2:5060" },
        Row { says: "both", given: vec![&first, &second], wants: "token 10.0.0.2:5060" },
        Row {
            says: "both, the other way round",
            given: vec![&second, &first],
            wants: "token 10.0.0.1:5060",
        },
        Row {
            says: "a Route of ours without a token behind it",
            given: vec![&first, bare],
            wants: "token 10.0.0.1:5060",
        },
        Row {
            says: "a Route of ours without a token before it",
            given: vec![bare, &first],
            wants: "token 10.0.0.1:5060",
        },
        Row {
            says: "the same token in another case counts once",
            given: vec![&first, &upper, &first, &upper, &first, &upper],
            wants: "token 10.0.0.1:5060",
        },
        Row { says: "a token of another call before", given: vec![&other, &first], wants: "403" },
        Row { says: "a token of another call behind", given: vec![&first, &other], wants: "403" },
        Row {
            says: "Routes without a user are not the same one: the fourth is followed",
            given: vec![bare, bare, bare, &first],
            wants: "token 10.0.0.1:5060",
        },
        Row {
            says: "the fifth is not",
            given: vec![bare, bare, bare, bare, &first],
            wants: "self_loop",
        },
        Row {
            says: "behind a Route of somebody else nothing is ours to read",
            given: vec!["<sip:10.0.0.9;lr>", &first],
            wants: "481",
        },
    ];
    for row in rows {
        let routes: String = row.given.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let bye = relay.send(CALLER, by_caller("BYE", "spiral", &routes));
        assert_eq!(bye.summary(), row.wants, "{}", row.says);
    }
}

#[test]
fn who_sends_follows_from_the_tag_that_the_token_verifies_with() {
    struct Row {
        says: &'static str,
        from: &'static str,
        given: (&'static str, &'static str),
        wants: &'static str,
    }
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let routes = call(&mut relay, "who").routes();
    let (alice, bob) = ("<sip:a@example.org>;tag=alice", "<sip:b@example.com>;tag=bob");
    let row = |says, from, given, wants| Row { says, from, given, wants };
    let rows = [
        row("the caller", CALLER, (alice, bob), "token 10.0.0.1:5060"),
        row("the caller from anywhere", "203.0.113.5:99", (alice, bob), "token 10.0.0.1:5060"),
        row("the callee", A, (bob, alice), "token 198.51.100.7:5062"),
        row("the callee from anywhere", "203.0.113.5:99", (bob, alice), "token 198.51.100.7:5062"),
        row("equal tags from a destination", A, (alice, alice), "token 198.51.100.7:5062"),
        row("equal tags from elsewhere", CALLER, (alice, alice), "token 10.0.0.1:5060"),
        row("neither tag", CALLER, (bob, bob), "403"),
        row("no To tag", CALLER, (alice, "<sip:b@example.com>"), "token 10.0.0.1:5060"),
    ];
    for row in rows {
        let mut request = Request::new("INFO", "who");
        (request.from, request.to) = row.given;
        (request.uri, request.more) = ("sip:x@media.example.com", routes.clone());
        assert_eq!(relay.send(row.from, request.text()).summary(), row.wants, "{}", row.says);
    }
}

#[test]
fn a_token_in_the_request_uri_counts_only_when_it_is_our_uri() {
    struct Row {
        says: &'static str,
        given: String,
        wants: &'static str,
    }
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "uri");
    let ours = sent.record_routes()[0].trim_matches(['<', '>']).to_owned();
    let user = &ours["sip:".len()..ours.find('@').unwrap()];
    relay.load(&["sip:10.0.0.2:5060"]);
    let row = |says, given, wants| Row { says, given, wants };
    let rows = [
        row("ours", ours.clone(), "token 10.0.0.1:5060"),
        row("ours by a name", format!("sip:{user}@sip.example.net"), "token 10.0.0.1:5060"),
        row("another host", format!("sip:{user}@192.0.2.2:5060;lr"), "call_pin 10.0.0.1:5060"),
        row("another port", format!("sip:{user}@192.0.2.1:5061;lr"), "call_pin 10.0.0.1:5060"),
        row("a digit less", ours.replacen(user, &user[1..], 1), "call_pin 10.0.0.1:5060"),
        row("no token", "sip:bob@192.0.2.1".into(), "call_pin 10.0.0.1:5060"),
    ];
    for row in rows {
        let mut bye = Request::new("BYE", "uri");
        (bye.to, bye.uri) = (BOB, &row.given);
        let outcome = relay.send(CALLER, bye.text());
        assert_eq!(outcome.summary(), row.wants, "{}", row.says);
        assert_eq!(outcome.forwarded().first_line(), format!("BYE {} SIP/2.0", row.given));
    }
}

#[test]
fn keys_come_and_go() {
    struct Row {
        says: &'static str,
        given: &'static [u8],
        wants: &'static str,
    }
    let rows = [
        Row { says: "the same key", given: &[1], wants: "token 10.0.0.1:5060" },
        Row { says: "it still verifies", given: &[2, 1], wants: "token 10.0.0.1:5060" },
        Row { says: "it verifies already", given: &[1, 2], wants: "token 10.0.0.1:5060" },
        Row { says: "a key that is gone proves nothing", given: &[2], wants: "481" },
    ];
    for row in rows {
        let mut before = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = call(&mut before, "rolled");
        let mut after = Relay::with_keys(listeners(&[US]), keys(row.given), 2, &[]);
        let bye = by_caller("BYE", "rolled", &sent.routes());
        assert_eq!(after.send(CALLER, bye).summary(), row.wants, "{}", row.says);
        // The same in the Request-URI.
        let mut strict = Request::new("BYE", "rolled");
        let ours = sent.record_routes()[0].trim_matches(['<', '>']).to_owned();
        (strict.to, strict.uri) = (BOB, &ours);
        assert_eq!(after.send(CALLER, strict.text()).summary(), row.wants, "{}", row.says);
    }
}

/// A response to a request of before keeps its way, and one of a key that is gone has none.
#[test]
fn keys_of_responses_come_and_go() {
    for (ids, wants) in [
        (&[1][..], "response 198.51.100.7:5062"),
        (&[2, 1], "response 198.51.100.7:5062"),
        (&[2], "forged_via"),
    ] {
        let mut before = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = before.send(CALLER, Request::new("INVITE", "rolled").text()).forwarded();
        let mut after = Relay::with_keys(listeners(&[US]), keys(ids), 2, &["sip:10.0.0.1:5060"]);
        let ok = response(&sent, "200 OK", "bob");
        assert_eq!(after.send(A, ok).summary(), wants, "{ids:?}");
    }
}

/// What a set says of Request-URI, Routes and Record-Route is for requests that are dispatched.
#[test]
fn in_a_dialog_nothing_is_rewritten() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.rewrite = Rewrite::Domain;
    relay.snapshot.set_default.foreign_route = ForeignRoute::Remove;
    let ours = call(&mut relay, "kept").routes();
    let foreign = "Route: <sip:10.0.0.9;lr>\r\n";
    let row = |uri: &'static str, routes: String, wants: &'static str| (uri, routes, wants);
    let rows = [
        row("sip:bob@192.168.7.7", format!("{ours}{foreign}"), "token 10.0.0.1:5060"),
        row("sip:bob@192.168.7.7", foreign.into(), "call_pin 10.0.0.1:5060"),
        row("sip:10.0.0.1;x=y", foreign.into(), "request_uri 10.0.0.1:5060"),
    ];
    for (uri, routes, wants) in rows {
        for method in ["INVITE", "SUBSCRIBE", "BYE"] {
            let call_id = if wants.starts_with("request_uri") { "unknown" } else { "kept" };
            let mut request = Request::new(method, call_id);
            (request.to, request.uri, request.more) = (BOB, uri, routes.clone());
            let outcome = relay.send(CALLER, request.text());
            assert_eq!(outcome.summary(), wants, "{method}");
            let sent = outcome.forwarded();
            assert_eq!(sent.first_line(), format!("{method} {uri} SIP/2.0"), "{wants}");
            assert_eq!(sent.rows("Route"), ["<sip:10.0.0.9;lr>"], "{wants}");
            assert!(sent.record_routes().is_empty(), "{method} {wants}");
        }
    }
}

/// `foreign_route = "refuse"` is for requests outside a dialog, and for Routes of others.
#[test]
fn a_refused_route_is_one_of_somebody_else_in_a_new_request() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.foreign_route = ForeignRoute::Refuse;
    let ours = call(&mut relay, "refused").routes();
    let mut new = Request::new("INVITE", "new");
    new.more = "Route: <sip:192.0.2.1;lr>\r\n".into();
    assert_eq!(relay.send(CALLER, new.text()).summary(), "chosen 10.0.0.1:5060");
    let bye = by_caller("BYE", "refused", &format!("{ours}Route: <sip:10.0.0.9;lr>\r\n"));
    assert_eq!(relay.send(CALLER, bye).summary(), "token 10.0.0.1:5060");
}

#[test]
fn a_set_without_record_route_serves_its_calls_by_pins() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.record_route = false;
    assert!(call(&mut relay, "plain").record_routes().is_empty());
    assert_eq!(
        relay.send(CALLER, by_caller("BYE", "plain", "")).summary(),
        "call_pin 10.0.0.1:5060"
    );
}

const OUTER: &str = US;
const INNER: &str = "10.0.0.254:5060";
const V6: &str = "[2001:db8::1]:5060";

#[test]
fn requests_by_a_token_leave_by_the_listeners_that_it_names() {
    let mut relay =
        Relay::listening(&[OUTER, INNER, V6], &["sip:10.0.0.1:5060 socket=10.0.0.254:5060"]);
    let sent = call(&mut relay, "named");
    let (forth, back) = (
        by_caller("BYE", "named", &sent.routes()),
        by_callee("BYE", "named", "sip:alice@media.example.com", &sent.routes()),
    );
    for arrival in [0, 1, 2] {
        let hop = relay.send_to(0, arrival, CALLER, forth.as_bytes()).forwarded();
        assert_eq!((hop.to.to_string().as_str(), hop.listener), (A, ListenerId(1)));
        let hop = relay.send_to(0, arrival, A, back.as_bytes()).forwarded();
        assert_eq!((hop.to.to_string().as_str(), hop.listener), (CALLER, ListenerId(0)));
    }
}

/// The relay that goes on with a call may have other listeners than the one that began it.
#[test]
fn without_the_listener_that_a_token_names_the_family_decides() {
    struct Row {
        says: &'static str,
        given: &'static [&'static str],
        arrival: u16,
        wants: Option<u16>,
    }
    let row = |says, given, arrival, wants| Row { says, given, arrival, wants };
    let rows = [
        row(
            "it arrived by one that reaches it",
            &["192.0.2.8:5060", "192.0.2.9:5060"][..],
            1,
            Some(1),
        ),
        row("the first that reaches it", &[V6, "192.0.2.8:5060", "192.0.2.9:5060"], 0, Some(1)),
        row("none reaches it", &[V6], 0, None),
    ];
    let mut before = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut before, "listeners");
    let user = sent.record_routes()[0].split('@').next().unwrap().to_owned();
    for row in rows {
        let mut after = Relay::listening(row.given, &[]);
        after.law.has_ancestors = true;
        let route = format!("Route: {user}@sip.example.net;lr>\r\n");
        let bye = by_caller("BYE", "listeners", &route);
        let from = if row.arrival == 0 { "[2001:db8::7]:5062" } else { CALLER };
        let outcome = after.send_to(0, row.arrival, from, bye.as_bytes());
        match row.wants {
            Some(listener) => {
                let hop = outcome.forwarded();
                let got = (hop.to.to_string(), hop.listener);
                assert_eq!(got, (A.to_owned(), ListenerId(listener)), "{}", row.says);
            }
            None => assert_eq!(outcome.summary(), "no_listener", "{}", row.says),
        }
    }
}

/// The listener of a token may be of another family than a place that was named instead.
#[test]
fn a_place_of_the_other_family_leaves_by_a_listener_that_reaches_it() {
    let mut relay = Relay::listening(&[OUTER, V6], &["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.in_dialog = InDialog::Route;
    let sent = call_from(&mut relay, CALLER, "families");
    let place = "[2001:db8::9]:5080";
    let forth = by_caller("BYE", "families", &sent.routes())
        .replace("sip:bob@192.168.7.7:5060", &format!("sip:bob@{place}"));
    let back = by_callee("BYE", "families", &format!("sip:alice@{place}"), &sent.routes());
    for (from, text) in [(CALLER, forth), (A, back)] {
        let hop = relay.send(from, text).forwarded();
        assert_eq!((hop.to.to_string().as_str(), hop.listener), (place, ListenerId(1)));
        assert!(hop.rows("Via")[0].starts_with("SIP/2.0/UDP [2001:db8::1]:5060;"));
    }
}

/// The response to a request of a dialog finds its way back although no destination was chosen.
#[test]
fn responses_in_a_dialog_go_back_both_ways() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "both-ways");
    let forth = relay.send(CALLER, by_caller("INFO", "both-ways", &sent.routes())).forwarded();
    assert_eq!(
        relay.send(A, response(&forth, "200 OK", "b")).summary(),
        "response 198.51.100.7:5062"
    );
    let info = by_callee("INFO", "both-ways", "sip:alice@media.example.com", &sent.routes());
    let back = relay.send(A, info).forwarded();
    assert_eq!(
        relay.send(CALLER, response(&back, "200 OK", "b")).summary(),
        "response 10.0.0.1:5060"
    );
}

/// Record-Route is for what is dispatched, also when a token comes without a To tag.
#[test]
fn a_token_in_a_new_request_gets_no_record_route() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "again");
    let mut invite = Request::new("INVITE", "again");
    (invite.more, invite.cseq) = (sent.routes(), "2 INVITE".into());
    let outcome = relay.send(CALLER, invite.text());
    assert_eq!(outcome.summary(), "token 10.0.0.1:5060");
    assert!(outcome.forwarded().record_routes().is_empty());
}
