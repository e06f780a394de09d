//! The questions that need few words: `hash`, `oclist`, `stats`.

use std::process::ExitCode;

use comfy_table::Table;
use serde_json::{Value, json};

use super::client::RelaySocket;
use super::show::{self, cell, field};

/// Show which of N slots Kamailio's hash gives to one or two values
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Example:
  strowger hash 8 alice example.com")]
pub(crate) struct HashArgs {
    /// Number of slots
    nslots: u32,
    /// First value
    value1: String,
    /// Second value
    value2: Option<String>,
    #[command(flatten)]
    socket: RelaySocket,
}

pub(crate) fn hash(args: &HashArgs) -> ExitCode {
    let mut params = vec![json!(args.nslots), json!(args.value1)];
    params.extend(args.value2.as_ref().map(|value| json!(value)));
    show::reply(args.socket.ask("dispatcher.hash", &params.into()), false, |reply| {
        format!("slot {} of {}, hash {}", field(reply, "slot"), args.nslots, field(reply, "hashid"))
    })
}

/// Show the overload control of a set's destinations
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Example:
  strowger oclist 1")]
pub(crate) struct OclistArgs {
    /// Set
    set: u32,
    #[command(flatten)]
    socket: RelaySocket,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn oclist(args: &OclistArgs) -> ExitCode {
    show::reply(args.socket.ask("dispatcher.oclist", &json!([args.set])), args.json, |reply| {
        let rows = reply.as_array().map_or(&[][..], Vec::as_slice);
        let Some(names) = rows.first().and_then(Value::as_object) else {
            return format!("set {} has no destinations", args.set);
        };
        let names: Vec<&str> = names.keys().map(String::as_str).collect();
        let mut table = show::table(&names);
        for row in rows {
            table.add_row(names.iter().map(|name| cell(&field(row, name))));
        }
        show::text(&table)
    })
}

/// Show what the running relay counted
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Example:
  strowger stats --all")]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    socket: RelaySocket,
    /// Counters that are still 0, too
    #[arg(long)]
    all: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn stats(args: &StatsArgs) -> ExitCode {
    show::reply(args.socket.ask("strowger.stats", &json!({})), args.json, |reply| {
        counters(reply, args.all)
    })
}

fn counters(reply: &Value, with_zeros: bool) -> String {
    let counters = reply.get("counters").unwrap_or(reply);
    let drained = show::drained(counters["draining"] == 1);
    let mut table: Table = show::table(&["counter", "value"]);
    for (name, value) in counters.as_object().into_iter().flatten() {
        if with_zeros || value.as_u64() != Some(0) {
            table.add_row([cell(name), cell(&value.to_string())]);
        }
    }
    if table.is_empty() {
        return "nothing was counted yet".into();
    }
    show::right(&mut table, &[1]);
    format!("{drained}{}", show::text(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_aligned() {
        let reply = json!({ "received": 12, "dropped.stun": 0, "forwarded.chosen": 1234 });
        let wants = " counter           value\n received             12\n forwarded.chosen   1234";
        assert_eq!(counters(&reply, false), wants);
        assert!(counters(&reply, true).contains("dropped.stun"));
        let drained = counters(&json!({ "received": 12, "draining": 1 }), false);
        assert!(drained.starts_with("the relay is drained: new requests get 503;"), "{drained}");
    }
}
