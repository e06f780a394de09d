//! Networks that fail, in the real kernel: routes that refuse, links that go down, addresses that
//! come and go, queues that drop. Each time the relay recovers by itself as soon as it can.

use crate::harness::netns::Namespace;
use crate::harness::{Ends, Relay};

/// What goes wrong on the relay's side of the network, and what it counts for each message.
struct Row {
    says: &'static str,
    breaks: &'static [&'static str],
    repairs: &'static [&'static str],
    counter: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        says: "a route that drops in silence says so to the sender",
        breaks: &["ip route add blackhole 198.51.100.2/32"],
        repairs: &["ip route del blackhole 198.51.100.2/32"],
        counter: "send_failed.bad_address",
    },
    Row {
        says: "a route that says unreachable",
        breaks: &["ip route add unreachable 198.51.100.2/32"],
        repairs: &["ip route del unreachable 198.51.100.2/32"],
        counter: "send_failed.unreachable",
    },
    Row {
        says: "a route that is prohibited",
        breaks: &["ip route add prohibit 198.51.100.2/32"],
        repairs: &["ip route del prohibit 198.51.100.2/32"],
        counter: "send_failed.not_permitted",
    },
    Row {
        says: "the link is down",
        breaks: &["ip link set inside down"],
        repairs: &["ip link set inside up"],
        counter: "send_failed.unreachable",
    },
    Row {
        says: "the address is gone, and comes back",
        breaks: &["ip address del 198.51.100.1/24 dev inside"],
        repairs: &["ip address add 198.51.100.1/24 dev inside"],
        counter: "send_failed.unreachable",
    },
    Row {
        says: "the address is gone while a route is left",
        breaks: &[
            "ip address add 198.51.100.9/24 dev inside",
            "ip address del 198.51.100.1/24 dev inside",
            "ip address replace 198.51.100.9/24 dev inside",
        ],
        repairs: &[
            "ip address add 198.51.100.1/24 dev inside",
            "ip address del 198.51.100.9/24 dev inside",
            "ip address replace 198.51.100.1/24 dev inside",
        ],
        counter: "send_failed.unreachable",
    },
    Row {
        // The kernel tells it only to sockets that ask for ICMP errors.
        says: "a queue that drops says so to the sender",
        breaks: &["tc qdisc add dev inside root tbf rate 8bit burst 10 limit 10"],
        repairs: &["tc qdisc del dev inside root"],
        counter: "send_failed.no_buffers",
    },
];

/// Messages for each row, broken and repaired.
const COUNT: u64 = 10;

#[test]
fn networks_that_fail_are_counted_by_cause_and_used_again() {
    let [outside, middle, inside] = ["outside", "relay", "inside"].map(Namespace::new);
    Namespace::join([(&outside, "to-relay", "192.0.2.2/24"), (&middle, "outside", "192.0.2.1/24")]);
    Namespace::join([
        (&inside, "to-relay", "198.51.100.2/24"),
        (&middle, "inside", "198.51.100.1/24"),
    ]);
    let address = |text: &str| text.parse().expect("an address");
    let mut ends = Ends::of(
        outside.socket(address("192.0.2.2:5060")),
        inside.socket(address("198.51.100.2:5060")),
    );
    let relay = Relay::with_list(&ends.list().replace('\n', " 0 0 socket=udp:198.51.100.1:5060\n"))
        .unwatched()
        .workers(1)
        .inside(&middle)
        .listen(address("192.0.2.1:5060"))
        .listen(address("198.51.100.1:5060"))
        .start();

    let mut arrived = 0;
    for row in ROWS {
        row.breaks.iter().for_each(|command| middle.run(command));
        ends.send(relay.address(), COUNT);
        ends.ask(relay.address());
        row.repairs.iter().for_each(|command| middle.run(command));
        ends.send(relay.address(), COUNT);
        arrived += COUNT;
        eprintln!("{}", row.says);
        ends.wait_arrived(arrived);
    }

    // The caller's side: what is sent while nobody has the address is lost before the relay.
    middle.run("ip address del 192.0.2.1/24 dev outside");
    ends.send(relay.address(), COUNT);
    middle.run("ip address add 192.0.2.1/24 dev outside");
    ends.ask(relay.address());
    ends.send(relay.address(), COUNT);
    arrived += COUNT;
    ends.wait_arrived(arrived);

    // More than a link carries in one piece goes in several (path MTU discovery is off).
    for bytes in [1_500, 9_000, 60_000] {
        ends.send_with(relay.address(), 1, "", &"x".repeat(bytes));
        arrived += 1;
        ends.wait_arrived(arrived);
    }

    relay.wait_at_rest();
    let summary = relay.stop();
    ends.assert_arrived(arrived);
    let mut counters: Vec<_> = ROWS.iter().map(|row| row.counter).collect();
    counters.sort_unstable();
    for rows in counters.chunk_by(|a, b| a == b) {
        assert_eq!(summary.get(rows[0]), rows.len() as u64 * COUNT, "{}", rows[0]);
    }
    let retried = ROWS.len() as u64 * COUNT;
    summary.assert(&[
        ("chosen", ends.sent - COUNT),
        ("send_retried", retried),
        ("sent.forward", arrived),
    ]);
}
