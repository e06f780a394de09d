//! `MariaDB`.

use super::rows;
use crate::harness::mariadb::Mariadb;

#[test]
fn tables_of_mariadb() {
    let server = Mariadb::start();
    rows::play(&server, |length| format!("REPEAT('x', {length})"));
}
