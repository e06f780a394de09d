//! Requests in a dialog: forwarded by our Record-Route's token, by the call's pin, or not at all.

use strowger::proxy::{
    ForeignRoute, Forwarded, InDialog, ListenerId, Prefix, Reason, Rewrite, Verdict,
};

use crate::messages::{A, BOB, CALLER, Request, by_callee, by_caller, call, invite, response};
use crate::relay::{Relay, US, listeners};

#[test]
fn record_route_is_written_where_a_dialog_may_begin_and_nowhere_else() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    for method in ["INVITE", "SUBSCRIBE", "REFER", "FROBNICATE"] {
        let sent = relay.send(CALLER, Request::new(method, method).text()).forwarded();
        let [uri] = &sent.record_routes()[..] else { panic!("{}", sent.text()) };
        let token = uri.strip_prefix("<sip:").unwrap().strip_suffix("@192.0.2.1:5060;lr>").unwrap();
        assert!(
            token.len() <= 64
                && token.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        );
    }
    for method in ["REGISTER", "OPTIONS", "MESSAGE", "PUBLISH"] {
        let sent = relay.send(CALLER, Request::new(method, method).text()).forwarded();
        assert!(sent.record_routes().is_empty(), "{method}");
    }
    let sent = call(&mut relay, "in-dialog");
    let again = relay.send(CALLER, by_caller("INVITE", "in-dialog", &sent.routes())).forwarded();
    assert!(again.record_routes().is_empty(), "never in a dialog");
}

#[test]
fn every_method_goes_both_ways_by_the_token() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    let sent = call(&mut relay, "both");
    let routes = sent.routes();
    for method in ["ACK", "BYE", "INVITE", "UPDATE", "PRACK", "NOTIFY", "REFER", "INFO", "CANCEL"] {
        let forth = relay.send(CALLER, by_caller(method, "both", &routes));
        assert_eq!(forth.verdict, Verdict::Forwarded(Forwarded::Token), "{method}");
        let forth = forth.forwarded();
        assert_eq!(forth.to.to_string(), A, "{method}");
        assert!(
            forth.rows("Route").is_empty()
                && forth.text().contains("sip:bob@192.168.7.7:5060 SIP/2.0")
        );
        let back = relay.send(A, by_callee(method, "both", "sip:alice@198.51.100.7:5062", &routes));
        assert_eq!(back.verdict, Verdict::Forwarded(Forwarded::Token), "{method}");
        assert_eq!(back.next_hop(), CALLER, "{method}");
    }
}

#[test]
fn a_token_outlives_the_process_and_the_row_of_its_destination() {
    let mut old = Relay::made_of(listeners(&[US]), 1, &["sip:10.0.0.1:5060"]);
    let mut new = Relay::made_of(listeners(&[US]), 2, &["sip:10.0.0.9:5060"]);
    let sent = call(&mut old, "survivor");
    let bye = new.send(CALLER, by_caller("BYE", "survivor", &sent.routes()));
    assert_eq!(bye.next_hop(), A);
    let bye =
        new.send(A, by_callee("BYE", "survivor", "sip:alice@198.51.100.7:5062", &sent.routes()));
    assert_eq!(bye.next_hop(), CALLER);
}

#[test]
fn spellings_of_our_route_by_other_stacks() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "spelt");
    let route = &sent.record_routes()[0];
    let user = &route["<sip:".len()..route.find('@').unwrap()];
    let spellings = [
        route.clone(),
        format!("\"name\" {route}"),
        format!("<SIP:{}@192.0.2.1:5060;LR>", user.to_uppercase()),
        format!("<sip:{user}@192.0.2.1;lr=on;x=y>;param"),
        format!("sip:{user}@192.0.2.1:5060;lr"),
        format!(
            "<sip:{}@192.0.2.1:5060;lr>",
            user.bytes().map(|b| format!("%{b:02x}")).collect::<String>()
        ),
        format!("<sip:{user}@SIP.example.NET;lr>"),
        format!("<sip:{user}@192.0.2.1:5060;transport=udp;lr>\r\n\t"),
    ];
    for spelling in spellings {
        for more in ["", ", <sip:10.0.0.1:5060;lr>", "\r\nroute : <sip:10.0.0.1:5060;lr>"] {
            let bye = relay
                .send(CALLER, by_caller("BYE", "spelt", &format!("Route: {spelling}{more}\r\n")));
            assert_eq!(bye.verdict, Verdict::Forwarded(Forwarded::Token), "{spelling}{more}");
            let bye = bye.forwarded();
            assert_eq!(bye.to.to_string(), A);
            assert!(!bye.text().contains(user), "our Route is gone: {}", bye.text());
            assert_eq!(
                bye.text().contains("<sip:10.0.0.1:5060;lr>"),
                !more.is_empty(),
                "{}",
                bye.text()
            );
        }
    }
}

