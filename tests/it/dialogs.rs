//! Requests in a dialog, from either side.

use crate::harness::sipp::{in_turn, list, servers};
use crate::harness::{Relay, Sipp};

/// PRACK, UPDATE and re-INVITE from the caller; UPDATE, re-INVITE and BYE from the server.
#[test]
fn a_long_dialog_stays_where_it_began() {
    let servers = servers("uas_dialog", 3);
    let relay = Relay::with_list(&list(&servers)).start();

    let caller = Sipp::scenario("uac_dialog").calls_in_turn(relay.address(), 9).run();

    caller.assert_all_succeeded(9);
    assert_eq!(caller.taken_by(), in_turn(3, 9));
    for server in servers {
        server.stop().assert_all_succeeded(3);
    }
    relay.stop().assert(&[
        ("chosen", 9),
        // PRACK, UPDATE, ACK, re-INVITE, ACK; UPDATE, re-INVITE, ACK, BYE.
        ("token", 9 * 9),
        // 183, 200 for PRACK, UPDATE, INVITE, re-INVITE; for UPDATE, re-INVITE, BYE.
        ("response", 9 * 8),
    ]);
}

/// The relay's Record-Route stands on what begins a dialog and on nothing inside it.
#[test]
fn record_route_is_written_once() {
    let servers = servers("uas_dialog", 1);
    let relay = Relay::with_list(&list(&servers)).start();

    Sipp::scenario("uac_dialog").calls_in_turn(relay.address(), 1).run().assert_all_succeeded(1);

    for server in servers {
        let outcome = server.stop();
        for (first_line, rows) in
            [("INVITE ", [1, 0].as_slice()), ("PRACK ", &[0]), ("UPDATE ", &[0])]
        {
            let counts: Vec<_> = outcome
                .headers(first_line)
                .iter()
                .filter(|header| !header.contains("\nRoute:"))
                .map(|header| header.matches("\nRecord-Route:").count())
                .collect();
            assert_eq!(counts, rows, "Record-Routes of {first_line}");
        }
    }
}
