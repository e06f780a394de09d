//! The dispatcher's parameters of probing, as `[dispatch.probing]`.

use super::draft::{Draft, quoted};
use super::script::{Modparam, Script};

const SECTION: &str = "dispatch.probing";

/// Puts a parameter of probing into the draft; returns whether it is one.
pub(super) fn parameter(parameter: &Modparam, draft: &mut Draft) -> bool {
    let (key, value) = match parameter.name.as_str() {
        // In Kamailio 0 is off, and then the mode says so.
        "ds_ping_interval" if parameter.value.number().is_some_and(|s| s <= 0) => return true,
        "ds_ping_interval" => ("interval_ms", seconds_to_ms(parameter)),
        // 0 is the timer of the transaction module, 30 s.
        "ds_ping_fr_timer" | "ds_ping_fr_timeout" if parameter.value.number() == Some(0) => {
            return true;
        }
        "ds_ping_fr_timer" | "ds_ping_fr_timeout" => ("timeout_ms", number(parameter)),
        "ds_probing_mode" => ("mode", number(parameter)),
        "ds_probing_threshold" | "ds_probing_threshhold" => ("failures", number(parameter)),
        "ds_inactive_threshold" => ("successes", number(parameter)),
        "ds_ping_method" => ("method", text(parameter)),
        "ds_ping_from" => ("from", text(parameter)),
        "ds_ping_socket" => ("socket", text(parameter)),
        "outbound_proxy" => ("outbound_proxy", text(parameter)),
        "ds_ping_reply_codes" => ("accept", parameter.value.text().and_then(accepted)),
        "ds_latency_estimator_alpha" => ("latency_alpha", weight_of_new(parameter)),
        // Latencies are always measured, and kept over reloads.
        "ds_ping_latency_stats" | "ds_retain_latency_stats" => return true,
        _ => return false,
    };
    let what = parameter.shown("dispatcher");
    if let Some(value) = value {
        draft.set(SECTION, key, value, Some(parameter.place), what);
    } else {
        let why = format!("its value cannot be read: write [dispatch.probing] {key}");
        draft.left(parameter.place, what, why);
    }
    true
}

/// What Kamailio does where the file says nothing.
pub(super) fn defaults(script: &Script, draft: &mut Draft) {
    let last = script.modparams_of("dispatcher").filter(|p| p.name == "ds_ping_interval").last();
    let is_on = last.is_some_and(|p| p.value.number().is_none_or(|seconds| seconds > 0));
    let (value, what) = if is_on {
        if draft.has_in(SECTION, "mode") {
            return;
        }
        ("0".to_owned(), "ds_probing_mode is not set: those with the probing flag, once")
    } else {
        (quoted("off"), "ds_ping_interval is not set, or 0: nothing is probed")
    };
    let place = last.filter(|_| !is_on).map(|last| last.place);
    draft.set(SECTION, "mode", value, place, what);
}

fn number(parameter: &Modparam) -> Option<String> {
    parameter.value.number().map(|number| number.to_string())
}

/// In Kamailio before August 2025 it is the weight of the estimate so far, in thousandths.
fn weight_of_new(parameter: &Modparam) -> Option<String> {
    Some(1_000_i64.checked_sub(parameter.value.number()?)?.to_string())
}

fn seconds_to_ms(parameter: &Modparam) -> Option<String> {
    Some(parameter.value.number()?.checked_mul(1_000)?.to_string())
}

fn text(parameter: &Modparam) -> Option<String> {
    parameter.value.text().map(|text| quoted(text.trim()))
}

/// `code=404;class=5` as a list: `[404, "5xx"]`.
fn accepted(text: &str) -> Option<String> {
    let items = text.split(';').map(str::trim).filter(|item| !item.is_empty());
    let items = items.map(|item| match item.split_once('=')? {
        (name, code) if name.trim() == "code" => Some(code.trim().parse::<u16>().ok()?.to_string()),
        (name, class) if name.trim() == "class" => {
            Some(quoted(&format!("{}xx", class.trim().parse::<u8>().ok()?)))
        }
        _ => None,
    });
    let items = items.collect::<Option<Vec<_>>>()?;
    Some(format!("[{}]", items.join(", ")))
}