#[test]
fn a_token_of_another_call_or_a_tampered_one_gets_403() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "mine");
    let routes = sent.routes();
    let forged = routes.replacen("sip:20010a", "sip:20010b", 1);
    assert_ne!(forged, routes);
    for (call_id, routes) in [("other", &routes), ("mine", &forged)] {
        assert_eq!(
            relay.send(CALLER, by_caller("BYE", call_id, routes)).answer(),
            "SIP/2.0 403 Forbidden"
        );
        assert_eq!(relay.send(CALLER, by_caller("ACK", call_id, routes)).dropped(), Reason::BadAck);
    }
    let mut stranger = Request::new("BYE", "mine");
    (stranger.from, stranger.to) = ("<sip:x@y>;tag=stranger", "<sip:z@y>;tag=other");
    stranger.more = routes;
    assert_eq!(relay.send(CALLER, stranger.text()).answer(), "SIP/2.0 403 Forbidden");
}

#[test]
fn a_callee_cannot_send_us_where_it_likes() {
    struct Row {
        says: &'static str,
        uri: &'static str,
        routes: &'static str,
        wants: &'static str,
    }
    let rows = [
        Row {
            says: "the caller's contact",
            uri: "sip:alice@203.0.113.20:5070",
            routes: "",
            wants: "203.0.113.20:5070",
        },
        Row {
            says: "a Route before the Request-URI",
            uri: "sip:alice@203.0.113.20:5070",
            routes: "Route: <sip:203.0.113.30;lr>\r\n",
            wants: "203.0.113.30:5060",
        },
        Row {
            says: "a name is not looked up",
            uri: "sip:alice@victim.example",
            routes: "",
            wants: CALLER,
        },
        Row { says: "loopback", uri: "sip:alice@127.0.0.1:22", routes: "", wants: CALLER },
        Row { says: "ourselves", uri: "sip:alice@192.0.2.1:5060", routes: "", wants: CALLER },
        Row { says: "multicast", uri: "sip:alice@224.0.1.75", routes: "", wants: CALLER },
        Row {
            says: "private while the caller is public",
            uri: "sip:alice@192.168.1.1",
            routes: "",
            wants: CALLER,
        },
        Row { says: "outside in_dialog_to", uri: "sip:alice@8.8.8.8", routes: "", wants: CALLER },
    ];
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.policy.in_dialog_to =
        ["203.0.113.0/24", "127.0.0.0/8", "192.0.0.0/8", "224.0.0.0/4"]
            .map(|text| {
                let (ip, bits) = text.split_once('/').unwrap();
                Prefix::new(ip.parse().unwrap(), bits.parse().unwrap()).unwrap()
            })
            .to_vec();
    let sent = call(&mut relay, "callee");
    for row in rows {
        let routes = format!("{}{}", sent.routes(), row.routes);
        let bye = relay.send(A, by_callee("BYE", "callee", row.uri, &routes));
        assert_eq!(bye.next_hop(), row.wants, "{}", row.says);
        // Others who have learnt the token reach the caller and nobody else.
        let bye = relay.send("203.0.113.66:5060", by_callee("BYE", "callee", row.uri, &routes));
        assert_eq!(bye.next_hop(), CALLER, "{}", row.says);
    }
}

#[test]
fn callers_that_ignore_record_route_are_served_by_the_calls_pin() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    for (call_id, wants) in
        [("one", "10.0.0.1:5060"), ("two", "10.0.0.2:5060"), ("three", "10.0.0.1:5060")]
    {
        call(&mut relay, call_id);
        for method in ["ACK", "BYE", "INVITE"] {
            let outcome = relay.send(CALLER, by_caller(method, call_id, ""));
            assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::CallPin), "{method}");
            assert_eq!(outcome.next_hop(), wants);
        }
    }
    assert_eq!(
        relay.send(CALLER, by_caller("BYE", "unknown", "")).answer(),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
    assert_eq!(relay.send(CALLER, by_caller("ACK", "unknown", "")).dropped(), Reason::StrayAck);
}

