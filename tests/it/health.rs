//! Destinations that fail and come back, seen from outside: the state, its reason, and what becomes of
//! calls.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::harness::cli::{ask, wait_state};
use crate::harness::server::Server;
use crate::harness::{Relay, wait};

/// A caller that begins calls and counts what comes back.
pub(crate) struct Caller {
    socket: UdpSocket,
    relay: SocketAddr,
    number: usize,
    /// The answers so far, by the number of the call.
    heard: BTreeMap<usize, u16>,
}

impl Caller {
    pub(crate) fn new(relay: &Relay) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { socket, relay: relay.address(), number: 0, heard: BTreeMap::new() }
    }

    fn invite(&self, number: usize) -> String {
        let local = self.socket.local_addr().unwrap();
        let mut text = String::new();
        write!(
            text,
            "INVITE sip:{number}@{relay} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:caller@{local}>;tag=c{number}\r\nTo: <sip:{number}@{relay}>\r\n\
             Call-ID: {number}@{local}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
            relay = self.relay
        )
        .unwrap();
        text
    }

    /// Begins a call, without waiting for its answer. Returns its number.
    fn begin(&mut self) -> usize {
        self.number += 1;
        self.copy(self.number);
        self.number
    }

    /// Sends the INVITE of this call, again.
    fn copy(&self, number: usize) {
        self.socket.send_to(self.invite(number).as_bytes(), self.relay).unwrap();
    }

    /// Waits for the answer to this call, and returns its status code.
    fn hear(&mut self, number: usize) -> u16 {
        let mut datagram = [0; 4096];
        while !self.heard.contains_key(&number) {
            let len = self.socket.recv(&mut datagram).expect("a response");
            let text = String::from_utf8_lossy(&datagram[..len]);
            let (_, call_id) = text.split_once("\r\nCall-ID: ").unwrap();
            let call = call_id.split_once('@').unwrap().0.parse().unwrap();
            self.heard.insert(call, text[8..11].parse().unwrap());
        }
        self.heard[&number]
    }

    /// One call and its answer.
    pub(crate) fn call(&mut self) -> u16 {
        let number = self.begin();
        self.hear(number)
    }
}

fn list(servers: &[&Server], flags: u32) -> String {
    servers.iter().map(|server| format!("1 sip:{} {flags}\n", server.address)).collect()
}

const QUICK: &str =
    "[dispatch.probing]\ninterval_ms = 200\ntimeout_ms = 200\ndoubt_interval_ms = 100\n";

#[test]
fn a_server_that_is_gone_is_out_after_the_first_call_and_comes_back() {
    let (one, two) = (Server::start(), Server::start());
    let relay = Relay::with_list(&list(&[&one, &two], 0)).config(QUICK).start();
    let mut caller = Caller::new(&relay);
    assert_eq!([caller.call(), caller.call()], [200, 200]);
    assert_eq!((one.got("INVITE"), two.got("INVITE")), (1, 1));
    let address = one.address;
    drop(one);

    let lost = caller.begin();
    assert_eq!(wait_state(&relay, address, "inactive"), "ICMP port unreachable (ECONNREFUSED)");
    // The copy that the caller sends finds the other server.
    caller.copy(lost);
    assert_eq!(caller.hear(lost), 200);
    assert_eq!([caller.call(), caller.call()], [200, 200]);
    assert_eq!(two.got("INVITE"), 4);

    // It is probed while it is out, although nobody asked for probing.
    let back = Server::at(address);
    let reason = wait_state(&relay, address, "active");
    assert!(reason.starts_with("answered a probe with 200 after "), "{reason}");
    assert!(back.got("OPTIONS") > 0);
    assert_eq!([caller.call(), caller.call()], [200, 200]);
    assert_eq!(back.got("INVITE"), 1);

    let history = ask(&relay, &["list", "--history"]).well();
    let of: Vec<_> =
        history.lines().filter(|line| line.contains("AX") || line.contains("IX")).collect();
    let says: Vec<_> =
        of.iter().map(|line| ["loaded", "ICMP", "answered"].map(|w| line.contains(w))).collect();
    let wants =
        [[true, false, false], [false, true, false], [false, false, true], [true, false, false]];
    assert_eq!(says, wants, "{history}");
    let summary = relay.stop();
    assert_eq!((summary.get("forwarded.retried"), summary.get("state_changes")), (1, 2));
    assert!(summary.get("icmp.proven") >= 1);
}

