//! SIPp as caller or server, with the scenarios of `tests/scenarios` or its built-in ones, and its
//! counts.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::netns::Namespace;
use super::process::Process;
use super::{loopback, wait};

/// Seconds after which SIPp itself gives up.
const TIMEOUT_S: &str = "25";

/// A SIPp that is about to be started.
#[derive(Debug)]
pub(crate) struct Sipp {
    arguments: Vec<String>,
    local: SocketAddr,
    namespace: Option<String>,
    name: String,
}

/// A SIPp that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its address.
    pub(crate) address: SocketAddr,
    name: String,
    process: Process,
    files: TempDir,
}

/// What a SIPp did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit status: 0 when every call succeeded.
    pub(crate) code: i32,
    /// Calls begun, by it or at it.
    pub(crate) created: u64,
    /// Calls that went through the whole scenario.
    pub(crate) successful: u64,
    /// Calls that did not.
    pub(crate) failed: u64,
    /// Messages sent once more.
    pub(crate) retransmissions: u64,
    /// Lines that the scenario logged.
    pub(crate) log: Vec<String>,
    /// Unexpected messages and errors, as SIPp tells them.
    pub(crate) errors: String,
    /// Every message sent and received.
    pub(crate) messages: String,
}

impl Sipp {
    /// With one of our scenarios, by the file's name without `.xml`.
    pub(crate) fn scenario(name: &str) -> Self {
        let file = scenarios().join(format!("{name}.xml"));
        assert!(file.is_file(), "no scenario {}", file.display());
        Self::new(name, "-sf", file.to_str().expect("a path in UTF-8"))
    }

    /// With one of SIPp's own scenarios.
    pub(crate) fn built_in(name: &str) -> Self {
        Self::new(name, "-sn", name)
    }

    fn new(name: &str, flag: &str, scenario: &str) -> Self {
        Self {
            arguments: vec![flag.into(), scenario.into()],
            local: loopback::fresh(),
            namespace: None,
            name: name.into(),
        }
    }

    /// At this address instead of one of its own on the loopback interface.
    pub(crate) fn at(mut self, local: SocketAddr) -> Self {
        self.local = local;
        self
    }

    /// In a network namespace.
    pub(crate) fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.name().into());
        self
    }

    /// The name that a server gives in its answers.
    pub(crate) fn named(self, name: &str) -> Self {
        self.with(&["-key", "server", name])
    }

    /// Further arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Makes this many calls at this rate, all through `proxy`.
    pub(crate) fn calls(self, proxy: SocketAddr, calls: u64, per_second: u64) -> Self {
        let (calls, rate) = (calls.to_string(), per_second.to_string());
        self.with(&[
            &proxy.to_string(),
            "-m",
            &calls,
            "-r",
            &rate,
            "-timeout",
            TIMEOUT_S,
            "-timeout_error",
        ])
    }

    /// Makes this many calls, the next when the one before has ended.
    pub(crate) fn calls_in_turn(self, proxy: SocketAddr, calls: u64) -> Self {
        self.calls(proxy, calls, 200).with(&["-l", "1"])
    }

    /// Starts it as a server, and returns when it listens.
    pub(crate) fn serve(self) -> Running {
        let mut running = self.start();
        running.process.wait_bound(running.address);
        running
    }

    /// Starts it as a caller, and returns what came of it.
    pub(crate) fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let files = TempDir::new().expect("a temporary folder");
        let mut command = match &self.namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, "sipp"]);
                command
            }
            None => Command::new("sipp"),
        };
        let ip = match self.local {
            SocketAddr::V4(local) => local.ip().to_string(),
            SocketAddr::V6(local) => format!("[{}]", local.ip()),
        };
        command
            .args(&self.arguments)
            .args(["-i", &ip, "-mi", &ip, "-p", &self.local.port().to_string()])
            .args(["-nostdin", "-trace_err", "-error_file", "errors"])
            .args(["-trace_logs", "-log_file", "log"])
            .args(["-trace_msg", "-message_file", "messages"])
            .args(["-trace_stat", "-stf", "statistics", "-fd", "1"])
            .current_dir(files.path())
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(output(files.path(), "stdout"))
            .stderr(output(files.path(), "stderr"));
        Running {
            address: self.local,
            process: Process::start("sipp", &mut command),
            name: self.name,
            files,
        }
    }
}

impl Running {
    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Outcome {
        let status = self.process.wait();
        let read = |name: &str| {
            fs::read(self.files.path().join(name))
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default()
        };
        let statistics = read("statistics");
        let count = |name: &str| statistic(&statistics, name).unwrap_or(0);
        let outcome = Outcome {
            code: status.code().unwrap_or(-1),
            created: count("TotalCallCreated"),
            successful: count("SuccessfulCall(C)"),
            failed: count("FailedCall(C)"),
            retransmissions: count("Retransmissions(C)"),
            log: read("log").lines().map(str::to_owned).collect(),
            errors: read("errors") + &read("stderr"),
            messages: read("messages"),
        };
        if outcome.failed > 0 {
            // Shown by the test runner when the test fails.
            eprintln!("sipp {}: {}", self.name, outcome.errors);
        }
        outcome
    }

