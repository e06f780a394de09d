//! A real relay on the loopback interface, in this process: its sockets, its workers, its control
//! threads.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use strowger::config::{Config, Flags, ListenConfig, Steering};
use strowger::control::{Options, Relay};
use strowger::limits::BATCH;
use strowger::proxy::{Reason, Verdict};
use strowger::transport::Spread;
use strowger::worker::Fault;
use tempfile::TempDir;

/// What a relay with these listeners needs, in a folder of its own.
fn config(folder: &Path, listen: &[SocketAddr], workers: usize) -> Config {
    let list = folder.join("dispatcher.list");
    fs::write(&list, "").unwrap();
    let flags = Flags {
        listen: vec!["udp:127.0.0.1:5060".into()],
        list: Some(list),
        workers: Some(workers),
        ..Flags::default()
    };
    let mut config = Config::load(&flags).unwrap();
    config.relay.state_dir = Some(folder.into());
    let entry = config.relay.listen[0].clone();
    config.relay.listen =
        listen.iter().map(|address| ListenConfig { address: *address, ..entry.clone() }).collect();
    config
}

/// A relay at free ports of these addresses.
fn start(hosts: &[&str], workers: usize, options: Options) -> (Relay, TempDir) {
    let folder = TempDir::new().unwrap();
    let listen: Vec<_> =
        hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), 0)).collect();
    let config = config(folder.path(), &listen, workers);
    (Relay::start(&config, options).unwrap(), folder)
}

/// Someone who asks with OPTIONS and waits for each answer.
struct Caller {
    socket: UdpSocket,
    relay: SocketAddr,
}

impl Caller {
    fn of(relay: SocketAddr) -> Self {
        let socket = UdpSocket::bind((relay.ip(), 0)).unwrap();
        let patience = Some(Duration::from_secs(5));
        socket.set_read_timeout(patience).unwrap();
        Self { socket, relay }
    }

