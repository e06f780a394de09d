//! What happens to a destination, one subject each.

use super::*;

/// Fails and comes back, with the default of one probe each.
#[test]
fn a_probed_one_fails_and_comes_back() {
    let mut world = World::new(&[Setup::probed()]);
    world.answer(1, 200);
    world.pass(30_000);
    assert_eq!(world.changes(), [""; 0]);
    assert!((3..=4).contains(&world.sent.len()), "{:?}", world.sent);

    world.answers.clear();
    world.pass(13_500);
    let changes = world.changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].ends_with(" 1 IP probe_unanswered"), "{changes:?}");
    assert_eq!(world.told.len(), 0);

    world.answer(1, 200);
    world.pass(13_000);
    let reason = world.told[0].1.reason.to_string();
    assert!(reason.starts_with("answered a probe with 200 after "), "{reason}");
    let changes = world.changes();
    assert!(changes.len() == 1 && changes[0].ends_with(" 1 AP probe_answered"), "{changes:?}");
    let view = world.health.view(Slot(1)).unwrap();
    assert_eq!((view.out_since, view.answer_ms), (None, Some(0)));
}

#[test]
fn thresholds_and_quick_repeats() {
    let setup = Setup {
        probing: Probing { failures: 3, successes: 2, timeout_ms: 400, ..Probing::default() },
        ..Setup::probed()
    };
    let mut world = World::new(&[setup]);
    world.pass(10_000);
    let first = world.sent[0].0;
    world.pass(first + 3_000 - 10_000.min(first + 3_000));
    let changes = world.changes();
    let wants = [
        format!("{} 1 TP probe_unanswered", first + 400),
        format!("{} 1 IP probe_unanswered", first + 2_400),
    ];
    assert_eq!(changes, wants);
    world.answer(1, 404);
    world.pass(12_000);
    assert_eq!(world.changes(), [""; 0]);
    world.answer(1, 200);
    let before = world.sent.len();
    world.pass(12_000);
    // The second one is quick.
    let [one, two] = world.sent[before..before + 2] else { panic!() };
    assert_eq!(two.0 - one.0, 1_000);
    assert_eq!(world.changes(), [format!("{} 1 AP probe_answered", two.0)]);
}

#[test]
fn a_bad_answer_is_a_failure_unless_it_is_accepted() {
    for (accept, wants) in [("2xx", 1), ("404", 0), ("4xx,5xx", 0)] {
        let accept = Codes::parse(accept).unwrap();
        let setup = Setup { probing: Probing { accept, ..Probing::default() }, ..Setup::probed() };
        let mut world = World::new(&[setup]);
        world.answer(1, 404);
        world.pass(10_000);
        let changes = world.changes();
        assert_eq!(changes.len(), wants, "{changes:?}");
        assert!(changes.iter().all(|change| change.ends_with("1 IP probe_refused")));
    }
}

#[test]
fn provisional_late_and_foreign_answers() {
    let mut world = World::new(&[Setup::probed()]);
    world.pass(10_000);
    let mut actions = Actions::default();
    while actions.probes.is_empty() {
        world.now = world.health.next_due().unwrap();
        world.health.tick(world.now, &mut actions);
    }
    let number = actions.probes[0].number;
    let answer = |world: &mut World, code, source| {
        world.health.probe_answered(world.now, number, code, None, source);
    };
    answer(&mut world, 100, address(1));
    assert_eq!((world.health.open_probes(), world.health.counters().probes_answered), (1, 0));
    answer(&mut world, 200, address(9));
    answer(&mut world, 200, address(1));
    let counters = world.health.counters();
    assert_eq!((counters.probes_answered, counters.answers_late), (1, 1));
    assert_eq!(counters.answers_from_elsewhere, 1);
}

#[test]
fn who_is_never_probed() {
    for flags in [Flags::DISABLED | Flags::PROBING, Flags::NO_PING | Flags::PROBING, 0] {
        let mut world = World::new(&[Setup { flags, ..Setup::probed() }]);
        world.pass(60_000);
        world.icmp(1, libc::ECONNREFUSED, true);
        world.icmp(1, libc::ECONNREFUSED, false);
        world.pass(60_000);
        assert!(world.sent.is_empty() && world.changes().is_empty(), "{flags}");
    }
}

