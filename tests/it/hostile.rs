//! A hostile network on a small scale: each attack runs while calls go through the same relay, and
//! all calls must complete. The full version, with figures, is `cargo bench --bench hostile`.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::harness::relay::Summary;
use crate::harness::sipp::{Running, list};
use crate::harness::{Relay, Sipp, loopback};

#[path = "../../loadtest/hostile/attacks/texts.rs"]
mod texts;
use texts::{in_dialog, replaced, request, value};

const HOPS: &str = "Max-Forwards: 70\r\n";

/// A relay, a destination, and a caller who is at work.
pub(crate) struct Scene {
    pub(crate) relay: Relay,
    caller: Running,
    /// It serves until the scene has ended; what strangers sent it is its own affair.
    server: Running,
}

impl Scene {
    const CALLS: u64 = 30;

    /// Begins with the calls.
    pub(crate) fn begin() -> Self {
        Self::with("")
    }

    /// With these lines of configuration under `[relay]`, in which NEIGHBOURS are caller and server.
    pub(crate) fn with(config: &str) -> Self {
        let [server, caller] = [(); 2].map(|()| loopback::fresh());
        let neighbours = format!("\"{}\", \"{}\"", server.ip(), caller.ip());
        let config = format!("[relay]\n{}", config.replace("NEIGHBOURS", &neighbours));
        let server =
            Sipp::scenario("uas_call").named("ms1").at(server).with(&["-rtcheck", "loose"]).serve();
        let relay = Relay::with_list(&list([&server])).config(&config).start();
        let caller = Self::call(Sipp::scenario("uac_call").at(caller), &relay);
        Self { relay, caller, server }
    }

    /// With a relay that is there already, whose only destination is from now on the scene's.
    fn of(mut relay: Relay) -> Self {
        let server = Sipp::scenario("uas_call").named("ms1").with(&["-rtcheck", "loose"]).serve();
        let skip = relay.reload(&list([&server]));
        relay.wait_log(skip, &["reloaded"]);
        let caller = Self::call(Sipp::scenario("uac_call"), &relay);
        Self { relay, caller, server }
    }

    fn call(caller: Sipp, relay: &Relay) -> Running {
        caller.with(&["-d", "300"]).calls(relay.address(), Self::CALLS, 20).start()
    }

    /// Waits for the calls, all of which must have completed, and returns what the relay counted.
    pub(crate) fn end(self) -> Summary {
        self.caller.wait().assert_all_succeeded(Self::CALLS);
        let summary = self.relay.stop();
        drop(self.server);
        summary
    }
}

/// Somebody on the network, who sees what comes to his address.
struct Host(UdpSocket);

impl Host {
    fn new() -> Self {
        let socket = UdpSocket::bind(loopback::fresh()).expect("a free address");
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("a bound socket")
    }

    fn send(&self, message: &[u8], relay: &Relay) {
        self.0.send_to(message, relay.address()).expect("a datagram of allowed length");
    }

    /// The next datagram.
    #[track_caller]
    fn receive(&self) -> Vec<u8> {
        self.0.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut bytes = vec![0; 65_536];
        let (len, _) = self.0.recv_from(&mut bytes).expect("a datagram");
        bytes.truncate(len);
        bytes
    }

