//! Calls that are answered with 5xx.

use super::*;

/// Two destinations answer calls of these senders; then the counters are read once.
fn several(setup: &Setup, number: usize) -> World {
    let mut world = World::new(&vec![setup.clone(); number]);
    world.pass(100);
    for number in 1..=number as u16 {
        world.answer(number, 200);
    }
    world
}

/// One window: each destination that can be chosen gets these calls from four senders, and 1 refuses
/// some with 503 and some with 500.
fn window(world: &mut World, calls: u64, busy: u64, failed: u64) {
    for number in 1..=world.setups.len() as u16 {
        if world.flags[&Slot(number)].is_selectable() {
            world.calls(number, calls, calls, 0b1111);
            if number == 1 {
                world.failures(1, busy, failed, 0b1110, 0b111);
            }
        }
    }
    world.pass(100);
}

#[test]
fn a_share_of_failed_calls_counts_when_it_is_above_the_others() {
    for (shares, wants) in [
        // calls/busy/failed of 1, 2 and 3.
        ("100/0/80 100/0/5 100/0/10", Some("1 IX failing")),
        ("100/30/40 100/0/5 100/0/10", Some("1 IX failing")),
        ("20/0/20 20/0/0 20/0/0", Some("1 IX failing")),
        ("100/80/0 100/0/0 100/0/0", Some("1 AX+ refusing")),
        ("100/60/30 100/0/0 100/0/0", Some("1 AX+ refusing")),
        ("100/30/30 100/0/0 100/0/0", Some("1 IX failing")),
        // Most of a set cannot be replaced by its rest.
        ("100/0/80 100/0/70 100/0/90", None),
        ("100/0/80 100/0/45 100/0/50", None),
        // Too few calls, too small a share, nobody to compare with.
        ("19/0/19 100/0/0 100/0/0", None),
        ("100/0/49 100/0/0 100/0/0", None),
        ("100/0/100 5/0/0 5/0/0", None),
    ] {
        let mut world = several(&Setup::default(), 3);
        for (share, number) in shares.split(' ').zip(1..) {
            let share: Vec<u64> = share.split('/').map(|n| n.parse().unwrap()).collect();
            world.calls(number, share[0], share[0], 0b1111);
            // Numbers that differ from one to the next.
            world.failures(number, share[1], share[2], 0b111, 0b111 << (4 * number));
        }
        world.pass(100);
        let changes = world.changes();
        match wants {
            Some(wants) => assert_eq!(changes, [format!("200 {wants}")], "{shares}"),
            None => assert!(changes.is_empty() && world.sent.is_empty(), "{shares}: {changes:?}"),
        }
        if wants.is_some_and(|wants| wants.starts_with("1 IX")) {
            // Its probes are answered, but that says nothing about its calls.
            world.pass(29_000);
            assert_eq!(world.changes(), [""; 0]);
            world.pass(3_000);
            assert!(world.changes()[0].ends_with("1 AX probe_answered"));
        }
    }
}

#[test]
fn it_counts_as_soon_as_there_are_enough_calls() {
    // 50 calls a second and server.
    let mut world = several(&Setup::default(), 4);
    for _ in 0..20 {
        window(&mut world, 5, 5, 0);
    }
    assert_eq!(world.changes(), ["500 1 AX+ refusing"]);
    // Two a second.
    let mut world = several(&Setup::default(), 4);
    for _ in 0..11 {
        window(&mut world, 2, 2, 0);
        world.pass(900);
    }
    assert_eq!(world.changes(), ["9200 1 AX+ refusing"]);
    // Fewer are too few, however long it takes.
    let mut world = several(&Setup::default(), 4);
    for _ in 0..100 {
        window(&mut world, 1, 1, 0);
        world.pass(900);
    }
    assert!(world.changes().is_empty() && world.sent.is_empty());
}

#[test]
fn calls_that_it_took_before_do_not_hide_those_that_it_refuses() {
    for (refuses, of, wants) in [
        // The latest 20 calls: 75 % of them.
        (5, 5, Some("300 1 AX+ refusing")),
        (4, 5, Some("400 1 AX+ refusing")),
        // It takes the 10 s to see that it is more than half.
        (3, 5, Some("8000 1 AX+ refusing")),
        (2, 5, None),
    ] {
        let mut world = several(&Setup::default(), 4);
        world.pass(900);
        for _ in 0..100 {
            window(&mut world, 5, 0, 0);
        }
        let begin = world.now.ms() - 1_000_000;
        for _ in 0..100 {
            window(&mut world, of, refuses, 0);
        }
        let changes = world.changes();
        let after = changes.first().map(|change| {
            let (ms, what) = change.split_once(' ').unwrap();
            format!("{} {what}", ms.parse::<u64>().unwrap() - begin)
        });
        assert_eq!(after.as_deref(), wants, "{refuses}/{of}");
    }
}

