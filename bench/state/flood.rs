//! Callers that send new calls as fast as they can, one thread for each core.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::sys::socket::SockaddrIn;

use crate::datagrams::{BATCH, Outlet, bind};
use crate::messages::{self, Template};

/// The callers.
pub(crate) struct Flood {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Flood {
    pub(crate) fn start(relay: SocketAddrV4, threads: usize) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let begin = |number: usize| {
            let sockets = (0..SOCKETS)
                .map(|_| bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), 1 << 16))
                .collect::<io::Result<Vec<_>>>()?;
            let is_over = Arc::clone(&is_over);
            Ok(thread::spawn(move || send(relay, &sockets, number as u64, &is_over)))
        };
        let threads = (0..threads).map(begin).collect::<io::Result<_>>()?;
        Ok(Self { is_over, threads })
    }

    /// Ends it; returns how many calls were sent.
    pub(crate) fn stop(self) -> u64 {
        // Relaxed: it only has to be seen some time.
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("a caller panicked")).sum()
    }
}

fn send(relay: SocketAddrV4, sockets: &[UdpSocket], thread: u64, is_over: &AtomicBool) -> u64 {
    let relay = SockaddrIn::from(relay);
    let mut outlet = Outlet::new();
    (0..BATCH).for_each(|i| outlet.address(i, relay));
    let templates = sockets.iter().map(|socket| {
        let caller = socket.local_addr().expect("a bound socket");
        vec![messages::invite(caller); BATCH]
    });
    let mut batches: Vec<Vec<Template>> = templates.collect();
    let (mut number, mut sent) = (thread << 48, 0);
    while !is_over.load(Ordering::Relaxed) {
        for (socket, batch) in sockets.iter().zip(&mut batches) {
            for message in batch.iter_mut() {
                number += 1;
                message.number(number);
            }
            let messages = batch.iter().map(Template::bytes);
            sent += outlet.send(socket, messages).expect("a socket that can send") as u64;
        }
    }
    sent
}

/// Sources of each caller: without steering by Call-ID, the kernel spreads them over the workers.
const SOCKETS: usize = 16;
