//! `MariaDB`.

use std::path::Path;

use strowger::source::Failure;

use super::away::{self, Words};
use super::{rows, tools};
use crate::harness::certificates::Certificates;
use crate::harness::database::Server as _;
use crate::harness::mariadb::Mariadb;
use crate::harness::wait;

const WORDS: Words = Words {
    lock_out: "ALTER USER kamailio@'%' IDENTIFIED BY 'another'",
    let_in: "ALTER USER kamailio@'%' IDENTIFIED BY 'GIVEN'",
    hold: "LOCK TABLES dispatcher WRITE; SELECT SLEEP(30)",
    waiting: "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'kamailio'
              AND state LIKE 'Waiting for table metadata lock'",
    holding: "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'",
};

#[test]
fn tables_of_mariadb() {
    let mut server = Mariadb::start();
    rows::play(&server, |length| format!("REPEAT('x', {length})"));
    rows::write_back(&server);
    let (kamailio, address) = (server.kamailio("many"), server.address());
    let with = |parameters: &str| format!("{kamailio}?{parameters}");
    server.play("", "CREATE USER nobody@'%' IDENTIFIED BY 'pw'");
    rows::refuse(
        &server,
        &[
            (
                server.source("kamailio", "pw:wrong", "many"),
                "access denied (Access denied for user",
            ),
            (server.source("stranger", "pw:x", "many"), "access denied"),
            (
                server.source("nobody", "pw", "many"),
                "access denied (Access denied for user 'nobody'@'%' to",
            ),
            (server.kamailio("elsewhere"), "access denied"),
            (
                format!("mysql://root@{address}/elsewhere"),
                "no such database (Unknown database 'elsewhere')",
            ),
            (format!("mysql://{address}/many"), "names no user: write USER:PASSWORD@HOST/DATABASE"),
            (with("password=pw:x"), "password in the URL is not a parameter: leave it out"),
            (with("ssl-mode=pw:x"), "ssl-mode in the URL is not known: write disabled"),
            (with("ssl-ca=/none"), "ssl-ca in the URL: /none cannot be read"),
            (with("ssl-mode=required"), "no TLS with it (server does not support TLS)"),
            (with("socket=/none/socket"), "away: cannot be reached (No such file"),
            (
                format!("mysql://u:pw:@{}:1/d", address.ip()),
                "away: cannot be reached (Connection refused",
            ),
            (
                "mysql://u:pw:@no-such-host.invalid/d".into(),
                "away: cannot be reached (failed to lookup",
            ),
        ],
    );
    // By its unix socket, as MySQL's own clients take "localhost".
    let socket = with(&format!("socket={}", server.socket().display()));
    assert!(rows::load(&socket, "version_table = \"versions\"\ntable = \"d4\"").is_err());
    assert!(rows::load(&socket, "").is_ok());
    takes_no_more(&server);
    tls(&mut server);
}

fn takes_no_more(server: &Mariadb) {
    server.play("", "SET GLOBAL max_connections = 10");
    let idle: Vec<_> = (0..11).map(|_| server.leave_playing("many", "SELECT SLEEP(30)")).collect();
    wait::until("a server without a free connection", || {
        let failure = rows::load(&server.kamailio("many"), "").err()?;
        let Failure::Away(problem) = &failure else { panic!("{failure:?}") };
        problem.what.contains("not ready (Too many connections)").then_some(())
    });
    drop(idle);
    wait::until("a free connection", || rows::load(&server.kamailio("many"), "").ok());
    server.play("", "SET GLOBAL max_connections = 100");
}

/// What is offered is taken, and what is asked for is checked.
fn tls(server: &mut Mariadb) {
    let files = Certificates::make(server.path(), server.address().ip());
    let options = [("ssl-cert", &files.certificate), ("ssl-key", &files.key)];
    let options = options.map(|(name, file)| format!("--{name}={}", file.display()));
    server.with(&options.each_ref().map(String::as_str));
    server.stop();
    server.start_again();
    // The server itself says who may come without: nobody.
    server.play("", "ALTER USER kamailio@'%' REQUIRE SSL");
    let kamailio = server.kamailio("many");
    let with = |parameters: String| format!("{kamailio}?{parameters}");
    let verified = |mode: &str, ca: &Path| with(format!("ssl-mode={mode}&ssl-ca={}", ca.display()));
    rows::load(&kamailio, "").expect("TLS, since it is offered");
    rows::load(&verified("verify_identity", &files.authority), "").expect("its certificate");
    rows::refuse(
        server,
        &[
            (with("ssl-mode=disabled".into()), "access denied"),
            (verified("verify_ca", &files.stranger), "no TLS with it (invalid peer certificate"),
        ],
    );
}

#[test]
fn a_relay_and_its_mariadb() {
    let mut server = Mariadb::start();
    tools::a_table_by_kamctl(&server, "MYSQL", server.address());
    away::a_reload_fails(&mut server, &WORDS);
    away::a_start_without(&mut server, &WORDS);
}