#[test]
fn an_operator_starts_it_anew() {
    let probing = Probing { failures: 3, timeout_ms: 400, ..Probing::default() };
    let mut world = World::new(&[Setup { probing, ..Setup::probed() }]);
    world.pass(12_000);
    assert_eq!(world.flags[&Slot(1)].letters(), "IP");
    world.changes();
    // Nothing is forgotten when the snapshot changes for another reason.
    let view = |world: &World| {
        let view = world.health.view(Slot(1)).unwrap();
        (view.count, view.out_since.is_some(), view.flags.letters())
    };
    world.follow(&[]);
    assert_eq!(view(&world), (0, true, "IP"));
    world.set(1, DestinationState::Active, true);
    assert_eq!(view(&world), (0, false, "AP"));
    // The one who changed it knows.
    world.tick();
    assert_eq!(world.changes(), [""; 0]);
    world.set(1, DestinationState::Disabled, true);
    world.icmp(1, libc::ECONNREFUSED, true);
    world.pass(60_000);
    assert_eq!(world.changes(), [""; 0]);
}

#[test]
fn a_change_that_did_not_get_through_is_told_again() {
    let mut world = World::new(&[Setup::default()]);
    world.icmp(1, libc::ECONNREFUSED, true);
    assert_eq!(world.changes(), ["0 1 IX unreachable"]);
    world.flags.insert(Slot(1), Flags::default());
    world.follow(&[]);
    world.tick();
    assert_eq!(world.changes(), ["0 1 IX unreachable"]);
}

#[test]
fn another_destination_in_the_same_slot_starts_fresh() {
    let mut world = World::new(&[Setup::default()]);
    world.icmp(1, libc::ECONNREFUSED, true);
    let target = Target { uri: "sip:other".into(), ..world.target(1, false) };
    let target = Target { flags: Flags::default(), ..target };
    world.health.follow(world.now, vec![target]);
    let view = world.health.view(Slot(1)).unwrap();
    assert_eq!((view.flags, view.out_since), (Flags::default(), None));
    world.health.follow(world.now, Vec::new());
    assert!(world.health.view(Slot(1)).is_none());
    world.health.unreachable(world.now, address(1), libc::ECONNREFUSED, true, None);
    assert_eq!(world.health.next_due(), Some(world.now));
    world.tick();
    assert_eq!(world.health.next_due(), None);
}

#[test]
fn one_probe_for_all_sets_and_each_has_its_own_flags() {
    let mut world = World::new(&[]);
    world.setups = vec![Setup::probed(); 3];
    for (number, flags) in [(1, Flags::PROBING), (2, 0), (3, Flags::PROBING | Flags::DISABLED)] {
        world.flags.insert(Slot(number), Flags::from_bits(flags).unwrap());
    }
    let targets = (1..=3).map(|number| Target {
        set: number.into(),
        address: address(1),
        ..world.target(number, false)
    });
    let targets = targets.collect();
    world.health.follow(world.now, targets);
    world.pass(13_000);
    let changes = world.changes();
    assert!(changes.len() == 1 && changes[0].ends_with(" 1 IP probe_unanswered"), "{changes:?}");
    let starts = world.health.counters();
    assert_eq!(starts.probes_sent - starts.probes_repeated, 1 + starts.probes_unanswered / 2);
}

#[test]
fn ping_active_stops_all_probes() {
    let mut world = World::new(&[Setup::probed()]);
    world.answer(1, 200);
    world.health.set_probing(world.now, false);
    world.pass(60_000);
    assert!(world.sent.is_empty());
    world.health.set_probing(world.now, true);
    world.pass(11_000);
    assert!(!world.sent.is_empty());
}

/// 503 to a probe.
#[test]
fn full() {
    let mut world = World::new(&[Setup::probed()]);
    world.answers.insert(Slot(1), (503, Some(4)));
    world.pass(14_000);
    let at = world.sent[0].0;
    assert_eq!(
        world.changes()[..2],
        [format!("{at} 1 AP+ full"), format!("{} 1 AP not_full", at + 4_000),]
    );
    // It ends by the next good answer too, and never lasts longer than the bound.
    let mut world = World::new(&[Setup::probed()]);
    world.answers.insert(Slot(1), (503, Some(600)));
    world.pass(11_000);
    let until = world.health.view(Slot(1)).unwrap().full_until.unwrap();
    assert!(until <= world.now.plus_ms(60_000), "{until:?}");
    world.answer(1, 200);
    world.pass(12_000);
    let changes = world.changes();
    assert!(changes[1].ends_with("1 AP probe_answered"), "{changes:?}");
    // Without Retry-After, the default; an operator ends it.
    let mut world = World::new(&[Setup::probed()]);
    world.answer(1, 503);
    world.pass(10_000);
    assert_eq!(world.changes().len(), 1);
    world.set(1, DestinationState::Active, true);
    assert_eq!(world.health.view(Slot(1)).unwrap().full_until, None);
    // A 503 that is accepted is a success, and one that may not be full is a failure.
    for (accept, full_s, wants) in [("503", 10, 0), ("2xx", 0, 1)] {
        let accept = Codes::parse(accept).unwrap();
        let probing = Probing { accept, full_s, ..Probing::default() };
        let mut world = World::new(&[Setup { probing, ..Setup::probed() }]);
        world.answer(1, 503);
        world.pass(10_000);
        let changes = world.changes();
        assert_eq!(changes.len(), wants, "{changes:?}");
        assert!(changes.iter().all(|change| change.ends_with("1 IP probe_refused")));
    }
}