    /// Fails when anything has come that was not taken: ask after [`wait_served`], for a relay with
    /// one worker has then done all that came before.
    #[track_caller]
    fn assert_nothing_came(&self) {
        self.0.set_nonblocking(true).expect("an option");
        let error = self.0.recv_from(&mut [0; 2_048]).map(|(len, _)| len).expect_err("nothing");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

/// Waits until the relay has come to the end of what was sent to it before by `host`.
fn wait_served(host: &Host, relay: &Relay, number: u64) {
    let uri = format!("sip:{}", relay.address());
    host.send(&request("OPTIONS", uri, host.address(), number, HOPS), relay);
    let answer = String::from_utf8(host.receive()).expect("an answer of text");
    assert!(answer.starts_with("SIP/2.0 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("{number:016x}@mallory")), "{answer}");
}

#[test]
fn datagrams_that_are_no_sip_are_met_with_silence_and_counted() {
    let scene = Scene::with("workers = 1\n");
    let stranger = Host::new();
    let lf = replaced(&request("OPTIONS", "sip:a@b", "c", 1, HOPS), " SIP/2.0\r", " SIP/2.0");
    let rows: [(&str, Vec<u8>); 12] = [
        ("keep_alive", vec![]),
        ("keep_alive", b"\r\n\r\n".to_vec()),
        ("keep_alive", b"\n".repeat(65_507)),
        ("stun", vec![0; 65_507]),
        ("stun", b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl".to_vec()),
        ("not_sip", b"x".to_vec()),
        ("not_sip", vec![b'A'; 65_507]),
        ("not_sip", "Ω≈ç√∫ SIP\r\n".repeat(30).into_bytes()),
        ("not_sip", b"GET / HTTP/1.1\r\nVia: 1.1 a\r\n\r\n".to_vec()),
        ("not_sip", lf),
        ("malformed_response", b"SIP/2.0 99 x\r\n\r\n".to_vec()),
        (
            "foreign_via",
            replaced(
                &request("OPTIONS", "sip:a@b", "192.0.2.9", 1, ""),
                "OPTIONS sip:a@b SIP/2.0",
                "SIP/2.0 200 OK",
            ),
        ),
    ];
    for _ in 0..20 {
        for (_, datagram) in &rows {
            stranger.send(datagram, &scene.relay);
        }
        // Twelve of the longest fill its buffer by a fifth.
        wait_served(&stranger, &scene.relay, 2);
    }
    stranger.assert_nothing_came();
    let summary = scene.end();
    summary.assert(&[
        ("keep_alive", 60),
        ("stun", 40),
        ("not_sip", 100),
        ("malformed_response", 20),
        ("foreign_via", 20),
        ("dropped", 240),
        ("200", 20),
        ("answered", 20),
    ]);
}

#[test]
fn an_answer_is_one_packet_and_hardly_longer_than_its_request() {
    let scene = Scene::with("workers = 1\n");
    let stranger = Host::new();
    let from = stranger.address();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("481", in_dialog("BYE", "sip:b@x", from, 1, HOPS)),
        ("481", in_dialog("X", "sip:b@x", format!("{from};rport"), 2, HOPS)),
        ("483", request("INVITE", "sip:b@x", from, 3, "Max-Forwards: 0\r\n")),
        ("420", request("INVITE", "sip:b@x", from, 4, "Proxy-Require: a,b\r\n")),
        ("416", request("MESSAGE", "sips:b@x", from, 5, HOPS)),
        ("505", replaced(&request("INVITE", "sip:b@x", from, 6, HOPS), "SIP/2.0", "SIP/9.9")),
        ("400", request("INVITE", "sip:b@x", from, 7, "Max-Forwards: x\r\n")),
        ("400", request("INVITE", "sip:b@x", from, 8, &"Max-Forwards: 1\r\n".repeat(3_000))),
    ];
    for (code, message) in &rows {
        stranger.send(message, &scene.relay);
        let answer = stranger.receive();
        let says = String::from_utf8_lossy(&answer);
        assert!(says.starts_with(&format!("SIP/2.0 {code} ")), "{code}: {says}");
        assert!(answer.len() * 8 <= message.len() * 9, "{} of {}", answer.len(), message.len());
    }
    let silent: Vec<(&str, Vec<u8>)> = vec![
        ("too_short", b"B sip:b SIP/2.0\r\nv:SIP/2.0/UDP a;rport\r\n\r\n".to_vec()),
        ("stray_ack", in_dialog("ACK", "sip:b@x", from, 9, HOPS)),
        ("bad_ack", request("ACK", "sip:b@x", from, 9, "Max-Forwards: 0\r\n")),
        ("unanswerable", b"BYE sip:b@b SIP/2.0\r\nCall-ID: 1\r\n\r\n".to_vec()),
        ("unanswerable", request("BYE", "sip:b@b", "192.0.2.9:0", 9, HOPS)),
    ];
    for (_, message) in &silent {
        stranger.send(message, &scene.relay);
    }
    wait_served(&stranger, &scene.relay, 10);
    stranger.assert_nothing_came();
    scene.end().assert(&[
        ("answered", rows.len() as u64 + 1),
        ("too_short", 1),
        ("stray_ack", 1),
        ("bad_ack", 1),
        ("unanswerable", 2),
        ("dropped", silent.len() as u64),
    ]);
}

#[test]
fn responses_that_nobody_asked_for_reach_nobody() {
    let server = Host::new();
    let [caller, victim, attacker] = [(); 3].map(|()| Host::new());
    let text = format!("1 sip:{}\n", server.address());
    let relay = Relay::with_list(&text).workers(1).start();
    caller.send(&request("INVITE", "sip:b@x", caller.address(), 1, HOPS), &relay);
    let forwarded = String::from_utf8(server.receive()).expect("text");
    let real = forwarded.replacen("INVITE sip:b@x SIP/2.0", "SIP/2.0 200 OK", 1).into_bytes();
    let scene = Scene::of(relay);
    let relay = &scene.relay;
    let own = value(&forwarded, "Via").expect("our Via").to_owned();
    let (address, victims) = (caller.address().to_string(), victim.address().to_string());
    let sw = own.split(";sw=").nth(1).expect("our parameter");
    let without_parameter = replaced(&real, &format!(";sw={sw}"), "");
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("forged_via", replaced(&real, &address, &victims)),
        (
            "forged_via",
            replaced(&real, &address, &format!("{address};received={}", victim.address().ip())),
        ),
        (
            "forged_via",
            replaced(&real, &address, &format!("{address};rport={}", victim.address().port())),
        ),
        ("forged_via", replaced(&real, sw, &format!("{}{}", &sw[..4], "0".repeat(sw.len() - 4)))),
        ("forged_via", without_parameter.clone()),
        ("foreign_via", replaced(&real, &own, &format!("SIP/2.0/UDP {victims};branch=z9hG4bKx"))),
        // What is then on top is the caller's.
        ("foreign_via", replaced(&real, &format!("Via: {own}\r\n"), "")),
        ("bad_next_via", replaced(&real, &address, "255.255.255.255:5060")),
        ("bad_next_via", replaced(&real, &address, "224.0.0.1:5060")),
        ("bad_next_via", replaced(&real, &address, "0.0.0.0:5060")),
        ("bad_next_via", replaced(&real, &address, "[::]:5060")),
        ("bad_next_via", replaced(&real, &address, &relay.address().to_string())),
    ];
    for _ in 0..50 {
        for (_, message) in &rows {
            attacker.send(message, relay);
        }
        // A server that drops our parameter is believed, so this one cannot pose as one.
        for (_, message) in rows.iter().filter(|(_, message)| *message != without_parameter) {
            server.send(message, relay);
        }
    }
    // A true one reaches the caller and him only, whoever sends it.
    attacker.send(&real, relay);
    assert!(caller.receive().starts_with(b"SIP/2.0 200 OK\r\n"));
    wait_served(&attacker, relay, 2);
    for host in [&caller, &victim, &attacker] {
        host.assert_nothing_came();
    }
    scene.end().assert(&[
        ("forged_via", 4 * 100 + 50),
        ("foreign_via", 2 * 100),
        ("bad_next_via", 5 * 100),
        ("dropped", 11 * 100 + 50),
        ("forwarded", 2 + 6 * Scene::CALLS),
    ]);
}

#[test]
fn no_route_and_no_token_leads_to_a_stranger() {
    let server = Host::new();
    let [caller, victim] = [(); 2].map(|()| Host::new());
    let text = format!("1 sip:{}\n", server.address());
    let relay = Relay::with_list(&text).workers(1).start();
    caller.send(&request("INVITE", "sip:b@x", caller.address(), 1, HOPS), &relay);
    let forwarded = String::from_utf8(server.receive()).expect("text");
    let scene = Scene::of(relay);
    let relay = &scene.relay;
    let token = value(&forwarded, "Record-Route").expect("our Record-Route");
    let (us, victims) = (format!("<sip:{};lr>", relay.address()), victim.address());
    let last = token.find('@').expect("a token before the host") - 1;
    let other = if token.as_bytes()[last] == b'5' { "6" } else { "5" };
    let tampered = [&token[..last], other, &token[last + 1..]].concat();
    let (from, uri) = (caller.address(), format!("sip:v@{victims}"));
    let to = |route: &str| format!("{HOPS}Route: {route}, <sip:{victims};lr>\r\n");
    // What the caller is told, or who gets it: the destination of his own call, or a new one.
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("new", request("MESSAGE", &uri, from, 10, HOPS)),
        ("new", request("MESSAGE", "sip:b@x", from, 11, &to(&us))),
        ("481", in_dialog("INFO", &uri, from, 12, &to(&us))),
        ("481", in_dialog("INFO", &uri, from, 13, HOPS)),
        ("403", in_dialog("INFO", &uri, from, 14, &to(token))),
        ("403", in_dialog("INFO", &uri, from, 15, &to(&tampered))),
        ("403", in_dialog("INFO", token.trim_matches(['<', '>']), from, 16, &to(&us))),
        ("own", in_dialog("INFO", &uri, from, 1, &to(token))),
    ];
    for (wants, message) in &rows {
        caller.send(message, relay);
        match *wants {
            "new" => {}
            "own" => assert!(server.receive().starts_with(b"INFO ")),
            code => assert!(caller.receive().starts_with(format!("SIP/2.0 {code}").as_bytes())),
        }
    }
    wait_served(&victim, relay, 20);
    for host in [&victim, &server] {
        host.assert_nothing_came();
    }
    scene.end().assert(&[
        ("403", 3),
        ("481", 2),
        ("200", 1),
        ("chosen", 1 + 2 + Scene::CALLS),
        ("dropped", 0),
    ]);
}
