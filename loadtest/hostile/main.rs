//! What a hostile network can do to a relay: each attack in its own network namespaces, against the
//! release binary and against Kamailio, while SIPp makes calls through the same relay.
//!
//! An attack states what must happen and reports figures. If it did not happen to Strowger, the
//! campaign fails. See loadtest/README.md.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and times become ratios, and none is negative or past 2^52"
)]

mod arena;
mod attacks;
mod calls;
#[path = "../../bench/subject/datagrams.rs"]
#[allow(dead_code, reason = "no socket is bound here with its buffer")]
mod datagrams;
mod flood;
#[path = "../../tests/it/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests start relays and servers by more of it")]
mod harness;
#[path = "../../bench/subject/kamailio.rs"]
mod kamailio;
#[path = "../../bench/messages.rs"]
#[allow(dead_code, reason = "only answers and the flood's INVITE are wanted")]
mod messages;
#[path = "../../bench/subject/processor.rs"]
#[allow(dead_code, reason = "shares of the machine are told by bench/relay")]
mod processor;
mod random;
mod servers;
mod stage;
mod subject;
mod table;
mod watch;

use std::fs;
use std::io;
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use attacks::ATTACKS;
use stage::{Effort, Row, Stage};
use subject::Kind;
use table::Table;

/// Attacks the relay, and Kamailio where it is installed, and says what came of it.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "these are flags of a command line")]
struct Args {
    /// A twentieth of the packets
    #[arg(long)]
    quick: bool,
    /// Only these attacks
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Only these relays [default: all that are installed]
    #[arg(long, value_delimiter = ',')]
    subjects: Vec<Kind>,
    /// Packets of an attack per second
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Also writes every row to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Prints the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Names the attacks and ends
    #[arg(long)]
    list: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.list {
        for attack in ATTACKS {
            println!("{:<11} {}", attack.name, attack.says);
        }
        return ExitCode::SUCCESS;
    }
    // Under `cargo test` there is nothing to do.
    if !args.bench {
        println!("run by: cargo bench --bench hostile [-- --quick]");
        return ExitCode::SUCCESS;
    }
    match campaign(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("hostile: what must happen did not");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("hostile: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every attack on every relay; says whether what must happen did.
fn campaign(args: &Args) -> io::Result<bool> {
    arena::clean_up_when_told_to_end()?;
    if let Some(name) = args.only.iter().find(|n| ATTACKS.iter().all(|a| a.name != **n)) {
        return Err(io::Error::other(format!("no attack {name:?}; --list names them")));
    }
    let kinds = if args.subjects.is_empty() { Kind::ALL.to_vec() } else { args.subjects.clone() };
    let kinds: Vec<Kind> = kinds.into_iter().filter(|kind| kind.is_here()).collect();
    let attacks: Vec<_> = ATTACKS
        .iter()
        .filter(|attack| args.only.is_empty() || args.only.iter().any(|name| name == attack.name))
        .collect();
    let effort = Effort { rate: args.rate, divisor: if args.quick { 20 } else { 1 } };
    let mut table = Table::new(&kinds);
    for (number, attack) in attacks.iter().enumerate() {
        for kind in &kinds {
            eprintln!("[{}/{}] {} on {}", number + 1, attacks.len(), attack.name, kind.name());
            // What one attack could not do to one relay is a row too, and the others go on.
            let run = panic::catch_unwind(|| Stage::run(attack, *kind, effort));
            let run = run.unwrap_or_else(|_| Err(io::Error::other("it panicked")));
            let rows = run.unwrap_or_else(|error| {
                vec![Row::new("the attack", "comes to its end", error.to_string(), false)]
            });
            for row in rows {
                eprintln!("        {}: {}", row.what, row.figure);
                table.add(attack.name, *kind, row);
            }
        }
    }
    if let Some(file) = &args.json {
        fs::write(file, table.json())?;
    }
    println!("{}", if args.markdown { table.markdown() } else { table.text() });
    Ok(table.holds())
}
