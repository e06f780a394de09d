//! What routes ask of the dispatcher: which set, which algorithm, what is answered when nobody is
//! there, what is logged. A route is not run: its conditions are not read, but for the one around a
//! choice.

use std::collections::BTreeMap;

use super::answer::{answer, no_destination};
use super::call::{Call, call};
use super::draft::{Draft, Left, quoted};
use super::failover::{NO_TIMERS, Relaying};
use super::flow::Flow;
use super::lexer::{Place, Token, TokenKind};
use super::modules::has_dispatcher;
use super::script::{Route, Script, Value, partners, value};
use crate::limits;
use crate::log::Template;
use crate::transaction::TRIES_MAX;

/// Functions that change messages or choices, and are not here.
const LEFT: &[(&[&str], &str)] = &[
    (&["ds_set_dst", "ds_set_domain"], "the set's algorithm says where the next try goes"),
    (&["ds_mark_dst", "ds_mark_addr"], "live traffic and probes say which destination is inactive"),
    (&["ds_load_update", "ds_load_unset"], "the relay itself sees where a call begins and ends"),
    (
        &["ds_oc_set_attrs"],
        "the relay reads reports of overload itself: algorithm = 64, or overload_control = true",
    ),
    (
        &[
            "ds_list_exists",
            "ds_list_exist",
            "ds_is_active",
            "ds_dsg_fetch",
            "ds_dsg_fetch_uri",
            "ds_reload",
        ],
        "there is no script: see strowger list and strowger reload",
    ),
    (
        &[
            "append_hf",
            "insert_hf",
            "append_to_reply",
            "subst",
            "subst_uri",
            "subst_user",
            "subst_hf",
            "replace",
            "replace_all",
            "replace_body",
            "set_body",
            "uac_replace_from",
            "uac_replace_to",
            "msg_apply_changes",
            "add_rr_param",
            "record_route_preset",
        ],
        "messages are forwarded with nothing changed but what a proxy must",
    ),
    (
        &[
            "prefix",
            "strip",
            "strip_tail",
            "rewriteuri",
            "seturi",
            "rewritehost",
            "sethost",
            "sethostport",
            "rewritehostport",
            "rewriteuser",
            "setuser",
            "rewriteuserpass",
            "setport",
            "lookup",
        ],
        "the Request-URI stays as it is, but for rewrite = \"domain\"",
    ),
    (&["force_send_socket"], "write socket=udp:ADDRESS:PORT into the destination's attributes"),
    (
        &["jsonrpc_dispatch"],
        "JSON-RPC over HTTP has a port of its own: [control] http = \"127.0.0.1:8060\"",
    ),
    (
        &[
            "t_set_fr",
            "t_reset_fr",
            "t_set_retr",
            "t_reset_retr",
            "t_set_max_lifetime",
            "t_reset_max_lifetime",
            "t_set_auto_inv_100",
        ],
        NO_TIMERS,
    ),
    (
        &["append_branch", "t_load_contacts", "t_next_contacts", "t_next_contact_flow"],
        "a request goes to one destination: there is no forking",
    ),
    (
        &["t_on_branch", "t_on_reply"],
        "responses and branches have no routes: they are forwarded as they are",
    ),
];

/// Variables that steer a request.
const SET_LEFT: [&str; 9] = ["ru", "rd", "rU", "rp", "du", "fs", "fu", "tu", "rr"];

/// Puts what routes say into the draft; tells where `force_rport()` is called.
pub(super) fn read(script: &Script, draft: &mut Draft) -> Option<Place> {
    let mut routes = Routes::default();
    let brackets: Vec<_> = script.routes.iter().map(|route| partners(route.body)).collect();
    for (number, route) in script.routes.iter().enumerate() {
        routes.route(number, route, &brackets[number], draft);
    }
    if let Some((number, at)) = routes.choice {
        for (number, at) in Flow::new(&script.routes, &brackets).after(number, at) {
            let body = script.routes[number].body;
            if LOGS.contains(&body[at].text.as_str()) {
                dispatch_line(&call(body, &brackets[number], at), draft);
            }
        }
    }
    for (name, (place, count, why)) in routes.left {
        let what = if count == 1 { name } else { format!("{name}, {count} times") };
        draft.left(place, what, why);
    }
    if routes.choice.is_none() && !script.routes.is_empty() && has_dispatcher(script) {
        let what = "no route chooses a destination, by ds_select_dst for example";
        let why = "every new request goes to set 1 by round robin: [dispatch] set";
        draft.left.push(Left { place: None, what: what.into(), why: why.into() });
    }
    if routes.choice.is_some() {
        let (value, what) = match routes.record_route {
            Some(_) => ("true", "record_route()"),
            None => ("false", "no route calls record_route()"),
        };
        draft.set("dispatch", "record_route", value.into(), routes.record_route, what);
        routes.relaying.put(script, draft);
    }
    routes.force_rport
}

