//! The null relay: the system calls of a relay, in the same batches, and nothing else. No relay on
//! sockets can be cheaper.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::prctl::set_timerslack;
use nix::sys::socket::SockaddrIn;
use signal_hook::consts::SIGTERM;

use strowger::config::Poll as PollMode;
use strowger::limits::POLL_GATHER_DEFAULT;
use strowger::worker::Gather;

use super::datagrams::{BATCH, Inbox, Outlet, bind};

/// What makes a process of this program the null relay.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Is the null relay at this address
    #[arg(long, hide = true, value_name = "LISTEN")]
    pub(super) null_relay: Option<SocketAddrV4>,
    /// A server of the null relay
    #[arg(long, hide = true)]
    pub(super) server: Vec<SocketAddrV4>,
}

/// The command line of a null relay: this program with these arguments.
pub(super) fn command(listen: SocketAddrV4, servers: &[SocketAddrV4]) -> io::Result<Vec<String>> {
    let own = std::env::current_exe()?.display().to_string();
    let mut arguments = vec![own, "--null-relay".into(), listen.to_string()];
    arguments.extend(servers.iter().map(|server| format!("--server={server}")));
    Ok(arguments)
}

/// How the null relay finds the next hop, without reading anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(dead_code, reason = "a flood goes round, calls do not")]
pub(super) enum Hops {
    /// What comes from callers goes to the servers in turn, and what comes from a server to whoever
    /// sent last that is none.
    InTurn,
    /// Each caller has a server, so that whole calls go through: the first one the first, and so on.
    /// There may be as many callers at a time as there are servers.
    ByCaller,
}

/// Relays from `listen` to `servers` until SIGTERM, then says what was received and sent.
pub(super) fn run(
    listen: SocketAddrV4,
    servers: &[SocketAddrV4],
    mode: PollMode,
    hops: Hops,
) -> io::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&stop))?;
    let socket = bind(listen, RECEIVE_BUFFER_BYTES)?;
    let mut poll = Poll::new()?;
    let mut source = SourceFd(&socket.as_raw_fd());
    poll.registry().register(&mut source, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    let mut inbox = Inbox::new(SLOT_BYTES);
    let mut outlet = Outlet::new();
    let mut callers: Vec<SocketAddrV4> = Vec::new();
    let (mut seen, mut received, mut forwarded) = (0, 0, 0);
    set_timerslack(1_000)?;
    let bound = if mode == PollMode::Adaptive { POLL_GATHER_DEFAULT } else { Duration::ZERO };
    let mut gather = Gather::new(bound);
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if let Some(pause) = gather.pause(None) {
            std::thread::sleep(pause);
        }
        // Not for ever, only so that a signal between the question and the waiting is not missed.
        let timeout = if mode == PollMode::Spin { 0 } else { 200 };
        match poll.poll(&mut events, Some(Duration::from_millis(timeout))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        // Like the relay, wait again after a batch that was not full.
        let mut is_full = !events.is_empty();
        while is_full {
            let count = inbox.receive(&socket)?;
            is_full = count == BATCH;
            gather.received(begin.elapsed(), count);
            if count == 0 {
                break;
            }
            for i in 0..count {
                let from = inbox.source(i);
                let server = servers.iter().position(|server| *server == from);
                let to = match (server, hops) {
                    (Some(_), Hops::InTurn) => callers.last().copied(),
                    (Some(server), Hops::ByCaller) => callers.get(server).copied(),
                    (None, Hops::InTurn) => {
                        callers.clear();
                        callers.push(from);
                        received += 1;
                        Some(servers[received % servers.len()])
                    }
                    (None, Hops::ByCaller) => {
                        received += 1;
                        let known = callers.iter().position(|caller| *caller == from);
                        let place = known.unwrap_or_else(|| {
                            // New callers take the places of old ones, the oldest first.
                            let place = seen % servers.len();
                            seen += 1;
                            if place < callers.len() {
                                callers[place] = from;
                            } else {
                                callers.push(from);
                            }
                            place
                        });
                        Some(servers[place])
                    }
                };
                outlet.address(i, SockaddrIn::from(to.unwrap_or(from)));
            }
            forwarded += outlet.send(&socket, (0..count).map(|i| inbox.datagram(i)))?;
        }
    }
    println!("received={received} forwarded={forwarded}");
    Ok(())
}

/// As the relay's own.
const RECEIVE_BUFFER_BYTES: usize = strowger::limits::RECEIVE_BUFFER_BYTES_DEFAULT;
/// One page, as the relay's slots are in use.
const SLOT_BYTES: usize = 4096;

/// Whether an address is one that the null relay can serve.
pub(super) fn v4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(v4) => Ok(v4),
        SocketAddr::V6(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