#[test]
fn a_ringing_call_takes_prack_and_update_without_our_route() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = relay.send(CALLER, invite("early")).forwarded();
    relay.send(A, response(&sent, "183 Session Progress", "bob")).forwarded();
    assert_eq!(relay.send(CALLER, by_caller("PRACK", "early", "")).next_hop(), A);
}

#[test]
fn a_request_uri_that_names_a_destination_needs_no_pin() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:media.example.com"]);
    for (uri, wants) in [
        ("sip:bob@10.0.0.1:5060", A),
        ("sip:bob@10.0.0.1", A),
        ("sip:x@MEDIA.example.com", "203.0.113.1:5060"),
    ] {
        for method in ["BYE", "ACK"] {
            let mut request = Request::new(method, "restarted");
            (request.to, request.uri) = (BOB, uri);
            let outcome = relay.send(CALLER, request.text());
            assert_eq!(outcome.verdict, Verdict::Forwarded(Forwarded::RequestUri));
            assert_eq!(outcome.next_hop(), wants);
        }
    }
    let mut cancel = Request::new("CANCEL", "restarted");
    cancel.uri = "sip:bob@10.0.0.1:5060";
    assert_eq!(relay.send(CALLER, cancel.text()).next_hop(), A);
    cancel.uri = "sip:bob@10.0.0.2:5060";
    assert_eq!(
        relay.send(CALLER, cancel.text()).answer(),
        "SIP/2.0 481 Call/Transaction Does Not Exist"
    );
    relay.load(&[]);
    let mut bye = Request::new("BYE", "retired");
    (bye.to, bye.uri) = (BOB, "sip:bob@10.0.0.1:5060");
    assert_eq!(relay.send(CALLER, bye.text()).next_hop(), A, "a retired one counts");
}

#[test]
fn strict_routers_before_and_after_us() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "strict");
    let ours = sent.record_routes()[0].clone();
    let our_uri = ours.trim_matches(['<', '>']).to_owned();
    // Before us (§16.4): our Route is in the Request-URI, the remote target is the last Route.
    let mut bye = Request::new("BYE", "strict");
    (bye.to, bye.uri) = (BOB, &our_uri);
    bye.more = "Route: <sip:bob@192.168.7.7:5060>\r\n".into();
    let outcome = relay.send(CALLER, bye.text()).forwarded();
    assert_eq!(outcome.to.to_string(), A);
    assert!(
        outcome.text().starts_with("BYE sip:bob@192.168.7.7:5060 SIP/2.0\r\n"),
        "{}",
        outcome.text()
    );
    assert!(outcome.rows("Route").is_empty());
    // One before us, and a loose router after us: the last Route is removed, the first stays.
    bye.more = "Route: <sip:10.9.9.9;lr>, <sip:bob@192.168.7.7:5060>\r\n".into();
    let outcome = relay.send(CALLER, bye.text()).forwarded();
    assert_eq!(outcome.rows("Route"), ["<sip:10.9.9.9;lr>"]);
    // After us (§16.6 item 6): the next Route goes into the Request-URI, the Request-URI to the
    // end.
    let routes = format!("Route: {ours}, <sip:10.0.0.1:5060>, <sip:10.9.9.9;lr>\r\n");
    let outcome = relay.send(CALLER, by_caller("BYE", "strict", &routes)).forwarded();
    assert_eq!(outcome.to.to_string(), A);
    assert!(outcome.text().starts_with("BYE sip:10.0.0.1:5060 SIP/2.0\r\n"), "{}", outcome.text());
    assert_eq!(outcome.rows("Route"), ["<sip:10.9.9.9;lr>", "<sip:bob@192.168.7.7:5060>"]);
    // Both at once.
    bye.more = "Route: <sip:10.0.0.1:5060>, <sip:bob@192.168.7.7:5060>\r\n".into();
    let outcome = relay.send(CALLER, bye.text()).forwarded();
    assert!(outcome.text().starts_with("BYE sip:10.0.0.1:5060 SIP/2.0\r\n"), "{}", outcome.text());
    assert_eq!(outcome.rows("Route"), ["<sip:bob@192.168.7.7:5060>"]);
}

