//! `strowger drain`: no new calls, calls in progress continue, and the command ends when the relay
//! remembers none of them any more.

use nix::sys::signal::Signal;

use crate::harness::cli::{ask, start};
use crate::harness::sipp::{list, servers};
use crate::harness::{Relay, Sipp};

#[test]
fn a_destination_is_drained_under_load_and_comes_back() {
    let servers = servers("uas_call", 2);
    let first = format!("sip:{}", servers[0].address);
    let relay = Relay::with_list(&list(&servers)).start();
    let mut caller =
        Sipp::scenario("uac_call").calls(relay.address(), 60, 30).with(&["-d", "3000"]).start();
    caller.wait_logged("taken", 20);

    let mut drain = start(&relay, &["drain", "1", &first, "--quiet", "4"], None);
    drain.wait_says("takes no new calls");
    let meanwhile = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 6).run();
    meanwhile.assert_all_succeeded(6);
    assert!(meanwhile.taken_by().iter().all(|name| *name == "ms2"), "{:?}", meanwhile.taken_by());

    // All of them went on where they were.
    let caller = caller.wait();
    caller.assert_all_succeeded(60);
    caller.assert_stayed(60);
    let said = drain.wait();
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains(" ended, "), "what is remembered: {}", said.out);
    let ended = format!("no new call and no open transaction of {first} of set 1 for 4 s; ");
    assert!(said.out.contains(&ended), "{}", said.out);
    assert!(said.out.ends_with("ask the server itself how many it has\n"), "{}", said.out);

    let said = ask(&relay, &["drain", "1", &first, "--off"]).well();
    assert_eq!(said, format!("{first} of set 1 takes new calls again\n"));
    let again = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 4).run();
    assert_eq!(again.taken_by().iter().filter(|name| **name == "ms1").count(), 2);
    for server in servers {
        let outcome = server.stop();
        assert_eq!(outcome.failed, 0, "{}", outcome.errors);
    }
    relay.stop().assert(&[("chosen", 70), ("no_destination", 0), ("503", 0)]);
}

#[test]
fn the_whole_relay_is_drained_and_comes_back() {
    let servers = servers("uas_call", 1);
    let mut relay = Relay::with_list(&list(&servers)).start();
    let address = relay.address();
    let call = || Sipp::scenario("uac_call").calls_in_turn(address, 2).run();
    // Nothing is remembered, so there is nothing to wait for.
    let said = ask(&relay, &["drain"]).well();
    let wants = "the relay takes no new calls: new requests get 503\n\
                 0 transactions in progress, 0 ended, 0 calls\n\
                 the relay remembers no call or transaction any more. An established call on \
                 Record-Route needs no memory here: ask the servers themselves how many they have\n";
    assert_eq!(said, wants);
    // Whoever wonders why every call is refused finds it wherever he looks.
    relay.wait_log(0, &["drained by a command of root (pid"]);
    let above = "the relay is drained: new requests get 503; strowger drain --off ends that\n\n";
    for words in [&["list"] as &[&str], &["stats"]] {
        let said = ask(&relay, words).well();
        assert!(said.starts_with(above), "{said}");
        let json = ask(&relay, &[words, &["--json"]].concat()).json();
        assert!(json["draining"] == 1 || json["draining"] == true, "{json}");
    }
    Sipp::scenario("uac_503").calls(relay.address(), 3, 50).run().assert_all_succeeded(3);
    assert_eq!(ask(&relay, &["drain", "--off"]).well(), "the relay takes new calls again\n");
    relay.wait_log(0, &["no longer drained: new requests are served again"]);
    assert_eq!(ask(&relay, &["list", "--json"]).json()["draining"], false);
    assert!(!ask(&relay, &["stats"]).well().contains("drain"));
    call().assert_all_succeeded(2);

    // Calls that ended are remembered for four minutes; who does not wait for it is told.
    let said = ask(&relay, &["drain", "--wait", "0"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""), "{}", said.out);
    assert!(
        said.out.contains("still remembered: 0 transactions in progress, 2 ended"),
        "{}",
        said.out
    );
    let mut drain = start(&relay, &["drain"], None);
    drain.wait_says("2 ended");
    drain.signal(Signal::SIGINT);
    let said = drain.wait();
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("the relay stays drained until --off"), "{}", said.out);
    Sipp::scenario("uac_503").calls(relay.address(), 3, 50).run().assert_all_succeeded(3);
    ask(&relay, &["drain", "--off"]).well();
    call().assert_all_succeeded(2);
    relay.stop().assert(&[("chosen", 4), ("503", 6)]);
}

#[test]
fn a_destination_that_nobody_called_is_free_at_once_and_an_unknown_one_is_told() {
    let mut relay = Relay::with_list("1 sip:127.0.0.1:5071\n1 sip:127.0.0.1:5072\n").start();
    let said = ask(&relay, &["drain", "1", "127.0.0.1:5072"]).well();
    let nothing = "remembers no call or transaction of 127.0.0.1:5072 of set 1 any more. ";
    assert!(said.contains(nothing), "{said}");
    let table = ask(&relay, &["list"]).well();
    assert_eq!(table.matches("disabled").count(), 1, "{table}");
    // The other one is the last: that is done, and said loudly.
    let warning = "set 1 has no active destination left: every new call gets 404 No destination";
    let said = ask(&relay, &["drain", "1", "sip:127.0.0.1:5071"]);
    assert_eq!((said.code, said.err.as_str()), (0, &*format!("strowger: warning: {warning}\n")));
    relay.wait_log(0, &["WARN", warning]);
    let said = ask(&relay, &["set-state", "inactive", "1", "sip:127.0.0.1:5071"]);
    assert!(said.err.contains(warning), "{}", said.err);
    let told = ask(&relay, &["drain", "1", "sip:127.0.0.1:5079"]).refused();
    assert!(told.contains("5079"), "{told}");
    let wrong = ask(&relay, &["drain", "1"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}
