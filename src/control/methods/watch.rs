//! `strowger.*` for monitoring a relay and taking a server out of service: states by name,
//! draining, open calls, and explanations.

use std::net::SocketAddr;

use super::own::{flag, needed, texts};
use super::{Call, failed};
use crate::control::commands::{ListedRecord, Which};
use crate::control::{Candidate, Explanation, SourceIs, StillComing, state_word};
use crate::destination::{DestinationState, DestinationUri, Flags};
use crate::hex;
use crate::proxy::Verdict;
use crate::rpc::{Answer, Value};

/// `{set, state, uri | duid | all, probed}`; without `probed`, probing stays as it is.
pub(super) fn set_state(call: &Call<'_>) -> Answer {
    let set = needed(call.set(0), "set", "the number of a set")?;
    let state = needed(
        call.text(1, "state").and_then(|word| state_of(&word)),
        "state",
        "active, trying, inactive or disabled",
    )?;
    let which = match (call.text(2, "uri"), call.text(3, "duid"), flag(call, 4, "all")?) {
        (Some(uri), None, None | Some(false)) => Which::Uri(uri),
        (None, Some(duid), None | Some(false)) => Which::Duid(duid),
        (None, None, Some(true)) => Which::All,
        _ => return needed(None, "uri", "one of uri, duid and all"),
    };
    let is_probed = match flag(call, 5, "probed")? {
        Some(is_probed) => is_probed,
        None => are_probed(call, set, &which),
    };
    match call.commands.set_state(set, &which, state, is_probed) {
        Ok(changed) => Ok(Value::object([
            ("changed", changed.count.into()),
            ("warnings", texts(changed.warnings)),
        ])),
        Err(errors) => Err(failed("State Update Failed", &errors)),
    }
}

/// Returns the state with this name.
fn state_of(word: &str) -> Option<DestinationState> {
    let all = [
        DestinationState::Active,
        DestinationState::Trying,
        DestinationState::Inactive,
        DestinationState::Disabled,
    ];
    all.into_iter().find(|state| state_word(Flags::default().in_state(*state, false)) == word)
}

/// Returns whether all selected destinations are probed now.
fn are_probed(call: &Call<'_>, set: u32, which: &Which) -> bool {
    let text_of = |uri: &str| DestinationUri::parse(uri).map_or(uri.to_owned(), |uri| uri.text);
    let is_selected = |record: &ListedRecord| match which {
        Which::All => true,
        Which::Uri(uri) => {
            let has_address = |socket: SocketAddr| text_of(uri) == format!("sip:{socket}");
            record.uri.eq_ignore_ascii_case(&text_of(uri))
                || record.addresses.iter().any(|address| has_address(address.address.socket))
        }
        Which::Duid(duid) => {
            let mut pairs = record.attributes.text.split(';');
            pairs.any(|pair| pair.trim() == format!("duid={duid}"))
        }
    };
    let listing = call.commands.list();
    let sets = listing.sets.iter().filter(|listed| listed.id == set);
    let mut selected =
        sets.flat_map(|set| &set.records).filter(|record| is_selected(record)).peekable();
    selected.peek().is_some() && selected.all(|record| record.flags.bits() & Flags::PROBING != 0)
}

/// `{on}`: refuses new requests, or accepts them again.
pub(super) fn drain(call: &Call<'_>) -> Answer {
    let on = flag(call, 0, "on")?.unwrap_or(true);
    match call.commands.drain(on) {
        Ok(was) => Ok(Value::object([("on", on.into()), ("was", was.into())])),
        Err(errors) => Err(failed("Not drained", &errors)),
    }
}

/// Lists what is remembered of each destination.
pub(super) fn remembered(call: &Call<'_>) -> Answer {
    let destinations = call.commands.remembered().into_iter().map(still_coming).collect();
    Ok(Value::object([("destinations", Value::Array(destinations))]))
}