#[test]
fn a_call_that_changes_listeners_gets_two_record_routes_with_one_token() {
    let mut relay = Relay::listening(
        &["192.0.2.1:5060", "10.0.0.254:5060"],
        &["sip:10.0.0.1:5060 socket=10.0.0.254:5060"],
    );
    let sent = relay.send_to(0, 0, CALLER, invite("two-nets").as_bytes()).forwarded();
    let [upper, lower] = &sent.record_routes()[..] else { panic!("{}", sent.text()) };
    assert!(upper.ends_with("@10.0.0.254:5060;lr>") && lower.ends_with("@192.0.2.1:5060;lr>"));
    assert_eq!(upper.split('@').next(), lower.split('@').next());
    assert_eq!(sent.listener, ListenerId(1));
    assert!(sent.rows("Via")[0].starts_with("SIP/2.0/UDP 10.0.0.254:5060;"));
    // The caller's route set is reversed.
    let forth = by_caller("BYE", "two-nets", &format!("Route: {lower}, {upper}\r\n"));
    let forth = relay.send_to(0, 0, CALLER, forth.as_bytes()).forwarded();
    assert_eq!((forth.to.to_string().as_str(), forth.listener), (A, ListenerId(1)));
    assert!(forth.rows("Route").is_empty());
    let back = by_callee(
        "BYE",
        "two-nets",
        "sip:alice@198.51.100.7:5062",
        &format!("Route: {upper}\r\nRoute: {lower}\r\n"),
    );
    let back = relay.send_to(0, 1, A, back.as_bytes()).forwarded();
    assert_eq!((back.to.to_string().as_str(), back.listener), (CALLER, ListenerId(0)));
    assert!(back.rows("Route").is_empty());
}

#[test]
fn foreign_routes_are_not_followed() {
    let preloaded =
        "Route: <sip:192.0.2.1:5060;lr>, <sip:203.0.113.66;lr>\r\nRoute: <sip:203.0.113.67;lr>\r\n";
    for (policy, wants) in [
        (ForeignRoute::Remove, Some(vec![])),
        (ForeignRoute::Keep, Some(vec!["<sip:203.0.113.66;lr>", "<sip:203.0.113.67;lr>"])),
        (ForeignRoute::Refuse, None),
    ] {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        relay.snapshot.set_default.foreign_route = policy;
        let mut request = Request::new("INVITE", "preloaded");
        request.more = preloaded.into();
        let outcome = relay.send(CALLER, request.text());
        match wants {
            Some(routes) => {
                let sent = outcome.forwarded();
                assert_eq!(sent.to.to_string(), A);
                assert_eq!(sent.rows("Route"), routes);
            }
            None => assert_eq!(outcome.answer(), "SIP/2.0 403 Forbidden"),
        }
    }
}

#[test]
fn a_route_through_us_again_and_again_ends() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let mut request = Request::new("INVITE", "spiral");
    request.more = (0..4).map(|n| format!("Route: <sip:u{n}@192.0.2.1;lr>\r\n")).collect();
    relay.send(CALLER, request.text()).forwarded();
    request.more = (0..5).map(|n| format!("Route: <sip:u{n}@192.0.2.1;lr>\r\n")).collect();
    assert_eq!(relay.send(CALLER, request.text()).dropped(), Reason::SelfLoop);
}

#[test]
fn with_equal_tags_the_sender_decides() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "equal");
    let mut request = Request::new("BYE", "equal");
    request.to = "<sip:bob@example.com>;tag=ALICE";
    request.uri = "sip:x@victim.example";
    request.more = sent.routes();
    assert_eq!(relay.send(CALLER, request.text()).next_hop(), A);
    assert_eq!(relay.send(A, request.text()).next_hop(), CALLER);
}

#[test]
fn a_set_may_let_callers_follow_their_route() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.in_dialog = InDialog::Route;
    relay.snapshot.policy.in_dialog_to =
        vec![Prefix::new("192.168.7.0".parse().unwrap(), 24).unwrap()];
    let sent = call(&mut relay, "routed");
    let mut bye = by_caller("BYE", "routed", &sent.routes());
    assert_eq!(relay.send(CALLER, &bye).next_hop(), "192.168.7.7:5060");
    bye = bye.replace("192.168.7.7", "192.168.8.8");
    assert_eq!(relay.send(CALLER, &bye).next_hop(), A);
}

