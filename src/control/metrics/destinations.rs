//! The figures of destinations, and of sets where each destination would be too much.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
};
use prometheus_client::metrics::MetricType;

use super::{Asked, Destination, begin_family, counter, gauge};
use crate::control::state_word;
use crate::destination::Flags;
use crate::stats::{BOUNDS_MS, Times};

/// The states, in the order of their numbers.
const STATES: [&str; 5] = ["active", "trying", "full", "inactive", "disabled"];

pub(super) fn encode(
    all: &[Destination],
    asked: Asked,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    states(all, encoder)?;
    gauges(all, encoder, "strowger_destination_probed", "Whether it is probed", |to| {
        Some(u64::from(to.listed.flags.bits() & Flags::PROBING != 0))
    })?;
    let help = "Its attribute weight, if it has one";
    gauges(all, encoder, "strowger_destination_weight", help, |to| to.weight.map(u64::from))?;
    let help = "Its calls in progress, in sets that count them";
    gauges(all, encoder, "strowger_destination_calls", help, |to| to.listed.calls)?;
    let help = "How long its last answer to a probe took";
    gauges(all, encoder, "strowger_destination_probe_seconds", help, |to| {
        to.listed.answer_ms.map(seconds)
    })?;
    let help = "How long ago it sent a response last";
    gauges(all, encoder, "strowger_destination_heard_seconds_ago", help, |to| {
        to.listed.heard_ms_ago.map(seconds)
    })?;
    let help = "For how long requests wait while nothing at all is heard from it";
    gauges(all, encoder, "strowger_destination_silent_seconds", help, |to| {
        Some(to.listed.silent_ms.map_or(0.0, seconds))
    })?;
    requests(all, encoder)?;
    responses(all, encoder)?;
    times(all, asked, encoder)
}

fn states(all: &[Destination], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Its state: 0 active, 1 trying, 2 full, 3 inactive, 4 disabled";
    gauges(all, encoder, "strowger_destination_state", help, |to| {
        let word = state_word(to.listed.flags);
        STATES.iter().position(|state| *state == word).map(|number| number as u64)
    })?;
    let help = "Whether it is in this state";
    let mut family =
        begin_family(encoder, MetricType::Gauge, "strowger_destination_in_state", help)?;
    for to in all {
        let word = state_word(to.listed.flags);
        for state in STATES {
            let labels = (to.labels.as_slice(), [("state", state)]);
            gauge(&mut family, &labels, u64::from(state == word))?;
        }
    }
    let help = "Whether it can be chosen for new requests";
    gauges(all, encoder, "strowger_destination_selectable", help, |to| {
        Some(u64::from(to.listed.flags.is_selectable() && to.listed.slot.is_some()))
    })
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

/// Writes one gauge of each destination that has it.
fn gauges<V: EncodeGaugeValue>(
    all: &[Destination],
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl Fn(&Destination) -> Option<V>,
) -> fmt::Result {
    let mut family = begin_family(encoder, MetricType::Gauge, name, help)?;
    for to in all {
        if let Some(value) = value(to) {
            gauge(&mut family, &to.labels, value)?;
        }
    }
    Ok(())
}

fn requests(all: &[Destination], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "New requests that were sent to it, without copies and requests in a dialog";
    let mut family =
        begin_family(encoder, MetricType::Counter, "strowger_destination_requests", help)?;
    for to in all {
        let others = to.listed.traffic.requests.wrapping_sub(to.listed.traffic.calls);
        for (method, count) in [("INVITE", to.listed.traffic.calls), ("other", others)] {
            counter(&mut family, &(to.labels.as_slice(), [("method", method)]), count)?;
        }
    }
    let help = "Requests that it has answered, provisionally or finally";
    let mut family =
        begin_family(encoder, MetricType::Counter, "strowger_destination_answered", help)?;
    for to in all {
        counter(&mut family, &to.labels, to.listed.traffic.answered)?;
    }
    let help = "New calls that it answered with 5xx: 503, or another one";
    let mut family =
        begin_family(encoder, MetricType::Counter, "strowger_destination_failed_calls", help)?;
    for to in all {
        for (code, count) in [("503", to.listed.traffic.busy), ("other", to.listed.traffic.failed)]
        {
            let labels = (to.labels.as_slice(), [("code", code)]);
            counter(&mut family, &labels, u64::from(count))?;
        }
    }
    Ok(())
}

fn responses(all: &[Destination], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Its responses by class, copies and those to requests in a dialog included";
    let mut family =
        begin_family(encoder, MetricType::Counter, "strowger_destination_responses", help)?;
    for to in all {
        for (count, class) in to.listed.answers.classes.iter().zip(1..) {
            let labels = (to.labels.as_slice(), [("class", format!("{class}xx"))]);
            counter(&mut family, &labels, *count)?;
        }
    }
    Ok(())
}

/// The histograms: of sets, and of destinations if they are asked for.
fn times(all: &[Destination], asked: Asked, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kinds: [(&str, &str, TimesOf); 2] = [
        ("first_response", "From a call to its first response", |to| &to.listed.answers.first),
        ("final_response", "From a call to its final response", |to| &to.listed.answers.last),
    ];
    for (what, help, times_of) in kinds {
        let mut sets: BTreeMap<u32, Times> = BTreeMap::new();
        for to in all {
            sets.entry(to.set).or_default().add(times_of(to));
        }
        let name = format!("strowger_set_{what}_seconds");
        let mut family = begin_family(encoder, MetricType::Histogram, &name, help)?;
        for (set, times) in sets {
            histogram(&mut family, &[("set", set)], &times)?;
        }
        if !asked.histograms_by_destination {
            continue;
        }
        let name = format!("strowger_destination_{what}_seconds");
        let mut family = begin_family(encoder, MetricType::Histogram, &name, help)?;
        for to in all {
            histogram(&mut family, &to.labels, times_of(to))?;
        }
    }
    Ok(())
}

type TimesOf = fn(&Destination) -> &Times;

fn histogram(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    times: &Times,
) -> fmt::Result {
    let bounds = BOUNDS_MS.iter().map(|ms| f64::from(*ms) / 1e3).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(times.counts).collect();
    let mut one = family.encode_family(labels)?;
    one.encode_histogram::<[(&str, &str); 0]>(
        times.sum().as_secs_f64(),
        times.count(),
        &buckets,
        None,
    )
}
