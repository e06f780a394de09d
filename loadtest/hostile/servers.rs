//! The destinations: one thread that accepts calls like a media server, and refuses all others. It
//! answers each copy of a request once and retransmits nothing by itself, so duplicates come from
//! the relay.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use memchr::memmem;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;

use super::arena::{CALLER, SERVERS};
use super::datagrams::{Inbox, Outlet, bind};
use super::harness::netns::Namespace;
use super::messages::response;
use nix::sys::socket::SockaddrIn;

/// What they saw and do.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    strangers: AtomicU64,
    is_silent: AtomicBool,
    recorded: Mutex<Option<Vec<Vec<u8>>>>,
}

/// The thread.
pub(super) struct Servers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    /// Begins to serve in this namespace.
    pub(super) fn new(namespace: &Namespace) -> io::Result<Self> {
        let sockets = namespace.enter(|| SERVERS.map(|address| bind(address, 32 << 20)));
        let sockets = sockets.into_iter().collect::<io::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || serve(&ours, &sockets).expect("sockets of ours"));
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Messages that were not of the caller's calls.
    pub(super) fn strangers(&self) -> u64 {
        self.shared.strangers.load(Ordering::Relaxed)
    }

    /// Answers strangers no more, or again.
    pub(super) fn be_silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Keeps what strangers send from now on.
    pub(super) fn record(&self) {
        *self.shared.recorded.lock().expect("nobody panics with it") = Some(Vec::new());
    }

    /// What was kept; no more is.
    pub(super) fn recorded(&self) -> Vec<Vec<u8>> {
        self.shared.recorded.lock().expect("nobody panics with it").take().unwrap_or_default()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared, sockets: &[UdpSocket]) -> io::Result<()> {
    let mut poll = Poll::new()?;
    for (number, socket) in sockets.iter().enumerate() {
        let mut source = SourceFd(&socket.as_raw_fd());
        poll.registry().register(&mut source, Token(number), Interest::READABLE)?;
    }
    let mut events = Events::with_capacity(sockets.len());
    let mut inbox = Inbox::new(65_536);
    let mut outlet = Outlet::new();
    while !shared.stop.load(Ordering::Relaxed) {
        match poll.poll(&mut events, Some(Duration::from_millis(50))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for socket in sockets {
            loop {
                let count = inbox.receive(socket)?;
                if count == 0 {
                    break;
                }
                let mut answers = Vec::new();
                for i in 0..count {
                    if let Some(answer) = answer(shared, inbox.datagram(i)) {
                        outlet.address(answers.len(), SockaddrIn::from(inbox.source(i)));
                        answers.push(answer);
                    }
                }
                outlet.send(socket, answers.iter().map(Vec::as_slice))?;
            }
        }
    }
    Ok(())
}

fn answer(shared: &Shared, message: &[u8]) -> Option<Vec<u8>> {
    let caller = format!("sip:caller@{}", CALLER.ip());
    let is_call = memmem::find(message, caller.as_bytes()).is_some();
    if !is_call {
        shared.strangers.fetch_add(1, Ordering::Relaxed);
        let mut recorded = shared.recorded.lock().expect("nobody panics with it");
        if let Some(recorded) = recorded.as_mut() {
            recorded.push(message.to_vec());
        }
    }
    let is = |method: &str| message.starts_with(method.as_bytes());
    if is("ACK ") || is("SIP/2.0 ") || !is_call && shared.is_silent.load(Ordering::Relaxed) {
        return None;
    }
    let status = match is_call {
        true => "200 OK",
        // A 200 would bring a session description.
        false if is("OPTIONS ") => "202 Accepted",
        false if is("INVITE ") => "486 Busy Here",
        false => "404 Not Found",
    };
    let answer = response(message, status);
    if !status.starts_with("200") {
        return Some(refusal(&answer));
    }
    let mut answer = answer;
    // The caller's next requests name whom the Contact names.
    if let Some(at) = memmem::find(&answer, CONTACT) {
        answer.splice(at..at + CONTACT.len(), SERVERS[0].to_string().into_bytes());
    }
    Some(answer)
}

/// What begins no dialog says neither how to go on in it nor by which way.
fn refusal(answer: &[u8]) -> Vec<u8> {
    let is_kept = |line: &&[u8]| {
        ![b"Contact: ".as_slice(), b"Record-Route: "].iter().any(|name| line.starts_with(name))
    };
    answer.split_inclusive(|byte| *byte == b'\n').filter(is_kept).collect::<Vec<_>>().concat()
}

/// The address in the Contact of the bench's answers.
const CONTACT: &[u8] = b"192.0.2.200:5060";

/// Where a relay finds them.
pub(super) fn list() -> String {
    super::harness::sipp::list_of(SERVERS.map(SocketAddr::from))
}
