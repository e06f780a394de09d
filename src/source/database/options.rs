//! How to connect: what a URL says, in the words of the library.
//!
//! The library would read URLs itself, but it refuses passwords with signs in them, ignores mistakes in
//! parameters and writes them into the log.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;

use crate::config::{DatabaseUrl, DestinationsConfig, Problem, UrlParts};
use crate::limits;
use crate::source::failure::Failure;

/// Where `MySQL` and `MariaDB` have their unix sockets: Debian, Red Hat, and as they come.
const MYSQL_SOCKETS: &[&str] =
    &["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"];

pub(super) fn mysql(
    config: &DestinationsConfig,
    url: &DatabaseUrl,
) -> Result<MySqlConnectOptions, Failure> {
    let parts = parts(config, url)?;
    let wrong = |name: &str, what: &str, right: &str| wrong(config, name, what, right);
    let mut options = MySqlConnectOptions::new()
        .host(&parts.host)
        .port(parts.port.unwrap_or(3306))
        .username(parts.user.as_deref().unwrap_or_default())
        .database(&parts.database)
        .disable_statement_logging();
    if let Some(password) = &parts.password {
        options = options.password(password);
    }
    // To MySQL's own clients "localhost" is the unix socket.
    if parts.host == "localhost"
        && parts.port.is_none()
        && let Some(path) = MYSQL_SOCKETS.iter().find(|path| Path::new(path).exists())
    {
        options = options.socket(path);
    }
    for (name, value) in &parts.parameters {
        options = match name.as_str() {
            "ssl-mode" | "sslmode" => {
                let mode = value.parse::<MySqlSslMode>();
                options.ssl_mode(mode.map_err(|_| wrong(name, "is not known", MYSQL_MODES))?)
            }
            "ssl-ca" | "sslca" => options.ssl_ca(file(config, name, value)?),
            "ssl-cert" | "sslcert" => options.ssl_client_cert(file(config, name, value)?),
            "ssl-key" | "sslkey" => options.ssl_client_key(file(config, name, value)?),
            "socket" => options.socket(value),
            _ => {
                let right = "leave it out, or write ssl-mode, ssl-ca, ssl-cert, ssl-key or socket";
                return Err(wrong(name, "is not a parameter", right));
            }
        };
    }
    Ok(options)
}

pub(super) fn postgres(
    config: &DestinationsConfig,
    url: &DatabaseUrl,
) -> Result<PgConnectOptions, Failure> {
    let parts = parts(config, url)?;
    let wrong = |name: &str, what: &str, right: &str| wrong(config, name, what, right);
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(parts.port.unwrap_or(5432))
        .username(parts.user.as_deref().unwrap_or_default())
        .database(&parts.database)
        .application_name("strowger")
        .disable_statement_logging();
    let at = |options: PgConnectOptions, host: &str| {
        if host.starts_with('/') { options.socket(host) } else { options.host(host) }
    };
    options = at(options, &parts.host);
    if let Some(password) = &parts.password {
        options = options.password(password);
    }
    for (name, value) in &parts.parameters {
        options = match name.as_str() {
            "sslmode" | "ssl-mode" => {
                let mode = value.parse::<PgSslMode>();
                options.ssl_mode(mode.map_err(|_| wrong(name, "is not known", POSTGRES_MODES))?)
            }
            "sslrootcert" | "ssl-ca" => options.ssl_root_cert(file(config, name, value)?),
            "sslcert" | "ssl-cert" => options.ssl_client_cert(file(config, name, value)?),
            "sslkey" | "ssl-key" => options.ssl_client_key(file(config, name, value)?),
            "host" => at(options, value),
            _ => {
                let right = "leave it out, or write sslmode, sslrootcert, sslcert, sslkey or host";
                return Err(wrong(name, "is not a parameter", right));
            }
        };
    }
    Ok(options)
}

pub(super) fn sqlite(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(Duration::from_millis(limits::DATABASE_BUSY_MS.into()))
        .disable_statement_logging()
}

const MYSQL_MODES: &str = "write disabled, preferred, required, verify_ca or verify_identity";
const POSTGRES_MODES: &str = "write disable, allow, prefer, require, verify-ca or verify-full";

fn parts(config: &DestinationsConfig, url: &DatabaseUrl) -> Result<UrlParts, Failure> {
    let right = "write USER:PASSWORD@HOST/DATABASE after the //";
    let problem = |what| Failure::wrong(Problem::of(&config.source.to_string(), what, right));
    let parts = url.parts().ok_or_else(|| problem("is not the URL of a database"))?;
    if parts.user.is_none() { Err(problem("names no user")) } else { Ok(parts) }
}

/// A value may be a secret, so only the name is told.
fn wrong(config: &DestinationsConfig, name: &str, what: &str, right: &str) -> Failure {
    let what = format!("{name} in the URL {what}");
    Failure::wrong(Problem::of(&config.source.to_string(), what, right))
}

/// A file that a parameter names, and that can be read.
fn file<'a>(config: &DestinationsConfig, name: &str, value: &'a str) -> Result<&'a Path, Failure> {
    match File::open(value) {
        Ok(_) => Ok(Path::new(value)),
        Err(error) => {
            let what = format!("{name} in the URL: {value} cannot be read ({error})");
            let right = "name a file that the relay's user can read";
            Err(Failure::wrong(Problem::of(&config.source.to_string(), what, right)))
        }
    }
}
