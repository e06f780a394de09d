//! A folder of `SQLite` databases, each a file.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::database::{Server, client};

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

    fn folder(&self) -> &'static str {
        "db_sqlite"
    }
}