fn still_coming(destination: StillComing) -> Value {
    let StillComing { sets, uri, address, remembered } = destination;
    Value::object([
        ("sets", sets_of(sets)),
        ("uri", uri.into()),
        ("address", address.to_string().into()),
        ("open", remembered.open.into()),
        ("ended", remembered.ended.into()),
        ("calls", remembered.calls.into()),
        ("challenges", remembered.challenges.into()),
        ("newest_age_s", (remembered.newest_age_ms / 1_000).into()),
    ])
}

/// `{message | message_hex, from, to}`: explains what the relay would do with a message.
pub(super) fn explain(call: &Call<'_>) -> Answer {
    let message = match (call.text(0, "message"), call.text(3, "message_hex")) {
        (Some(text), _) => text.into_bytes(),
        (None, digits) => {
            let bytes = digits.and_then(|digits| {
                let mut room = vec![0; digits.len() / 2];
                hex::decode(digits.as_bytes(), &mut room).map(<[u8]>::to_vec)
            });
            needed(bytes, "message", "a SIP message, or its bytes in message_hex")?
        }
    };
    let from = match call.text(1, "from") {
        Some(text) => Some(needed(text.parse().ok(), "from", "ADDRESS:PORT")?),
        None => None,
    };
    match call.commands.explain(&message, from, call.text(2, "to").as_deref()) {
        Ok(explanation) => Ok(of_explanation(explanation)),
        Err(errors) => Err(failed("Not explained", &errors)),
    }
}

/// Returns the group of a verdict's counter, and its name in the group.
pub(super) fn names_of(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Forwarded(how) => ("forwarded", how.label()),
        Verdict::Answered(answer) => ("answered", answer.label()),
        Verdict::Dropped(reason) => ("dropped", reason.label()),
        Verdict::HandedOver(_) => ("handed_over", "handed_over"),
    }
}

fn of_explanation(explanation: Explanation) -> Value {
    let (verdict, label) = names_of(explanation.verdict);
    let source_is = match explanation.source_is {
        SourceIs::Given => "given",
        SourceIs::Read => "read",
        SourceIs::MadeUp => "made_up",
    };
    let leaves = explanation.leaves.map_or(Value::Null, |leaves| {
        let mut members = vec![
            ("to", leaves.to.to_string().into()),
            ("by", leaves.by.into()),
            ("message", String::from_utf8_lossy(&leaves.bytes).into_owned().into()),
        ];
        if std::str::from_utf8(&leaves.bytes).is_err() {
            let mut digits = vec![0; 2 * leaves.bytes.len()];
            hex::encode(&leaves.bytes, &mut digits);
            members.push(("message_hex", String::from_utf8_lossy(&digits).into_owned().into()));
        }
        Value::object(members)
    });
    Value::object([
        ("message", explanation.message.into()),
        ("source", explanation.source.to_string().into()),
        ("source_is", source_is.into()),
        ("listener", explanation.listener.into()),
        ("verdict", verdict.into()),
        // The counter that such a message increments.
        ("counter", format!("{verdict}.{label}").into()),
        ("says", explanation.says.into()),
        ("because", texts(explanation.because)),
        ("set", explanation.set.into()),
        ("candidates", Value::Array(explanation.candidates.into_iter().map(candidate).collect())),
        ("other_sets", sets_of(explanation.other_sets)),
        ("leaves", leaves),
    ])
}

pub(super) fn candidate(candidate: Candidate) -> Value {
    let turn = candidate.turn.map_or(Value::Null, Value::from);
    Value::object([
        ("uri", candidate.uri.into()),
        ("address", candidate.address.map(|address| address.to_string()).into()),
        ("state", state_word(candidate.flags).into()),
        ("flags", candidate.flags.letters().into()),
        ("is_taken", candidate.is_taken.into()),
        ("turn", turn),
        ("excluded", candidate.excluded.into()),
        ("passed_over", candidate.passed_over.into()),
    ])
}

fn sets_of(sets: Vec<u32>) -> Value {
    Value::Array(sets.into_iter().map(Value::from).collect())
}
