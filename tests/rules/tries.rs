//! What further tries of a stateful set count for.

use strowger::destination::Limits;
use strowger::proxy::Verdict;
use strowger::transaction::Failover;

use crate::messages::{CALLER, invite, response};
use crate::relay::{Relay, Sent};

const A: &str = "sip:10.0.0.1:5060";
const B: &str = "sip:10.0.0.2:5060";
const C: &str = "sip:10.0.0.3:5060";

/// A new call: its first try, or what the caller is told.
fn call(relay: &mut Relay, call_id: &str) -> Result<Sent, &'static str> {
    match relay.deliver(CALLER, invite(call_id)) {
        (Verdict::Answered(answer), _) => Err(answer.label()),
        (_, mut sent) => Ok(sent.pop().unwrap()),
    }
}

/// The destination answers; returns what is sent to the next one, or to the caller.
fn answered(relay: &mut Relay, at: &Sent, status: &str) -> Sent {
    let (_, mut sent) = relay.deliver(&at.to.to_string(), response(at, status, "x"));
    sent.pop().unwrap()
}

fn letter(sent: &Sent) -> char {
    match sent.to.to_string().as_bytes() {
        [b'1', b'0', b'.', b'0', b'.', b'0', b'.', digit, ..] => char::from(b'A' - b'1' + digit),
        _ => '-',
    }
}

/// Calls in progress: of the set, of A, B and C.
fn loads(relay: &Relay) -> [u64; 4] {
    let table = &relay.snapshot.destinations;
    let of = |slot| table.get(strowger::destination::Slot(slot)).unwrap().load.calls();
    [table.set(1).unwrap().load().calls(), of(0), of(1), of(2)]
}

/// The call was let in when it was new.
#[test]
fn a_further_try_is_no_new_call() {
    struct Row {
        says: &'static str,
        list: [&'static str; 3],
        of_set: Limits,
        of_source: Limits,
        /// Where another call goes, after A and B have refused one that went to C then.
        wants: Result<char, &'static str>,
    }
    let none = Limits::default();
    let one_a_second = Limits { calls_per_second: 1, burst: 1, calls_max: 0 };
    let one_at_once = Limits { calls_max: 1, ..none };
    let row = Row { says: "", list: [A, B, C], of_set: none, of_source: none, wants: Ok('B') };
    let rows = [
        Row { says: "the rate of the set", of_set: one_a_second, wants: Err("over_rate"), ..row },
        Row { says: "the rate of the source", of_source: one_a_second, ..row },
        Row { says: "the rate of a destination", list: [A, "sip:10.0.0.2:5060 cps=1", C], ..row },
        Row { says: "the calls of the set", of_set: one_at_once, wants: Err("over_calls"), ..row },
    ];
    for row in rows {
        let mut relay = Relay::stateful(Failover::default(), &row.list);
        relay.snapshot.set_default.limits = row.of_set;
        relay.snapshot.set_default.source_limits = row.of_source;
        let mut at = call(&mut relay, "tried").unwrap();
        let mut tried = letter(&at).to_string();
        for _ in 0..2 {
            at = answered(&mut relay, &at, "503 Busy");
            tried.push(letter(&at));
        }
        assert_eq!(tried, "ABC", "{}", row.says);
        let other = call(&mut relay, "other").map(|sent| letter(&sent));
        assert_eq!(other, row.wants, "{}", row.says);
    }
}

/// A destination at its rate takes a call that was tried elsewhere: the rate is of new calls.
#[test]
fn a_destination_at_its_rate_takes_a_further_try_and_one_at_its_calls_does_not() {
    for (list, wants) in [
        (["sip:10.0.0.1:5060 cps=1", "sip:10.0.0.2:5060 cps=1"], 'B'),
        (["sip:10.0.0.1:5060 maxload=1", "sip:10.0.0.2:5060 maxload=1"], '-'),
    ] {
        let mut relay = Relay::stateful(Failover::default(), &list);
        let first = call(&mut relay, "first").unwrap();
        assert_eq!(letter(&call(&mut relay, "second").unwrap()), 'B');
        assert_eq!(letter(&answered(&mut relay, &first, "503 Busy")), wants, "{list:?}");
    }
}

#[test]
fn a_call_in_progress_moves_with_its_tries() {
    let mut relay = Relay::stateful(Failover::default(), &[A, B, C]);
    relay.snapshot.set_default.limits = Limits { calls_max: 1, ..Limits::default() };
    let at = call(&mut relay, "moves").unwrap();
    assert_eq!(loads(&relay), [1, 1, 0, 0]);
    let at = answered(&mut relay, &at, "503 Busy");
    assert_eq!(loads(&relay), [1, 0, 1, 0]);
    let at = answered(&mut relay, &at, "503 Busy");
    assert_eq!(loads(&relay), [1, 0, 0, 1]);
    assert_eq!(
        answered(&mut relay, &at, "486 Busy Here").first_line(),
        "ACK sip:bob@example.com SIP/2.0"
    );
    assert_eq!(loads(&relay), [0; 4]);
    // Also when nothing has ended it at the destination before.
    call(&mut relay, "silent").unwrap();
    assert_eq!(loads(&relay), [1, 0, 1, 0]);
    for wants in [[1, 0, 0, 1], [1, 1, 0, 0], [0; 4]] {
        let end = relay.now.plus_ms(2_000);
        while relay.now < end {
            relay.wait(end.ms() - relay.now.ms());
        }
        assert_eq!(loads(&relay), wants);
    }
    // Nobody is left: it ends where it was.
    let mut at = call(&mut relay, "ends").unwrap();
    for _ in 0..3 {
        at = answered(&mut relay, &at, "503 Busy");
    }
    assert_eq!(at.first_line(), "SIP/2.0 500 Server Internal Error");
    assert_eq!(loads(&relay), [0; 4]);
}
