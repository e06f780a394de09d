//! `strowger set-state`, `ping-active`: which destinations are used, and whether they are asked.

use std::process::ExitCode;

use serde_json::json;

use super::client::RelaySocket;
use super::show::{self, count, field};

/// Put destinations of the running relay into another state
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
STATE is active, trying, inactive or disabled, or Kamailio's letters for them, such as a, ap or dx:
a second letter p asks for probes, x for none. In words, probing stays as it is.

Examples:
  strowger set-state disabled 1 sip:192.0.2.10:5060
  strowger set-state active 1 all")]
pub(crate) struct SetStateArgs {
    /// State to put it into
    #[arg(value_parser = read_state)]
    state: (&'static str, Option<bool>),
    /// Set
    set: u32,
    /// Its URI, or the address of one that has several; all: every destination of the set
    #[arg(value_name = "URI|all", required_unless_present = "duid", conflicts_with = "duid")]
    uri: Option<String>,
    /// The destination with this duid attribute instead
    #[arg(long, value_name = "DUID")]
    duid: Option<String>,
    #[command(flatten)]
    socket: RelaySocket,
}

pub(crate) fn set_state(args: &SetStateArgs) -> ExitCode {
    let (state, is_probed) = args.state;
    let mut params = json!({ "set": args.set, "state": state });
    if let Some(is_probed) = is_probed {
        params["probed"] = is_probed.into();
    }
    match (&args.duid, args.uri.as_deref()) {
        (Some(duid), _) => params["duid"] = duid.as_str().into(),
        (None, Some("all")) => params["all"] = true.into(),
        (None, uri) => params["uri"] = uri.into(),
    }
    show::reply(args.socket.ask("strowger.set_state", &params), false, |reply| {
        show::warn(reply);
        let changed = reply["changed"].as_u64().unwrap_or(0);
        format!("{} of set {} now {state}", count(changed, "destination"), args.set)
    })
}

/// The word for a state, and whether pings are asked for when that is said.
fn read_state(text: &str) -> Result<(&'static str, Option<bool>), String> {
    let text = text.to_ascii_lowercase();
    for word in ["active", "trying", "inactive", "disabled"] {
        if text == word {
            return Ok((word, None));
        }
        match text.strip_prefix(&word[..1]) {
            Some("p") => return Ok((word, Some(true))),
            Some("" | "x") => return Ok((word, Some(false))),
            _ => {}
        }
    }
    Err("write active, trying, inactive or disabled, or letters such as ap".into())
}

/// Stop all probes of the running relay, or send them again
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Example:
  strowger ping-active off")]
pub(crate) struct PingActiveArgs {
    /// on or off; without it the present state is shown
    #[arg(value_parser = ["on", "off"])]
    now: Option<String>,
    #[command(flatten)]
    socket: RelaySocket,
}

pub(crate) fn ping_active(args: &PingActiveArgs) -> ExitCode {
    let params = match args.now.as_deref() {
        Some(now) => json!([u8::from(now == "on")]),
        None => json!([]),
    };
    let word = |value: String| if value == "0" { "off" } else { "on" };
    show::reply(args.socket.ask("dispatcher.ping_active", &params), false, |reply| {
        let old = word(field(reply, "OldPingState"));
        let now = match reply.get("NewPingState") {
            Some(_) => format!("{} (was {old})", word(field(reply, "NewPingState"))),
            None => old.into(),
        };
        if now.starts_with("off") {
            return format!("{now}\nNo destination is probed until strowger ping-active on.");
        }
        now
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_by_word_and_by_letter() {
        for (text, wants) in [
            ("active", Some(("active", None))),
            ("Disabled", Some(("disabled", None))),
            ("a", Some(("active", Some(false)))),
            ("AP", Some(("active", Some(true)))),
            ("ix", Some(("inactive", Some(false)))),
            ("tp", Some(("trying", Some(true)))),
            ("up", None),
            ("", None),
            ("activ", None),
        ] {
            assert_eq!(read_state(text).ok(), wants, "{text}");
        }
    }
}
