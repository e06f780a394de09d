//! What a stateful call costs, without sockets: time per message with none and with a million live
//! transactions, and the memory of each. See bench/README.md.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "times and bytes become shares"
)]

mod calls;
#[path = "../columns.rs"]
mod columns;
#[path = "../messages.rs"]
#[allow(dead_code, reason = "other benches need more")]
mod messages;
#[path = "../world.rs"]
mod world;

use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;

use calls::{Core, Times};

/// Measures the cost of transactions.
#[derive(Debug, Parser)]
struct Args {
    /// Live transactions in the last rows
    #[arg(long, default_value_t = 1_000_000)]
    live: usize,
    /// Print the rows as JSON
    #[arg(long)]
    json: bool,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

/// Calls of one measurement.
const CALLS: usize = 20_000;

fn main() {
    let args = Args::parse();
    let mut rows = Vec::new();
    let mut core = Core::new(false, 0);
    rows.push(("stateless", 0, core.measure(CALLS), None));
    let room = args.live + 2 * CALLS;
    let mut core = Core::new(true, room);
    rows.push(("stateful", 0, core.measure(CALLS), None));
    let (before, live_before) = (resident(), core.live());
    eprintln!("beginning {} transactions", args.live - CALLS);
    core.ring(args.live);
    let begun = core.live() - live_before;
    let bytes = (resident() - before) / begun as u64;
    rows.push(("stateful", args.live, core.measure(CALLS), Some(bytes)));

    // All of them have rung too long: each is cancelled, which is the work of a timer.
    core.pass_ms(u64::from(calls::RINGING_MS));
    let begin = Instant::now();
    let done = core.expire();
    let per_timer = begin.elapsed() / done.max(1) as u32;
    if args.json {
        let row = |(kind, live, times, bytes): &(&str, usize, Times, Option<u64>)| {
            json!({
                "forwarding": kind,
                "live": live,
                "invite_ns": times.invite.as_nanos() as u64,
                "ringing_ns": times.ringing.as_nanos() as u64,
                "ok_ns": times.ok.as_nanos() as u64,
                "bytes_per_transaction": bytes,
            })
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        println!("{:#}", json!({ "rows": rows, "timer_ns": per_timer.as_nanos() as u64 }));
        return;
    }
    let mut table = columns::table(&[
        "forwarding",
        "live transactions",
        "INVITE, ns",
        "180, ns",
        "200, ns",
        "bytes each",
    ]);
    for (kind, live, times, bytes) in rows {
        let ns = |time: Duration| time.as_nanos().to_string();
        table.add_row([
            kind.to_owned(),
            live.to_string(),
            ns(times.invite),
            ns(times.ringing),
            ns(times.ok),
            bytes.map_or_else(String::new, |bytes| bytes.to_string()),
        ]);
    }
    println!("{}", columns::text(table, 1));
    println!("a timer that cancels a call: {} ns, {done} of them", per_timer.as_nanos());
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
    pages * 4_096
}
