//! Choices that follow what was measured: servers that answer slowly, and one that has just come back.

use std::time::Duration;

use crate::harness::cli::ask;
use crate::harness::server::Server;
use crate::harness::{Relay, wait};
use crate::health::Caller;

#[test]
fn calls_go_to_the_server_that_answers_faster() {
    let (slow, fast) = (Server::start(), Server::start());
    slow.delays("INVITE", Duration::from_secs(1));
    let list = format!("1 sip:{}\n1 sip:{}\n", slow.address, fast.address);
    let relay = Relay::with_list(&list).config("[dispatch]\nalgorithm = \"fastest\"\n").start();
    let mut caller = Caller::new(&relay);
    let latency = |of: usize| {
        let listing = ask(&relay, &["list", "--json"]).json();
        let at = format!("/sets/0/records/{of}/addresses/0/answers_in_ms");
        listing.pointer(&at).unwrap().as_f64()
    };
    // Without a measurement, both are chosen.
    wait::until("both are measured", || {
        assert_eq!(caller.call(), 200);
        latency(0).zip(latency(1))
    });
    let before = (slow.got("INVITE"), fast.got("INVITE"));
    (0..10).for_each(|_| assert_eq!(caller.call(), 200));
    assert_eq!((slow.got("INVITE"), fast.got("INVITE")), (before.0, before.1 + 10));
    let table = ask(&relay, &["list"]).well();
    assert!(table.lines().next().unwrap().contains("latency"), "{table}");
    relay.stop();
}

#[test]
fn a_slow_answer_to_probes_takes_a_priority_down_and_a_quick_one_brings_it_back() {
    let (one, two) = (Server::start(), Server::start());
    one.delays("OPTIONS", Duration::from_millis(300));
    let list = format!("1 sip:{} 8 100\n1 sip:{} 8 99\n", one.address, two.address);
    let config = "[dispatch]\nalgorithm = 13\npassive = false\n\
                  [dispatch.probing]\ninterval_ms = 100\nlatency_alpha = 999\n";
    let relay = Relay::with_list(&list).config(config).start();
    let mut caller = Caller::new(&relay);
    assert_eq!((caller.call(), one.got("INVITE"), two.got("INVITE")), (200, 1, 0));
    // 300 ms take 3 from 100.
    wait::until("a call to the second", || {
        assert_eq!(caller.call(), 200);
        (two.got("INVITE") > 0).then_some(())
    });
    one.delays("OPTIONS", Duration::ZERO);
    let before = one.got("INVITE");
    wait::until("a call to the first", || {
        assert_eq!(caller.call(), 200);
        (one.got("INVITE") > before).then_some(())
    });
    relay.stop();
}

#[test]
fn a_server_that_came_back_starts_slowly_and_the_list_says_so() {
    let (one, two) = (Server::start(), Server::start());
    let list = format!("1 sip:{}\n1 sip:{}\n", one.address, two.address);
    let config = "[dispatch]\nslow_start_ms = 3_600_000\n";
    let relay = Relay::with_list(&list).config(config).start();
    let mut caller = Caller::new(&relay);
    // Whoever was there from the start has all of its share.
    (0..4).for_each(|_| assert_eq!(caller.call(), 200));
    assert_eq!((one.got("INVITE"), two.got("INVITE")), (2, 2));
    let uri = format!("sip:{}", one.address);
    for state in ["disabled", "active"] {
        ask(&relay, &["set-state", state, "1", &uri]).well();
    }
    (0..10).for_each(|_| assert_eq!(caller.call(), 200));
    // A minute would be a sixtieth of its share.
    assert!(one.got("INVITE") <= 3, "{}", one.got("INVITE"));
    let table = ask(&relay, &["list"]).well();
    assert!(table.contains("slow start: 0 % of its share, all of it in 3"), "{table}");
    let history = ask(&relay, &["list", "--history"]).well();
    let came_back = |line: &str| {
        line.contains("by a command of ") && line.ends_with("; its share grows for 3600 s")
    };
    assert!(history.lines().any(came_back), "{history}");
    // It is better than none.
    let uri = format!("sip:{}", two.address);
    ask(&relay, &["set-state", "disabled", "1", &uri]).well();
    (0..4).for_each(|_| assert_eq!(caller.call(), 200));
    relay.stop();
}
