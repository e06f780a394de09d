//! The embedded database: a file with Kamailio's tables, created when it does not exist.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio::time::timeout;

use super::{on_runtime, options, statement};
use crate::config::{DestinationsConfig, Problem, Source};
use crate::disk;
use crate::limits;
use crate::source::failure::Failure;

/// Creates the file of a `SQLite` source with empty tables when there is none, or one without a byte;
/// says whether it did. The file appears with its tables or not at all.
///
/// # Errors
/// Why it cannot be created.
pub(in crate::source) fn make_missing(config: &DestinationsConfig) -> Result<bool, Failure> {
    let Source::Sqlite(path) = &config.source else { return Ok(false) };
    let made = match fs::metadata(path) {
        Ok(file) if file.len() > 0 => return Ok(false),
        // It stays empty when this fails: there is nothing to lose in it.
        Ok(_) => on_runtime(config, fill(config, path)).map(|()| true),
        Err(_) => {
            let new = beside(path, &format!(".new-{}", process::id()));
            let made = on_runtime(config, fill(config, &new)).and_then(|()| {
                put(&new, path).map_err(|error| not_made(config, path, &error.to_string()))
            });
            for left in [new.clone(), beside(&new, "-journal")] {
                let _ = fs::remove_file(left);
            }
            made
        }
    };
    if made.is_ok() {
        disk::keep_names(folder_of(path));
    }
    made
}

/// Whether a start would create this database: there is no file, or one without a byte, in a folder
/// that we may write to.
pub fn is_to_be_made(path: &Path) -> bool {
    let is_missing = fs::metadata(path).map_or_else(
        |error| error.kind() == ErrorKind::NotFound,
        |file| file.is_file() && file.len() == 0,
    );
    is_missing && access(folder_of(path), AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Puts the finished file where it belongs; false when another start was faster.
fn put(new: &Path, path: &Path) -> io::Result<bool> {
    File::open(new)?.sync_all()?;
    // Unlike a rename, a link replaces nothing.
    match fs::hard_link(new, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // Some file systems have no links.
        Err(_) => fs::rename(new, path).map(|()| true),
    }
}

/// Creates the tables in a file without any.
async fn fill(config: &DestinationsConfig, path: &Path) -> Result<(), Failure> {
    let time = Duration::from_millis(limits::DATABASE_ANSWER_MS);
    let made = timeout(time, make(config, path)).await;
    let why = match made {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(sqlx::Error::Database(error))) => error.message().to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took more than {} s", time.as_secs()),
    };
    Err(not_made(config, path, &why))
}

async fn make(config: &DestinationsConfig, path: &Path) -> Result<(), sqlx::Error> {
    let options = options::sqlite(path).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    // Whoever starts at the same time waits for us, and finds the tables made.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let [version, table, rows] = statement::create(config);
    for sql in [version, table] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    }
    let names = sqlx::query(AssertSqlSafe(rows)).bind(config.table.table.clone());
    names.execute(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await
}

fn not_made(config: &DestinationsConfig, path: &Path, why: &str) -> Failure {
    let folder = folder_of(path);
    let right = if !folder.is_dir() {
        format!("create the folder {}, or name another file", folder.display())
    } else if access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        format!("let the relay's user write to {}, or name another file", folder.display())
    } else {
        "free some space on its disk, or name a file elsewhere: destinations.source".to_owned()
    };
    let what = format!("does not exist and cannot be created ({why})");
    Failure::wrong(Problem::of(&config.source.to_string(), what, right))
}

/// The folder of a bare name is the current one.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path with this at the end of its name.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