#[test]
fn rewriting_the_domain_changes_host_and_port_only() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5080"]);
    relay.snapshot.set_default.rewrite = Rewrite::Domain;
    for (uri, wants) in [
        ("sip:bob:pw@example.com:5070;x=y", "sip:bob:pw@10.0.0.1:5080;x=y"),
        ("sip:example.com", "sip:10.0.0.1:5080"),
        ("tel:+15550100", "tel:+15550100"),
    ] {
        let mut request = Request::new("INVITE", uri);
        let call_id = uri.replace([':', '@'], "-");
        (request.uri, request.call_id) = (uri, &call_id);
        let sent = relay.send(CALLER, request.text()).forwarded();
        assert!(sent.text().starts_with(&format!("INVITE {wants} SIP/2.0\r\n")), "{}", sent.text());
    }
}

#[test]
fn a_caller_that_follows_its_route_is_sent_to_one_host_that_is_not_us() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.in_dialog = InDialog::Route;
    let sent = call(&mut relay, "routed");
    for uri in ["255.255.255.255", "224.0.1.75", "0.0.0.0", "192.0.2.1", "127.0.0.1"] {
        let bye = by_caller("BYE", "routed", &sent.routes()).replace("192.168.7.7", uri);
        assert_eq!(relay.send(CALLER, &bye).next_hop(), A, "{uri}");
    }
}

#[test]
fn a_strict_route_that_is_kept_and_a_rewritten_domain_do_not_meet() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5080"]);
    relay.snapshot.set_default.rewrite = Rewrite::Domain;
    relay.snapshot.set_default.foreign_route = ForeignRoute::Keep;
    let mut request = Request::new("INVITE", "both");
    request.more = "Route: <sip:203.0.113.66>\r\n".into();
    let sent = relay.send(CALLER, request.text()).forwarded();
    assert_eq!(sent.to.to_string(), "10.0.0.1:5080");
    assert!(sent.text().starts_with("INVITE sip:203.0.113.66 SIP/2.0\r\n"));
    assert_eq!(sent.rows("Route"), ["<sip:bob@example.com>"]);
}

#[test]
fn a_route_that_is_no_uri_never_becomes_the_request_uri() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.foreign_route = ForeignRoute::Keep;
    let ours = call(&mut relay, "mine").record_routes()[0].clone();
    let our_uri = ours.trim_matches(['<', '>']).to_owned();
    let routes = [
        "<sip:203.0.113.66 SIP/2.0\r\n Via: SIP/2.0/UDP 203.0.113.66>",
        "<sip:203.0.113.66 SIP/2.0>",
        "<sip:203.0.113.66\t>, <sip:203.0.113.67 ;lr>",
        "<sip:203.0.113.66;lr\x0b>",
        "<sip:203.0.113.66?Route=%3Csip:203.0.113.67%3E>",
        "<203.0.113.66;lr>",
        "203.0.113.66",
        "<<sip:203.0.113.66>",
    ];
    for route in routes {
        let mut kept = Request::new("INVITE", "kept");
        kept.more = format!("Route: {route}\r\n");
        assert_eq!(relay.send(CALLER, kept.text()).answer(), "SIP/2.0 400 Bad Request", "{route}");
        let after_ours = by_caller("BYE", "mine", &format!("Route: {ours}, {route}\r\n"));
        assert_eq!(relay.send(CALLER, after_ours).answer(), "SIP/2.0 400 Bad Request", "{route}");
        let mut strict = Request::new("BYE", "mine");
        (strict.to, strict.uri) = (BOB, &our_uri);
        strict.more = format!("Route: {route}\r\n");
        assert_eq!(
            relay.send(CALLER, strict.text()).answer(),
            "SIP/2.0 400 Bad Request",
            "{route}"
        );
    }
}

