//! SIGTERM: the INVITEs that were open when it came are finished, then the relay ends.

use std::net::{SocketAddr, UdpSocket};

use crate::harness::cli::ask;
use crate::harness::sipp::{list, servers};
use crate::harness::wait::PATIENCE;
use crate::harness::{Relay, Sipp, loopback};

/// A caller, and a server that answers when it is told to.
struct Pair {
    caller: UdpSocket,
    server: UdpSocket,
}

impl Pair {
    fn new() -> Self {
        let bind = || {
            let socket = UdpSocket::bind(loopback::fresh()).expect("a free port");
            socket.set_read_timeout(Some(PATIENCE)).expect("an open socket");
            socket
        };
        Self { caller: bind(), server: bind() }
    }

    fn server(&self) -> SocketAddr {
        self.server.local_addr().expect("a bound socket")
    }

    /// Makes a call; its INVITE as the server gets it.
    fn invite(&self, relay: SocketAddr, number: u32) -> String {
        let us = self.caller.local_addr().expect("a bound socket");
        let invite = format!(
            "INVITE sip:service@{relay} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {us};branch=z9hG4bK-{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:caller@{us}>;tag=c{number}\r\nTo: <sip:service@{relay}>\r\n\
             Call-ID: call-{number}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        self.caller.send_to(invite.as_bytes(), relay).expect("a way to the relay");
        receive(&self.server)
    }

    /// Answers this INVITE, and waits until the caller has the answer.
    fn answer(&self, relay: SocketAddr, invite: &str, status: &str) {
        let is_copied = |row: &&str| {
            ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| row.starts_with(name))
        };
        let rows: Vec<_> = invite.lines().filter(is_copied).collect();
        let to = invite.lines().find(|row| row.starts_with("To:")).expect("a To");
        let rows = rows.join("\r\n");
        let response =
            format!("SIP/2.0 {status}\r\n{rows}\r\n{to};tag=s\r\nContent-Length: 0\r\n\r\n");
        self.server.send_to(response.as_bytes(), relay).expect("a way to the relay");
        let heard = receive(&self.caller);
        assert!(heard.starts_with(&format!("SIP/2.0 {status}\r\n")), "{heard}");
    }
}

fn receive(socket: &UdpSocket) -> String {
    let mut bytes = [0; 4_096];
    let (len, _) = socket.recv_from(&mut bytes).expect("a message");
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

#[test]
fn a_ringing_call_is_waited_for_and_new_calls_are_served_but_not_waited_for() {
    let (pair, servers) = (Pair::new(), servers("uas_call", 1));
    let mut relay = Relay::with_list(&format!("1 sip:{}\n", pair.server())).start();
    let address = relay.address();
    let ringing = pair.invite(address, 1);
    pair.answer(address, &ringing, "180 Ringing");
    let unanswered = pair.invite(address, 2);
    let before = relay.reload(&list(&servers));
    relay.wait_log(before, &["reloaded: "]);

    relay.terminate();
    let says = "waits for INVITEs without a final response: 1 unanswered, 1 ringing, at most 30 s";
    relay.wait_log(before, &[says, "new requests are served meanwhile"]);
    // Whole calls of three seconds, begun and ended while it waits.
    let calls = Sipp::scenario("uac_call").calls(address, 3, 30).with(&["-d", "3000"]).run();
    calls.assert_all_succeeded(3);
    pair.answer(address, &unanswered, "486 Busy Here");
    // One that rings when it leaves.
    let before = relay.reload(&format!("1 sip:{}\n", pair.server()));
    relay.wait_log(before, &["reloaded: "]);
    let late = pair.invite(address, 3);
    pair.answer(address, &late, "180 Ringing");
    pair.answer(address, &ringing, "200 OK");

    relay.wait().assert(&[("chosen", 6), ("token", 6), ("503", 0)]);
    for server in servers {
        server.stop().assert_all_succeeded(3);
    }
}

#[test]
fn a_drained_relay_refuses_new_calls_while_it_ends() {
    let (pair, servers) = (Pair::new(), servers("uas_call", 2));
    let mut relay = Relay::with_list(&format!("1 sip:{}\n", pair.server())).start();
    let address = relay.address();
    let ringing = pair.invite(address, 1);
    pair.answer(address, &ringing, "180 Ringing");
    let before = relay.reload(&list(&servers));
    relay.wait_log(before, &["reloaded: "]);
    let mut caller =
        Sipp::scenario("uac_call").calls(address, 30, 10).with(&["-d", "3500"]).start();
    caller.wait_logged("taken", 30);

    assert_eq!(ask(&relay, &["drain", "--wait", "0"]).code, 1, "one call rings");
    relay.terminate();
    relay.wait_log(before, &["ending: waits", "the relay is drained, so new requests get 503"]);
    let refused = Sipp::scenario("uac_503").calls(address, 5, 50).run();
    let caller = caller.wait();
    pair.answer(address, &ringing, "486 Busy Here");
    let summary = relay.wait();

    refused.assert_all_succeeded(5);
    caller.assert_all_succeeded(30);
    caller.assert_stayed(30);
    for server in servers {
        server.stop().assert_all_succeeded(15);
    }
    summary.assert(&[("chosen", 31), ("token", 60), ("503", 5), ("own_ack", 5)]);
}

#[test]
fn what_ends_the_wait() {
    for (grace_s, is_hurried) in [(1, false), (3_600, true)] {
        let pair = Pair::new();
        let config = format!("[relay]\ngrace_s = {grace_s}\n");
        let list = format!("1 sip:{}\n", pair.server());
        let mut relay = Relay::with_list(&list).config(&config).start();
        let ringing = pair.invite(relay.address(), 1);
        pair.answer(relay.address(), &ringing, "180 Ringing");
        relay.terminate();
        relay.wait_log(0, &["ending: waits", &format!("at most {grace_s} s (grace_s)")]);
        if is_hurried {
            relay.terminate();
        }
        relay.wait_log(0, &["WARN", "ending with", "0 unanswered, 1 ringing"]);
        relay.wait().assert(&[("chosen", 1)]);
    }
}

#[test]
fn an_idle_relay_leaves_at_once() {
    let mut relay = Relay::with_list("").start();
    relay.terminate();
    relay.wait_log(0, &["ending: no INVITE waits for its final response"]);
    relay.wait().assert(&[("chosen", 0)]);
}