#[test]
fn an_inactive_one_that_is_full_is_alive() {
    let flags = Flags::PROBING | Flags::INACTIVE;
    let mut world = World::new(&[Setup { flags, ..Setup::probed() }]);
    world.answers.insert(Slot(1), (503, Some(30)));
    world.pass(10_000);
    let changes = world.changes();
    assert!(changes.len() == 1 && changes[0].ends_with("1 AP+ full"), "{changes:?}");
}

#[test]
fn a_full_one_that_dies() {
    let setup = Setup { passive: Passive::default(), ..Setup::probed() };
    let mut world = World::new(&[setup]);
    world.answers.insert(Slot(1), (503, Some(60)));
    world.pass(10_000);
    world.changes();
    world.answers.clear();
    world.icmp(1, libc::ECONNREFUSED, true);
    world.pass(20_000);
    let changes = world.changes();
    assert!(changes.len() == 1 && changes[0].ends_with("1 IP unreachable"), "{changes:?}");
}

/// ICMP.
#[test]
fn a_proven_error_counts_at_once_and_the_first_answer_brings_it_back() {
    let probing = Probing { failures: 5, ..Probing::default() };
    let mut world = World::new(&[Setup { probing, ..Setup::default() }]);
    // It is known to answer probes, since one was in doubt.
    world.answer(1, 200);
    world.icmp(1, libc::ECONNREFUSED, false);
    assert_eq!((world.sent.len(), world.changes().len()), (1, 0));
    world.answers.clear();
    world.pass(5_000);
    world.icmp(1, libc::EMSGSIZE, true);
    assert_eq!(world.changes(), [""; 0]);
    world.icmp(1, libc::EHOSTUNREACH, true);
    assert_eq!(world.changes(), ["5000 1 IX unreachable"]);
    // It is probed although its mode does not ask for it.
    world.pass(10_000);
    world.answer(1, 200);
    world.pass(3_000);
    let changes = world.changes();
    assert!(changes.len() == 1 && changes[0].ends_with("1 AX probe_answered"), "{changes:?}");
}

#[test]
fn forged_errors_cost_a_probe_each_second_and_nothing_else() {
    let mut world = World::new(&[Setup::default()]);
    world.answer(1, 200);
    for _ in 0..100 {
        world.icmp(1, libc::ECONNREFUSED, false);
        world.pass(100);
    }
    assert_eq!((world.sent.len(), world.changes().len()), (11, 0));
    // One that never answered a probe is judged by its traffic alone.
    let mut world = World::new(&[Setup::default()]);
    for _ in 0..100 {
        world.icmp(1, libc::ECONNREFUSED, false);
        world.pass(100);
    }
    assert!(!world.sent.is_empty() && world.changes().is_empty());
    assert_eq!(world.health.counters().unproven_errors, 100);
}

#[test]
fn an_error_for_a_probe_ends_it() {
    for (is_on, wants) in [(true, "IP unreachable"), (false, "TP unreachable")] {
        let probing = Probing { failures: 2, ..Probing::default() };
        let passive = Passive { is_on, ..Passive::default() };
        let mut world = World::new(&[Setup { probing, passive, ..Setup::probed() }]);
        let mut actions = Actions::default();
        while actions.probes.is_empty() {
            world.now = world.health.next_due().unwrap();
            world.health.tick(world.now, &mut actions);
        }
        let probe = Some(actions.probes[0].number);
        world.health.unreachable(world.now, address(1), libc::ECONNREFUSED, true, probe);
        assert_eq!(world.health.open_probes(), 0);
        world.tick();
        let changes = world.changes();
        assert!(changes.len() == 1 && changes[0].ends_with(wants), "{changes:?}");
    }
}

