//! Modules that are loaded, and the parameters of the dispatcher.

use super::draft::{Draft, quoted};
use super::failover;
use super::hash_pvar::hash_over;
use super::probing;
use super::script::{Modparam, Script};

/// What the dispatcher takes and this version does not: why, or what there is instead.
const DISPATCHER_LEFT: &[(&str, &str)] = &[
    ("dst_avp", FAILOVER),
    ("grp_avp", FAILOVER),
    ("cnt_avp", FAILOVER),
    ("dstid_avp", FAILOVER),
    ("attrs_avp", FAILOVER),
    ("sock_avp", FAILOVER),
    ("xavp_dst", FAILOVER),
    ("xavp_dst_mode", FAILOVER),
    ("xavp_ctx", FAILOVER),
    ("xavp_ctx_mode", FAILOVER),
    ("setid_pvname", NO_SCRIPT),
    ("attrs_pvname", NO_SCRIPT),
    ("ds_attrs_none", NO_SCRIPT),
    ("event_callback", NO_SCRIPT),
    ("event_callback_mode", NO_SCRIPT),
    ("ds_timer_mode", TIMER_PROCESS),
    ("ds_hash_size", CALL_LOAD),
    ("ds_hash_expire", CALL_LOAD),
    ("ds_hash_initexpire", CALL_LOAD),
    ("ds_hash_check_interval", CALL_LOAD),
    ("ds_default_socket", SOCKET),
    ("ds_default_sockname", SOCKET),
    ("reload_delta", "reloads wait for one another"),
    ("ds_dns_mode", NAMES),
    ("ds_dns_interval", NAMES),
    ("ds_dns_ttl", NAMES),
    ("ds_dns_match_all", NAMES),
];

const FAILOVER: &str = "it holds the next tries for the script; the relay keeps them itself";
const TIMER_PROCESS: &str = "probes have a thread of their own";
const CALL_LOAD: &str =
    "calls are counted without it: each until its BYE, or two hours after its last message";
const SOCKET: &str = "a call leaves by the listener it came to, or by the one in the destination's attribute socket=udp:ADDRESS:PORT";
const NO_SCRIPT: &str = "it is for the script, and there is none";
const NAMES: &str = "names are asked for again by themselves";

/// Parameters of the transaction module that are about timers.
const TIMERS: &[&str] = &[
    "fr_timer",
    "fr_inv_timer",
    "fr_timer_avp",
    "fr_inv_timer_avp",
    "fr_inv_timer_next",
    "max_inv_lifetime",
    "max_noninv_lifetime",
    "retr_timer1",
    "retr_timer2",
    "retr_timer1p1",
    "retr_timer1p2",
    "retr_timer1p3",
    "wt_timer",
    "delete_timer",
    "auto_inv_100",
    "auto_inv_100_reason",
    "noisy_ctimer",
    "restart_fr_on_each_reply",
];

/// Modules whose work is done, or is no matter for calls.
const COVERED: &[&str] = &[
    "dispatcher",
    "tm",
    "tmx",
    "sl",
    "rr",
    "pv",
    "maxfwd",
    "textops",
    "textopsx",
    "siputils",
    "xlog",
    "sanity",
    "kex",
    "corex",
    "cfg_rpc",
    "ctl",
    "jsonrpcs",
    "counters",
    "statistics",
    "debugger",
    "cfgutils",
    "db_mysql",
    "db_postgres",
    "db_sqlite",
    "xhttp",
    "ipops",
    "sdpops",
    "rtimer",
];

/// Modules whose functions are not here.
const MODULES_LEFT: &[(&[&str], &str)] = &[
    (
        &["registrar", "usrloc", "p_usrloc", "alias_db"],
        "there is no registrar: leave phones to a server that has one",
    ),
    (
        &["auth", "auth_db", "auth_diameter", "auth_ephemeral", "auth_xkeys"],
        "nobody is asked for a password: say who may send in [relay] allow",
    ),
    (&["permissions"], "write the addresses that may send into [relay] allow"),
    (
        &["nathelper", "rtpproxy", "rtpengine", "mediaproxy", "nat_traversal"],
        "media and NAT are left to the servers",
    ),
    (&["tls", "websocket", "sctp", "outbound"], "only UDP is relayed in this version"),
    (
        &["dialog", "acc", "acc_json", "acc_db", "cnxcc"],
        "calls are neither counted nor billed: leave it to the servers",
    ),
    (
        &["pike", "ratelimit", "pipelimit", "htable", "secfilter"],
        "there are no rate limits and no bans",
    ),
    (
        &["presence", "presence_xml", "presence_mwi", "pua", "rls", "xcap_server", "msilo"],
        "there is no presence",
    ),
    (&["topoh", "topos"], "Via, Record-Route and Contact of others are left as they are"),
    (
        &["mi_fifo", "mi_datagram", "mi_rpc", "mi_xmlrpc"],
        "kamctl since Kamailio 5 speaks JSON-RPC: [control] fifo",
    ),
    (
        &["app_lua", "app_python", "app_python3", "app_perl", "app_jsdt", "app_ruby"],
        "scripts in other languages are not read: see what they ask of the dispatcher",
    ),
];