#[test]
fn when_all_of_them_begin_to_fail_none_does() {
    let mut world = several(&Setup::default(), 4);
    for at in 0..100 {
        for number in 1..=4 {
            world.calls(number, 5, 5, 0b1111);
            let failed = if at < 50 { 0 } else { 5 - u64::from(number % 2) };
            world.failures(number, failed, 0, 0b111, 0b1001_0010_0100 << (13 * number));
        }
        world.pass(100);
    }
    assert!(world.changes().is_empty() && world.sent.is_empty());
}

#[test]
fn several_callers_and_numbers_or_only_a_probe() {
    for (senders, callers, numbers, wants) in [
        (0b1111, 0b111, 0b111, 1),
        (0b1111, 0b11, 0b111, 0),
        (0b1111, 0b111, 0b11, 0),
        // As many callers as there are.
        (0b1, 0b1, 0b111, 1),
        (0b11, 0b11, 0b111, 1),
        (0b11, 0b1, 0b111, 0),
        (0b1, 0b1, 0b11, 0),
        (0b1, 0, 0b111, 0),
    ] {
        let mut world = several(&Setup::default(), 2);
        world.calls(1, 30, 30, senders);
        world.calls(2, 30, 30, senders);
        world.failures(1, 0, 30, callers, numbers);
        world.pass(100);
        let says = format!("{senders:b} {callers:b} {numbers:b}");
        assert_eq!(world.changes().len(), wants, "{says}");
        assert_eq!(world.sent.is_empty(), wants > 0, "{says}");
    }
    // What is known of callers comes and goes with their calls.
    let mut world = several(&Setup::default(), 2);
    for (caller, wants) in [(0b1, 0), (0b10, 0), (0b100, 1)] {
        world.calls(1, 10, 10, 0b1111);
        world.calls(2, 10, 10, 0b1111);
        world.failures(1, 0, 10, caller, caller);
        world.pass(100);
        assert_eq!(world.changes().len(), wants);
    }
}

#[test]
fn calls_that_fail_at_two_destinations_count_against_neither() {
    for (numbers_of_2, wants) in [(0b111, 0), (0b110, 0), (0b11_0000, 1), (!0, 1)] {
        let mut world = several(&Setup::default(), 3);
        for number in 1..=3 {
            world.calls(number, 30, 30, 0b1111);
        }
        world.failures(1, 0, 30, 0b111, 0b111);
        world.failures(2, 0, 3, 0b111, numbers_of_2);
        world.pass(100);
        assert_eq!(world.changes().len(), wants, "{numbers_of_2:b}");
    }
    // They went to 2 when 1 was out, so they would fail everywhere.
    for (code, busy, failed) in [("1 IX failing", 0, 30), ("1 AX+ refusing", 30, 0)] {
        let mut world = several(&Setup::default(), 4);
        for number in 1..=4 {
            world.calls(number, 30, 30, 0b1111);
        }
        world.failures(1, busy, failed, 0b111, 0b111);
        world.pass(100);
        assert_eq!(world.changes(), [format!("200 {code}")]);
        world.calls(2, 60, 60, 0b1111);
        world.failures(2, 2 * busy, 2 * failed, 0b111, 0b111);
        world.pass(100);
        assert_eq!(world.changes(), [""; 0]);
        // Others count.
        world.failures(2, busy, failed, 0b111, 0b111_0000);
        world.calls(2, 30, 30, 0b1111);
        world.pass(100);
        assert_eq!(world.changes().len(), 1);
    }
}

