//! `SQLite`.

use super::rows;
use crate::harness::sqlite::Sqlite;

#[test]
fn tables_of_sqlite() {
    let server = Sqlite::new();
    rows::play(&server, |length| format!("HEX(ZEROBLOB({}))", length / 2));
    rows::write_back(&server);
}
