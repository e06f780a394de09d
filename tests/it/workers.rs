//! Any number of workers gives the same shares: all of them use one turn counter.

use crate::harness::sipp::{list, servers};
use crate::harness::{Relay, Sipp};

#[test]
fn one_worker() {
    shares_are_exact_with(1);
}

#[test]
fn two_workers() {
    shares_are_exact_with(2);
}

/// More than this machine may have cores: they share them.
#[test]
fn four_workers() {
    shares_are_exact_with(4);
}

fn shares_are_exact_with(workers: usize) {
    let servers = servers("uas_call", 3);
    let relay = Relay::with_list(&list(&servers)).workers(workers).start();

    // A socket for each call: its port decides which worker it meets first.
    let caller = Sipp::scenario("uac_call")
        .calls(relay.address(), 301, 150)
        .with(&["-t", "un", "-max_socket", "1000", "-d", "200"])
        .run();

    caller.assert_all_succeeded(301);
    caller.assert_stayed(301);
    for (server, calls) in servers.into_iter().zip([101, 100, 100]) {
        server.stop().assert_all_succeeded(calls);
    }
    relay.stop().assert(&[("chosen", 301), ("token", 602)]);
}
