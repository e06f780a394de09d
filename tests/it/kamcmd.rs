//! Kamailio's own `kamcmd` with the BINRPC control socket.

use strowger::rpc::{Value, binrpc};

use crate::harness::{Ends, Relay, Tools};

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
        (&["core.uptime"], "\tup_since: "),
        (&["core.shmmem"], "\n\tfragments: 0\n"),
        (&["core.shmmem", "k"], "{\n\ttotal: "),
        (&["core.shmmem", "z"], "error: 500 - bad param, (use b|k|m|g)\n"),
        (&["tm.stats"], "{\n\tcurrent: 0\n\twaiting: 0\n\ttotal: 0\n\ttotal_local: 0\n"),
        (&["sl.stats"], "{\n\t200: 0\n\t202: 0\n\t2xx: 0\n\t300: 0\n"),
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

/// As Kamailio's Prometheus exporters do: all questions of one scrape on one connection, each answered
/// by one struct, in which whole numbers are looked for by name.
#[test]
fn a_scrape_of_an_exporter() {
    let tools = Tools::new();
    let mut ends = Ends::new();
    let relay = Relay::with_list(&ends.list()).unwatched().config(&tools.config()).start();
    ends.call(relay.address(), "");
    ends.ask(relay.address());
    let methods =
        ["tm.stats", "sl.stats", "core.shmmem", "core.uptime", "dispatcher.list", "core.tcp_info"];
    let asked: Vec<u8> =
        (1..).zip(methods).flat_map(|(n, method)| binrpc::request(method, &[], n)).collect();
    let answered = tools.stream("ctl", &asked);
    let mut rest = &answered[..];
    let mut scraped = Vec::new();
    for (cookie, method) in (1..).zip(methods) {
        let (packet, length) =
            binrpc::decode(rest).expect("a packet").unwrap_or_else(|| panic!("no {method}"));
        rest = &rest[length..];
        assert_eq!((packet.kind, packet.cookie), (binrpc::PacketType::Reply, cookie), "{method}");
        let [members @ Value::Struct(_)] = &packet.records[..] else {
            panic!("{method}: {:?}", packet.records)
        };
        scraped.push(members.clone());
    }
    assert!(rest.is_empty());
    let value = |at: usize, name: &str| match scraped[at].get(name) {
        Some(Value::Int(number)) => *number,
        other => panic!("{} {name}: {other:?}", methods[at]),
    };
    let names = |at: usize| match &scraped[at] {
        Value::Struct(members) => {
            members.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    };
    let tm = "current waiting total total_local rpl_received rpl_generated rpl_sent 6xx 5xx 4xx 3xx \
              2xx created freed delayed_free";
    let sl = "200 202 2xx 300 301 302 3xx 400 401 403 404 407 408 483 4xx 500 5xx 6xx xxx";
    let memory = "total free used real_used max_used fragments";
    let tcp = "readers max_connections max_tls_connections opened_connections \
               opened_tls_connections write_queued_bytes";
    for (at, wants) in [(0, tm), (1, sl), (2, memory), (3, "now up_since uptime"), (5, tcp)] {
        assert_eq!(names(at), wants);
    }
    assert!(value(1, "200") >= 1, "the OPTIONS");
    assert_eq!((value(1, "404"), value(1, "5xx"), value(0, "current")), (0, 0, 0));
    let (total, used) = (value(2, "total"), value(2, "used"));
    assert!(used > 0 && value(2, "max_used") >= used, "one call is remembered");
    assert_eq!(value(2, "free") + value(2, "real_used"), total);
    assert!((0..3_600).contains(&value(3, "uptime")));
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
