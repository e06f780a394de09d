//! SIGHUP reads the list again; a bad list changes nothing; calls are not affected.

use crate::harness::sipp::{list, servers};
use crate::harness::{Relay, Sipp};

#[test]
fn a_reload_takes_effect_with_the_next_call() {
    let servers = servers("uas_call", 3);
    let mut relay = Relay::with_list(&list(&servers[..2])).start();
    let taken = |relay: &Relay, calls| {
        let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), calls).run();
        caller.assert_all_succeeded(calls);
        caller.taken_by().join(" ")
    };
    assert_eq!(taken(&relay, 4), "ms1 ms2 ms1 ms2");

    // ms2 had the last call, so ms3, which stands after it, has the next.
    let before = relay.reload(&list(&servers));
    relay.wait_log(before, &["reloaded:"]);
    assert_eq!(taken(&relay, 4), "ms3 ms1 ms2 ms3");

    // A bad list: said with its line, and everything stays as it was.
    let before = relay.reload("1 sip:127.0.0.1:5070 0 0\n1 sip:127.0.0.1:port 0 0\n");
    relay.wait_log(before, &["not reloaded"]);
    assert_eq!(taken(&relay, 3), "ms1 ms2 ms3");

    // The first leaves.
    let before = relay.reload(&list(&servers[1..]));
    relay.wait_log(before, &["reloaded:"]);
    assert_eq!(taken(&relay, 3), "ms2 ms3 ms2");

    relay.stop().assert(&[("chosen", 14)]);
}

#[test]
fn calls_go_on_while_the_list_changes() {
    let servers = servers("uas_call", 3);
    let mut relay = Relay::with_list(&list(&servers)).start();
    let mut caller =
        Sipp::scenario("uac_call").calls(relay.address(), 400, 100).with(&["-d", "1000"]).start();

    // Calls at ms1 and ms3 are in progress when these leave the list and come back.
    let good = [list(&servers[1..]), list(&servers), list(&servers[..2]), list(&servers)];
    for (round, list) in good.iter().enumerate() {
        caller.wait_logged("taken", 60 * (round + 1));
        let before = relay.reload(list);
        relay.wait_log(before, &["reloaded:"]);
        let before = relay.reload("1 sip:nowhere:0 0 0\nrubbish\n");
        relay.wait_log(before, &["not reloaded"]);
    }

    let caller = caller.wait();
    caller.assert_all_succeeded(400);
    caller.assert_stayed(400);
    let mut sum = 0;
    for server in servers {
        let outcome = server.stop();
        assert_eq!(outcome.failed, 0, "{}", outcome.errors);
        sum += outcome.successful;
    }
    assert_eq!(sum, 400);
    relay.stop().assert(&[("chosen", 400), ("token", 800)]);
}
