//! System calls that fail. `strace` injects the error, a given number of times from a given call
//! on, so the loss is known before the relay counts it.

use std::fs;
use std::thread;

use tempfile::NamedTempFile;

use crate::harness::sipp::{list, patient_servers};
use crate::harness::{Ends, Relay, Sipp, relay, wait};

/// A call that fails, and what the relay makes of it.
struct Row {
    says: &'static str,
    /// As strace wants it after `inject=`.
    inject: &'static str,
    /// Answers made up by strace.
    injected: usize,
    /// Messages lost by it.
    lost: u64,
    /// Counters that it leaves.
    counts: &'static [(&'static str, u64)],
}

/// A message is refused twice before it is given up, so 20 refusals are 10 messages.
const ROWS: &[Row] = &[
    Row {
        says: "no room in a queue of the kernel",
        inject: "sendmmsg:error=ENOBUFS:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.no_buffers", 10), ("send_retried", 10)],
    },
    Row {
        says: "no memory to send with",
        inject: "sendmmsg:error=ENOMEM:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.no_buffers", 10), ("send_retried", 10)],
    },
    Row {
        says: "a firewall",
        inject: "sendmmsg:error=EPERM:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.not_permitted", 10), ("send_retried", 10)],
    },
    Row {
        says: "a message that is too long for the path",
        inject: "sendmmsg:error=EMSGSIZE:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.too_long", 10), ("send_retried", 10)],
    },
    Row {
        says: "no network there",
        inject: "sendmmsg:error=ENETUNREACH:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.unreachable", 10), ("send_retried", 10)],
    },
    Row {
        says: "an address that cannot be sent to",
        inject: "sendmmsg:error=EINVAL:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.bad_address", 10), ("send_retried", 10)],
    },
    Row {
        says: "a port that was closed, said twice",
        inject: "sendmmsg:error=ECONNREFUSED:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.refused", 10), ("send_retried", 10)],
    },
    Row {
        says: "the error of an earlier message: the second attempt brings the message through",
        inject: "sendmmsg:error=ECONNREFUSED:when=1",
        injected: 1,
        lost: 0,
        counts: &[("send_failed.refused", 0), ("send_retried", 1)],
    },
    Row {
        says: "an error that nobody knows",
        inject: "sendmmsg:error=EXDEV:when=1..20",
        injected: 20,
        lost: 10,
        counts: &[("send_failed.other", 10), ("send_retried", 10)],
    },
    Row {
        says: "a full send buffer: two waits, two attempts, then the next message",
        inject: "sendmmsg:error=EAGAIN:when=1..4",
        injected: 4,
        lost: 1,
        counts: &[("send_failed.would_block", 1), ("send_retried", 1)],
    },
    Row {
        says: "a send buffer that is full for a moment",
        inject: "sendmmsg:error=EAGAIN:when=1..2",
        injected: 2,
        lost: 0,
        counts: &[("send_failed.would_block", 0), ("send_retried", 0)],
    },
    Row {
        says: "signals while sending",
        inject: "sendmmsg:error=EINTR:when=1..20",
        injected: 20,
        lost: 0,
        counts: &[("send_retried", 0)],
    },
    Row {
        says: "signals while receiving",
        inject: "recvmmsg:error=EINTR:when=1..20",
        injected: 20,
        lost: 0,
        counts: &[("receive_failed", 0)],
    },
    Row {
        says: "no memory to receive with",
        inject: "recvmmsg:error=ENOMEM:when=1..20",
        injected: 20,
        lost: 0,
        counts: &[("receive_failed", 20)],
    },
    Row {
        says: "an error that was pending on the socket",
        inject: "recvmmsg:error=ECONNREFUSED:when=1",
        injected: 1,
        lost: 0,
        counts: &[("receive_failed", 1)],
    },
    Row {
        says: "signals while waiting",
        inject: "epoll_wait:error=EINTR:when=2..21",
        // As many for each thread: the worker, and the one that waits for operators.
        injected: 40,
        lost: 0,
        counts: &[],
    },
];

