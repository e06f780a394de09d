//! The command line with a running relay: each command does what it promises, and errors say what
//! would be right.

use std::fs;

use crate::harness::cli::{self, ask};
use crate::harness::{Ends, Relay, Sipp};

const LIST: &str = "1 sip:127.0.0.1:5071 0 5 duid=one
1 sip:127.0.0.1:5072 4 0
2 sip:127.0.0.1:5073 9 0 duid=three;note=x
";

fn relay() -> Relay {
    Relay::with_list(LIST).workers(1).start()
}

#[test]
fn list_is_a_table_that_aligns_and_json_that_parses() {
    let relay = relay();
    let table = ask(&relay, &["list"]).well();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    for (name, wants) in [
        ("destination", ["sip:127.0.0.1:5071", "sip:127.0.0.1:5072", "sip:127.0.0.1:5073"]),
        ("address", ["127.0.0.1:5071", "127.0.0.1:5072", "127.0.0.1:5073"]),
        ("state", ["active (AX)", "disabled (DX)", "inactive (IP)"]),
        ("attributes", ["duid=one", "", "duid=three;note=x"]),
        ("from", ["line 1", "line 2", "line 3"]),
    ] {
        let column = lines[0].find(name).unwrap_or_else(|| panic!("no {name}: {table}"));
        for (line, wants) in lines[1..4].iter().zip(wants) {
            assert!(line[column..].starts_with(wants), "{name}: {table}");
        }
    }
    assert!(!table.contains('\u{1b}'), "no colours in a pipe: {table:?}");

    let json = ask(&relay, &["list", "--json"]).json();
    assert_eq!(json["sets"][0]["records"][0]["uri"], "sip:127.0.0.1:5071");
    assert_eq!(json["sets"][0]["records"][0]["addresses"][0]["address"], "127.0.0.1:5071");
    assert_eq!(json["sets"][1]["set"], 2);
    let one = ask(&relay, &["list", "--set", "2"]).well();
    assert_eq!(one.lines().count(), 2, "{one}");
    let wants = "strowger: there is no set 3: the sets are 1, 2\n";
    assert_eq!(ask(&relay, &["list", "--set", "3"]).refused(), wants);
}