#[test]
fn what_an_operator_made_inactive_stays_so() {
    for passive in [Passive::default(), Passive { is_on: false, ..Passive::default() }] {
        let mut world =
            World::new(&[Setup { flags: Flags::INACTIVE, passive, ..Setup::default() }]);
        world.answer(1, 200);
        for is_proven in [false, true, false] {
            world.icmp(1, libc::ECONNREFUSED, is_proven);
            world.calls(1, 10, 0, 0b111);
            world.pass(5_000);
            world.calls(1, 1, 1, 1);
            world.pass(30_000);
        }
        assert!(world.sent.is_empty() && world.changes().is_empty());
    }
}

#[test]
fn an_answer_from_one_that_is_out_asks_for_a_probe() {
    let probing = Probing { interval_ms: 3_600_000, ..Probing::default() };
    let mut world = World::new(&[Setup { probing, ..Setup::default() }]);
    world.icmp(1, libc::ECONNREFUSED, false);
    world.answer(1, 200);
    world.pass(2_000);
    world.answers.clear();
    world.icmp(1, libc::ECONNREFUSED, true);
    // The quick probes are over.
    world.pass(40_000);
    world.answer(1, 200);
    world.pass(60_000);
    assert_eq!(world.changes().len(), 1);
    // A response in a dialog.
    world.traffic.entry(Slot(1)).or_default().heard += 1;
    world.pass(1_000);
    assert!(world.changes()[0].ends_with("1 AX probe_answered"));
}

#[test]
fn one_that_is_out_comes_back_although_its_set_is_watched_no_more() {
    for (probing, passive) in [
        (Probing::default(), Passive { is_on: false, ..Passive::default() }),
        (Probing { mode: Mode::Off, ..Probing::default() }, Passive::default()),
    ] {
        // Out because of traffic, and out because of probes.
        let mut world = World::new(&[Setup::default(), Setup { flags: 8, ..Setup::default() }]);
        world.icmp(1, libc::ECONNREFUSED, true);
        world.pass(14_000);
        assert!(!world.flags.values().any(|flags| flags.is_selectable()));
        for setup in &mut world.setups {
            (setup.probing, setup.passive) = (probing.clone(), passive);
        }
        world.follow(&[]);
        world.answer(1, 200);
        world.answer(2, 200);
        world.pass(14_000);
        assert!(world.flags.values().all(|flags| flags.is_selectable()), "{probing:?}");
    }
}

/// Silence.
#[test]
fn silence_counts_by_itself_or_asks_for_a_probe() {
    for (sources, others, is_on, wants) in [
        // Three sources; the only one there is; one of several, which asks for a probe.
        (0b111, 0b1000, true, Some("IX silent")),
        (0b1, 0b1, true, Some("IX silent")),
        (0b11, 0b1000, true, None),
        (0b111, 0b1000, false, None),
    ] {
        let passive = Passive { is_on, ..Passive::default() };
        let setup = Setup { passive, ..Setup::default() };
        let mut world = World::new(&[setup.clone(), setup]);
        world.answer(1, 200);
        world.pass(200);
        world.calls(2, 10, 0, others);
        world.pass(100);
        world.calls(2, 0, 10, 0);
        world.calls(1, 5, 0, sources);
        world.pass(500);
        assert!(world.changes().is_empty() && world.sent.is_empty());
        world.pass(100);
        let changes = world.changes();
        match wants {
            Some(wants) => assert!(changes[0].ends_with(&format!("1 {wants}")), "{changes:?}"),
            None => assert!(changes.is_empty(), "{changes:?}"),
        }
        assert_eq!(!world.sent.is_empty(), is_on, "{sources}");
    }
}

#[test]
fn four_requests_or_any_response_are_no_silence() {
    let mut world = World::new(&[Setup::default()]);
    world.pass(200);
    world.calls(1, 4, 0, 0b1111);
    world.pass(5_000);
    assert!(world.changes().is_empty() && world.sent.is_empty());
    for _ in 0..50 {
        world.calls(1, 5, 0, 0b1111);
        world.pass(400);
        world.calls(1, 0, 1, 0);
        world.pass(100);
    }
    assert!(world.changes().is_empty() && world.sent.is_empty());
}

