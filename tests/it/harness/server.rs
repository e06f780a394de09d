//! A media server that does as it is told: it answers, refuses or is silent, and counts.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::loopback;

/// A server in a thread of the test. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Told>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Told {
    is_over: bool,
    /// The status line for each method, and further header rows; `None`: no answer.
    answers: BTreeMap<String, Option<String>>,
    /// How long it takes to answer each method.
    delays: BTreeMap<String, Duration>,
    /// Requests of each method.
    got: BTreeMap<String, usize>,
}

impl Server {
    /// Starts one that answers 200 to everything.
    pub(crate) fn start() -> Self {
        Self::at(loopback::fresh())
    }

    /// The same at this address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("an option of sockets");
        let told = Arc::new(Mutex::new(Told::default()));
        let shared = Arc::clone(&told);
        let thread = thread::spawn(move || serve(&socket, &shared));
        Self { address, told, thread: Some(thread) }
    }

    /// Answers requests of this method so from now on: `486 Busy Here`, with further rows behind a
    /// line end; `None`: not at all.
    pub(crate) fn answers(&self, method: &str, status: Option<&str>) {
        let status = status.map(str::to_owned);
        self.told.lock().unwrap().answers.insert(method.into(), status);
    }

    /// Takes this long to answer requests of this method from now on, one after the other.
    pub(crate) fn delays(&self, method: &str, by: Duration) {
        self.told.lock().unwrap().delays.insert(method.into(), by);
    }

    /// How many requests of this method it got, copies included.
    pub(crate) fn got(&self, method: &str) -> usize {
        self.told.lock().unwrap().got.get(method).copied().unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.told.lock().unwrap().is_over = true;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

fn serve(socket: &UdpSocket, told: &Mutex<Told>) {
    let mut datagram = vec![0; 65_536];
    loop {
        let received = socket.recv_from(&mut datagram);
        let mut told = told.lock().unwrap();
        if told.is_over {
            return;
        }
        let Ok((len, from)) = received else { continue };
        let text = String::from_utf8_lossy(&datagram[..len]);
        let method = text.split(' ').next().unwrap_or("").to_owned();
        *told.got.entry(method.clone()).or_default() += 1;
        let status = told.answers.get(&method).cloned().unwrap_or_else(|| Some("200 OK".into()));
        let delay = told.delays.get(&method).copied();
        drop(told);
        if let Some(delay) = delay {
            thread::sleep(delay);
        }
        if let Some(status) = status.filter(|_| method != "ACK") {
            let _ = socket.send_to(answer(&text, &status).as_bytes(), from);
        }
    }
}

fn answer(request: &str, status: &str) -> String {
    let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
    let rows = request.lines().take_while(|row| !row.is_empty()).filter(|row| {
        let name = row.split(':').next().unwrap_or("").trim_end();
        copied.iter().any(|copied| copied.eq_ignore_ascii_case(name))
    });
    let rows: String = rows
        .map(|row| {
            let is_to = row.to_ascii_lowercase().starts_with("to:") && !row.contains(";tag=");
            format!("{row}{}\r\n", if is_to { ";tag=s" } else { "" })
        })
        .collect();
    format!("SIP/2.0 {status}\r\n{rows}Content-Length: 0\r\n\r\n")
}
