//! `strowger.trace` and what belongs to it: the messages of selected calls, as they pass.

use std::net::{IpAddr, SocketAddr};

use super::own::needed;
use super::watch::{candidate, names_of};
use super::{Call, failed};
use crate::capture::{Filter, What};
use crate::control::explain::rule_of;
use crate::control::{Explanation, TracedMessage};
use crate::hex;
use crate::limits::TRACE_CANDIDATES_MAX;
use crate::proxy::Cause;
use crate::rpc::{Answer, Fault, Value};

/// `{call_id, from, to, destination}`: everything that is given must hold.
pub(super) fn start(call: &Call<'_>) -> Answer {
    let destination = match call.text(3, "destination") {
        Some(text) => Some(needed(address(&text), "destination", "ADDRESS or ADDRESS:PORT")?),
        None => None,
    };
    let filter = Filter {
        call_id: call.text(0, "call_id"),
        from: call.text(1, "from"),
        to: call.text(2, "to"),
        destination,
        share: None,
    };
    match call.commands.trace(filter) {
        Ok(number) => Ok(Value::object([("trace", number.into())])),
        Err(errors) => Err(failed("Not traced", &errors)),
    }
}

fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let socket = text.parse().map(|socket: SocketAddr| (socket.ip(), Some(socket.port()))).ok();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    socket.or_else(|| Some((bare.parse().ok()?, None)))
}

/// `{trace}`: what it has seen since it was last read.
pub(super) fn read(call: &Call<'_>) -> Answer {
    match call.commands.trace_read(number(call)?) {
        Ok(traced) => Ok(Value::object([
            ("messages", Value::Array(traced.messages.into_iter().map(message).collect())),
            ("more", traced.has_more.into()),
            ("lost", traced.lost.into()),
        ])),
        Err(errors) => Err(failed("No trace", &errors)),
    }
}

/// `{trace}`
pub(super) fn end(call: &Call<'_>) -> Answer {
    Ok(Value::object([("ended", call.commands.trace_end(number(call)?).into())]))
}

fn number(call: &Call<'_>) -> Result<u64, Fault> {
    needed(call.number(0, "trace"), "trace", "the number that strowger.trace returned")
}

fn message(traced: TracedMessage) -> Value {
    let TracedMessage { record, local, bytes, explanation } = traced;
    let (direction, from, to) = match record.what {
        What::Received(_) => ("received", record.peer, local),
        What::Sent(_) => ("sent", local, record.peer),
    };
    let at_us = u64::try_from(record.at.as_micros()).unwrap_or(u64::MAX);
    let mut members = vec![
        ("at_us", Value::from(at_us)),
        ("direction", direction.into()),
        ("from", from.to_string().into()),
        ("to", to.to_string().into()),
        ("worker", u32::from(record.worker).into()),
        ("length", record.len.into()),
    ];
    match record.what {
        What::Received(verdict) => {
            let (group, name) = names_of(verdict);
            members.push(("counter", format!("{group}.{name}").into()));
            members.push(("because", rule_of(verdict).map_or(Value::Null, Value::from)));
        }
        What::Sent(cause) => {
            let cause = match cause {
                Cause::Forward => "forward",
                Cause::Answer => "answer",
                Cause::Transaction => "transaction",
            };
            members.push(("cause", cause.into()));
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => members.push(("message", text.into())),
        Err(error) => {
            let mut digits = vec![0; 2 * error.as_bytes().len()];
            hex::encode(error.as_bytes(), &mut digits);
            members.push(("message_hex", String::from_utf8_lossy(&digits).into_owned().into()));
        }
    }
    if let Some(explanation) = explanation {
        members.push(("now", of_explanation(explanation)));
    }
    Value::object(members)
}

/// What `strowger.explain` says now, as far as it says more than what was decided then.
fn of_explanation(explanation: Explanation) -> Value {
    let count = explanation.candidates.len();
    let candidates = explanation.candidates.into_iter().take(TRACE_CANDIDATES_MAX).map(candidate);
    Value::object([
        ("says", explanation.says.into()),
        ("because", super::own::texts(explanation.because)),
        ("set", explanation.set.into()),
        ("algorithm", explanation.algorithm.into()),
        ("candidates", Value::Array(candidates.collect())),
        ("candidates_all", count.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_an_address_with_or_without_a_port() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, wants) in [
            ("10.0.0.1:5060", Some((ip("10.0.0.1"), Some(5060)))),
            ("10.0.0.1", Some((ip("10.0.0.1"), None))),
            ("[2001:db8::1]:5060", Some((ip("2001:db8::1"), Some(5060)))),
            ("2001:db8::1", Some((ip("2001:db8::1"), None))),
            ("[2001:db8::1]", Some((ip("2001:db8::1"), None))),
            ("sip:10.0.0.1", None),
            ("10.0.0.1:", None),
            ("", None),
        ] {
            assert_eq!(address(text), wants, "{text}");
        }
    }
}
