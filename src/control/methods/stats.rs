//! `stats.*`: the counters, under our own names in the group `strowger`, and under Kamailio's names
//! in the group `core` if they count the same.

use super::Call;
use crate::rpc::{Answer, Fault, Value};
use crate::stats::Totals;

/// A group, a name in it, a number.
type Counter = (&'static str, String, u64);

pub(super) fn get_statistics(call: &Call<'_>) -> Answer {
    let lines = wanted(call)?.into_iter();
    let lines = lines.map(|(group, name, value)| format!("{group}:{name} = {value}").into());
    Ok(Value::Array(lines.collect()))
}

pub(super) fn fetch(call: &Call<'_>) -> Answer {
    struct_of(call, |value| value.to_string().into())
}

pub(super) fn fetch_numbers(call: &Call<'_>) -> Answer {
    struct_of(call, Value::from)
}

fn struct_of(call: &Call<'_>, shown: fn(u64) -> Value) -> Answer {
    let counters = wanted(call)?.into_iter();
    let members = counters.map(|(group, name, value)| (format!("{group}.{name}"), shown(value)));
    Ok(Value::Struct(members.collect()))
}

fn wanted(call: &Call<'_>) -> Result<Vec<Counter>, Fault> {
    if call.params.is_empty() {
        return Err(Fault::new(400, "Please provide which stats to retrieve"));
    }
    let all = counters(&call.commands.totals());
    let mut wanted = Vec::new();
    for value in call.params.values() {
        let Some(text) = value.text() else {
            return Err(Fault::new(400, "Invalid Parameters"));
        };
        wanted.extend(all.iter().filter(|counter| matches_text(counter, &text)).cloned());
    }
    Ok(wanted)
}

/// Matches `all`, a group such as `core:`, a name, or a group and a name.
fn matches_text((group, name, _): &Counter, text: &str) -> bool {
    let of_group = text.strip_prefix(group).and_then(|rest| rest.strip_prefix([':', '.']));
    text == "all" || text == name || of_group.is_some_and(|rest| rest.is_empty() || rest == name)
}

fn counters(totals: &Totals) -> Vec<Counter> {
    let responses = totals.responses();
    let core = [
        ("fwd_replies", responses),
        ("fwd_requests", totals.forwarded_all() - responses),
        ("sent_replies", totals.sent_answer),
    ];
    let core = core.map(|(name, value)| ("core", name.to_owned(), value));
    let own = totals.iter().map(|(name, value)| ("strowger", name, value));
    core.into_iter().chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_names_and_both() {
        let counter = ("core", "fwd_requests".to_owned(), 7);
        for (text, is) in [
            ("all", true),
            ("core:", true),
            ("core", false),
            ("fwd_requests", true),
            ("core:fwd_requests", true),
            ("core.fwd_requests", true),
            ("strowger:", false),
            ("fwd", false),
            ("", false),
        ] {
            assert_eq!(matches_text(&counter, text), is, "{text}");
        }
    }
}
