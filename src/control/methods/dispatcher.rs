//! `dispatcher.*`: answers in the words of Kamailio's module. The reasons for a failure, which
//! Kamailio only logs, are added.

use super::{Call, failed, list};
use crate::control::commands::{NewRecord, ReloadHow, Which};
use crate::destination::{DestinationState, hash};
use crate::rpc::{Answer, Fault, Value};

pub(super) fn list(call: &Call<'_>) -> Answer {
    let detail = match call.text(0, "detail").as_deref() {
        Some("short") => list::Detail::Short,
        Some("full") => list::Detail::Full,
        _ => list::Detail::Normal,
    };
    let listing = call.commands.list();
    if listing.sets.is_empty() {
        return Err(Fault::failed("No Destination Sets"));
    }
    Ok(list::tree(&listing, detail))
}

pub(super) fn reload(call: &Call<'_>) -> Answer {
    match call.commands.reload(ReloadHow::default()) {
        Ok(_) => Ok("Ok. Dispatcher successfully reloaded.".into()),
        Err(errors) => Err(failed("Reload Failed", &errors)),
    }
}

pub(super) fn set_state(call: &Call<'_>) -> Answer {
    set(call, "address", |address| match address.as_str() {
        "all" => Which::All,
        _ => Which::Uri(address),
    })
}

pub(super) fn set_duid_state(call: &Call<'_>) -> Answer {
    set(call, "duid", Which::Duid)
}

fn set(call: &Call<'_>, name: &str, which: impl FnOnce(String) -> Which) -> Answer {
    let (Some(state), Some(set), Some(text)) =
        (call.text(0, "state"), call.set(1), call.text(2, name))
    else {
        return Err(Fault::failed("Invalid Parameters"));
    };
    if state.is_empty() {
        return Err(Fault::failed("Invalid State Parameter"));
    }
    let Some((state, is_probed)) = state_of(&state) else {
        let why = format!("{state:?}: write a, i, t or d, with p behind it when it is probed");
        return Err(Fault::failed("Unknown State Value").because([why]));
    };
    match call.commands.set_state(set, &which(text), state, is_probed) {
        Ok(_) => Ok("Ok. Dispatcher state updated.".into()),
        Err(errors) => Err(failed("State Update Failed", &errors)),
    }
}

/// Parses `ap`, `1`, `I`, …: a letter or digit for the state, then `p` if it is probed.
fn state_of(text: &str) -> Option<(DestinationState, bool)> {
    let mut letters = text.chars();
    let state = match letters.next()?.to_ascii_lowercase() {
        '0' | 'i' => DestinationState::Inactive,
        '1' | 'a' => DestinationState::Active,
        '2' | 'd' => DestinationState::Disabled,
        '3' | 't' => DestinationState::Trying,
        _ => return None,
    };
    // Kamailio reads no more than two letters.
    let is_probed = letters.next().is_some_and(|letter| letter.eq_ignore_ascii_case(&'p'));
    Some((state, is_probed && state != DestinationState::Disabled))
}

pub(super) fn add(call: &Call<'_>) -> Answer {
    let (Some(set), Some(uri)) = (call.set(0), call.text(1, "uri")) else {
        return Err(Fault::failed("Invalid Parameters"));
    };
    let new = NewRecord {
        set,
        uri,
        flags: call.number(2, "flags").unwrap_or(0),
        priority: call.number(3, "priority").unwrap_or(0),
        attributes: call.text(4, "attributes").unwrap_or_default(),
    };
    match call.commands.add(&new, None) {
        Ok(_) => Ok("Ok. Dispatcher destination added.".into()),
        Err(errors) => Err(failed("Adding dispatcher dst failed", &errors)),
    }
}

pub(super) fn remove(call: &Call<'_>) -> Answer {
    let (Some(set), Some(uri)) = (call.set(0), call.text(1, "uri")) else {
        return Err(Fault::failed("Invalid Parameters"));
    };
    match call.commands.remove(set, &uri, None) {
        // Kamailio answers the same if there was none.
        Ok(_) => Ok("Ok. Dispatcher destination removed.".into()),
        Err(errors) => Err(failed("Removing dispatcher dst failed", &errors)),
    }
}

pub(super) fn ping_active(call: &Call<'_>) -> Answer {
    let Some(now) = call.params.get(0, "state") else {
        return Ok(Value::object([(
            "OldPingState",
            state_number(call.commands.ping_active(None)),
        )]));
    };
    let Some(now) = now.bool() else {
        return Err(Fault::failed("Invalid Parameters"));
    };
    let before = call.commands.ping_active(Some(now));
    Ok(Value::object([("NewPingState", state_number(now)), ("OldPingState", state_number(before))]))
}

fn state_number(is_active: bool) -> Value {
    Value::Int(is_active.into())
}

pub(super) fn hash(call: &Call<'_>) -> Answer {
    let (Some(slots), Some(first)) = (call.number::<u32>(0, "slots"), call.text(1, "value1"))
    else {
        return Err(Fault::failed("Invalid Parameters"));
    };
    let second = call.text(2, "value2");
    let hash = hash::kamailio(first.as_bytes(), second.unwrap_or_default().as_bytes());
    let slot = hash.checked_rem(slots).unwrap_or(0);
    Ok(Value::object([("hashid", hash.into()), ("slot", slot.into())]))
}

pub(super) fn oclist(call: &Call<'_>) -> Answer {
    let Some(set) = call.set(0) else {
        return Err(Fault::failed("Invalid Parameters"));
    };
    let listing = call.commands.list();
    match listing.sets.iter().find(|listed| listed.id == set) {
        Some(listed) => Ok(list::overload_tree(listed)),
        None => Err(Fault::new(404, "Destination Group Not Found")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_of_states() {
        for (text, wants) in [
            ("ip", Some((DestinationState::Inactive, true))),
            ("I", Some((DestinationState::Inactive, false))),
            ("0", Some((DestinationState::Inactive, false))),
            ("1P", Some((DestinationState::Active, true))),
            ("ax", Some((DestinationState::Active, false))),
            ("dp", Some((DestinationState::Disabled, false))),
            ("2", Some((DestinationState::Disabled, false))),
            ("tp", Some((DestinationState::Trying, true))),
            ("3", Some((DestinationState::Trying, false))),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(state_of(text), wants, "{text}");
        }
    }
}