#[test]
fn a_server_that_is_silent_is_out_and_another_takes_the_copies() {
    let (one, two) = (Server::start(), Server::start());
    let relay = Relay::with_list(&list(&[&one, &two], 0)).config(QUICK).start();
    let mut caller = Caller::new(&relay);
    one.answers("INVITE", None);
    one.answers("OPTIONS", None);
    let calls: Vec<_> = (0..16).map(|_| caller.begin()).collect();
    let reason = wait_state(&relay, one.address, "inactive");
    assert!(reason.starts_with("no answer to 8 requests from 1 source for "), "{reason}");
    for number in &calls {
        caller.copy(*number);
    }
    assert!(calls.iter().all(|number| caller.hear(*number) == 200));
    assert!(two.got("INVITE") >= 16 + 8, "{}", two.got("INVITE"));
    assert_eq!(caller.call(), 200);
    one.answers("OPTIONS", Some("200 OK"));
    wait_state(&relay, one.address, "active");
}

#[test]
fn probing_takes_out_and_brings_back_and_can_be_switched_off() {
    let (one, two) = (Server::start(), Server::start());
    // The first is probed, the second is not.
    let lines = format!("1 sip:{} 8\n1 sip:{}\n", one.address, two.address);
    let relay = Relay::with_list(&lines).config(QUICK).start();
    wait::until("probes", || (one.got("OPTIONS") > 2).then_some(()));
    one.answers("OPTIONS", Some("500 Server Internal Error"));
    assert_eq!(wait_state(&relay, one.address, "inactive"), "500 to a probe");
    let mut caller = Caller::new(&relay);
    assert_eq!([caller.call(), caller.call()], [200, 200]);
    assert_eq!((one.got("INVITE"), two.got("INVITE"), two.got("OPTIONS")), (0, 2, 0));
    one.answers("OPTIONS", Some("200 OK"));
    wait_state(&relay, one.address, "active");

    // An operator's word stays.
    let uri = format!("sip:{}", one.address);
    ask(&relay, &["set-state", "disabled", "1", &uri]).well();
    let probes = one.got("OPTIONS");
    let why = wait_state(&relay, one.address, "disabled");
    assert!(why.starts_with("by a command of "), "{why}");
    std::thread::sleep(Duration::from_millis(600));
    // One may have been on its way.
    assert!(one.got("OPTIONS") <= probes + 1);
    ask(&relay, &["set-state", "ap", "1", &uri]).well();
    wait::until("probes again", || (one.got("OPTIONS") > probes + 2).then_some(()));
}

#[test]
fn a_full_server_gets_no_calls_for_as_long_as_it_says() {
    let (one, two) = (Server::start(), Server::start());
    let config = format!("{QUICK}full_s_max = 2\n");
    let relay = Relay::with_list(&list(&[&one, &two], 8)).config(&config).start();
    one.answers("OPTIONS", Some("503 Service Unavailable\r\nRetry-After: 60"));
    assert_eq!(wait_state(&relay, one.address, "full"), "503 to a probe, Retry-After 60 s");
    let mut caller = Caller::new(&relay);
    assert_eq!([caller.call(), caller.call()], [200, 200]);
    assert_eq!((one.got("INVITE"), two.got("INVITE")), (0, 2));
    // Kamailio's tools know no such state: it is alive.
    let table = ask(&relay, &["list"]).well();
    assert!(table.contains("full (AP)"), "{table}");
    one.answers("OPTIONS", Some("200 OK"));
    wait_state(&relay, one.address, "active");
    assert_eq!([caller.call(), caller.call()], [200, 200]);
    assert_eq!(one.got("INVITE"), 1);
}
