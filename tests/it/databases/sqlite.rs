//! `SQLite`, the embedded default.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::rows;
use crate::harness::database::{Server as _, client};
use crate::harness::sipp::servers;
use crate::harness::sqlite::Sqlite;
use crate::harness::{Relay, Sipp, wait};

#[test]
fn tables_of_sqlite() {
    let server = Sqlite::new();
    rows::play(&server, |length| format!("HEX(ZEROBLOB({}))", length / 2));
    rows::write_back(&server);
    fs::write(server.file("rubbish"), "not a database ".repeat(100)).expect("a file");
    rows::refuse(
        &server,
        &[
            (server.kamailio("missing"), "no such file: name a database that exists"),
            (server.kamailio("rubbish"), "not an SQLite database"),
        ],
    );
    assert!(!server.file("missing").exists(), "reading makes nothing");
}

/// Without a source there is one, beside the configuration, with Kamailio's tables and nobody in it.
#[test]
fn a_relay_without_a_source_makes_its_own() {
    let ms = servers("uas_call", 2);
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("relay.toml");
    let state = folder.path().join("state");
    fs::write(&config, format!("[relay]\nstate_dir = \"{}\"\n", state.display())).expect("a file");
    let begin = || {
        let config = config.to_str().expect("a path in UTF-8");
        Relay::with_nothing().with(&["--config", config])
    };
    let database = folder.path().join("strowger.db");
    let play = |sql: &str| client(Command::new("sqlite3").arg("-bail").arg(&database), sql);

    let mut relay = begin().start();
    relay.wait_log(0, &["strowger.db: did not exist: created, with empty tables"]);
    Sipp::scenario("uac_404").calls(relay.address(), 2, 50).run().assert_all_succeeded(2);
    // What Kamailio's own file makes has the same columns.
    let kamailio = Sqlite::new();
    kamailio.make("own");
    let columns =
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('dispatcher');";
    assert_eq!(play(columns), kamailio.play("own", columns));

    // Half of a change is none: another process writes while we read.
    let rows = ms.iter().map(|server| format!("(1, 'sip:{}')", server.address));
    let rows = rows.collect::<Vec<_>>().join(", ");
    let insert = format!("INSERT INTO dispatcher (setid, destination) VALUES {rows};");
    let begun = relay.log().len();
    let script = format!(
        "BEGIN EXCLUSIVE;\nDELETE FROM dispatcher;\n.shell touch {folder}/held; \
         until [ -e {folder}/go ]; do sleep 0.02; done\n{insert}\nCOMMIT;\n",
        folder = folder.path().display()
    );
    let writer = {
        let database = database.clone();
        std::thread::spawn(move || client(Command::new("sqlite3").arg(database), &script))
    };
    wait::until("a writer at work", || folder.path().join("held").exists().then_some(()));
    relay.signal(Signal::SIGHUP);
    let opened = format!("/proc/{}/fd", relay.pid());
    wait::until("the relay to open the database", || {
        let mut files = fs::read_dir(&opened).expect("a running relay").flatten();
        let is_open = files.any(|file| fs::read_link(file.path()).is_ok_and(|at| at == database));
        is_open.then_some(())
    });
    fs::write(folder.path().join("go"), "").expect("a file");
    writer.join().expect("a writer");
    relay.wait_log(begun, &["reloaded: 2 added", "set 1: 2/2 destinations active"]);
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 2).run();
    assert_eq!(caller.taken_by(), ["ms1", "ms2"]);

    // Gone at a reload: nothing is made, and nothing changes.
    let hidden = folder.path().join("hidden.db");
    fs::rename(&database, &hidden).expect("a file");
    let before = relay.log().len();
    relay.signal(Signal::SIGHUP);
    relay.wait_log(before, &["no such file"]);
    relay.wait_log(before, &["not reloaded"]);
    assert!(!database.exists());
    Sipp::scenario("uac_call").calls_in_turn(relay.address(), 2).run().assert_all_succeeded(2);
    fs::rename(&hidden, &database).expect("a file");
    relay.stop();

    // The next start finds it.
    let relay = begin().start();
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 2).run();
    assert_eq!(caller.taken_by(), ["ms1", "ms2"]);
    relay.stop();
}