/// The rule of contradiction.
#[test]
fn answered_requests_count_more_than_an_unanswered_probe() {
    for (is_on, answered, wants) in [(true, 1, 0), (false, 1, 1), (true, 0, 1)] {
        let passive = Passive { is_on, silence_requests: 0, ..Passive::default() };
        let mut world = World::new(&[Setup { passive, ..Setup::probed() }]);
        for _ in 0..130 {
            world.calls(1, 1, answered, 1);
            world.pass(100);
        }
        let changes = world.changes();
        assert_eq!(changes.len(), wants, "{changes:?}");
        let contradicted = world.health.counters().probes_contradicted;
        assert_eq!(contradicted > 0, is_on && answered > 0);
    }
    // A refusal is the server's own statement.
    let mut world = World::new(&[Setup { flags: Flags::PROBING, ..Setup::default() }]);
    world.answer(1, 404);
    for _ in 0..120 {
        world.calls(1, 1, 1, 1);
        world.pass(100);
    }
    assert!(world.changes()[0].ends_with("1 IP probe_refused"));
}

#[test]
fn unanswered_requests_count_more_than_an_answered_probe() {
    let mut world = World::new(&[Setup::default()]);
    world.answer(1, 200);
    world.pass(200);
    world.icmp(1, libc::ECONNREFUSED, false);
    // Whatever it answers to probes, requests get no answer.
    for _ in 0..3_000 {
        if world.flags[&Slot(1)].is_selectable() {
            world.calls(1, 10, 0, 0b111);
        }
        world.pass(100);
    }
    let changes = world.changes();
    let times: Vec<u64> = changes
        .iter()
        .filter(|change| change.ends_with("IX silent"))
        .map(|change| change.split(' ').next().unwrap().parse().unwrap())
        .collect();
    // Out and back at once, then out for 30 s, 60 s, 120 s.
    let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 10_000).collect();
    assert_eq!(gaps, [0, 3, 6, 12], "{changes:?}");
}

#[test]
fn a_request_that_it_answers_makes_the_next_time_quick_again() {
    let mut world = World::new(&[Setup::default()]);
    world.answer(1, 200);
    world.pass(200);
    world.icmp(1, libc::ECONNREFUSED, false);
    for _ in 0..3 {
        world.icmp(1, libc::ECONNREFUSED, true);
        world.pass(10_000);
        assert!(world.flags[&Slot(1)].is_selectable());
        world.calls(1, 1, 1, 1);
        world.pass(10_000);
    }
}

/// Trials.
#[test]
fn one_that_never_answered_a_probe_gets_a_trial() {
    let setup = Setup { flags: Flags::NO_PING, ..Setup::default() };
    for setup in [setup, Setup::default()] {
        let letter = if setup.flags == 0 { "X" } else { "N" };
        let mut world = World::new(&[setup]);
        world.pass(200);
        world.icmp(1, libc::ECONNREFUSED, true);
        world.pass(30_000);
        let wants = [format!("200 1 I{letter} unreachable"), format!("30200 1 T{letter} trial")];
        assert_eq!(world.changes(), wants);
        assert!(world.health.view(Slot(1)).unwrap().is_on_trial);
        // It fails again: twice the time.
        world.icmp(1, libc::ECONNREFUSED, true);
        world.pass(60_000);
        let wants = [format!("30200 1 I{letter} unreachable"), format!("90200 1 T{letter} trial")];
        assert_eq!(world.changes(), wants);
        // It answers requests.
        world.calls(1, 1, 1, 1);
        world.pass(100);
        assert_eq!(world.changes(), [format!("90300 1 A{letter} trial_answered")]);
        world.pass(30_000);
        assert_eq!(world.changes(), [""; 0]);
    }
}

#[test]
fn a_trial_ends_without_requests_and_goes_on_while_one_waits() {
    let setup = Setup { flags: Flags::NO_PING, ..Setup::default() };
    let mut world = World::new(std::slice::from_ref(&setup));
    world.icmp(1, libc::ECONNREFUSED, true);
    world.pass(30_000);
    world.pass(10_000);
    assert_eq!(world.changes().last().unwrap(), "40000 1 AN trial_over");

    let mut world = World::new(&[setup]);
    world.icmp(1, libc::ECONNREFUSED, true);
    world.pass(30_100);
    world.calls(1, 3, 0, 1);
    world.pass(10_000);
    assert_eq!(world.changes().last().unwrap(), "30000 1 TN trial");
    // On trial, one source is enough.
    world.calls(1, 2, 0, 0b100);
    world.pass(700);
    assert!(world.changes().last().unwrap().ends_with("IN silent"));
    let view = world.health.view(Slot(1)).unwrap();
    assert_eq!(view.trial_at.unwrap().ms() - view.out_since.unwrap().ms(), 60_000);
}

