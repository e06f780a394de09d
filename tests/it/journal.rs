//! The log in the systemd journal: a real journald, in a mount namespace with a /run of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::cli::ask;
use crate::harness::process::Process;
use crate::harness::relay::Builder;
use crate::harness::{Ends, Relay, loopback, wait};

/// A journal that only its own programs see.
struct Journal {
    process: Process,
    mounts: String,
}

impl Journal {
    fn start() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", JOURNALD]);
        let mut process = Process::start("systemd-journald", &mut command);
        let socket =
            PathBuf::from(format!("/proc/{}/root/run/systemd/journal/stdout", process.id()));
        wait::until("the socket of the journal", || {
            assert_eq!(process.ended(), None, "journald has ended");
            // Before it has its own /run, it sees that of this machine, which may have a journal.
            (fs::read_link(format!("/proc/{}/exe", process.id()))
                .ok()?
                .ends_with("systemd-journald")
                && socket.exists())
            .then_some(())
        });
        let mounts = format!("--mount=/proc/{}/ns/mnt", process.id());
        Self { process, mounts }
    }

    /// The relay, its standard error a stream of this journal, as in a service.
    fn of(&self, relay: Builder) -> Builder {
        relay.under(&["nsenter", &self.mounts, "systemd-cat", "sh", "-c", AS_JOURNAL, "sh"])
    }

    /// All that the relay has said.
    fn read(&self) -> Vec<Value> {
        let mut command = Command::new("nsenter");
        command.args([&self.mounts, "journalctl", "--all", "--output=json", "_COMM=strowger"]);
        let output = command.output().expect("nsenter is installed");
        let text = String::from_utf8(output.stdout).expect("journalctl writes UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn wait(&self, field: &str, begins: &str) -> Value {
        wait::until(&format!("{field}={begins} in the journal"), || {
            let is_it =
                |record: &Value| record[field].as_str().is_some_and(|v| v.starts_with(begins));
            self.read().into_iter().find(is_it)
        })
    }
}

/// What these fields are in a record, all of them.
#[track_caller]
fn assert_fields(record: &Value, wants: &[(&str, &str)]) {
    for (name, value) in wants {
        assert_eq!(record[*name], *value, "{name} of {record:#}");
    }
}

#[test]
fn records_have_fields_and_the_priority_of_their_level() {
    let (journal, ends, address) = (Journal::start(), Ends::new(), loopback::fresh());
    let relay = journal
        .of(Relay::with_list(&ends.list()).with(&["--dispatch-line", "dispatched $ci"]))
        .start_unheard(address);
    let ready = journal.wait("MESSAGE", "ready: udp:");
    let common = [("SYSLOG_IDENTIFIER", "strowger"), ("_TRANSPORT", "journal"), ("PRIORITY", "6")];
    assert_fields(&ready, &common);

    ask(&relay, &["add", "7", "sip:127.0.0.9:5060"]).well();
    let added = journal.wait("STROWGER_EVENT", "added");
    assert_fields(&added, &common);
    assert_fields(
        &added,
        &[
            ("STROWGER_SET", "7"),
            ("STROWGER_DESTINATION", "sip:127.0.0.9:5060"),
            ("STROWGER_UID", "0"),
        ],
    );
    let by = format!("a command of root (pid {})", added["STROWGER_PID"].as_str().unwrap());
    assert_fields(&added, &[("STROWGER_BY", &by)]);
    assert!(added["MESSAGE"].as_str().unwrap().ends_with(&format!(" added by {by}")), "{added:#}");

    relay.reload("nonsense\n");
    let refused = journal.wait("STROWGER_EVENT", "not_reloaded");
    assert_fields(&refused, &[("PRIORITY", "3"), ("STROWGER_BY", "SIGHUP")]);
    relay.wait_unheard();
    journal.wait("MESSAGE", "summary: ");
    let lines = journal.read();
    assert!(lines.iter().all(|line| line["_TRANSPORT"] == "journal"), "{lines:#?}");
}

