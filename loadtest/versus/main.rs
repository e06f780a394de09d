//! Strowger, Kamailio and a null relay with the same calls on the same core, in turn: processor time
//! per message, added latency, the highest rate without loss, memory per call. See
//! loadtest/README.md.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and times become ratios, and none is negative or past 2^52"
)]

#[path = "../../bench/columns.rs"]
mod columns;
#[path = "../../bench/subject/datagrams.rs"]
mod datagrams;
#[path = "../../bench/subject/kamailio.rs"]
mod kamailio;
mod measure;
#[path = "../../bench/relay/null.rs"]
mod null;
#[path = "../../bench/subject/process.rs"]
mod process;
#[path = "../../bench/subject/processor.rs"]
#[allow(dead_code, reason = "the load counts its own losses")]
mod processor;
mod relay;
mod report;
#[path = "../../bench/samples.rs"]
mod samples;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use strowger::config::Poll;

use relay::Kind;
use report::{Report, Row};

/// Compares relays with whole calls.
#[derive(Debug, Parser)]
struct Args {
    /// Calls a second at which cost and latency are measured
    #[arg(long, value_delimiter = ',', default_values_t = [500.0, 3_000.0])]
    rates: Vec<f64>,
    /// Children of Kamailio
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    children: Vec<usize>,
    /// How often everything is measured, in turn and then backwards
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds that are measured each time, after as many to warm up
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Save every round to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    null: null::Args,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.null.null_relay {
        Some(listen) => null::run(listen, &args.null.server, Poll::Adaptive, null::Hops::ByCaller),
        // Under `cargo test` there is nothing to do.
        None if args.bench => compare(&args),
        None => {
            println!("run by: loadtest/versus/run");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> io::Result<()> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let [load_core, .., relay_core] = cores[..] else {
        return Err(io::Error::other("two cores are needed: one for the calls, one for the relay"));
    };
    core_affinity::set_for_current(load_core);
    let core = relay_core.id;
    let kinds = kinds(&args.children);
    if !kinds.iter().any(|kind| matches!(kind, Kind::Kamailio(_))) {
        eprintln!("versus: kamailio is not installed, so there is nothing to compare with");
    }
    let new_row = |kind: &Kind| Row {
        kind: *kind,
        at_rates: vec![Vec::new(); args.rates.len()],
        highest: Vec::new(),
        bytes_per_call: None,
    };
    let mut rows: Vec<_> = kinds.iter().map(new_row).collect();
    let steps = rows.len() * (args.rounds as usize * (args.rates.len() + 1) + 1);
    let bar = progress(steps as u64);
    let time = Duration::from_secs_f64(args.seconds);
    for round in 0..args.rounds {
        let mut turn: Vec<&mut Row> = rows.iter_mut().collect();
        if round % 2 == 1 {
            turn.reverse();
        }
        for row in turn {
            for (at, rate) in args.rates.iter().enumerate() {
                bar.set_message(format!("{}, {rate} calls a second", row.kind.name()));
                row.at_rates[at].push(measure::at_rate(row.kind, core, *rate, time)?);
                bar.inc(1);
            }
            bar.set_message(format!("{}, the highest rate", row.kind.name()));
            row.highest.push(measure::highest(row.kind, core)?);
            bar.inc(1);
        }
    }
    for row in &mut rows {
        bar.set_message(format!("{}, memory", row.kind.name()));
        if row.kind.has_memory_of_its_own() {
            row.bytes_per_call = measure::bytes_per_call(row.kind, core)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = Report { rates: args.rates.clone(), rows };
    println!("{}", report.text());
    if let Some(file) = &args.json {
        std::fs::write(file, format!("{:#}\n", report.json()))?;
    }
    Ok(())
}

/// Returns the relays that are here, in the order of the tables.
fn kinds(children: &[usize]) -> Vec<Kind> {
    let own = [Kind::Direct, Kind::Null, Kind::Strowger, Kind::StrowgerStateful];
    let stateless = children.iter().map(|count| Kind::Kamailio(*count));
    let stateful = children.iter().map(|count| Kind::KamailioStateful(*count));
    own.into_iter().chain(stateless).chain(stateful).filter(|kind| kind.is_here()).collect()
}

fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}, {eta} left: {msg}");
    ProgressBar::new(steps).with_style(style.expect("a template"))
}
