//! Stateful sets with real programs: calls go on when servers fail, and every kind of call comes
//! through.

use std::time::Duration;

use crate::harness::cli::ask;
use crate::harness::server::Server;
use crate::harness::sipp::{list, list_of, servers};
use crate::harness::{Relay, Sipp, loopback};

/// The destinations are not watched, so each call finds out by itself.
const STATEFUL: &str = "[dispatch]\nforwarding = \"stateful\"\npassive = false\n";

#[test]
fn a_server_that_is_gone_costs_no_call() {
    let servers = servers("uas_call", 2);
    let gone = format!("{}{}", list(&servers), list_of([loopback::fresh()]));
    let relay = Relay::with_list(&gone).config(STATEFUL).start();

    let caller = Sipp::scenario("uac_call").calls(relay.address(), 60, 60).run();

    caller.assert_all_succeeded(60);
    caller.assert_stayed(60);
    assert_eq!(caller.taken_by().len(), 60);
    drop(servers);
    let summary = relay.stop();
    // Every third call, at once.
    summary.assert(&[("chosen", 60), ("tries.unreachable", 20), ("tries.silent", 0)]);
    summary.assert(&[("transactions.none_left", 0), ("transactions.repeated", 0)]);
}

#[test]
fn one_that_refuses_or_is_silent_costs_no_call() {
    let (refuses, silent, takes) = (Server::start(), Server::start(), servers("uas_call", 1));
    refuses.answers("INVITE", Some("503 Service Unavailable"));
    silent.answers("INVITE", None);
    let all = format!("{}{}", list_of([refuses.address, silent.address]), list(&takes));
    let more = "[dispatch.failover]\nfirst_response_ms = 200\n[log]\ndispatch = \"to $du\"\n\
                left = \"left $du: $why, $ms\"\n";
    let relay = Relay::with_list(&all).config(&format!("{STATEFUL}{more}")).start();

    let caller = Sipp::scenario("uac_call").calls(relay.address(), 30, 30).run();

    caller.assert_all_succeeded(30);
    for server in takes {
        server.stop().assert_all_succeeded(30);
    }
    let (summary, log) = relay.stop_and_read();
    assert!(summary.get("tries.code") >= 10 && summary.get("tries.silent") >= 10);
    let lines = |part: &str| log.iter().filter(|line| line.contains(part)).count() as u64;
    assert_eq!(
        lines(&format!("left sip:{}: status 503, ", refuses.address)),
        summary.get("tries.code")
    );
    assert_eq!(
        lines(&format!("left sip:{}: silence, 2", silent.address)),
        summary.get("tries.silent")
    );
    assert_eq!(lines(" to sip:"), 30 + summary.get("transactions.further_tries"));
    assert_eq!(summary.get("tries.code"), refuses.got("ACK") as u64, "each 503 was acknowledged");
    assert_eq!(summary.get("503") + summary.get("408"), 0);
}

#[test]
fn without_a_server_each_call_gets_one_clear_answer() {
    let nobody = list_of([loopback::fresh(), loopback::fresh(), loopback::fresh()]);
    let relay = Relay::with_list(&nobody).config(STATEFUL).start();
    let caller = Server::start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let local = socket.local_addr().unwrap();
    let invite = format!(
        "INVITE sip:b@{relay} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@{local}>;tag=1\r\nTo: <sip:b@{relay}>\r\n\
         Call-ID: 1@{local}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@{local}>\r\n\
         User-Agent: a caller with a name that is long enough\r\nContent-Length: 0\r\n\r\n",
        relay = relay.address()
    );
    socket.send_to(invite.as_bytes(), relay.address()).unwrap();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let mut datagram = [0; 2_048];
        let len = socket.recv(&mut datagram).expect("an answer");
        let text = String::from_utf8_lossy(&datagram[..len]).into_owned();
        answers.push(text.lines().next().unwrap().to_owned());
    }
    assert_eq!(answers, ["SIP/2.0 100 Trying", "SIP/2.0 500 Server Internal Error"]);
    drop(caller);
    relay.stop().assert(&[
        ("chosen", 1),
        ("tries.unreachable", 3),
        ("transactions.further_tries", 2),
        ("transactions.begun", 1),
    ]);
}

/// One port, and the kernel does not steer: three of four messages arrive at another worker.
#[test]
fn calls_of_one_port_are_handed_over_and_stay_in_order() {
    let servers = servers("uas_call", 3);
    let config = format!("[relay]\nsteering = \"off\"\n{STATEFUL}");
    let relay = Relay::with_list(&list(&servers)).config(&config).workers(4).start();

    let caller = Sipp::scenario("uac_call").calls(relay.address(), 300, 100).run();

    caller.assert_all_succeeded(300);
    caller.assert_stayed(300);
    for server in servers {
        server.stop().assert_all_succeeded(100);
    }
    let stats = ask(&relay, &["stats", "--json"]).json();
    assert_eq!(stats["handed_over"], stats["taken_over"], "{stats}");
    let summary = relay.stop();
    assert!(summary.get("handed_over") > 300, "{summary:?}");
    summary.assert(&[("chosen", 300), ("owner_busy", 0), ("transactions.repeated", 0)]);
}

#[test]
fn a_cancel_ends_at_the_relay_and_goes_on_from_there() {
    let servers = servers("uas_cancel", 3);
    let relay = Relay::with_list(&list(&servers)).config(STATEFUL).start();

    Sipp::scenario("uac_cancel").calls(relay.address(), 12, 50).run().assert_all_succeeded(12);

    for server in servers {
        server.stop().assert_all_succeeded(4);
    }
    // The 200 to the CANCEL, and the CANCEL of the relay's own.
    relay.stop().assert(&[("chosen", 12), ("200", 12), ("transactions.cancels", 12)]);
}

#[test]
fn a_486_is_acknowledged_by_the_relay_and_reaches_the_caller() {
    let servers = servers("uas_busy", 3);
    let relay = Relay::with_list(&list(&servers)).config(STATEFUL).start();

    Sipp::scenario("uac_busy").calls_in_turn(relay.address(), 9).run().assert_all_succeeded(9);

    for server in servers {
        server.stop().assert_all_succeeded(3);
    }
    relay.stop().assert(&[("chosen", 9), ("tries.code", 0), ("pinned", 0)]);
}

/// A worker that panics has lost its transactions; its calls go on by their pins.
#[test]
fn a_panic_costs_the_transactions_of_one_worker_and_no_call() {
    let servers = servers("uas_call", 3);
    let relay = Relay::with_list(&list(&servers))
        .config(STATEFUL)
        .panicking_at("X-Fault: ")
        .workers(2)
        .start();
    let caller =
        Sipp::scenario("uac_call").calls(relay.address(), 120, 60).with(&["-d", "500"]).start();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..20 {
        let text =
            format!("OPTIONS sip:a SIP/2.0\r\nX-Fault: {number}\r\nCall-ID: {number}\r\n\r\n");
        socket.send_to(text.as_bytes(), relay.address()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }

    caller.wait().assert_all_succeeded(120);

    for server in servers {
        server.stop().assert_all_succeeded(40);
    }
    relay.stop().assert(&[("chosen", 120), ("panicked", 20), ("transactions.begun", 120)]);
}
