//! Sends copies of messages to Homer, on a thread of its own: whatever Homer does, no worker waits.

use std::io::{self, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;
use tracing::{info, warn};

use super::error::Error;
use super::threads;
use crate::capture::hep::Packet;
use crate::capture::{Facts, Filter, Record, Tap, What};
use crate::config::HepConfig;
use crate::limits::HEP_BATCH_MAX;
use crate::listener::Listeners;
use crate::proxy::Shared;

/// What was sent to Homer.
#[derive(Debug, Default)]
pub(in crate::control) struct HepCounters {
    sent: AtomicU64,
    lost: AtomicU64,
    /// Its tap, which counts what its rings had no room for.
    tap: Option<Arc<Tap>>,
}

impl HepCounters {
    pub(in crate::control) fn new(tap: Option<Arc<Tap>>) -> Self {
        Self { tap, ..Self::default() }
    }

    pub(in crate::control) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(in crate::control) fn lost(&self) -> u64 {
        let in_rings = self.tap.as_ref().map_or(0, |tap| tap.lost());
        self.lost.load(Ordering::Relaxed) + in_rings
    }
}

/// Returns what Homer's tap wants.
pub(in crate::control) fn filter(config: &HepConfig) -> Filter {
    let share = (config.share_percent < 100).then(|| u16::from(config.share_percent) * 10);
    Filter { share, ..Filter::default() }
}

/// Starts the thread.
pub(in crate::control) fn spawn(
    config: HepConfig,
    shared: Arc<Shared>,
    counters: Arc<HepCounters>,
    gone: Receiver<()>,
) -> Result<JoinHandle<()>, Vec<Error>> {
    threads::spawn("hep", move || {
        let Some(tap) = counters.tap.clone() else { return };
        let mut sender = Sender::new(config);
        loop {
            let is_ending = !threads::is_alive(&gone, sender.pause());
            while sender.send(&tap, &shared.listeners, &counters) {}
            if is_ending {
                break;
            }
        }
    })
}

/// The way to Homer.
struct Sender {
    config: HepConfig,
    way: Option<Way>,
    /// When it is tried again, and how long after that.
    again: Instant,
    pause: Duration,
    is_down: bool,
    /// Packets that leave together.
    packets: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Sender {
    fn new(config: HepConfig) -> Self {
        Self {
            config,
            way: None,
            again: Instant::now(),
            pause: PAUSE_MIN,
            is_down: false,
            packets: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Returns how long to sleep.
    fn pause(&self) -> Duration {
        if self.way.is_some() {
            if self.ends.is_empty() { IDLE } else { BUSY }
        } else {
            self.again.saturating_duration_since(Instant::now())
        }
    }

    /// Sends some of what waits in the rings; returns whether more may wait. While there is no way to
    /// Homer, it stays there.
    fn send(&mut self, tap: &Tap, listeners: &Listeners, counters: &HepCounters) -> bool {
        if self.way.is_none() && !self.connect() {
            return false;
        }
        let Self { config, packets, ends, .. } = self;
        packets.clear();
        ends.clear();
        let has_more = tap.take(HEP_BATCH_MAX, |record, bytes| {
            packet(config, listeners, record, bytes).encode(packets);
            ends.push(packets.len());
        });
        let sent = self.write();
        let all = self.ends.len();
        // Relaxed: counts, which order nothing.
        match sent {
            Ok(sent) => {
                counters.sent.fetch_add(sent as u64, Ordering::Relaxed);
                counters.lost.fetch_add((all - sent) as u64, Ordering::Relaxed);
            }
            Err(error) => {
                counters.lost.fetch_add(all as u64, Ordering::Relaxed);
                self.fail(&error);
                return false;
            }
        }
        has_more
    }

    /// Returns how many packets were sent; an error ends the connection.
    fn write(&mut self) -> io::Result<usize> {
        match &mut self.way {
            Some(Way::Tcp(stream)) => stream.write_all(&self.packets).map(|()| self.ends.len()),
            Some(Way::Udp(socket)) => {
                let mut begin = 0;
                let sent = self.ends.iter().filter(|end| {
                    let packet = &self.packets[begin..**end];
                    begin = **end;
                    // An error may be about an earlier one, so it is tried again.
                    socket.send(packet).or_else(|_| socket.send(packet)).is_ok()
                });
                Ok(sent.count())
            }
            None => Ok(0),
        }
    }

    fn connect(&mut self) -> bool {
        if Instant::now() < self.again {
            return false;
        }
        let address = self.config.address;
        let way = if self.config.is_tcp {
            TcpStream::connect_timeout(&address, TIME_MAX).and_then(|stream| {
                stream.set_write_timeout(Some(TIME_MAX))?;
                stream.set_nodelay(true)?;
                Ok(Way::Tcp(stream))
            })
        } else {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            UdpSocket::bind(any).and_then(|socket| {
                socket.connect(address)?;
                Ok(Way::Udp(socket))
            })
        };
        match way {
            Ok(way) => {
                if std::mem::take(&mut self.is_down) {
                    info!("hep: {address} takes messages again");
                }
                (self.way, self.pause) = (Some(way), PAUSE_MIN);
                true
            }
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_down, true) {
            warn!("hep: {} takes no messages: {error}; it is tried again", self.config.address);
        }
        self.way = None;
        self.again = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

fn packet<'a>(
    config: &'a HepConfig,
    listeners: &Listeners,
    record: &Record,
    bytes: &'a [u8],
) -> Packet<'a> {
    let local = listeners.get(record.listener).local;
    let (from, to) = match record.what {
        What::Received(_) => (record.peer, local),
        What::Sent(_) => (local, record.peer),
    };
    Packet {
        at: record.at,
        from,
        to,
        capture_id: config.capture_id,
        password: config.password.as_deref(),
        correlation_id: Facts::read(bytes).call_id(),
        payload: bytes,
    }
}

/// How long the rings fill before they are read again, while messages come: they hold those of 10 ms at
/// full load.
const BUSY: Duration = Duration::from_millis(5);
/// The same while none come.
const IDLE: Duration = Duration::from_millis(20);
/// How long a connection or a write may take.
const TIME_MAX: Duration = Duration::from_secs(1);
/// The first pause after a failure, which is doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);
