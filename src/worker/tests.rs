//! Workers on real sockets: what they see of destinations that die, and of probes.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::config::{ListenConfig, Workers};
use crate::destination::{Attributes, DestinationUri, Flags, Origin, Record, Resolved, Slot};
use crate::keys::{Keys, MasterKey};
use crate::pin::{PinMemory, PinTable};
use crate::proxy::probe::{self, ProbeRequest};
use crate::proxy::{Forwarded, Policy, SetPolicy, Unreachable};
use crate::registry::Registry;
use crate::stats::Totals;
use crate::sync::AtomicU64;
use crate::transport::send::Reports;

/// Workers without a control side; the test's thread watches the destinations.
struct Running {
    supplies: Supplies,
    _pool: Pool,
}

/// What workers on this host get, which are not started yet.
fn supplies(host: &str, workers: usize, destinations: &[SocketAddr]) -> Supplies {
    let listen = ListenConfig {
        address: format!("{host}:0").parse().unwrap(),
        name: None,
        advertise: None,
        force_rport: false,
        set: None,
    };
    let (sockets, listeners) = Sockets::bind(&[listen], &[], workers, 1 << 20).unwrap();
    let keys = Keys::new(&[MasterKey { id: 1, secret: [7; 32] }]);
    let pins = PinTable::new(PinMemory::on_heap(8_000));
    let records: Vec<_> = destinations.iter().map(|address| record(*address)).collect();
    let destinations =
        Registry::default().load(monotonic_now(), &records, &listeners, &pins).unwrap();
    let snapshot = Snapshot {
        version: 1,
        policy: Policy::default(),
        set_default: SetPolicy::default(),
        sets: Arc::default(),
        draining: false,
        destinations,
    };
    let words: Vec<_> = (0..Traffic::words_for(workers)).map(|_| AtomicU64::new(0)).collect();
    Supplies {
        shared: Arc::new(Shared::new(listeners, keys, pins, 9)),
        sockets: Arc::new(sockets),
        snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
        stats: (0..workers).map(|_| WorkerStats::default()).collect(),
        traffic: Arc::new(Traffic::new(words, workers)),
        sightings: Arc::new(Sightings::new()),
        capture: Arc::new(Capture::new(workers)),
        stop: Arc::new(AtomicBool::new(false)),
        dispatch_log: None,
        fault: None,
        poll: PollMode::Wait,
        poll_gather: Duration::ZERO,
    }
}

impl Running {
    fn start(host: &str, workers: usize, destinations: &[SocketAddr]) -> Self {
        let supplies = supplies(host, workers, destinations);
        supplies.sightings.watch_here();
        let placements = Placement::assign(Workers::Count(workers));
        let pool = Pool::start(&supplies, &placements, None).unwrap();
        Self { supplies, _pool: pool }
    }

    fn address(&self) -> SocketAddr {
        self.supplies.shared.listeners.get(ListenerId(0)).local
    }

    /// The next sighting.
    fn next(&self) -> Sighting {
        let begin = Instant::now();
        loop {
            if let Some(sighting) = self.supplies.sightings.pop() {
                return sighting;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "nothing was seen");
            thread::park_timeout(Duration::from_secs(1));
        }
    }

    fn next_report(&self) -> Unreachable {
        match self.next() {
            Sighting::Unreachable(report) => report,
            other @ Sighting::ProbeAnswered(_) => panic!("{other:?}"),
        }
    }

    fn totals(&self) -> Totals {
        self.supplies.stats.iter().collect()
    }

