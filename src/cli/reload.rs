//! `strowger reload`: reads configuration and destinations again, or says what that would do.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{RelaySocket, shown};
use super::show::{self, all, cell, count, field};

/// Let the running relay read its configuration and destinations again
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
A mistake changes nothing; all of them are told, and the exit status is 1. So it is for a dry run of
what would be refused.

Example:
  strowger reload --dry-run")]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    socket: RelaySocket,
    /// Only say what it would change
    #[arg(long)]
    dry_run: bool,
    /// Even when it empties a set, or removes more of one than the configuration lets it
    #[arg(long)]
    force: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReloadArgs) -> ExitCode {
    let how = json!({ "dry_run": args.dry_run, "force": args.force });
    let reply = args.socket.ask("strowger.reload", &how);
    let would_be_refused =
        reply.as_ref().is_ok_and(|plan| !args.force && !all(plan, "refused").is_empty());
    let code = show::reply(reply, args.json, |reloaded| text(reloaded, args.dry_run));
    if would_be_refused { ExitCode::FAILURE } else { code }
}

fn text(reloaded: &Value, is_dry_run: bool) -> String {
    let mut table = show::table(&["", "set", "destination", "what"]);
    let plan = &reloaded["plan"];
    let mut changes = 0;
    for (list, sign) in [("added", "+"), ("removed", "-"), ("changed", "~")] {
        for change in all(plan, list) {
            changes += 1;
            let what = field(change, "what");
            let what = if what.is_empty() { list.to_owned() } else { what };
            table.add_row([
                cell(sign),
                cell(&field(change, "set")),
                cell(&field(change, "uri")),
                cell(&what),
            ]);
        }
    }
    show::right(&mut table, &[1]);
    let mut text = String::new();
    if changes > 0 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n", show::text(&table));
    }
    for note in all(reloaded, "notes").iter().filter_map(Value::as_str) {
        let _ = writeln!(text, "warning: {}", shown(note));
    }
    for why in all(reloaded, "refused").iter().filter_map(Value::as_str) {
        let _ = writeln!(text, "refused without --force: {}", shown(why));
    }
    let number = |list| all(plan, list).len() as u64;
    let would = if is_dry_run { "would be " } else { "" };
    let _ = write!(
        text,
        "{} {would}added, {} removed, {} changed; {} as before",
        count(number("added"), "destination"),
        number("removed"),
        number("changed"),
        plan["unchanged"].as_u64().unwrap_or(0),
    );
    text.push_str(if is_dry_run { ". Nothing was changed." } else { "." });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_table() {
        let change =
            |set: u32, uri: &str, what: &str| json!({ "set": set, "uri": uri, "what": what });
        let plan = json!({ "plan": {
            "added": [change(1, "sip:10.0.0.4:5060", "")],
            "removed": [change(12, "sip:10.0.0.1", "")],
            "changed": [change(1, "sip:10.0.0.2:5060", "flags 0 -> 4")],
            "unchanged": 7 },
            "refused": ["set 12 would be empty"],
            "notes": ["unknown attributes, kept as they are: own"],
        });
        let wants = "    set  destination        what
 +    1  sip:10.0.0.4:5060  added
 -   12  sip:10.0.0.1       removed
 ~    1  sip:10.0.0.2:5060  flags 0 -> 4

warning: unknown attributes, kept as they are: own
refused without --force: set 12 would be empty
1 destination would be added, 1 removed, 1 changed; 7 as before. Nothing was changed.";
        assert_eq!(text(&plan, true), wants, "\n{}", text(&plan, true));
        let nothing = text(&json!({ "plan": { "unchanged": 2 } }), false);
        assert_eq!(nothing, "0 destinations added, 0 removed, 0 changed; 2 as before.");
    }
}
