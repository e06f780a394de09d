//! `strowger demo`: runs the real relay on the loopback interface between built-in callers and
//! built-in media servers, shows it while it runs, and checks the result at the end.

mod caller;
mod relay;
mod report;
mod server;
mod tally;
mod text;
mod view;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use thiserror::Error;

use caller::{Caller, Schedule};
pub use report::Report;
use server::Server;
pub use tally::Tally;
use view::View;

/// Callers, each with its own socket and port: a few, like trunks.
const CALLERS: usize = 4;

/// The receive buffer that each caller and server asks for: a second of 6,000 messages.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// How late a call may start. A machine that is busier cannot keep the rate, and the report says
/// which rate it kept.
const LATE_MAX: Duration = Duration::from_secs(1);

/// The longest time to wait for messages in flight after every call has ended.
const SETTLE_MAX: Duration = Duration::from_millis(500);

/// What the demo does.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long to start calls.
    pub length: Duration,
    /// Calls started per second.
    pub rate: f64,
    /// Media servers.
    pub servers: usize,
    /// Workers of the relay; `None`: one per core.
    pub workers: Option<usize>,
    /// Show progress while it runs.
    pub progress: bool,
}

/// Why the demo could not run.
#[derive(Debug, Error)]
pub enum Error {
    /// No socket, thread or file is available.
    #[error("cannot {doing}: {source}")]
    Machine {
        /// What we were doing.
        doing: &'static str,
        /// The machine's error.
        source: io::Error,
    },
    /// The relay did not start.
    #[error("the relay does not start: {0}")]
    Relay(String),
}

/// Runs the demo to its end, or until `stop` is set; calls in progress are finished in both cases.
pub fn run(options: &Options, stop: &Arc<AtomicBool>) -> Result<Report, Error> {
    let servers = (0..options.servers)
        .map(Server::bind)
        .collect::<io::Result<Vec<_>>>()
        .map_err(machine("open a socket for a media server"))?;
    let destinations: Vec<SocketAddr> = servers.iter().map(Server::address).collect();
    let relay = relay::Running::start(&destinations, options.workers, options.rate)?;
    let callers = bind_callers(options, relay.address())?;

    let start = Instant::now();
    let until = start + options.length + LATE_MAX;
    let callers_end = AtomicBool::new(false);
    let servers_end = AtomicBool::new(false);
    let mut view = View::new(options, relay.address(), &destinations);
    let took = thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| server.serve(&servers_end));
        }
        for caller in &callers {
            scope.spawn(|| caller.listen(&callers_end));
            scope.spawn(|| caller.call(start, until, stop));
        }
        while !callers.iter().all(Caller::is_over) {
            thread::sleep(view.interval());
            view.show(start.elapsed(), &sum(&callers, destinations.len()));
        }
        let took = start.elapsed();
        settle(&callers, &servers);
        // Relaxed: the numbers are read after the scope has joined the threads.
        callers_end.store(true, Ordering::Relaxed);
        servers_end.store(true, Ordering::Relaxed);
        took
    });
    view.end();

    let tally = sum(&callers, destinations.len());
    Ok(Report {
        lost: lost(&tally, &servers),
        stopped_early: stop.load(Ordering::Relaxed),
        begun_for: begun_for(&callers, start).max(took.min(options.length)),
        relay: relay.address(),
        workers: relay.workers(),
        destinations,
        tally,
        counters: relay.stop(),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the command line bounds rate and length"
)]
fn bind_callers(options: &Options, relay: SocketAddr) -> Result<Vec<Caller>, Error> {
    let calls = (options.rate * options.length.as_secs_f64()).round() as u64;
    (0..CALLERS as u64)
        .map(|caller| {
            let schedule = Schedule { caller, callers: CALLERS as u64, rate: options.rate, calls };
            Caller::bind(relay, schedule, options.servers)
        })
        .collect::<io::Result<_>>()
        .map_err(machine("open a socket for a caller"))
}

fn sum(callers: &[Caller], destinations: usize) -> Tally {
    let mut sum = Tally::new(destinations);
    for caller in callers {
        caller.add_to(&mut sum);
    }
    sum
}

/// Returns the time from the start to the last call that was started.
fn begun_for(callers: &[Caller], start: Instant) -> Duration {
    let last = callers.iter().filter_map(Caller::last_begun).max();
    last.map_or(Duration::ZERO, |last| last.saturating_duration_since(start))
}

/// Waits until every message has arrived, or for a limited time if some are lost.
fn settle(callers: &[Caller], servers: &[Server]) {
    let end = Instant::now() + SETTLE_MAX;
    while Instant::now() < end && lost(&sum(callers, servers.len()), servers) > 0 {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the number of messages that one side sent and the other did not receive, in both
/// directions.
fn lost(tally: &Tally, servers: &[Server]) -> u64 {
    let (received, sent) = servers
        .iter()
        .map(Server::traffic)
        .fold((0, 0), |(r, s), (received, sent)| (r + received, s + sent));
    tally.sent.saturating_sub(received) + sent.saturating_sub(tally.received)
}

/// Opens a socket on a free port of the loopback interface.
fn open_socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // As much as the kernel grants: an overflow here would look like a loss of the relay.
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    Ok(socket)
}

fn machine(doing: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Machine { doing, source }
}
