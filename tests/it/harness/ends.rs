//! A caller and a server that count: each datagram has a unique number, so the exact loss between
//! them is known.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::{loopback, wait};

/// Both ends of the way through a relay.
#[derive(Debug)]
pub(crate) struct Ends {
    caller: UdpSocket,
    server: UdpSocket,
    /// INVITEs sent so far, each of another call.
    pub(crate) sent: u64,
    asked: u64,
    arrived: BTreeMap<String, u64>,
}

impl Ends {
    /// Two on loopback addresses of their own.
    pub(crate) fn new() -> Self {
        let bind = || UdpSocket::bind(loopback::fresh()).expect("a free port");
        Self::of(bind(), bind())
    }

    /// These two sockets.
    pub(crate) fn of(caller: UdpSocket, server: UdpSocket) -> Self {
        server.set_nonblocking(true).expect("an open socket");
        // Nothing may be lost behind the relay: some 30,000 messages fit.
        let _ = setsockopt(&server, sockopt::RcvBufForce, &(64 << 20));
        Self { caller, server, sent: 0, asked: 0, arrived: BTreeMap::new() }
    }

    /// A `dispatcher.list` with the server.
    pub(crate) fn list(&self) -> String {
        format!("1 sip:{}\n", self.server())
    }

    /// Where the server is.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server.local_addr().expect("a bound socket")
    }

    /// Sends this many new INVITEs.
    pub(crate) fn send(&mut self, relay: SocketAddr, count: u64) {
        self.send_with(relay, count, "", "");
    }

    /// Sends this many new INVITEs with these rows (each with its line end) and this body.
    pub(crate) fn send_with(&mut self, relay: SocketAddr, count: u64, rows: &str, body: &str) {
        for _ in 0..count {
            self.sent += 1;
            let invite = self.invite(relay, self.sent, rows, body);
            self.caller.send_to(invite.as_bytes(), relay).expect("a way to the relay");
        }
    }

    /// Makes one new call with these rows, repeating its INVITE until it arrives.
    pub(crate) fn call(&mut self, relay: SocketAddr, rows: &str) {
        self.sent += 1;
        let invite = self.invite(relay, self.sent, rows, "");
        let before = self.arrived();
        wait::until("an INVITE at the server", || {
            self.send_raw(relay, invite.as_bytes());
            thread::sleep(Duration::from_millis(2));
            (self.arrived() > before).then_some(())
        });
    }

    /// Sends these bytes.
    pub(crate) fn send_raw(&self, relay: SocketAddr, bytes: &[u8]) {
        self.caller.send_to(bytes, relay).expect("a way to the relay");
    }

    /// Asks the relay itself and waits for its answer, so that a relay with one worker has handled
    /// all that was sent before.
    pub(crate) fn ask(&mut self, relay: SocketAddr) {
        self.asked += 1;
        let options = self.invite(relay, self.asked, "", "");
        let options = options.replace("INVITE", "OPTIONS").replace("sip:service@", "sip:");
        let call_id = format!("Call-ID: ask-{}\r\n", self.asked);
        let options = options.replace(&format!("Call-ID: call-{}\r\n", self.asked), &call_id);
        self.caller.set_nonblocking(true).expect("an open socket");
        let mut bytes = vec![0; 65_536];
        wait::until("the relay's answer", || {
            let _ = self.caller.send_to(options.as_bytes(), relay);
            thread::sleep(Duration::from_millis(5));
            while let Ok((len, _)) = self.caller.recv_from(&mut bytes) {
                if String::from_utf8_lossy(&bytes[..len]).contains(&call_id) {
                    return Some(());
                }
            }
            None
        });
        self.caller.set_nonblocking(false).expect("an open socket");
    }

    /// The INVITE with this number.
    pub(crate) fn invite(&self, relay: SocketAddr, number: u64, rows: &str, body: &str) -> String {
        let us = self.caller.local_addr().expect("a bound socket");
        format!(
            "INVITE sip:service@{relay} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {us};branch=z9hG4bK-{number}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:caller@{us}>;tag=c{number}\r\nTo: <sip:service@{relay}>\r\n\
             Call-ID: call-{number}\r\nCSeq: 1 INVITE\r\n{rows}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Different calls that have arrived at the server so far.
    pub(crate) fn arrived(&mut self) -> u64 {
        let mut bytes = vec![0; 65_536];
        loop {
            match self.server.recv_from(&mut bytes) {
                Ok((len, _)) => {
                    let text = String::from_utf8_lossy(&bytes[..len]);
                    let call_id = text.lines().find_map(|line| line.strip_prefix("Call-ID: "));
                    *self.arrived.entry(call_id.expect("a Call-ID").to_owned()).or_default() += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("the server cannot receive: {error}"),
            }
        }
        self.arrived.len() as u64
    }

    /// Waits until this many different calls have arrived.
    pub(crate) fn wait_arrived(&mut self, count: u64) {
        wait::until(&format!("{count} calls at the server"), || {
            (self.arrived() >= count).then_some(())
        });
    }

    /// Fails unless exactly this many calls arrived, none of them twice; for when the relay has
    /// ended.
    #[track_caller]
    pub(crate) fn assert_arrived(&mut self, count: u64) {
        assert_eq!(self.arrived(), count, "of {} sent", self.sent);
        assert!(self.arrived.values().all(|copies| *copies == 1), "{:?}", self.arrived);
    }
}