#[test]
fn a_place_of_a_family_without_a_listener_is_not_followed() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    relay.snapshot.set_default.in_dialog = InDialog::Route;
    let routes = call(&mut relay, "dual-stack").routes();
    let remote = "sip:alice@[2001:db8::7]:5060";
    let forth = by_caller("BYE", "dual-stack", &routes).replace("sip:bob@192.168.7.7:5060", remote);
    assert_eq!(relay.send(CALLER, forth).next_hop(), A);
    let back = by_callee("BYE", "dual-stack", remote, &routes);
    assert_eq!(relay.send(A, back).next_hop(), CALLER);
}

#[test]
fn lr_behind_the_angle_brackets_is_not_the_uris() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let ours = call(&mut relay, "mine").record_routes()[0].clone();
    let rows = [
        ("<sip:10.0.0.1:5060;lr>", false),
        ("sip:10.0.0.1:5060;x=\"y\" ; lr", false),
        ("<sip:10.0.0.1:5060>;lr", true),
        ("<sip:10.0.0.1:5060>;x=\";lr;\"", true),
        ("sip:10.0.0.1:5060;x=\";lr;\"", true),
    ];
    for (route, is_strict) in rows {
        let bye = by_caller("BYE", "mine", &format!("Route: {ours}, {route}\r\n"));
        let sent = relay.send(CALLER, bye).forwarded().text();
        assert_eq!(sent.starts_with("BYE sip:10.0.0.1:5060 SIP/2.0\r\n"), is_strict, "{route}");
    }
}

#[test]
fn a_forged_token_in_the_request_uri_is_refused_whatever_the_route_says() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let ours = call(&mut relay, "mine").record_routes()[0].clone();
    let other = call(&mut relay, "other").record_routes()[0].clone();
    let mut bye = Request::new("BYE", "mine");
    (bye.to, bye.uri) = (BOB, other.trim_matches(['<', '>']));
    bye.more = format!("Route: {ours}\r\nRoute: <sip:bob@192.168.7.7:5060>\r\n");
    assert_eq!(relay.send(CALLER, bye.text()).answer(), "SIP/2.0 403 Forbidden");
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_judged_as_the_ipv4_address() {
    let mut relay =
        Relay::listening(&["192.0.2.1:5060", "[2001:db8::1]:5060"], &["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "mapped");
    for host in ["127.0.0.1", "192.168.1.1", "224.0.1.75", "255.255.255.255", "192.0.2.1"] {
        let uri = format!("sip:alice@[::ffff:{host}]:5060");
        let bye = relay.send(A, by_callee("BYE", "mapped", &uri, &sent.routes()));
        assert_eq!(bye.next_hop(), CALLER, "{host}");
    }
}

#[test]
fn a_request_uri_may_name_a_retired_destination_by_its_name() {
    let mut relay = Relay::new(&["sip:media.example.com", "sip:10.0.0.1:5060"]);
    relay.load(&["sip:10.0.0.1:5060"]);
    let mut bye = Request::new("BYE", "retired");
    (bye.to, bye.uri) = (BOB, "sip:bob@media.example.com");
    assert_eq!(relay.send(CALLER, bye.text()).next_hop(), "203.0.113.1:5060");
}

#[test]
fn only_what_begins_a_dialog_makes_a_call_pin() {
    struct Row {
        method: &'static str,
        status: &'static str,
        is_served: bool,
    }
    let row = |method, status, is_served| Row { method, status, is_served };
    let rows = [
        row("INVITE", "180 Ringing", true),
        row("SUBSCRIBE", "202 Accepted", true),
        row("REFER", "202 Accepted", true),
        row("INVITE", "100 Trying", false),
        row("INVITE", "486 Busy Here", false),
        row("INVITE", "401 Unauthorized", false),
        row("OPTIONS", "200 OK", false),
        row("REGISTER", "200 OK", false),
    ];
    for row in rows {
        let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
        let sent = relay.send(CALLER, Request::new(row.method, "pin").text()).forwarded();
        relay.send(A, response(&sent, row.status, "bob")).forwarded();
        let bye = relay.send(CALLER, by_caller("BYE", "pin", ""));
        let is_served = bye.verdict == Verdict::Forwarded(Forwarded::CallPin);
        assert_eq!(is_served, row.is_served, "{} {}", row.method, row.status);
    }
}

#[test]
fn a_call_pin_lives_as_long_as_its_caller_sends() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060", "sip:10.0.0.2:5060"]);
    call(&mut relay, "long");
    for _ in 0..3 {
        relay.now = relay.now.plus_ms(200_000);
        assert_eq!(
            relay.send(CALLER, by_caller("INFO", "long", "")).verdict,
            Verdict::Forwarded(Forwarded::CallPin)
        );
    }
}

#[test]
fn a_call_pin_serves_its_caller_only() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    call(&mut relay, "mine");
    assert_eq!(
        relay.send(A, by_caller("BYE", "mine", "")).answer(),
        "SIP/2.0 481 Call/Transaction Does Not Exist",
        "the callee's tag may be the caller's: its requests are not sent back to it"
    );
    let mut ack = Request::new("ACK", "mine");
    ack.via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK-stray");
    assert_eq!(
        relay.send(CALLER, ack.text()).dropped(),
        Reason::StrayAck,
        "an ACK without To tag is in no dialog"
    );
}

