//! Workers allocate nothing while messages of every kind arrive, even during a reload and a trace.
//!
//! The allocator of this program counts allocations on marked threads, and every worker is marked
//! right before its first datagram.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strowger::capture::Filter;
use strowger::config::{Config, Flags};
use strowger::control::{Options, Relay};
use strowger::destination::{Algorithm, Choosing, HeaderField, Part, UriOf};
use strowger::proxy::{Answer, Forwarded, Reason, Verdict};
use tempfile::TempDir;

struct Counting;

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

fn count() {
    if IS_COUNTED.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the rules of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the rules of `realloc`.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rounds of the 17 messages below.
const ROUNDS: u64 = 80;

/// Rounds before which a trace of all calls begins and ends.
const TRACE_BEGINS: u64 = 30;
const TRACE_ENDS: u64 = 60;

#[test]
fn a_thousand_messages_of_every_kind_and_a_reload() {
    // First of all, that the allocator counts.
    IS_COUNTED.set(true);
    drop(std::hint::black_box(Box::new(1)));
    IS_COUNTED.set(false);
    assert_eq!(ALLOCATIONS.swap(0, Ordering::Relaxed), 2);

    let from = UriOf::From;
    let parts = [
        Part::CallId,
        Part::SourceAddress,
        Part::CredentialsUser,
        Part::Header(HeaderField::new("Contact")),
        Part::Uri(UriOf::To),
        Part::UserOrHost(from),
        Part::HostAndPort(from),
        Part::Parameter(UriOf::Request, "tgrp".into()),
    ];
    let of = |algorithm| Choosing { algorithm, ..Choosing::default() };
    for choosing in [
        of(Algorithm::RoundRobin),
        of(Algorithm::Weighted),
        of(Algorithm::Random),
        of(Algorithm::Latency),
        Choosing { slow_start_ms: 30_000, ..of(Algorithm::Fastest) },
        Choosing { load_factor_percent: 101, slow_start_ms: 1, ..of(Algorithm::FromHash) },
        Choosing { hash_over: parts.to_vec(), ..of(Algorithm::Consistent) },
        Choosing { hash_over: parts.to_vec(), is_kamailio: true, ..of(Algorithm::KeyHash) },
    ] {
        play_rounds(&choosing);
    }
}

fn play_rounds(choosing: &Choosing) {
    // The workers of the relay before this one have ended, and freed what they had.
    ALLOCATIONS.store(0, Ordering::Relaxed);
    let folder = TempDir::new().unwrap();
    let server = End::new();
    let list = folder.path().join("dispatcher.list");
    // Two records, so that there is a choice, and one server, so that it gets every call.
    let at = server.address();
    let records = format!("1 sip:{at} 0 0 weight=3;duid=a\n1 sip:{at} 0 0 weight=5;duid=b\n");
    fs::write(&list, &records).unwrap();
    let relay = start(&folder, choosing);
    let caller = End::new();
    let (commands, mut traced) = (relay.commands(), 0);
    let mut trace = None;
    for round in 0..ROUNDS {
        match round {
            TRACE_BEGINS => trace = Some(commands.trace(Filter::default()).unwrap()),
            TRACE_ENDS => assert!(commands.trace_end(trace.take().unwrap())),
            _ => {}
        }
        play(&relay, &caller, &server, round);
        if let Some(trace) = trace {
            traced += commands.trace_read(trace).unwrap().messages.len();
        }
        if round == ROUNDS / 2 {
            fs::write(&list, format!("{records}1 sip:127.0.0.1:9 4\n")).unwrap();
            relay.reload().unwrap();
        }
    }

    assert!(traced as u64 > (TRACE_ENDS - TRACE_BEGINS) * 20, "{traced}");
    assert_eq!(relay.snapshot_version(), 2);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), 0);
    let totals = relay.stop();
    assert!(totals.received >= 1000);
    assert_eq!(totals.icmp_other, ROUNDS, "errors for the port of nobody");
    assert_eq!(totals.unaccounted(), 0);
    for (verdict, a_round) in [
        (Verdict::Forwarded(Forwarded::Chosen), 2),
        (Verdict::Forwarded(Forwarded::Pinned), 2),
        (Verdict::Forwarded(Forwarded::Token), 2),
        (Verdict::Forwarded(Forwarded::Response), 4),
        (Verdict::Answered(Answer::Ok), 2),
        (Verdict::Answered(Answer::NoTransaction), 1),
        (Verdict::Answered(Answer::TooManyHops), 1),
        (Verdict::Answered(Answer::BadRequest), 1),
        (Verdict::Dropped(Reason::KeepAlive), 1),
        (Verdict::Dropped(Reason::ForeignVia), 1),
    ] {
        assert_eq!(totals.of(verdict), a_round * ROUNDS, "{verdict:?}:\n{totals}");
    }
}

fn start(folder: &TempDir, choosing: &Choosing) -> Relay {
    let flags = Flags {
        listen: vec!["udp:127.0.0.1:5060".into()],
        list: Some(folder.path().join("dispatcher.list")),
        workers: Some(2),
        dispatch_line: Some("going to <$ru> via <$du>".into()),
        ..Flags::default()
    };
    let mut config = Config::load(&flags).unwrap();
    config.relay.listen[0].address.set_port(0);
    config.set_default.choosing = choosing.clone();
    config.relay.state_dir = Some(folder.path().into());
    let options = Options { on_worker_start: Some(|_| IS_COUNTED.set(true)), ..Options::default() };
    Relay::start(&config, options).unwrap()
}

