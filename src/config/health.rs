//! `probing` and `passive` of `[dispatch]` and `[set.N]`: how destinations are watched.

use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::document::{Document, Section};
use super::values;
use crate::health::{Codes, Mode, Passive, Probing, probe_method, proxy_address};
use crate::limits;
use crate::proxy::{Policy, SetPolicy};
use crate::words::did_you_mean;

/// Keys that a set may have for itself.
const SET_KEYS: &[&str] = &[
    "mode",
    "method",
    "interval_ms",
    "timeout_ms",
    "doubt_interval_ms",
    "failures",
    "successes",
    "accept",
    "full_s",
    "full_s_max",
    "latency_alpha",
    "from",
    "max_forwards",
    "socket",
    "outbound_proxy",
];

/// The key for the whole relay.
const RATE: &str = "probes_per_second_max";

/// What Kamailio's dispatcher calls the same.
const KAMAILIO: &[(&str, &str)] = &[
    ("ds_ping_interval", "write interval_ms, in milliseconds"),
    ("ping_interval", "write interval_ms, in milliseconds"),
    ("interval", "write interval_ms, in milliseconds"),
    ("interval_s", "write interval_ms, in milliseconds"),
    ("timeout", "write timeout_ms, in milliseconds"),
    ("ds_ping_fr_timer", "write timeout_ms, in milliseconds"),
    ("ds_ping_method", "write method"),
    ("ds_ping_from", "write from"),
    ("ds_ping_socket", "write socket"),
    ("ds_probing_mode", "write mode"),
    ("ds_probing_threshold", "write failures"),
    ("ds_inactive_threshold", "write successes"),
    ("ds_latency_estimator_alpha", "write latency_alpha"),
    ("ds_ping_reply_codes", "write accept = [404, \"5xx\"]"),
];

const PASSIVE_KEYS: &[&str] = &[
    "icmp",
    "silence_requests",
    "failure_percent",
    "failure_calls",
    "flap_changes",
    "panic_percent",
];

/// Reads both of a set, over the values that it starts from.
pub(super) fn read(document: &mut Document, section: &Section, set: &mut SetPolicy) {
    if let Some(table) = section.section(document, "probing") {
        let known = [SET_KEYS, &[RATE]].concat();
        table.only_here(document, &known, &[], KAMAILIO);
        let mut probing = Probing::clone(&set.probing);
        read_probing(document, &table, &mut probing);
        set.probing = Arc::new(probing);
    }
    if let Some(value) = section.get("passive") {
        set.passive = Arc::new(read_passive(document, section, value, *set.passive));
    }
}

/// Reads what `probing` of `[dispatch]` says for the whole relay.
pub(super) fn read_relay(document: &mut Document, section: &Section, policy: &mut Policy) {
    let Some(DeValue::Table(table)) = section.get("probing").map(Spanned::get_ref) else { return };
    let table = Section::new(section.what("probing"), table);
    if let Some(value) = table.integer(document, RATE, &limits::PROBES_PER_SECOND, " (per second)")
    {
        policy.probes_per_second_max = value as u32;
    }
}

/// Complains about a key of a set that holds for the whole relay.
pub(super) fn not_of_a_set(document: &mut Document, section: &Section) {
    let Some(DeValue::Table(table)) = section.get("probing").map(Spanned::get_ref) else { return };
    let table = Section::new(section.what("probing"), table);
    if table.get(RATE).is_some() {
        let what = table.what(&format!("{RATE} holds for the whole relay"));
        document.wrong(&table.place(RATE), what, "write it under [dispatch.probing]");
    }
}

fn read_probing(document: &mut Document, table: &Section, probing: &mut Probing) {
    read_mode(document, table, probing);
    if let Some((text, place)) = table.string(document, "method") {
        if let Some(method) = probe_method(text) {
            probing.method = method;
        } else {
            let what = table.what(&format!("method: {text:?} cannot be probed with"));
            document.wrong(&place, what, "write \"OPTIONS\", or \"INFO\"");
        }
    }
    let ms = " (milliseconds)";
    for (key, range, unit, value) in [
        ("interval_ms", limits::PROBE_INTERVAL_MS, ms, &mut probing.interval_ms),
        ("timeout_ms", limits::PROBE_TIMEOUT_MS, ms, &mut probing.timeout_ms),
        ("doubt_interval_ms", limits::PROBE_DOUBT_INTERVAL_MS, ms, &mut probing.doubt_interval_ms),
        ("failures", limits::PROBES_IN_A_ROW, "", &mut probing.failures),
        ("successes", limits::PROBES_IN_A_ROW, "", &mut probing.successes),
        ("full_s", limits::FULL_S, " (seconds)", &mut probing.full_s),
        ("full_s_max", 1..=*limits::FULL_S.end(), " (seconds)", &mut probing.full_s_max),
        ("latency_alpha", limits::LATENCY_ALPHA, " (thousandths)", &mut probing.latency_alpha),
    ] {
        if let Some(number) = table.integer(document, key, &range, unit) {
            *value = number as u32;
        }
    }
    read_accept(document, table, probing);
    if let Some((text, place)) = table.string(document, "from") {
        if is_uri(text) {
            text.clone_into(&mut probing.from);
        } else {
            let what = table.what(&format!("from: {text:?} is not a SIP URI"));
            document.wrong(&place, what, "write \"sip:USER@HOST\", without < and >");
        }
    }
    if let Some(hops) = table.integer(document, "max_forwards", &(0..=255), "") {
        probing.max_forwards = hops as u8;
    }
    if let Some((text, place)) = table.string(document, "socket") {
        match values::listen_address(text) {
            Ok(address) => probing.socket = Some(address),
            Err((what, right)) => {
                document.wrong(&place, table.what(&format!("socket: {what}")), right);
            }
        }
    }
    if let Some((text, place)) = table.string(document, "outbound_proxy") {
        probing.outbound_proxy = proxy_address(text);
        if probing.outbound_proxy.is_none() {
            let what = table.what(&format!("outbound_proxy: {text:?} does not name an address"));
            document.wrong(&place, what, "write \"sip:ADDRESS:PORT\"");
        }
    }
}

