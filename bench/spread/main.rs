//! How evenly hashes spread calls, and how many calls move when the list of destinations changes:
//! for a million Call-IDs and 2 to 64 destinations, checked, printed, and drawn.
//!
//! Nothing here depends on time or on the machine, so every run of one commit draws the same figure.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts are shown as percentages, and none exceeds 2^52"
)]

mod call_ids;
#[path = "../drawing.rs"]
mod drawing;
mod figure;
mod measure;
mod relay;
#[path = "../world.rs"]
mod world;

use std::path::Path;

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use strowger::destination::{Algorithm, Choosing};

use measure::Measured;

/// Measures how hashes spread calls and how many calls move, and draws docs/spread.svg
#[derive(Debug, Parser)]
struct Args {
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    if !Args::parse().bench {
        // Under `cargo test` there is nothing to do.
        println!("run by: cargo bench --bench spread");
        return;
    }
    let call_ids: Vec<_> = (0..CALL_IDS).map(call_ids::call_id).collect();
    let curves = ways().map(|way| {
        let points = measure::all(&way, &call_ids);
        Curve { name: way.name, points }
    });
    println!("{CALL_IDS} Call-IDs\n{}", table(&curves));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/spread.svg");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let drawn = figure::draw(&curves);
    std::fs::write(&path, &drawn).expect("docs/ can be written");
    println!("docs/spread.svg {}", if before == drawn { "is as before" } else { "has changed" });
}

/// A way to choose.
pub(crate) struct Way {
    /// Its name in the table and in the figure.
    pub(crate) name: &'static str,
    /// Its settings.
    pub(crate) choosing: Choosing,
}

fn ways() -> [Way; 3] {
    let of = |algorithm| Choosing { algorithm, ..Choosing::default() };
    let hash = of(Algorithm::CallIdHash);
    [
        Way { name: "consistent", choosing: of(Algorithm::Consistent) },
        Way { name: "call-id-hash", choosing: hash.clone() },
        Way {
            name: "call-id-hash, compat = \"kamailio\"",
            choosing: Choosing { is_kamailio: true, ..hash },
        },
    ]
}

/// What one way to choose does with each number of destinations.
pub(crate) struct Curve {
    /// The name of the way.
    pub(crate) name: &'static str,
    /// In the order of the number of destinations.
    pub(crate) points: Vec<Measured>,
}

fn table(curves: &[Curve]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "destinations",
        "algorithm",
        "busiest above\nthe mean, %",
        "moved, one\nremoved, %",
        "moved, one\nadded, %",
        "moved, one\ninactive, %",
        "most extra calls then,\n% of the mean",
    ]);
    for destinations in [2, 3, 4, 8, 16, 32, 64] {
        for curve in curves {
            let is_it = |point: &&Measured| point.destinations == destinations;
            let Some(point) = curve.points.iter().find(is_it) else { continue };
            let of = |percent: f64| format!("{percent:.2}");
            table.add_row([
                destinations.to_string(),
                curve.name.to_owned(),
                of(point.spread_percent),
                of(point.removed_percent),
                of(point.added_percent),
                of(point.inactive_percent),
                of(point.extra_percent),
            ]);
        }
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        if at != 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// Calls, each with a Call-ID of its own.
const CALL_IDS: u64 = 1_000_000;
