//! `PostgreSQL`.

use std::path::Path;

use super::away::{self, Words};
use super::{rows, tools};
use crate::harness::certificates::Certificates;
use crate::harness::database::Server as _;
use crate::harness::postgres::Postgres;

const WORDS: Words = Words {
    lock_out: "ALTER ROLE kamailio PASSWORD 'another'",
    let_in: "ALTER ROLE kamailio PASSWORD 'GIVEN'",
    hold: "BEGIN; LOCK TABLE dispatcher; SELECT pg_sleep(30)",
    waiting: "SELECT COUNT(*) FROM pg_stat_activity WHERE usename = 'kamailio'
              AND wait_event_type = 'Lock'",
    holding: "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
};

#[test]
fn tables_of_postgres() {
    let mut server = Postgres::start();
    rows::play(&server, |length| format!("REPEAT('x', {length})"));
    rows::write_back(&server);
    let kamailio = server.kamailio("many");
    let with = |parameters: &str| format!("{kamailio}?{parameters}");
    server.play("many", "CREATE ROLE nobody LOGIN PASSWORD 'pw'");
    rows::refuse(
        &server,
        &[
            (
                server.source("kamailio", "pw:wrong", "many"),
                "access denied (password authentication",
            ),
            (server.source("stranger", "pw:x", "many"), "access denied"),
            (
                server.source("nobody", "pw", "many"),
                "not allowed (permission denied for table version)",
            ),
            (
                server.kamailio("elsewhere"),
                "no such database (database \"elsewhere\" does not exist)",
            ),
            (with("password=pw:x"), "password in the URL is not a parameter: leave it out"),
            (with("sslmode=pw:x"), "sslmode in the URL is not known: write disable"),
            (with("sslmode=require"), "no TLS with it (server does not support TLS)"),
            (with("host=/none"), "away: cannot be reached (No such file"),
        ],
    );
    let socket = with(&format!("host={}", server.path().display()));
    rows::load(&socket, "").expect("its unix socket");

    let files = Certificates::make(server.path(), server.address().ip());
    for file in [&files.certificate, &files.key] {
        Postgres::own(file);
    }
    server.with(&[
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", files.certificate.display()),
        format!("ssl_key_file={}", files.key.display()),
    ]);
    server.stop();
    server.only_by_tls();
    server.start_again();
    let verified = |mode: &str, ca: &Path| with(&format!("sslmode={mode}&ssl-ca={}", ca.display()));
    rows::load(&kamailio, "").expect("TLS, since it is offered");
    rows::load(&verified("verify-full", &files.authority), "").expect("its certificate");
    rows::refuse(
        &server,
        &[
            (with("sslmode=disable"), "access denied (no pg_hba.conf entry"),
            (verified("verify-ca", &files.stranger), "no TLS with it (invalid peer certificate"),
        ],
    );
}

#[test]
fn a_relay_and_its_postgres() {
    let mut server = Postgres::start();
    tools::a_table_by_kamctl(&server, "PGSQL", server.address());
    away::a_reload_fails(&mut server, &WORDS);
    away::a_start_without(&mut server, &WORDS);
}
