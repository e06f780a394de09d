//! What a database's errors mean: whether it is away or something is wrong, and what would be right.
//!
//! The messages of the servers are told, since they name the table or the user; none of them holds a
//! password.

use std::io::{self, ErrorKind};

use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;

use crate::config::{DestinationsConfig, Problem, Source};
use crate::source::failure::Failure;

/// What was asked when it failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// To connect.
    Connection,
    /// The version of the table.
    VersionTable,
    /// The table itself.
    Table,
}

/// What a server's error says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Says {
    Away,
    Denied,
    NoDatabase,
    NoTable,
    NoColumn,
    NotAllowed,
    NotADatabase,
    Other,
}

/// An error of the library, as a failure of this source.
pub(super) fn failure(config: &DestinationsConfig, asked: Asked, error: &sqlx::Error) -> Failure {
    let away = |what: String| Failure::Away(problem(config, what, RIGHT_AWAY));
    let wrong = |what: String, right: &str| Failure::wrong(problem(config, what, right));
    match error {
        sqlx::Error::Database(error) => database(config, asked, &**error),
        sqlx::Error::Io(error) if error.kind() == ErrorKind::PermissionDenied => {
            wrong(format!("cannot be reached ({error})"), "let the relay's user connect to it")
        }
        // What TLS refuses comes as an error of the connection.
        sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
            wrong(format!("no TLS with it ({error})"), RIGHT_TLS)
        }
        sqlx::Error::Io(error) if asked == Asked::Connection => {
            away(format!("cannot be reached ({error})"))
        }
        sqlx::Error::Io(error) => away(format!("the connection was lost ({error})")),
        sqlx::Error::Tls(error) => match lost(&**error) {
            Some(lost) => away(format!("the connection was lost ({lost})")),
            None => wrong(format!("no TLS with it ({error})"), RIGHT_TLS),
        },
        sqlx::Error::WorkerCrashed => away("cannot be asked".into()),
        // PostgreSQL that hangs up before TLS begins.
        sqlx::Error::Protocol(what) if what.contains("SSLRequest: 0x00") => {
            away("cannot be reached (it hangs up)".into())
        }
        sqlx::Error::Protocol(what) => {
            // Without the library's own line number.
            let what = what.split(" (sqlx").next().unwrap_or_default();
            let right = "name the port of the database, and its kind before the //";
            wrong(format!("does not answer as such a database ({what})"), right)
        }
        error => wrong(format!("cannot be read ({error})"), "look at the table"),
    }
}

/// No answer within the time.
pub(super) fn too_slow(config: &DestinationsConfig, asked: Asked, ms: u64) -> Failure {
    let what = match asked {
        Asked::Connection => "it takes no connection",
        Asked::VersionTable | Asked::Table => "it does not answer",
    };
    let what = format!("{what} within {} s", ms / 1_000);
    Failure::Away(problem(config, what, RIGHT_AWAY))
}

/// The table is of no version that we know.
pub(super) fn wrong_version(config: &DestinationsConfig, version: Option<&str>) -> Problem {
    let names = &config.table;
    if let Some(version) = version {
        let what = format!("the table {} is of version {version}", names.table);
        return problem(config, what, "use one of version 1 to 4, as Kamailio makes them");
    }
    let what = format!("the table {} does not know the table {}", names.version_table, names.table);
    let right = format!(
        "INSERT INTO {} (table_name, table_version) VALUES ('{}', 4)",
        names.version_table, names.table
    );
    problem(config, what, &right)
}

