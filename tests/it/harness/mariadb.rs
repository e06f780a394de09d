//! A private `MariaDB` server with its own data, socket and port, removed with its test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::database::{PASSWORD, Server, client, is_root, start_client};
use super::process::Process;
use super::{loopback, wait};

/// A running server, or one that was ended and may be started again.
#[derive(Debug)]
pub(crate) struct Mariadb {
    process: Option<Process>,
    files: TempDir,
    address: SocketAddr,
    more: Vec<String>,
}

impl Mariadb {
    /// Makes an empty one and starts it.
    pub(crate) fn start() -> Self {
        let files = TempDir::new().expect("a temporary folder");
        let mut command = Command::new("mariadb-install-db");
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", files.path().join("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--skip-name-resolve", "--force"])
            .args(SMALL);
        as_ourselves(&mut command);
        let made = command.output().expect("MariaDB's installer");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let mut server =
            Self { process: None, files, address: loopback::fresh(), more: Vec::new() };
        server.start_again();
        server
    }

    /// With these options from its next start on.
    pub(crate) fn with(&mut self, options: &[&str]) {
        self.more.extend(options.iter().map(ToString::to_string));
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.files.path().join("socket")
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        self.files.path()
    }

    /// A client of it, as root.
    pub(crate) fn client(&self, database: &str) -> Command {
        let mut command = Command::new("mariadb");
        command.arg("--no-defaults").arg(format!("--socket={}", self.socket().display())).args([
            "--user=root",
            "--batch",
            "--skip-column-names",
            database,
        ]);
        command
    }
}

impl Server for Mariadb {
    fn source(&self, user: &str, password: &str, database: &str) -> String {
        format!("mysql://{user}:{password}@{}/{database}", self.address)
    }

    fn play(&self, database: &str, sql: &str) -> String {
        client(&mut self.client(database), sql)
    }

    fn make(&self, database: &str) {
        self.play(
            "",
            &format!(
                "CREATE DATABASE {database};
                 GRANT ALL ON {database}.* TO kamailio@'%' IDENTIFIED BY '{PASSWORD}';"
            ),
        );
        self.play_file(database, "standard-create.sql");
        self.play_file(database, "dispatcher-create.sql");
    }

    fn leave_playing(&self, database: &str, sql: &str) -> Process {
        start_client(self.client(database).args(["-e", sql]))
    }

    fn stop(&mut self) {
        self.process = None;
    }

    fn start_again(&mut self) {
        let path = self.files.path();
        let mut command = Command::new("mariadbd");
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", path.join("data").display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--pid-file={}", path.join("pid").display()))
            .arg(format!("--bind-address={}", self.address.ip()))
            .arg(format!("--port={}", self.address.port()))
            .args(["--skip-name-resolve", "--innodb-fast-shutdown=2"])
            .args(SMALL)
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        as_ourselves(&mut command);
        let mut process = Process::start("mariadbd", &mut command);
        wait::until("MariaDB to answer", || {
            assert!(process.ended().is_none(), "MariaDB ended");
            let mut asks = self.client("");
            let asks = asks.args(["-e", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null());
            asks.status().expect("MariaDB's client").success().then_some(())
        });
        self.process = Some(process);
    }

    fn folder(&self) -> &'static str {
        "mysql"
    }
}

/// Without what makes a large one fast and safe.
const SMALL: &[&str] = &[
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=8M",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-flush-method=nosync",
    "--performance-schema=off",
];

/// It refuses to run as root unless that is said.
fn as_ourselves(command: &mut Command) {
    if is_root() {
        command.arg("--user=root");
    }
}
