//! `strowger top` on a real terminal, which `script` makes: it shows what is there, follows a change,
//! and leaves the terminal as it was.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::harness::cli::{ask, start_alone};
use crate::harness::process::Process;
use crate::harness::relay::binary;
use crate::harness::{Ends, Relay, wait};

/// A `strowger top` at a terminal of 80 columns.
struct Top {
    process: Process,
    keys: ChildStdin,
    folder: TempDir,
}

impl Top {
    fn start(relay: &Relay) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let socket = relay.control_socket();
        let command = format!(
            "stty rows 24 cols 80; echo $$ > {0}/pid; exec {1} top --control {2}",
            folder.path().display(),
            binary(),
            socket.display()
        );
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--flush", "--return", "--command", &command])
            .arg(folder.path().join("typescript"))
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut process = Process::start("script", &mut script);
        let keys = process.child().stdin.take().expect("a pipe");
        Self { process, keys, folder }
    }

    /// All that was written to the terminal so far, without what moves the cursor or colours it.
    fn seen(&self) -> String {
        let bytes = fs::read(self.folder.path().join("typescript")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut parts = text.split('\u{1b}');
        let first = parts.next().unwrap_or("").to_owned();
        parts.fold(first, |seen, part| {
            let end = part.find(|c: char| c.is_ascii_alphabetic());
            seen + " " + end.map_or("", |end| &part[end + 1..])
        })
    }

    fn wait_seen(&mut self, part: &str) {
        wait::until(&format!("{part:?} on the screen"), || {
            let seen = self.seen();
            assert!(self.process.ended().is_none() || seen.contains(part), "it ended: {seen}");
            seen.contains(part).then_some(())
        });
    }

    fn count(&self, part: &str) -> usize {
        self.seen().matches(part).count()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal that reads");
    }

    /// Waits for its end, which must leave the other screen.
    fn wait(mut self) {
        let status = self.process.wait();
        assert!(status.success(), "{status}: {}", self.seen());
        let bytes = fs::read(self.folder.path().join("typescript")).expect("its output");
        let text = String::from_utf8_lossy(&bytes);
        let (entered, left) = (text.find("\u{1b}[?1049h"), text.rfind("\u{1b}[?1049l"));
        assert!(entered.is_some() && entered < left, "{text:?}");
    }
}

#[test]
fn what_is_there_is_shown_and_followed() {
    let mut ends = Ends::new();
    let mut relay = Relay::with_list(&(ends.list() + "9 sip:127.0.0.9:5060\n")).start();
    let mut top = Top::start(&relay);
    top.wait_seen("calls/s");
    top.wait_seen("127.0.0.9:5060");
    assert_eq!(ask(&relay, &["set-state", "dx", "9", "all"]).code, 0);
    top.wait_seen("disabled");
    ends.call(relay.address(), "");
    // The destination of set 9 comes first as long as it gets no calls.
    top.press("s\u{1b}[F");
    top.press("/127.0.0.9\r");
    top.wait_seen("only \"127.0.0.9\"");
    top.press("h");
    top.wait_seen("The last changes of sip:127.0.0.9:5060 of set 9");
    top.wait_seen("AX -> DX  disabled  by a command of ");
    top.press("qe");
    top.wait_seen("What would become of a new call now");
    top.press("ql");
    top.wait_seen("as they pass; Ctrl-C leads back");
    relay.wait_log(0, &["trace"]);
    let held = top.count("calls/s");
    top.press("\u{3}");
    wait::until("the screen again", || (top.count("calls/s") > held).then_some(()));
    top.press("q");
    top.wait();
    relay.stop();
}

#[test]
fn it_outlives_its_relay_and_ends_by_a_signal() {
    let ends = Ends::new();
    let relay = Relay::with_list(&ends.list()).start();
    let mut top = Top::start(&relay);
    top.wait_seen("calls/s");
    relay.stop();
    top.wait_seen("no relay is running here");
    let pid = fs::read_to_string(top.folder.path().join("pid")).unwrap();
    kill(Pid::from_raw(pid.trim().parse().unwrap()), Signal::SIGTERM).unwrap();
    top.wait();
}

#[test]
fn it_ends_when_its_terminal_is_gone() {
    let ends = Ends::new();
    let relay = Relay::with_list(&ends.list()).start();
    let mut top = Top::start(&relay);
    top.wait_seen("calls/s");
    let pid = fs::read_to_string(top.folder.path().join("pid")).unwrap();
    // The terminal goes with the program that made it.
    top.process.signal(Signal::SIGKILL);
    top.process.wait();
    let place = format!("/proc/{}", pid.trim());
    wait::until("its end", || (!Path::new(&place).exists()).then_some(()));
    relay.stop();
}

#[test]
fn without_a_terminal_it_says_what_needs_none() {
    let said = start_alone(&["top"], None, None).wait();
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(said.err.contains("top needs a terminal; strowger list"), "{}", said.err);
}