    fn send(&self, call_id: &str) {
        let (us, relay) = (self.socket.local_addr().unwrap(), self.relay);
        let request = format!(
            "OPTIONS sip:{relay} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {us};branch=z9hG4bK-{call_id}\r\n\
             From: <sip:test@{us}>;tag=1\r\nTo: <sip:{relay}>\r\n\
             Call-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.socket.send_to(request.as_bytes(), relay).unwrap();
    }

    /// The next answer of the relay.
    fn receive(&self) -> String {
        let mut bytes = [0; 4096];
        let (len, from) = self.socket.recv_from(&mut bytes).expect("an answer");
        assert_eq!(from, self.relay);
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    /// Sends and waits for the answer to this very request.
    fn ask(&self, call_id: &str) -> String {
        self.send(call_id);
        let answer = self.receive();
        let wanted = format!("Call-ID: {call_id}\r\n");
        assert!(answer.contains(&wanted), "{call_id}: {answer}");
        answer
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(10), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn an_address_in_use_is_refused_and_every_other_mistake_is_said_with_it() {
    let (first, _folder) = start(&["127.0.0.1", "::1"], 2, Options::default());
    let other_program = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut taken: Vec<_> = first.local_addresses();
    taken.push(other_program.local_addr().unwrap());

    let folder = TempDir::new().unwrap();
    let config = config(folder.path(), &taken, 2);
    fs::write(folder.path().join("dispatcher.list"), "1 sip:ms:port\n").unwrap();
    let errors = Relay::start(&config, Options::default()).unwrap_err();

    let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 4, "{said:?}");
    for (said, address) in said.iter().zip(&taken) {
        assert!(said.contains(&format!("udp:{address}: the address is already in use")), "{said}");
    }
    assert!(said[3].contains("dispatcher.list:1"), "{}", said[3]);
    // The first one was not hurt.
    Caller::of(first.local_addresses()[0]).ask("still-here");
}

#[test]
fn an_address_is_free_again_after_the_relay_has_stopped() {
    let (first, folder) = start(&["127.0.0.1"], 2, Options::default());
    let listen = first.local_addresses();
    Caller::of(first.local_addresses()[0]).ask("one");
    assert_eq!(first.stop().received, 1);
    let again = Relay::start(&config(folder.path(), &listen, 2), Options::default()).unwrap();
    Caller::of(again.local_addresses()[0]).ask("two");
}

#[test]
fn listeners_take_turns_batch_by_batch() {
    static MAY_BEGIN: AtomicBool = AtomicBool::new(false);
    let options = Options {
        on_worker_start: Some(|_| {
            wait_until("the backlog", || MAY_BEGIN.load(Ordering::Relaxed));
        }),
        ..Options::default()
    };
    let (relay, _folder) = start(&["127.0.0.1", "127.0.0.1"], 1, options);
    let mut caller = Caller::of(relay.local_addresses()[0]);
    for _ in 0..3 * BATCH {
        caller.socket.send_to(b"\r\n\r\n", caller.relay).unwrap();
    }
    caller.send("behind-many");
    caller.relay = relay.local_addresses()[1];
    caller.send("behind-none");
    MAY_BEGIN.store(true, Ordering::Relaxed);
    assert!(caller.receive().contains("Call-ID: behind-none\r\n"));
    caller.relay = relay.local_addresses()[0];
    assert!(caller.receive().contains("Call-ID: behind-many\r\n"));
}

#[test]
fn a_flooded_listener_starves_no_other() {
    let (relay, _folder) = start(&["127.0.0.1", "::1"], 1, Options::default());
    let [flooded, quiet] = relay.local_addresses()[..] else { panic!() };
    let is_over = AtomicBool::new(false);
    let asked = 200;
    thread::scope(|scope| {
        scope.spawn(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let _ = socket.send_to(b"nothing that is SIP\r\n\r\n", flooded);
            }
        });
        wait_until("the flood", || relay.totals().received > 1000);
        let caller = Caller::of(quiet);
        for number in 0..asked {
            caller.ask(&format!("quiet-{number}"));
        }
        // And the flooded one is served too.
        let before = relay.totals().received;
        wait_until("the flood goes on", || relay.totals().received > before + 1000);
        is_over.store(true, Ordering::Relaxed);
    });
    let totals = relay.stop();
    assert_eq!(totals.unaccounted(), 0);
    assert!(totals.received > 1000 + asked);
}

#[test]
fn a_panic_a_second_loses_the_datagrams_that_caused_it_and_no_other() {
    let options = Options { fault: Some(Fault::on("Call-ID: fault-")), ..Options::default() };
    let (relay, _folder) = start(&["127.0.0.1"], 2, options);
    let address = relay.local_addresses()[0];
    let panics = 3;
    let is_over = AtomicBool::new(false);
    let asked: u64 = thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|caller_number| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let caller = Caller::of(address);
                    let mut asked = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        caller.ask(&format!("good-{caller_number}-{asked}"));
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        let attacker = Caller::of(address);
        for number in 0..panics {
            attacker.send(&format!("fault-{number}"));
            thread::sleep(Duration::from_secs(1));
        }
        is_over.store(true, Ordering::Relaxed);
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    let totals = relay.stop();
    assert_eq!(totals.of(Verdict::Dropped(Reason::Panicked)), panics);
    assert_eq!(totals.received, asked + panics);
    assert_eq!(totals.sent_answer + totals.sent_forward, asked);
    assert_eq!(totals.unaccounted(), 0);
    assert_eq!(totals.worker_restarts, 0);
    assert!(asked > 1000, "no load: {asked}");
}

#[test]
fn idle_workers_take_a_reload_and_a_bad_one_changes_nothing() {
    let (relay, folder) = start(&["127.0.0.1"], 3, Options::default());
    let list = folder.path().join("dispatcher.list");
    wait_until("the first snapshot", || relay.snapshot_version() == 1);
    fs::write(&list, "1 sip:127.0.0.1:5070\n1 sip:127.0.0.1:5071 4\n").unwrap();
    relay.reload().unwrap();
    assert_eq!(relay.snapshot_version(), 2);
    let told = relay.describe();
    assert!(told.contains("set 1: 1/2 destinations active"), "{told}");
    fs::write(&list, "1 sip:127.0.0.1:5070\nrubbish\n").unwrap();
    let errors = relay.reload().unwrap_err();
    assert!(errors[0].to_string().contains("dispatcher.list:2"), "{}", errors[0]);
    assert_eq!(relay.snapshot_version(), 2);
    assert_eq!(relay.describe(), told);
}

#[test]
fn a_relay_without_open_invites_ends_in_a_second_and_serves_meanwhile_unless_it_is_drained() {
    for is_drained in [false, true] {
        let (relay, folder) = start(&["127.0.0.1"], 2, Options::default());
        fs::write(folder.path().join("dispatcher.list"), "1 sip:127.0.0.1:5070\n").unwrap();
        relay.reload().unwrap();
        relay.commands().drain(is_drained).unwrap();
        let caller = Caller::of(relay.local_addresses()[0]);
        let status = if is_drained { "SIP/2.0 503 " } else { "SIP/2.0 200 " };
        let begin = Instant::now();
        let asked = thread::scope(|scope| {
            let end = scope.spawn(|| relay.finish(Duration::from_secs(30), || false));
            // Whoever goes on asking keeps nothing alive.
            let mut asked = 0;
            while !end.is_finished() {
                let answer = caller.ask(&format!("late-{asked}"));
                assert!(answer.starts_with(status), "{answer}");
                asked += 1;
                thread::sleep(Duration::from_millis(20));
            }
            asked
        });
        assert!(begin.elapsed() >= Duration::from_secs(1));
        assert!(begin.elapsed() < Duration::from_secs(20));
        assert_eq!(relay.stop().answered_all(), asked);
    }
}

#[test]
fn a_hurried_end_comes_at_once() {
    let (relay, _folder) = start(&["127.0.0.1"], 1, Options::default());
    let begin = Instant::now();
    relay.finish(Duration::from_secs(30), || true);
    relay.finish(Duration::ZERO, || false);
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[test]
fn the_calls_of_one_caller_are_steered_to_all_workers_or_go_to_one() {
    let is_root = fs::read_to_string("/proc/self/status")
        .unwrap()
        .lines()
        .any(|line| line.starts_with("Uid:\t0\t"));
    for steering in [Steering::Auto, Steering::Off] {
        let folder = TempDir::new().unwrap();
        let listen = ["127.0.0.1:0", "[::1]:0"].map(|address| address.parse().unwrap());
        let mut config = config(folder.path(), &listen, 4);
        config.relay.steering = steering;
        let relay = Relay::start(&config, Options::default()).unwrap();
        let is_steered = matches!(relay.spread(), Spread::ByCallId);
        match steering {
            Steering::Auto => assert!(is_steered || !is_root, "{}", relay.spread()),
            Steering::Off => assert!(!is_steered),
        }
        let words = relay.spread().to_string();
        assert!(relay.describe().contains(&words), "{}", relay.describe());

        for address in relay.local_addresses() {
            let caller = Caller::of(address);
            for call in 0..200 {
                caller.ask(&format!("call-{call}"));
            }
        }
        let totals = relay.stop();
        let shares = &totals.received_by_worker;
        assert_eq!((shares.len(), shares.iter().sum()), (4, 400));
        if is_steered {
            assert!(shares.iter().all(|n| (40..180).contains(n)), "{shares:?}");
        } else {
            // Two sources, so at most two workers.
            assert!(shares.iter().filter(|n| **n == 0).count() >= 2, "{shares:?}");
        }
    }
}
