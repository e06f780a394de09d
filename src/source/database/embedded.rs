//! The embedded database: a file with Kamailio's tables, made when it is not there.

use std::fs;
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::words::Asked;
use super::{in_time, on_runtime, options, statement};
use crate::config::{DestinationsConfig, Source};
use crate::source::failure::Failure;

/// Makes the file of a `SQLite` source with empty tables when there is none, or one without a byte;
/// says whether it did.
///
/// # Errors
/// Why it cannot be made.
pub(in crate::source) fn make_missing(config: &DestinationsConfig) -> Result<bool, Failure> {
    let Source::Sqlite(path) = &config.source else { return Ok(false) };
    if fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(false);
    }
    on_runtime(config, async {
        in_time(config, Asked::Connection, make(config, path)).await?;
        Ok(true)
    })
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
