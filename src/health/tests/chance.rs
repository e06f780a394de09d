//! Random events: whatever happens, the rules hold.

use proptest::prelude::*;

use super::*;
use crate::limits;

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Answers(u16, Option<u16>),
    Icmp(u16, bool),
    Requests(u16, u64, u64, u64),
    FiveHundreds(u16, u64, u64, u64),
    Operator(u16, u8, bool),
    Follow,
    PingActive(bool),
    /// An answer that nobody asked for.
    Forged(u32),
    Limit(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let number = 1..=6_u16;
    prop_oneof![
        4 => prop_oneof![1..200_u64, 200..20_000_u64].prop_map(Event::Pass),
        3 => (number.clone(), prop::option::of(prop::sample::select(vec![200, 404, 486, 500, 503])))
            .prop_map(|(number, code)| Event::Answers(number, code)),
        2 => (number.clone(), any::<bool>()).prop_map(|(n, is_proven)| Event::Icmp(n, is_proven)),
        4 => (number.clone(), 0..40_u64, 0..3_u64, any::<u64>())
            .prop_map(|(n, requests, heard, sources)| Event::Requests(n, requests, heard, sources)),
        2 => (number.clone(), 0..40_u64, 0..40_u64, any::<u64>())
            .prop_map(|(n, busy, failed, who)| Event::FiveHundreds(n, busy, failed, who)),
        1 => (number, 0..4_u8, any::<bool>()).prop_map(|(n, state, p)| Event::Operator(n, state, p)),
        1 => Just(Event::Follow),
        1 => any::<bool>().prop_map(Event::PingActive),
        1 => any::<u32>().prop_map(Event::Forged),
        1 => (1..50_u32).prop_map(Event::Limit),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let modes = vec![Mode::Off, Mode::FlaggedOnce, Mode::All, Mode::Inactive, Mode::Flagged];
    let probing =
        (prop::sample::select(modes), 100..20_000_u32, 100..3_000_u32, 1..4_u32, 1..4_u32);
    let passive = (any::<bool>(), 0..4_u32, 0..8_u32, prop::sample::select(vec![0, 34, 67]));
    (0..64_u32, probing, passive).prop_map(|(flags, probing, passive)| {
        let (mode, interval_ms, timeout_ms, failures, successes) = probing;
        let (is_on, silence_requests, flap_changes, panic_percent) = passive;
        Setup {
            flags,
            latency_ms: None,
            congestion_control: false,
            probing: Probing {
                mode,
                interval_ms,
                timeout_ms,
                failures,
                successes,
                ..Probing::default()
            },
            passive: Passive {
                is_on,
                silence_requests,
                flap_changes,
                panic_percent,
                ..Passive::default()
            },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        setups in prop::collection::vec(setup(), 6),
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut world = World::new(&setups);
        let mut limit = limits::PROBES_PER_SECOND_DEFAULT;
        for event in events {
            let before = world.flags.clone();
            let is_out = |slot: &Slot| world.health.view(*slot).unwrap().out_since.is_some();
            let mut out: BTreeSet<_> = before.keys().copied().filter(is_out).collect();
            let sent = world.sent.len();
            let began = world.now;
            match event {
                Event::Pass(ms) => world.pass(ms),
                Event::Answers(number, Some(code)) => world.answer(number, code),
                Event::Answers(number, None) => { world.answers.remove(&Slot(number)); }
                Event::Icmp(number, is_proven) => world.icmp(number, libc::ECONNREFUSED, is_proven),
                Event::Requests(number, requests, answered, sources) => {
                    world.calls(number, requests, answered.min(requests), sources);
                }
                Event::FiveHundreds(number, busy, failed, who) => {
                    world.calls(number, busy + failed, busy + failed, 1);
                    world.failures(number, busy, failed, who, who.reverse_bits());
                }
                Event::Operator(number, state, is_probed) => {
                    use DestinationState::{Active, Disabled, Inactive, Trying};
                    let state = [Active, Trying, Inactive, Disabled][usize::from(state)];
                    world.set(number, state, is_probed);
                    world.told.clear();
                }
                Event::Follow => world.follow(&[]),
                Event::PingActive(is_on) => world.health.set_probing(world.now, is_on),
                Event::Forged(number) => {
                    world.health.probe_answered(world.now, number, 200, None, address(1));
                }
                Event::Limit(per_second) => {
                    limit = per_second;
                    world.health.limit_probes(per_second);
                }
            }
            // Only what was made inactive here, or what its mode probes, comes back.
            let mut flags_of = before.clone();
            for (_, Change { slot, flags, .. }) in &world.told {
                let was = flags_of.insert(*slot, *flags).unwrap();
                let mode = setups[usize::from(slot.0) - 1].probing.mode;
                if was.is_inactive() && !flags.is_inactive() {
                    prop_assert!(out.remove(slot) || rule::is_probed(mode, was));
                }
                if flags.is_inactive() {
                    out.insert(*slot);
                }
            }
            check(&mut world, &before, &setups);

            // Never more than the limit, and what a pause leaves: a tenth of a second's.
            let passed_ms = world.now.ms() - began.ms();
            let most = u64::from(limit) * passed_ms / 1_000 + u64::from(limit / 10).max(1) + 1;
            prop_assert!((world.sent.len() - sent) as u64 <= most);
        }
    }
}

fn check(world: &mut World, before: &HashMap<Slot, Flags>, setups: &[Setup]) {
    assert!(world.health.open_probes() <= setups.len());
    assert!(
        world.health.timers.len() <= setups.len() && world.health.changed.len() <= setups.len()
    );
    let told = std::mem::take(&mut world.told);
    let last: HashMap<_, _> = told.iter().map(|(_, change)| (change.slot, change.flags)).collect();
    for (slot, flags) in last {
        assert_eq!(world.health.view(slot).unwrap().flags, flags);
    }
    for (_, change) in told {
        let was = before[&change.slot];
        // What an operator disabled stays as it is.
        assert_eq!(was.bits() & Flags::DISABLED, 0, "{was:?} {change:?}");
        let kept = Flags::NO_DNS_A | Flags::NO_PING;
        assert_eq!(was.bits() & kept, change.flags.bits() & kept);
        assert_ne!(change.reason, ChangeReason::Operator);
    }
    for (slot, flags) in &world.flags {
        let view = world.health.view(*slot).unwrap();
        let setup = &setups[usize::from(slot.0) - 1];
        if !setup.passive.is_on {
            assert!(
                !flags.is_last_resort() && !view.is_on_trial && view.out_until == view.out_since
            );
        }
        // Full and inactive exclude each other.
        assert!(!(flags.is_full() && flags.is_inactive()));
        assert_eq!(flags.is_full(), view.full_until.is_some());
        // What is out because of traffic comes back: there is a timer or a plan.
        if view.out_since.is_some() && setup.passive.is_on {
            assert!(view.flags.is_inactive());
        }
    }
}