#[derive(Default)]
struct Routes {
    /// The choice that holds: the number of its route, and its token.
    choice: Option<(usize, usize)>,
    record_route: Option<Place>,
    force_rport: Option<Place>,
    relaying: Relaying,
    /// What is not carried over: first place, how often, and why.
    left: BTreeMap<String, (Place, usize, &'static str)>,
}

impl Routes {
    fn route(
        &mut self,
        number: usize,
        route: &Route,
        partners: &[Option<usize>],
        draft: &mut Draft,
    ) {
        if let Some(first) = route.body.first() {
            let tries_next = |token: &Token| NEXT.contains(&token.text.as_str());
            let why = match route.kind {
                "failure_route" if !route.body.iter().any(tries_next) => {
                    "no other destination is tried in it: a failure goes back to the caller"
                }
                "branch_route" | "onreply_route" | "reply_route" | "onsend_route" => {
                    "responses and branches have no routes: they are forwarded as they are"
                }
                "event_route" => "there are no events for a script",
                _ => "",
            };
            if !why.is_empty() {
                self.left(route.kind, first.place, why);
            }
        }
        for (at, token) in route.body.iter().enumerate() {
            let next = route.body.get(at + 1);
            if token.is_sign("$") {
                self.assigned(&route.body[at..], token.place);
            }
            if token.kind != TokenKind::Word || !next.is_some_and(|next| next.is_sign("(")) {
                continue;
            }
            let known = LEFT.iter().find(|(names, _)| names.contains(&token.text.as_str()));
            if let Some((_, why)) = known {
                self.left(&format!("{}()", token.text), token.place, why);
            } else if IS_READ.contains(&token.text.as_str()) {
                let call = call(route.body, partners, at);
                self.call(&call, (number, route), partners, draft);
            }
        }
    }

    fn left(&mut self, name: &str, place: Place, why: &'static str) {
        self.left.entry(name.to_owned()).or_insert((place, 0, why)).1 += 1;
    }

    /// `$ru = …`
    fn assigned(&mut self, tokens: &[Token], place: Place) {
        if let [_, name, sign, after, ..] = tokens
            && SET_LEFT.contains(&name.text.as_str())
            && sign.is_sign("=")
            && !after.is_sign("=")
        {
            let why = "a request goes to the destination that was chosen, its Request-URI as it is";
            self.left(&format!("${} = …", name.text), place, why);
        }
    }

