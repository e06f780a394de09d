//! Kamailio's `dispatcher` table in `MySQL` or `MariaDB`, `PostgreSQL` or `SQLite`.
//!
//! The table is taken as it is, in each of its versions and under whatever names. Each question has a
//! time limit, so whoever reads may wait; he waits on a thread of his own.

mod connection;
mod embedded;
mod options;
mod statement;
mod words;

use std::future::Future;
use std::time::Duration;

use tokio::runtime;
use tokio::time::timeout;

use super::failure::Failure;
use super::records::Records;
use super::row::{self, Fields, Reading};
use crate::config::{DestinationsConfig, Problem};
use crate::destination::{Origin, Record};
use crate::limits;
use connection::{Connection, Row, Value};
pub use embedded::is_to_be_made;
pub(super) use embedded::make_missing;
use statement::Columns;
use words::Asked;

/// Reads and checks the rows of the table.
///
/// # Errors
/// Whether it is away, or why it cannot be read. What is wrong with single rows is in the records.
pub(super) fn read(config: &DestinationsConfig) -> Result<Records, Failure> {
    let rows = on_runtime(config, read_rows(config))?;
    let mut records = Records::new(&config.source.to_string());
    for row in rows {
        let (origin, reading) = read_row(row, config);
        records.read(origin, reading);
    }
    Ok(records)
}

/// Writes a record into the table; says which row that made.
///
/// # Errors
/// Whether it is away, or why it does not take it.
pub(super) fn insert(config: &DestinationsConfig, record: &Record) -> Result<Origin, Failure> {
    on_runtime(config, async {
        let mut connection = Connection::open(config).await?;
        let columns = version(&mut connection, config).await?;
        if let Some(problem) = statement::what_does_not_fit(config, columns, record) {
            return Err(Failure::wrong(problem));
        }
        let (sql, values) = statement::insert(config, columns, record);
        let id = in_time(config, Asked::Table, connection.insert(sql, &values)).await?;
        connection.close().await;
        Ok(id.map_or(Origin::Command, Origin::Row))
    })
}

/// Removes the rows of a set with this destination; says how many there were.
///
/// # Errors
/// As [`insert`].
pub(super) fn delete(config: &DestinationsConfig, set: u32, uri: &str) -> Result<u64, Failure> {
    on_runtime(config, async {
        let mut connection = Connection::open(config).await?;
        let (sql, values) = statement::delete(config, set, uri);
        let gone = in_time(config, Asked::Table, connection.delete(sql, &values)).await?;
        connection.close().await;
        Ok(gone)
    })
}

/// Waits for `work` on a runtime that lasts as long.
fn on_runtime<T>(
    config: &DestinationsConfig,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let built = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = built.map_err(|error| {
        let what = format!("cannot be asked, since the machine refuses ({error})");
        let source = config.source.to_string();
        Failure::Away(Problem::of(
            &source,
            what,
            crate::words::remedy(&error).unwrap_or("try again"),
        ))
    })?;
    let result = runtime.block_on(work);
    // A name server that hangs is left behind, with the thread that asks it.
    runtime.shutdown_background();
    result
}

async fn read_rows(config: &DestinationsConfig) -> Result<Vec<Row>, Failure> {
    let mut connection = Connection::open(config).await?;
    let columns = version(&mut connection, config).await?;
    let sql = statement::select(config, columns);
    let rows = in_time(config, Asked::Table, connection.rows(sql, &[])).await?;
    connection.close().await;
    if rows.len() > limits::SLOTS_MAX {
        let what = format!("more than {} rows", limits::SLOTS_MAX);
        let right = "keep destinations within that number";
        return Err(Failure::wrong(Problem::of(&config.source.to_string(), what, right)));
    }
    Ok(rows)
}

/// The columns that a table of its version has.
async fn version(
    connection: &mut Connection,
    config: &DestinationsConfig,
) -> Result<Columns, Failure> {
    let sql = statement::select_version(config);
    let table = [Value::Text(&config.table.table)];
    let rows = in_time(config, Asked::VersionTable, connection.rows(sql, &table)).await?;
    let version = rows.first().and_then(|row| row.first()?.as_deref());
    let version = version.map(String::from_utf8_lossy);
    match version.as_deref() {
        Some("1") => Ok(Columns::SetAndDestination),
        Some("2") => Ok(Columns::Flags),
        Some("3") => Ok(Columns::Priority),
        Some("4") => Ok(Columns::Attributes),
        version => {
            if version.is_none() {
                // A table that does not exist has no version either.
                let sql = statement::select(config, Columns::SetAndDestination);
                in_time(config, Asked::Table, connection.rows(sql, &[])).await?;
            }
            Err(Failure::wrong(words::wrong_version(config, version)))
        }
    }
}

async fn in_time<T>(
    config: &DestinationsConfig,
    asked: Asked,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    let ms = match asked {
        Asked::Connection => limits::DATABASE_CONNECT_MS,
        Asked::VersionTable | Asked::Table => limits::DATABASE_ANSWER_MS,
    };
    match timeout(Duration::from_millis(ms), answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(words::failure(config, asked, &error)),
        Err(_) => Err(words::too_slow(config, asked, ms)),
    }
}

