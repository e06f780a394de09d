//! `forwarding` and `failover` of `[dispatch]` and `[set.N]`: whether requests are forwarded statefully,
//! and when they go to the next destination.

use std::sync::Arc;

use toml::de::DeValue;

use super::document::{Document, Section};
use crate::limits;
use crate::proxy::SetPolicy;
use crate::transaction::{Codes, Failover, TRIES_MAX, WhenFull};

const KEYS: &[&str] = &[
    "first_response_ms",
    "progress_ms",
    "ringing_ms",
    "total_ms",
    "codes",
    "tries",
    "retries_percent",
    "retries_min",
    "when_full",
];

/// What Kamailio's tm calls the same.
const KAMAILIO: &[(&str, &str)] = &[
    ("fr_timer", "write first_response_ms, in milliseconds"),
    ("fr_inv_timer", "write ringing_ms, in milliseconds"),
    ("max_inv_lifetime", "write ringing_ms, in milliseconds"),
    ("first_response", "write first_response_ms, in milliseconds"),
    ("progress", "write progress_ms, in milliseconds"),
    ("timer_c", "write ringing_ms, in milliseconds"),
    ("tries_max", "write tries"),
];

/// Reads both of a set, over the values that it starts from.
pub(super) fn read(document: &mut Document, section: &Section, set: &mut SetPolicy) {
    let words = &[("stateless", false), ("stateful", true)];
    match section.word(document, "forwarding", words, &[]) {
        Some(false) => set.stateful = None,
        Some(true) if set.stateful.is_none() => set.stateful = Some(Arc::default()),
        _ => {}
    }
    let Some(table) = section.section(document, "failover") else { return };
    table.only_here(document, KEYS, &[], KAMAILIO);
    let Some(stateful) = &mut set.stateful else {
        let what =
            section.what("failover: requests are forwarded statelessly, so each is tried once");
        document.wrong(&section.place("failover"), what, "write forwarding = \"stateful\", too");
        return;
    };
    let mut failover = Failover::clone(stateful);
    read_numbers(document, &table, &mut failover);
    if let Some(codes) = read_codes(document, &table) {
        failover.codes = codes;
    }
    let words = &[("stateless", WhenFull::Stateless), ("refuse", WhenFull::Refuse)];
    if let Some(value) = table.word(document, "when_full", words, &[]) {
        failover.when_full = value;
    }
    *stateful = Arc::new(failover);
}

fn read_numbers(document: &mut Document, table: &Section, failover: &mut Failover) {
    let ms = " (milliseconds)";
    for (key, range, unit, value) in [
        ("first_response_ms", limits::FIRST_RESPONSE_MS, ms, &mut failover.first_response_ms),
        ("progress_ms", limits::PROGRESS_MS, ms, &mut failover.progress_ms),
        ("ringing_ms", limits::RINGING_MS, ms, &mut failover.ringing_ms),
        ("total_ms", limits::TOTAL_MS, ms, &mut failover.total_ms),
        ("retries_percent", limits::RETRIES_PERCENT, " (percent)", &mut failover.retries_percent),
        ("retries_min", limits::RETRIES_MIN, "", &mut failover.retries_min),
    ] {
        if let Some(number) = table.integer(document, key, &range, unit) {
            *value = number as u32;
        }
    }
    if let Some(number) = table.integer(document, "tries", &(1..=TRIES_MAX as u64), "") {
        failover.tries_max = number as u8;
    }
}

/// Reads `codes = [500, 503]`.
fn read_codes(document: &mut Document, table: &Section) -> Option<Codes> {
    let value = table.get("codes")?;
    let right = "write final codes from 300 to 599: codes = [408, 500, 502, 503, 504]";
    let DeValue::Array(array) = value.get_ref() else {
        document.wrong(&value.span(), table.what("codes: not a list"), right);
        return None;
    };
    let mut codes = Codes::default();
    for entry in array {
        let number = match entry.get_ref() {
            DeValue::Integer(number) => number.to_string().parse::<u16>().ok(),
            _ => None,
        };
        match number {
            Some(code @ 300..=599) => codes.insert(code),
            Some(600..=699) => {
                let what = table.what("codes: a 6xx means that nobody else is to be asked");
                document.wrong(&entry.span(), what, right);
            }
            _ => document.wrong(&entry.span(), table.what("codes: not a final code"), right),
        }
    }
    Some(codes)
}
