//! The daily work of operators, with their own tools: rows by `kamctl`, a reload by `kamctl`, and
//! calls that follow.

use std::net::SocketAddr;

use crate::harness::database::{PASSWORD, Server};
use crate::harness::sipp::servers;
use crate::harness::{Relay, Sipp, Tools};

/// From an empty table to two gateways that take turns, one that is put aside, and one that is left.
pub(super) fn a_table_by_kamctl(server: &dyn Server, engine: &str, address: SocketAddr) {
    let tools = Tools::new();
    let (host, port) = (address.ip(), address.port());
    tools.settle(&format!(
        "DBENGINE={engine}\nDBHOST={host}\nDBPORT={port}\nDBNAME=tools\nDBRWUSER=kamailio\n\
         DBRWPW='{PASSWORD}'\nDBROUSER=kamailio\nDBROPW='{PASSWORD}'\n"
    ));
    server.make("tools");
    let ms = servers("uas_call", 2);
    let uris = [0, 1].map(|at: usize| format!("sip:{}", ms[at].address));
    let relay = Relay::with_source(&server.kamailio("tools")).config(&tools.config()).start();
    let says = |words: &[&str], wants: &[&str]| {
        let said = tools.kamctl(words);
        for want in wants {
            assert!(said.contains(want), "{words:?}: no {want:?} in {said}");
        }
    };
    let takers = |calls: u64| {
        let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), calls).run();
        caller.assert_all_succeeded(calls);
        caller.taken_by().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };

    Sipp::scenario("uac_404").calls(relay.address(), 2, 50).run().assert_all_succeeded(2);
    tools.kamctl(&["dispatcher", "addgw", "1", &uris[0], "0", "0", "weight=50", "MS1"]);
    tools.kamctl(&["dispatcher", "addgw", "1", &uris[1], "0", "0", "", "MS2"]);
    says(&["dispatcher", "show"], &[&uris[0], &uris[1], "weight=50", "MS2"]);
    Sipp::scenario("uac_404").calls(relay.address(), 2, 50).run().assert_all_succeeded(2);
    says(&["dispatcher", "reload"], &["Ok. Dispatcher successfully reloaded."]);
    says(&["dispatcher", "dump"], &[&uris[0], &uris[1], "\"FLAGS\":  \"AX\""]);
    assert_eq!(takers(4), ["ms1", "ms2", "ms1", "ms2"]);

    says(&["rpc", "dispatcher.set_state", "ip", "1", &uris[0]], &["Dispatcher state updated."]);
    assert_eq!(takers(2), ["ms2", "ms2"]);
    // What an operator said outlives a reload.
    says(&["dispatcher", "reload"], &["successfully reloaded"]);
    says(&["dispatcher", "dump"], &["\"FLAGS\":  \"IP\"", "\"FLAGS\":  \"AX\""]);
    assert_eq!(takers(2), ["ms2", "ms2"]);

    tools.kamctl(&["dispatcher", "rmgw", "1"]);
    says(&["dispatcher", "reload"], &["successfully reloaded"]);
    let dump = tools.kamctl(&["dispatcher", "dump"]);
    assert!(!dump.contains(&uris[0]) && dump.contains(&uris[1]), "{dump}");
    assert_eq!(takers(2), ["ms2", "ms2"]);
    relay.stop().assert(&[("chosen", 10), ("no_destination", 4)]);
}
