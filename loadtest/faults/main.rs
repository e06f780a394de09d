//! What a relay does when its destinations fail: calls at a constant rate through the real binary,
//! and through Kamailio, while servers are killed, stopped and overloaded. See loadtest/README.md.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts of calls become shares"
)]

mod fault;
#[path = "../../bench/subject/kamailio.rs"]
mod kamailio;
#[path = "../../bench/subject/process.rs"]
mod process;
mod report;
mod server;
mod subject;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::ProgressBar;
use serde_json::Value;

use fault::{AFTER, Fault};
use loadtest::{Load, Plan, Watch};
use report::Row;
use server::Server;
use subject::{Kind, Subject};

/// Makes destinations fail under load, and says what became of the calls.
#[derive(Debug, Parser)]
struct Args {
    /// Only these faults
    #[arg(long, value_delimiter = ',', value_name = "FAULT")]
    only: Vec<Fault>,
    /// Only these relays
    #[arg(long, value_delimiter = ',', value_name = "RELAY")]
    subjects: Vec<Kind>,
    /// Calls a second
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: u32,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// Save every row to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print what the relays wrote
    #[arg(long)]
    logs: bool,
    /// Serve at this address instead: what the servers of a run are
    #[arg(long, hide = true)]
    serve: Option<SocketAddr>,
    #[arg(long, hide = true, default_value_t = 0)]
    number: u8,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.serve {
        Some(address) => server::serve(address, args.number),
        None => campaign(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faults: {error}");
            ExitCode::FAILURE
        }
    }
}

fn campaign(args: &Args) -> io::Result<()> {
    let faults = if args.only.is_empty() { &Fault::EACH[..] } else { &args.only };
    let kinds = if args.subjects.is_empty() { &Kind::ALL[..] } else { &args.subjects };
    let kinds: Vec<_> = kinds.iter().copied().filter(|kind| kind.is_here()).collect();
    let progress = ProgressBar::new((faults.len() * kinds.len()) as u64);
    let mut rows = Vec::new();
    for fault in faults {
        for kind in &kinds {
            progress.println(format!("{}: {}", fault.says(), kind.name()));
            rows.push(measure(args, *fault, *kind)?);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    println!("{}", if args.markdown { report::markdown(&rows) } else { report::text(&rows) });
    if let Some(file) = &args.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        std::fs::write(file, format!("{:#}\n", Value::from(rows)))?;
    }
    Ok(())
}

fn measure(args: &Args, fault: Fault, kind: Kind) -> io::Result<Row> {
    let mut servers = (0..4).map(Server::start).collect::<io::Result<Vec<_>>>()?;
    let subject = Subject::start(kind, &servers)?;
    let plan = Plan {
        rate: f64::from(args.rate),
        // Until the watch stops it.
        time: Duration::from_hours(1),
        talk: Duration::from_millis(200),
        patience: Duration::from_secs(8),
        retransmits: true,
        keeps_calls: true,
        ..Plan::default()
    };
    let watch = Watch::new(plan.threads);
    let load = Load::bind(plan).map_err(io::Error::other)?;
    let targets = [subject.listen];
    let begin = Instant::now() + Duration::from_millis(500);
    let outcome = thread::scope(|scope| {
        let caller = scope.spawn(|| load.run_at(begin, &targets, &watch));
        let happened = fault.happen(&mut servers, begin);
        thread::sleep(AFTER);
        watch.stop();
        let outcome = caller.join().expect("the generator does not panic");
        happened.and(outcome.map_err(io::Error::other))
    })?;
    if args.logs {
        eprintln!("{}", subject.log());
    }
    Ok(Row::of(fault, kind, &outcome.record.calls))
}
