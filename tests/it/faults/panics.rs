//! Bugs of our own: a panic costs only the datagram that caused it, or one attempt of a control
//! thread.

use std::fs;

use crate::harness::sipp::{list, servers};
use crate::harness::{Ends, Relay, Sipp};

#[test]
fn thousands_of_panics_cost_those_datagrams_and_no_other() {
    let servers = servers("uas_call", 2);
    let relay = Relay::with_list(&list(&servers)).panicking_at("X-Fault: ").workers(2).start();
    let mut attacker = Ends::new();
    let caller = Sipp::scenario("uac_call")
        .calls(relay.address(), 150, 100)
        .with(&["-t", "un", "-max_socket", "1000", "-d", "200"])
        .start();
    let panics = 3_000;
    attacker.send_with(relay.address(), 500, "X-Fault: 1\r\n", "");
    let (files, memory) = held(&relay);
    for _ in 0..(panics - 500) / 50 {
        attacker.send_with(relay.address(), 50, "X-Fault: 1\r\n", "");
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    let caller = caller.wait();
    caller.assert_all_succeeded(150);
    caller.assert_stayed(150);
    for server in servers {
        server.stop().assert_all_succeeded(75);
    }
    let (files_after, memory_after) = held(&relay);
    assert_eq!(files_after, files, "open files");
    assert!(memory_after < memory + 1_024, "{memory} KiB, then {memory_after} KiB");
    let (summary, lines) = relay.stop_and_read();
    summary.assert(&[("panicked", panics), ("chosen", 150), ("token", 300)]);
    assert_eq!(summary.get("worker_restarts"), 0);
    let told = lines.iter().filter(|line| line.contains("a bug, please report it")).count();
    assert!((1..=6).contains(&told), "{told} lines for {panics} panics");
}

#[test]
fn a_reload_that_panics_changes_nothing_and_the_next_one_may_work() {
    let mut ends = Ends::new();
    let mut relay =
        Relay::with_list(&ends.list()).unwatched().panicking_at("strowger reload").start();
    for _ in 0..3 {
        let before = relay.reload("1 sip:127.0.0.1:9\n");
        relay.wait_log(before, &["the reload panicked"]);
        relay.wait_log(before, &["not reloaded: nothing has changed"]);
    }
    ends.send(relay.address(), 10);
    ends.wait_arrived(10);
    relay.stop().assert(&[("chosen", 10), ("panicked", 0)]);
}

/// Nobody reads the log, either: a panic is said there and waits for nobody.
#[test]
fn a_control_thread_that_panics_ends_neither_the_relay_nor_its_end() {
    let mut ends = Ends::new();
    let relay = Relay::with_list(&ends.list())
        .unwatched()
        .panicking_at("strowger control")
        .unread()
        .start();
    ends.send(relay.address(), 10);
    ends.wait_arrived(10);
    // More words than the pipe takes.
    for _ in 0..200 {
        relay.reload(&format!("1 sip:127.0.0.1:5060 {}\n", "x".repeat(1_000)));
    }
    ends.send(relay.address(), 10);
    ends.wait_arrived(20);
    relay.terminate();
    relay.wait_unheard();
    ends.assert_arrived(20);
}

/// Open files, and resident memory in KiB without what the table of calls has touched.
fn held(relay: &Relay) -> (usize, u64) {
    let pid = relay.pid();
    let files = || fs::read_dir(format!("/proc/{pid}/fd")).expect("a running relay").count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running relay");
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let anonymous = anonymous.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    (files(), anonymous.expect("a number"))
}
