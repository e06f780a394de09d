//! Limits of calls in progress, with real callers and servers.

use serde_json::Value;

use crate::harness::cli::ask;
use crate::harness::sipp::servers;
use crate::harness::{Relay, Sipp, wait};

#[test]
fn calls_are_counted_up_to_the_limit_and_each_bye_makes_room() {
    let servers = servers("uas_call", 1);
    let uri = format!("sip:{}", servers[0].address);
    let relay = Relay::with_list(&format!("1 {uri} 0 0 maxload=3\n")).start();
    let call = |calls, length| {
        let caller = Sipp::scenario("uac_call").calls(relay.address(), calls, 50);
        caller.with(&["-d", length]).start()
    };
    let counted = || {
        let listing: Value =
            serde_json::from_str(&ask(&relay, &["list", "--json"]).well()).unwrap();
        listing["sets"][0]["records"][0]["addresses"][0]["calls"].as_u64().unwrap()
    };

    for _ in 0..2 {
        let mut caller = call(3, "2500");
        caller.wait_logged("taken", 3);
        assert_eq!(counted(), 3);
        let listing = ask(&relay, &["list"]).well();
        assert!(listing.contains(" calls ") && listing.contains(" 3 "), "{listing}");

        Sipp::scenario("uac_503").calls(relay.address(), 4, 100).run().assert_all_succeeded(4);

        caller.wait().assert_all_succeeded(3);
        wait::until("the calls end", || (counted() == 0).then_some(()));
    }
    call(3, "10").wait().assert_all_succeeded(3);
    for server in servers {
        server.stop().assert_all_succeeded(9);
    }
    relay.stop().assert(&[("chosen", 9), ("over_calls", 8), ("token", 18)]);
}

#[test]
fn a_drain_shows_the_calls_that_are_left() {
    let servers = servers("uas_call", 1);
    let uri = format!("sip:{}", servers[0].address);
    let relay = Relay::with_list(&format!("1 {uri} 0 0 maxload=100\n")).start();
    let caller = Sipp::scenario("uac_call").calls(relay.address(), 2, 50).with(&["-d", "3000"]);
    let mut caller = caller.start();
    caller.wait_logged("taken", 2);

    let said = ask(&relay, &["drain", "1", &uri, "--wait", "1"]);

    assert!(said.out.contains(", 2 calls"), "{}{}", said.out, said.err);
    caller.wait().assert_all_succeeded(2);
    for server in servers {
        server.stop().assert_all_succeeded(2);
    }
    relay.stop().assert(&[("chosen", 2)]);
}

#[test]
fn calls_to_an_emergency_number_pass_the_limit() {
    let server = Sipp::built_in("uas").serve();
    let list = format!("1 sip:{} 0 0 maxload=2\n", server.address);
    let relay =
        Relay::with_list(&list).config("[dispatch.emergency]\nnumbers = [\"112\"]\n").start();
    let call = |number, calls, length| {
        let caller = Sipp::built_in("uac").with(&["-s", number, "-d", length]);
        caller.calls(relay.address(), calls, 50)
    };
    let in_progress = || {
        let listing: Value =
            serde_json::from_str(&ask(&relay, &["list", "--json"]).well()).unwrap();
        listing["sets"][0]["records"][0]["addresses"][0]["calls"].as_u64().unwrap()
    };
    let caller = call("4711", 2, "3000").start();
    wait::until("both calls are counted", || (in_progress() == 2).then_some(()));

    Sipp::scenario("uac_503").calls(relay.address(), 2, 100).run().assert_all_succeeded(2);
    call("112", 3, "10").run().assert_all_succeeded(3);

    caller.wait().assert_all_succeeded(2);
    server.stop().assert_all_succeeded(5);
    relay.stop().assert(&[("chosen", 5), ("over_calls", 2), ("emergency.passed", 3)]);
}
