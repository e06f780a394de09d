//! `[dispatch]` and `[set.N]`: how requests find their destination.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::document::{Document, Section};
use super::hash_over::hash_over;
use super::relay::read_prefixes;
use super::{emergency, failover, health, values};
use crate::destination::{Algorithm, Limits, SpillOver};
use crate::limits;
use crate::proxy::{
    ForeignRoute, InDialog, Policy, Rewrite, SetPolicy, Sips, SourceMatch, StatusLine,
};

/// Keys that a set may have for itself.
const SET_KEYS: &[&str] = &[
    "algorithm",
    "compat",
    "hash_over",
    "hash_user_only",
    "use_default",
    "load_factor",
    "overload_control",
    "spill_over",
    "slow_start_ms",
    "forwarding",
    "failover",
    "record_route",
    "no_destination",
    "calls_per_second",
    "burst",
    "calls_max",
    "source_calls_per_second",
    "source_burst",
    "over_limit",
    "foreign_route",
    "rewrite",
    "sips",
    "in_dialog",
    "stateless_retry",
    "probing",
    "passive",
];

/// Keys for the whole relay.
const RELAY_KEYS: &[&str] =
    &["set", "in_dialog_to", "source_match", "options", "max_breadth", "emergency"];

/// Reads `[dispatch]` into the choices for the whole relay and the defaults of every set.
pub(super) fn read(
    document: &mut Document,
    section: &Section,
    policy: &mut Policy,
    defaults: &mut SetPolicy,
) {
    let known = [SET_KEYS, RELAY_KEYS].concat();
    section.only(document, &known, &[]);
    let sets = 0..=u64::from(limits::SET_MAX);
    if let Some(set) = section.integer(document, "set", &sets, "") {
        policy.set = set as u32;
    }
    // Without a list of its own, who may send is also who may be sent to.
    policy.in_dialog_to =
        read_prefixes(document, section, "in_dialog_to").unwrap_or_else(|| policy.allow.clone());
    let words =
        &[("address-and-port", SourceMatch::AddressAndPort), ("address", SourceMatch::Address)];
    if let Some(value) = section.word(document, "source_match", words, &[]) {
        policy.source_match = value;
    }
    let words = &[("when-active", false), ("always", true)];
    if let Some(value) = section.word(document, "options", words, &[]) {
        policy.options_always_ok = value;
    }
    if let Some(value) = section.integer(document, "max_breadth", &(1..=65_535), "") {
        policy.max_breadth = Some(value as u32);
    }
    if let Some(table) = section.section(document, "emergency") {
        emergency::read(document, &table, &mut policy.emergency);
    }
    health::read_relay(document, section, policy);
    read_set_keys(document, section, defaults);
}

/// Reads every `[set.N]`, each with the defaults filled in.
pub(super) fn read_sets(
    document: &mut Document,
    section: &Section,
    defaults: &SetPolicy,
) -> BTreeMap<u32, SetPolicy> {
    let mut sets = BTreeMap::new();
    for (key, place, value) in section.entries() {
        let number = match key.parse::<u32>() {
            Ok(number) if number <= limits::SET_MAX && number.to_string() == key => number,
            _ => {
                let what = format!("[set.{key}]: {key:?} is not the number of a set");
                let right = format!("write [set.N], N from 0 to {}", limits::SET_MAX);
                document.wrong(&place, what, right);
                continue;
            }
        };
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("[set] {key}: no table");
            let right = format!("write [set.{key}] on a line of its own, then its keys");
            document.wrong(&place, what, right);
            continue;
        };
        let section = Section::new(format!("[set.{key}]"), table);
        for key in RELAY_KEYS {
            if section.get(key).is_some() {
                let what = section.what(&format!("{key} holds for the whole relay"));
                document.wrong(&section.place(key), what, "write it under [dispatch]");
            }
        }
        health::not_of_a_set(document, &section);
        let known = [SET_KEYS, RELAY_KEYS].concat();
        section.only(document, &known, &[]);
        let mut set = defaults.clone();
        read_set_keys(document, &section, &mut set);
        sets.insert(number, set);
    }
    sets
}

fn read_set_keys(document: &mut Document, section: &Section, set: &mut SetPolicy) {
    read_choosing(document, section, set);
    failover::read(document, section, set);
    if let Some(value) = section.boolean(document, "overload_control") {
        set.overload_control = value;
    }
    if let Some(value) = section.boolean(document, "record_route") {
        set.record_route = value;
    }
    if let Some(table) = section.section(document, "no_destination") {
        table.only(document, &["code", "reason"], &[]);
        set.no_destination = read_status_line(document, &table, &set.no_destination);
    }
    read_limits(document, section, set);
    let words = &[
        ("remove", ForeignRoute::Remove),
        ("keep", ForeignRoute::Keep),
        ("refuse", ForeignRoute::Refuse),
    ];
    if let Some(value) = section.word(document, "foreign_route", words, &[]) {
        set.foreign_route = value;
    }
    let words = &[("none", Rewrite::None), ("domain", Rewrite::Domain)];
    if let Some(value) = section.word(document, "rewrite", words, &[]) {
        set.rewrite = value;
    }
    let words = &[("refuse", Sips::Refuse), ("forward", Sips::Forward)];
    if let Some(value) = section.word(document, "sips", words, &[]) {
        set.sips = value;
    }
    let words = &[("inactive", true), ("off", false)];
    if let Some(value) = section.word(document, "stateless_retry", words, &[]) {
        set.retry = value;
    }
    let words = &[("destination", InDialog::Destination), ("route", InDialog::Route)];
    if let Some(value) = section.word(document, "in_dialog", words, &[]) {
        set.in_dialog = value;
    }
    health::read(document, section, set);
}

