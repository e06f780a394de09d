//! Pieces of a kamailio.cfg as rows: what is written, and what becomes of it.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Flags};

fn no_file(_: &Path, _: &str) -> Result<(PathBuf, String), String> {
    Err("there is no such file".into())
}

/// Imports, and asserts what holds for every text.
fn read(text: &str, fetch: &mut Fetch<'_>) -> Result<Import, NotKamailio> {
    let imported = import(Path::new("k.cfg"), text, &[], fetch)?;
    for toml in [&imported.toml, &imported.toml_shown] {
        let result = Config::from_text(Path::new("strowger.toml"), toml, &Flags::default());
        assert!(result.is_ok(), "{text}\n{toml}\n{result:?}");
    }
    for Item { line, what, then } in imported.carried.iter().chain(&imported.left) {
        assert!(!format!("{line}{what}{then}").contains(char::is_control), "{line} {what} {then}");
    }
    Ok(imported)
}

/// The lines of the toml that are neither comments nor empty, but for the listener of every row.
fn keys(imported: &Import) -> Vec<&str> {
    let lines = imported.toml.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What is written; lines that the toml must have; what must be told, as `LINE what: why`, in part.
struct Row(&'static str, &'static [&'static str], &'static [&'static str]);

const ROWS: &[Row] = &[
    // Sources.
    Row(
        "loadmodule \"dispatcher.so\"",
        &["source = \"list:/etc/kamailio/dispatcher.list\"", "load_mode = \"skip\""],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"db_url\", \"postgres://u:p@h/d\")\nmodparam(\"dispatcher\", \"list_file\", \"/d.list\")",
        &["source = \"postgres://u:p@h/d\""],
        &["k.cfg:2 modparam(\"dispatcher\", \"list_file\", \"/d.list\"): db_url wins"],
    ),
    Row(
        "#!define DBURL “sqlite:///var/db/kamailio.db”\nmodparam(“dispatcher”, “db_url”, DBURL)",
        &["source = \"sqlite:///var/db/kamailio.db\""],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"db_url\", \"text:///etc/kamailio/db\")",
        &[],
        &[
            "k.cfg:1 modparam(\"dispatcher\", \"db_url\", \"text:…\"): not a database that can be read",
            " no source of",
        ],
    ),
    Row(
        "modparam(\"dispatcher\", \"db_url\", \"mysql://root:pw/\")",
        &[],
        &[
            "k.cfg:1 modparam(\"dispatcher\", \"db_url\", \"mysql:…\"): [destinations] source does not name a",
            " no source of",
        ],
    ),
    Row(
        "modparam(\"dispatcher\", \"db_url\", $env(DB))",
        &[],
        &[
            "k.cfg:1 modparam(\"dispatcher\", \"db_url\", …): the URL is known only at run time",
            " no source of",
        ],
    ),
    // The table.
    Row(
        "modparam(\"acc|dispatcher\", \"setid_col\", \"grp\")\nmodparam(\"dispatcher\", \"ds_db_extra_attrs\", \"a=b;c=d\")\nversion_table=\"v\"",
        &["setid_col = \"grp\"", "db_extra_attrs = \"a=b;c=d\"", "version_table = \"v\""],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"table_name\", \"my table\")",
        &[],
        &[
            "k.cfg:1 modparam(\"dispatcher\", \"table_name\", \"my table\"): [destinations] table: \"my table\" is not a name",
        ],
    ),
    Row("modparam(\"dispatcher\", \"ds_load_mode\", 1)", &["load_mode = \"all\""], &[]),
    Row("modparam(\"acc\", \"table_name\", \"acc\")", &["listen = ["], &[]),
    Row(
        "modparam(\"dispatcher\", \"ds_ping_intervall\", 3)\nmodparam(\"dispatcher\", \"ds_ping_interval\", 0)",
        &[],
        &[
            "k.cfg:1 modparam(\"dispatcher\", \"ds_ping_intervall\", 3): not a parameter of the dispatcher",
        ],
    ),
    // Probing.
    Row(
        "loadmodule \"dispatcher\"\nmodparam(\"dispatcher\", \"ds_probing_mode\", 1)",
        &["[dispatch.probing]", "mode = \"off\""],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"ds_ping_interval\", 15)",
        &["interval_ms = 15000", "mode = 0"],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"ds_ping_interval\", 5)\n\
         modparam(\"dispatcher\", \"ds_probing_mode\", 1)\n\
         modparam(\"dispatcher\", \"ds_ping_method\", \"INFO\")\n\
         modparam(\"dispatcher\", \"ds_ping_from\", \"sip:proxy@example.com\")\n\
         modparam(\"dispatcher\", \"ds_probing_threshold\", 3)\n\
         modparam(\"dispatcher\", \"ds_inactive_threshold\", 2)\n\
         modparam(\"dispatcher\", \"ds_ping_reply_codes\", \"class=2;code=403;class=5;\")\n\
         modparam(\"dispatcher\", \"ds_ping_fr_timer\", 1500)\n\
         modparam(\"dispatcher\", \"ds_ping_latency_stats\", 1)\n\
         modparam(\"dispatcher\", \"ds_retain_latency_stats\", 1)\n\
         modparam(\"dispatcher\", \"ds_latency_estimator_alpha\", 900)\n\
         modparam(\"dispatcher\", \"outbound_proxy\", \"sip:192.0.2.9:5070\")\n\
         modparam(\"dispatcher\", \"ds_ping_socket\", \"udp:192.0.2.1:5060\")",
        &[
            "interval_ms = 5000",
            "mode = 1",
            "method = \"INFO\"",
            "from = \"sip:proxy@example.com\"",
            "failures = 3",
            "successes = 2",
            "accept = [\"2xx\", 403, \"5xx\"]",
            "timeout_ms = 1500",
            "latency_alpha = 100",
            "outbound_proxy = \"sip:192.0.2.9:5070\"",
            "socket = \"udp:192.0.2.1:5060\"",
        ],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"ds_ping_reply_codes\", \"501,403\")\n\
         modparam(\"dispatcher\", \"outbound_proxy\", \"sip:proxy.example.com\")\n\
         modparam(\"dispatcher\", \"ds_probing_mode\", 7)\n\
         modparam(\"dispatcher\", \"ds_ping_interval\", 9000)\n\
         modparam(\"dispatcher\", \"ds_timer_mode\", 1)",
        &["load_mode = \"skip\""],
        &[
            "k.cfg:1 modparam(\"dispatcher\", \"ds_ping_reply_codes\", \"501,403\"): its value cannot be read",
            "k.cfg:2 modparam(\"dispatcher\", \"outbound_proxy\", \"sip:proxy.example.com\"): [dispatch] probing outbound_proxy: \"sip:proxy.example.com\" does not name an address",
            "k.cfg:3 modparam(\"dispatcher\", \"ds_probing_mode\", 7): [dispatch] probing mode: \"7\" is not a mode",
            "k.cfg:4 modparam(\"dispatcher\", \"ds_ping_interval\", 9000): [dispatch] probing interval_ms: 9000000 is out of range",
            "k.cfg:5 modparam(\"dispatcher\", \"ds_timer_mode\", 1): probes have a thread",
        ],
    ),
    // Choices.
    Row(
        "route { if (!ds_select_dst(2, 4)) { send_reply(404, \"No destination\"); } }",
        &[
            "set = 2",
            "algorithm = 4",
            "no_destination = { code = 404, reason = \"No destination\" }",
            "record_route = false",
        ],
        &[],
    ),
    Row(
        "route { if (ds_select_domain(\"1\", \"4\")) { t_relay(); } else send_reply(\"503\", \"Full\"); record_route(); }",
        &[
            "rewrite = \"domain\"",
            "no_destination = { code = 503, reason = \"Full\" }",
            "record_route = true",
        ],
        &[],
    ),
    Row(
        "route { if (ds_select_dst(\"1\", \"4\") < 0) { xlog(\"none\"); sl_send_reply(\"480\", \"None\"); } }",
        &["no_destination = { code = 480, reason = \"None\" }"],
        &[],
    ),
    Row(
        "route { if (ds_select_dst(\"1\", \"4\")) { t_relay(); exit; } xlog(\"none\"); send_reply(\"404\", \"None\"); }",
        &["no_destination = { code = 404, reason = \"None\" }"],
        &[],
    ),
    Row(
        "loadmodule \"dispatcher\"\nroute { forward(); }",
        &[],
        &[" no route chooses a destination"],
    ),
    Row(
        "route { ds_select_dst(\"1\", \"4\");\nif ($rc < 0) { send_reply(\"500\", \"None\"); } }",
        &["no_destination = { code = 500, reason = \"None\" }"],
        &[],
    ),
    Row(
        "route { if (!ds_select_dst(\"1\", \"4\")) { send_reply(\"302\", \"Away\"); } send_reply(\"404\", \"No\"); }",
        &["set = 1"],
        &[
            "k.cfg:1 send_reply(\"302\", \"Away\"): [dispatch] no_destination code: 302 is out of range",
        ],
    ),
    Row(
        "route { ds_select_dst(\"1\", \"9\"); }",
        &["set = 1", "algorithm = 9"],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"ds_hash_size\", 8)\nroute { ds_select_dst(\"1\", \"10\"); ds_load_update(); }",
        &["set = 1", "algorithm = 10"],
        &[
            "\"ds_hash_size\", 8): calls are counted without it",
            "ds_load_update(): the relay itself sees where a call begins and ends",
        ],
    ),
    Row(
        "route { ds_select_dst(\"1\", \"64\"); }\nonreply_route { ds_oc_set_attrs(\"1\", \"sip:a\", \"50\", \"500\", \"1\"); }",
        &["set = 1", "algorithm = 64"],
        &[
            "k.cfg:2 ds_oc_set_attrs(): the relay reads reports of overload itself",
            "k.cfg:2 onreply_route: responses and branches have no routes",
        ],
    ),
    Row(
        "modparam(\"dispatcher\", \"flags\", 1)\nmodparam(\"dispatcher\", \"use_default\", 1)\nroute { ds_select_dst(\"1\", \"1\"); }",
        &["algorithm = 1", "compat = \"kamailio\"", "hash_user_only = true", "use_default = true"],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"hash_pvar\", \"$fU$hdr(X-A)\")\nroute { ds_select_dst(\"1\", \"7\"); }",
        &["algorithm = 7", "compat = \"kamailio\"", "hash_over = \"from.user+header(X-A)\""],
        &[],
    ),
    Row(
        "modparam(\"dispatcher\", \"hash_pvar\", \"$avp(x)\")\nroute { ds_select_dst(\"1\", \"7\"); }",
        &["set = 1"],
        &[
            "\"hash_pvar\", \"$avp(x)\"): nothing hashes \"$avp(x)\" here",
            "ds_select_dst(\"1\", \"7\"): [dispatch] algorithm: key-hash has nothing to hash",
        ],
    ),
    Row(
        "route { ds_select_dst(\"1\", \"12\"); }",
        &["set = 1"],
        &[
            "k.cfg:1 ds_select_dst(\"1\", \"12\"): [dispatch] algorithm: algorithm 12 (parallel) is not available",
        ],
    ),
    Row(
        "route { ds_select_dst($var(set), \"4\"); ds_select_dst(\"3\", \"4\", \"2\"); ds_select_dst(\"5\", \"4\"); }",
        &["set = 3"],
        &[
            "ds_select_dst($var(set), \"4\"): the set is known only at run time",
            "ds_select_dst(\"5\", \"4\"): all calls go to one set",
        ],
    ),
    Row(
        "route { ds_select_routes(\"1=4;2=8\", \"d\"); }",
        &["set = 1", "algorithm = 4"],
        &["ds_select_routes(\"1=4;2=8\", \"d\"): there is one set"],
    ),
    Row(
        "route { ds_select(\"1\", \"4\"); }\nfailure_route[A] { ds_select_dst(\"2\", \"4\"); ds_next_dst(); }",
        &["set = 1"],
        &[
            "k.cfg:2 ds_select_dst(\"2\", \"4\"): a further try",
        ],
    ),
    // Lines.
    Row(
        "route { ds_select_dst(1, 4); xlog(\"L_INFO\", \"DISPATCH: <$ru> <$du>\\n\"); xlog(\"dispatch of $ci via $(du)\"); xlog(\"other $du\\n\"); }",
        &["dispatch = \"DISPATCH: <$ru> <$du>\""],
        &[
            "xlog(\"dispatch of $ci via $(du)\"): there is one line",
            "xlog(\"other $du\\n\"): there is one line",
        ],
    ),
    Row(
        "route { ds_select_dst(1, 4); xlog(\"to $du by $hdr(X)\"); }",
        &[],
        &["xlog(\"to $du by $hdr(X)\"): [log] dispatch: \"$hdr\" is not a pseudo-variable"],
    ),
    // The line is one that a request passes after the choice.
    Row(
        "event_route[dispatcher:dst-down] { xlog(\"$du is down\"); }
onsend_route { xlog(\"sent to $du\"); }
route[WITHINDLG] { xlog(\"in dialog to $du\"); }
route { xlog(\"before: $du\"); if (has_totag()) { route(WITHINDLG); exit; } route(DISPATCH); }
route[DISPATCH] { if (!ds_select_dst(\"1\", \"4\")) { xlog(\"none at $du\"); exit; } }",
        &["set = 1"],
        &["k.cfg:1 event_route: there are no", "k.cfg:2 onsend_route: responses and"],
    ),
    Row(
        "route[RELAY] { xlog(\"relay to $du\"); exit; }
route[DISPATCH] { if (ds_select_dst(\"1\", \"4\")) { route(RELAY); exit; } else { xlog(\"no $du\"); } xlog(\"x $du\"); }
route { xlog(\"main $du\"); route(DISPATCH); }",
        &["dispatch = \"relay to $du\""],
        &[],
    ),
    Row(
        "route[SELECT] { if (is_method(\"INVITE\")) { ds_select_dst(\"1\", \"4\"); return; } else { xlog(\"else $du\"); } xlog(\"after $du\"); }
route { if (a) exit; else if (b) { exit; } else route(SELECT); xlog(\"main $du\"); exit; xlog(\"gone $du\"); }",
        &["dispatch = \"main $du\""],
        &[],
    ),
    Row(
        "route { ds_select_dst(\"1\", \"4\");\nif ($rc < 0) { xlog(\"none $du\"); exit; }\nif (c) { xlog(\"one $du\"); exit; }\nxlog(\"two $du\"); }",
        &["dispatch = \"one $du\""],
        &["k.cfg:4 xlog(\"two $du\"): there is one line"],
    ),
    // Quotes inside a pseudo-variable are none.
    Row(
        "route { $var(x) = $(rb{re.subst,/a=\"(.*)#/\\1/});\nds_select_dst(\"7\", \"4\"); }\nmodparam(\"tm\", \"auth\", \"x\")",
        &["set = 7"],
        &[],
    ),
    // Transactions.
    Row(
        "modparam(\"tm\", \"fr_timer\", 2000)\nmodparam(\"tm|usrloc\", \"fr_inv_timer\", 30000)\nroute { ds_select_dst(1, 4); t_set_fr(0, 2000);\nif (!t_relay()) sl_reply_error(); t_relay(); }",
        &[
            "set = 1",
            "forwarding = \"stateful\"",
            "tries = 1",
            "first_response_ms = 2000",
            "ringing_ms = 30000",
        ],
        &["k.cfg:3 t_set_fr(): the timers are those"],
    ),
    Row(
        "route { ds_select_dst(1, 4); t_on_failure(\"N\"); t_relay(); }\nfailure_route[N] { if (t_check_status(\"503\") || t_check_status(\"500\")) { ds_next_dst(); t_relay(); } }",
        &["forwarding = \"stateful\"", "codes = [500, 503]"],
        &[],
    ),
    Row(
        "route { ds_select_dst(1, 4, 2); t_relay(); }\nfailure_route[N] { ds_next_dst(); t_relay(); }",
        &["forwarding = \"stateful\"", "tries = 2"],
        &[],
    ),
    Row(
        "route { ds_select_dst(1, 4); t_relay(); }\nfailure_route[N] { if (t_check_status(\"5..\")) { ds_mark_dst(\"ip\"); ds_next_domain(); t_relay(); } }",
        &["forwarding = \"stateful\""],
        &[
            "k.cfg:2 ds_mark_dst(): live traffic and probes",
            "k.cfg:2 t_check_status(): not one code",
        ],
    ),
    // The core.
    Row(
        "loadmodule \"tm\"\nport=5070\nlisten=192.0.2.1\nlisten=udp:[2001:db8::1]:5080\nlisten=udp:eth0:5060\nlisten=tls:192.0.2.1\nlisten=192.0.2.1:5070",
        &["\"udp:192.0.2.1:5070\",", "\"udp:[2001:db8::1]:5080\","],
        &[
            "k.cfg:5 listen=udp:eth0:5060: \"eth0\" is not an address",
            "k.cfg:6 listen=tls:192.0.2.1: tls is not available",
            "k.cfg:7 listen=192.0.2.1:5070: it is listed twice",
        ],
    ),
    Row(
        "loadmodule \"tm\"\nlisten=\"udp:192.0.2.1:5060\" advertise sip.example.com:5080 name \"a\"\nsocket = { bind = udp:192.0.2.2:5060; name = \"b\"; }",
        &[
            "{ address = \"udp:192.0.2.1:5060\", advertise = \"sip.example.com:5080\", name = \"a\" },",
            "{ address = \"udp:192.0.2.2:5060\", name = \"b\" },",
        ],
        &[],
    ),
    Row(
        "loadmodule \"tm\"\nlisten=udp:0.0.0.0:5060 advertise 192.0.2.1\nlisten=udp:192.0.2.1:5060",
        &["\"udp:0.0.0.0:5060\","],
        &[
            "k.cfg:2 listen=udp:0.0.0.0:5060: advertise, name: 0.0.0.0 stands for several",
            "k.cfg:3 listen=udp:192.0.2.1:5060: [relay] listen: udp:192.0.2.1:5060 and",
        ],
    ),
    Row(
        "loadmodule \"tm\"\nalias=a.example.com:5080 \"b.example.com\"\nalias=udp:a.example.com:5080",
        &["alias = [", "\"a.example.com:5080\",", "\"b.example.com\","],
        &[],
    ),
    Row("loadmodule \"tm\"\nchildren=16", &["workers = \"per-core\""], &[]),
    // Control sockets.
    Row(
        "loadmodule \"jsonrpcs\"\nmodparam(\"jsonrpcs\", \"transport\", 4)\nmodparam(\"jsonrpcs\", \"dgram_socket\", \"udp:127.0.0.1:8090\")",
        &[],
        &[
            "k.cfg:3 modparam(\"jsonrpcs\", \"dgram_socket\", \"udp:127.0.0.1:8090\"): a control socket is a path",
        ],
    ),
    Row(
        "loadmodule \"ctl\"\nmodparam(\"ctl\", \"binrpc\", \"unixs:/tmp/k\")",
        &["binrpc = \"/tmp/k\""],
        &[],
    ),
    // Conditions and names.
    Row(
        "loadmodule \"dispatcher\"\n#!ifdef X\n/* \" ' { #!endif\n#!ifdef Y\n#!else\n#!endif\n#!else\nmodparam(\"dispatcher\", \"list_file\", \"/a\")\n#!endif",
        &["source = \"list:/a\""],
        &[],
    ),
    Row(
        "#!substdef \"!HOST!192.0.2.7!g\"\n#!define A B C\n#!define B A\nlisten=udp:HOST:5060\nloadmodule \"tm\"\nport=A\n#!define",
        &["\"udp:192.0.2.7:5060\","],
        &[],
    ),
    Row(
        "loadmodule \"tm\"\n#!ifexp 1 + 1 == 2\nloadmodule \"x\"\n#!endif\n#!subst \"/a.*/b/\"\nimport_file \"n.cfg\"\ninclude_file \"m.cfg\"",
        &[],
        &[
            "k.cfg:2 #!ifexp 1: expressions",
            "k.cfg:5 #!subst …: only plain words",
            "k.cfg:6 import_file \"n.cfg\": there is no such file; Kamailio goes on",
            "k.cfg:7 include_file \"m.cfg\": there is no such file",
        ],
    ),
    Row(
        "loadmodule \"registrar.so\"\nloadmodule \"strange.so\"\nmodparam(\"x\", \"y\", \"z)",
        &[],
        &[
            "k.cfg:1 loadmodule \"registrar\": there is no registrar",
            "k.cfg:2 loadmodule \"strange\": its functions are not here",
            "k.cfg:3 this quote has no end",
        ],
    ),
];

#[test]
fn rows() {
    for Row(text, toml, told) in ROWS {
        let imported = read(text, &mut no_file).unwrap();
        let keys = keys(&imported);
        for line in *toml {
            assert!(keys.contains(line), "{text}\nlacks {line}\n{}", imported.toml);
        }
        let left: Vec<_> = imported
            .left
            .iter()
            .map(|Item { line, what, then }| format!("{line} {what}: {then}"))
            .collect();
        for part in *told {
            assert!(left.iter().any(|line| line.contains(part)), "{text}\nlacks {part}\n{left:#?}");
        }
        let wanted = left.iter().filter(|line| !line.starts_with(" the dispatcher is not")).count();
        assert_eq!(wanted, told.len(), "{text}\n{left:#?}");
    }
}

#[test]
fn a_password_is_in_the_toml_alone() {
    for url in [
        "mysql://u:pw@h/d",
        "mysql://u:p@pw@h/d?password=pw",
        "mysql:/u:pw@h/d",
        "mysql://pw",
        "pw",
    ] {
        for quotes in ["\"\"", "“”", "\"\n"] {
            let mut quotes = quotes.chars();
            let (begin, end) = (quotes.next().unwrap(), quotes.next().unwrap());
            let text = format!("modparam(\"dispatcher\", \"db_url\", {begin}{url}{end})");
            let imported = read(&text, &mut no_file).unwrap();
            let told = format!("{}{:?}{:?}", imported.toml_shown, imported.carried, imported.left);
            assert!(!told.contains("pw"), "{text}\n{told}");
        }
    }
    let imported = read("modparam(\"dispatcher\", \"db_url\", \"mysql://u:pw@h/d\")", &mut no_file);
    assert!(imported.unwrap().has_password());
}

#[test]
fn what_is_included_is_in_its_place() {
    let mut fetch = |from: &Path, name: &str| {
        assert_eq!((from, name), (Path::new("/etc/k.cfg"), "a/b.cfg"));
        Ok(("/etc/a/b.cfg".into(), "#!define SET 9\nlisten=udp:192.0.2.1:5060".to_owned()))
    };
    let text = "include_file \"a/b.cfg\"\nroute { ds_select_dst(SET, 4); }";
    let imported = import(Path::new("/etc/k.cfg"), text, &[], &mut fetch).unwrap();
    assert!(keys(&imported).contains(&"set = 9"), "{}", imported.toml);
    let lines: Vec<_> = imported.carried.iter().map(|item| item.line.as_str()).collect();
    assert!(lines.contains(&"b.cfg:2") && lines.contains(&"k.cfg:2"), "{lines:?}");
}

#[test]
fn a_file_that_includes_itself_comes_to_an_end() {
    let text = "loadmodule \"tm\"\n#!define A A A B\n#!define B A A B\nx=A\ninclude_file \"k.cfg\"\ninclude_file \"k.cfg\"";
    let mut fetch = |from: &Path, _: &str| Ok((from.to_owned(), text.to_owned()));
    let imported = read(text, &mut fetch).unwrap();
    assert!(imported.left.iter().any(|item| item.then.contains("includes itself")));
}

#[test]
fn names_of_the_command_line() {
    let text =
        "#!ifdef WITH_DB\nmodparam(\"dispatcher\", \"db_url\", DBURL)\n#!endif\nloadmodule \"tm\"";
    let defined =
        [("WITH_DB".to_owned(), String::new()), ("DBURL".into(), "\"mysql://h/d\"".into())];
    let imported = import(Path::new("k.cfg"), text, &defined, &mut no_file).unwrap();
    assert!(keys(&imported).contains(&"source = \"mysql://h/d\""), "{}", imported.toml);
}

#[test]
fn what_is_of_opensips() {
    let text =
        "loadmodule \"proto_udp.so\"\nmodparam(\"dispatcher\", \"db_url\", \"mysql://u:p@h/d\")";
    let error = read(text, &mut no_file).unwrap_err();
    assert!(error.to_string().starts_with("k.cfg: a configuration of OpenSIPS"), "{error}");
}

#[test]
fn what_is_no_kamailio_cfg() {
    for text in [
        "",
        "[relay]\nlisten = [\"udp:192.0.2.1\"]\n",
        "INVITE sip:a@b SIP/2.0\r\n\r\n",
        "1 sip:192.0.2.1",
    ] {
        let error = read(text, &mut no_file).unwrap_err();
        assert!(error.to_string().starts_with("k.cfg: not a kamailio.cfg"), "{error}");
    }
}

fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "loadmodule",
        "modparam",
        "route",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        "=",
        "!",
        "\"",
        "“",
        "”",
        "'",
        "’",
        "\\",
        "$",
        "ru",
        "du",
        "if",
        "else",
        "ds_select_dst",
        "ds_select_routes",
        "send_reply",
        "xlog",
        "\"dispatcher\"",
        "\"db_url\"",
        "\"mysql://u:p@h/d\"",
        "\"flags\"",
        "\"1=4\"",
        "1",
        "4",
        "-1",
        "99999999999999999999",
        "listen",
        "udp:1.2.3.4:5",
        "alias",
        "socket",
        "advertise",
        "name",
        "\n#!define A B\n",
        "\n#!define B \"A\" (\n",
        "A",
        "B",
        "\n#!ifdef A\n",
        "\n#!else\n",
        "\n#!endif\n",
        "\n#!substdef \"!A!B A!\"\n",
        "include_file",
        "\"x\"",
        "#",
        "/*",
        "*/",
        "\n",
        "\u{a0}",
        "\u{7f}",
        "–",
        "failure_route",
        "route(A)",
        "route[A] {",
        "exit",
        "return",
        "t_relay",
        "\"$du\"",
        "record_route",
        "force_rport",
        "\"jsonrpcs\"",
        "\"fifo_name\"",
        "\"ctl\"",
        "\"binrpc\"",
        "\"\\u0007\"",
        "children",
        "remove_hf",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..60)
        .prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn any_text_makes_a_toml_that_is_taken(text in prop_oneof![".{0,200}", piece()], again: bool) {
        let mut fetch = |from: &Path, _: &str| {
            if again { Ok((from.to_owned(), text.clone())) } else { Err("none".to_owned()) }
        };
        let whole = format!("loadmodule \"dispatcher\"\n{text}");
        // What the text leaves open may swallow the rest, never the beginning.
        prop_assert!(read(&whole, &mut fetch).is_ok());
        let _ = read(&text, &mut fetch);
    }
}
