//! A media server in a process of its own, so that it can be killed and stopped. It takes every call
//! and answers OPTIONS; told so, it refuses calls and still answers OPTIONS.

use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::generator::{Message, SERVER_FIELD};

/// A server of a run.
pub(super) struct Server {
    number: u8,
    address: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// Starts it on a free port.
    pub(super) fn start(number: u8) -> io::Result<Self> {
        let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let mut server = Self { number, address, child: None };
        server.restart()?;
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it again, after [`Server::kill`].
    pub(super) fn restart(&mut self) -> io::Result<()> {
        let child = Command::new(std::env::current_exe()?)
            .arg(format!("--serve={}", self.address))
            .arg(format!("--number={}", self.number))
            .stdin(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        let asker = UdpSocket::bind("127.0.0.1:0")?;
        asker.set_read_timeout(Some(Duration::from_millis(20)))?;
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            asker.send_to(ARE_YOU_THERE, self.address)?;
            if asker.recv(&mut [0; 16]).is_ok() {
                return Ok(());
            }
        }
        Err(io::Error::other("a server does not start"))
    }

    /// Ends it at once, as `kill -9` does.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        Ok(kill(Pid::from_raw(child.id().cast_signed()), signal)?)
    }

    /// From now on it refuses calls with 503.
    pub(super) fn refuse(&self) -> io::Result<()> {
        let asker = UdpSocket::bind("127.0.0.1:0")?;
        asker.send_to(REFUSE, self.address)?;
        asker.set_read_timeout(Some(Duration::from_secs(5)))?;
        asker.recv(&mut [0; 16]).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Also one that is stopped.
        let _ = self.kill();
    }
}

/// Serves until it is killed: the whole of a server's process.
pub(super) fn serve(address: SocketAddr, number: u8) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut datagram = vec![0; 65_536];
    let mut refuses = false;
    loop {
        // An error is one of an earlier answer.
        let Ok((len, from)) = socket.recv_from(&mut datagram) else { continue };
        let bytes = &datagram[..len];
        if [ARE_YOU_THERE, REFUSE].contains(&bytes) {
            refuses |= bytes == REFUSE;
            socket.send_to(b"yes", from)?;
            continue;
        }
        let Some(request) = Message::read(bytes) else { continue };
        let answers: &[&str] = match request.first_line.split(' ').next() {
            Some("INVITE") if refuses => &["503 Service Unavailable"],
            Some("INVITE") => &["180 Ringing", "200 OK"],
            Some("BYE" | "OPTIONS") => &["200 OK"],
            _ => &[],
        };
        for status in answers {
            let _ = socket.send_to(&answer(request, status, address, number), from);
        }
    }
}

fn answer(request: Message<'_>, status: &str, address: SocketAddr, number: u8) -> Vec<u8> {
    let mut out = format!("SIP/2.0 {status}\r\n").into_bytes();
    for (name, value) in request.fields() {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
        if copied.into_iter().any(is) {
            let tag = if is("To") && !value.contains(";tag=") { ";tag=s" } else { "" };
            // Writing to a vector cannot fail.
            let _ = write!(out, "{name}: {value}{tag}\r\n");
        }
    }
    let _ = write!(
        out,
        "Contact: <sip:media@{address}>\r\n{SERVER_FIELD}: {number}\r\nContent-Length: 0\r\n\r\n"
    );
    out
}

const ARE_YOU_THERE: &[u8] = b"are you there";
const REFUSE: &[u8] = b"refuse";
