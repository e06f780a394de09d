//! The load generator and the relay's own binary; and the generator against a relay that loses,
//! doubles and swaps messages, which it must notice.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use loadtest::record::{Kind, Record};
use loadtest::{Load, Message, Mix, Plan, Traffic, Watch};

use crate::harness::Relay;
use crate::harness::loopback::{fresh, fresh_ip, fresh_v6};
use crate::harness::sipp::list_of;

#[test]
fn a_short_load_is_answered_to_the_last_call() {
    let (relay, record) = run(Plan { rate: 100.0, ..plan(3) }, "");

    assert_clean(&record, 300);
    assert_eq!(record.ends.completed, 300);
    assert_eq!(record.servers, [100, 100, 100]);
    assert_eq!(record.others.by_relay, 0);
    for kind in [Kind::Invite, Kind::Ringing, Kind::Answer, Kind::Ack, Kind::Bye, Kind::ByeAnswer] {
        let traffic = record.messages.of(kind);
        assert_eq!((traffic.sent, traffic.arrived), (300, 300), "{kind:?}");
    }
    relay.stop().assert(&[("chosen", 300)]);
}

#[test]
fn calls_that_are_cancelled_refused_and_failed_end_as_planned() {
    for (forwarding, by_relay) in [("stateless", false), ("stateful", true)] {
        let mix = Mix { cancel: 0.2, refuse: 0.2, fail: 0.1, silent: 0.0 };
        let ring = Duration::from_millis(100);
        let config = format!("[dispatch]\nforwarding = \"{forwarding}\"\npassive = false\n");
        // A code after which no other server is tried.
        let plan = Plan { rate: 100.0, mix, ring, fail_code: 480, ..plan(2) };
        let (relay, record) = run(plan, &config);

        assert_clean(&record, 300);
        let ends = &record.ends;
        assert!(ends.cancelled > 20 && ends.refused > 40 && ends.completed > 100, "{ends:?}");
        // A stateful relay answers the CANCELs by itself.
        assert_eq!(record.others.by_relay >= ends.cancelled, by_relay, "{forwarding}");
        drop(relay);
    }
}

#[test]
fn single_requests_over_ipv6() {
    let relay_address = fresh_v6();
    let servers = vec![fresh_v6(), fresh_v6()];
    let local = relay_address.ip();
    let load =
        Load::bind(Plan { traffic: Traffic::Options, rate: 100.0, local, servers, ..plan(0) })
            .expect("a plan that can be carried out");
    let relay =
        Relay::with_list(&list_of(load.servers().iter().copied())).listen(relay_address).start();
    let record = load.run(&[relay_address], &Watch::new(1)).expect("sockets that work").record;
    assert_clean(&record, 300);
    assert_eq!(record.servers, [150, 150]);
    assert_eq!(record.messages.of(Kind::OptionsAnswer).arrived, 300);
    relay.stop().assert(&[("chosen", 300)]);
}