#[test]
fn who_asks_for_json_gets_lines_of_json() {
    let (journal, ends, address) = (Journal::start(), Ends::new(), loopback::fresh());
    let relay = journal
        .of(Relay::with_list(&ends.list()).with(&["--log-format", "json"]))
        .start_unheard(address);
    let ready = journal.wait("MESSAGE", "{\"timestamp\"");
    assert_fields(&ready, &[("_TRANSPORT", "stdout")]);
    relay.wait_unheard();
}

#[test]
fn a_journal_that_is_stuck_costs_lines_and_no_calls() {
    let (journal, mut ends, address) = (Journal::start(), Ends::new(), loopback::fresh());
    let line = format!("dispatched $ci {}", "x".repeat(950));
    let relay = journal
        .of(Relay::with_list(&ends.list()).unwatched().with(&["--dispatch-line", &line]))
        .start_unheard(address);
    journal.wait("MESSAGE", "ready: ");
    journal.process.signal(Signal::SIGSTOP);
    for _ in 0..100 {
        ends.send(address, 100);
        ends.wait_arrived(ends.sent);
    }
    journal.process.signal(Signal::SIGCONT);
    journal.wait("MESSAGE", "dispatched ");
    relay.wait_unheard();
    ends.assert_arrived(10_000);
    let summary = journal.wait("MESSAGE", "summary: ");
    let summary = summary["MESSAGE"].as_str().unwrap();
    let lost = summary.split([' ', ',']).find_map(|word| word.strip_prefix("log_lost="));
    let lost: usize = lost.unwrap_or("0").parse().unwrap();
    let written = journal.read().iter().filter(|line| line["TARGET"] == "dispatch").count();
    assert_eq!(written + lost, 10_000, "{summary}");
    assert!(lost > 1_000, "the journal was never full: {summary}");
}

#[test]
fn a_journal_that_is_gone_leaves_standard_error() {
    let (mut journal, ends, address) = (Journal::start(), Ends::new(), loopback::fresh());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("stderr");
    let read = || fs::read_to_string(&path).unwrap();
    let relay = Relay::with_list(&ends.list())
        .under(&["nsenter", &journal.mounts, "sh", "-c", AS_JOURNAL, "sh"])
        .saying_into(File::create(&path).unwrap())
        .start_unheard(address);
    journal.wait("MESSAGE", "ready: ");
    assert_eq!(read(), "");
    journal.process.signal(Signal::SIGKILL);
    journal.process.wait();
    ask(&relay, &["add", "7", "sip:127.0.0.9:5060"]).well();
    let line = "INFO set 7: sip:127.0.0.9:5060 added by a command of root (pid ";
    wait::until("the line", || read().starts_with(line).then_some(()));
    relay.wait_unheard();
}

#[test]
fn without_the_socket_of_the_journal_there_are_lines() {
    let ends = Ends::new();
    let script = format!("mount -t tmpfs none /run && {AS_JOURNAL}");
    let mut relay = Relay::with_list(&ends.list())
        .under(&["unshare", "--mount", "sh", "-c", &script, "sh"])
        .start();
    let warning = "WARN the journal does not take records, log lines have no fields: No such file";
    relay.wait_log(0, &[warning]);
    relay.stop();
}

/// Nothing of it reaches the machine's own journal, nor the kernel's auditing.
const JOURNALD: &str = "
    mount -t tmpfs none /run && mkdir -p /run/systemd/journald.conf.d &&
    printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\nRateLimitBurst=0\\n\
        ForwardToWall=no\\n' >/run/systemd/journald.conf.d/test.conf &&
    exec /lib/systemd/systemd-journald";

/// Says of standard error what a service manager says of a stream of the journal (systemd.exec(5)).
const AS_JOURNAL: &str = "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/stderr) exec \"$@\"";
