//! The relay's own command line, used with a running relay.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::relay::{Relay, binary};
use super::wait;

/// What a command said, and how it left.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit status.
    pub(crate) code: i32,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) err: String,
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    files: TempDir,
}

/// Runs `strowger ARGUMENTS` against this relay.
pub(crate) fn ask(relay: &Relay, arguments: &[&str]) -> Said {
    start(relay, arguments, None).wait()
}

/// The same, with this on its standard input.
pub(crate) fn pipe(relay: &Relay, arguments: &[&str], input: &[u8]) -> Said {
    start(relay, arguments, Some(input)).wait()
}

/// The same, for a command that takes its time.
pub(crate) fn start(relay: &Relay, arguments: &[&str], input: Option<&[u8]>) -> Running {
    let socket = relay.control_socket();
    let mut words = arguments.to_vec();
    let socket = socket.to_str().expect("a path in UTF-8");
    words.extend(["--control", socket]);
    start_alone(&words, input, None)
}

/// The addresses in this relay, each with state and reason.
fn states(relay: &Relay) -> BTreeMap<String, (String, String)> {
    let listing = ask(relay, &["list", "--json"]).json();
    let sets = listing["sets"].as_array().unwrap();
    let records = sets.iter().flat_map(|set| set["records"].as_array().unwrap());
    let addresses = records.flat_map(|record| record["addresses"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    addresses.map(|a| (text(&a["address"]), (text(&a["state"]), text(&a["reason"])))).collect()
}

/// Waits until this server is in this state, and returns why it is.
pub(crate) fn wait_state(relay: &Relay, server: SocketAddr, state: &str) -> String {
    wait::until(&format!("{server} {state}"), || {
        let (now, reason) = states(relay).remove(&server.to_string()).unwrap();
        (now == state).then_some(reason)
    })
}

/// `strowger ARGUMENTS` as they are, with this state directory.
pub(crate) fn start_alone(
    arguments: &[&str],
    input: Option<&[u8]>,
    state: Option<&Path>,
) -> Running {
    let files = TempDir::new().expect("a temporary folder");
    let file = |name: &str| File::create(files.path().join(name)).expect("a writable folder");
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(file("out"))
        .stderr(file("err"));
    match state {
        Some(state) => command.env("STATE_DIRECTORY", state),
        None => command.env_remove("STATE_DIRECTORY"),
    };
    let mut process = Process::start("strowger", &mut command);
    if let Some(input) = input {
        let mut pipe = process.child().stdin.take().expect("a pipe");
        // A command that has read enough closes it.
        let _ = pipe.write_all(input);
    }
    Running { process, files }
}

impl Running {
    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Said {
        let status = self.process.wait();
        let said = Said {
            code: status.code().unwrap_or(-1),
            out: self.read("out"),
            err: self.read("err"),
        };
        eprintln!("strowger: {status}\n{}{}", said.out, said.err);
        said
    }

    /// Waits until it has said this.
    pub(crate) fn wait_says(&mut self, part: &str) {
        wait::until(&format!("{part:?} of the command"), || {
            let out = self.read("out");
            let ended = self.process.ended();
            assert!(out.contains(part) || ended.is_none(), "it ended: {out}{}", self.read("err"));
            out.contains(part).then_some(())
        });
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.files.path().join(name);
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }
}

impl Said {
    /// What it printed; fails unless all went well and nothing was complained of.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.well();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// What it complained of; fails unless its exit status is 1 and it printed nothing else.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (1, ""), "{}", self.err);
        assert!(self.err.starts_with("strowger: "), "{}", self.err);
        self.err
    }
}
