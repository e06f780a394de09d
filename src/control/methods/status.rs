//! `strowger.status`: what a screen shows of a relay, in one answer. Counters only grow, so a screen
//! takes differences.

use std::collections::BTreeMap;
use std::process;
use std::time::SystemTime;

use humantime::format_rfc3339_millis;

use super::Call;
use super::own::{self, texts};
use crate::control::commands::{Commands, ListedAddress, ListedRecord, ListedSet};
use crate::control::state_word;
use crate::destination::Flags;
use crate::rpc::{Answer, Value};
use crate::stats::{BOUNDS_MS, SlotAnswers, SlotTraffic, Times};

/// `{max, max_in_all}`: of each set at most that many destinations, those first that get no calls;
/// fewer of each if there are many sets.
pub(super) fn status(call: &Call<'_>) -> Answer {
    let number = |at, name| call.number(at, name).unwrap_or(usize::MAX);
    Ok(of(call.commands, number(0, "max"), number(1, "max_in_all")))
}

/// Returns the status of a relay.
pub(in crate::control) fn of(commands: &Commands, max: usize, max_in_all: usize) -> Value {
    let inner = commands.inner();
    let listing = commands.list();
    let max = max.min(max_in_all / listing.sets.len().max(1));
    let listeners = inner.shared.listeners.iter();
    let listeners = listeners.map(|(_, listener)| format!("udp:{}", listener.local)).collect();
    let totals = commands.totals();
    let counters = totals.iter().filter(|(_, value)| *value > 0);
    Value::object([
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("pid", process::id().into()),
        ("time", format_rfc3339_millis(SystemTime::now()).to_string().into()),
        ("uptime_ms", (commands.uptime().as_millis() as u64).into()),
        ("listeners", texts(listeners)),
        ("workers", inner.stats.len().into()),
        ("source", inner.in_force().config().destinations.source.to_string().into()),
        ("source_read", (!inner.is_stale()).into()),
        ("draining", listing.draining.into()),
        ("counters", Value::Struct(counters.map(|(name, value)| (name, value.into())).collect())),
        ("bounds_ms", numbers(BOUNDS_MS)),
        ("sets", Value::Array(listing.sets.iter().map(|of| set(of, max)).collect())),
        ("reloads", Value::Array(commands.past_reloads().iter().map(|of| of.value()).collect())),
    ])
}

fn set(set: &ListedSet, max: usize) -> Value {
    let mut destinations: Vec<_> = Vec::new();
    for record in &set.records {
        if record.addresses.is_empty() {
            destinations.push((record, None));
        }
        destinations.extend(record.addresses.iter().map(|address| (record, Some(address))));
    }
    let mut states = BTreeMap::<&str, usize>::new();
    let (mut traffic, mut answers) = (SlotTraffic::default(), SlotAnswers::default());
    for (_, address) in &destinations {
        *states.entry(word(*address)).or_default() += 1;
        if let Some(address) = address {
            traffic.add(&address.traffic);
            answers.add(&address.answers);
        }
    }
    let count = destinations.len();
    // Stable: otherwise in the order of the list.
    destinations.sort_by_key(|(_, address)| word(*address) == "active");
    destinations.truncate(max);
    let states = states.into_iter().map(|(state, count)| (state.to_owned(), count.into()));
    let mut members = vec![
        ("set", Value::from(set.id)),
        ("algorithm", set.algorithm.name().into()),
        ("states", Value::Struct(states.collect())),
        ("count", count.into()),
    ];
    members.extend(figures(&traffic, &answers));
    let destinations = destinations.into_iter();
    let destinations = destinations.map(|(record, address)| destination(record, address)).collect();
    members.push(("destinations", Value::Array(destinations)));
    Value::object(members)
}

/// What a screen calls the state of a destination.
fn word(address: Option<&ListedAddress>) -> &'static str {
    match address {
        None => "unresolved",
        Some(address) if address.slot.is_none() => "not reached",
        Some(address) => state_word(address.flags),
    }
}

fn destination(record: &ListedRecord, address: Option<&ListedAddress>) -> Value {
    let flags = address.map_or(record.flags, |address| address.flags);
    let mut members = vec![
        ("uri", Value::from(record.uri.as_str())),
        ("state", word(address).into()),
        ("flags", flags.letters().into()),
        ("probed", (flags.bits() & Flags::PROBING != 0).into()),
        ("priority", record.priority.into()),
        ("weight", record.attributes.weight.map_or(Value::Null, |weight| u32::from(weight).into())),
        ("duid", record.attributes.duid.clone().into()),
    ];
    if let Some(address) = address {
        let number = |number: Option<u64>| number.map_or(Value::Null, Value::from);
        let since = address.since.map(|since| format_rfc3339_millis(since).to_string());
        members.extend([
            ("address", address.address.socket.to_string().into()),
            ("reason", address.reason.clone().into()),
            ("since", since.into()),
            ("calls_in_progress", number(address.calls)),
            ("probe_ms", number(address.answer_ms)),
            ("heard_ms_ago", number(address.heard_ms_ago)),
            ("silent_ms", number(address.silent_ms)),
            ("slow_start", own::slow_start(address)),
            ("overload", own::overload(address)),
        ]);
        members.extend(figures(&address.traffic, &address.answers));
    }
    Value::object(members)
}

