//! The control side under stress: bursts of signals, files that are not lists, and shutdowns that
//! do not wait.

use std::fs::{self, File};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal;

use super::log::Disk;
use crate::harness::{Ends, Relay};

#[test]
fn a_thousand_reloads_in_a_burst_while_the_list_changes() {
    let mut ends = Ends::new();
    let good = ends.list();
    let mut relay = Relay::with_list(&good).unwatched().start();
    let other = format!("{good}1 sip:127.0.0.1:9 4\n");
    for number in 0..1_000 {
        if number % 10 == 0 {
            let text = [&good, &other][number / 10 % 2];
            fs::write(relay.list_file(), text).expect("a writable folder");
        }
        relay.signal(Signal::SIGHUP);
        if number % 50 == 0 {
            ends.send(relay.address(), 1);
        }
    }
    // Whatever was read in between, the last state of the file is what counts.
    let before = relay.reload(&other);
    relay.wait_log(before, &["reloaded: ", "; set 1: 1/2 destinations active"]);
    ends.send(relay.address(), 10);
    let sent = ends.sent;
    ends.wait_arrived(sent);
    relay.stop().assert(&[("chosen", sent)]);
    ends.assert_arrived(sent);
}

/// Each is refused with a reason and a help, and the old list stays.
#[test]
fn lists_that_are_none() {
    let mut ends = Ends::new();
    let mut relay = Relay::with_list(&ends.list()).unwatched().start();
    let list = relay.list_file();
    let remove = || {
        let _ = fs::remove_file(&list).or_else(|_| fs::remove_dir(&list));
    };
    let make_pipe = || {
        let status = Command::new("mkfifo").arg(&list).status();
        assert!(status.expect("mkfifo").success());
    };
    let make_huge = || {
        let file = File::create(&list).expect("a writable folder");
        file.set_len(65 << 20).expect("a sparse file");
    };
    let rows: [(&str, &dyn Fn()); 7] = [
        ("is empty: write a comment", &|| fs::write(&list, "").expect("writable")),
        ("cannot be read", &|| fs::create_dir(&list).expect("a writable folder")),
        ("is a pipe", &make_pipe),
        ("No such file", &|| {}),
        ("is too long", &make_huge),
        ("dispatcher.list:1", &|| fs::write(&list, [0, 159, 146, 150]).expect("writable")),
        ("Too many levels", &|| {
            std::os::unix::fs::symlink(&list, &list).expect("writable");
        }),
    ];
    for (says, make) in rows {
        remove();
        make();
        let before = relay.log().len();
        relay.signal(Signal::SIGHUP);
        relay.wait_log(before, &[says]);
        relay.wait_log(before, &["not reloaded: nothing has changed"]);
        ends.send(relay.address(), 1);
        ends.wait_arrived(ends.sent);
    }
    remove();
    relay.stop().assert(&[("chosen", 7)]);
}

/// Half a line of a list that is being written is a destination of its own, perhaps.
#[test]
fn a_list_that_is_written_while_it_is_read_is_read_whole_or_refused() {
    let ends = Ends::new();
    let whole: String =
        (1..=2_000).map(|n| format!("1 sip:127.1.{}.{}:5060 4\n", n / 250, n % 250 + 1)).collect();
    let whole = ends.list() + &whole;
    let mut relay = Relay::with_list(&whole).unwatched().start();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let list = relay.list_file();
        let (whole, is_over) = (&whole, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                fs::write(&list, whole).expect("a writable folder");
            }
        });
        for _ in 0..4 {
            let before = relay.log().len();
            relay.signal(Signal::SIGHUP);
            relay.wait_log(before, &["eloaded: "]);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let before = relay.reload(&whole);
    relay.wait_log(before, &["reloaded: ", "; set 1: 1/2001 destinations active"]);
    let lines = relay.log();
    for line in lines.iter().filter(|line| line.contains(" changed; set 1: ")) {
        assert!(line.contains("1/2001 destinations active"), "{line}");
    }
    relay.stop();
}

#[test]
fn an_end_during_a_reload_and_a_second_one() {
    let mut ends = Ends::new();
    // A name takes up to two seconds to be looked up in vain.
    let slow = format!("{}1 sip:no-such-host.invalid\n", ends.list());
    let relay = Relay::with_list(&ends.list()).unwatched().start();
    ends.send(relay.address(), 1);
    ends.wait_arrived(1);
    relay.reload(&slow);
    for _ in 0..20 {
        relay.signal(Signal::SIGHUP);
    }
    relay.terminate();
    relay.terminate();
    relay.stop().assert(&[("chosen", 1)]);
}

