//! The relay's own binary: started, read, reloaded, ended, and asked for its counters.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::netns::Namespace;
use super::process::Process;
use super::{loopback, wait};

/// A relay that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    listen: Vec<String>,
    list: String,
    config: Option<String>,
    arguments: Vec<String>,
    namespace: Option<String>,
}

/// A relay that serves.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Its listeners, in order.
    pub(crate) listeners: Vec<SocketAddr>,
    process: Process,
    lines: Arc<Mutex<Vec<String>>>,
    files: TempDir,
}

/// What the relay counted, by counter.
#[derive(Debug)]
pub(crate) struct Summary(BTreeMap<String, u64>);

impl Relay {
    /// One that listens on a loopback address of its own and has these destinations.
    pub(crate) fn with_list(list: &str) -> Builder {
        Builder {
            listen: Vec::new(),
            list: list.into(),
            config: None,
            arguments: Vec::new(),
            namespace: None,
        }
    }

    /// Its first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0]
    }

    /// Lines of its log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lines.lock().expect("the reader does not panic").clone()
    }

    /// Waits for a line, after the first `skip` lines, that contains all these parts.
    pub(crate) fn wait_log(&mut self, skip: usize, parts: &[&str]) -> String {
        wait_line(&mut self.process, &self.lines, skip, parts)
    }

    /// Writes a new list and asks for it to be read; returns how many lines of log there were.
    pub(crate) fn reload(&self, list: &str) -> usize {
        let before = self.log().len();
        fs::write(self.list_file(), list).expect("a writable temporary folder");
        self.process.signal(Signal::SIGHUP);
        before
    }

    /// Asks it to end, without waiting for it.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::SIGTERM);
    }

    /// Ends it, and returns what it counted.
    pub(crate) fn stop(self) -> Summary {
        self.terminate();
        self.wait()
    }

    /// Waits for its end, which must be a clean one, and returns what it counted.
    pub(crate) fn wait(mut self) -> Summary {
        let status = self.process.wait();
        let parts = &["summary"];
        let line = wait::until("the summary of the relay", || {
            find(&self.lines.lock().expect("the reader does not panic"), 0, parts)
        });
        assert!(status.success(), "the relay left with {status}:\n{line}");
        let summary = Summary::read(&line);
        summary.assert_law();
        summary
    }

    fn list_file(&self) -> PathBuf {
        self.files.path().join("dispatcher.list")
    }
}

impl Builder {
    /// Listens here instead; may be said more than once.
    pub(crate) fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(format!("udp:{address}"));
        self
    }

    /// With a configuration file beside the flags.
    pub(crate) fn config(mut self, text: &str) -> Self {
        self.config = Some(text.into());
        self
    }

    /// Runs in a network namespace.
    pub(crate) fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.name().into());
        self
    }

    /// With this many workers.
    pub(crate) fn workers(self, count: usize) -> Self {
        self.with(&["--workers", &count.to_string()])
    }

    /// Further arguments.
    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Starts it, and returns when it serves.
    pub(crate) fn start(mut self) -> Relay {
        if self.listen.is_empty() {
            self.listen.push(format!("udp:{}:0", loopback::fresh_ip()));
        }
        let files = TempDir::new().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let file = files.path().join(name);
            fs::write(&file, text).expect("a writable temporary folder");
            file
        };
        let list = write("dispatcher.list", &self.list);
        let binary = env::var("STROWGER_TEST_BINARY")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_strowger").to_owned());
        let mut command = match &self.namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, &binary]);
                command
            }
            None => Command::new(&binary),
        };
        command.arg("run");
        if let Some(text) = &self.config {
            command.arg("--config").arg(write("strowger.toml", text));
        }
        command.arg("--list").arg(list);
        for listen in &self.listen {
            command.args(["--listen", listen]);
        }
        command
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            // A state folder of its own: relays of other tests have other keys.
            .env("STATE_DIRECTORY", files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Process::start("strowger", &mut command);
        let lines = read_lines(&mut process);
        let ready = wait_line(&mut process, &lines, 0, &["ready"]);
        Relay { listeners: listeners(&ready), process, lines, files }
    }
}

impl Summary {
    fn read(line: &str) -> Self {
        let counters = line
            .split([' ', ','])
            .filter_map(|word| word.split_once('='))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect();
        Self(counters)
    }

    /// The count under this name; 0 when it was not told, as counters are that stayed at 0.
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Fails unless every datagram came to exactly one end.
    #[track_caller]
    fn assert_law(&self) {
        let ends = ["forwarded", "answered", "dropped"].map(|end| self.get(end));
        assert_eq!(self.get("received"), ends.iter().sum::<u64>(), "{:?}", self.0);
        assert_eq!(self.get("panicked"), 0, "{:?}", self.0);
    }

    /// Fails unless these counters have these values.
    #[track_caller]
    pub(crate) fn assert(&self, wanted: &[(&str, u64)]) {
        for (name, value) in wanted {
            assert_eq!(self.get(name), *value, "{name} in {:?}", self.0);
        }
    }
}

/// `udp:ADDRESS:PORT`, as often as it stands in the line.
fn listeners(line: &str) -> Vec<SocketAddr> {
    let found: Vec<SocketAddr> = line
        .split("udp:")
        .skip(1)
        .filter_map(|rest| {
            let is_part = |c: char| c.is_ascii_hexdigit() || ".:[]".contains(c);
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            rest[..end].trim_end_matches('.').parse().ok()
        })
        .collect();
    assert!(!found.is_empty(), "no listener in {line:?}");
    found
}

fn read_lines(process: &mut Process) -> Arc<Mutex<Vec<String>>> {
    let stderr = process.child().stderr.take().expect("a pipe");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("relay: {line}");
            ours.lock().expect("nobody panics with it").push(line);
        }
    });
    lines
}

fn wait_line(
    process: &mut Process,
    lines: &Mutex<Vec<String>>,
    skip: usize,
    parts: &[&str],
) -> String {
    wait::until(&format!("{parts:?} in the log of the relay"), || {
        let ended = process.ended();
        let found = find(&lines.lock().expect("the reader does not panic"), skip, parts);
        assert!(
            found.is_some() || ended.is_none(),
            "the relay ended ({ended:?}) before it said {parts:?}"
        );
        found
    })
}

fn find(lines: &[String], skip: usize, parts: &[&str]) -> Option<String> {
    lines.iter().skip(skip).find(|line| parts.iter().all(|part| line.contains(part))).cloned()
}
