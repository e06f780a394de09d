//! What a stateful call costs, without sockets: time per message with none and with a million live
//! transactions, and the memory of each. See bench/README.md.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "times and bytes become shares"
)]

#[path = "../messages.rs"]
#[allow(dead_code, reason = "other benches need more")]
mod messages;
#[path = "../world.rs"]
mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;
use strowger::clock::Now;
use strowger::destination::{Attributes, DestinationUri, Flags, Origin, Record, Resolved};
use strowger::proxy::{Cause, Flow, FrameBuffer, ListenerId, Outbox, Proxy, Shared, Snapshot};
use strowger::registry::Registry;
use strowger::transaction::{Failover, TransactionRoom};

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

struct Core {
    proxy: Proxy,
    snapshot: Snapshot,
    shared: Arc<Shared>,
    outbox: Outbox,
    frame: FrameBuffer,
    now: Now,
    number: u64,
    invite: messages::Template,
}

impl Core {
    fn new(is_stateful: bool, room: usize) -> Self {
        let room = TransactionRoom { count: room, bytes: room * 2_048 };
        let shared = world::shared_with(4 << 20, room);
        let now = Now::from_ms(1_000_000_000);
        let records: Vec<_> = (0..10).map(record).collect();
        let table = Registry::default()
            .load(now, &records, &shared.listeners, &shared.pins)
            .expect("a list that can be loaded");
        let mut snapshot = world::snapshot(1, table);
        if is_stateful {
            snapshot.policy.is_stateful = true;
            snapshot.set_default.stateful = Some(Arc::new(Failover::default()));
        }
        Self {
            proxy: Proxy::new(Arc::clone(&shared)),
            snapshot,
            shared,
            outbox: Outbox::new(),
            frame: FrameBuffer::default(),
            now,
            number: 0,
            invite: messages::invite(caller()),
        }
    }

    fn handle(&mut self, from: SocketAddr, bytes: &[u8]) -> Duration {
        let flow = Flow::new(&self.shared.listeners, ListenerId(0), from);
        let frame = self.frame.receive(bytes);
        let begin = Instant::now();
        self.proxy.datagram(self.now, &self.snapshot, flow, frame, &mut self.outbox);
        begin.elapsed()
    }

    /// Begins one more call; returns what its destination gets, and how long it took.
    fn begin(&mut self) -> (SocketAddr, Vec<u8>, Duration) {
        self.number += 1;
        let mut invite = self.invite.clone();
        invite.number(self.number);
        let took = self.handle(caller(), invite.bytes());
        let sent = self.outbox.entries().iter().find(|entry| entry.cause == Cause::Forward);
        let sent = sent.expect("it is forwarded");
        (sent.flow.peer, self.outbox.bytes(sent, self.frame.slot()).to_vec(), took)
    }

    /// Does what is due.
    fn expire(&mut self) -> usize {
        let mut done = 0;
        while self.proxy.expire(self.now, &self.snapshot, &mut self.outbox, |_| {}) {
            done += 1;
        }
        done
    }
}

/// Median times of one call's messages.
struct Times {
    invite: Duration,
    ringing: Duration,
    ok: Duration,
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn measure(core: &mut Core) -> Times {
    let [mut invite, mut ringing, mut ok] = [(); 3].map(|()| Vec::with_capacity(CALLS));
    for _ in 0..CALLS {
        let (server, request, took) = core.begin();
        invite.push(took);
        let response = messages::response(&request, "180 Ringing");
        ringing.push(core.handle(server, &response));
        let response = messages::response(&request, "200 OK");
        ok.push(core.handle(server, &response));
    }
    Times { invite: median(invite), ringing: median(ringing), ok: median(ok) }
}

fn main() {
    let args = Args::parse();
    let mut rows = Vec::new();
    let mut core = Core::new(false, 0);
    rows.push(("stateless", 0, measure(&mut core), None));
    let room = args.live + 2 * CALLS;
    let mut core = Core::new(true, room);
    rows.push(("stateful", 0, measure(&mut core), None));
    let (before, live_before) = (resident(), core.proxy.transactions().0);
    eprintln!("beginning {} transactions", args.live - CALLS);
    while core.proxy.transactions().0 < args.live {
        let (server, request, _) = core.begin();
        // A call that rings keeps its request and its 180.
        let response = messages::response(&request, "180 Ringing");
        core.handle(server, &response);
    }
    let begun = core.proxy.transactions().0 - live_before;
    let bytes = (resident() - before) / begun as u64;
    rows.push(("stateful", args.live, measure(&mut core), Some(bytes)));

    // All of them ring too long: each is cancelled, which is the work of a timer.
    core.now = core.now.plus_ms(185_000);
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
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
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
    for column in 1..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{}", table.trim_fmt());
    println!("a timer that cancels a call: {} ns, {done} of them", per_timer.as_nanos());
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
    pages * 4_096
}

fn caller() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(203, 0, 113, 10), 5060))
}

fn record(number: usize) -> Resolved {
    let address = SocketAddr::from((Ipv4Addr::new(10, 1, 0, 1 + number as u8), 5060));
    Resolved {
        record: Record {
            set: 1,
            uri: DestinationUri::parse(&format!("sip:{address}")).expect("a URI"),
            flags: Flags::default(),
            priority: 0,
            attributes: Attributes::default(),
            origin: Origin::Line(number + 1),
        },
        addresses: vec![address.into()],
    }
}
