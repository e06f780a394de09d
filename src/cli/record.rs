//! `strowger add` and `strowger remove`: one destination more or less, nothing else touched.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{RelaySocket, shown};
use super::show::{self, all, count};

/// Add one destination to the running relay
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Example:
  strowger add 1 sip:192.0.2.12:5060 --priority 10 --attrs 'duid=ms3' --save")]
pub(crate) struct AddArgs {
    /// Set
    set: u32,
    /// Its URI
    uri: String,
    /// Its flags, Kamailio's numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    flags: u32,
    /// Its priority: the higher goes first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Its attributes, NAME=VALUE;…
    #[arg(long, value_name = "TEXT", default_value = "")]
    attrs: String,
    #[command(flatten)]
    save: Save,
    #[command(flatten)]
    socket: RelaySocket,
}

/// Remove a destination from the running relay
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Calls in progress stay where they are.

Example:
  strowger remove 1 sip:192.0.2.12:5060")]
pub(crate) struct RemoveArgs {
    /// Set
    set: u32,
    /// Its URI
    uri: String,
    #[command(flatten)]
    save: Save,
    #[command(flatten)]
    socket: RelaySocket,
}

#[derive(clap::Args, Clone, Debug)]
struct Save {
    /// Write it to the source too [default: as the configuration says]
    #[arg(long, overrides_with = "no_save")]
    save: bool,
    /// Do not write it to the source: the next reload undoes it
    #[arg(long)]
    no_save: bool,
}

impl Save {
    fn put_into(&self, params: &mut Value) {
        if self.save || self.no_save {
            params["save"] = self.save.into();
        }
    }
}

pub(crate) fn add(args: &AddArgs) -> ExitCode {
    let mut params = json!({
        "set": args.set,
        "uri": args.uri,
        "flags": args.flags,
        "priority": args.priority,
        "attributes": args.attrs,
    });
    args.save.put_into(&mut params);
    show::reply(args.socket.ask("strowger.add", &params), false, |reply| {
        let notes = all(reply, "notes").iter().filter_map(Value::as_str);
        let notes: String = notes.map(|note| format!("\nwarning: {}", shown(note))).collect();
        let saved = reply["saved"].as_str();
        let saved = saved.map(|place| format!(", saved as {}", shown(place))).unwrap_or_default();
        format!("added to set {}: {}{saved}{notes}", args.set, shown(&args.uri))
    })
}

pub(crate) fn remove(args: &RemoveArgs) -> ExitCode {
    let mut params = json!({ "set": args.set, "uri": args.uri });
    args.save.put_into(&mut params);
    match args.socket.ask("strowger.remove", &params) {
        Ok(reply) => match reply["removed"].as_u64().unwrap_or(0) {
            0 => {
                super::client::Trouble(vec![format!("set {} has no {}", args.set, args.uri)]).tell()
            }
            removed => show::print(&format!(
                "{} of set {} removed",
                count(removed, "destination"),
                args.set
            )),
        },
        Err(trouble) => trouble.tell(),
    }
}
