//! What a relay can take, without a network: time per message for messages made to be expensive,
//! and memory for ten million calls. See README.md in this folder.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts become rates, and none is negative or past 2^52"
)]

#[path = "../../bench/cases.rs"]
#[allow(dead_code, reason = "of the benches' core only the core is used")]
mod cases;
#[path = "../../bench/subject/datagrams.rs"]
#[allow(dead_code, reason = "the null relay's half is not needed")]
mod datagrams;
mod memory;
#[path = "../../bench/messages.rs"]
mod messages;
mod search;
mod shapes;
mod time;
#[path = "../../bench/world.rs"]
mod world;

use std::process::ExitCode;
use std::time::Duration;

use cases::Core;
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use shapes::{Dialog, SHAPES};

/// Measures what hostile messages and many calls cost.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure [default: all]
    #[arg(long, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Prints JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Only shapes whose name contains this
    #[arg(long, default_value = "")]
    shape: String,
    /// Seconds that the search for the worst message takes
    #[arg(long, default_value_t = 60)]
    search_seconds: u64,
    /// Where the search begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Different calls that the relay is sent, in millions
    #[arg(long, default_value_t = 10)]
    millions: u64,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Part {
    /// Each shape at five lengths
    Shapes,
    /// The worst message that a search finds
    Search,
    /// The relay's memory before, at and after millions of calls
    Memory,
}

/// The longest message: what UDP over IPv4 carries, less room for what the relay adds.
const LEN_MAX: usize = 65_000;
/// Halves of it, the shortest first.
const LENS: [usize; 5] = [LEN_MAX / 16, LEN_MAX / 8, LEN_MAX / 4, LEN_MAX / 2, LEN_MAX];
/// Rounds of which the best counts.
const ROUNDS: u32 = 60;

/// What the longest message may cost, and how much more than one of half its length.
const NS_MAX: f64 = 200_000.0;
const RATIO_MAX: f64 = 2.3;

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.bench {
        println!("run by: cargo bench --bench bounds [-- --parts shapes]");
        return ExitCode::SUCCESS;
    }
    let does = |part| args.parts.is_empty() || args.parts.contains(&part);
    let mut report = serde_json::Map::new();
    let mut are_kept = true;
    if does(Part::Shapes) {
        let rows = shapes_part(&args.shape);
        are_kept &= rows.iter().all(Row::is_within);
        show(&args, &mut report, "shapes", rows.iter().map(Row::json).collect(), &table(&rows));
    }
    if does(Part::Search) {
        let mut core = Core::new(10, 0);
        let dialog = Dialog::begin(&mut core);
        let seconds = Duration::from_secs(args.search_seconds);
        let worst = search::run(&mut core, &dialog, args.seed, seconds);
        are_kept &= worst.ns <= NS_MAX && worst.ns <= RATIO_MAX * worst.ns_half;
        let text = format!(
            "worst of {} messages (seed {}): {:.1} us for {} bytes, {:.2} times half of it, {}\n{}",
            worst.tried,
            args.seed,
            worst.ns / 1e3,
            worst.len,
            worst.ns / worst.ns_half,
            worst.end,
            worst.recipe
        );
        let value = json!({ "tried": worst.tried, "ns": worst.ns, "ns_half": worst.ns_half,
            "bytes": worst.len, "end": worst.end, "recipe": worst.recipe });
        show(&args, &mut report, "search", value, &text);
    }
    if does(Part::Memory) {
        match memory::run(args.millions) {
            Ok(memory) => {
                are_kept &= memory.is_within();
                show(&args, &mut report, "memory", memory.json(), &memory.table());
            }
            Err(error) => {
                eprintln!("bounds: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    if args.json {
        println!("{}", Value::Object(report));
    }
    if !are_kept {
        eprintln!("bounds: something above is past its bound");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn show(
    args: &Args,
    report: &mut serde_json::Map<String, Value>,
    name: &str,
    value: Value,
    text: &str,
) {
    if args.json {
        report.insert(name.into(), value);
    } else {
        println!("{text}\n");
    }
}

/// One shape at all lengths.
struct Row {
    name: &'static str,
    ns: [f64; LENS.len()],
    end: String,
    /// Half the length comes to the same end, so that the two times can be compared.
    is_same_end: bool,
}

impl Row {
    fn ns_max(&self) -> f64 {
        self.ns[LENS.len() - 1]
    }

    fn ratio(&self) -> f64 {
        self.ns_max() / self.ns[LENS.len() - 2]
    }

    fn is_within(&self) -> bool {
        self.ns_max() <= NS_MAX && (!self.is_same_end || self.ratio() <= RATIO_MAX)
    }

    fn json(&self) -> Value {
        json!({ "shape": self.name, "bytes": LENS, "ns": self.ns, "ratio": self.ratio(), "end": self.end })
    }
}

fn shapes_part(only: &str) -> Vec<Row> {
    let wanted: Vec<_> = SHAPES.iter().filter(|shape| shape.name.contains(only)).collect();
    let progress = ProgressBar::new(wanted.len() as u64);
    let mut core = Core::new(10, 0);
    let dialog = Dialog::begin(&mut core);
    let rows = wanted.into_iter().map(|shape| {
        let messages = LENS.map(|len| shape.message(&dialog, len));
        let from = messages[0].0;
        let messages = messages.map(|(_, bytes)| bytes);
        let (ns, verdict) = time::of(&mut core, from, &messages, ROUNDS);
        let half = core.datagram(from, &messages[LENS.len() - 2]);
        let end = shapes::end(verdict);
        progress.inc(1);
        Row { name: shape.name, ns, end, is_same_end: half == verdict }
    });
    let mut rows: Vec<_> = rows.collect();
    progress.finish_and_clear();
    rows.sort_by(|a, b| b.ns_max().total_cmp(&a.ns_max()));
    rows
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut head = vec!["shape".to_owned()];
    head.extend(LENS.map(|len| format!("{} KB, us", len / 1_000)));
    head.extend(["x half", "ns/byte", "messages/s", "end", ""].map(str::to_owned));
    table.set_header(head);
    for row in rows {
        let mut cells = vec![row.name.to_owned()];
        cells.extend(row.ns.map(|ns| format!("{:.1}", ns / 1e3)));
        cells.push(format!("{:.2}", row.ratio()));
        cells.push(format!("{:.2}", row.ns_max() / LEN_MAX as f64));
        cells.push(format!("{:.0}", 1e9 / row.ns_max()));
        cells.push(row.end.clone());
        cells.push(if row.is_within() { "" } else { "PAST ITS BOUND" }.to_owned());
        table.add_row(cells);
    }
    for column in 1..LENS.len() + 4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}
