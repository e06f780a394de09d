//! Rows for every state and event of a transaction.
//!
//! A story is a list of events, each with what follows from it. `180` is a response to the first try,
//! `1:180` one to the second; `+500` lets that many milliseconds pass. What follows is a list of effects;
//! after `+` each has the milliseconds at which it was due. `next` begins the next try, if there is a
//! destination left: there are three.

use super::machine::{Client, Machine, Server, Tried};
use super::{Effect, Effects, Failover, Own, TRIES_MAX};
use crate::clock::Now;
use crate::destination::Slot;

struct Story {
    machine: Machine,
    failover: Failover,
    now: Now,
    slots: u16,
}

impl Story {
    fn new(is_invite: bool, failover: Failover) -> Self {
        let now = Now::from_ms(1_000_000);
        Self { machine: Machine::new(now, is_invite, Slot(0), &failover), failover, now, slots: 3 }
    }

    /// What follows from an event.
    fn step(&mut self, event: &str) -> String {
        if let Some(ms) = event.strip_prefix('+') {
            return self.pass(ms.parse().unwrap());
        }
        let (number, what) = event.split_once(':').unwrap_or(("0", event));
        let number = number.parse().unwrap();
        let effects = match what {
            "copy" => self.machine.request_again(),
            "ack" => {
                self.machine.ack(self.now);
                Effects::default()
            }
            "cancel" => self.machine.cancel(self.now),
            "cancelled" => {
                self.machine.cancel_answered(number);
                Effects::default()
            }
            "unreachable" => self.machine.unreachable(self.now, number, &self.failover),
            "inactive" => self.machine.destination_lost(self.now, &self.failover),
            code => self.machine.response(self.now, number, code.parse().unwrap(), &self.failover),
        };
        let mut words = Vec::new();
        self.follow(effects, &mut words);
        words.join(", ")
    }

    fn pass(&mut self, ms: u64) -> String {
        let begin = self.now;
        let end = begin.plus_ms(ms);
        let mut all = Vec::new();
        while let Some(due) = self.machine.due().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            let effects = self.machine.timer(self.now, &self.failover);
            let mut words = Vec::new();
            self.follow(effects, &mut words);
            let after = self.now.ms() - begin.ms();
            all.extend(words.into_iter().map(|word| format!("{after} {word}")));
        }
        self.now = end;
        all.join(", ")
    }

    fn follow(&mut self, effects: Effects, words: &mut Vec<String>) {
        for effect in effects {
            words.push(word(effect));
            if effect == Effect::Next {
                let tried = self.machine.slots();
                let more = match (0..self.slots).find(|slot| !tried.contains(Slot(*slot))) {
                    Some(slot) => {
                        self.machine.begin_try(self.now, Slot(slot), &self.failover);
                        Effects::default()
                    }
                    None => self.machine.none_left(self.now),
                };
                self.follow(more, words);
            }
        }
    }
}

fn word(effect: Effect) -> String {
    match effect {
        Effect::Trying => "100".into(),
        Effect::Repeat => "repeat".into(),
        Effect::ForwardKept => "forward kept".into(),
        Effect::Forward => "forward".into(),
        Effect::Keep => "keep".into(),
        Effect::SendBest => "best".into(),
        Effect::Answer(Own::Timeout) => "408".into(),
        Effect::Answer(Own::Terminated) => "487".into(),
        Effect::Answer(Own::Failed) => "500".into(),
        Effect::Request(number) => format!("request {number}"),
        Effect::Ack(number) => format!("ACK {number}"),
        Effect::Cancel(number) => format!("CANCEL {number}"),
        Effect::Left(number, why) => format!("left {number} {why:?}"),
        Effect::Next => "next".into(),
        Effect::Won(number) => format!("won {number}"),
    }
}

/// A name, whether it is an INVITE, the events with what follows, and the milliseconds after which all
/// is over.
struct Row(&'static str, bool, &'static [(&'static str, &'static str)], u64);

