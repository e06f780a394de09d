//! How long a change of state takes to reach every worker while all cores are saturated.
//!
//! A relay in a process of its own gets more new calls than the machine can handle. Again and again one of
//! its destinations is disabled by a command, and the kernel's time of the last call that this destination
//! gets is compared with the time of the command and of its answer.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts and times are told as decimals, and none is past 2^52"
)]

#[path = "../subject/datagrams.rs"]
#[allow(dead_code, reason = "nothing is received in batches")]
mod datagrams;
mod destination;
mod flood;
#[path = "../messages.rs"]
#[allow(dead_code, reason = "only the INVITE is needed")]
mod messages;
#[path = "../subject/process.rs"]
mod process;
#[path = "../subject/processor.rs"]
#[allow(dead_code, reason = "only what all processors did is needed")]
mod processor;
mod relay;

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use serde_json::json;

use destination::Destination;
use flood::Flood;
use processor::Machine;
use relay::Relay;

/// Measures how long a destination gets new calls after it was disabled
#[derive(Debug, Parser)]
struct Args {
    /// How often it is disabled
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Prints JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// One round, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// From the command to its answer.
    answer: f64,
    /// From the command to the last call.
    last: f64,
    /// From the answer to the last call; 0 if that came before the answer.
    late: f64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    if !args.bench {
        // Under `cargo test` there is nothing to do.
        println!("run by: cargo bench --bench state");
        return Ok(());
    }
    let destination = Destination::start()?;
    let relay = Relay::start(destination.address(), OTHERS)?;
    let cores = thread::available_parallelism()?.get();
    let flood = Flood::start(relay.listen(), cores)?;
    let (began, machine, calls) = (Instant::now(), Machine::now()?, destination.count());
    let rounds =
        (0..args.rounds).map(|_| round(&relay, &destination)).collect::<io::Result<Vec<_>>>()?;
    let (busy, stolen) = Machine::now()?.shares(machine, 0, began.elapsed());
    let per_second = (destination.count() - calls) as f64 / began.elapsed().as_secs_f64();
    let sent = flood.stop();
    let dropped = destination.dropped()?;
    assert_eq!(dropped, 0, "calls to the destination were lost before they were seen");
    assert!(busy / cores as f64 > 0.9, "the cores are not saturated: {busy:.2} of {cores} busy");
    let columns = [
        ("the command is answered", column(&rounds, |round| round.answer)),
        ("the last call, after the command", column(&rounds, |round| round.last)),
        ("the last call, after the answer", column(&rounds, |round| round.late)),
    ];
    if args.json {
        let columns = columns.map(|(name, (median, worst))| {
            json!({ "what": name, "median_ms": median, "worst_ms": worst })
        });
        println!(
            "{:#}",
            json!({ "cores": cores, "busy": busy, "stolen": stolen, "rounds": columns })
        );
        return Ok(());
    }
    println!("{} rounds, {cores} cores, {busy:.2} of them busy, {stolen:.2} stolen", args.rounds);
    println!("{sent} calls sent; the destination got {per_second:.0} a second on average\n");
    println!("{:36} {:>9} {:>9}", "", "median ms", "worst ms");
    for (name, (median, worst)) in columns {
        println!("{name:36} {median:9.1} {worst:9.1}");
    }
    Ok(())
}

/// Disables the destination while it gets calls, and enables it again.
fn round(relay: &Relay, destination: &Destination) -> io::Result<Round> {
    relay.set_state("a")?;
    let before = destination.count();
    wait("calls arrive", || destination.count() > before + CALLS_MIN)?;
    let command = SystemTime::now();
    relay.set_state("d")?;
    let answer = SystemTime::now();
    let mut seen = (destination.count(), Instant::now());
    wait("no more calls arrive", || {
        if destination.count() != seen.0 {
            seen = (destination.count(), Instant::now());
        }
        seen.1.elapsed() > QUIET
    })?;
    let last = destination.last();
    let ms = |from: SystemTime, to: SystemTime| {
        to.duration_since(from).map_or(0.0, |passed| passed.as_secs_f64() * 1e3)
    };
    Ok(Round { answer: ms(command, answer), last: ms(command, last), late: ms(answer, last) })
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) -> io::Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if is_so() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(io::Error::other(format!("waited in vain until {what}")))
}

/// The median of these, and the greatest.
fn column(rounds: &[Round], of: impl Fn(&Round) -> f64) -> (f64, f64) {
    let mut times: Vec<f64> = rounds.iter().map(of).collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], *times.last().expect("at least one round"))
}

/// The destinations besides the one that is disabled: it gets a tenth of the calls, so that it can count
/// all of them.
const OTHERS: usize = 9;
/// So many calls arrive before it is disabled.
const CALLS_MIN: u64 = 500;
/// After so long without a call, none is under way any more.
const QUIET: Duration = Duration::from_millis(400);