#[test]
fn what_the_kernel_refuses_is_counted_to_the_unit_and_the_rest_arrives() {
    let rows = ROWS.iter().map(|row| thread::spawn(|| play(row)));
    let rows: Vec<_> = rows.collect();
    let failed = rows.into_iter().filter_map(|row| row.join().err()).count();
    assert_eq!(failed, 0, "rows that failed; see above");
}

fn play(row: &Row) {
    let mut ends = Ends::new();
    let trace = NamedTempFile::new().expect("a temporary file");
    let relay = traced(Relay::with_list(&ends.list()).unwatched(), &trace, &[row.inject]).start();
    ends.send(relay.address(), SENT);
    ends.wait_arrived(SENT - row.lost);
    relay.wait_at_rest();
    let summary = relay.stop();
    let injected = injected(&trace);
    assert_eq!(injected, row.injected, "{}: made up by strace", row.says);
    ends.assert_arrived(SENT - row.lost);
    summary.assert(&[("received", SENT), ("sent.forward", SENT - row.lost)]);
    summary.assert(row.counts);
}

/// More than any row loses.
const SENT: u64 = 50;

#[test]
fn calls_outlive_a_machine_without_buffers() {
    let servers = patient_servers(2, &[]);
    let trace = NamedTempFile::new().expect("a temporary file");
    // Forty messages in the midst of the calls.
    let inject = "sendmmsg:error=ENOBUFS:when=20..99";
    let relay = traced(Relay::with_list(&list(&servers)), &trace, &[inject]).start();
    let caller =
        Sipp::scenario("uac_patient").calls(relay.address(), 40, 80).with(&["-d", "1500"]).run();
    caller.assert_all_succeeded(40);
    caller.assert_stayed(40);
    drop(servers);
    let summary = relay.stop();
    assert_eq!(injected(&trace), 80);
    summary.assert(&[("send_failed.no_buffers", 40), ("chosen", 40)]);
}

/// One call each to wait, to receive and to send: a batch that is not full has emptied the socket. At
/// this rate nothing gathers.
#[test]
fn a_lone_message_is_received_by_one_call_and_sent_by_one() {
    const LONE: u64 = 20;
    for poll in ["wait", "adaptive"] {
        let mut ends = Ends::new();
        let trace = NamedTempFile::new().expect("a temporary file");
        let relay = traced(polling(&ends, poll), &trace, &[]).start();
        for arrived in 1..=LONE {
            ends.send(relay.address(), 1);
            ends.wait_arrived(arrived);
            relay.wait_at_rest();
        }
        relay.stop().assert(&[("received", LONE), ("sent.forward", LONE)]);
        let text = finished(&trace);
        let calls = |name: &str| text.lines().filter(|line| line.contains(name)).count() as u64;
        let wants = (LONE, LONE, 0);
        assert_eq!(
            (calls("recvmmsg("), calls("sendmmsg("), sleeps(&text)),
            wants,
            "{poll}: {text}"
        );
    }
}

/// While many messages arrive, a worker sleeps so that they gather, and then waits again: at rest it
/// makes no call.
#[test]
fn messages_gather_only_if_the_operator_lets_them() {
    for (poll, gathers) in [("wait", false), ("adaptive", true)] {
        let mut ends = Ends::new();
        let trace = NamedTempFile::new().expect("a temporary file");
        let relay = traced(polling(&ends, poll), &trace, &[]).start();
        let so_far = || fs::read_to_string(trace.path()).expect("a trace");
        // strace makes the relay slow, so the messages of one burst arrive in several batches.
        for burst in 1.. {
            ends.send(relay.address(), BURST);
            ends.wait_arrived(burst * BURST);
            if burst >= BURSTS_MIN && (!gathers || sleeps(&so_far()) > 0) {
                break;
            }
            assert!(burst < BURSTS_MAX, "{poll}: {}", so_far());
        }
        relay.wait_at_rest();
        let sent = ends.sent;
        relay.stop().assert(&[("received", sent), ("sent.forward", sent)]);
        let text = finished(&trace);
        assert_eq!(sleeps(&text) > 0, gathers, "{poll}: {text}");
    }
}

