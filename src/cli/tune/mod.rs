//! `strowger tune`: how this machine is set for a relay, what to change and why; and, when told to,
//! the change and its undo.

mod changes;
mod report;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use strowger::config::{Draft, Flags, RelayConfig, Workers};
use strowger::limits::MACHINE_BYTES_MAX;
use strowger::tune::{self, Cores, Plan, Row, Tree};

use super::client::{Trouble, shown};
use super::show;

/// Look at this machine's settings for a relay, and say what to change and why
///
/// Nothing is changed unless --apply says so.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Exit status: 0 when everything is fine, or everything was written; 1 when there is advice, or an
undo left something as it is; 2 when the machine cannot be read or written, or the command line
cannot be read.

What --apply writes lasts until the next restart of the machine. To keep it, install the files of
tuning/ as its README says. tuning/advice.md has a section for each advice.

Examples:
  strowger tune
  strowger tune --card ens1f0 --cores 0-7
  strowger tune --apply rmem-max wmem-max
  strowger tune --undo
  strowger tune --record machine.txt; strowger tune --root machine.txt")]
pub(crate) struct TuneArgs {
    /// Network card that carries calls; may be given several times [default: all that are up]
    #[arg(long, value_name = "NAME")]
    card: Vec<String>,
    /// Cores that workers are to run on, such as 0-7 [default: those of the running relay, else all]
    #[arg(long, value_name = "LIST")]
    cores: Option<Cores>,
    /// Port of the relay, for connection tracking [default: those of --config, else 5060]
    #[arg(long, value_name = "N")]
    port: Vec<u16>,
    /// Configuration file of the relay: ports, number of workers, state directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look at a recorded machine, or at a directory with copies of proc and sys
    #[arg(long, value_name = "PATH")]
    root: Option<PathBuf>,
    /// Write what is looked at to a file, to send it or to look at it with --root
    #[arg(long, value_name = "FILE", conflicts_with_all = ["apply", "undo", "root"])]
    record: Option<PathBuf>,
    /// Write what is advised, or the advice with these ids, where a file under /proc or /sys holds it
    #[arg(long, value_name = "ID", num_args = 0.., conflicts_with = "undo")]
    apply: Option<Vec<String>>,
    /// Take back what --apply wrote
    #[arg(long)]
    undo: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const ADVICE: u8 = 1;
const TROUBLE: u8 = 2;

pub(crate) fn run(args: &TuneArgs) -> ExitCode {
    match tune(args) {
        Ok(code) => code.into(),
        Err(trouble) => {
            let _ = trouble.tell();
            TROUBLE.into()
        }
    }
}

fn tune(args: &TuneArgs) -> Result<u8, Trouble> {
    let (plan, relay) = plan(args)?;
    if args.undo {
        return changes::undo(args, &relay);
    }
    let tree = match &args.root {
        Some(root) => read(root)?,
        None => Tree::of_this_machine(&plan.ports).map_err(|error| one(error.to_string()))?,
    };
    if let Some(path) = &args.record {
        return record(path, &tree);
    }
    let report = tune::examine(&tree, &plan).map_err(one)?;
    if let Some(ids) = &args.apply {
        return changes::apply(args, &relay, &report, ids);
    }
    let text =
        if args.json { format!("{:#}\n", report::json(&report)) } else { report::text(&report) };
    show::put(&text)?;
    Ok(if report.advice().next().is_some() { ADVICE } else { 0 })
}

fn one(text: String) -> Trouble {
    Trouble(vec![text])
}

/// What the flags and the configuration say of the relay.
fn plan(args: &TuneArgs) -> Result<(Plan, RelayConfig), Trouble> {
    let mut plan = Plan { cores: args.cores.clone(), cards: args.card.clone(), ..Plan::default() };
    let mut relay = RelayConfig::default();
    if let Some(file) = &args.config {
        File::open(file).map_err(|error| one(format!("{}: {error}", file.display())))?;
        // What is wrong elsewhere in it is not our business.
        let flags = Flags { config: Some(file.clone()), ..Flags::default() };
        relay = Draft::load(&flags).config.relay;
        let ports = relay.listen.iter().map(|listen| listen.address.port());
        plan.ports = ports.collect();
        plan.ports.sort_unstable();
        plan.ports.dedup();
        if let Workers::Count(count) = relay.workers {
            plan.count = Some(count);
        }
    }
    if !args.port.is_empty() {
        plan.ports.clone_from(&args.port);
    }
    Ok((plan, relay))
}

fn read(root: &Path) -> Result<Tree, Trouble> {
    let told = |why: String| one(format!("{}: {why}", root.display()));
    if root.is_dir() {
        return Tree::of_directory(root).map_err(|error| told(error.to_string()));
    }
    let mut text = String::new();
    File::open(root)
        .and_then(|file| file.take(MACHINE_BYTES_MAX as u64 + 1).read_to_string(&mut text))
        .map_err(|error| {
            told(format!("{error}: name a directory, or a file that tune --record has written"))
        })?;
    Tree::from_text(&text).map_err(told)
}

fn record(path: &Path, tree: &Tree) -> Result<u8, Trouble> {
    let text = format!("# strowger tune --record, version {}\n{tree}", env!("CARGO_PKG_VERSION"));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    let path = path.display();
    written.map_err(|error| one(format!("{path}: {error}")))?;
    show::put(&format!("{path} written. Look at it with strowger tune --root {path}\n"))?;
    Ok(0)
}

/// `irq-spread eth0`.
fn name(row: &Row) -> String {
    match &row.card {
        Some(card) => format!("{} {}", row.check.id, shown(card)),
        None => row.check.id.to_owned(),
    }
}