#[test]
fn one_that_refuses_calls_gets_them_again_later_and_later() {
    let setup = Setup { flags: Flags::PROBING, ..Setup::default() };
    let mut world = several(&setup, 4);
    // It answers its probes all the time.
    for _ in 0..2_500 {
        window(&mut world, 5, 5, 0);
    }
    let changes = world.changes();
    let times = |word: &str| -> Vec<u64> {
        let with = changes.iter().filter(|change| change.ends_with(word));
        with.map(|change| change.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let (full, over) = (times("1 AP+ refusing"), times("1 AP not_full"));
    assert_eq!(changes.len(), full.len() + over.len(), "{changes:?}");
    let pauses: Vec<_> = over.iter().zip(&full).map(|(end, begin)| (end - begin) / 1_000).collect();
    assert_eq!(pauses, [10, 20, 40, 60, 60], "{changes:?}");
    let tries: Vec<_> = full[1..].iter().zip(&over).map(|(begin, end)| begin - end).collect();
    assert_eq!(tries[..4], [400; 4], "{changes:?}");
    // The next time after a while is a first time.
    while world.flags[&Slot(1)].is_full() {
        window(&mut world, 5, 0, 0);
    }
    for (quiet, wants) in [(500, 60), (600, 10)] {
        for _ in 0..quiet {
            window(&mut world, 5, 0, 0);
        }
        let mut begin = world.now;
        while !world.flags[&Slot(1)].is_full() {
            window(&mut world, 5, 5, 0);
            begin = world.now;
        }
        while world.flags[&Slot(1)].is_full() {
            window(&mut world, 5, 0, 0);
        }
        assert_eq!((world.now.ms() - begin.ms()) / 1_000, wants, "{quiet}");
    }
}

#[test]
fn settings_of_being_full() {
    for (full_s, full_s_max, wants) in [
        (7, 60, "7"),
        (100, 60, "60"),
        (3_600, 3_600, "3600"),
        // A 503 is a failure like any other.
        (0, 60, "IX failing"),
    ] {
        let probing = Probing { full_s, full_s_max, ..Probing::default() };
        let mut world = several(&Setup { probing, ..Setup::default() }, 2);
        window(&mut world, 30, 30, 0);
        let full_until = world.health.view(Slot(1)).unwrap().full_until;
        let changes = world.changes();
        match full_until {
            Some(until) => {
                assert_eq!(((until.ms() - world.now.ms()) / 1_000).to_string(), wants);
            }
            None => assert_eq!(changes, [format!("200 1 {wants}")]),
        }
    }
    for passive in [
        Passive { failure_percent: 0, ..Passive::default() },
        Passive { is_on: false, ..Passive::default() },
    ] {
        let mut world = several(&Setup { passive, ..Setup::default() }, 2);
        window(&mut world, 100, 100, 0);
        assert!(world.changes().is_empty() && world.sent.is_empty());
    }
    let passive = Passive { failure_percent: 30, failure_calls: 50, ..Passive::default() };
    let mut world = several(&Setup { passive, ..Setup::default() }, 2);
    window(&mut world, 49, 49, 0);
    assert_eq!(world.changes().len(), 0);
    window(&mut world, 60, 0, 0);
    assert_eq!(world.changes().len(), 0);
    window(&mut world, 10, 10, 0);
    assert_eq!(world.changes(), ["400 1 AX+ refusing"]);
}

#[test]
fn what_ends_being_full() {
    let full = |flags| {
        let mut world = several(&Setup { flags, ..Setup::default() }, 2);
        window(&mut world, 30, 30, 0);
        assert_eq!(world.changes().len(), 1);
        world
    };
    // A probe that is answered with 503 makes it longer, one with 200 does not make it shorter.
    let mut world = full(Flags::PROBING);
    world.answers.insert(Slot(1), (503, Some(40)));
    world.pass(9_900);
    world.answer(1, 200);
    world.pass(20_000);
    assert!(world.flags[&Slot(1)].is_full() && world.sent.iter().any(|(_, number)| *number == 1));
    world.pass(21_000);
    assert!(world.flags[&Slot(1)].is_selectable());
    // An operator, and the network.
    let mut world = full(0);
    world.set(1, DestinationState::Active, false);
    assert_eq!(world.health.view(Slot(1)).unwrap().full_until, None);
    let mut world = full(0);
    world.answers.clear();
    world.icmp(1, libc::ECONNREFUSED, true);
    world.pass(20_000);
    assert_eq!(world.changes(), ["200 1 IX unreachable"]);
}

#[test]
fn calls_of_before_do_not_count_when_it_is_back() {
    let mut world = several(&Setup::default(), 2);
    window(&mut world, 30, 30, 0);
    // Answers to calls that it got before.
    for _ in 0..98 {
        world.failures(1, 1, 0, 0b111, 0b111);
        window(&mut world, 5, 0, 0);
    }
    world.changes();
    while !world.flags[&Slot(1)].is_selectable() {
        world.pass(100);
    }
    for _ in 0..50 {
        window(&mut world, 5, 0, 0);
    }
    let changes = world.changes();
    assert!(changes.len() == 1 && changes[0].ends_with("1 AX not_full"), "{changes:?}");
}

#[test]
fn one_that_refuses_calls_says_for_how_long() {
    for (says, full_s, retry_after, wants) in [
        // The Retry-After in the first five windows.
        ("none", 10, [0; 5], 10),
        ("all the same", 10, [30; 5], 30),
        ("only in some", 10, [0, 4, 0, 0, 0], 4),
        ("the longest", 10, [20, 30, 5, 0, 7], 30),
        ("longer than full_s_max", 10, [3_600; 5], 60),
        ("full_s is longer", 50, [7; 5], 7),
    ] {
        let mut setup = Setup::default();
        setup.probing.full_s = full_s;
        let mut world = several(&setup, 4);
        for seconds in retry_after {
            if seconds > 0 {
                world.retry_after(1, seconds);
            }
            window(&mut world, 5, 5, 0);
        }
        assert_eq!(world.changes(), ["500 1 AX+ refusing"], "{says}");
        let begin = world.now.ms() - 100;
        while world.flags[&Slot(1)].is_full() {
            window(&mut world, 5, 0, 0);
        }
        assert_eq!((world.now.ms() - begin) / 1_000, wants, "{says}");
    }
    // One of more than ten seconds ago says nothing.
    let mut world = several(&Setup::default(), 4);
    world.retry_after(1, 40);
    window(&mut world, 5, 1, 0);
    world.pass(10_000);
    for _ in 0..5 {
        window(&mut world, 5, 5, 0);
    }
    let begin = world.now.ms() - 100;
    while world.flags[&Slot(1)].is_full() {
        window(&mut world, 5, 0, 0);
    }
    assert_eq!((world.now.ms() - begin) / 1_000, 10);
}
