//! A media server in a process of its own, so that it can be killed and stopped. It takes every call
//! and answers OPTIONS; told so, it refuses calls and still answers OPTIONS, or it loses datagrams.

use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadtest::{Message, PRODUCT};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

    /// Makes it behave this way from now on.
    pub(super) fn tell(&self, what: &[u8]) -> io::Result<()> {
        let asker = UdpSocket::bind("127.0.0.1:0")?;
        asker.send_to(what, self.address)?;
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
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut datagram = vec![0; 65_536];
    let mut refuses = false;
    let mut loss = Loss { is_on: false, state: u64::from(number) + 1 };
    let mut unacknowledged: Vec<Answered> = Vec::new();
    loop {
        let now = Instant::now();
        for answered in unacknowledged.iter_mut().filter(|answered| answered.again <= now) {
            answered.interval = (2 * answered.interval).min(Duration::from_secs(4));
            answered.again = now + answered.interval;
            if !loss.takes() {
                let _ = socket.send_to(&answered.response, answered.to);
            }
        }
        unacknowledged.retain(|answered| now < answered.since + Duration::from_secs(32));
        // An error is one of an earlier answer, or nothing came.
        let Ok((len, from)) = socket.recv_from(&mut datagram) else { continue };
        let bytes = &datagram[..len];
        if [ARE_YOU_THERE, REFUSE, LOSE, RECOVER].contains(&bytes) {
            refuses |= bytes == REFUSE;
            loss.is_on = (loss.is_on || bytes == LOSE) && bytes != RECOVER;
            socket.send_to(b"yes", from)?;
            continue;
        }
        if loss.takes() {
            continue;
        }
        let Some(request) = Message::read(bytes) else { continue };
        let method = request.method();
        let answers: &[&str] = match method {
            Some("INVITE") if refuses => &["503 Service Unavailable"],
            Some("INVITE") => &["180 Ringing", "200 OK"],
            Some("BYE" | "OPTIONS") => &["200 OK"],
            _ => &[],
        };
        let call_id = request.row("Call-ID").unwrap_or_default().to_owned();
        if method == Some("ACK") {
            unacknowledged.retain(|answered| answered.call_id != call_id);
        }
        for status in answers {
            let response = answer(request, status, address, number);
            if !loss.takes() {
                let _ = socket.send_to(&response, from);
            }
            let is_known = unacknowledged.iter().any(|answered| answered.call_id == call_id);
            if method == Some("INVITE") && status.starts_with("200") && !is_known {
                let (since, interval) = (Instant::now(), Duration::from_millis(500));
                let (again, to, call_id) = (since + interval, from, call_id.clone());
                unacknowledged.push(Answered { call_id, response, to, since, again, interval });
            }
        }
    }
}

/// A 2xx to an INVITE, which is sent again until its ACK comes (RFC 3261 §13.3.1.4).
struct Answered {
    call_id: String,
    response: Vec<u8>,
    to: SocketAddr,
    since: Instant,
    again: Instant,
    interval: Duration,
}

/// Which datagrams are lost: one in five, the same ones in each run.
struct Loss {
    is_on: bool,
    state: u64,
}

impl Loss {
    fn takes(&mut self) -> bool {
        if !self.is_on {
            return false;
        }
        // xorshift64 (Marsaglia, 2003)
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.is_multiple_of(5)
    }
}

fn answer(request: Message<'_>, status: &str, address: SocketAddr, number: u8) -> Vec<u8> {
    let mut out = format!("SIP/2.0 {status}\r\n").into_bytes();
    for (name, value) in request.rows() {
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
        "Contact: <sip:media@{address}>\r\nServer: {PRODUCT} {}\r\nContent-Length: 0\r\n\r\n",
        number + 1
    );
    out
}

const ARE_YOU_THERE: &[u8] = b"are you there";
/// From now on it refuses calls with 503.
pub(super) const REFUSE: &[u8] = b"refuse";
/// It loses one in five datagrams that come or go.
pub(super) const LOSE: &[u8] = b"lose";
/// It loses none.
pub(super) const RECOVER: &[u8] = b"recover";