/// Puts what modules are told into the draft.
pub(super) fn read(script: &Script, draft: &mut Draft) {
    dispatcher(script, draft);
    for parameter in script.modparams_of("tm") {
        if TIMERS.contains(&parameter.name.as_str()) && !failover::is_carried(&parameter.name) {
            draft.left(parameter.place, parameter.shown("tm"), failover::NO_TIMERS);
        }
    }
    for (name, place) in &script.modules {
        if COVERED.contains(name) {
            continue;
        }
        let known = MODULES_LEFT.iter().find(|(names, _)| names.contains(name));
        let why = known.map_or("its functions are not here", |(_, why)| why);
        draft.left(*place, format!("loadmodule {name:?}"), why);
    }
}

/// Whether the dispatcher is loaded or told anything.
pub(super) fn has_dispatcher(script: &Script) -> bool {
    script.module("dispatcher").is_some() || script.modparams_of("dispatcher").next().is_some()
}

fn dispatcher(script: &Script, draft: &mut Draft) {
    for parameter in script.modparams_of("dispatcher") {
        let text = parameter.value.text().map(str::trim);
        let (place, what) = (Some(parameter.place), parameter.shown("dispatcher"));
        let key = match parameter.name.as_str() {
            "table_name" => "table",
            "ds_db_extra_attrs" => "db_extra_attrs",
            "setid_col" => "setid_col",
            "destination_col" => "destination_col",
            "flags_col" => "flags_col",
            "priority_col" => "priority_col",
            "attrs_col" => "attrs_col",
            _ if probing::parameter(parameter, draft) => continue,
            name => {
                special(name, parameter, what, draft);
                continue;
            }
        };
        match text {
            Some(text) => draft.set("destinations", key, quoted(text), place, what),
            None => draft.left(parameter.place, what, "its value is not a text in quotes"),
        }
    }
    let is_there =
        script.module("dispatcher").is_some() || script.modparams_of("dispatcher").next().is_some();
    source(script, is_there, draft);
    if is_there {
        probing::defaults(script, draft);
    }
    if is_there && !draft.has("load_mode") {
        let what = "ds_load_mode is not set: bad records are left out";
        draft.set("destinations", "load_mode", quoted("skip"), None, what);
    }
}

/// Parameters that are more than another name for a key.
fn special(name: &str, parameter: &Modparam, what: String, draft: &mut Draft) {
    let place = parameter.place;
    let number = parameter.value.number();
    match name {
        "ds_load_mode" => {
            let mode = if number == Some(0) { "skip" } else { "all" };
            draft.set("destinations", "load_mode", quoted(mode), Some(place), what);
        }
        "flags" => {
            let flags = number.unwrap_or(0);
            if flags & 1 != 0 {
                draft.set("dispatch", "hash_user_only", "true".into(), Some(place), what.clone());
            }
        }
        "hash_pvar" => match parameter.value.text().map(hash_over) {
            Some(Ok(over)) => {
                draft.set("dispatch", "hash_over", quoted(&over), Some(place), what);
            }
            Some(Err(piece)) => {
                let why = format!("nothing hashes {piece:?} here: see [dispatch] hash_over");
                draft.left(place, what, why);
            }
            None => draft.left(place, what, "its value is known only at run time"),
        },
        "use_default" if number.is_some_and(|number| number != 0) => {
            draft.set("dispatch", "use_default", "true".into(), Some(place), what);
        }
        "force_dst" if number == Some(0) => {
            draft.left(place, what, "nothing sets $du before: the destination is always chosen");
        }
        // The first two become the source.
        "db_url" | "list_file" | "force_dst" => {}
        "use_default" | "ds_hash_size" if number == Some(0) => {}
        _ => {
            let known = DISPATCHER_LEFT.iter().find(|(known, _)| *known == name);
            let why = known
                .map_or("not a parameter of the dispatcher that is known here", |(_, why)| why);
            draft.left(place, what, why);
        }
    }
}

/// A database wins over a list.
fn source(script: &Script, is_there: bool, draft: &mut Draft) {
    let last = |name: &str| script.modparams_of("dispatcher").filter(|p| p.name == name).last();
    if let Some(url) = last("db_url") {
        let what = url.shown("dispatcher");
        let Some(text) = url.value.text().map(str::trim) else {
            draft.left(
                url.place,
                what,
                "the URL is known only at run time: write it into [destinations] source",
            );
            return;
        };
        let scheme = text.split(':').next().unwrap_or("");
        if ["mysql", "postgres", "sqlite"].contains(&scheme) {
            draft.set("destinations", "source", quoted(text), Some(url.place), what);
            if let Some(list) = last("list_file") {
                draft.left(
                    list.place,
                    list.shown("dispatcher"),
                    "db_url wins over it, in Kamailio too",
                );
            }
        } else {
            let why = "not a database that can be read: move the table to MySQL, PostgreSQL or SQLite, or write a list";
            draft.left(url.place, what, why);
        }
    } else if let Some(list) = last("list_file") {
        let what = list.shown("dispatcher");
        match list.value.text().map(str::trim).filter(|path| !path.is_empty()) {
            Some(path) => {
                let source = quoted(&format!("list:{path}"));
                draft.set("destinations", "source", source, Some(list.place), what);
            }
            None => draft.left(
                list.place,
                what,
                "the path is known only at run time: write it into [destinations] source",
            ),
        }
    } else if is_there {
        let source = quoted("list:/etc/kamailio/dispatcher.list");
        let what = "neither db_url nor list_file: Kamailio's default";
        draft.set("destinations", "source", source, None, what);
    }
}
