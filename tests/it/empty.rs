//! Nobody to send a call to.

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

#[test]
fn disabled_and_inactive_destinations_are_never_chosen() {
    let servers = crate::harness::sipp::servers("uas_call", 3);
    let mut flags = ["4", "0", "1"].into_iter();
    let text: String = servers
        .iter()
        .map(|server| {
            format!(
                "1 sip:{} {} 0\n",
                server.address,
                flags.next().unwrap_or("0")
            )
        })
        .collect();
    let relay = Relay::with_list(&text).start();

    let caller = Sipp::scenario("uac_call")
        .calls_in_turn(relay.address(), 4)
        .run();

    caller.assert_all_succeeded(4);
    for (server, calls) in servers.into_iter().zip([0, 4, 0]) {
        server.stop().assert_all_succeeded(calls);
    }
}

fn refused(relay: Relay, calls: u64) {
    Sipp::scenario("uac_404")
        .calls(relay.address(), calls, 50)
        .run()
        .assert_all_succeeded(calls);
    relay.stop().assert(&[
        ("chosen", 0),
        ("no_destination", calls),
        // The ACKs end at the relay.
        ("own_ack", calls),
    ]);
}
