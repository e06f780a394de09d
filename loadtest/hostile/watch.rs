//! Counts what reaches the world: every datagram that arrives there, for any host and port.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::datagrams::Inbox;
use super::harness::netns::Namespace;

/// What came.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Datagrams.
    pub(super) packets: u64,
    /// Their payloads.
    pub(super) bytes: u64,
    /// By host.
    pub(super) by_host: HashMap<Ipv4Addr, u64>,
    /// By the first twelve bytes, `SIP/2.0 400 `.
    pub(super) by_start: BTreeMap<String, u64>,
}

impl Tally {
    /// Datagrams for this host.
    pub(super) fn to(&self, host: Ipv4Addr) -> u64 {
        self.by_host.get(&host).copied().unwrap_or(0)
    }
}

/// A thread that counts.
pub(super) struct Watch {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to count what comes into this namespace.
    pub(super) fn new(namespace: &Namespace) -> Self {
        let socket = namespace.enter(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))
                .expect("a raw socket (root is needed)");
            setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).expect("root may");
            socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
            UdpSocket::from(std::os::fd::OwnedFd::from(socket))
        });
        let tally = Arc::new(Mutex::new(Tally::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (our_tally, our_stop) = (Arc::clone(&tally), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut inbox = Inbox::new(256);
            while !our_stop.load(Ordering::Relaxed) {
                // Waits for one, then takes what is there.
                if socket.peek_from(&mut [0]).is_ok() {
                    let count = inbox.receive(&socket).expect("a socket of ours");
                    let mut tally = our_tally.lock().expect("nobody panics with it");
                    (0..count).for_each(|i| note(&mut tally, inbox.datagram(i)));
                }
            }
        });
        Self { tally, stop, thread: Some(thread) }
    }

    /// What came so far.
    pub(super) fn tally(&self) -> Tally {
        self.lock().clone()
    }

    /// Datagrams so far.
    pub(super) fn packets(&self) -> u64 {
        self.lock().packets
    }

    /// Forgets all.
    pub(super) fn reset(&self) {
        *self.lock() = Tally::default();
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("nobody panics with it")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One packet: a raw socket gets the IP header too.
fn note(tally: &mut Tally, packet: &[u8]) {
    const UDP_HEADER: usize = 8;
    let Some(header) = packet.first().map(|first| usize::from(first & 15) * 4) else { return };
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let payload = packet.get(header + UDP_HEADER..).unwrap_or_default();
    tally.packets += 1;
    tally.bytes += (total - header - UDP_HEADER) as u64;
    let host = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
    *tally.by_host.entry(host).or_default() += 1;
    let start = String::from_utf8_lossy(&payload[..payload.len().min(12)]).into_owned();
    *tally.by_start.entry(start).or_default() += 1;
}