fn read_limits(document: &mut Document, section: &Section, set: &mut SetPolicy) {
    let limits = &mut set.limits;
    let rates = 0..=u64::from(limits::CALLS_PER_SECOND_MAX);
    if let Some(value) = section.integer(document, "calls_per_second", &rates, ", 0 for no limit") {
        limits.calls_per_second = value as u32;
    }
    let bursts = 1..=u64::from(limits::CALLS_PER_SECOND_MAX);
    if let Some(value) = section.integer(document, "burst", &bursts, "") {
        limits.burst = value as u32;
        if limits.calls_per_second == 0 {
            let what = section.what("burst: there is no calls_per_second whose burst it is");
            document.wrong(&section.place("burst"), what, "write calls_per_second, too");
        }
    }
    let calls = 0..=u64::from(limits::CALLS_IN_PROGRESS_MAX);
    if let Some(value) = section.integer(document, "calls_max", &calls, ", 0 for no limit") {
        limits.calls_max = value as u32;
    }
    read_source_limits(document, section, &mut set.source_limits);
    if let Some(table) = section.section(document, "over_limit") {
        table.only(document, &["code", "reason", "retry_after_s"], &[]);
        let over_limit = &mut set.over_limit;
        over_limit.status = read_status_line(document, &table, &over_limit.status);
        let seconds = 0..=limits::RETRY_AFTER_S_MAX;
        if let Some(value) = table.integer(document, "retry_after_s", &seconds, " seconds") {
            over_limit.retry_after_s = value as u16;
        }
    }
}

fn read_source_limits(document: &mut Document, section: &Section, limits: &mut Limits) {
    let rates = 0..=u64::from(limits::SOURCE_CALLS_PER_SECOND_MAX);
    let key = "source_calls_per_second";
    if let Some(value) = section.integer(document, key, &rates, ", 0 for no limit") {
        limits.calls_per_second = value as u32;
    }
    let bursts = 1..=u64::from(limits::SOURCE_BURST_MAX);
    if let Some(value) = section.integer(document, "source_burst", &bursts, "") {
        limits.burst = value as u32;
        if limits.calls_per_second == 0 {
            let what =
                section.what("source_burst: there is no source_calls_per_second whose burst it is");
            let right = "write source_calls_per_second, too";
            document.wrong(&section.place("source_burst"), what, right);
        }
    }
}

fn read_choosing(document: &mut Document, section: &Section, set: &mut SetPolicy) {
    let choosing = &mut set.choosing;
    let words = &[("kamailio", true), ("none", false)];
    if let Some(value) = section.word(document, "compat", words, &[]) {
        choosing.is_kamailio = value;
    }
    if let Some(value) = section.boolean(document, "hash_user_only") {
        choosing.hash_user_only = value;
    }
    if let Some(value) = section.boolean(document, "use_default") {
        choosing.use_default = value;
    }
    if let Some(spills) = section.boolean(document, "spill_over") {
        choosing.spill_over = if spills { SpillOver::Next } else { SpillOver::Never };
    }
    let times = 0..=u64::from(limits::SLOW_START_MS_MAX);
    if let Some(ms) = section.integer(document, "slow_start_ms", &times, " ms, 0 for none") {
        choosing.slow_start_ms = ms as u32;
    }
    let factors = limits::LOAD_FACTOR_PERCENT_MIN..=limits::LOAD_FACTOR_PERCENT_MAX;
    if let Some(percent) = section.hundredths(document, "load_factor", &factors) {
        choosing.load_factor_percent = percent;
    }
    let mut is_read = true;
    if let Some((text, place)) = section.string(document, "hash_over") {
        match hash_over(text) {
            Ok(parts) => choosing.hash_over = parts,
            Err((what, right)) => {
                is_read = false;
                document.wrong(&place, section.what(&format!("hash_over: {what}")), right);
            }
        }
    }
    let Some(value) = section.get("algorithm") else {
        return;
    };
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        other => {
            let right = "write a name such as \"round-robin\", or Kamailio's number";
            let wanted = "a name or number";
            section.wrong_type(document, "algorithm", value, other, wanted, right);
            return;
        }
    };
    match values::algorithm(&text) {
        Ok(algorithm) => choosing.algorithm = algorithm,
        Err((what, right)) => {
            let what = section.what(&format!("algorithm: {what}"));
            document.wrong(&value.span(), what, right);
        }
    }
    if choosing.algorithm == Algorithm::KeyHash && choosing.hash_over.is_empty() && is_read {
        let what = section.what("algorithm: key-hash has nothing to hash");
        document.wrong(&value.span(), what, values::HASH_OVER);
    }
}

fn read_status_line(document: &mut Document, table: &Section, default: &StatusLine) -> StatusLine {
    let code =
        table.integer(document, "code", &(400..=699), "").map_or(default.code, |code| code as u16);
    let mut reason = default.reason.clone();
    if let Some((text, place)) = table.string(document, "reason") {
        let fits = (1..=limits::REASON_BYTES_MAX).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            reason = text.into();
        } else {
            let right = format!("write 1 to {} bytes without line ends", limits::REASON_BYTES_MAX);
            document.wrong(&place, table.what("reason: not a reason phrase"), right);
        }
    }
    StatusLine { code, reason }
}
