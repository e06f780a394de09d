//! The counters of docs/counters.md. A counter `dropped.stun` is the label `reason="stun"` of
//! `strowger_dropped_total`; one without a group has a family of its own.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use super::{NO_LABELS, begin_family, counter, gauge};
use crate::stats::Totals;

/// Groups of counters that are one family: what their names begin with, the label that the rest is the
/// value of, and what they count.
const GROUPS: [(&str, &str, &str); 8] = [
    ("answered", "with", "Requests that the relay answered itself"),
    ("dropped", "reason", "Datagrams that were dropped"),
    ("forwarded", "by", "Messages that were forwarded, by the rule"),
    ("icmp", "kind", "ICMP errors"),
    ("probes", "what", "Probes"),
    ("send_failed", "reason", "Messages that the kernel did not take"),
    ("sent", "cause", "Messages that the kernel took"),
    ("tries", "left_because", "Tries of stateful sets that were left, by why"),
];

/// The counters that may fall, and those that count one thing each.
const GAUGES: [&str; 4] = ["calls.in_progress", "capture.armed", "draining", "transactions.live"];

pub(super) fn encode(totals: &Totals, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all: Vec<_> = totals.iter().collect();
    for (group, label, help) in GROUPS {
        let name = format!("strowger_{group}");
        let mut family = begin_family(encoder, MetricType::Counter, &name, help)?;
        let members = all.iter().filter_map(|(name, value)| Some((member(name, group)?, *value)));
        for (member, value) in members {
            counter(&mut family, &[(label, member)], value)?;
        }
    }
    let by_worker = totals.received_by_worker.iter().enumerate();
    let mut family = begin_family(
        encoder,
        MetricType::Counter,
        "strowger_worker_received",
        "Datagrams that a worker received",
    )?;
    for (worker, value) in by_worker {
        counter(&mut family, &[("worker", worker)], *value)?;
    }
    let is_single = |name: &str| {
        !name.starts_with("received.worker.")
            && GROUPS.iter().all(|(group, ..)| member(name, group).is_none())
    };
    for (name, value) in all.iter().filter(|(name, _)| is_single(name)) {
        let family_name = format!("strowger_{}", name.replace('.', "_"));
        let help = format!("The counter {name} of docs/counters.md");
        if GAUGES.contains(&name.as_str()) {
            gauge(
                &mut begin_family(encoder, MetricType::Gauge, &family_name, &help)?,
                &NO_LABELS,
                *value,
            )?;
        } else {
            counter(
                &mut begin_family(encoder, MetricType::Counter, &family_name, &help)?,
                &NO_LABELS,
                *value,
            )?;
        }
    }
    Ok(())
}

fn member<'a>(name: &'a str, group: &str) -> Option<&'a str> {
    name.strip_prefix(group)?.strip_prefix('.')
}