    /// The totals once this is so, or after ten seconds.
    fn totals_when(&self, is_so: impl Fn(&Totals) -> bool) -> Totals {
        let begin = Instant::now();
        loop {
            let totals = self.totals();
            if is_so(&totals) || begin.elapsed() > Duration::from_secs(10) {
                return totals;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn probe(&self, number: u32, to: SocketAddr) {
        let request = ProbeRequest {
            number,
            method: "OPTIONS",
            uri: &format!("sip:{to}"),
            from: "sip:dispatcher@localhost",
            max_forwards: 70,
            slot: Slot(0),
            listener: ListenerId(0),
        };
        let mut bytes = Vec::new();
        assert!(probe::write(&self.supplies.shared, &request, monotonic_now(), &mut bytes));
        self.supplies.sockets.send_probe(ListenerId(0), &bytes, to).unwrap();
    }
}

fn record(address: SocketAddr) -> Resolved {
    Resolved {
        record: Record {
            set: 1,
            uri: DestinationUri::parse(&format!("sip:{address}")).unwrap(),
            flags: Flags::default(),
            priority: 0,
            attributes: Attributes::default(),
            origin: Origin::Command,
        },
        addresses: vec![address.into()],
    }
}

fn end(host: &str) -> UdpSocket {
    let end = UdpSocket::bind(format!("{host}:0")).unwrap();
    end.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    end
}

/// An address with a port that nobody has: it is below those that the kernel gives to sockets.
fn closed(host: &str) -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = std::process::id().wrapping_mul(64) + NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{host}:{}", 10_000 + n % 20_000).parse().unwrap()
}

fn invite(caller: &UdpSocket, number: usize) -> String {
    let us = caller.local_addr().unwrap();
    format!(
        "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK-{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\n\
         Call-ID: {number}@{us}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
}

fn read(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut bytes = [0; 4096];
    let (len, from) = socket.recv_from(&mut bytes).expect("a message within 10 s");
    (String::from_utf8_lossy(&bytes[..len]).into_owned(), from)
}

fn ok(request: &str) -> String {
    let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let rows = request.split("\r\n").filter(|row| copied.iter().any(|name| row.starts_with(name)));
    let rows: String = rows.map(|row| format!("{row}\r\n")).collect();
    format!("SIP/2.0 200 OK\r\n{rows}Content-Length: 0\r\n\r\n")
}

#[test]
fn a_closed_port_is_reported_and_proven_within_50_ms() {
    for (host, workers) in [("127.0.0.1", 1), ("127.0.0.1", 4), ("[::1]", 2)] {
        let dead = closed(host);
        let running = Running::start(host, workers, &[dead]);
        let caller = end(host);
        let mut fastest = Duration::MAX;
        for number in 0..20 {
            let begin = Instant::now();
            caller.send_to(invite(&caller, number).as_bytes(), running.address()).unwrap();
            let report = running.next_report();
            fastest = fastest.min(begin.elapsed());
            let wants = Unreachable {
                address: dead,
                slot: Slot(0),
                errno: libc::ECONNREFUSED,
                is_proven: true,
                probe: None,
                owner: None,
            };
            assert_eq!(report, wants, "{host} {workers}");
        }
        assert!(fastest < Duration::from_millis(50), "{fastest:?}");
        let totals = running.totals();
        assert_eq!((totals.icmp_proven, totals.icmp_unproven, totals.icmp_other), (20, 0, 0));
        assert_eq!(totals.receive_failed, 0, "{host} {workers}");
        assert_eq!(running.supplies.traffic.of(Slot(0)).calls, 20);
    }
}

#[test]
fn the_errors_of_a_dead_destination_lose_no_message_to_a_living_one() {
    let host = "127.0.0.1";
    let (alive, caller) = (end(host), end(host));
    let [dead, dead_too] = [closed(host), closed(host)];
    let running = Running::start(host, 2, &[dead, alive.local_addr().unwrap(), dead_too]);
    let all = 600;
    for number in 0..all {
        caller.send_to(invite(&caller, number).as_bytes(), running.address()).unwrap();
        if number % 3 == 2 {
            // So that no buffer overflows.
            read(&alive);
        }
    }
    assert_eq!(running.supplies.traffic.of(Slot(1)).calls, all as u64 / 3);
    let totals = running.totals();
    assert_eq!((totals.send_failed_all(), totals.receive_failed), (0, 0));
    assert_eq!(totals.icmp_unproven, 0);
    assert!(totals.icmp_proven > 0);
}

#[test]
fn an_error_for_what_is_not_ours_proves_nothing() {
    let dead = closed("127.0.0.1");
    let running = Running::start("127.0.0.1", 1, &[dead]);
    let caller = end("127.0.0.1");
    let listener = ListenerId(0);
    // What an attacker would quote: the Via of a message that we never sent.
    let sockets = &running.supplies.sockets;
    sockets.send_probe(listener, invite(&caller, 1).as_bytes(), dead).unwrap();
    let report = running.next_report();
    assert_eq!((report.address, report.is_proven, report.probe), (dead, false, None));
    // An error for somebody else is nobody's.
    sockets.send_probe(listener, b"hello", closed("127.0.0.1")).unwrap();
    running.probe(5, dead);
    let report = running.next_report();
    assert_eq!((report.is_proven, report.probe), (true, Some(5)));
    let totals = running.totals();
    assert_eq!((totals.icmp_proven, totals.icmp_unproven, totals.icmp_other), (1, 1, 1));
}

#[test]
fn probes_are_answered_end_to_end() {
    for host in ["127.0.0.1", "[::1]"] {
        let server = end(host);
        let address = server.local_addr().unwrap();
        let running = Running::start(host, 3, &[address]);
        for number in 0..10 {
            running.probe(number, address);
            let (probe, from) = read(&server);
            assert!(probe.starts_with(&format!("OPTIONS sip:{address} SIP/2.0\r\n")), "{probe}");
            assert_eq!(from, running.address());
            server.send_to(ok(&probe).as_bytes(), from).unwrap();
            let Sighting::ProbeAnswered(answer) = running.next() else { panic!("a report") };
            assert_eq!((answer.number, answer.code, answer.source), (number, 200, address));
            assert!(answer.age_ms < 5_000);
        }
        // A verdict is counted right after its event is told.
        let replies = |totals: &Totals| totals.of(Verdict::Dropped(Reason::ProbeReply));
        let totals = running.totals_when(|totals| replies(totals) == 10);
        assert_eq!(replies(&totals), 10);
        assert_eq!(totals.unaccounted(), 0);
        assert_eq!(running.supplies.traffic.of(Slot(0)), crate::stats::SlotTraffic::default());
    }
}

#[test]
fn a_batch_is_handled_in_its_order_however_much_of_it_is_read_ahead() {
    let (server, caller) = (end("127.0.0.1"), end("127.0.0.1"));
    let supplies = supplies("127.0.0.1", 1, &[server.local_addr().unwrap()]);
    let relay = supplies.shared.listeners.get(ListenerId(0)).local;
    let (mut worker, _waker) = Worker::new(0, supplies.clone()).unwrap();
    // Each INVITE twice, the copy in the same part or in the next one.
    let order: Vec<usize> = (0..13).flat_map(|n| [3 * n, 3 * n, 3 * n + 1, 3 * n + 1]).collect();
    for (place, number) in order.iter().enumerate() {
        if place % 5 == 3 {
            caller.send_to(b"no SIP", relay).unwrap();
        }
        caller.send_to(invite(&caller, *number).as_bytes(), relay).unwrap();
    }
    assert!(!worker.batch(ListenerId(0)), "all of it is one batch");
    for number in order {
        let (message, _) = read(&server);
        assert!(message.contains(&format!("Call-ID: {number}@")), "{number}: {message}");
    }
    let totals: Totals = supplies.stats.iter().collect();
    assert_eq!(totals.of(Verdict::Forwarded(Forwarded::Chosen)), 26);
    assert_eq!(totals.of(Verdict::Forwarded(Forwarded::Pinned)), 26);
    assert_eq!(totals.of(Verdict::Dropped(Reason::NotSip)), 10);
}

#[test]
fn what_the_machine_refuses_is_a_hint() {
    let to: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let running = Running::start("127.0.0.1", 1, &[to]);
    let (mut worker, _waker) = Worker::new(0, running.supplies.clone()).unwrap();
    let mut refused = |to: &str, errno| {
        let error = io::Error::from_raw_os_error(errno);
        worker.reporter(monotonic_now()).refused(to.parse().unwrap(), &error);
        running.supplies.sightings.pop()
    };
    let hint = Unreachable {
        address: to,
        slot: Slot(0),
        errno: libc::ENETUNREACH,
        is_proven: false,
        probe: None,
        owner: None,
    };
    let wants = Some(Sighting::Unreachable(hint));
    assert_eq!(refused("192.0.2.1:5060", libc::ENETUNREACH), wants);
    assert_eq!(refused("192.0.2.1:5060", libc::EMSGSIZE), None);
    assert_eq!(refused("192.0.2.1:5060", libc::EPERM), None);
    assert_eq!(refused("192.0.2.2:5060", libc::ENETUNREACH), None);
}
