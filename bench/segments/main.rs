//! Whether UDP segmentation offload (`UDP_SEGMENT`) could help: how long the runs of datagrams are that
//! one system call could hand to the kernel as one, in what a worker sends after each batch.
//!
//! A run has one next hop, and all its datagrams have the same size, except that the last may be
//! shorter. Nothing here depends on time or on the machine, so every run of one commit prints the same.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts are shown as means and shares, and none exceeds 2^52"
)]

#[path = "../spread/call_ids.rs"]
mod call_ids;
mod calls;
#[allow(dead_code, reason = "most cases are those of other benches")]
#[path = "../cases.rs"]
mod cases;
#[path = "../messages.rs"]
mod messages;
mod runs;
#[path = "../world.rs"]
mod world;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};

use calls::{Callers, Traffic};
use runs::{Order, Runs, Sent};

/// Measures how long the runs are that `UDP_SEGMENT` could send as one
#[derive(Debug, Parser)]
struct Args {
    /// Batches of 64 for each row
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    batches: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if !args.bench {
        // Under `cargo test` there is nothing to do.
        println!("run by: cargo bench --bench segments");
        return;
    }
    runs::check();
    println!("{} batches of {} datagrams for each row", args.batches, cases::BATCH);
    for callers in [Callers::Mixed, Callers::Alike] {
        println!("\n{callers}\n{}", table(callers, args.batches));
    }
}

fn table(callers: Callers, batches: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "destinations",
        "sent",
        "requests",
        "mean run",
        "in runs of 2+ %",
        "null relay saves %",
        "strowger saves %",
    ]);
    for at in [0, 3, 4, 5, 6] {
        table.column_mut(at).expect("a column").set_cell_alignment(CellAlignment::Right);
    }
    for destinations in [2, 8, 64] {
        let mut traffic = Traffic::new(callers, destinations);
        let sent: Vec<Vec<Sent>> = (0..batches).map(|_| traffic.batch()).collect();
        traffic.check();
        for order in [Order::AsItIs, Order::ByNextHop, Order::BySize] {
            for (rounding, name) in [(1, "as they are"), (ROUND_TO, "rounded up")] {
                let mut runs = Runs::default();
                for batch in &sent {
                    runs.add(batch, order, rounding);
                }
                assert_eq!(runs.datagrams(), (batches * cases::BATCH) as u64, "nothing is lost");
                table.add_row([
                    destinations.to_string(),
                    order.to_string(),
                    name.to_owned(),
                    format!("{:.2}", runs.mean()),
                    format!("{:.1}", 100.0 * runs.share_of_two()),
                    saves(&runs, 1.0),
                    saves(&runs, STROWGER),
                ]);
            }
        }
    }
    table
}

/// The least and the most that is saved, as a share of what a message costs a program that costs so
/// many times as much as the null relay.
fn saves(runs: &Runs, cost: f64) -> String {
    let [least, most] = LONG_RUN.map(|long| 100.0 * runs.saved(long) / cost);
    format!("{least:.1}-{most:.1}")
}

/// Requests are rounded up to a multiple of this many bytes, by a parameter of our Via.
const ROUND_TO: usize = 32;

/// What a null relay with `UDP_SEGMENT` costs for a datagram of a long run, of what a plain one does.
const LONG_RUN: [f64; 2] = [0.8, 0.75];

/// What a flooded worker costs, in costs of the null relay: the table of sockets in bench/README.md.
const STROWGER: f64 = 1.57;
