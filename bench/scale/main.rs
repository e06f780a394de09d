//! How the cost of a message grows: with destinations, pins, header fields, the body, transactions and
//! workers, without sockets. Draws docs/scale.svg. See bench/README.md.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "times and counts become figures"
)]

#[path = "../transactions/calls.rs"]
#[allow(dead_code, reason = "only the INVITEs are of interest")]
mod calls;
#[path = "../cases.rs"]
#[allow(dead_code, reason = "only new INVITEs are of interest")]
mod cases;
#[path = "../columns.rs"]
mod columns;
#[path = "../drawing.rs"]
mod drawing;
mod figure;
mod law;
#[path = "../messages.rs"]
#[allow(dead_code, reason = "only new INVITEs are of interest")]
mod messages;
#[path = "../samples.rs"]
mod samples;
mod subjects;
#[path = "../timing.rs"]
#[allow(dead_code, reason = "criterion asks for a number of messages")]
mod timing;
mod workers;
#[path = "../world.rs"]
mod world;

use std::path::{Path, PathBuf};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use subjects::{Growth, Point};
use workers::Workers;

/// Measures how the cost of a message grows, and draws docs/scale.svg
#[derive(Debug, Parser)]
struct Args {
    /// Every point is measured once per round, in turn
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Where the figure goes, instead of docs/scale.svg
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if !args.bench {
        // Under `cargo test` there is nothing to do.
        println!("run by: cargo bench --bench scale");
        return;
    }
    eprintln!("filling tables");
    let mut growths = subjects::all();
    let mut workers = Workers::new();
    let bar = progress(u64::from(args.rounds));
    // The first round warms up.
    growths.iter_mut().flat_map(Growth::points).for_each(Point::warm_up);
    for round in 0..args.rounds {
        let mut points: Vec<&mut Point> = growths.iter_mut().flat_map(Growth::points).collect();
        // The machine's speed drifts: what comes first in one round comes last in the next.
        if round % 2 == 1 {
            points.reverse();
        }
        points.into_iter().for_each(Point::measure);
        workers.measure();
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        let growths: Vec<_> = growths.iter().map(Growth::as_json).collect();
        println!("{:#}", json!({ "new_invite": growths, "workers": workers.as_json() }));
    } else {
        println!("{}\n\n{}", table(&growths), workers.table());
    }
    let path =
        args.figure.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scale.svg"));
    if let Err(error) = std::fs::write(&path, figure::draw(&growths, &workers)) {
        eprintln!("cannot write {}: {error}", path.display());
        std::process::exit(1);
    }
    eprintln!("drawn: {}", path.display());
}

fn table(growths: &[Growth]) -> String {
    let mut table = columns::table(&[
        "a new INVITE by",
        "",
        "",
        "ns, median",
        "least",
        "most",
        "instead of the first",
    ]);
    for growth in growths {
        for curve in &growth.curves {
            let first = curve.points[0].ns.median();
            for point in &curve.points {
                let ns = &point.ns;
                table.add_row([
                    growth.title.to_owned(),
                    curve.name.to_owned(),
                    point.label.clone(),
                    format!("{:.0}", ns.median()),
                    format!("{:.0}", ns.least()),
                    format!("{:.0}", ns.most()),
                    format!("{:.2}", ns.median() / first),
                ]);
            }
        }
    }
    columns::text(table, 2)
}

fn progress(rounds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} round {pos} of {len}, {eta} left");
    ProgressBar::new(rounds).with_style(style.expect("a template"))
}
