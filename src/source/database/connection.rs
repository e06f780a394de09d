//! One connection, whichever of the three databases is at its other end.

use futures_util::TryStreamExt as _;
use sqlx::database::HasStatementCache;
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, Connection as _, Database, Decode, Encode, Executor, IntoArguments, MySql,
    MySqlConnection, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection, Type,
};

use super::words::Asked;
use super::{in_time, options};
use crate::config::{DestinationsConfig, Source};
use crate::limits;
use crate::source::failure::Failure;

/// The columns of a row, as the bytes of their texts; `None` is NULL.
pub(super) type Row = Vec<Option<Vec<u8>>>;

/// A value that is bound to a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Value<'a> {
    Number(i64),
    Text(&'a str),
}

/// A connection to a database.
#[derive(Debug)]
pub(super) enum Connection {
    Mysql(MySqlConnection),
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Connection {
    /// Connects.
    pub(super) async fn open(config: &DestinationsConfig) -> Result<Self, Failure> {
        match &config.source {
            Source::Mysql(url) => {
                let options = options::mysql(config, url)?;
                let connected = MySqlConnection::connect_with(&options);
                in_time(config, Asked::Connection, connected).await.map(Self::Mysql)
            }
            Source::Postgres(url) => {
                let options = options::postgres(config, url)?;
                let connected = PgConnection::connect_with(&options);
                in_time(config, Asked::Connection, connected).await.map(Self::Postgres)
            }
            Source::Sqlite(path) | Source::List(path) => {
                let options = options::sqlite(path);
                let connected = SqliteConnection::connect_with(&options);
                in_time(config, Asked::Connection, connected).await.map(Self::Sqlite)
            }
        }
    }

    /// The answer to a question, all columns of which are texts.
    pub(super) async fn rows(
        &mut self,
        sql: String,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Mysql(connection) => rows::<MySql>(connection, sql, values).await,
            Self::Postgres(connection) => rows::<Postgres>(connection, sql, values).await,
            Self::Sqlite(connection) => rows::<Sqlite>(connection, sql, values).await,
        }
    }

    /// Makes a row; says its `id`, when the database gave it one.
    pub(super) async fn insert(
        &mut self,
        sql: String,
        values: &[Value<'_>],
    ) -> Result<Option<i64>, sqlx::Error> {
        Ok(match self {
            Self::Mysql(connection) => {
                // Without it a value that is too long would be cut in silence.
                let strict = "SET sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')";
                connection.execute(strict).await?;
                let made = statement::<MySql>(sql, values).execute(connection).await?;
                i64::try_from(made.last_insert_id()).ok().filter(|id| *id != 0)
            }
            Self::Postgres(connection) => {
                let made = rows::<Postgres>(connection, sql, values).await?;
                let id = made.first().and_then(|row| row.first()?.as_deref());
                id.and_then(|id| std::str::from_utf8(id).ok()?.parse().ok())
            }
            Self::Sqlite(connection) => {
                let made = statement::<Sqlite>(sql, values).execute(connection).await?;
                Some(made.last_insert_rowid())
            }
        })
    }

    /// Removes rows; says how many.
    pub(super) async fn delete(
        &mut self,
        sql: String,
        values: &[Value<'_>],
    ) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Mysql(connection) => {
                statement::<MySql>(sql, values).execute(connection).await?.rows_affected()
            }
            Self::Postgres(connection) => {
                statement::<Postgres>(sql, values).execute(connection).await?.rows_affected()
            }
            Self::Sqlite(connection) => {
                statement::<Sqlite>(sql, values).execute(connection).await?.rows_affected()
            }
        })
    }

    /// Says goodbye, so that the server does not log a connection that was lost.
    pub(super) async fn close(self) {
        let closed = async {
            match self {
                Self::Mysql(connection) => connection.close().await,
                Self::Postgres(connection) => connection.close().await,
                Self::Sqlite(connection) => connection.close().await,
            }
        };
        // What was asked is answered already.
        let wait = std::time::Duration::from_millis(limits::DATABASE_CLOSE_MS);
        let _ = tokio::time::timeout(wait, closed).await;
    }
}

async fn rows<D: Database + HasStatementCache>(
    connection: &mut D::Connection,
    sql: String,
    values: &[Value<'_>],
) -> Result<Vec<Row>, sqlx::Error>
where
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
    for<'v> Vec<u8>: Decode<'v, D>,
    Vec<u8>: Type<D>,
    for<'v> i64: Encode<'v, D>,
    i64: Type<D>,
    for<'v> String: Encode<'v, D>,
    String: Type<D>,
    usize: sqlx::ColumnIndex<D::Row>,
{
    let mut answer = statement::<D>(sql, values).fetch(connection);
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = answer.try_next().await? {
        let columns = (0..row.len()).map(|at| row.try_get_unchecked::<Option<Vec<u8>>, _>(at));
        let row = columns.collect::<Result<Row, _>>()?;
        bytes += row.iter().flatten().map(Vec::len).sum::<usize>();
        if bytes as u64 > limits::LIST_BYTES_MAX {
            let what = format!("more than {} bytes in all rows", limits::LIST_BYTES_MAX);
            return Err(sqlx::Error::InvalidArgument(what));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn statement<'q, D: Database + HasStatementCache>(
    sql: String,
    values: &[Value<'_>],
) -> Query<'q, D, D::Arguments>
where
    D::Arguments: IntoArguments<D>,
    for<'v> i64: Encode<'v, D>,
    i64: Type<D>,
    for<'v> String: Encode<'v, D>,
    String: Type<D>,
{
    // Names in it are plain words, and all values are bound. It is not kept at the server's side, where
    // a pool of connections might lose it.
    let mut query = sqlx::query::<D>(AssertSqlSafe(sql)).persistent(false);
    for value in values {
        query = match *value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text.to_owned()),
        };
    }
    query
}