/// The mode, by its name or by Kamailio's number.
fn read_mode(document: &mut Document, table: &Section, probing: &mut Probing) {
    let Some(value) = table.get("mode") else { return };
    let words: Vec<_> = Mode::WORDS.iter().map(|(word, _)| *word).collect();
    let (mode, shown) = match value.get_ref() {
        DeValue::String(text) => {
            let word = Mode::WORDS.iter().find(|(word, _)| *word == text.as_ref());
            (word.map(|(_, mode)| *mode), text.to_string())
        }
        DeValue::Integer(number) => {
            let parsed = u64::from_str_radix(number.as_str(), number.radix());
            (parsed.ok().and_then(Mode::from_kamailio), number.to_string())
        }
        other => {
            let right = "write \"flagged\" or 3";
            table.wrong_type(document, "mode", value, other, "a name or number", right);
            return;
        }
    };
    if let Some(mode) = mode {
        probing.mode = mode;
    } else {
        let what = table.what(&format!("mode: {shown:?} is not a mode"));
        document.wrong(&value.span(), what, did_you_mean(&shown, &words));
    }
}

fn read_accept(document: &mut Document, table: &Section, probing: &mut Probing) {
    let example = "[404, \"5xx\"]";
    let Some(items) = table.list(document, "accept", example) else { return };
    if items.len() > limits::PROBE_CODES_MAX {
        let what = table.what(&format!("accept: {} codes", items.len()));
        let right =
            format!("write at most {}, or whole classes (\"4xx\")", limits::PROBE_CODES_MAX);
        document.wrong(&table.place("accept"), what, right);
        return;
    }
    let mut codes = Codes::default();
    for item in items {
        let text = match item.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            other => {
                let right = format!("write accept = {example}");
                table.wrong_type(document, "accept", item, other, "a status code", &right);
                continue;
            }
        };
        if !codes.add(&text) {
            let what = table.what(&format!("accept: {text:?} is not a status code"));
            document.wrong(&item.span(), what, "write 200 to 699, or a class such as \"4xx\"");
        }
    }
    probing.accept = codes;
}

/// Whether this may stand between the angle brackets of From.
fn is_uri(text: &str) -> bool {
    let has_scheme = ["sip:", "sips:"].iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && text.len() > scheme.len()
    });
    has_scheme
        && text.len() <= limits::URI_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte))
}

/// `passive = false`, or a table.
fn read_passive(
    document: &mut Document,
    section: &Section,
    value: &Spanned<DeValue>,
    default: Passive,
) -> Passive {
    let mut passive = default;
    let table = match value.get_ref() {
        DeValue::Boolean(is_on) => {
            passive.is_on = *is_on;
            return passive;
        }
        DeValue::Table(table) => Section::new(section.what("passive"), table),
        other => {
            let right = "write true, false or { key = value, … }";
            section.wrong_type(document, "passive", value, other, "true, false or a table", right);
            return passive;
        }
    };
    // What is written out is wanted.
    passive.is_on = true;
    table.only(document, PASSIVE_KEYS, &[]);
    if let Some(icmp) = table.boolean(document, "icmp") {
        passive.icmp = icmp;
    }
    for (key, range, unit, value) in [
        ("silence_requests", 0..=limits::PASSIVE_REQUESTS_MAX, "", &mut passive.silence_requests),
        ("failure_percent", 0..=100, " (%)", &mut passive.failure_percent),
        ("failure_calls", 1..=limits::PASSIVE_REQUESTS_MAX, "", &mut passive.failure_calls),
        ("flap_changes", 0..=limits::FLAP_CHANGES_MAX, "", &mut passive.flap_changes),
        ("panic_percent", 0..=100, " (%)", &mut passive.panic_percent),
    ] {
        if let Some(number) = table.integer(document, key, &range, unit) {
            *value = number as u32;
        }
    }
    passive
}