#[test]
fn pauses_have_a_bound_and_are_short_again_after_calm() {
    let setup = Setup { flags: Flags::NO_PING, ..Setup::default() };
    let mut world = World::new(&[setup]);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        world.icmp(1, libc::ECONNREFUSED, true);
        let view = world.health.view(Slot(1)).unwrap();
        let pause_ms = view.trial_at.unwrap().ms() - view.out_since.unwrap().ms();
        pauses.push(pause_ms / 1_000);
        world.pass(pause_ms);
    }
    assert_eq!(pauses, [30, 60, 120, 240, 480, 480, 480, 480]);
    world.pass(600_000);
    world.icmp(1, libc::ECONNREFUSED, true);
    world.pass(30_000);
    assert!(world.health.view(Slot(1)).unwrap().is_on_trial);
}

/// Flapping.
#[test]
fn one_that_flaps_stays_out() {
    for (flap_changes, wants) in [(6, [0, 0, 0, 30]), (2, [0, 30, 60, 0]), (0, [0, 0, 0, 0])] {
        let passive = Passive { flap_changes, ..Passive::default() };
        let mut world = World::new(&[Setup { passive, ..Setup::default() }]);
        world.answer(1, 200);
        world.pass(200);
        world.icmp(1, libc::ECONNREFUSED, false);
        let pauses = [(); 4].map(|()| {
            world.pass(1_000);
            let at = world.now.ms();
            world.icmp(1, libc::ECONNREFUSED, true);
            // Without a pause it may be back already.
            let out_until = world.health.view(Slot(1)).unwrap().out_until;
            let pause_ms = out_until.map_or(0, |until| until.ms() - at);
            world.pass(pause_ms + 1_000);
            assert!(world.flags[&Slot(1)].is_selectable());
            // So that it is not refuted.
            world.calls(1, 1, 1, 1);
            world.pass(200);
            pause_ms / 1_000
        });
        assert_eq!(pauses, wants, "{flap_changes}");
    }
}

#[test]
fn a_pause_holds_for_any_answer() {
    for code in [200, 503] {
        let mut world = World::new(&[Setup::default()]);
        world.answer(1, 200);
        world.pass(200);
        world.icmp(1, libc::ECONNREFUSED, false);
        // Back because of a probe, and refuted.
        world.icmp(1, libc::ECONNREFUSED, true);
        world.answer(1, code);
        world.pass(2_000);
        world.changes();
        world.icmp(1, libc::ECONNREFUSED, true);
        world.pass(29_000);
        let changes = world.changes();
        assert!(changes.len() == 1 && changes[0].ends_with("1 IX unreachable"), "{changes:?}");
        world.pass(3_000);
        assert_eq!(world.changes().len(), 1);
    }
}

#[test]
fn an_unanswered_probe_says_nothing_on_trial() {
    let mut world = World::new(&[Setup { flags: Flags::PROBING, ..Setup::default() }]);
    world.pass(200);
    world.icmp(1, libc::ECONNREFUSED, true);
    // Requests that came while it was out do not count on its trial.
    world.calls(1, 10, 0, 1);
    world.pass(40_000);
    let wants = ["200 1 IP unreachable", "30200 1 TP trial", "40200 1 AP trial_over"];
    assert_eq!(world.changes(), wants);
    assert!(world.sent.iter().any(|(at, _)| (30_200..38_000).contains(at)), "{:?}", world.sent);
}

#[test]
fn there_is_no_trial_for_one_that_answers_probes_unless_none_are_sent() {
    for (is_probing, wants) in [(true, 1), (false, 2)] {
        let mut world = World::new(&[Setup::default()]);
        world.answer(1, 200);
        world.icmp(1, libc::ECONNREFUSED, false);
        world.pass(2_000);
        // What it can do is remembered when an operator sets its state.
        world.set(1, DestinationState::Active, false);
        world.answers.clear();
        world.icmp(1, libc::ECONNREFUSED, true);
        world.pass(35_000);
        assert_eq!(world.changes(), ["2000 1 IX unreachable"]);
        world.health.set_probing(world.now, is_probing);
        world.pass(31_000);
        let changes = world.changes();
        assert_eq!(changes.len(), wants - 1, "{changes:?}");
        assert!(changes.iter().all(|change| change.ends_with("1 TX trial")));
    }
}