/// A configuration that lost all its bytes would let everybody call.
#[test]
fn an_emptied_configuration_changes_nothing() {
    let ends = Ends::new();
    let closed = "[relay]\nallow = [\"192.0.2.0/24\"]\n";
    let mut relay = Relay::with_list(&ends.list()).unwatched().config(closed).start();
    let config = relay.list_file().with_file_name("strowger.toml");
    fs::write(&config, "").expect("writable");
    let before = relay.reload(&ends.list());
    relay.wait_log(before, &["strowger.toml: is empty"]);
    relay.wait_log(before, &["not reloaded: nothing has changed"]);
    ends.send_raw(relay.address(), ends.invite(relay.address(), 1, "", "").as_bytes());
    relay.wait_at_rest();
    relay.stop().assert(&[("not_allowed", 1), ("chosen", 0)]);
}

#[test]
fn a_reload_without_free_descriptors_keeps_the_old_list() {
    let mut ends = Ends::new();
    let mut relay = Relay::with_list(&ends.list()).unwatched().start();
    let pid = relay.pid().to_string();
    let limit = |files: &str| {
        let files = format!("--nofile={files}");
        let status = Command::new("prlimit").args(["--pid", &pid, &files]).status();
        assert!(status.expect("prlimit").success());
    };
    limit("3:4096");
    let before = relay.reload("1 sip:127.0.0.1:9\n");
    relay.wait_log(before, &["Too many open files", "ulimit -n"]);
    relay.wait_log(before, &["not reloaded: nothing has changed"]);
    ends.send(relay.address(), 10);
    ends.wait_arrived(10);
    limit("1024:4096");
    let before = relay.reload(&ends.list());
    relay.wait_log(before, &["reloaded: ", "; set 1: 1/1 destinations active"]);
    relay.stop().assert(&[("chosen", 10)]);
}

/// Without room for a key file the relay serves, says what it means, and leaves no rest of a file.
#[test]
fn a_state_folder_on_a_full_disk() {
    let disk = Disk::new("16k");
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![0; 1 << 16]).expect_err("a full disk");
    let mut ends = Ends::new();
    let text = format!("[relay]\nstate_dir = {:?}\n", disk.path());
    let mut relay = Relay::with_list(&ends.list()).unwatched().config(&text).start();
    let said = relay.wait_log(0, &["no key file can be kept", "No space left on device"]);
    assert!(said.contains("WARN") && said.contains("relay.state_dir"), "{said}");
    let before = relay.reload(&ends.list());
    relay.wait_log(before, &["reloaded"]);
    ends.send(relay.address(), 10);
    ends.wait_arrived(10);
    relay.stop();
    let names = fs::read_dir(disk.path()).expect("our disk").count();
    assert_eq!(names, 1, "what was left beside the filler");
}

/// A database that cannot be created as a whole is not created, and the next start creates it.
#[test]
fn a_first_start_on_a_full_disk() {
    let disk = Disk::new("128k");
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![0; 1 << 20]).expect_err("a full disk");
    let database = disk.path().join("strowger.db");
    let url = format!("sqlite:{}", database.display());
    let begin = || Relay::with_nothing().with(&["--db", &url]);
    for room in [0, 8192, 16_384] {
        let full = fs::metadata(&filler).expect("it is there").len();
        File::options()
            .write(true)
            .open(&filler)
            .and_then(|file| file.set_len(full - room))
            .expect("room");
        let said = begin().refused();
        for part in ["strowger.db: does not exist and cannot be created", "free some space"] {
            assert!(said.contains(part), "{said}");
        }
        let names = fs::read_dir(disk.path()).expect("our disk").count();
        assert_eq!(names, 1, "what was left beside the filler");
        fs::write(&filler, vec![0; 1 << 20]).expect_err("a full disk");
    }
    fs::remove_file(&filler).expect("it is there");
    let mut relay = begin().start();
    relay.wait_log(0, &["strowger.db: did not exist: created, with empty tables"]);
    relay.stop();
    let names = fs::read_dir(disk.path()).expect("our disk").count();
    assert_eq!(names, 1, "what was left beside the database");
}
