//! `strowger.*`: what has no Kamailio equivalent. Names are in lower case, values by name.

use super::{Call, failed};
use crate::control::{Change, ListedAddress, ListedRecord, NewRecord, Plan, ReloadHow, state_word};
use crate::health::Latency;
use crate::rpc::{Answer, Fault, Value};

pub(super) fn list(call: &Call<'_>) -> Answer {
    let listing = call.commands.list();
    let sets = listing.sets.iter().map(|set| {
        let records = set.records.iter().map(record).collect();
        Value::object([
            ("set", Value::from(set.id)),
            ("algorithm", set.algorithm.name().into()),
            ("records", Value::Array(records)),
        ])
    });
    let sets = Value::Array(sets.collect());
    Ok(Value::object([("draining", listing.draining.into()), ("sets", sets)]))
}

pub(super) fn history(call: &Call<'_>) -> Answer {
    let changes = call.commands.history().iter().map(|event| event.value()).collect();
    Ok(Value::object([("changes", Value::Array(changes))]))
}

fn record(listed: &ListedRecord) -> Value {
    let addresses = listed.addresses.iter().map(address).collect();
    Value::object([
        ("uri", listed.uri.as_str().into()),
        ("flags", listed.flags.letters().into()),
        ("state", state_word(listed.flags).into()),
        ("flag_bits", listed.flags.bits().into()),
        ("priority", listed.priority.into()),
        ("attributes", listed.attributes.text.as_str().into()),
        ("origin", listed.origin.to_string().into()),
        ("iuid", listed.iuid.as_str().into()),
        ("resolved", (!listed.addresses.is_empty()).into()),
        ("addresses", Value::Array(addresses)),
    ])
}

fn latency(latency: Latency) -> Value {
    Value::object([
        ("average_ms", Value::Double(latency.average_ms)),
        ("deviation_ms", Value::Double(latency.deviation_ms)),
        ("estimate_ms", Value::Double(latency.estimate_ms)),
        ("max_ms", latency.max_ms.into()),
        ("timeouts", latency.timeouts.into()),
    ])
}

fn milliseconds(us: u64) -> Value {
    Value::Double(f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1e3)
}

fn address(listed: &ListedAddress) -> Value {
    Value::object([
        ("address", listed.address.socket.to_string().into()),
        ("flags", listed.flags.letters().into()),
        ("state", state_word(listed.flags).into()),
        ("priority", u32::from(listed.address.priority).into()),
        ("weight", u32::from(listed.address.weight).into()),
        ("reached", listed.slot.is_some().into()),
        ("calls", listed.calls.map_or(Value::Null, Value::from)),
        ("probing_count", listed.probing_count.into()),
        ("answer_ms", listed.answer_ms.map_or(Value::Null, Value::from)),
        ("latency", listed.latency.map_or(Value::Null, latency)),
        ("answers_in_ms", listed.answer_us.map_or(Value::Null, milliseconds)),
        ("slow_start", slow_start(listed)),
        ("overload", overload(listed)),
        ("reason", listed.reason.clone().into()),
    ])
}

pub(super) fn slow_start(listed: &ListedAddress) -> Value {
    listed.slow_start.map_or(Value::Null, |(percent, left_ms)| {
        Value::object([("share_percent", u32::from(percent).into()), ("left_ms", left_ms.into())])
    })
}

pub(super) fn overload(listed: &ListedAddress) -> Value {
    listed.overload.map_or(Value::Null, |asked| {
        Value::object([
            ("percent", u32::from(asked.percent).into()),
            ("left_ms", asked.left_ms.into()),
            ("seq_seconds", asked.seq.seconds().into()),
        ])
    })
}

pub(super) fn reload(call: &Call<'_>) -> Answer {
    let how = ReloadHow {
        dry_run: flag(call, 0, "dry_run")?.unwrap_or(false),
        force: flag(call, 1, "force")?.unwrap_or(false),
    };
    match call.commands.reload(how) {
        Ok(reloaded) => Ok(Value::object([
            ("dry_run", how.dry_run.into()),
            ("plan", plan(&reloaded.plan)),
            ("notes", texts(reloaded.notes)),
            ("refused", texts(reloaded.refused)),
        ])),
        Err(errors) => Err(failed("Reload Failed", &errors)),
    }
}

fn plan(plan: &Plan) -> Value {
    let changes = |changes: &[Change]| {
        let changes = changes.iter().map(|change| {
            Value::object([
                ("set", change.set.into()),
                ("uri", change.uri.as_str().into()),
                ("what", change.what.as_str().into()),
            ])
        });
        Value::Array(changes.collect())
    };
    Value::object([
        ("added", changes(&plan.added)),
        ("removed", changes(&plan.removed)),
        ("changed", changes(&plan.changed)),
        ("unchanged", plan.unchanged.into()),
    ])
}

pub(super) fn add(call: &Call<'_>) -> Answer {
    let new = NewRecord {
        set: needed(call.set(0), "set", "the number of a set")?,
        uri: needed(call.text(1, "uri"), "uri", "sip:HOST:PORT")?,
        flags: call.number(2, "flags").unwrap_or(0),
        priority: call.number(3, "priority").unwrap_or(0),
        attributes: call.text(4, "attributes").unwrap_or_default(),
    };
    match call.commands.add(&new, flag(call, 5, "save")?) {
        Ok(added) => {
            Ok(Value::object([("notes", texts(added.notes)), ("saved", added.saved.into())]))
        }
        Err(errors) => Err(failed("Not added", &errors)),
    }
}

pub(super) fn remove(call: &Call<'_>) -> Answer {
    let set = needed(call.set(0), "set", "the number of a set")?;
    let uri = needed(call.text(1, "uri"), "uri", "sip:HOST:PORT")?;
    match call.commands.remove(set, &uri, flag(call, 2, "save")?) {
        Ok(removed) => Ok(Value::object([("removed", removed.into())])),
        Err(errors) => Err(failed("Not removed", &errors)),
    }
}

pub(super) fn stats(call: &Call<'_>) -> Answer {
    let totals = call.commands.totals();
    Ok(Value::Struct(totals.iter().map(|(name, value)| (name, value.into())).collect()))
}

pub(super) fn texts(texts: Vec<String>) -> Value {
    Value::Array(texts.into_iter().map(Value::Str).collect())
}

/// Reads an optional yes or no.
pub(super) fn flag(call: &Call<'_>, position: usize, name: &str) -> Result<Option<bool>, Fault> {
    match call.params.get(position, name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => needed(value.bool(), name, "true or false").map(Some),
    }
}

pub(super) fn needed<T>(value: Option<T>, name: &str, right: &str) -> Result<T, Fault> {
    value.ok_or_else(|| {
        Fault::new(-32602, "Invalid params").because([format!("{name}: write {right}")])
    })
}
