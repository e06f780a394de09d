//! `core.*`: version, uptime and the like.

use std::env::consts::{ARCH, OS};
use std::time::SystemTime;

use super::{Call, time};
use crate::rpc::{Answer, Fault, Value};

/// In Kamailio's layout: name, version, machine.
pub(super) fn version(_: &Call<'_>) -> Answer {
    Ok(format!("{NAME} {VERSION} ({ARCH}/{OS})").into())
}

pub(super) fn info(_: &Call<'_>) -> Answer {
    Ok(Value::object([("version", format!("{NAME} {VERSION}").into())]))
}

/// Times are in UTC.
pub(super) fn uptime(call: &Call<'_>) -> Answer {
    let (now, uptime) = (SystemTime::now(), call.commands.uptime());
    let since = now.checked_sub(uptime).unwrap_or(now);
    Ok(Value::object([
        ("now", time::text(now).into()),
        ("up_since", time::text(since).into()),
        ("uptime", uptime.as_secs().into()),
    ]))
}

pub(super) fn echo(call: &Call<'_>) -> Answer {
    let mut values: Vec<_> = call.params.values().cloned().collect();
    match values.len() {
        0 => Err(Fault::failed("Invalid Parameters")),
        1 => Ok(values.remove(0)),
        _ => Ok(Value::Array(values)),
    }
}

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");