#[test]
fn the_runner_of_sipp_scenarios() {
    let servers = [fresh(), fresh()];
    let relay = Relay::with_list(&list_of(servers)).start();
    let run = |scenario: &str, more: &[&str]| {
        let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("loadtest/sipp/run");
        let output = Command::new(runner)
            .arg(scenario)
            .args(["--relay", &relay.address().to_string(), "--rate", "100", "--calls", "40"])
            .args(["--from", &fresh_ip().to_string()])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let said = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
        (output.status.code(), said.concat())
    };
    let servers = format!("{},{}", servers[0], servers[1]);
    for scenario in ["call", "cancel", "refuse", "register", "options"] {
        let (code, said) = run(scenario, &["--servers", &servers, "--callers", "2"]);
        assert_eq!(code, Some(0), "{scenario}: {said}");
        assert!(said.contains("40 of 40 calls succeeded, 0 failed"), "{scenario}: {said}");
    }
    let (code, said) = run("call", &["--rate", "fast"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--rate is fast"), "{said}");
    // A registration is asked for credentials first.
    relay.stop().assert(&[("chosen", 240)]);
}

#[test]
fn what_a_bad_relay_does_is_noticed() {
    let plan = Plan { rate: 50.0, time: Duration::from_secs(1), ..plan(1) };
    let patience = Duration::from_secs(2);
    let load = Load::bind(Plan { sources: 1, patience, ..plan }).expect("free ports");
    let shim = Shim::between(load.servers()[0]);
    let record = shim
        .serve(|address| load.run(&[address], &Watch::new(1)).expect("sockets that work").record);

    assert_eq!(record.ends.started, 50);
    assert_eq!((record.ends.completed, record.ends.lost, record.ends.byes_lost), (48, 1, 1));
    let of = |kind| {
        let traffic = record.messages.of(kind);
        (traffic.sent - traffic.arrived, traffic.duplicates, traffic.reordered)
    };
    assert_eq!(of(Kind::Invite), (1, 0, 0));
    assert_eq!(of(Kind::Ringing), (1, 0, 0));
    assert_eq!(of(Kind::Answer), (0, 1, 0));
    assert_eq!(of(Kind::Ack), (0, 0, 1));
    assert_eq!(of(Kind::Bye), (0, 1, 0));
    assert_eq!(of(Kind::ByeAnswer), (1, 0, 0));
    assert_eq!(record.messages.lost(), 3);
}

/// Three seconds of load from four ports to so many servers.
fn plan(servers: usize) -> Plan {
    Plan {
        time: Duration::from_secs(3),
        sources: 4,
        local: fresh_ip().into(),
        servers: (0..servers).map(|_| fresh()).collect(),
        // A busy machine loses nothing, it is only slow.
        patience: Duration::from_secs(30),
        ..Plan::default()
    }
}

fn run(plan: Plan, config: &str) -> (Relay, Record) {
    let watch = Watch::new(plan.threads);
    let load = Load::bind(plan).expect("free ports");
    let relay = Relay::with_list(&list_of(load.servers().iter().copied())).config(config).start();
    let outcome = load.run(&[relay.address()], &watch).expect("sockets that work");
    (relay, outcome.record)
}

/// Every call ended as planned, and every message arrived once and in order.
#[track_caller]
fn assert_clean(record: &Record, calls: u64) {
    let ends = &record.ends;
    assert_eq!((ends.started, ends.good(), ends.bad()), (calls, calls, 0), "{ends:?}");
    let messages = &record.messages;
    assert_eq!(messages.lost(), 0, "{messages:?}");
    assert_eq!(messages.sum(|traffic| traffic.duplicates), 0, "{messages:?}");
    assert_eq!(messages.sum(|traffic| traffic.reordered), 0, "{messages:?}");
    let own = (
        record.others.unsent,
        record.others.overflowed,
        record.others.strays,
        record.others.misrouted,
    );
    assert_eq!(own, (0, 0, 0, 0));
}

/// A relay for one caller and one server that does nothing but harm.
struct Shim {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Shim {
    fn between(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((fresh_ip(), 0)).expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time above 0");
        Self { socket, server }
    }

    /// Relays while `work` goes on.
    fn serve<T>(&self, work: impl FnOnce(SocketAddr) -> T) -> T {
        let is_over = AtomicBool::new(false);
        let address = self.socket.local_addr().expect("a bound socket");
        thread::scope(|scope| {
            scope.spawn(|| self.relay(&is_over));
            let done = work(address);
            // Relaxed: nothing else is published with it.
            is_over.store(true, Ordering::Relaxed);
            done
        })
    }

    fn relay(&self, is_over: &AtomicBool) {
        let mut datagram = vec![0; 65_536];
        let mut caller = None;
        let mut counts = std::collections::HashMap::<String, u32>::new();
        let mut held: Option<(String, Vec<u8>)> = None;
        while !is_over.load(Ordering::Relaxed) {
            let Ok((len, from)) = self.socket.recv_from(&mut datagram) else { continue };
            let bytes = &datagram[..len];
            let message = Message::read(bytes).expect("a message");
            let call_id = message.row("Call-ID").expect("a Call-ID");
            let method = message.row("CSeq").and_then(|cseq| cseq.split(' ').nth(1));
            let name = match message.status() {
                Some(code) => format!("{code} {}", method.expect("a method")),
                None => message.method().expect("a method").to_owned(),
            };
            let to = if from == self.server {
                caller.expect("a request came before")
            } else {
                caller = Some(from);
                self.server
            };
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            let copies = match (name.as_str(), *count) {
                ("INVITE", 3) | ("180 INVITE", 10) | ("200 BYE", 20) => 0,
                ("200 INVITE", 30) | ("BYE", 35) => 2,
                ("ACK", 40) => {
                    held = Some((call_id.to_owned(), bytes.to_vec()));
                    0
                }
                _ => 1,
            };
            for _ in 0..copies {
                self.socket.send_to(bytes, to).expect("room to send");
            }
            // The BYE of the same call has overtaken its ACK.
            if name == "BYE"
                && let Some((_, ack)) = held.take_if(|(of, _)| of == call_id)
            {
                self.socket.send_to(&ack, self.server).expect("room to send");
            }
        }
    }
}
