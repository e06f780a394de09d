//! A relay that is stopped and continued, like a virtual machine that is migrated.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::sipp::{list, patient_servers};
use crate::harness::{Ends, Relay, Sipp};

#[test]
fn what_is_lost_meanwhile_is_counted_to_the_unit() {
    let mut ends = Ends::new();
    let relay = Relay::with_list(&ends.list())
        .unwatched()
        .config("[relay]\nreceive_buffer_bytes = 131_072\n")
        .workers(2)
        .start();
    ends.send(relay.address(), 10);
    ends.wait_arrived(10);
    relay.signal(Signal::SIGSTOP);
    // Far more than two buffers hold.
    ends.send(relay.address(), 3_000);
    relay.signal(Signal::SIGCONT);
    relay.wait_at_rest();
    // It is as it was.
    let before = ends.arrived();
    ends.send(relay.address(), 10);
    ends.wait_arrived(before + 10);
    let summary = relay.stop();
    let lost = summary.get("socket_drops");
    assert!(lost > 1_000, "the buffers held nearly all: {lost} lost");
    assert_eq!(summary.get("received") + lost, ends.sent);
    summary.assert(&[("chosen", ends.sent - lost), ("sent.forward", ends.sent - lost)]);
    ends.assert_arrived(ends.sent - lost);
}

#[test]
fn calls_outlive_half_a_second_of_standstill() {
    let servers = patient_servers(2, &[]);
    let relay = Relay::with_list(&list(&servers)).start();
    let caller = Sipp::scenario("uac_patient")
        .calls(relay.address(), 100, 100)
        .with(&["-d", "1500"])
        .start();
    // In the midst of the calls' beginning.
    thread::sleep(Duration::from_millis(300));
    relay.signal(Signal::SIGSTOP);
    thread::sleep(Duration::from_millis(500));
    relay.signal(Signal::SIGCONT);
    let caller = caller.wait();
    caller.assert_all_succeeded(100);
    caller.assert_stayed(100);
    drop(servers);
    // One choice for each call, however often it was asked for.
    relay.stop().assert(&[("chosen", 100)]);
}