#[test]
fn a_source_of_long_ago_does_not_make_another_one_of_several() {
    for (pause_ms, wants) in [(5_000, 0), (21_000, 1)] {
        let mut world = World::new(&vec![Setup::default(); 2]);
        world.pass(200);
        world.calls(2, 1, 0, 0b10);
        world.pass(100);
        world.calls(2, 0, 1, 0);
        world.pass(pause_ms);
        world.calls(1, 5, 0, 0b1);
        world.pass(700);
        assert_eq!(world.changes().len(), wants, "{pause_ms}");
    }
}

#[test]
fn readings_at_odd_times_lose_no_window() {
    let mut world = World::new(&[Setup::default()]);
    let read = |world: &mut World, ms: u64| {
        world.now = Now::from_ms(1_000_000 + ms);
        world.read();
        world.tick();
    };
    read(&mut world, 0);
    world.calls(1, 5, 0, 0b111);
    for ms in [100, 250, 400, 550] {
        read(&mut world, ms);
        assert_eq!(world.changes(), [""; 0]);
    }
    read(&mut world, 700);
    assert_eq!(world.changes(), ["700 1 IX silent"]);
}

#[test]
fn a_bad_sign_breaks_a_row_of_successes() {
    let probing = Probing { successes: 3, ..Probing::default() };
    let flags = Flags::PROBING | Flags::INACTIVE;
    let mut world = World::new(&[Setup { flags, probing, ..Setup::default() }]);
    world.answer(1, 200);
    while world.health.view(Slot(1)).unwrap().count < 2 {
        world.pass(100);
    }
    world.icmp(1, libc::ECONNREFUSED, true);
    assert_eq!(world.health.view(Slot(1)).unwrap().count, 0);
}

#[test]
fn disabled_ones_are_not_counted_among_those_that_are_left() {
    // One of two is half of them, whatever else is disabled.
    let passive = Passive { panic_percent: 50, ..Passive::default() };
    let setup = Setup { passive, ..Setup::default() };
    let disabled = Setup { flags: Flags::DISABLED, ..setup.clone() };
    let mut world = World::new(&[setup.clone(), setup, disabled.clone(), disabled]);
    world.icmp(1, libc::ECONNREFUSED, true);
    assert_eq!(world.changes(), ["0 1 IX unreachable"]);
    world.icmp(2, libc::ECONNREFUSED, true);
    assert_eq!(world.changes(), ["0 1 IX! last_resort", "0 2 IX! last_resort"]);
}

#[test]
fn a_retry_after_of_0_is_a_second() {
    let mut world = World::new(&[Setup::probed()]);
    world.answers.insert(Slot(1), (503, Some(0)));
    world.pass(10_000);
    let at = world.sent[0].0;
    let changes = world.changes();
    assert_eq!(changes[..2], [format!("{at} 1 AP+ full"), format!("{} 1 AP not_full", at + 1_000)]);
}

/// Last resort.
#[test]
fn too_few_are_left() {
    for (panic_percent, is_on, wants) in [(50, true, 1), (0, true, 0), (50, false, 0)] {
        let passive = Passive { is_on, panic_percent, ..Passive::default() };
        let setup = Setup { passive, flags: Flags::PROBING, ..Setup::default() };
        // The fourth is disabled, the fifth inactive because an operator says so.
        let disabled = Setup { flags: Flags::DISABLED, ..setup.clone() };
        let inactive = Setup { flags: Flags::INACTIVE, ..setup.clone() };
        let mut world = World::new(&[setup.clone(), setup.clone(), setup, disabled, inactive]);
        for number in 1..=3 {
            world.answer(number, 200);
        }
        world.pass(11_000);
        world.answers.clear();
        world.pass(13_000);
        let told = world.changes();
        let last_resort =
            |world: &World| world.flags.values().filter(|flags| flags.is_last_resort()).count();
        assert_eq!(last_resort(&world), wants * 3, "{told:?}");
        assert!(!world.flags[&Slot(5)].is_selectable() && !world.flags[&Slot(4)].is_selectable());
        let selectable = world.flags.values().filter(|flags| flags.is_selectable()).count();
        assert_eq!(selectable, wants * 3);
        // Two of four are enough again.
        world.answer(1, 200);
        world.answer(2, 200);
        world.pass(12_000);
        assert_eq!(last_resort(&world), 0);
        assert_eq!(world.flags[&Slot(3)].letters(), "IP");
        let told = world.changes();
        assert_eq!(told.iter().any(|told| told.ends_with("last_resort_over")), wants == 1);
    }
}