#[test]
fn states_change_by_uri_by_duid_and_all_at_once() {
    let relay = relay();
    let letters = |relay: &Relay| {
        let json = ask(relay, &["list", "--json"]).json();
        let sets = json["sets"].as_array().unwrap().iter();
        let records = sets.flat_map(|set| set["records"].as_array().unwrap());
        records
            .map(|record| record["flags"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(letters(&relay), "AX DX IP");
    let said = ask(&relay, &["set-state", "inactive", "1", "sip:127.0.0.1:5071"]);
    assert_eq!((said.code, &*said.out), (0, "1 destination of set 1 now inactive\n"));
    let warning = "set 1 has no active destination left: every new call gets 404 No destination";
    assert_eq!(said.err, format!("strowger: warning: {warning}\n"));
    assert_eq!(letters(&relay), "IX DX IP");
    // Whether it is pinged stays, unless it is said.
    ask(&relay, &["set-state", "active", "2", "--duid", "three"]).well();
    assert_eq!(letters(&relay), "IX DX AP");
    ask(&relay, &["set-state", "tx", "2", "127.0.0.1:5073"]).well();
    assert_eq!(letters(&relay), "IX DX TX");
    let said = ask(&relay, &["set-state", "ap", "1", "all"]).well();
    assert_eq!(said, "2 destinations of set 1 now active\n");
    assert_eq!(letters(&relay), "AP AP TX");

    for (arguments, wants) in [
        (&["set-state", "active", "1", "sip:127.0.0.1:5999"][..], "sip:127.0.0.1:5999"),
        (&["set-state", "active", "7", "all"], "7"),
        (&["set-state", "active", "1", "--duid", "none"], "none"),
    ] {
        let told = ask(&relay, arguments).refused();
        assert!(told.contains(wants), "{told}");
    }
    assert_eq!(letters(&relay), "AP AP TX");
    let wrong = ask(&relay, &["set-state", "up", "1", "all"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("write active, trying, inactive or disabled"), "{}", wrong.err);
}

#[test]
fn one_destination_more_and_one_less_takes_effect_with_the_next_call() {
    let mut ends = Ends::new();
    let relay = Relay::with_list("").workers(1).start();
    let uri = format!("sip:{}", ends.server());
    assert_eq!(ask(&relay, &["list"]).well(), "no destinations\n");
    let said = ask(&relay, &["add", "1", &uri, "--priority", "-3", "--attrs", "duid=new"]).well();
    let wants = "warning: not written to the source: the next reload removes it";
    assert_eq!(said, format!("added to set 1: {uri}\n{wants}\n"));
    let json = ask(&relay, &["list", "--json"]).json();
    let record = &json["sets"][0]["records"][0];
    assert_eq!((&record["priority"], &record["attributes"]), (&(-3).into(), &"duid=new".into()));
    ends.send(relay.address(), 1);
    ends.wait_arrived(1);

    let said = ask(&relay, &["remove", "1", &uri]).well();
    assert_eq!(said, "1 destination of set 1 removed\n");
    let told = ask(&relay, &["remove", "1", &uri]).refused();
    assert!(told.contains("set 1 has no sip:"), "{told}");
    let told = ask(&relay, &["add", "1", "sips:127.0.0.1"]).refused();
    assert!(told.contains("sips"), "{told}");
    Sipp::scenario("uac_404").calls(relay.address(), 1, 50).run().assert_all_succeeded(1);
    relay.stop().assert(&[("chosen", 1), ("no_destination", 1)]);
}

#[test]
fn a_reload_is_planned_done_or_refused() {
    let relay = relay();
    let write = |text: &str| fs::write(relay.list_file(), text).unwrap();
    write(
        "1 sip:127.0.0.1:5071 4 5 duid=one\n1 sip:127.0.0.1:5072 4 0\n\
           2 sip:127.0.0.1:5073 9 0 duid=three;note=x\n1 sip:127.0.0.1:5074\n",
    );
    let plan = ask(&relay, &["reload", "--dry-run"]).well();
    for part in [
        "+    1  sip:127.0.0.1:5074  added\n",
        "~    1  sip:127.0.0.1:5071  ",
        "1 destination would be added, 0 removed, 1 changed; 2 as before. Nothing was changed.\n",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    let count = |relay: &Relay| ask(relay, &["list"]).well().matches("sip:").count();
    assert_eq!(count(&relay), 3);
    let done = ask(&relay, &["reload"]).well();
    assert!(done.ends_with("1 destination added, 0 removed, 1 changed; 2 as before.\n"), "{done}");
    assert_eq!(count(&relay), 4);

    // Every mistake at once, with its line.
    write("1 sip:nowhere:0\n1 sip:127.0.0.1:5071\nrubbish\n");
    let told = ask(&relay, &["reload"]).refused();
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains("dispatcher.list:1") && told.contains("dispatcher.list:3"), "{told}");
    // A set that would be empty.
    write("1 sip:127.0.0.1:5071 4 5 duid=one\n1 sip:127.0.0.1:5072 4 0\n1 sip:127.0.0.1:5074\n");
    let plan = ask(&relay, &["reload", "--dry-run"]);
    assert_eq!((plan.code, plan.err.as_str()), (1, ""), "{}", plan.out);
    assert!(plan.out.contains("refused without --force: set 2"), "{}", plan.out);
    assert_eq!(ask(&relay, &["reload", "--dry-run", "--force"]).code, 0);
    let told = ask(&relay, &["reload"]).refused();
    assert!(told.contains("set 2"), "{told}");
    assert_eq!(count(&relay), 4);
    let json = ask(&relay, &["reload", "--force", "--json"]).json();
    assert_eq!(json["plan"]["removed"][0]["uri"], "sip:127.0.0.1:5073");
    assert_eq!(count(&relay), 3);
}

#[test]
fn counters_hash_pings_and_overload() {
    let mut ends = Ends::new();
    let relay = Relay::with_list(&ends.list()).unwatched().workers(1).start();
    ends.send(relay.address(), 3);
    ends.wait_arrived(3);
    let stats = ask(&relay, &["stats"]).well();
    let line = |name: &str| {
        let line = stats.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}: {stats}"))
    };
    assert_eq!(line("forwarded.chosen ").split_whitespace().last(), Some("3"));
    let widths: Vec<usize> = stats.lines().map(str::len).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "numbers end in one column: {stats}");
    assert!(!stats.contains("dropped.stun"), "{stats}");
    let json = ask(&relay, &["stats", "--json"]).json();
    assert_eq!((&json["received"], &json["dropped.stun"]), (&3.into(), &0.into()));

    let slot = ask(&relay, &["hash", "8", "alice", "example.com"]).well();
    assert!(slot.starts_with("slot ") && slot.contains(" of 8, hash "), "{slot}");
    assert_eq!(ask(&relay, &["hash", "8", "alice", "example.com"]).well(), slot);
    let off = "No destination is probed until strowger ping-active on.";
    assert_eq!(ask(&relay, &["ping-active"]).well(), "on\n");
    assert_eq!(ask(&relay, &["ping-active", "off"]).well(), format!("off (was on)\n{off}\n"));
    assert_eq!(ask(&relay, &["ping-active"]).well(), format!("off\n{off}\n"));
    assert_eq!(ask(&relay, &["ping-active", "on"]).well(), "on (was off)\n");
    let said = ask(&relay, &["oclist", "1"]).well();
    assert!(said.contains(" ocrate ") && said.contains(" AX "), "{said}");
    let json = ask(&relay, &["oclist", "1", "--json"]).json();
    assert_eq!(json[0]["flags"], "AX", "{json}");
    let told = ask(&relay, &["oclist", "9"]).refused();
    assert!(told.contains("Not Found"), "{told}");
    relay.stop().assert(&[("received", 3)]);
}

#[test]
fn without_a_relay_it_says_so_and_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let alone = |arguments: &[&str]| {
        cli::start_alone(arguments, None, Some(folder.path())).wait().refused()
    };
    let path = folder.path().join("strowger.sock");
    let told = alone(&["list"]);
    assert!(told.contains("no relay is running here: no socket at "), "{told}");
    assert!(told.contains(path.to_str().unwrap()) && told.contains("strowger run"), "{told}");
    let named = folder.path().join("other.sock");
    for command in [&["reload"][..], &["drain"], &["stats"], &["set-state", "a", "1", "all"]] {
        let told = alone(&[command, &["--control", named.to_str().unwrap()]].concat());
        assert!(told.contains("other.sock"), "{told}");
    }
    // One that has ended without a word leaves its socket behind.
    let relay = Relay::with_list("").start();
    let socket = relay.control_socket();
    let left = folder.path().join("left.sock");
    fs::hard_link(&socket, &left).unwrap();
    relay.stop();
    let told = alone(&["list", "--control", left.to_str().unwrap()]);
    assert!(told.contains("nobody listens at "), "{told}");
    // A socket that is not the relay's, and a file that is no socket.
    let told = alone(&["list", "--control", "/dev/null"]);
    assert!(told.contains("is not a socket"), "{told}");
    let wrong = cli::start_alone(&["list", "--sets"], None, None).wait();
    assert_eq!(wrong.code, 2, "{}", wrong.err);
}

#[test]
fn the_configuration_and_the_state_directory_say_where_the_relay_is() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("here.sock");
    let config = format!("[control]\nsocket = {:?}\n", socket.to_str().unwrap());
    let relay = Relay::with_list(LIST).config(&config).start();
    let file = folder.path().join("strowger.toml");
    fs::write(&file, &config).unwrap();
    let arguments = ["list", "--config", file.to_str().unwrap()];
    let said = cli::start_alone(&arguments, None, None).wait().well();
    assert_eq!(said.lines().count(), 4, "{said}");
    relay.stop();

    let relay = Relay::with_list(LIST).start();
    let state = relay.control_socket();
    let said = cli::start_alone(&["list"], None, state.parent()).wait().well();
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[test]
fn list_watches_until_it_is_ended() {
    let relay = relay();
    let watch = |more: &[&str]| {
        cli::start(&relay, &[&["list", "--watch", "--interval", "100ms"], more].concat(), None)
    };
    let mut table = watch(&["--set", "1"]);
    table.wait_says("sip:127.0.0.1:5072  disabled (DX)");
    ask(&relay, &["set-state", "active", "1", "sip:127.0.0.1:5072"]).well();
    table.wait_says("sip:127.0.0.1:5072  active (AX)");
    let mut lines = watch(&["--json"]);
    lines.wait_says("]}\n{");
    lines.signal(nix::sys::signal::Signal::SIGINT);
    let said = lines.wait();
    let first = said.out.lines().next().expect("a line");
    let status: serde_json::Value = serde_json::from_str(first).expect("JSON");
    assert_eq!(status["sets"][1]["destinations"][0]["uri"], "sip:127.0.0.1:5073");
    let told = ask(&relay, &["list", "--watch", "--set", "9"]).refused();
    assert!(told.contains("there is no set 9: the sets are 1, 2"), "{told}");
    relay.stop();
    let said = table.wait();
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(!said.out.contains("5073") && !said.out.contains('\u{1b}'), "{}", said.out);
}
