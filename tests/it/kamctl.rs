//! Kamailio's own `kamctl` with the relay's FIFO, and with the table that both read.

use std::thread;

use crate::harness::database::Server as _;
use crate::harness::sqlite::Sqlite;
use crate::harness::{Ends, Relay, Tools};

#[test]
fn destinations_are_shown_changed_and_read_again() {
    let tools = Tools::new();
    let mut ends = Ends::new();
    let server = ends.server();
    let list = format!("1 sip:{server} 0 5 duid=ms1;weight=50\n2 sip:127.0.0.1:9 4\n");
    let mut relay = Relay::with_list(&list).config(&tools.config()).start();

    let dump = tools.kamctl(&["dispatcher", "dump"]);
    // As Kamailio's is read by people's scripts: every word on its line, in this order.
    let words = [
        "\"NRSETS\": 2,",
        "\"RECORDS\":",
        "\"SET\":",
        "\"ID\": 1,",
        "\"TARGETS\":",
        "\"DEST\":",
        &format!("\"URI\":  \"sip:{server}\","),
        "\"FLAGS\":  \"AX\",",
        "\"PRIORITY\": 5,",
        "\"ATTRS\":",
        "\"BODY\": \"duid=ms1;weight=50\",",
        "\"DUID\": \"ms1\",",
        "\"WEIGHT\": 50,",
        "\"SOCKET\": null,",
        "\"ID\": 2,",
        "\"FLAGS\":  \"DX\",",
        "\"id\":",
    ];
    let mut rest = dump.as_str();
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word} in {dump}"));
        rest = &rest[at..];
    }

    let uri = format!("sip:{server}");
    let updated = "\"result\": \"Ok. Dispatcher state updated.\",";
    let set = |words: &[&str]| tools.kamctl(&[&["rpc"], words].concat());
    for (words, says) in [
        (&["dispatcher.set_state", "ip", "1", &uri] as &[&str], updated),
        (&["dispatcher.set_state", "zz", "1", &uri], "\"message\":  \"Unknown State Value\""),
        (
            &["dispatcher.set_state", "a", "1", "sip:nowhere"],
            "\"message\":  \"State Update Failed\"",
        ),
        (&["dispatcher.set_state", "a"], "\"message\":  \"Invalid Parameters\""),
        (&["dispatcher.nothing"], "\"message\":  \"Method Not Found\""),
        // What printf %f takes goes out without quotes.
        (&["core.echo", "1e5", "0x10", "nan", "inf"], "\"0x10\","),
    ] {
        let said = set(words);
        assert!(said.contains(says), "{words:?}: {said}");
    }
    assert!(tools.kamctl(&["dispatcher", "dump"]).contains("\"FLAGS\":  \"IP\","));
    ends.ask(relay.address());
    ends.send(relay.address(), 1);
    assert!(set(&["dispatcher.set_duid_state", "a", "1", "ms1"]).contains(updated));
    ends.call(relay.address(), "");

    let ok = "\"result\": \"Ok. Dispatcher successfully reloaded.\",";
    std::fs::write(relay.list_file(), format!("1 sip:{server}\n3 sip:127.0.0.1:9\n")).unwrap();
    assert!(tools.kamctl(&["dispatcher", "reload"]).contains("Reload Failed"), "set 2 is gone");
    std::fs::write(relay.list_file(), format!("{list}3 sip:127.0.0.1:9\n")).unwrap();
    let said = tools.kamctl(&["dispatcher", "reload"]);
    assert!(said.contains(ok), "{said}");
    relay.wait_log(0, &[" reloaded: ", "set 3: 1/1"]);
    assert!(tools.kamctl(&["dispatcher", "dump"]).contains("\"NRSETS\": 3,"));
    std::fs::write(relay.list_file(), "1 sip:no port:x\n").unwrap();
    let said = tools.kamctl(&["dispatcher", "reload"]);
    assert!(said.contains("\"message\":  \"Reload Failed\",") && said.contains(":1: "), "{said}");
    assert!(tools.kamctl(&["dispatcher", "dump"]).contains("\"NRSETS\": 3,"));

    for (words, says) in [
        (&["uptime"] as &[&str], "\"up_since\":"),
        (&["rpc", "core.version"], "\"result\": \"strowger "),
        (&["stats"], "\"strowger:forwarded.chosen = 1\""),
        (&["stats", "core"], "\"core:fwd_requests = "),
        (&["srv", "version"], "strowger "),
        (&["srv", "rpclist"], "\"dispatcher.set_state\","),
    ] {
        let said = tools.kamctl(words);
        assert!(said.contains(says), "{words:?}: {said}");
    }
    // One INVITE found no destination.
    relay.stop().assert(&[("no_destination", 1), ("chosen", 1)]);
}

/// Each has a reply pipe of its own, and one FIFO takes the requests of all.
#[test]
fn many_at_once() {
    let tools = Tools::new();
    let relay = Relay::with_list("1 sip:127.0.0.1:9\n").config(&tools.config()).start();
    thread::scope(|scope| {
        for number in 0..6 {
            let tools = &tools;
            scope.spawn(move || {
                let text = format!("text-{number}");
                let said = tools.kamctl(&["rpc", "core.echo", &text]);
                assert!(said.contains(&format!("\"{text}\"")), "{said}");
            });
        }
    });
    relay.stop();
}

#[test]
fn a_long_list_is_shown_whole() {
    let tools = Tools::new();
    let list: String = (0..3_000)
        .map(|n| format!("1 sip:127.1.{}.{}:5060 0 0 duid=ms{n}\n", n / 250, n % 250 + 1))
        .collect();
    let relay = Relay::with_list(&list).config(&tools.config()).start();
    let dump = tools.kamctl(&["dispatcher", "dump"]);
    assert_eq!(dump.matches("\"DEST\":").count(), 3_000);
    assert!(dump.trim_end().ends_with('}'), "{}", &dump[dump.len() - 100..]);
    relay.stop();
}

/// Gateways come and go in the table, by the tool's own SQL; the relay takes them with the reload.
#[test]
fn gateways_of_a_table() {
    let (tools, database) = (Tools::new(), Sqlite::new());
    database.make("kamailio");
    tools.settle(&format!("DBENGINE=SQLITE\nDB_PATH={}\n", database.file("kamailio").display()));
    let mut ends = Ends::new();
    let server = format!("sip:{}", ends.server());
    let source = database.source("", "", "kamailio");
    let relay = Relay::with_source(&source).config(&tools.config()).start();
    let says = |words: &[&str], says: &str| {
        let said = tools.kamctl(words);
        assert!(said.contains(says), "{words:?}: {said}");
    };
    says(&["dispatcher", "dump"], "No Destination Sets");
    tools.kamctl(&["dispatcher", "addgw", "1", &server, "0", "0", "weight=50", "first"]);
    tools.kamctl(&["dispatcher", "addgw", "2", "sip:127.0.0.1:9", "4"]);
    says(&["dispatcher", "show"], &format!("1|1|{server}|0|0|weight=50|first"));
    says(&["dispatcher", "dump"], "No Destination Sets");
    says(&["dispatcher", "reload"], "Ok. Dispatcher successfully reloaded.");
    says(&["dispatcher", "dump"], &format!("\"URI\":  \"{server}\""));
    ends.call(relay.address(), "");
    tools.kamctl(&["dispatcher", "rmgw", "1"]);
    says(&["dispatcher", "reload"], "Reload Failed");
    says(&["rpc", "strowger.reload", "false", "true"], "\"removed\":");
    says(&["dispatcher", "dump"], "\"NRSETS\": 1,");
    relay.stop().assert(&[("chosen", 1)]);
}
