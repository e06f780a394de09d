//! Kamailio's own `kamcmd` against the BINRPC door.

use strowger::rpc::binrpc;

use crate::harness::{Relay, Tools};

#[test]
fn destinations_counters_and_faults() {
    let tools = Tools::new();
    let list =
        "1 sip:127.0.0.1:9 0 5 duid=ms1;weight=50\n1 sip:127.0.0.1:10\n2 sip:127.0.0.1:11 4\n";
    let relay = Relay::with_list(list).config(&tools.config()).start();
    let dump = tools.kamcmd(&["dispatcher.list"]);
    let words = [
        "NRSETS: 2\n",
        "\tRECORDS: {\n",
        "\t\tSET: {\n",
        "\t\t\tID: 1\n",
        "\t\t\tTARGETS: {\n",
        "\t\t\t\tDEST: {\n",
        "URI: sip:127.0.0.1:9\n",
        "FLAGS: AX\n",
        "PRIORITY: 5\n",
        "\t\t\t\t\tATTRS: {\n",
        "BODY: duid=ms1;weight=50\n",
        "DUID: ms1\n",
        "WEIGHT: 50\n",
        "SOCKET: <null string>\n",
        "ID: 2\n",
        "FLAGS: DX\n",
    ];
    let mut rest = dump.as_str();
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word} in {dump}"));
        rest = &rest[at..];
    }
    for (words, says) in [
        (
            &["dispatcher.set_state", "ip", "1", "sip:127.0.0.1:10"] as &[&str],
            "Ok. Dispatcher state updated.\n",
        ),
        (&["dispatcher.set_state", "1", "2", "all"], "Ok. Dispatcher state updated.\n"),
        (&["dispatcher.set_state", "zz", "1", "all"], "error: 500 - Unknown State Value: "),
        (&["dispatcher.reload"], "Ok. Dispatcher successfully reloaded.\n"),
        (&["core.version"], "strowger "),
        (&["core.uptime"], "\tuptime: "),
        (&["core.echo", "a"], "a\n"),
        (&["nothing.here"], "error: 500 - command nothing.here not found\n"),
        (&["stats.fetch", "core:"], "\tcore.fwd_requests: 0\n"),
        (&["stats.get_statistics", "strowger:"], "strowger:received = 0\n"),
        (&["dispatcher.hash", "5", "a", "b"], "\thashid: 219\n\tslot: 4\n"),
        (&["dispatcher.ping_active"], "\tOldPingState: 1\n"),
        (&["strowger.reload"], "\t\tunchanged: 3\n"),
        (&["strowger.list"], "address: 127.0.0.1:9\n"),
        (&["system.listMethods"], "dispatcher.set_state\n"),
    ] {
        let said = tools.kamcmd(words);
        assert!(said.contains(says) && !said.contains("bad record"), "{words:?}: {said}");
    }
    let dump = tools.kamcmd(&["dispatcher.list", "short"]);
    assert!(dump.contains("FLAGS: IP\n") && !dump.contains("ATTRS"), "{dump}");
    relay.stop();
}

/// `kamcmd` itself takes no more than 128 KB, and says so; other programs get the whole.
#[test]
fn long_lists() {
    let tools = Tools::new();
    let list = |count: usize| -> String {
        (0..count).map(|n| format!("1 sip:127.1.{}.{}:5060\n", n / 250, n % 250 + 1)).collect()
    };
    let mut relay = Relay::with_list(&list(1_000)).config(&tools.config()).start();
    let dump = tools.kamcmd(&["dispatcher.list"]);
    assert_eq!(dump.matches("DEST: {").count(), 1_000, "{}", &dump[..dump.len().min(500)]);
    let before = relay.reload(&list(10_000));
    relay.wait_log(before, &[" reloaded: "]);
    assert!(tools.kamcmd(&["dispatcher.list"]).contains("reply too big"));
    let answer = tools.stream("ctl", &binrpc::request("dispatcher.list", &[], 7));
    let dests = answer.windows(5).filter(|bytes| bytes == b"DEST\0").count();
    let length = u32::from_be_bytes([0, answer[2], answer[3], answer[4]]) as usize;
    assert_eq!((dests, length + 9), (10_000, answer.len()));
    relay.stop();
}
