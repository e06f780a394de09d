//! `--apply` and `--undo`, and what became of each file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use strowger::config::{RelayConfig, state_directories, state_directory};
use strowger::tune::{self, CHECKS, Change, Fate, Report, Row, Undone, Written};

use super::super::client::Trouble;
use super::super::show;
use super::{ADVICE, TROUBLE, TuneArgs, name, one};

/// The directory that holds `proc` and `sys`.
fn root(args: &TuneArgs) -> Result<&Path, Trouble> {
    match &args.root {
        Some(root) if !root.is_dir() => {
            Err(one(format!("{}: a record cannot be written to", root.display())))
        }
        root => Ok(root.as_deref().unwrap_or(Path::new("/"))),
    }
}

/// Where the state directory of another root is.
const STATE_BELOW_ROOT: &str = "var/lib/strowger";

pub(super) fn apply(
    args: &TuneArgs,
    relay: &RelayConfig,
    report: &Report,
    ids: &[String],
) -> Result<u8, Trouble> {
    if let Some(wrong) = ids.iter().find(|id| CHECKS.iter().all(|check| check.id != **id)) {
        let all: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
        return Err(one(format!("no advice has the id {wrong}; there are {}", all.join(", "))));
    }
    let root = root(args)?;
    let chosen = || {
        let is_chosen = |row: &Row| ids.is_empty() || ids.iter().any(|id| id == row.check.id);
        report.advice().filter(move |(row, _)| is_chosen(row))
    };
    let changes: Vec<(&str, &Change)> = chosen()
        .flat_map(|(row, advice)| advice.changes.iter().map(|change| (row.check.id, change)))
        .collect();
    let by_hand: Vec<String> = chosen()
        .filter(|(_, advice)| advice.changes.is_empty())
        .map(|(row, _)| name(row))
        .collect();
    let written = if changes.is_empty() {
        Vec::new()
    } else {
        let state = if args.root.is_some() {
            let state = root.join(STATE_BELOW_ROOT);
            fs::create_dir_all(&state).map_err(|e| one(format!("{}: {e}", state.display())))?;
            state
        } else {
            let places =
                || state_directories(relay).iter().map(|p| p.display().to_string()).collect();
            state_directory(relay).ok_or_else(|| {
                let places: Vec<String> = places();
                one(format!("cannot write a record to {}: nothing changed", places.join(" or ")))
            })?
        };
        tune::apply(root, &state, &changes).map_err(one)?
    };
    if args.json {
        let value = json!({ "written": written_json(&written), "by_hand": by_hand });
        show::put(&format!("{value:#}\n"))?;
    } else {
        let mut text = written_text(&written, "nothing to write");
        if !by_hand.is_empty() {
            let _ = writeln!(text, "\nonly by hand: {}", by_hand.join(", "));
        }
        show::put(&text)?;
    }
    Ok(code(&written))
}

pub(super) fn undo(args: &TuneArgs, relay: &RelayConfig) -> Result<u8, Trouble> {
    let root = root(args)?;
    let places = if args.root.is_some() {
        vec![root.join(STATE_BELOW_ROOT)]
    } else {
        state_directories(relay)
    };
    let mut undone = Undone::Nothing;
    for state in places {
        undone = tune::undo(root, &state).map_err(one)?;
        if undone != Undone::Nothing {
            break;
        }
    }
    let (written, said) = match undone {
        Undone::Nothing => (Vec::new(), "nothing was applied"),
        Undone::Restarted => {
            (Vec::new(), "the machine was restarted since, which has undone everything")
        }
        Undone::Written(written) => (written, ""),
    };
    if args.json {
        let said = Some(said).filter(|said| !said.is_empty());
        let value = json!({ "written": written_json(&written), "why": said });
        show::put(&format!("{value:#}\n"))?;
    } else {
        show::put(&written_text(&written, said))?;
    }
    Ok(code(&written))
}

fn code(written: &[Written]) -> u8 {
    if written.iter().any(|one| matches!(one.fate, Fate::Failed(_))) {
        TROUBLE
    } else if written.iter().any(|one| one.fate == Fate::Overtaken) {
        ADVICE
    } else {
        0
    }
}

fn fate(fate: &Fate) -> (&'static str, &str) {
    match fate {
        Fate::Done => ("written", ""),
        Fate::Already => ("as it was", ""),
        Fate::Overtaken => ("left", "changed by somebody since"),
        Fate::Failed(why) => ("failed", why),
    }
}

fn written_json(written: &[Written]) -> Value {
    let all = written.iter().map(|one| {
        let (result, why) = fate(&one.fate);
        json!({
            "id": one.id,
            "path": one.path,
            "from": one.from,
            "to": one.to,
            "result": result,
            "why": Some(why).filter(|why| !why.is_empty()),
        })
    });
    all.collect()
}

/// A line for each file, as long as it needs: paths are copied.
fn written_text(written: &[Written], nothing: &str) -> String {
    if written.is_empty() {
        return format!("{nothing}\n");
    }
    let mut table = show::table(&["", "file", "from", "to", ""]);
    for one in written {
        let (result, why) = fate(&one.fate);
        table.add_row([
            show::cell(result),
            show::cell(&one.path),
            show::cell(&one.from),
            show::cell(&one.to),
            show::cell(why),
        ]);
    }
    format!("{}\n", show::text(&table))
}
