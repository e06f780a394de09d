//! A built-in media server: it accepts every call and keeps no state, so it uses little CPU time
//! next to the relay. Each response contains its number, which tells the caller where its call
//! went.

use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::text::{Message, session_description};

/// The header field with the server's number.
pub(super) const SERVER_FIELD: &str = "Server";

/// An answering user agent on a free port of the loopback interface.
#[derive(Debug)]
pub(super) struct Server {
    number: usize,
    socket: UdpSocket,
    address: SocketAddr,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Server {
    /// Binds a port; `number` counts from 0.
    pub(super) fn bind(number: usize) -> io::Result<Self> {
        let socket = super::open_socket()?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let address = socket.local_addr()?;
        Ok(Self { number, socket, address, received: AtomicU64::new(0), sent: AtomicU64::new(0) })
    }

    /// Returns its address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of datagrams that it has received and sent.
    pub(super) fn traffic(&self) -> (u64, u64) {
        // Relaxed: two counters that are only shown; after the threads are joined, they are exact.
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }

    /// Answers until `stop` is set.
    pub(super) fn serve(&self, stop: &AtomicBool) {
        let mut datagram = vec![0; 65_536];
        let mut answer = Vec::with_capacity(4096);
        let description = session_description(self.address.port());
        loop {
            let Ok((len, from)) = self.socket.recv_from(&mut datagram) else {
                // Relaxed: nothing is published through the flag.
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                continue;
            };
            self.received.fetch_add(1, Ordering::Relaxed);
            let Some(request) = Message::read(&datagram[..len]) else {
                continue;
            };
            let answers: &[(&str, &str)] = match request.method() {
                "INVITE" => &[("180 Ringing", ""), ("200 OK", &description)],
                "BYE" | "OPTIONS" => &[("200 OK", "")],
                _ => &[],
            };
            for (status, body) in answers {
                self.write_answer(&mut answer, request, status, body);
                if self.socket.send_to(&answer, from).is_ok() {
                    self.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// RFC 3261 §8.2.6.2 and §12.1.1: copies Via and Record-Route unchanged.
    fn write_answer(&self, out: &mut Vec<u8>, request: Message<'_>, status: &str, body: &str) {
        out.clear();
        out.extend_from_slice(b"SIP/2.0 ");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in request.fields() {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"]
                .iter()
                .any(|wanted| is(wanted));
            if !copied {
                continue;
            }
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            if is("To") && !value.contains(";tag=") {
                out.extend_from_slice(b";tag=ms");
                let _ = write!(out, "{}", self.number);
            }
            out.extend_from_slice(b"\r\n");
        }
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "Contact: <sip:media@{}>\r\n{SERVER_FIELD}: {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.number,
            body.len(),
        );
    }
}