/// One row: the `id`, the columns that its version has, and then those of the further attributes.
fn read_row(row: Row, config: &DestinationsConfig) -> (Origin, Reading) {
    let names = &config.table;
    let extra = &config.extra_attributes;
    let mut mistakes = Vec::new();
    let mut row = row.into_iter();
    let mut text = |name: &str, may_be_null: bool| match row.next() {
        // This version has no such column.
        None => None,
        Some(None) => {
            if !may_be_null {
                let right = format!("give it a value, or make the column {name} NOT NULL");
                mistakes.push((format!("{name} is NULL"), right));
            }
            None
        }
        Some(Some(bytes)) => String::from_utf8(bytes)
            .map_err(|_| {
                let right = "write it in UTF-8".to_owned();
                mistakes.push((format!("{name} is not UTF-8"), right));
            })
            .ok(),
    };
    let id = text("id", false).and_then(|id| id.parse().ok());
    let set = text(&names.set, false);
    let uri = text(&names.destination, false);
    let flags = text(&names.flags, false);
    let priority = text(&names.priority, false);
    let mut attributes = text(&names.attributes, true).unwrap_or_default();
    for (name, column) in extra {
        let Some(value) = text(column, true).filter(|value| !value.is_empty()) else { continue };
        if !attributes.trim_end().ends_with(';') && !attributes.trim().is_empty() {
            attributes.push(';');
        }
        let quote = if value.contains(';') && !value.contains('"') { "\"" } else { "" };
        attributes.extend([name, "=", quote, &value, quote]);
    }
    let origin = Origin::Row(id.unwrap_or_default());
    if id.is_none() {
        mistakes.push(("id is not a number".into(), "make it the table's own number".into()));
    }
    let or = |text: Option<String>, default: &str| text.unwrap_or_else(|| default.to_owned());
    // What is NULL is told as that, and not as the number that stands in for it.
    let (set, uri) = (or(set, "0"), or(uri, "sip:192.0.2.1"));
    let (flags, priority) = (or(flags, "0"), or(priority, "0"));
    let fields = Fields {
        set: &set,
        uri: &uri,
        flags: &flags,
        priority: &priority,
        attributes: &attributes,
    };
    let read = row::read(fields, origin);
    // What is NULL or is no text cannot be used.
    let record = read.record.filter(|_| mistakes.is_empty());
    mistakes.extend(read.mistakes);
    (origin, Reading { record, mistakes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> DestinationsConfig {
        let extra = [("weight", "share"), ("note", "remark")];
        let extra = extra.map(|(name, column)| (name.to_owned(), column.to_owned()));
        DestinationsConfig { extra_attributes: extra.into(), ..DestinationsConfig::default() }
    }

    fn row(fields: &[Option<&str>]) -> (Origin, Result<Record, Vec<row::Mistake>>) {
        let row = fields.iter().map(|field| field.map(|text| text.as_bytes().to_vec()));
        let (origin, reading) = read_row(row.collect(), &config());
        (origin, reading.strict())
    }

    #[test]
    fn what_a_row_says() {
        let uri = Some("192.0.2.1");
        for (says, fields, flags, priority, attributes) in [
            ("version 1", &[Some("7"), Some("1"), uri][..], 0, 0, ""),
            ("version 2", &[Some("7"), Some("1"), uri, Some("8")], 8, 0, ""),
            ("version 3", &[Some("7"), Some("1"), uri, Some("8"), Some("-3")], 8, -3, ""),
            (
                "version 4, and NULL is no attribute",
                &[Some("7"), Some("1"), uri, Some("0"), Some("0"), None, None, Some("")],
                0,
                0,
                "",
            ),
            (
                "further columns are further attributes",
                &[
                    Some("7"),
                    Some("1"),
                    uri,
                    Some("0"),
                    Some("0"),
                    Some("duid=a;"),
                    Some("50"),
                    Some("x;y"),
                ],
                0,
                0,
                "duid=a;weight=50;note=\"x;y\"",
            ),
        ] {
            let (origin, record) = row(fields);
            let record = record.unwrap_or_else(|mistakes| panic!("{says}: {mistakes:?}"));
            assert_eq!(origin, Origin::Row(7), "{says}");
            assert_eq!(record.uri.text, "sip:192.0.2.1", "{says}");
            assert_eq!((record.flags.bits(), record.priority), (flags, priority), "{says}");
            assert_eq!(record.attributes.text, attributes, "{says}");
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_row() {
        let fields =
            [Some("7"), None, Some("sip:a b"), None, Some("x"), Some("weight=0"), Some("60")];
        let (origin, record) = row(&fields);
        assert_eq!(origin, Origin::Row(7));
        let told: Vec<_> = record.unwrap_err().into_iter().map(|(what, _)| what).collect();
        let wants = [
            "setid is NULL",
            "flags is NULL",
            "\"a b\" is not a host",
            "priority \"x\": not in range",
            "attribute weight=0: not in range",
            "attribute weight stands twice",
        ];
        assert_eq!(told.len(), wants.len(), "{told:?}");
        for (told, wants) in told.iter().zip(wants) {
            assert!(told.contains(wants), "{told:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        let row = [b"7".to_vec(), b"1".to_vec(), b"sip:\xff".to_vec()].map(Some).to_vec();
        let mistakes = read_row(row, &config()).1.strict().unwrap_err();
        assert_eq!(mistakes[0].0, "destination is not UTF-8");
        assert_eq!(mistakes.len(), 1);
    }
}
