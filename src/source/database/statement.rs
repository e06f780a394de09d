//! The statements, in the dialect of each database.
//!
//! All columns are asked for as texts, so that a table is read alike whatever the types of its columns
//! are, and no value is longer than what we would take. Names are quoted; values are bound.

use super::connection::Value;
use crate::config::{DestinationsConfig, Problem, Source};
use crate::destination::Record;
use crate::limits;

/// The columns that a table has, by its version: each has those of the ones before it too.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Columns {
    /// Version 1.
    SetAndDestination,
    /// Version 2.
    Flags,
    /// Version 3.
    Priority,
    /// Version 4: attributes, and the columns of `db_extra_attrs`.
    Attributes,
}

/// The version of the table, by its name.
pub(super) fn select_version(config: &DestinationsConfig) -> String {
    let quoted = |name: &str| quoted(config, name);
    let version = number(config, "table_version");
    let (table, name) = (quoted(&config.table.version_table), quoted("table_name"));
    let value = placeholder(config, 1);
    format!("SELECT {version} FROM {table} AS t WHERE t.{name} = {value}")
}

/// All rows, by their `id`, and one more than we take.
pub(super) fn select(config: &DestinationsConfig, has: Columns) -> String {
    let names = &config.table;
    let mut columns = vec![number(config, "id"), number(config, &names.set)];
    columns.push(text(config, &names.destination, limits::URI_BYTES_MAX));
    if has >= Columns::Flags {
        columns.push(number(config, &names.flags));
    }
    if has >= Columns::Priority {
        columns.push(number(config, &names.priority));
    }
    if has >= Columns::Attributes {
        let extra = config.extra_attributes.iter().map(|(_, column)| column);
        let attributes = std::iter::once(&names.attributes).chain(extra);
        columns.extend(attributes.map(|name| text(config, name, limits::ATTRIBUTES_BYTES_MAX)));
    }
    format!(
        "SELECT {} FROM {} AS t ORDER BY t.{} LIMIT {}",
        columns.join(", "),
        quoted(config, &names.table),
        quoted(config, "id"),
        limits::SLOTS_MAX + 1
    )
}

/// What a table of this version cannot hold of a record.
pub(super) fn what_does_not_fit(
    config: &DestinationsConfig,
    has: Columns,
    record: &Record,
) -> Option<Problem> {
    let missing = [
        (Columns::Flags, record.flags.bits() != 0, "flags"),
        (Columns::Priority, record.priority != 0, "a priority"),
        (Columns::Attributes, !record.attributes.text.is_empty(), "attributes"),
    ];
    let (_, _, what) = missing.iter().find(|(needs, is_set, _)| *is_set && has < *needs)?;
    let what = format!("the table {} is of a version without {what}", config.table.table);
    let right = "leave that out, or bring the table to version 4";
    Some(Problem::of(&config.source.to_string(), what, right))
}

/// Makes a row of a record.
pub(super) fn insert<'a>(
    config: &DestinationsConfig,
    has: Columns,
    record: &'a Record,
) -> (String, Vec<Value<'a>>) {
    let names = &config.table;
    let all = [
        (Columns::SetAndDestination, &names.set, Value::Number(record.set.into())),
        (Columns::SetAndDestination, &names.destination, Value::Text(&record.uri.text)),
        (Columns::Flags, &names.flags, Value::Number(record.flags.bits().into())),
        (Columns::Priority, &names.priority, Value::Number(record.priority.into())),
        (Columns::Attributes, &names.attributes, Value::Text(&record.attributes.text)),
    ];
    let columns = all.into_iter().filter(|(needs, _, _)| has >= *needs);
    let (names, values): (Vec<_>, Vec<_>) =
        columns.map(|(_, name, value)| (quoted(config, name), value)).unzip();
    let places: Vec<_> = (1..=values.len()).map(|n| placeholder(config, n)).collect();
    let which = match config.source {
        Source::Postgres(_) => format!(" RETURNING CAST({} AS TEXT)", quoted(config, "id")),
        _ => String::new(),
    };
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}){which}",
        quoted(config, &config.table.table),
        names.join(", "),
        places.join(", ")
    );
    (sql, values)
}

/// Removes the rows of a set with this destination, written with `sip:` or without.
pub(super) fn delete<'a>(
    config: &DestinationsConfig,
    set: u32,
    uri: &'a str,
) -> (String, Vec<Value<'a>>) {
    let places = [1, 2, 3].map(|n| placeholder(config, n));
    let sql = format!(
        "DELETE FROM {} WHERE {} = {} AND {} IN ({}, {})",
        quoted(config, &config.table.table),
        quoted(config, &config.table.set),
        places[0],
        quoted(config, &config.table.destination),
        places[1],
        places[2],
    );
    let bare = uri.strip_prefix("sip:").unwrap_or(uri);
    (sql, vec![Value::Number(set.into()), Value::Text(uri), Value::Text(bare)])
}

/// The tables as Kamailio makes them, under the configured names, for `SQLite`.
pub(super) fn create(config: &DestinationsConfig) -> [String; 3] {
    let names = &config.table;
    let quoted = |name: &str| quoted(config, name);
    let (table, version) = (quoted(&names.table), quoted(&names.version_table));
    let extra = config.extra_attributes.iter();
    let extra: String =
        extra.map(|(_, column)| format!(", {} VARCHAR(128)", quoted(column))).collect();
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {version} (id INTEGER PRIMARY KEY NOT NULL, \
             table_name VARCHAR(32) NOT NULL UNIQUE, table_version INTEGER DEFAULT 0 NOT NULL)"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY NOT NULL, \
             {} INTEGER DEFAULT 0 NOT NULL, {} VARCHAR(192) DEFAULT '' NOT NULL, \
             {} INTEGER DEFAULT 0 NOT NULL, {} INTEGER DEFAULT 0 NOT NULL, \
             {} VARCHAR(128) DEFAULT '' NOT NULL, \
             description VARCHAR(64) DEFAULT '' NOT NULL{extra})",
            quoted(&names.set),
            quoted(&names.destination),
            quoted(&names.flags),
            quoted(&names.priority),
            quoted(&names.attributes),
        ),
        format!(
            "INSERT OR IGNORE INTO {version} (table_name, table_version) \
             VALUES ('version', 1), (?, 4)"
        ),
    ]
}

/// A column of numbers, as text.
fn number(config: &DestinationsConfig, name: &str) -> String {
    let kind = if matches!(config.source, Source::Mysql(_)) { "CHAR" } else { "TEXT" };
    format!("CAST(t.{} AS {kind})", quoted(config, name))
}

/// A column of texts, each cut where it is too long already.
fn text(config: &DestinationsConfig, name: &str, bytes_max: usize) -> String {
    format!("SUBSTR({}, 1, {})", number(config, name), bytes_max + 1)
}

fn quoted(config: &DestinationsConfig, name: &str) -> String {
    let mark = if matches!(config.source, Source::Mysql(_)) { '`' } else { '"' };
    format!("{mark}{name}{mark}")
}

fn placeholder(config: &DestinationsConfig, n: usize) -> String {
    if matches!(config.source, Source::Postgres(_)) { format!("${n}") } else { "?".into() }
}
