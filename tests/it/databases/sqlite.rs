//! `SQLite`.

use super::rows;
use crate::harness::sqlite::Sqlite;

#[test]
fn tables_of_sqlite() {
    rows::play(&Sqlite::new(), |length| format!("HEX(ZEROBLOB({}))", length / 2));
}
