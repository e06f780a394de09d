//! A folder of `SQLite` databases, each a file.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::database::{Server, client, start_client};
use super::process::Process;

/// The folder.
#[derive(Debug)]
pub(crate) struct Sqlite {
    files: TempDir,
}

impl Sqlite {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { files: TempDir::new().expect("a temporary folder") }
    }

    /// The file of a database.
    pub(crate) fn file(&self, database: &str) -> PathBuf {
        self.files.path().join(format!("{database}.db"))
    }
}

impl Server for Sqlite {
    fn source(&self, _user: &str, _password: &str, database: &str) -> String {
        format!("sqlite:{}", self.file(database).display())
    }

    fn play(&self, database: &str, sql: &str) -> String {
        client(Command::new("sqlite3").arg("-bail").arg(self.file(database)), sql)
    }

    fn make(&self, database: &str) {
        self.play_file(database, "standard-create.sql");
        self.play_file(database, "dispatcher-create.sql");
    }

    fn leave_playing(&self, database: &str, sql: &str) -> Process {
        let shell = format!(".read |printf '%s\\n' \"{sql}\"; sleep 30");
        start_client(Command::new("sqlite3").arg(self.file(database)).arg(shell))
    }

    fn stop(&mut self) {}

    fn start_again(&mut self) {}

    fn folder(&self) -> &'static str {
        "db_sqlite"
    }
}