fn figures(traffic: &SlotTraffic, answers: &SlotAnswers) -> [(&'static str, Value); 7] {
    [
        ("requests", traffic.requests.into()),
        ("calls", traffic.calls.into()),
        ("answered", traffic.answered.into()),
        ("failed", (u64::from(traffic.busy) + u64::from(traffic.failed)).into()),
        ("responses", Value::Array(answers.classes.into_iter().map(Value::from).collect())),
        ("first", times(&answers.first)),
        ("final", times(&answers.last)),
    ]
}

fn times(times: &Times) -> Value {
    let counts = times.counts.into_iter().map(Value::from).collect();
    Value::object([("counts", Value::Array(counts)), ("sum_ms", times.sum_ms.into())])
}

fn numbers(numbers: impl IntoIterator<Item = u32>) -> Value {
    Value::Array(numbers.into_iter().map(Value::from).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::tests::Running;
    use crate::control::{Asker, ReloadHow};
    use crate::destination::{DestinationState, Slot};
    use crate::message::Method;
    use crate::proxy::{Event, Heard};

    fn texts_of(value: &Value, name: &str) -> Vec<String> {
        let Some(Value::Array(all)) = value.get(name) else { panic!("{name} in {value:?}") };
        all.iter().map(|one| one.get("uri").unwrap().text().unwrap()).collect()
    }

    #[test]
    fn what_a_screen_shows() {
        let list = "1 sip:192.0.2.1\n1 sip:192.0.2.2 8 5 weight=30;duid=b\n1 sip:gone.invalid\n";
        let running = Running::with(list);
        let commands = running.commands();
        commands.asked_by(Asker::Fifo).reload(ReloadHow::default()).unwrap();
        let uri = crate::control::Which::Uri("sip:192.0.2.2".into());
        commands.set_state(1, &uri, DestinationState::Disabled, false).unwrap();
        for (slot, code) in [(0, 503), (1, 200)] {
            running.traffic().count(
                0,
                &Event::Heard(Heard {
                    slot: Slot(slot),
                    method: Method::Invite,
                    code,
                    is_first: true,
                    is_final: true,
                    age_ms: Some(7),
                    retry_after_s: None,
                    failed: None,
                }),
            );
        }
        let status = of(&commands, usize::MAX, usize::MAX);
        let int = |of: &Value, name: &str| of.get(name).and_then(Value::int);
        assert_eq!(int(&status, "workers"), Some(1));
        assert_eq!(status.get("source_read"), Some(&Value::Bool(true)));
        assert_eq!(
            status.get("bounds_ms").map(|of| format!("{of:?}").matches("Int").count()),
            Some(15)
        );
        let Some(Value::Array(sets)) = status.get("sets") else { panic!("{status:?}") };
        let [set] = &sets[..] else { panic!("{sets:?}") };
        // Those that get no calls come first.
        let wants = ["sip:192.0.2.2", "sip:gone.invalid", "sip:192.0.2.1"];
        assert_eq!(texts_of(set, "destinations"), wants);
        let states = [("active", 1), ("disabled", 1), ("unresolved", 1)];
        let states = states.map(|(state, count)| (state.to_owned(), Value::Int(count)));
        assert_eq!(set.get("states"), Some(&Value::Struct(states.into())));
        let classes = |counts: [i64; 6]| Value::Array(counts.map(Value::Int).into());
        assert_eq!(set.get("responses"), Some(&classes([0, 1, 0, 0, 1, 0])));
        assert_eq!((int(set, "count"), int(set, "answered")), (Some(3), Some(2)));
        let Some(Value::Array(destinations)) = set.get("destinations") else { panic!() };
        let disabled = &destinations[0];
        assert_eq!(disabled.get("reason"), Some(&Value::from("by a command")));
        assert!(disabled.get("since").unwrap().text().unwrap().starts_with("20"));
        assert_eq!(int(disabled, "weight"), Some(30));
        assert_eq!(int(disabled.get("first").unwrap(), "sum_ms"), Some(7));
        assert_eq!(disabled.get("probed"), Some(&Value::Bool(false)));
        let Some(Value::Array(reloads)) = status.get("reloads") else { panic!() };
        assert_eq!(reloads.len(), 1);
        assert_eq!(reloads[0].get("by"), Some(&Value::from("a command at the FIFO")));
        let text = "0 added, 0 removed, 0 changed";
        assert_eq!(reloads[0].get("changed"), Some(&Value::from(text)));
        let short = of(&commands, 9, 2);
        let Some(Value::Array(sets)) = short.get("sets") else { panic!() };
        assert_eq!(texts_of(&sets[0], "destinations"), wants[..2]);
        assert_eq!(int(&sets[0], "count"), Some(3));
    }

    /// The watching thread reads the counters of the workers ten times a second.
    #[test]
    fn when_it_was_heard() {
        let running = Running::with("1 sip:192.0.2.1\n");
        let figure = |name: &str| {
            let Value::Struct(status) = of(&running.commands(), 9, 9) else { panic!() };
            let sets = status.into_iter().find(|(name, _)| name == "sets").unwrap().1;
            let Value::Array(sets) = sets else { panic!() };
            let Some(Value::Array(all)) = sets[0].get("destinations") else { panic!() };
            all[0].get(name).and_then(Value::int)
        };
        assert_eq!(figure("heard_ms_ago"), None);
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while figure("heard_ms_ago").is_none() {
            assert!(std::time::Instant::now() < end);
            running.traffic().count(
                0,
                &Event::Heard(Heard {
                    slot: Slot(0),
                    method: Method::Other,
                    code: 200,
                    is_first: false,
                    is_final: true,
                    age_ms: None,
                    retry_after_s: None,
                    failed: None,
                }),
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(figure("silent_ms"), None);
    }
}