    fn call(
        &mut self,
        call: &Call,
        (number, route): (usize, &Route),
        partners: &[Option<usize>],
        draft: &mut Draft,
    ) {
        let is_failure = route.kind == "failure_route";
        match call.name {
            name if name.starts_with("ds_select") && is_failure => {
                let why = "a further try goes to another destination of the same set";
                draft.left(call.place, call.shown(), why);
            }
            name if RELAYS.contains(&name) => {
                self.relaying.relay = self.relaying.relay.or(Some(call.place));
            }
            name if NEXT.contains(&name) && is_failure => {
                self.relaying.next = self.relaying.next.or(Some(call.place));
            }
            "t_check_status" if is_failure => {
                let code = call.value(0).text().and_then(|text| text.parse().ok());
                self.relaying.codes.push((call.place, code));
            }
            name if name.starts_with("ds_select") => {
                if !choice(call, self.choice.is_some(), draft) {
                    return;
                }
                self.choice = Some((number, call.at));
                if let Some(answer) = answer(call.at, route.body, partners) {
                    no_destination(&answer, draft);
                }
            }
            "ds_is_from_list" => {
                let mode = call.value(1).number();
                if mode.is_some_and(|mode| mode & 1 != 0) {
                    let value = quoted("address");
                    draft.set("dispatch", "source_match", value, Some(call.place), call.shown());
                }
                let why = "a new request from a destination always gets 403: one that calls out needs another way";
                self.left("ds_is_from_list()", call.place, why);
            }
            "record_route" if !is_failure => {
                self.record_route = self.record_route.or(Some(call.place));
            }
            "force_rport" | "add_rport" => self.force_rport = self.force_rport.or(Some(call.place)),
            "remove_hf" if call.value(0) == Value::Text("Route".into()) => {
                let value = quoted("remove");
                draft.set("dispatch", "foreign_route", value, Some(call.place), call.shown());
            }
            "remove_hf" => {
                let why = "messages are forwarded with nothing changed but what a proxy must";
                self.left("remove_hf()", call.place, why);
            }
            _ => {}
        }
    }
}

/// Functions that write a line into the log.
const LOGS: [&str; 7] = ["xlog", "xinfo", "xnotice", "xdbg", "xwarn", "xerr", "xlogl"];

/// Functions that try the next destination.
const NEXT: [&str; 2] = ["ds_next_dst", "ds_next_domain"];

/// Functions that forward a request statefully.
const RELAYS: [&str; 5] =
    ["t_relay", "t_relay_to", "t_relay_to_udp", "t_forward_nonack", "t_forward_nonack_udp"];

/// Functions whose arguments are looked at.
const IS_READ: [&str; 17] = [
    "t_relay",
    "t_relay_to",
    "t_relay_to_udp",
    "t_forward_nonack",
    "t_forward_nonack_udp",
    "ds_next_dst",
    "ds_next_domain",
    "t_check_status",
    "ds_select_dst",
    "ds_select_domain",
    "ds_select",
    "ds_select_routes",
    "ds_is_from_list",
    "record_route",
    "force_rport",
    "add_rport",
    "remove_hf",
];

/// Set and algorithm of a choice; the first one of a file holds.
fn choice(call: &Call, has_choice: bool, draft: &mut Draft) -> bool {
    let place = call.place;
    let shown = call.shown();
    let (set, algorithm) = if call.name == "ds_select_routes" {
        let groups = call.value(0).text().unwrap_or("").to_owned();
        let mut groups = groups.split(';').filter(|group| !group.trim().is_empty());
        let first = groups.next().and_then(|group| group.split_once('='));
        let number = |text: &str| text.trim().parse::<i64>().ok();
        if groups.next().is_some() {
            draft.left(place, shown.clone(), "there is one set: only the first of these is used");
        }
        first.map_or((None, None), |(set, algorithm)| (number(set), number(algorithm)))
    } else {
        (call.value(0).number(), call.value(1).number())
    };
    let Some(set) = set else {
        let why =
            "the set is known only at run time, and there is one for all calls: [dispatch] set";
        draft.left(place, shown, why);
        return false;
    };
    if has_choice {
        let why = "all calls go to one set, that of the first choice in the file: [dispatch] set";
        draft.left(place, shown, why);
        return false;
    }
    draft.set("dispatch", "set", set.to_string(), Some(place), shown.clone());
    if let Some(number) = algorithm {
        draft.set("dispatch", "algorithm", number.to_string(), Some(place), shown.clone());
        if HASHES.contains(&number) {
            let what = "each call gets the destination that Kamailio chooses";
            draft.set("dispatch", "compat", quoted("kamailio"), None, what);
        }
    } else {
        let why = "the algorithm is known only at run time: round robin is used";
        draft.left(place, shown.clone(), why);
    }
    if call.name == "ds_select_domain" {
        draft.set("dispatch", "rewrite", quoted("domain"), Some(place), shown.clone());
    }
    if call.arguments.len() > 2 && call.name != "ds_select_routes" {
        let limit = call.value(2).number().filter(|limit| {
            u8::try_from(*limit).is_ok_and(|limit| (1..=TRIES_MAX).contains(&limit.into()))
        });
        match limit {
            Some(limit) => {
                draft.set("dispatch.failover", "tries", limit.to_string(), Some(place), shown);
            }
            None => draft.left(place, shown, "its limit: see [dispatch.failover] tries"),
        }
    }
    true
}

/// The algorithms that hash.
const HASHES: [i64; 6] = [0, 1, 2, 3, 5, 7];

/// The first line after the choice that says where a call goes.
fn dispatch_line(call: &Call, draft: &mut Draft) {
    let texts = call.arguments.iter().rev().map(|argument| value(argument));
    let Some(Value::Text(text)) = texts.into_iter().find(|value| value.text().is_some()) else {
        return;
    };
    let is_about_it = ["$du", "$(du", "$dd", "$(dd"].iter().any(|word| text.contains(word));
    if !is_about_it || text.len() > limits::CONFIG_BYTES_MAX as usize / 64 {
        return;
    }
    let shown = quoted(text.trim_end_matches('\n'));
    if let Some(line) = draft.entries.iter().find(|entry| entry.key == "dispatch") {
        if line.value == shown {
            return;
        }
        draft.left(call.place, call.shown(), "there is one line for each call: [log] dispatch");
        return;
    }
    let text = text.trim_end_matches('\n');
    match Template::parse(text) {
        Ok(_) => draft.set("log", "dispatch", shown, Some(call.place), call.shown()),
        Err(error) => {
            let why = format!("[log] dispatch: {}: {}", error.what(), error.right());
            draft.left(call.place, call.shown(), why);
        }
    }
}
