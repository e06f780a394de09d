//! The cost of a reload of many destinations, part by part, and its effect on workers.
//!
//! The parts are those that the relay itself reports, here of a relay in this process. The effect
//! on workers is the longest gap between two messages of a thread that does a worker's work while
//! lists are built and published, compared with the same thread while nothing happens.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts and times are told as decimals, and none is past 2^52"
)]

#[path = "../messages.rs"]
#[allow(dead_code, reason = "only the INVITE is needed")]
mod messages;
mod pauses;
mod stages;
#[path = "../world.rs"]
mod world;

use std::time::Duration;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use pauses::Pauses;
use stages::Stages;

/// Measures reloads: time of each part, and the longest pause of a worker
#[derive(Debug, Parser)]
struct Args {
    /// Destinations of the list
    #[arg(long, default_value_t = 10_000)]
    destinations: usize,
    /// Reloads that are timed
    #[arg(long, default_value_t = 40)]
    reloads: usize,
    /// Seconds that pauses are watched for, with and without reloads
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Prints JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if !args.bench {
        // Under `cargo test` there is nothing to do.
        println!("run by: cargo bench --bench reload");
        return;
    }
    let stages = stages::measure(args.destinations, args.reloads);
    if !args.json {
        println!("{}\n", stages_table(&args, &stages));
    }
    let pauses = pauses::measure(args.destinations, Duration::from_secs_f64(args.seconds));
    if args.json {
        println!("{:#}", json(&args, &stages, &pauses));
    } else {
        println!("{}", pauses_table(&pauses));
    }
}

fn stages_table(args: &Args, stages: &Stages) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["part", "median ms", "most ms"]);
    for (name, times) in stages.rows() {
        table.add_row([name.to_owned(), ms(middle(&times)), ms(most(&times))]);
    }
    right(&mut table);
    format!("{} reloads of {} destinations\n{table}", args.reloads, args.destinations)
}

fn pauses_table(pauses: &[Pauses]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "reloads",
        "number",
        "messages",
        "99.99 %, us",
        "longest, us",
        "longest of its own time, us",
        "own time over 50 us",
    ]);
    for row in pauses {
        table.add_row([
            row.place.name().to_owned(),
            row.reloads.to_string(),
            row.messages.to_string(),
            us(row.usual_ns),
            us(row.longest_ns),
            us(row.own_longest_ns),
            row.own_over_50_us.to_string(),
        ]);
    }
    right(&mut table);
    format!("gaps between two messages of a worker\n{table}")
}

fn json(args: &Args, stages: &Stages, pauses: &[Pauses]) -> serde_json::Value {
    let stages: serde_json::Map<_, _> = stages
        .rows()
        .into_iter()
        .map(|(name, times)| {
            let value =
                json!({ "median_ms": to_ms(middle(&times)), "most_ms": to_ms(most(&times)) });
            (name.to_owned(), value)
        })
        .collect();
    let pauses: Vec<_> = pauses
        .iter()
        .map(|row| {
            json!({
                "reloads": row.place.name(), "number": row.reloads, "messages": row.messages,
                "usual_ns": row.usual_ns, "longest_ns": row.longest_ns,
                "own_longest_ns": row.own_longest_ns, "own_over_50_us": row.own_over_50_us,
            })
        })
        .collect();
    json!({ "destinations": args.destinations, "reloads": args.reloads, "parts": stages, "pauses": pauses })
}

fn right(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn middle(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn most(times: &[Duration]) -> Duration {
    times.iter().max().copied().unwrap_or_default()
}

fn to_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ms(time: Duration) -> String {
    format!("{:.2}", to_ms(time))
}

fn us(ns: u64) -> String {
    format!("{:.1}", ns as f64 / 1e3)
}
