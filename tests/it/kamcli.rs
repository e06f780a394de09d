//! Kamailio's own `kamcli` with the datagram control socket.

use crate::harness::{Relay, Tools};

#[test]
fn destinations_are_shown_and_read_again() {
    let tools = Tools::new();
    let mut relay =
        Relay::with_list("1 sip:127.0.0.1:9 0 5 duid=ms1\n").config(&tools.config()).start();
    for (words, says) in [
        (&["dispatcher", "list"] as &[&str], "\"URI\": \"sip:127.0.0.1:9\","),
        (&["dispatcher", "reload"], "\"result\": \"Ok. Dispatcher successfully reloaded.\","),
        (
            &["rpc", "dispatcher.set_state", "ip", "1", "sip:127.0.0.1:9"],
            "\"Ok. Dispatcher state updated.\"",
        ),
        (&["rpc", "dispatcher.set_state", "a", "7", "all"], "\"State Update Failed\""),
        (&["rpcmethods"], "\"dispatcher.list\","),
        (&["uptime"], "\"up_since\":"),
        (&["stats"], "\"core:fwd_requests = 0\""),
        (&["srv", "version"], "\"strowger "),
    ] {
        let said = tools.kamcli(words);
        assert!(said.contains(says), "{words:?}: {said}");
    }
    relay.wait_log(0, &[" reloaded: "]);
    relay.stop();
}