#[test]
fn latencies_of_probes() {
    let probing = Probing { latency_alpha: 500, timeout_ms: 400, ..Probing::default() };
    let mut world = World::new(&[
        Setup { probing, ..Setup::probed() },
        Setup { latency_ms: Some(30), ..Setup::default() },
    ]);
    let latency = |world: &World, number| world.health.view(Slot(number)).unwrap().latency;
    let numbers = |latency: Latency| {
        let Latency { average_ms, deviation_ms, estimate_ms, max_ms, timeouts, .. } = latency;
        format!("{average_ms} {deviation_ms} {estimate_ms} {max_ms} {timeouts}")
    };
    assert!(latency(&world, 1).is_empty());
    assert_eq!(numbers(latency(&world, 2)), "30 0 30 30 0");
    // Each probe is answered after a while.
    let answers = |world: &mut World, code, after_ms: &[u64]| {
        for after_ms in after_ms {
            let mut actions = Actions::default();
            while actions.probes.is_empty() {
                world.now = world.health.next_due().unwrap();
                world.health.tick(world.now, &mut actions);
            }
            world.now = world.now.plus_ms(*after_ms);
            let number = actions.probes[0].number;
            world.health.probe_answered(world.now, number, code, None, address(1));
        }
    };
    answers(&mut world, 200, &[10, 30]);
    answers(&mut world, 408, &[5]);
    answers(&mut world, 503, &[50]);
    let wants = "30 20 30 50 1";
    assert_eq!(numbers(latency(&world, 1)), wants);
    // It outlives reloads and operators.
    world.follow(&[1]);
    world.follow(&[]);
    assert_eq!(numbers(latency(&world, 1)), wants);
    // The tenth follows the setting.
    answers(&mut world, 200, &[30; 6]);
    answers(&mut world, 200, &[90]);
    assert_eq!(latency(&world, 1).estimate_ms.to_string(), "60");
    // No answer, and an ICMP error.
    let before = latency(&world, 1).timeouts;
    world.answers.clear();
    while latency(&world, 1).timeouts == before {
        world.pass(100);
    }
    let mut actions = Actions::default();
    while actions.probes.is_empty() {
        world.now = world.health.next_due().unwrap();
        world.health.tick(world.now, &mut actions);
    }
    let probe = Some(actions.probes[0].number);
    world.health.unreachable(world.now, address(1), libc::ECONNREFUSED, true, probe);
    assert_eq!(latency(&world, 1).timeouts, before + 2);
}

#[test]
fn figures_are_told_once_and_again_when_they_change() {
    let setup =
        |congestion_control| Setup { latency_ms: Some(30), congestion_control, ..Setup::probed() };
    let mut world = World::new(&[setup(false), setup(true)]);
    let told = |world: &mut World| {
        let mut told = Vec::new();
        world.health.figures(world.now, |slot, figures| told.push((slot.0, figures)));
        told
    };
    let figures = |answer_us, late_ms| Figures { answer_us, late_ms };
    // With `cc`, only what is above the average counts.
    assert_eq!(told(&mut world), [(1, figures(0, 30)), (2, figures(0, 0))]);
    assert_eq!(told(&mut world), []);
    let mut answered = BTreeSet::new();
    while answered.len() < 2 {
        let mut actions = Actions::default();
        world.now = world.health.next_due().unwrap();
        world.health.tick(world.now, &mut actions);
        for probe in actions.probes.iter().filter(|probe| answered.insert(probe.slot)) {
            let now = probe.started_at.plus_ms(130);
            world.health.probe_answered(now, probe.number, 200, None, probe.to);
        }
    }
    // A tenth of 100 ms more than before; the average is stiff.
    assert_eq!(told(&mut world), [(1, figures(130_000, 40)), (2, figures(130_000, 9))]);
    // Calls count for the one, and not for the other.
    world.health.traffic(world.now, 0, |_| SlotTraffic::default());
    let calls =
        SlotTraffic { calls: 2, calls_answered: 2, answer_ms: 400, ..SlotTraffic::default() };
    world.health.traffic(world.now.plus_ms(100), 0, |_| calls);
    assert_eq!(told(&mut world), [(1, figures(200_000, 40)), (2, figures(200_000, 9))]);
}