/// Sets `allow` to the callers' network only.
fn allow_callers(relay: &mut Relay) {
    relay.snapshot.policy.allow = vec![Prefix::new("198.51.100.0".parse().unwrap(), 24).unwrap()];
}

#[test]
fn destinations_and_members_of_a_call_need_no_prefix_in_allow() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    allow_callers(&mut relay);
    let sent = relay.send(CALLER, invite("listed")).forwarded();
    let ok = response(&sent, "200 OK", "bob");
    assert_eq!(relay.send(A, &ok).next_hop(), CALLER, "a destination answers");
    let routes = sent.routes();
    let bye = by_callee("BYE", "listed", "sip:alice@198.51.100.7:5062", &routes);
    assert_eq!(relay.send(A, &bye).next_hop(), CALLER, "a destination ends the call");
    assert_eq!(relay.send(A, b"\r\n").dropped(), Reason::KeepAlive);

    // Another process knows neither the destination nor the call.
    let listeners = relay.shared.listeners.clone();
    let mut other = Relay::made_of(listeners, 2, &["sip:10.0.0.9:5060"]);
    allow_callers(&mut other);
    assert_eq!(other.send(A, &ok).next_hop(), CALLER, "its Via verifies");
    assert_eq!(other.send(A, &bye).next_hop(), CALLER, "its token verifies");
    let ack = by_callee("ACK", "listed", "sip:alice@198.51.100.7:5062", &routes);
    assert_eq!(other.send(A, &ack).next_hop(), CALLER, "its token verifies");
}

#[test]
fn a_stranger_to_allow_who_proves_nothing_gets_silence() {
    let mut relay = Relay::new(&["sip:10.0.0.1:5060"]);
    let sent = call(&mut relay, "proof");
    allow_callers(&mut relay);
    let ok = response(&sent, "200 OK", "bob");
    let bye = by_callee("BYE", "proof", "sip:alice@198.51.100.7:5062", &sent.routes());
    let rows: [(&str, String); 10] = [
        ("a new request", invite("stranger")),
        ("no Route", bye.replace("Route: ", "X-Route: ")),
        ("a token of another call", bye.replace("Call-ID: proof", "Call-ID: other")),
        ("a broken token", bye.replace("Route: <sip:2", "Route: <sip:3")),
        ("a Route that is unreadable", bye.replace("Route: <", "Route: \"<")),
        ("a malformed request with a token", bye.replace("CSeq: 7", "CSeq: x")),
        ("a response to another call", ok.replace("Call-ID: proof", "Call-ID: other")),
        ("a malformed response", ok.replace("CSeq: 1", "CSeq: x")),
        ("a response without our Via", ok.replacen("Via: ", "X-Via: ", 1)),
        ("no SIP", "hello".to_owned()),
    ];
    for (says, text) in rows {
        assert_eq!(relay.send("203.0.113.77:5060", &text).dropped(), Reason::NotAllowed, "{says}");
    }
    assert_eq!(relay.send("203.0.113.77:5060", b"\r\n").dropped(), Reason::NotAllowed);
    assert_eq!(relay.send("203.0.113.77:5060", b"\0\x01").dropped(), Reason::NotAllowed);
    // The messages that were examined leave nothing behind.
    assert_eq!(relay.send("203.0.113.77:5060", &bye).next_hop(), CALLER);
    relay.send(CALLER, invite("next")).forwarded();
}