const ROWS: &[Row] = &[
    Row(
        "an INVITE is repeated until its destination is left (Timer A)",
        true,
        &[("+1999", "500 request 0, 1500 request 0"), ("+1", "1 left 0 Silent, 1 next")],
        // The second and third try, and Timer B of the last.
        2_000 + 2_000 + 32_000,
    ),
    Row(
        "a provisional response ends the repeating; a 100 goes no further",
        true,
        &[("copy", "100"), ("100", ""), ("100", ""), ("copy", "100"), ("+30000", "")],
        155_000 + 32_000 + 32_000,
    ),
    Row(
        "a 180 is forwarded and repeated to copies; Timer C begins anew with each",
        true,
        &[
            ("180", "forward kept"),
            ("copy", "repeat"),
            ("+184999", ""),
            ("183", "forward kept"),
            ("+184999", ""),
            ("100", ""),
            ("+1", "1 CANCEL 0"),
            ("0:cancelled", ""),
            ("487", "ACK 0, forward kept"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "one that does not end after Timer C is a 408 (§16.8)",
        true,
        &[
            ("180", "forward kept"),
            ("+185000", "185000 CANCEL 0"),
            (
                "+32000",
                "500 CANCEL 0, 1500 CANCEL 0, 3500 CANCEL 0, 7500 CANCEL 0, 11500 CANCEL 0, \
                 15500 CANCEL 0, 19500 CANCEL 0, 23500 CANCEL 0, 27500 CANCEL 0, \
                 31500 CANCEL 0, 32000 408, 32000 left 0 Unconfirmed",
            ),
            ("ack", ""),
        ],
        5_000,
    ),
    Row(
        "every 2xx goes to the caller (RFC 6026 §8)",
        true,
        &[
            ("200", "forward, won 0"),
            ("copy", ""),
            ("200", "forward"),
            ("0:180", ""),
            ("0:486", ""),
            ("unreachable", ""),
            ("inactive", ""),
            ("cancel", ""),
            ("ack", ""),
            ("+31999", ""),
        ],
        1,
    ),
    Row(
        "a refusal is acknowledged, and repeated until the caller acknowledges it (Timer G)",
        true,
        &[
            ("486", "ACK 0, forward kept"),
            ("486", "ACK 0"),
            ("180", ""),
            ("+4000", "500 repeat, 1500 repeat, 3500 repeat"),
            ("copy", "repeat"),
            ("ack", ""),
            ("copy", ""),
            ("486", "ACK 0"),
            ("+27999", ""),
        ],
        1,
    ),
    Row(
        "without the caller's ACK it ends by Timer H",
        true,
        &[
            ("486", "ACK 0, forward kept"),
            (
                "+31999",
                "500 repeat, 1500 repeat, 3500 repeat, 7500 repeat, 11500 repeat, 15500 repeat, \
                 19500 repeat, 23500 repeat, 27500 repeat, 31500 repeat",
            ),
            ("486", "ACK 0"),
            ("ack", ""),
        ],
        5_000,
    ),
    Row(
        "a late 2xx after a refusal still goes to the caller (§16.7 item 5)",
        true,
        &[("486", "ACK 0, forward kept"), ("200", "forward"), ("ack", "")],
        32_000,
    ),
    Row(
        "a listed code tries the next, and the best of all goes to the caller",
        true,
        &[
            ("503", "ACK 0, keep, left 0 Code(503), next"),
            ("503", "ACK 0"),
            ("copy", "100"),
            ("1:408", "ACK 1, keep, left 1 Code(408), next"),
            ("2:500", "ACK 2, left 2 Code(500), best"),
            ("copy", "repeat"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "a worse one does not replace a better one, and a lone 503 becomes a 500",
        true,
        &[
            ("500", "ACK 0, keep, left 0 Code(500), next"),
            ("1:503", "ACK 1, keep, left 1 Code(503), next"),
            ("2:503", "ACK 2, left 2 Code(503), 500"),
            ("+500", "500 repeat"),
            ("ack", ""),
        ],
        31_500,
    ),
    Row(
        "a code that is not listed ends it, unless an earlier one is better",
        true,
        &[
            ("408", "ACK 0, keep, left 0 Code(408), next"),
            ("1:501", "ACK 1, left 1 Code(501), best"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "a refusal after failures goes to the caller",
        true,
        &[
            ("503", "ACK 0, keep, left 0 Code(503), next"),
            ("1:603", "ACK 1, forward kept"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "a 482 to a later try is its failure, to the first it is the answer",
        true,
        &[
            ("503", "ACK 0, keep, left 0 Code(503), next"),
            ("1:482", "ACK 1, keep, left 1 Code(482), next"),
            ("2:503", "ACK 2, left 2 Code(503), best"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "a 482 to the first is the answer",
        true,
        &[("482", "ACK 0, forward kept"), ("ack", "")],
        32_000,
    ),
    Row(
        "after ringing nobody else is tried",
        true,
        &[("180", "forward kept"), ("503", "ACK 0, left 0 Code(503), 500"), ("ack", "")],
        32_000,
    ),
    Row(
        "a ringing destination that becomes inactive ends the call with one 500",
        true,
        &[
            ("180", "forward kept"),
            ("unreachable", ""),
            ("inactive", "CANCEL 0, 500, left 0 Inactive"),
            ("inactive", ""),
            ("ack", ""),
            ("487", "ACK 0"),
        ],
        32_000,
    ),
    Row(
        "an unreachable destination is left at once, also after a 100",
        true,
        &[
            ("unreachable", "left 0 Unreachable, next"),
            ("unreachable", ""),
            ("1:100", ""),
            ("1:unreachable", "left 1 Unreachable, next"),
            ("2:unreachable", "500, left 2 Unreachable"),
            ("ack", ""),
        ],
        5_000,
    ),
    Row(
        "one that becomes inactive is left, and cancelled if it has answered",
        true,
        &[
            ("inactive", "left 0 Inactive, next"),
            ("1:100", ""),
            ("inactive", "CANCEL 1, left 1 Inactive, next"),
            ("100", "CANCEL 0"),
            ("+500", "500 CANCEL 0, 500 CANCEL 1, 500 request 2"),
            ("0:cancelled", ""),
            ("1:cancelled", ""),
            // We have cancelled it, so it is no answer for the caller.
            ("1:487", "ACK 1"),
            ("2:200", "forward, won 2"),
        ],
        32_000,
    ),
    Row(
        "of a left try only a 2xx goes to the caller, and then the current one is cancelled",
        true,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("180", "CANCEL 0"),
            ("183", ""),
            ("1:180", "forward kept"),
            ("200", "forward, won 0, CANCEL 1, left 1 Overtaken"),
            ("1:200", "forward"),
            ("0:cancelled", ""),
            ("1:cancelled", ""),
        ],
        32_000,
    ),
    Row(
        "a left try that refuses does not end the call, a 6xx ends the trying",
        true,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("486", "ACK 0, keep"),
            ("+2000", "500 request 1, 1500 request 1, 2000 left 1 Silent, 2000 next"),
            ("1:603", "ACK 1, keep"),
            ("2:100", "CANCEL 2"),
            ("2:487", "ACK 2, left 2 Code(487), best"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "after a 6xx a current try without an answer ends with it",
        true,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("603", "ACK 0, keep"),
            ("+2000", "500 request 1, 1500 request 1, 2000 best, 2000 left 1 Silent"),
            ("ack", ""),
        ],
        30_000,
    ),
    Row(
        "a CANCEL before any response waits for one (§9.1)",
        true,
        &[
            ("cancel", ""),
            ("cancel", ""),
            ("+500", "500 request 0"),
            ("100", "CANCEL 0"),
            ("180", "forward kept"),
            ("+500", "500 CANCEL 0"),
            ("0:cancelled", ""),
            ("503", "ACK 0, left 0 Code(503), 500"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "a CANCEL that crosses a 200",
        true,
        &[("100", ""), ("cancel", "CANCEL 0"), ("200", "forward, won 0"), ("0:cancelled", "")],
        32_000,
    ),
    Row(
        "a cancelled call at a silent destination",
        true,
        &[
            ("cancel", ""),
            ("+2000", "500 request 0, 1500 request 0, 2000 487, 2000 left 0 Silent"),
            ("ack", ""),
            // It wakes up: it must not ring.
            ("180", "CANCEL 0"),
            ("0:cancelled", ""),
            ("487", "ACK 0"),
        ],
        32_000,
    ),
    Row(
        "a cancelled call whose destination does not confirm it",
        true,
        &[
            ("180", "forward kept"),
            ("cancel", "CANCEL 0"),
            ("0:cancelled", ""),
            ("+31999", ""),
            ("+1", "1 487, 1 left 0 Unconfirmed"),
            ("ack", ""),
        ],
        5_000,
    ),
    Row(
        "silence everywhere is a 408",
        true,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("+2000", "500 request 1, 1500 request 1, 2000 left 1 Silent, 2000 next"),
            ("+2000", "500 request 2, 1500 request 2, 2000 408, 2000 left 2 Silent"),
            ("ack", ""),
        ],
        30_000,
    ),
    Row(
        "a left try answers before the current one says anything",
        true,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("0:200", "forward, won 0, left 1 Overtaken"),
        ],
        32_000,
    ),
    Row(
        "silence is better than a 5xx",
        true,
        &[
            ("503", "ACK 0, keep, left 0 Code(503), next"),
            ("+2000", "500 request 1, 1500 request 1, 2000 left 1 Silent, 2000 next"),
            ("+2000", "500 request 2, 1500 request 2, 2000 408, 2000 left 2 Silent"),
            ("ack", ""),
        ],
        30_000,
    ),
    Row(
        "a 408 of a destination is as good as silence, and was there first",
        true,
        &[
            ("408", "ACK 0, keep, left 0 Code(408), next"),
            ("+2000", "500 request 1, 1500 request 1, 2000 left 1 Silent, 2000 next"),
            ("+2000", "500 request 2, 1500 request 2, 2000 best, 2000 left 2 Silent"),
            ("ack", ""),
        ],
        30_000,
    ),
    Row(
        "while one rings, the refusal of a left one is kept",
        true,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("1:180", "forward kept"),
            ("0:404", "ACK 0, keep"),
            ("copy", "100"),
            ("1:183", "forward"),
            ("1:504", "ACK 1, left 1 Code(504), best"),
            ("ack", ""),
        ],
        32_000,
    ),
    Row(
        "events of tries that never were",
        true,
        &[("3:200", ""), ("15:486", ""), ("15:cancelled", ""), ("15:unreachable", "")],
        38_000,
    ),
    Row(
        "another request is repeated up to T2, and gets a 100 after 3.5 s (RFC 4320)",
        false,
        &[
            ("copy", ""),
            ("100", ""),
            ("+3499", ""),
            ("copy", ""),
            ("+1", "1 100"),
            ("copy", "100"),
            ("+4500", "500 request 0, 4500 request 0"),
            ("200", "forward kept"),
            ("200", ""),
            ("copy", "repeat"),
            ("ack", ""),
            ("cancel", ""),
            ("+31999", ""),
        ],
        1,
    ),
    Row(
        "another request that nobody answers ends in silence, never in a 408",
        false,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("+2000", "500 request 1, 1500 100, 1500 request 1, 2000 left 1 Silent, 2000 next"),
            ("+2000", "500 request 2, 1500 request 2"),
            ("copy", "100"),
            // The last one is asked for as long as the caller may wait.
            (
                "+29999",
                "4000 request 2, 8000 request 2, 12000 request 2, 16000 request 2, \
                 20000 request 2, 24000 request 2, 28000 request 2",
            ),
        ],
        1,
    ),
    Row(
        "a 5xx is better than silence",
        false,
        &[
            ("503", "keep, left 0 Code(503), next"),
            ("1:100", ""),
            (
                "+32000",
                "3500 100, 4000 request 1, 8000 request 1, 12000 request 1, 16000 request 1, 20000 request 1, 24000 request 1, 28000 request 1, 32000 500, 32000 left 1 Silent",
            ),
        ],
        32_000,
    ),
    Row(
        "of another request the first 2xx counts, also a left try's",
        false,
        &[
            ("+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next"),
            ("1:100", ""),
            ("200", "left 1 Overtaken, forward kept"),
            ("1:200", ""),
            ("copy", "repeat"),
        ],
        32_000,
    ),
    Row(
        "another request is refused",
        false,
        &[("404", "forward kept"), ("404", ""), ("copy", "repeat"), ("+4999", "")],
        27_001,
    ),
    Row(
        "another request that nobody can be reached for",
        false,
        &[
            ("unreachable", "left 0 Unreachable, next"),
            ("1:inactive", "left 1 Inactive, next"),
            ("2:unreachable", "500, left 2 Unreachable"),
        ],
        32_000,
    ),
];

#[test]
fn stories() {
    let told: Vec<_> = ROWS.iter().filter_map(|row| row.check().err()).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

impl Row {
    fn check(&self) -> Result<(), String> {
        let Self(says, is_invite, events, over_after) = self;
        let mut story = Story::new(*is_invite, Failover::default());
        for (at, (event, wants)) in events.iter().enumerate() {
            let follows = story.step(event);
            if follows != *wants {
                return Err(format!("{says}: event {at}, {event}: {follows}"));
            }
        }
        let begin = story.now;
        while !story.machine.is_over() {
            let Some(due) = story.machine.due() else { break };
            story.pass(due.ms() - story.now.ms());
        }
        let machine = &story.machine;
        let after = story.now.ms() - begin.ms();
        let keeps = machine.needs_request() || machine.needs_response();
        if after != *over_after || machine.due().is_some() || !machine.is_over() || keeps {
            return Err(format!("{says}: over after {after}: {machine:?}"));
        }
        Ok(())
    }
}

#[test]
fn a_100_that_nothing_follows_is_left_only_if_the_operator_says_so() {
    let failover = Failover { progress_ms: 3_000, ..Failover::default() };
    let mut story = Story::new(true, failover);
    assert_eq!(story.step("100"), "");
    assert_eq!(story.step("+1000"), "");
    assert_eq!(story.step("100"), "", "a second 100 is no progress");
    assert_eq!(story.step("+2000"), "2000 CANCEL 0, 2000 left 0 NoProgress, 2000 next");
    assert_eq!(story.step("1:180"), "forward kept");
    assert_eq!(story.step("1:100"), "");
    assert_eq!(story.step("0:cancelled"), "");
    assert_eq!(story.step("+184999"), "", "one that rings is waited for");
}

#[test]
fn tries_and_time_have_an_end() {
    for (failover, wants) in [
        (Failover { tries_max: 1, ..Failover::default() }, "ACK 0, left 0 Code(503), 500"),
        (Failover { total_ms: 0, ..Failover::default() }, "ACK 0, left 0 Code(503), 500"),
        (Failover { total_ms: 1, ..Failover::default() }, "ACK 0, keep, left 0 Code(503), next"),
        (
            Failover { codes: [500].into_iter().collect(), ..Failover::default() },
            "ACK 0, left 0 Code(503), 500",
        ),
    ] {
        assert_eq!(Story::new(true, failover).step("503"), wants);
    }
    let mut story = Story::new(true, Failover { tries_max: 255, ..Failover::default() });
    story.slots = 100;
    for number in 0..TRIES_MAX - 1 {
        let event = format!("{number}:unreachable");
        assert_eq!(story.step(&event), format!("left {number} Unreachable, next"));
    }
    assert_eq!(story.step("14:unreachable"), "500, left 14 Unreachable");
}

#[test]
fn without_another_destination_the_best_answer_goes_out() {
    for (slots, event, wants) in [
        (1, "503", "ACK 0, keep, left 0 Code(503), next, 500"),
        (1, "408", "ACK 0, keep, left 0 Code(408), next, best"),
        (1, "unreachable", "left 0 Unreachable, next, 500"),
        (1, "inactive", "left 0 Inactive, next, 500"),
        (1, "+2000", "500 request 0, 1500 request 0, 2000 left 0 Silent, 2000 next, 2000 408"),
    ] {
        let mut story = Story::new(true, Failover::default());
        story.slots = slots;
        assert_eq!(story.step(event), wants, "{event}");
    }
}

/// RFC 3261 §16.7 item 6.
#[test]
fn the_best_of_all_responses() {
    for (codes, wants) in [
        ([401, 404], "best"),
        ([404, 401], "forward kept"),
        ([407, 499], "best"),
        ([415, 400], "best"),
        ([420, 400], "best"),
        ([484, 400], "best"),
        ([400, 484], "forward kept"),
        ([404, 486], "forward kept"),
        ([302, 404], "best"),
        ([302, 401], "best"),
        ([401, 302], "forward kept"),
        ([404, 302], "forward kept"),
        ([500, 404], "forward kept"),
        ([404, 500], "best"),
        ([599, 500], "forward kept"),
    ] {
        for is_invite in [true, false] {
            let mut failover = Failover { tries_max: 2, ..Failover::default() };
            failover.codes.insert(codes[0]);
            let mut story = Story::new(is_invite, failover);
            let ack = |number| if is_invite { format!("ACK {number}, ") } else { String::new() };
            let first = story.step(&codes[0].to_string());
            assert_eq!(first, format!("{}keep, left 0 Code({}), next", ack(0), codes[0]));
            let second = story.step(&format!("1:{}", codes[1]));
            let left = format!("left 1 Code({}), ", codes[1]);
            let left = if wants == "best" { left } else { String::new() };
            assert_eq!(second, format!("{}{left}{wants}", ack(1)), "{codes:?}");
        }
    }
}

#[test]
fn a_cancel_changes_nothing_but_an_invite_that_is_not_answered() {
    let mut story = Story::new(false, Failover::default());
    assert_eq!(story.step("cancel"), "");
    assert_eq!(story.step("503"), "keep, left 0 Code(503), next", "it goes on");
    let mut story = Story::new(true, Failover::default());
    assert_eq!(story.step("180"), "forward kept");
    assert_eq!(story.step("cancel"), "CANCEL 0");
    assert_eq!(story.step("0:cancelled"), "");
    assert_eq!(story.step("cancel"), "", "it is cancelled once");
}

/// RFC 4320 §4.2: a 408 to a request that is no INVITE goes no further.
#[test]
fn a_408_to_another_request_counts_as_silence() {
    let mut story = Story::new(false, Failover::default());
    assert_eq!(story.step("408"), "left 0 Code(408), next");
    assert_eq!(story.step("+2000"), "500 request 1, 1500 request 1, 2000 left 1 Silent, 2000 next");
    assert_eq!(story.step("1:408"), "", "of a left try it says nothing");
    assert_eq!(story.step("2:200"), "forward kept");
    let failover = Failover { codes: [500].into_iter().collect(), ..Failover::default() };
    let mut story = Story::new(false, failover);
    let left = "left 0 Code(408)";
    assert_eq!(story.step("408"), left, "nobody else is asked, and the caller's timer ends it");
    assert_eq!(story.step("+31999"), "3500 100");
    assert!(!story.machine.is_over());
    assert_eq!(story.step("+1"), "");
    assert!(story.machine.is_over());
}

#[test]
fn a_left_try_that_refuses_by_itself() {
    let mut story = Story::new(true, Failover::default());
    story.step("+2000");
    assert_eq!(story.step("487"), "ACK 0, keep", "we have not cancelled it");
    let mut story = Story::new(false, Failover::default());
    story.step("+2000");
    assert_eq!(story.step("300"), "keep", "only a 2xx goes to the caller at once");
    assert_eq!(story.step("1:200"), "forward kept");
}

#[test]
fn what_is_kept_is_freed_as_soon_as_nothing_can_need_it() {
    for (is_invite, events, wants) in [
        (true, &["100"][..], (true, true)),
        (true, &["180"], (true, true)),
        (true, &["200"], (false, false)),
        // Another copy of the 486 would have to be acknowledged.
        (true, &["486"], (true, true)),
        (true, &["486", "ack"], (true, false)),
        (true, &["486", "ack", "+32000"], (false, false)),
        (true, &["unreachable", "1:unreachable", "2:unreachable"], (true, false)),
        (true, &["unreachable", "1:unreachable", "2:unreachable", "ack"], (false, false)),
        // A left try may still have to be cancelled.
        (true, &["+2000", "1:200"], (true, false)),
        (false, &["200"], (false, true)),
        (false, &["200", "+32000"], (false, false)),
    ] {
        let mut story = Story::new(is_invite, Failover::default());
        for event in events {
            story.step(event);
        }
        let machine = &story.machine;
        assert_eq!((machine.needs_request(), machine.needs_response()), wants, "{events:?}");
    }
}

#[test]
fn its_state_can_be_seen() {
    let mut story = Story::new(true, Failover::default());
    assert_eq!(story.machine.current(), Some((0, Slot(0))));
    story.step("503");
    assert_eq!(story.machine.current(), Some((1, Slot(1))));
    assert_eq!(story.machine.client(0), Some(Client::Completed));
    assert_eq!((story.machine.client(1), story.machine.client(2)), (Some(Client::Calling), None));
    assert_eq!((story.machine.slot_of(1), story.machine.slot_of(2)), (Some(Slot(1)), None));
    story.step("1:200");
    assert_eq!((story.machine.current(), story.machine.server()), (None, Server::Accepted));
    assert!(story.machine.is_invite() && story.machine.own_answer().is_none());
}

#[test]
fn the_age_of_a_try_is_its_own_and_an_overtaken_one_is_not_current() {
    let mut story = Story::new(true, Failover::default());
    story.step("+2000");
    story.step("+700");
    assert_eq!([0, 1].map(|number| story.machine.age_ms(story.now, number)), [2_700, 700]);
    story.step("0:200");
    assert_eq!((story.machine.current(), story.machine.server()), (None, Server::Accepted));
}

#[test]
fn a_request_that_is_no_invite_says_so_and_what_it_was_answered_with() {
    let mut story = Story::new(false, Failover { tries_max: 1, ..Failover::default() });
    story.step("503");
    assert!(!story.machine.is_invite());
    assert_eq!(story.machine.own_answer(), Some(Own::Failed));
    let tried = story.machine.slots();
    assert!(!tried.is_empty() && tried.contains(Slot(0)) && !tried.contains(Slot(1)));
    assert!(Tried::NONE.is_empty());
}

#[test]
fn without_room_for_the_best_response_ours_takes_its_place() {
    for (has_room, wants) in [(true, "best"), (false, "500")] {
        let codes = [404].into_iter().collect();
        let mut story = Story::new(true, Failover { codes, ..Failover::default() });
        assert_eq!(story.step("404"), "ACK 0, keep, left 0 Code(404), next");
        if !has_room {
            story.machine.nothing_kept();
        }
        assert_eq!(story.step("1:503"), format!("ACK 1, left 1 Code(503), {wants}"));
    }
}
