//! A relay whose database fails in every way: nothing changes, everything is logged, and calls
//! continue.

use std::fs;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::harness::database::{PASSWORD, Server};
use crate::harness::sipp::{Running, servers};
use crate::harness::{Relay, Sipp, wait};

/// What one kind of server does in its own words.
pub(super) struct Words {
    /// Takes the password away, and gives it back as GIVEN.
    pub(super) lock_out: &'static str,
    pub(super) let_in: &'static str,
    /// Holds the table against readers for half a minute.
    pub(super) hold: &'static str,
    /// How many hold it.
    pub(super) holding: &'static str,
    /// How many wait for it.
    pub(super) waiting: &'static str,
}

/// From an empty table through every failure to an ordinary end.
pub(super) fn a_reload_fails(server: &mut dyn Server, words: &Words) {
    server.make("calls");
    let ms = servers("uas_call", 3);
    let mut relay = Relay::with_source(&server.kamailio("calls")).start();
    let address = relay.address();
    Sipp::scenario("uac_404").calls(address, 2, 50).run().assert_all_succeeded(2);

    server.play("calls", &insert(&ms[..2]));
    reload(&mut relay, "reloaded:");
    let caller = Sipp::scenario("uac_call").calls_in_turn(address, 4).run();
    caller.assert_all_succeeded(4);
    assert_eq!(caller.taken_by(), ["ms1", "ms2", "ms1", "ms2"]);

    let begin = || {
        let caller = Sipp::scenario("uac_call").calls(address, 60, 60).with(&["-d", "1500"]);
        let mut caller = caller.start();
        caller.wait_logged("taken", 1);
        caller
    };
    let caller = begin();
    for (wrong, says, right) in [
        (
            "ALTER TABLE dispatcher RENAME TO gone",
            "no table dispatcher",
            "ALTER TABLE gone RENAME TO dispatcher",
        ),
        (
            "UPDATE version SET table_version = 7 WHERE table_name = 'dispatcher'",
            "of version 7",
            "UPDATE version SET table_version = 4 WHERE table_name = 'dispatcher'",
        ),
        (
            "INSERT INTO dispatcher (id, setid, destination) VALUES (77, 1, 'sip:nowhere:0')",
            "row 77: \"sip:nowhere:0\"",
            "DELETE FROM dispatcher WHERE id = 77",
        ),
        (words.lock_out, "access denied", words.let_in),
    ] {
        server.play("calls", wrong);
        let told = reload(&mut relay, "not reloaded");
        assert!(told.contains(says), "{told} and not {says}");
        server.play("calls", &right.replace("GIVEN", PASSWORD));
    }
    // A reload that waits for the table, and then for nothing.
    let mut holder = server.leave_playing("calls", words.hold);
    let before = relay.log().len();
    let count_one = |what: &str, sql: &str| {
        wait::until(what, || (server.play("calls", sql).trim() == "1").then_some(()));
    };
    count_one("the table to be held", words.holding);
    relay.signal(Signal::SIGHUP);
    count_one("a reload that waits", words.waiting);
    server.stop();
    let _ = holder.wait();
    relay.wait_log(before, &["not reloaded"]);
    let told = relay.log()[before..].join("\n");
    assert!(told.contains("lost") || told.contains("not ready"), "{told}");
    let told = reload(&mut relay, "not reloaded");
    assert!(told.contains("cannot be reached"), "{told}");
    caller.wait().assert_all_succeeded(60);

    server.start_again();
    let caller = begin();
    server.play("calls", &insert(&ms[2..]));
    reload(&mut relay, "reloaded:");
    let outcome = caller.wait();
    outcome.assert_all_succeeded(60);
    outcome.assert_stayed(60);
    let (summary, log) = relay.stop_and_read();
    summary.assert(&[("chosen", 124), ("no_destination", 2)]);
    assert_no_password(&log);
    for server in ms {
        let outcome = server.stop();
        assert_eq!(outcome.failed, 0, "{}", outcome.errors);
    }
}

/// Starts while the database is away, with nothing to go on with, and with what was kept.
pub(super) fn a_start_without(server: &mut dyn Server, words: &Words) {
    server.make("start");
    let ms = servers("uas_call", 2);
    server.play("start", &insert(&ms));
    let state = TempDir::new().expect("a temporary folder");
    let config = format!("[relay]\nstate_dir = \"{}\"\n", state.path().display());
    let begin = || Relay::with_source(&server.kamailio("start")).config(&config);
    let turns = |relay: &Relay| {
        let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 2).run();
        caller.assert_all_succeeded(2);
        assert_eq!(caller.taken_by(), ["ms1", "ms2"]);
    };

    // A mistake is no reason to start with nothing.
    server.play("start", words.lock_out);
    let told = begin().refused();
    assert!(told.contains("access denied") && !told.contains("ready"), "{told}");
    server.play("start", &words.let_in.replace("GIVEN", PASSWORD));

    // Away: it starts, refuses calls, and takes them when the database is back.
    let (source, kept) = (server.kamailio("start"), state.path().join("destinations.last"));
    server.stop();
    let mut relay = Relay::with_source(&source).config(&config).start();
    relay.wait_log(0, &["ERROR", "cannot be reached"]);
    relay.wait_log(0, &["ERROR", "started without destinations: every call gets 404"]);
    Sipp::scenario("uac_404").calls(relay.address(), 2, 50).run().assert_all_succeeded(2);
    server.start_again();
    relay.wait_log(0, &["reloaded: 2 added", "set 1: 2/2 destinations active"]);
    turns(&relay);
    wait::until("the file of the last good rows", || kept.exists().then_some(()));
    let (_, log) = relay.stop_and_read();
    assert_no_password(&log);

    // Away once more: now there is something to go on with.
    server.stop();
    let relay = Relay::with_source(&source).config(&config).start();
    turns(&relay);
    let (_, log) = relay.stop_and_read();
    let is_said = |part: &str| log.iter().any(|line| line.contains("ERROR") && line.contains(part));
    assert!(is_said("cannot be reached"), "{log:#?}");
    assert!(is_said("started with the 2 destinations that"), "{log:#?}");
    assert_no_password(&log);
    let text = fs::read_to_string(&kept).expect("the file");
    assert_no_password(std::slice::from_ref(&text));

    // Not one byte of it may be another.
    fs::write(&kept, text.replacen("sip:", "sip.", 1)).expect("the file");
    let relay = Relay::with_source(&source).config(&config).start();
    let (_, log) = relay.stop_and_read();
    assert!(log.iter().any(|line| line.contains("destinations.last: is damaged")), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("started without destinations")), "{log:#?}");
    server.start_again();
}

/// Asks for a reload, waits for this answer, and returns all that is said of it.
fn reload(relay: &mut Relay, answer: &str) -> String {
    let before = relay.log().len();
    relay.signal(Signal::SIGHUP);
    relay.wait_log(before, &[answer]);
    relay.log()[before..].join("\n")
}

fn insert(servers: &[Running]) -> String {
    let rows = servers.iter().map(|server| format!("(1, 'sip:{}')", server.address));
    let rows = rows.collect::<Vec<_>>().join(", ");
    format!("INSERT INTO dispatcher (setid, destination) VALUES {rows};")
}

fn assert_no_password(lines: &[String]) {
    let part = PASSWORD.split('@').next().expect("a first part");
    for line in lines {
        assert!(!line.contains(part), "a password: {line}");
    }
}
