//! The relay's own binary: starts it, reads its output, reloads and ends it, and reads its
//! counters.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
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
    /// `None`: its configuration names where its destinations are.
    list: Option<String>,
    config: Option<String>,
    arguments: Vec<String>,
    namespace: Option<String>,
    wrapper: Vec<String>,
    fault: Option<String>,
    stderr: Stderr,
    is_watching: bool,
}

/// Where a relay's standard error goes.
#[derive(Debug, Default)]
enum Stderr {
    /// To the test, line by line.
    #[default]
    Read,
    /// To the test, which stops reading after the ready line until [`Relay::read_on`].
    Blocked,
    /// Into this file.
    File(File),
}

/// What stops the reading of standard error while its first half is held.
#[derive(Debug, Default)]
struct Gate {
    held: Option<Sender<()>>,
    passed: Option<Receiver<()>>,
}

/// A relay that serves.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Its listeners, in order.
    pub(crate) listeners: Vec<SocketAddr>,
    process: Process,
    lines: Arc<Mutex<Vec<String>>>,
    files: TempDir,
    /// It was asked to panic, so that its summary may tell of it.
    may_panic: bool,
    /// Its standard error is not read while this is held.
    gate: Option<Sender<()>>,
}

/// What the relay counted, by counter.
#[derive(Debug)]
pub(crate) struct Summary(BTreeMap<String, u64>);

impl Relay {
    /// One that listens on a loopback address of its own and has these destinations.
    pub(crate) fn with_list(list: &str) -> Builder {
        Builder {
            listen: Vec::new(),
            list: Some(list.into()),
            config: None,
            arguments: Vec::new(),
            namespace: None,
            wrapper: Vec::new(),
            fault: None,
            stderr: Stderr::Read,
            is_watching: true,
        }
    }

    /// One that listens on a loopback address of its own and is not told where its destinations are.
    pub(crate) fn with_nothing() -> Builder {
        Builder { list: None, ..Self::with_list("") }
    }

    /// One that listens on a loopback address of its own and has the destinations of this source.
    pub(crate) fn with_source(source: &str) -> Builder {
        Self::with_nothing().with(&["--db", source])
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
        self.signal(Signal::SIGHUP);
        before
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until nothing is left to be read, and each worker waits for a datagram without a time
    /// limit: nothing wakes it.
    pub(crate) fn wait_at_rest(&self) {
        let ports: Vec<_> = self.listeners.iter().map(|l| format!(":{:04X}", l.port())).collect();
        let has_read_all = || {
            ["udp", "udp6"].iter().all(|table| {
                let path = format!("/proc/{}/net/{table}", self.pid());
                let sockets = fs::read_to_string(path).unwrap_or_default();
                sockets.lines().skip(1).map(|line| line.split_whitespace()).all(|mut words| {
                    let is_ours = ports.iter().any(|port| words.nth(1).unwrap().ends_with(port));
                    // Bytes to be sent and bytes to be read.
                    !is_ours || words.nth(2).unwrap().ends_with(":00000000")
                })
            })
        };
        let tasks = format!("/proc/{}/task", self.pid());
        let is_at_rest = |task: PathBuf| {
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            if !name.starts_with("worker-") {
                return true;
            }
            // Number and arguments of the call that it is in.
            let call = fs::read_to_string(task.join("syscall")).unwrap_or_default();
            let words: Vec<_> = call.split(' ').collect();
            words[0] == libc::SYS_epoll_wait.to_string() && words[4].ends_with("ffffffff")
        };
        wait::until("workers at rest", || {
            let mut tasks = fs::read_dir(&tasks).expect("a running relay");
            let are_at_rest = tasks.all(|task| is_at_rest(task.expect("a thread").path()));
            (are_at_rest && has_read_all()).then_some(())
        });
    }

    /// Reads its standard error again, which [`Builder::unread`] had stopped.
    pub(crate) fn read_on(&mut self) {
        self.gate = None;
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.process.wait();
    }

    /// Asks it to end, without waiting for it.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it, and returns what it counted. When it waits for INVITEs that nobody will answer, it is
    /// asked again, after all else has been handled.
    pub(crate) fn stop(mut self) -> Summary {
        let before = self.log().len();
        self.terminate();
        let waits = wait::until("the end of the relay", || {
            let lines = self.log();
            let says = |part: &[&str]| find(&lines, before, part).is_some();
            let has_ended = self.process.ended().is_some();
            (has_ended || says(&["ending: "])).then(|| !has_ended && says(&["ending: waits"]))
        });
        if waits {
            self.wait_at_rest();
            self.terminate();
        }
        self.wait()
    }

    /// Ends it, and returns what it counted and all that it said.
    pub(crate) fn stop_and_read(self) -> (Summary, Vec<String>) {
        let lines = Arc::clone(&self.lines);
        let summary = self.stop();
        let lines = lines.lock().expect("the reader does not panic").clone();
        (summary, lines)
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
        assert!(self.may_panic || summary.get("panicked") == 0, "{line}");
        summary
    }

    /// Waits for its end, which must be a clean one, when nobody reads what it says: after this second
    /// request to end it waits for no INVITE.
    pub(crate) fn wait_unheard(mut self) {
        let status = wait::until("the end of the relay", || {
            let ended = self.process.ended();
            if ended.is_none() {
                self.terminate();
            }
            ended
        });
        assert!(status.success(), "the relay left with {status}");
    }

    /// The socket of its command line.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.files.path().join("strowger.sock")
    }

