//! Calls and single requests through the relay: each goes to the destination whose turn it is, and
//! everything that belongs to it follows.

use crate::harness::sipp::{in_turn, list, servers};
use crate::harness::{Relay, Sipp};

#[test]
fn calls_go_to_each_destination_in_turn_and_stay_there() {
    let servers = servers("uas_call", 3);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 10).run();

    caller.assert_all_succeeded(10);
    assert_eq!(caller.taken_by(), in_turn(3, 10));
    caller.assert_stayed(10);
    for (server, calls) in servers.into_iter().zip([4, 3, 3]) {
        server.stop().assert_all_succeeded(calls);
    }
    relay.stop().assert(&[
        ("chosen", 10),
        // ACK and BYE.
        ("token", 20),
        // 180, 200 and the 200 for the BYE.
        ("response", 30),
    ]);
}

#[test]
fn calls_at_the_same_time_are_shared_evenly() {
    let servers = servers("uas_call", 4);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller =
        Sipp::scenario("uac_call").calls(relay.address(), 202, 200).with(&["-d", "300"]).run();

    caller.assert_all_succeeded(202);
    caller.assert_stayed(202);
    for (server, calls) in servers.into_iter().zip([51, 51, 50, 50]) {
        server.stop().assert_all_succeeded(calls);
    }
    relay.stop().assert(&[("chosen", 202), ("token", 404)]);
}

#[test]
fn sipp_unchanged_against_two_servers() {
    sipp_unchanged(2, 20, &[10, 10]);
}

#[test]
fn sipp_unchanged_against_three_servers() {
    sipp_unchanged(3, 20, &[7, 7, 6]);
}

/// SIPp's own caller ignores Record-Route: its ACK and BYE have no Route, and find their way by the
/// pin of the call.
fn sipp_unchanged(count: usize, calls: u64, shares: &[u64]) {
    let servers: Vec<_> = (0..count).map(|_| Sipp::built_in("uas").serve()).collect();
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::built_in("uac").calls(relay.address(), calls, 40).run();

    caller.assert_all_succeeded(calls);
    for (server, share) in servers.into_iter().zip(shares) {
        server.stop().assert_all_succeeded(*share);
    }
    relay.stop().assert(&[("chosen", calls), ("call_pin", 2 * calls)]);
}

#[test]
fn a_cancel_and_the_ack_to_its_487_follow_their_invite() {
    let servers = servers("uas_cancel", 3);
    let relay = Relay::with_list(&list(&servers)).start();

    Sipp::scenario("uac_cancel").calls(relay.address(), 12, 50).run().assert_all_succeeded(12);

    for server in servers {
        server.stop().assert_all_succeeded(4);
    }
    relay.stop().assert(&[("chosen", 12), ("pinned", 24)]);
}

#[test]
fn the_ack_to_a_486_follows_its_invite() {
    let servers = servers("uas_busy", 3);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::scenario("uac_busy").calls_in_turn(relay.address(), 9).run();

    caller.assert_all_succeeded(9);
    assert_eq!(caller.taken_by(), in_turn(3, 9));
    for server in servers {
        server.stop().assert_all_succeeded(3);
    }
    relay.stop().assert(&[("chosen", 9), ("pinned", 9)]);
}

#[test]
fn a_call_repeated_with_credentials_goes_to_who_asked_for_them() {
    let servers = servers("uas_auth", 3);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::scenario("uac_auth").calls(relay.address(), 12, 50).run();

    caller.assert_all_succeeded(12);
    caller.assert_stayed(12);
    for server in servers {
        server.stop().assert_all_succeeded(4);
    }
}

#[test]
fn a_registration_repeated_with_credentials_goes_to_who_asked_for_them() {
    let servers = servers("uas_register", 2);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::scenario("uac_register").calls(relay.address(), 10, 50).run();

    caller.assert_all_succeeded(10);
    caller.assert_stayed(10);
    for server in servers {
        server.stop().assert_all_succeeded(5);
    }
}

#[test]
fn options_between_calls_do_not_disturb_their_turn() {
    let servers = servers("uas_any", 3);
    let relay = Relay::with_list(&list(&servers)).start();

    for (call, wanted) in in_turn(3, 6).iter().enumerate() {
        // No, one, two, no … OPTIONS before the call.
        let asked = call as u64 % 3;
        if asked > 0 {
            Sipp::scenario("uac_options")
                .calls_in_turn(relay.address(), asked)
                .run()
                .assert_all_succeeded(asked);
        }
        let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 1).run();
        caller.assert_all_succeeded(1);
        assert_eq!(caller.taken_by(), [wanted.as_str()], "call {call}");
    }
    for server in servers {
        // Two calls, and two of the six OPTIONS, which take turns of their own.
        server.stop().assert_all_succeeded(4);
    }
    relay.stop().assert(&[("chosen", 12)]);
}
