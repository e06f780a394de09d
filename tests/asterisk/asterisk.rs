//! A real Asterisk with a configuration of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::harness::process::Process;
use crate::harness::sipp::list_of;
use crate::harness::{loopback, wait};

/// What an Asterisk does with a call to `service`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Service {
    /// Its dialplan: `Answer()`, `Wait(60)` ….
    pub(crate) steps: &'static [&'static str],
    /// The caller with this user is asked for the password `secret`.
    pub(crate) challenges: Option<&'static str>,
}

/// A running Asterisk. It gives its name in the Server row of its answers.
#[derive(Debug)]
pub(crate) struct Asterisk {
    pub(crate) address: SocketAddr,
    process: Process,
    files: TempDir,
}

/// Two with the same dialplan: `ms1` and `ms2`.
pub(crate) fn pair(service: Service) -> [Asterisk; 2] {
    ["ms1", "ms2"].map(|name| Asterisk::start(name, service))
}

/// A `dispatcher.list` of these.
pub(crate) fn list(servers: &[Asterisk]) -> String {
    list_of(servers.iter().map(|server| server.address))
}

impl Asterisk {
    fn start(name: &str, service: Service) -> Self {
        let address = loopback::fresh();
        let files = TempDir::new().expect("a temporary folder");
        let steps = service.steps.iter().enumerate().map(|(at, step)| match at {
            0 => format!("exten => service,1,{step}\n"),
            _ => format!(" same => n,{step}\n"),
        });
        let steps = steps.collect::<String>();
        let (address_text, ip) = (address.to_string(), address.ip().to_string());
        let folder = files.path().display().to_string();
        let root = root().display().to_string();
        let values = [
            ("{NAME}", name),
            ("{ADDRESS}", &address_text),
            ("{IP}", &ip),
            ("{SERVICE}", &steps),
            ("{FILES}", &folder),
            ("{ROOT}", &root),
            ("{TRIPLET}", &format!("{}-linux-gnu", std::env::consts::ARCH)),
            ("{USER}", service.challenges.unwrap_or_default()),
        ];
        let write = |name: &str, text: &str| {
            let filled =
                values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(key, value));
            fs::write(files.path().join(name), filled).expect("a writable temporary folder");
        };
        write("asterisk.conf", include_str!("etc/asterisk.conf"));
        write("modules.conf", include_str!("etc/modules.conf"));
        write("logger.conf", include_str!("etc/logger.conf"));
        write("extensions.conf", include_str!("etc/extensions.conf"));
        let challenge = service.challenges.map_or("", |_| include_str!("etc/challenge.conf"));
        write("pjsip.conf", &[include_str!("etc/pjsip.conf"), challenge].concat());
        let process = run(files.path());
        Self { address, process, files }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait();
    }

    /// What it says to this command of its console.
    pub(crate) fn console(&self, command: &str) -> String {
        let output = command_in(self.files.path()).args(["-r", "-x", command]).output();
        String::from_utf8_lossy(&output.expect("asterisk can be started").stdout).into_owned()
    }

    /// Stops it where it is; its port stays open.
    pub(crate) fn stop(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Starts it again, with the same configuration and address, and nothing of its calls.
    pub(crate) fn restart(&mut self) {
        self.process = run(self.files.path());
    }
}

/// Starts one with the configuration in this folder, and returns when it is ready.
fn run(files: &Path) -> Process {
    let said = files.join("said");
    let output = File::create(&said).expect("a writable temporary folder");
    let errors = output.try_clone().expect("an open file");
    let mut command = command_in(files);
    command.arg("-f").stdout(output).stderr(errors);
    let mut process = Process::start("asterisk", &mut command);
    wait::until("asterisk to be ready", || {
        let text = fs::read_to_string(&said).unwrap_or_default();
        let ended = process.ended();
        assert!(ended.is_none(), "asterisk ended with {ended:?}:\n{text}");
        text.contains("Asterisk Ready").then_some(())
    });
    process
}

fn command_in(files: &Path) -> Command {
    let mut command = Command::new(root().with_file_name("run"));
    command.arg("-C").arg(files.join("asterisk.conf")).current_dir(files).stdin(Stdio::null());
    command
}

/// Where tests/asterisk/fetch has unpacked it.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/asterisk/root");
    assert!(root.is_dir(), "{} is missing: tests/asterisk/run fetches it", root.display());
    root
}
