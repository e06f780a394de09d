//! A network that loses packets: retransmissions make up for it, and go where the original went.

use crate::harness::sipp::{list, patient_servers};
use crate::harness::{Relay, Sipp};

/// SIPp drops one in twenty of what it would send, and of what it receives, on both sides.
const LOSS: [&str; 2] = ["-lost", "5"];

#[test]
fn calls_complete_although_packets_are_lost() {
    let servers = patient_servers(3, &LOSS);
    let relay = Relay::with_list(&list(&servers)).start();

    // A second and a half for each call, in which a lost ACK is made good.
    let caller = Sipp::scenario("uac_patient")
        .calls(relay.address(), 150, 100)
        .with(&LOSS)
        .with(&["-d", "1500"])
        .run();

    caller.assert_all_succeeded(150);
    caller.assert_stayed(150);
    assert!(caller.retransmissions > 0, "nothing was lost");
    for server in servers {
        // A copy that took a turn of its own would make one call more here.
        server.stop().assert_all_succeeded(50);
    }
    relay.stop().assert(&[("chosen", 150)]);
}