fn database(config: &DestinationsConfig, asked: Asked, error: &dyn DatabaseError) -> Failure {
    let says = match &config.source {
        Source::Mysql(_) => mysql(error),
        Source::Postgres(_) => postgres(error),
        Source::Sqlite(_) | Source::List(_) => sqlite(error),
    };
    let names = &config.table;
    let message = error.message();
    let what = |what: &str| format!("{what} ({message})");
    let (what, right) = match says {
        Says::Away => return Failure::Away(problem(config, what("not ready"), RIGHT_AWAY)),
        Says::Denied => (
            what("access denied"),
            "write the user and the password that it knows: //USER:PASSWORD@HOST/DATABASE".into(),
        ),
        Says::NoDatabase => (
            what("no such database"),
            "name one that exists, or make Kamailio's with kamdbctl create".into(),
        ),
        Says::NoTable => {
            let (table, key, file) = match asked {
                Asked::VersionTable => (&names.version_table, "version_table", "standard-create.sql"),
                _ => (&names.table, "table", "dispatcher-create.sql"),
            };
            let folder = match &config.source {
                Source::Mysql(_) => "mysql",
                Source::Postgres(_) => "postgres",
                Source::Sqlite(_) | Source::List(_) => "db_sqlite",
            };
            let right = format!(
                "make it with Kamailio's {folder}/{file} (kamdbctl create makes all), or name it: \
                 destinations.{key}"
            );
            (format!("no table {table}"), right)
        }
        Says::NoColumn => (
            what("a column is missing"),
            "name the columns that are there: setid_col, destination_col, flags_col, priority_col, \
             attrs_col, db_extra_attrs; id is always needed"
                .into(),
        ),
        Says::NotAllowed => (what("not allowed"), "GRANT it to that user".into()),
        Says::NotADatabase => {
            (what("not an SQLite database"), "name an SQLite file, or move this one away".into())
        }
        Says::Other => match &config.source {
            Source::Sqlite(path) if !path.exists() => (
                "no such file".to_owned(),
                "name a database that exists; strowger run makes an empty one at its start".into(),
            ),
            _ => (what("refused"), "see what it says".into()),
        },
    };
    Failure::wrong(problem(config, what, &right))
}

/// Numbers of <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
fn mysql(error: &dyn DatabaseError) -> Says {
    let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else { return Says::Other };
    match error.number() {
        // Too many connections, no threads, no memory; shutting down; interrupted; a lock, a deadlock,
        // a time limit; a node of a cluster that is not in it yet.
        1037
        | 1038
        | 1040
        | 1041
        | 1047
        | 1053
        | 1077
        | 1079
        | 1135
        | 1158..=1161
        | 1203
        | 1205
        | 1213
        | 1226
        | 1317
        | 1927
        | 1969
        | 3024
        | 4031 => Says::Away,
        1044 | 1045 | 1130 | 1698 | 3118 | 4151 => Says::Denied,
        1049 => Says::NoDatabase,
        1146 => Says::NoTable,
        1054 => Says::NoColumn,
        1142 | 1143 | 1227 | 1290 => Says::NotAllowed,
        _ if error.code().is_some_and(|state| state.starts_with("08")) => Says::Away,
        _ => Says::Other,
    }
}

/// States of <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn postgres(error: &dyn DatabaseError) -> Says {
    let state = error.code().unwrap_or_default();
    match &*state {
        "3D000" => Says::NoDatabase,
        "42P01" | "3F000" => Says::NoTable,
        "42703" => Says::NoColumn,
        "42501" | "25006" => Says::NotAllowed,
        "55P03" => Says::Away,
        // Connection, rollback by the server, resources, intervention, its own machine.
        state if ["08", "40", "53", "57", "58"].iter().any(|class| state.starts_with(class)) => {
            Says::Away
        }
        state if state.starts_with("28") => Says::Denied,
        _ => Says::Other,
    }
}

/// Codes of <https://www.sqlite.org/rescode.html>.
fn sqlite(error: &dyn DatabaseError) -> Says {
    let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or(0);
    let message = error.message();
    match code & 0xff {
        // Busy, locked, an error of the disk, a full disk.
        5 | 6 | 10 | 13 => Says::Away,
        3 | 8 | 23 => Says::NotAllowed,
        11 | 26 => Says::NotADatabase,
        1 if message.starts_with("no such table") => Says::NoTable,
        1 if message.contains("no such column") || message.contains("no column named") => {
            Says::NoColumn
        }
        _ => Says::Other,
    }
}

/// A connection that broke during the handshake, and not a handshake that went wrong.
fn lost<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return (error.kind() != ErrorKind::InvalidData).then_some(error);
        }
        next = error.source();
    }
    None
}

fn problem(config: &DestinationsConfig, what: String, right: &str) -> Problem {
    Problem::of(&config.source.to_string(), what, right)
}

const RIGHT_TLS: &str = "fix its certificate or ssl-ca, or write ?ssl-mode=... into the URL";
const RIGHT_AWAY: &str = "see that it runs, and that it is the one that is meant";
