//! One of two Asterisks is killed, or sleeps, while calls ring, talk or wait; then it comes back.

use crate::asterisk::{Asterisk, Service, list, pair};
use crate::harness::cli::{ask, wait_state};
use crate::harness::sipp::Outcome;
use crate::harness::{Relay, Sipp, wait};

/// Every destination is probed five times a second. One that is silent costs a call half a second.
const CONFIG: &str = "[dispatch]\nforwarding = \"stateful\"\n\
    [dispatch.failover]\nfirst_response_ms = 500\n\
    [dispatch.probing]\nmode = \"all\"\ninterval_ms = 200\ntimeout_ms = 200\ndoubt_interval_ms = 100\n";
const ANSWERS: &[&str] = &["Answer()", "Wait(60)"];
const CALLS: u64 = 10;
const HALF: usize = CALLS as usize / 2;

fn begin(steps: &'static [&'static str]) -> ([Asterisk; 2], Relay) {
    let servers = pair(Service { steps, challenges: None });
    let relay = Relay::with_list(&list(&servers)).config(CONFIG).start();
    (servers, relay)
}

/// Callers that wait no longer than 9 s for the final response, of which they must get just one.
fn callers(relay: &Relay) -> Sipp {
    Sipp::scenario("uac_survives").calls(relay.address(), CALLS, 20).with(&["-d", "200"])
}

/// Waits until the relay has counted this many.
pub(crate) fn wait_counted(relay: &Relay, counter: &str, count: u64) {
    wait::until(&format!("{counter} = {count}"), || {
        let stats = ask(relay, &["stats", "--all", "--json"]).json();
        (stats[counter].as_u64().expect("a counter") >= count).then_some(())
    });
}

fn logged(caller: &Outcome, part: &str) -> usize {
    caller.log.iter().filter(|line| line.contains(part)).count()
}

#[test]
fn those_that_ring_at_a_killed_server_get_one_clear_answer_and_the_others_go_on() {
    let (mut servers, relay) = begin(&["Ringing()", "Wait(4)", "Answer()", "Wait(60)"]);
    let callers = callers(&relay).start();
    // Each has heard its 180.
    wait_counted(&relay, "forwarded.response", CALLS);
    servers[0].kill();

    let callers = callers.wait();

    callers.assert_all_succeeded(CALLS);
    assert_eq!(logged(&callers, "failed with 500"), HALF, "{:?}", callers.log);
    assert_eq!(logged(&callers, "taken by ms2"), HALF, "{:?}", callers.log);
    relay.stop().assert(&[
        ("chosen", CALLS),
        ("tries.inactive", HALF as u64),
        ("500", 0),
        ("transactions.further_tries", 0),
    ]);
}

#[test]
fn those_that_have_not_rung_go_on_at_the_other_server() {
    let (mut servers, relay) = begin(&["Wait(2)", "Ringing()", "Wait(1)", "Answer()", "Wait(60)"]);
    let callers = callers(&relay).start();
    // Each has its 100, which ends at the relay.
    wait_counted(&relay, "dropped.absorbed", CALLS);
    servers[0].kill();

    let callers = callers.wait();

    callers.assert_all_succeeded(CALLS);
    assert_eq!(logged(&callers, "taken by ms2"), CALLS as usize, "{:?}", callers.log);
    let tries = [("tries.inactive", HALF as u64), ("transactions.further_tries", HALF as u64)];
    relay.stop().assert(&tries);
}

#[test]
fn those_that_talk_at_the_other_server_hear_nothing_of_it() {
    let (mut servers, relay) = begin(ANSWERS);
    let mut callers = Sipp::scenario("uac_call")
        .calls(relay.address(), CALLS, 20)
        .with(&["-d", "2500", "-max_non_invite_retrans", "2"])
        .start();
    callers.wait_logged("taken by", CALLS as usize);
    servers[0].kill();

    let callers = callers.wait();

    // Nobody can end the calls of a server that is gone.
    assert_eq!((callers.successful, callers.failed), (HALF as u64, HALF as u64));
    assert_eq!(logged(&callers, "ended by ms2"), HALF, "{:?}", callers.log);
    relay.stop().assert(&[("chosen", CALLS), ("transactions.none_left", 0)]);
}

/// The next call that is its turn finds out, if no probe does before.
#[test]
fn new_calls_go_to_the_other_server_until_it_is_back() {
    let (mut servers, relay) = begin(ANSWERS);
    let address = servers[0].address;
    servers[0].kill();
    let during = callers(&relay).run();
    assert_eq!(during.taken_by(), ["ms2"; CALLS as usize]);
    during.assert_all_succeeded(CALLS);
    wait_state(&relay, address, "inactive");

    servers[0].restart();
    wait_state(&relay, address, "active");
    let after = callers(&relay).run();

    after.assert_all_succeeded(CALLS);
    assert_eq!(logged(&after, "taken by ms1"), HALF, "{:?}", after.log);
    relay.stop().assert(&[("chosen", 2 * CALLS), ("transactions.none_left", 0)]);
}

/// A stopped process has its port open: nothing says that it is gone.
#[test]
fn a_server_that_sleeps_costs_no_call_and_comes_back() {
    let (servers, relay) = begin(ANSWERS);
    let address = servers[0].address;
    servers[0].stop();
    let during = callers(&relay).run();
    during.assert_all_succeeded(CALLS);
    assert_eq!(during.taken_by(), ["ms2"; CALLS as usize]);
    wait_state(&relay, address, "inactive");

    servers[0].go_on();
    wait_state(&relay, address, "active");
    let after = callers(&relay).run();

    after.assert_all_succeeded(CALLS);
    assert_eq!(logged(&after, "taken by ms1"), HALF, "{:?}", after.log);
    let summary = relay.stop();
    assert!(summary.get("tries.silent") + summary.get("tries.inactive") > 0, "{summary:?}");
}
