//! Calls without any destination.

use crate::harness::sipp::list;
use crate::harness::{Relay, Sipp};

#[test]
fn an_empty_list_answers_404_no_destination() {
    let relay = Relay::with_list("# nobody yet\n").start();
    refused(relay, 10);
}

#[test]
fn a_list_of_another_set_answers_404_no_destination() {
    let server = Sipp::scenario("uas_call").named("ms1").serve();
    let other_set = list([&server]).replace("\n1 ", "\n2 ");
    let relay = Relay::with_list(&other_set).start();
    refused(relay, 3);
    server.stop().assert_all_succeeded(0);
}

/// What the operator says it shall answer, in the file; which set is meant, by a flag that wins.
#[test]
fn the_answer_and_the_set_can_be_configured() {
    let server = Sipp::scenario("uas_call").named("ms1").serve();
    let config =
        "[dispatch]\nset = 1\nno_destination = { code = 503, reason = \"Service Unavailable\" }\n";
    let relay = Relay::with_list(&list([&server])).config(config).with(&["--set", "7"]).start();
    Sipp::scenario("uac_503").calls(relay.address(), 3, 50).run().assert_all_succeeded(3);
    relay.stop().assert(&[("chosen", 0), ("no_destination", 3)]);
    server.stop().assert_all_succeeded(0);
}

#[test]
fn disabled_and_inactive_destinations_are_never_chosen() {
    let servers = crate::harness::sipp::servers("uas_call", 3);
    let text = list(&servers);
    let [comment, first, second, third] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("a list of three: {text}");
    };
    let disabled = first.replace(" 0 0", " 4 0");
    let inactive = third.replace(" 0 0", " 1 0");
    let text = [comment, &disabled, second, &inactive].join("\n");
    let relay = Relay::with_list(&text).start();

    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 4).run();

    caller.assert_all_succeeded(4);
    for (server, calls) in servers.into_iter().zip([0, 4, 0]) {
        server.stop().assert_all_succeeded(calls);
    }
}

fn refused(relay: Relay, calls: u64) {
    Sipp::scenario("uac_404").calls(relay.address(), calls, 50).run().assert_all_succeeded(calls);
    relay.stop().assert(&[
        ("chosen", 0),
        ("no_destination", calls),
        // The ACKs end at the relay.
        ("own_ack", calls),
    ]);
}
