//! `PostgreSQL`.

use super::rows;
use crate::harness::postgres::Postgres;

#[test]
fn tables_of_postgres() {
    let server = Postgres::start();
    rows::play(&server, |length| format!("REPEAT('x', {length})"));
}