    /// Ends a server when its calls have ended.
    pub(crate) fn stop(self) -> Outcome {
        self.process.signal(Signal::SIGUSR1);
        self.wait()
    }

    /// Waits until the scenario has logged this many lines that contain `part`.
    pub(crate) fn wait_logged(&mut self, part: &str, count: usize) {
        let log = self.files.path().join("log");
        let process = &mut self.process;
        wait::until(&format!("{count} times {part:?} in the log of sipp"), || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let logged = text.lines().filter(|line| line.contains(part)).count();
            if logged < count {
                assert!(process.ended().is_none(), "sipp ended after {logged} times {part:?}");
            }
            (logged >= count).then_some(())
        });
    }
}

impl Outcome {
    /// Fails unless exactly this many calls were made, and all of them succeeded.
    #[track_caller]
    pub(crate) fn assert_all_succeeded(&self, calls: u64) {
        assert_eq!(
            (self.created, self.successful, self.failed),
            (calls, calls, 0),
            "calls created, successful, failed; sipp says:\n{}",
            self.errors
        );
        // A server without a call leaves with 99.
        assert!(
            self.code == 0 || calls == 0 && self.code == 99,
            "sipp left with {}:\n{}",
            self.code,
            self.errors
        );
    }

    /// The servers that took the calls, in the order in which they answered.
    pub(crate) fn taken_by(&self) -> Vec<&str> {
        self.logged(" taken by ").into_iter().map(|(_, s)| s).collect()
    }

    /// Fails unless every call was ended by the server that took it.
    #[track_caller]
    pub(crate) fn assert_stayed(&self, calls: usize) {
        let mut taken = self.logged(" taken by ");
        let mut ended = self.logged(" ended by ");
        taken.sort_unstable();
        ended.sort_unstable();
        assert_eq!(taken.len(), calls, "calls taken: {taken:?}");
        assert_eq!(taken, ended, "taken and ended");
    }

    /// Headers of messages that begin with `first_line`, received or sent.
    pub(crate) fn headers(&self, first_line: &str) -> Vec<&str> {
        self.messages
            .split("-----------------------------------------------")
            .filter_map(|record| record.split_once("\n\n").map(|(_, message)| message))
            .filter(|message| message.starts_with(first_line))
            .filter_map(|message| message.split("\n\n").next())
            .collect()
    }

    fn logged(&self, middle: &str) -> Vec<(&str, &str)> {
        self.log.iter().filter_map(|line| line.split_once(middle)).collect()
    }
}

/// The folder with our scenarios.
fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn output(folder: &Path, name: &str) -> File {
    File::create(folder.join(name)).expect("a writable temporary folder")
}

/// A number of the last line of SIPp's statistics file.
fn statistic(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    let at = lines.next()?.split(';').position(|column| column == name)?;
    lines.last()?.split(';').nth(at)?.parse().ok()
}

/// `count` servers with one scenario, named `ms1`, `ms2` ….
pub(crate) fn servers(scenario: &str, count: usize) -> Vec<Running> {
    (1..=count).map(|n| Sipp::scenario(scenario).named(&format!("ms{n}")).serve()).collect()
}

/// `count` servers that stand the loss of packets, named `ms1`, `ms2` ….
pub(crate) fn patient_servers(count: usize, more: &[&str]) -> Vec<Running> {
    (1..=count)
        .map(|n| {
            Sipp::scenario("uas_patient")
                .named(&format!("ms{n}"))
                .with(more)
                .with(&["-rtcheck", "loose"])
                // On a slow machine an INVITE is repeated although its answer is on the way: SIPp
                // need not give up a call for a copy that comes later than it thought.
                .with(&["-default_behaviors", "all,-abortunexp"])
                .serve()
        })
        .collect()
}

/// The names `ms1`, `ms2` … of `count` servers in turn, `calls` of them.
pub(crate) fn in_turn(count: usize, calls: usize) -> Vec<String> {
    (0..calls).map(|call| format!("ms{}", call % count + 1)).collect()
}

/// A `dispatcher.list` of one set.
pub(crate) fn list<'a>(servers: impl IntoIterator<Item = &'a Running>) -> String {
    list_of(servers.into_iter().map(|server| server.address))
}

/// A `dispatcher.list` of one set, from addresses.
pub(crate) fn list_of(addresses: impl IntoIterator<Item = SocketAddr>) -> String {
    let mut text = "# setid destination flags priority attributes\n".to_owned();
    for address in addresses {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "1 sip:{address} 0 0");
    }
    text
}
