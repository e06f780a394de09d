//! A private `PostgreSQL` server with its own data, socket and port, removed with its test.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::database::{PASSWORD, Server, client, is_root, start_client};
use super::process::Process;
use super::{loopback, wait};

/// A running server, or one that was ended and may be started again.
#[derive(Debug)]
pub(crate) struct Postgres {
    process: Option<Process>,
    files: TempDir,
    address: SocketAddr,
    more: Vec<String>,
}

impl Postgres {
    /// Makes an empty one and starts it.
    pub(crate) fn start() -> Self {
        let files = TempDir::new().expect("a temporary folder");
        if let Some((user, group)) = user() {
            chown(files.path(), Some(user), Some(group)).expect("root");
        }
        let mut command = program("initdb");
        command
            .arg("-D")
            .arg(files.path().join("data"))
            .args(["-U", "postgres", "--no-sync", "--no-instructions"])
            .args(["--locale=C", "--encoding=UTF8"])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        let made = command.output().expect("PostgreSQL's initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Every address of the loopback interface is a host to it.
        let rules = files.path().join("data/pg_hba.conf");
        let text = "local all all trust\nhost all all 127.0.0.0/8 scram-sha-256\n";
        fs::write(&rules, text).expect("its rules");
        let mut server =
            Self { process: None, files, address: loopback::fresh(), more: Vec::new() };
        server.start_again();
        server
    }

    /// With these settings from its next start on.
    pub(crate) fn with(&mut self, settings: &[String]) {
        self.more.extend_from_slice(settings);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From its next start on it takes nobody from the network without TLS.
    pub(crate) fn only_by_tls(&self) {
        let rules = self.path().join("data/pg_hba.conf");
        let text = "local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n";
        fs::write(rules, text).expect("its rules");
    }

    /// Its folder, which the server's user owns.
    pub(crate) fn path(&self) -> &Path {
        self.files.path()
    }

    /// Gives a file of ours to the server's user.
    pub(crate) fn own(file: &Path) {
        if let Some((user, group)) = user() {
            chown(file, Some(user), Some(group)).expect("root");
        }
    }

    /// A client of it, as the superuser.
    fn client(&self, database: &str) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["-h", self.path().to_str().expect("a path in UTF-8")])
            .args(["-p", &self.address.port().to_string()])
            .args(["-U", "postgres", "-d", database])
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server for Postgres {
    fn source(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@{}/{database}", self.address)
    }

    fn play(&self, database: &str, sql: &str) -> String {
        client(&mut self.client(database), sql)
    }

    fn make(&self, database: &str) {
        self.play(
            "postgres",
            &format!(
                "DO $$ BEGIN CREATE ROLE kamailio LOGIN PASSWORD '{PASSWORD}';
                   EXCEPTION WHEN duplicate_object THEN NULL; END $$;
                 CREATE DATABASE {database} OWNER kamailio;"
            ),
        );
        self.play(
            database,
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO kamailio;
             ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO kamailio;",
        );
        self.play_file(database, "standard-create.sql");
        self.play_file(database, "dispatcher-create.sql");
    }

    fn leave_playing(&self, database: &str, sql: &str) -> Process {
        start_client(self.client(database).args(["-c", sql]))
    }

    fn stop(&mut self) {
        // SIGKILL would leave its memory and its children behind.
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::SIGQUIT);
            process.wait();
        }
    }

    fn start_again(&mut self) {
        let mut command = program("postgres");
        command.arg("-D").arg(self.path().join("data"));
        let mut set = |name: &str, value: &str| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        set("listen_addresses", &self.address.ip().to_string());
        set("port", &self.address.port().to_string());
        set("unix_socket_directories", self.path().to_str().expect("a path in UTF-8"));
        set("fsync", "off");
        set("shared_buffers", "8MB");
        for option in &self.more {
            command.arg("-c").arg(option);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::start("postgres", &mut command);
        wait::until("PostgreSQL to answer", || {
            assert!(process.ended().is_none(), "PostgreSQL ended");
            let mut asks = self.client("postgres");
            let asks = asks.args(["-c", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null());
            asks.status().expect("psql").success().then_some(())
        });
        self.process = Some(process);
    }

    fn folder(&self) -> &'static str {
        "postgres"
    }
}

/// One of the server's own programs, which stand beside the path, as a user that it accepts: it never
/// runs as root.
fn program(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL, as Debian installs it");
    let newest: Option<PathBuf> = versions.flatten().map(|version| version.path()).max();
    let mut command = Command::new(newest.expect("a version of it").join("bin").join(name));
    if let Some((user, group)) = user() {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}

/// Numbers of the user `postgres` and his group, when we are root.
fn user() -> Option<(u32, u32)> {
    if !is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut words = line.expect("a user postgres").split(':').skip(2);
    let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number");
    Some((number(), number()))
}
