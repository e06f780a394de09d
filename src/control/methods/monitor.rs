//! `tm.stats`, `sl.stats`, `core.shmmem` and `core.tcp_info`: what monitors of Kamailio request by
//! default, with its names and order. What this relay does not have is 0.

use super::Call;
use crate::proxy::{Answer as OwnAnswer, Verdict};
use crate::rpc::{Answer, Fault, Value};
use crate::stats::Totals;

/// There are no transactions here, only responses that are forwarded.
pub(super) fn tm_stats(call: &Call<'_>) -> Answer {
    let responses = call.commands.totals().responses();
    let value = |name| match name {
        "rpl_received" | "rpl_sent" => (name, Value::from(responses)),
        _ => (name, Value::Int(0)),
    };
    Ok(Value::object(TM_NAMES.map(value)))
}

/// Counts the relay's own responses by code. As in Kamailio, a class such as `4xx` counts the codes
/// that have no member of their own.
pub(super) fn sl_stats(call: &Call<'_>) -> Answer {
    Ok(by_code(&call.commands.totals(), |answer| call.commands.code_of(answer)))
}

fn by_code(totals: &Totals, configured: impl Fn(OwnAnswer) -> u16) -> Value {
    let mut counts = [0; SL_NAMES.len()];
    for answer in OwnAnswer::ALL {
        // The label of an answer whose code the operator configures is not a code.
        let code = answer.label().parse().unwrap_or_else(|_| configured(*answer)).to_string();
        let class = format!("{}xx", &code[..1]);
        let place = SL_NAMES.iter().position(|name| *name == code);
        let place = place.or_else(|| SL_NAMES.iter().position(|name| *name == class));
        counts[place.unwrap_or(SL_NAMES.len() - 1)] += totals.of(Verdict::Answered(*answer));
    }
    Value::object(SL_NAMES.into_iter().zip(counts.map(Value::from)))
}

/// The memory that all workers share is the pin table; its size never changes.
pub(super) fn shmmem(call: &Call<'_>) -> Answer {
    let unit = match call.text(0, "unit").as_deref().unwrap_or("b") {
        "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err(Fault::failed("bad param, (use b|k|m|g)")),
    };
    let memory = call.commands.memory();
    let shown = |bytes: u64| Value::from(bytes >> unit);
    Ok(Value::object([
        ("total", shown(memory.total)),
        ("free", shown(memory.total - memory.used)),
        ("used", shown(memory.used)),
        ("real_used", shown(memory.used)),
        ("max_used", shown(memory.used_max)),
        ("fragments", Value::Int(0)),
    ]))
}

/// Only UDP is relayed.
pub(super) fn tcp_info(_: &Call<'_>) -> Answer {
    Ok(Value::object(TCP_NAMES.map(|name| (name, Value::Int(0)))))
}

const TCP_NAMES: [&str; 6] = [
    "readers",
    "max_connections",
    "max_tls_connections",
    "opened_connections",
    "opened_tls_connections",
    "write_queued_bytes",
];

const TM_NAMES: [&str; 15] = [
    "current",
    "waiting",
    "total",
    "total_local",
    "rpl_received",
    "rpl_generated",
    "rpl_sent",
    "6xx",
    "5xx",
    "4xx",
    "3xx",
    "2xx",
    "created",
    "freed",
    "delayed_free",
];

const SL_NAMES: [&str; 19] = [
    "200", "202", "2xx", "300", "301", "302", "3xx", "400", "401", "403", "404", "407", "408",
    "483", "4xx", "500", "5xx", "6xx", "xxx",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::WorkerStats;

    #[test]
    fn own_answers_by_code() {
        let stats = WorkerStats::default();
        for (answer, count) in [
            (OwnAnswer::Ok, 1),
            (OwnAnswer::NoDestination, 2),
            (OwnAnswer::TooManyHops, 3),
            (OwnAnswer::NoTransaction, 4),
            (OwnAnswer::UnsupportedScheme, 5),
            (OwnAnswer::Unavailable, 6),
            (OwnAnswer::OverRate, 7),
        ] {
            (0..count).for_each(|_| stats.received(1, Verdict::Answered(answer)));
        }
        let totals: Totals = [&stats].into_iter().collect();
        for (code, wants) in [
            (404, "200=1 404=2 483=3 4xx=9 5xx=13"),
            (480, "200=1 483=3 4xx=11 5xx=13"),
            (500, "200=1 483=3 4xx=9 500=2 5xx=13"),
            (603, "200=1 483=3 4xx=9 5xx=13 6xx=2"),
        ] {
            let configured = |answer| if answer == OwnAnswer::OverRate { 503 } else { code };
            let Value::Struct(members) = by_code(&totals, configured) else { panic!() };
            let told: Vec<_> = members
                .iter()
                .filter(|(_, value)| *value != Value::Int(0))
                .map(|(name, value)| format!("{name}={}", value.int().unwrap()))
                .collect();
            assert_eq!(told.join(" "), wants, "{code}");
        }
    }
}
