//! `system.*`: lists the methods and what they do.

use super::{ALL, Call, find};
use crate::rpc::{Answer, Fault, Value};

pub(super) fn list(_: &Call<'_>) -> Answer {
    Ok(Value::Array(ALL.iter().map(|method| method.name.into()).collect()))
}

pub(super) fn help(call: &Call<'_>) -> Answer {
    let Some(name) = call.text(0, "method") else {
        return Err(Fault::new(400, "Invalid Parameters"));
    };
    let method = find(&name).ok_or_else(Fault::method_not_found)?;
    Ok(method.help.into())
}
