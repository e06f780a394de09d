//! Overload control (RFC 7339) with real servers: they say in our Via how much less they want.

use crate::harness::cli::ask;
use crate::harness::sipp::servers;
use crate::harness::{Relay, Sipp};

fn overloaded(percent: &str) -> crate::harness::sipp::Running {
    Sipp::scenario("uas_overload").with(&["-key", "percent", percent]).named("busy").serve()
}

#[test]
fn half_of_its_calls_go_to_the_other_one() {
    let busy = overloaded("50");
    let mut other = servers("uas_call", 1);
    let list = format!("1 sip:{} 0 0\n1 sip:{} 0 0\n", busy.address, other[0].address);
    let relay = Relay::with_list(&list).with(&["--algorithm", "64"]).start();

    // The first call brings the report. Of the 100 turns after that, 50 are kept from it.
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 201).run();

    caller.assert_all_succeeded(201);
    busy.stop().assert_all_succeeded(51);
    other.remove(0).stop().assert_all_succeeded(150);
    relay.stop().assert(&[("chosen", 201), ("token", 402)]);
}

#[test]
fn a_set_whose_servers_take_nothing_refuses_what_is_new() {
    let busy = overloaded("100");
    let uri = format!("sip:{}", busy.address);
    let relay = Relay::with_list(&format!("1 {uri} 0 0\n"))
        .config("[dispatch]\nalgorithm = \"weighted\"\noverload_control = true\n")
        .start();
    let quiet = ask(&relay, &["oclist", "1"]).well();
    assert!(quiet.contains(" ocrate ") && quiet.contains(&uri), "{quiet}");

    // It is in the middle of a call when the others are refused, and can end it.
    let mut caller =
        Sipp::scenario("uac_call").calls(relay.address(), 1, 50).with(&["-d", "3000"]).start();
    caller.wait_logged("taken", 1);
    Sipp::scenario("uac_503").calls(relay.address(), 4, 100).run().assert_all_succeeded(4);

    let json = ask(&relay, &["list", "--json"]).json();
    let overload = &json["sets"][0]["records"][0]["addresses"][0]["overload"];
    assert_eq!(overload["percent"], 100, "{overload}");
    let left_ms = overload["left_ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&left_ms), "{overload}");
    let listed = ask(&relay, &["list"]).well();
    assert!(listed.contains("overloaded: 100 % of its new requests are kept from it"), "{listed}");
    let oclist = ask(&relay, &["oclist", "1"]).well();
    let row = oclist.lines().find(|line| line.contains(&uri)).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    // Set, URI, flags, priority; percentage, which of 100 calls is next; the greatest percentage.
    assert_eq!(cells[..6], ["1", uri.as_str(), "AX", "0", "100", "4"], "{oclist}");
    assert_eq!(cells[9..], ["0", "100"], "{oclist}");
    let call = format!(
        "INVITE sip:a@{0} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKx\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n",
        relay.address()
    );
    let explained = crate::harness::cli::pipe(&relay, &["explain"], call.as_bytes()).well();
    for part in ["answered with 503", "asks for fewer new requests", "overloaded: 100 % of"] {
        assert!(explained.contains(part), "{explained}");
    }

    caller.wait().assert_all_succeeded(1);
    busy.stop().assert_all_succeeded(1);
    relay.stop().assert(&[("chosen", 1), ("overloaded", 4), ("token", 2)]);
}
