//! SIGTERM: new calls are refused, those in progress are finished, then the relay leaves.

use crate::harness::sipp::{list, servers};
use crate::harness::{Relay, Sipp};

#[test]
fn a_draining_relay_finishes_its_calls_and_takes_no_new_ones() {
    let servers = servers("uas_call", 2);
    let mut relay = Relay::with_list(&list(&servers)).start();
    // Their BYEs come 100 ms apart, so that it is never quiet for long before the last.
    let mut caller =
        Sipp::scenario("uac_call").calls(relay.address(), 30, 10).with(&["-d", "3500"]).start();
    caller.wait_logged("taken", 30);

    let before = relay.log().len();
    relay.terminate();
    relay.wait_log(before, &["drain"]);
    let refused = Sipp::scenario("uac_503").calls(relay.address(), 5, 50).run();
    let summary = relay.wait();

    refused.assert_all_succeeded(5);
    let caller = caller.wait();
    caller.assert_all_succeeded(30);
    caller.assert_stayed(30);
    for server in servers {
        server.stop().assert_all_succeeded(15);
    }
    summary.assert(&[("chosen", 30), ("token", 60), ("503", 5), ("own_ack", 5)]);
}

#[test]
fn an_idle_relay_leaves_at_once() {
    let relay = Relay::with_list("").start();
    relay.stop().assert(&[("chosen", 0)]);
}
