//! Tables and the records read from them, the same for every kind of database.

use std::path::Path;

use strowger::config::{Config, Flags, Problem};
use strowger::destination::{Origin, Record};
use strowger::source::{self, Failure, write_back};

use crate::harness::database::{PASSWORD, Server};

/// One table.
struct Row {
    says: &'static str,
    /// Played in a database with Kamailio's own tables, which it empties first.
    given: &'static str,
    /// Further keys of `[destinations]`.
    config: &'static str,
    /// `SET URI FLAGS PRIORITY ATTRIBUTES` of each record, or parts of what is said, one line each.
    wants: Result<&'static [&'static str], &'static [&'static str]>,
    /// Parts of what is warned of.
    warns: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        says: "a table without rows",
        given: "",
        config: "",
        wants: Ok(&[]),
        warns: &["no destination in set 1"],
    },
    Row {
        says: "rows by their id, whatever order they were written in",
        given: "INSERT INTO dispatcher (id, setid, destination) VALUES
                (30, 1, 'sip:192.0.2.3:5060'), (4, 1, 'sip:192.0.2.1:5060'), (100, 1, 'sip:192.0.2.2');",
        config: "",
        wants: Ok(&[
            "1 sip:192.0.2.1:5060 0 0 ",
            "1 sip:192.0.2.3:5060 0 0 ",
            "1 sip:192.0.2.2 0 0 ",
        ]),
        warns: &[],
    },
    Row {
        says: "sets ascending, the highest priority first, then by id; sip: may be missing",
        given: "INSERT INTO dispatcher (id, setid, destination, flags, priority, attrs) VALUES
                (1, 2, 'sip:192.0.2.1', 0, 0, ''), (2, 1, '192.0.2.2:5070', 8, -5, 'weight=50'),
                (3, 1, 'sip:a.example', 16, 0, 'duid=a;own=x y'), (4, 1, 'sip:192.0.2.4', 0, 7, '');",
        config: "",
        wants: Ok(&[
            "1 sip:192.0.2.4 0 7 ",
            "1 sip:a.example 16 0 duid=a;own=x y",
            "1 sip:192.0.2.2:5070 8 -5 weight=50",
            "2 sip:192.0.2.1 0 0 ",
        ]),
        warns: &["unknown attributes, kept as they are: own"],
    },
    Row {
        says: "one server twice, told apart by duid or socket",
        given: "INSERT INTO dispatcher (setid, destination, attrs) VALUES
                (1, 'sip:192.0.2.1', 'duid=a'), (1, 'sip:192.0.2.1', 'duid=b'),
                (1, 'sip:192.0.2.1', 'duid=a;socket=udp:192.0.2.200:5060');",
        config: "",
        wants: Ok(&[
            "1 sip:192.0.2.1 0 0 duid=a",
            "1 sip:192.0.2.1 0 0 duid=b",
            "1 sip:192.0.2.1 0 0 duid=a;socket=udp:192.0.2.200:5060",
        ]),
        warns: &[],
    },
    Row {
        says: "version 1, another name",
        given: "CREATE TABLE d1 (id INTEGER PRIMARY KEY, setid INTEGER, destination VARCHAR(192));
                INSERT INTO d1 VALUES (1, 1, 'sip:192.0.2.1');
                INSERT INTO version (table_name, table_version) VALUES ('d1', 1);",
        config: "table = \"d1\"",
        wants: Ok(&["1 sip:192.0.2.1 0 0 "]),
        warns: &[],
    },
    Row {
        says: "version 2",
        given: "CREATE TABLE d2 (id INTEGER PRIMARY KEY, setid INTEGER, destination VARCHAR(192),
                  flags INTEGER);
                INSERT INTO d2 VALUES (1, 1, 'sip:192.0.2.1', 32);
                INSERT INTO version (table_name, table_version) VALUES ('d2', 2);",
        config: "table = \"d2\"",
        wants: Ok(&["1 sip:192.0.2.1 32 0 "]),
        warns: &[],
    },
    Row {
        says: "version 3, with columns of other types",
        given: "CREATE TABLE d3 (id BIGINT PRIMARY KEY, setid SMALLINT, destination TEXT,
                  flags VARCHAR(10), priority BIGINT);
                INSERT INTO d3 VALUES (4000000000, 1, 'sip:192.0.2.1', '0x20', -7);
                INSERT INTO version (table_name, table_version) VALUES ('d3', 3);",
        config: "table = \"d3\"",
        wants: Ok(&["1 sip:192.0.2.1 32 -7 "]),
        warns: &[],
    },
    Row {
        says: "other names of columns, further ones as attributes, NULL attributes",
        given: "CREATE TABLE versions (table_name VARCHAR(32), table_version INTEGER);
                CREATE TABLE d4 (id INTEGER PRIMARY KEY, a INTEGER, b VARCHAR(192), c INTEGER, d INTEGER,
                  e VARCHAR(128), share INTEGER, node_id VARCHAR(64));
                INSERT INTO d4 VALUES (1, 1, 'sip:192.0.2.1', 0, 0, 'own=1', 60, 'n1'),
                  (2, 1, 'sip:192.0.2.2', 0, 0, NULL, NULL, '');
                INSERT INTO versions (table_name, table_version) VALUES ('d4', 4);",
        config: "table = \"d4\"\nversion_table = \"versions\"\nsetid_col = \"a\"\ndestination_col = \"b\"
                 flags_col = \"c\"\npriority_col = \"d\"\nattrs_col = \"e\"
                 db_extra_attrs = \"weight=share;duid=node_id\"",
        wants: Ok(&["1 sip:192.0.2.1 0 0 own=1;weight=60;duid=n1", "1 sip:192.0.2.2 0 0 "]),
        warns: &["unknown attributes, kept as they are: own"],
    },
    Row {
        says: "everything that is wrong, at once, in the order of the rows",
        given: "CREATE TABLE d5 (id INTEGER PRIMARY KEY, setid INTEGER, destination TEXT, flags INTEGER,
                  priority INTEGER, attrs TEXT);
                INSERT INTO version (table_name, table_version) VALUES ('d5', 4);
                INSERT INTO d5 VALUES (20, 1, 'sip:192.0.2.1', 0, 0, ''),
                  (9, 1, 'sip:192.0.2.1:5060', 0, 0, ''),
                  (3, NULL, NULL, NULL, NULL, NULL), (4, -1, 'sips:a.example', 64, 0, 'weight=0'),
                  (5, 1, '', 0, 0, 'wieght=5'), (6, 1, 'sip:192.0.2.6', 0, 0, 'socket=udp:192.0.2.66:1');
                INSERT INTO d5 SELECT 7, 1, LONG600, 0, 0, '' FROM d5 WHERE id = 20;
                INSERT INTO d5 SELECT 8, 1, 'sip:192.0.2.8', 0, 0, LONG9000 FROM d5 WHERE id = 20;",
        config: "table = \"d5\"",
        wants: Err(&[
            "row 3: setid is NULL",
            "row 3: destination is NULL",
            "row 3: flags is NULL",
            "row 3: priority is NULL",
            "row 4: \"-1\" is not the number of a set",
            "row 4: \"sips:a.example\": the scheme \"sips\" is not supported",
            "row 4: flags 64: 64 means nothing",
            "row 4: attribute weight=0: not in range",
            "row 5: \"\"",
            "row 5: unknown attribute \"wieght\": did you mean \"weight\"?",
            "row 6: socket=udp:192.0.2.66:1 is not one of our listeners",
            "row 7: the URI is too long: keep it within 499 bytes",
            "row 8: the attributes are too long: keep them within 8192 bytes",
            "row 20: sip:192.0.2.1 is in set 1 already, in row 9",
        ]),
        warns: &[],
    },
    Row {
        says: "bad rows that cannot be used are left out, and all are named, when that is wanted",
        given: "INSERT INTO dispatcher (id, setid, destination, flags) VALUES
                (1, 1, 'sip:192.0.2.1', 0), (2, 1, 'sip:nowhere:0', 0), (3, 1, 'sip:192.0.2.1', 0),
                (4, 1, 'sip:192.0.2.4', 96), (5, 1, 'sip:192.0.2.200:5060', 0), (6, 1, 'sip:192.0.2.6', 0);",
        config: "load_mode = \"skip\"",
        wants: Ok(&["1 sip:192.0.2.1 0 0 ", "1 sip:192.0.2.4 32 0 ", "1 sip:192.0.2.6 0 0 "]),
        warns: &[
            "row 2: \"sip:nowhere:0\"",
            "row 3: sip:192.0.2.1 is in set 1 already, in row 1",
            "row 5: sip:192.0.2.200:5060 is this relay itself",
            "row 4: flags 96",
        ],
    },
    Row {
        says: "a version that nobody knows",
        given: "UPDATE version SET table_version = 5 WHERE table_name = 'dispatcher';",
        config: "",
        wants: Err(&["the table dispatcher is of version 5: use one of version 1 to 4"]),
        warns: &[],
    },
    Row {
        says: "a table without a version",
        given: "DELETE FROM version WHERE table_name = 'dispatcher';",
        config: "",
        wants: Err(&["the table version does not know the table dispatcher: INSERT INTO version \
                      (table_name, table_version) VALUES ('dispatcher', 4)"]),
        warns: &[],
    },
    Row {
        says: "a table that is not there",
        given: "INSERT INTO version (table_name, table_version) VALUES ('elsewhere', 4);",
        config: "table = \"elsewhere\"",
        wants: Err(&["no table elsewhere: make it with Kamailio's FOLDER/dispatcher-create.sql"]),
        warns: &[],
    },
    Row {
        says: "a table that is not there and has no version",
        given: "",
        config: "table = \"nowhere\"",
        wants: Err(&["no table nowhere: make it with Kamailio's FOLDER/dispatcher-create.sql"]),
        warns: &[],
    },
    Row {
        says: "no table of versions",
        given: "",
        config: "version_table = \"nowhere\"",
        wants: Err(&["no table nowhere: make it with Kamailio's FOLDER/standard-create.sql"]),
        warns: &[],
    },
    Row {
        says: "a column that is not there",
        given: "",
        config: "priority_col = \"prio\"",
        wants: Err(&["a column is missing"]),
        warns: &[],
    },
];