/// One call with a lost ACK, a cancelled one, and what else comes in on a bad day.
fn play(relay: &Relay, caller: &End, server: &End, round: u64) {
    let to = relay.local_addresses()[0];
    let request = |method: &str, number: u32, call: &str| {
        caller.request(method, &format!("{number} {method}"), &format!("{call}-{round}"))
    };

    // INVITE, its copy, 180, 200, ACK, BYE, 200.
    let invite = request("INVITE", 1, "call");
    caller.send(to, &invite);
    let arrived = server.receive();
    caller.send(to, &invite);
    assert_eq!(via(&arrived), via(&server.receive()));
    server.send(to, &response(&arrived, "180 Ringing"));
    caller.receive();
    server.send(to, &response(&arrived, "200 OK"));
    let answer = caller.receive();
    for message in [request("ACK", 1, "call"), request("BYE", 2, "call")] {
        let route = header(&answer, "Record-Route").replace("Record-Route", "Route");
        let message = message
            .replace("Max-Forwards", &format!("{route}\r\nMax-Forwards"))
            .replace("branch=z9hG4bK", "branch=z9hG4bKin")
            .replace(";to\r\n", ";tag=server\r\n");
        caller.send(to, &message);
        let arrived = server.receive();
        if arrived.starts_with("BYE") {
            server.send(to, &response(&arrived, "200 OK"));
            caller.receive();
        }
    }

    // INVITE, CANCEL, 487 to the INVITE.
    let invite = request("INVITE", 1, "cancelled");
    caller.send(to, &invite);
    let arrived = server.receive();
    caller.send(to, &invite.replace("INVITE", "CANCEL"));
    server.receive();
    server.send(to, &response(&arrived, "487 Request Terminated"));
    caller.receive();

    // Our own answers.
    let ping = request("OPTIONS", 1, "ping").replace("sip:us@example.com", &format!("sip:{to}"));
    let bye = request("BYE", 1, "unknown").replace(";to\r\n", ";tag=nobody\r\n");
    let looping = request("INVITE", 1, "loop").replace("Max-Forwards: 70", "Max-Forwards: 0");
    let broken = request("INVITE", 1, "broken").replace("CSeq: 1 INVITE", "CSeq: 1 NONE");
    for (message, wants) in [(ping, "200"), (bye, "481"), (looping, "483"), (broken, "400")] {
        caller.send(to, &message);
        let answer = caller.receive();
        assert!(answer.starts_with(&format!("SIP/2.0 {wants} ")), "{answer}");
    }

    // An answer to a port that nobody has: the kernel reports an error.
    let closed = End::new().address();
    let ping = request("OPTIONS", 2, "nobody").replace("sip:us@example.com", &format!("sip:{to}"));
    let errors = relay.totals().icmp_other;
    caller.send(to, &ping.replace(&format!("UDP {}", caller.address()), &format!("UDP {closed}")));
    let begin = Instant::now();
    while relay.totals().icmp_other == errors {
        assert!(begin.elapsed() < Duration::from_secs(5), "no error was reported");
    }

    // Silence.
    let before = relay.totals().received;
    caller.send(to, "\r\n\r\n");
    let stray = response(&request("INVITE", 1, "stray"), "200 OK");
    caller.send(to, &stray);
    let begin = Instant::now();
    while relay.totals().received < before + 2 {
        assert!(begin.elapsed() < Duration::from_secs(5), "not received");
    }
}

/// A caller or a server.
struct End(UdpSocket);

impl End {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn send(&self, to: SocketAddr, message: &str) {
        self.0.send_to(message.as_bytes(), to).unwrap();
    }

    fn receive(&self) -> String {
        let mut bytes = [0; 4096];
        let len = self.0.recv(&mut bytes).expect("a message within 5 s");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    fn request(&self, method: &str, cseq: &str, call_id: &str) -> String {
        let us = self.address();
        format!(
            "{method} sip:us@example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {us};branch=z9hG4bK-{call_id}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:a@{us}>;tag=caller\r\nTo: <sip:b@example.com>;to\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq}\r\nContact: <sip:a@{us}>\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }
}

/// The response of a server: it copies what RFC 3261 §8.2.6.2 says.
fn response(request: &str, status: &str) -> String {
    let copied = ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"];
    let is_copied = |row: &&str| {
        let name = row.split(':').next();
        copied.iter().any(|copied| name == Some(copied))
    };
    let mut rows = String::new();
    for row in request.split("\r\n").filter(is_copied) {
        rows.push_str(row);
        if row.starts_with("To:") && !row.contains(";tag=") {
            rows.push_str(";tag=server");
        }
        rows.push_str("\r\n");
    }
    format!("SIP/2.0 {status}\r\n{rows}Content-Length: 0\r\n\r\n")
}

fn header(message: &str, name: &str) -> String {
    let rows = message.split("\r\n");
    let mut found = rows.filter(|row| row.starts_with(&format!("{name}:")));
    found.next().unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}

/// The branch of the topmost Via.
fn via(message: &str) -> String {
    let row = header(message, "Via");
    let (_, rest) = row.split_once("branch=").expect("a branch");
    rest.split(';').next().unwrap_or_default().to_owned()
}