    /// The file with its destinations.
    pub(crate) fn list_file(&self) -> PathBuf {
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

    /// Its destinations answer nothing, and that is no failure: live traffic says nothing about them.
    pub(crate) fn unwatched(mut self) -> Self {
        self.is_watching = false;
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

    /// Behind a program that ends by running it: `strace -D`, `prlimit`, `sh -c 'exec "$@"'` ….
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper.extend(wrapper.iter().map(ToString::to_string));
        self
    }

    /// Panics where a datagram is handled that holds this text.
    pub(crate) fn panicking_at(mut self, text: &str) -> Self {
        self.fault = Some(text.into());
        self
    }

    /// Nobody reads its standard error after the ready line, until [`Relay::read_on`].
    pub(crate) fn unread(mut self) -> Self {
        self.stderr = Stderr::Blocked;
        self
    }

    /// Writes to this file what it says.
    pub(crate) fn saying_into(mut self, file: File) -> Self {
        self.stderr = Stderr::File(file);
        self
    }

    /// Starts it, and returns when it serves.
    pub(crate) fn start(mut self) -> Relay {
        if self.listen.is_empty() {
            self.listen.push(format!("udp:{}:0", loopback::fresh_ip()));
        }
        let (mut process, files, gate) = self.spawn();
        let lines = read_lines(&mut process, gate.passed);
        let ready = wait_line(&mut process, &lines, 0, &["ready"]);
        Relay {
            listeners: listeners(&ready),
            process,
            lines,
            files,
            may_panic: self.fault.is_some(),
            gate: gate.held,
        }
    }

    /// Starts it where nobody hears what it says, and returns when it listens at this address.
    pub(crate) fn start_unheard(mut self, address: SocketAddr) -> Relay {
        self.listen.push(format!("udp:{address}"));
        let (mut process, files, _) = self.spawn();
        process.wait_bound(address);
        Relay {
            listeners: vec![address],
            process,
            lines: Arc::default(),
            files,
            may_panic: self.fault.is_some(),
            gate: None,
        }
    }

    /// Starts it where it cannot start; returns what it says.
    pub(crate) fn refused(mut self) -> String {
        if self.listen.is_empty() {
            self.listen.push(format!("udp:{}:0", loopback::fresh_ip()));
        }
        let (mut process, _files, _) = self.spawn();
        let lines = read_lines(&mut process, None);
        let status = process.wait();
        assert_eq!(status.code(), Some(1), "{status}: {:?}", lines.lock());
        wait::until("the words of the relay", || {
            let lines = lines.lock().expect("the reader does not panic");
            (!lines.is_empty()).then(|| lines.join("\n"))
        })
    }

    fn spawn(&mut self) -> (Process, TempDir, Gate) {
        let files = TempDir::new().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let file = files.path().join(name);
            fs::write(&file, text).expect("a writable temporary folder");
            file
        };
        let list = self.list.as_ref().map(|text| write("dispatcher.list", text));
        let mut words = match &self.namespace {
            Some(name) => ["ip", "netns", "exec", name].map(str::to_owned).to_vec(),
            None => Vec::new(),
        };
        words.append(&mut self.wrapper);
        words.push(binary());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("run");
        if !self.is_watching {
            let text = self.config.get_or_insert_default();
            assert!(!text.contains("[dispatch]"), "it says itself what is watched");
            text.push_str("\n[dispatch]\npassive = false\n");
        }
        if let Some(text) = &self.config {
            command.arg("--config").arg(write("strowger.toml", text));
        }
        if let Some(list) = list {
            command.arg("--list").arg(list);
        }
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
        if let Some(text) = &self.fault {
            command.env("STROWGER_FAULT_PANIC", text);
        }
        let mut gate = Gate::default();
        match std::mem::take(&mut self.stderr) {
            Stderr::Read => {}
            Stderr::Blocked => {
                let (sender, receiver) = mpsc::channel();
                gate = Gate { held: Some(sender), passed: Some(receiver) };
            }
            Stderr::File(file) => {
                command.stderr(file);
            }
        }
        (Process::start("strowger", &mut command), files, gate)
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

    /// The count under this name, whose group may be left out where it is one of a datagram's ends;
    /// 0 when it was not told, as counters are that stayed at 0.
    pub(crate) fn get(&self, name: &str) -> u64 {
        let groups = ["forwarded", "answered", "dropped"];
        let full = groups.iter().find_map(|group| self.0.get(&format!("{group}.{name}")));
        self.0.get(name).or(full).copied().unwrap_or(0)
    }

    /// Fails unless every datagram came to exactly one end.
    #[track_caller]
    fn assert_law(&self) {
        let ends = ["forwarded", "answered", "dropped"].map(|end| self.get(end));
        let came = self.get("received") + self.get("taken_over");
        let ended = ends.iter().sum::<u64>() + self.get("handed_over");
        assert_eq!(came, ended, "{:?}", self.0);
    }

    /// Fails unless these counters have these values.
    #[track_caller]
    pub(crate) fn assert(&self, wanted: &[(&str, u64)]) {
        for (name, value) in wanted {
            assert_eq!(self.get(name), *value, "{name} in {:?}", self.0);
        }
    }
}

/// The program: built with the tests, or another one that the environment names.
pub(crate) fn binary() -> String {
    env::var("STROWGER_TEST_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_strowger").to_owned())
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

/// Reads what it says; with a `gate`, from the ready line on only when nobody holds its other end.
fn read_lines(process: &mut Process, gate: Option<Receiver<()>>) -> Arc<Mutex<Vec<String>>> {
    let stderr = process.child().stderr.take().expect("a pipe");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("relay: {line}");
            let is_ready = line.contains("ready");
            ours.lock().expect("nobody panics with it").push(line);
            if is_ready && let Some(gate) = &gate {
                let _ = gate.recv();
            }
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
