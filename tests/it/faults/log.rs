//! Standard error that is full, closed or full of hostile text: calls continue, each lost line is
//! counted, and no byte from the network breaks out of its line.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Ends, Relay, loopback, wait};

/// A dispatch line of a thousand bytes, so that little room is soon full.
fn long_line() -> String {
    format!("dispatched $ci {}", "x".repeat(950))
}

/// Sends new calls a few at a time, so that none is lost on the way to the relay.
fn call(ends: &mut Ends, relay: &Relay, count: u64) {
    for _ in 0..count / 100 {
        ends.send(relay.address(), 100);
        ends.wait_arrived(ends.sent);
    }
}

fn dispatched(lines: &[String]) -> u64 {
    lines.iter().filter(|line| line.contains(" dispatched ")).count() as u64
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_no_calls() {
    let mut ends = Ends::new();
    let line = long_line();
    let mut relay = Relay::with_list(&ends.list())
        .unwatched()
        .with(&["--dispatch-line", &line])
        .unread()
        .start();
    // The pipe takes 64 KiB, then each of two queues 4,096 lines.
    call(&mut ends, &relay, 10_000);
    relay.read_on();
    // Once it is read again, the log says what it could not.
    relay.wait_log(0, &["dispatch lines dropped"]);
    let (summary, lines) = relay.stop_and_read();
    ends.assert_arrived(10_000);
    summary.assert(&[("chosen", 10_000), ("sent.forward", 10_000)]);
    assert_eq!(dispatched(&lines) + summary.get("log_lost"), 10_000);
    assert!(summary.get("log_lost") > 1_000, "the pipe was never full");
}

#[test]
fn a_full_disk_costs_lines_and_no_calls() {
    let disk = Disk::new("1m");
    let path = disk.path().join("log");
    let file = OpenOptions::new().append(true).create(true).open(&path).expect("room for a name");
    let mut ends = Ends::new();
    let address = loopback::fresh();
    let line = long_line();
    let relay = Relay::with_list(&ends.list())
        .unwatched()
        .with(&["--dispatch-line", &line])
        .saying_into(file)
        .start_unheard(address);
    call(&mut ends, &relay, 3_000);
    // The operator makes room: as a log that is rotated by copying and truncating it. Nothing is
    // written in between, for the disk is full.
    let read = || fs::read_to_string(&path).expect("a log in UTF-8");
    let mut before = String::new();
    let mut make_room = || {
        let text = read();
        let is_full = text.len() >= 1 << 20;
        if is_full {
            before += &text;
            File::options().write(true).open(&path).and_then(|log| log.set_len(0)).expect("ours");
        }
        is_full
    };
    wait::until("a full disk", || make_room().then_some(()));
    call(&mut ends, &relay, 100);
    wait::until("the number of lines lost", || {
        // Lines that waited may have filled the room that was made.
        make_room();
        read().contains("log lines lost: standard error").then_some(())
    });
    relay.terminate();
    relay.wait_unheard();
    ends.assert_arrived(3_100);
    let after = read();
    let lines: Vec<_> = before.lines().chain(after.lines()).map(str::to_owned).collect();
    let lost: u64 = number_after(&after, " log_lost=");
    // What was torn by the end of the disk was lost; what followed it stands on a line of its own.
    let whole = lines.iter().filter(|line| line.ends_with("xxx") && line.len() > 1_000).cloned();
    assert_eq!(dispatched(&whole.collect::<Vec<_>>()) + lost, 3_100);
    assert!(lost > 0, "the disk was never full");
    assert!(
        lines
            .iter()
            .filter(|line| line.contains(" dispatched "))
            .all(|line| { line.matches(" dispatched ").count() == 1 })
    );
}

#[test]
fn a_pipe_without_a_reader_and_a_closed_standard_error_cost_no_calls() {
    let line = long_line();
    for is_closed in [false, true] {
        let mut ends = Ends::new();
        let builder = Relay::with_list(&ends.list()).unwatched().with(&["--dispatch-line", &line]);
        let builder = if is_closed {
            builder.under(&["sh", "-c", "exec \"$@\" 2>&-", "sh"])
        } else {
            let (reader, writer) = io::pipe().expect("a pipe");
            drop(reader);
            builder.saying_into(File::from(std::os::fd::OwnedFd::from(writer)))
        };
        let relay = builder.start_unheard(loopback::fresh());
        call(&mut ends, &relay, 1_000);
        relay.reload(&ends.list());
        call(&mut ends, &relay, 1_000);
        relay.wait_at_rest();
        relay.terminate();
        relay.wait_unheard();
        ends.assert_arrived(2_000);
    }
}

/// Messages made to write into the log: what they reach is bounded, escaped, and
/// never a secret.
#[test]
fn what_hostile_messages_bring_into_the_log() {
    let mut ends = Ends::new();
    let relay = Relay::with_list(&ends.list())
        .unwatched()
        .with(&["--dispatch-line", "dispatched $rm $ru $fu $tu $ci"])
        .with(&["--log-level", "trace"])
        .start();
    let secret = "Authorization: Digest username=\"alice\", response=\"5ecf00d5ecf00d\"\r\n";
    let hostile = "\x1b[2J\x07\x08\u{9b}31m\0";
    let kinds: Vec<String> = [
        ends.invite(relay.address(), 0, secret, "").replace("CSeq: 1", "CSeq: x"),
        ends.invite(relay.address(), 0, secret, "").replace("Call-ID: call-0", "Call-ID:"),
        ends.invite(relay.address(), 0, secret, "").replace("From: ", hostile),
        ends.invite(relay.address(), 0, secret, "").replace("sip:service", hostile),
        format!("{hostile}\r\n{secret}\r\n"),
        format!("SIP/2.0 200 {hostile}\r\n{secret}\r\n"),
    ]
    .into();
    for round in 0..MESSAGES / 60 {
        for _ in 0..10 {
            for kind in &kinds {
                ends.send_raw(relay.address(), kind.as_bytes());
            }
        }
        // Calls between them, with the same in their names, and each waited for.
        if round % 16 == 0 {
            ends.call(relay.address(), secret);
        }
    }
    let named = ends.invite(relay.address(), 1_000_000, secret, "");
    let named = named.replace("call-1000000", "call\u{9b}31m\u{202e}last");
    relay.wait_at_rest();
    ends.send_raw(relay.address(), named.as_bytes());
    ends.wait_arrived(ends.sent + 1);
    let (summary, lines) = relay.stop_and_read();
    let text = lines.join("\n");
    assert!(!text.contains("5ecf00d") && !text.contains("Digest"), "{text}");
    let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}' || c == '\u{fffd}';
    assert!(!text.contains(is_bad), "{}", text.escape_debug());
    assert!(text.contains("last"));
    let calls = ends.sent + 1;
    let others = lines.len() as u64 - dispatched(&lines);
    assert_eq!((dispatched(&lines), summary.get("chosen")), (calls, calls));
    assert!(others < 20, "{others} lines for messages that nobody asked about:\n{text}");
    assert!(summary.get("received") > MESSAGES / 2, "too much was lost on the way");
}

const MESSAGES: u64 = 30_000;

/// A file system in memory, as large as it is told to be.
pub(super) struct Disk(TempDir);

impl Disk {
    pub(super) fn new(size: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let options = format!("size={size}");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(folder.path())
            .status();
        assert!(status.expect("mount").success(), "root is needed");
        Self(folder)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while it is in use: it goes when the last file is closed.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn number_after(text: &str, name: &str) -> u64 {
    let rest = text.split(name).nth(1).unwrap_or_else(|| panic!("{name} in the summary"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).expect("a number")
}