const BURST: u64 = 500;
const BURSTS_MIN: u64 = 4;
const BURSTS_MAX: u64 = 40;

/// It asks again and again, without waiting or sleeping.
#[test]
fn a_worker_that_spins_never_waits() {
    let mut ends = Ends::new();
    let trace = NamedTempFile::new().expect("a temporary file");
    let relay = traced(polling(&ends, "spin"), &trace, &[]).start();
    for _ in 0..20 {
        ends.ask(relay.address());
    }
    assert!(relay.stop().get("answered.200") >= 20);
    let text = finished(&trace);
    // The worker's descriptor has room for two events: its listener and its waker.
    let worker = |line: &&str| line.contains("epoll_wait(") && line.contains(", 2, ");
    let (asks, waits): (Vec<&str>, Vec<_>) =
        text.lines().filter(worker).partition(|line| line.contains(", 2, 0)"));
    assert!(asks.len() > 20 && waits.is_empty(), "{} asks, {waits:?}", asks.len());
    assert_eq!(sleeps(&text), 0);
}

/// A relay whose workers do this when their sockets are empty.
fn polling(ends: &Ends, poll: &str) -> relay::Builder {
    Relay::with_list(&ends.list()).unwatched().config(&format!("[relay]\npoll = \"{poll}\"\n"))
}

/// Sleeps of the default `poll_gather_us`, which no other thread does.
fn sleeps(trace: &str) -> u64 {
    let is_gathering =
        |line: &&str| line.contains("nanosleep(") && line.contains("tv_nsec=300000}");
    trace.lines().filter(is_gathering).count() as u64
}

/// A socket that cannot be read costs next to nothing meanwhile, and all is well once it can be.
#[test]
fn a_socket_that_fails_on_and_on_is_no_reason_to_spin() {
    let mut ends = Ends::new();
    let trace = NamedTempFile::new().expect("a temporary file");
    let inject = "recvmmsg:error=ENOMEM:when=1..100";
    let relay = traced(Relay::with_list(&ends.list()).unwatched(), &trace, &[inject]).start();
    ends.send(relay.address(), 1);
    ends.wait_arrived(1);
    relay.wait_at_rest();
    relay.stop().assert(&[("receive_failed", 100), ("received", 1)]);
    let text = finished(&trace);
    // All but the first failure are followed by a wait of a millisecond.
    let waits = text.lines().filter(|line| line.contains("epoll_wait") && line.contains(", 2, 1)"));
    assert_eq!(waits.count(), 99);
}

/// One worker, under strace: it counts calls for each thread apart.
fn traced(builder: relay::Builder, trace: &NamedTempFile, inject: &[&str]) -> relay::Builder {
    let mut words = vec!["strace", "-D", "-f", "-q", "-o"];
    words.push(trace.path().to_str().expect("a path in UTF-8"));
    let mut rules = vec!["trace=sendmmsg,recvmmsg,epoll_wait,clock_nanosleep,nanosleep".to_owned()];
    rules.extend(inject.iter().map(|inject| format!("inject={inject}")));
    let rules: Vec<_> = rules.iter().flat_map(|rule| ["-e", rule]).collect();
    words.extend(rules);
    builder.workers(1).under(&words)
}

/// How many answers strace made up.
fn injected(trace: &NamedTempFile) -> usize {
    finished(trace).lines().filter(|line| line.ends_with("(INJECTED)")).count()
}

/// The trace of a relay that has ended: strace writes on for a moment.
fn finished(trace: &NamedTempFile) -> String {
    wait::until("the end of the trace", || {
        let text = fs::read_to_string(trace.path()).ok()?;
        text.trim_end().ends_with("+++").then_some(text)
    })
}