/// Plays all rows, each in a state of the tables as the one before left it.
pub(super) fn play(server: &dyn Server, long: fn(usize) -> String) {
    server.make("many");
    for Row { says, given, config, wants, warns } in ROWS {
        let fresh = "DELETE FROM dispatcher; DELETE FROM version WHERE table_name <> 'version';
                     INSERT INTO version (table_name, table_version) VALUES ('dispatcher', 4);";
        // A long text, in the words of this database.
        let given = given.replace("LONG600", &long(600)).replace("LONG9000", &long(9_000));
        server.play("many", &format!("{fresh}{given}"));
        let loaded = load(&server.kamailio("many"), config);
        match (loaded, wants) {
            (Ok(loaded), Ok(wants)) => {
                let told: Vec<_> = loaded.records.iter().map(line).collect();
                assert_eq!(told, *wants, "{says}");
                assert_eq!(loaded.warnings.len(), warns.len(), "{says}: {:?}", loaded.warnings);
                for (told, wants) in loaded.warnings.iter().zip(*warns) {
                    assert!(told.contains(wants), "{says}: {told}");
                }
            }
            (Err(Failure::Wrong(problems)), Err(wants)) => {
                assert_told(&problems, wants, says, server.folder());
            }
            (loaded, wants) => panic!("{says}: {loaded:?} and not {wants:?}"),
        }
    }
}

/// What is said of sources that are wrong, or `away: ` and what is said of them.
pub(super) fn refuse(server: &dyn Server, rows: &[(String, &str)]) {
    for (source, wants) in rows {
        let failure = load(source, "").expect_err(source);
        let is_away = matches!(failure, Failure::Away(_));
        let problems = failure.problems();
        assert_eq!(is_away, wants.starts_with("away: "), "{source}: {problems:?}");
        assert_told(&problems, &[wants.trim_start_matches("away: ")], source, server.folder());
    }
}

/// Writes records into a table and out of it, beside rows that somebody else wrote.
pub(super) fn write_back(server: &dyn Server) {
    server.make("written");
    server.play(
        "written",
        "INSERT INTO dispatcher (setid, destination, description) VALUES
         (1, '192.0.2.1', 'mine'), (1, 'sip:192.0.2.1', 'mine too'), (2, 'sip:192.0.2.1', 'another set');
         CREATE TABLE d2 (id INTEGER PRIMARY KEY, setid INTEGER, destination TEXT, flags INTEGER);
         INSERT INTO version (table_name, table_version) VALUES ('d2', 2);",
    );
    let config = |more| config(&server.kamailio("written"), more);
    let whole = config("");
    let record = |uri: &str, flags, priority, attributes: &str| {
        source::record(&whole, 1, uri, flags, priority, attributes).expect("a record")
    };
    let kept = || {
        let loaded = load(&server.kamailio("written"), "load_mode = \"skip\"").expect("a table");
        loaded.records.iter().map(line).collect::<Vec<_>>()
    };
    // Quotes and all: it is a value and never a part of a statement.
    let odd = "duid=x';DROP TABLE dispatcher;own=`\"\"";
    let added = record("192.0.2.9:5070", 8, -5, odd);
    let id = server.play("written", "SELECT MAX(id) + 1 FROM dispatcher").trim().parse();
    let id = id.expect("a number");
    assert_eq!(write_back::add(&whole, &added), Ok(Origin::Row(id)));
    let first = "1 sip:192.0.2.1 0 0 ";
    let (new, other) = (format!("1 sip:192.0.2.9:5070 8 -5 {odd}"), "2 sip:192.0.2.1 0 0 ");
    assert_eq!(kept(), [first, &new, other]);
    assert_eq!(write_back::remove(&whole, 1, "192.0.2.1"), Ok(2));
    assert_eq!(kept(), [&new, other]);
    assert_eq!(write_back::remove(&whole, 1, "sip:192.0.2.1"), Ok(0));
    assert_eq!(write_back::remove(&whole, 1, "sip:192.0.2.9:5070"), Ok(1));
    assert_eq!(kept(), [other]);

    // What the table has no room for is refused as a whole, not cut.
    let refused = |config: &Config, record: &Record, wants: &[&str]| {
        let problems = write_back::add(config, record).expect_err("a refusal");
        assert_told(&problems, wants, "written back", server.folder());
    };
    let old = config("table = \"d2\"");
    refused(
        &old,
        &record("sip:192.0.2.3", 0, 1, ""),
        &["the table d2 is of a version without a priority"],
    );
    let gone = config("table = \"gone\"");
    refused(&gone, &record("sip:192.0.2.3", 0, 0, ""), &["no table gone: make it with"]);
    if server.folder() != "db_sqlite" {
        let long = record("sip:192.0.2.3", 0, 0, &format!("own={}", "x".repeat(200)));
        refused(&whole, &long, &["refused ("]);
    }
    assert_eq!(kept(), [other]);
}

/// Reads a source as a relay does that listens on 192.0.2.200:5060.
pub(super) fn load(source: &str, more: &str) -> Result<source::Loaded, Failure> {
    source::load(&config(source, more))
}

/// The configuration of such a relay.
pub(super) fn config(source: &str, more: &str) -> Config {
    let text = format!(
        "[relay]\nlisten = [\"udp:192.0.2.200:5060\"]\n[destinations]\nsource = '{source}'\n{more}\n"
    );
    Config::from_text(Path::new("/t.toml"), &text, &Flags::default()).expect("a configuration")
}

/// As a list would have it, with everything.
pub(super) fn line(record: &Record) -> String {
    let Record { set, uri, flags, priority, attributes, .. } = record;
    format!("{set} {} {} {priority} {}", uri.text, flags.bits(), attributes.text)
}

fn assert_told(problems: &[Problem], wants: &[&str], says: &str, folder: &str) {
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), wants.len(), "{says}: {told:#?}");
    for (told, wants) in told.iter().zip(wants) {
        assert!(told.contains(&wants.replace("FOLDER", folder)), "{says}: {told} and not {wants}");
        assert!(!told.contains("pw:") && !told.contains(PASSWORD), "a password: {told}");
    }
}
