//! Stories of destinations as rows, and random ones that must keep the rules.

use std::collections::HashMap;

use super::*;
use crate::destination::DestinationState;

mod chance;
mod shares;
mod stories;

/// A destination: its flags, and what its set says.
#[derive(Clone, Debug, Default)]
struct Setup {
    flags: u32,
    probing: Probing,
    passive: Passive,
    latency_ms: Option<u32>,
    congestion_control: bool,
}

impl Setup {
    /// One that is probed, and for which live traffic does not count.
    fn probed() -> Self {
        let passive = Passive { is_on: false, ..Passive::default() };
        Self { flags: Flags::PROBING, passive, ..Self::default() }
    }
}

/// Destinations 1, 2, … of one set at addresses of their own, a network that answers as told, and
/// time that passes.
struct World {
    health: Health,
    now: Now,
    setups: Vec<Setup>,
    traffic: HashMap<Slot, SlotTraffic>,
    /// The sources of requests since the last reading.
    senders: u64,
    flags: HashMap<Slot, Flags>,
    /// What each destination answers to probes: a code and Retry-After; `None`: nothing.
    answers: HashMap<Slot, (u16, Option<u32>)>,
    /// Probes that left: when, and to which destination.
    sent: Vec<(u64, u16)>,
    told: Vec<(u64, Change)>,
}

impl World {
    fn new(setups: &[Setup]) -> Self {
        let mut world = Self {
            health: Health::new(5),
            now: Now::from_ms(1_000_000),
            setups: setups.to_vec(),
            traffic: HashMap::new(),
            senders: 0,
            flags: HashMap::new(),
            answers: HashMap::new(),
            sent: Vec::new(),
            told: Vec::new(),
        };
        for (setup, number) in setups.iter().zip(1..) {
            world.flags.insert(Slot(number), Flags::from_bits(setup.flags).unwrap());
        }
        world.follow(&[]);
        world
    }

    fn target(&self, number: u16, from_operator: bool) -> Target {
        let setup = &self.setups[usize::from(number) - 1];
        Target {
            slot: Slot(number),
            set: 1,
            address: address(number),
            listener: ListenerId(0),
            uri: format!("sip:192.0.2.{number}").into(),
            flags: self.flags[&Slot(number)],
            latency_ms: setup.latency_ms,
            congestion_control: setup.congestion_control,
            from_operator,
            probing: Arc::new(setup.probing.clone()),
            passive: Arc::new(setup.passive),
        }
    }

    /// Hands over all destinations; these were set by an operator.
    fn follow(&mut self, from_operator: &[u16]) {
        let targets = (1..=self.setups.len() as u16)
            .map(|number| self.target(number, from_operator.contains(&number)));
        self.health.follow(self.now, targets.collect());
    }

    fn set(&mut self, number: u16, state: DestinationState, is_probed: bool) {
        let flags = self.flags[&Slot(number)].in_state(state, is_probed);
        self.flags.insert(Slot(number), flags);
        self.follow(&[number]);
    }

    fn answer(&mut self, number: u16, code: u16) {
        self.answers.insert(Slot(number), (code, None));
    }

    fn icmp(&mut self, number: u16, errno: i32, is_proven: bool) {
        self.health.unreachable(self.now, address(number), errno, is_proven, None);
        self.tick();
    }

    /// Requests sent to a destination from these sources, how many it answered at once.
    fn calls(&mut self, number: u16, requests: u64, answered: u64, sources: u64) {
        let traffic = self.traffic.entry(Slot(number)).or_default();
        traffic.requests += requests;
        traffic.calls += requests;
        traffic.answered += answered;
        traffic.heard += answered;
        traffic.sources = if answered > 0 { 0 } else { traffic.sources | sources };
        self.senders |= sources;
    }

    /// Some of the calls above were answered with 503, and some with another 5xx, of these callers
    /// and to these numbers.
    fn failures(&mut self, number: u16, busy: u64, failed: u64, callers: u64, numbers: u64) {
        let traffic = self.traffic.entry(Slot(number)).or_default();
        traffic.busy += busy;
        traffic.failed += failed;
        traffic.failed_callers |= callers;
        traffic.failed_numbers |= numbers;
    }

    /// Some of the 503 above had this Retry-After.
    fn retry_after(&mut self, number: u16, seconds: u32) {
        self.traffic.entry(Slot(number)).or_default().retry_after_s = Some(seconds);
    }

    fn read(&mut self) {
        let traffic = self.traffic.clone();
        let of = |slot| traffic.get(&slot).copied().unwrap_or_default();
        self.health.traffic(self.now, std::mem::take(&mut self.senders), of);
        for traffic in self.traffic.values_mut() {
            (traffic.failed_callers, traffic.failed_numbers) = (0, 0);
            traffic.retry_after_s = None;
        }
    }

    fn tick(&mut self) {
        let mut actions = Actions::default();
        self.health.tick(self.now, &mut actions);
        for Change { slot, flags, .. } in &actions.changes {
            assert_ne!(self.flags[slot], *flags);
            self.flags.insert(*slot, *flags);
        }
        let at = self.now.ms() - 1_000_000;
        self.told.extend(actions.changes.into_iter().map(|change| (at, change)));
        let mut has_answered = false;
        for probe in actions.probes {
            let number = probe.to.port() - 5_000;
            self.sent.push((at, number));
            if let Some((code, retry_after_s)) = self.answers.get(&Slot(number)) {
                let (code, retry_after_s) = (*code, *retry_after_s);
                let source = address(number);
                self.health.probe_answered(self.now, probe.number, code, retry_after_s, source);
                has_answered = true;
            }
        }
        if has_answered {
            self.tick();
        }
    }

    /// Lets time pass; the counters are read every window.
    fn pass(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        while self.now < end {
            let window = Now::from_ms((self.now.ms() / WINDOW_MS + 1) * WINDOW_MS);
            let due = self.health.next_due().unwrap_or(end).max(self.now.plus_ms(1));
            self.now = due.min(window).min(end);
            if self.now.ms().is_multiple_of(WINDOW_MS) {
                self.read();
            }
            self.tick();
        }
    }

    /// The changes since the last call: `MS LETTERS WORD`, with `+` for full and `!` for a last
    /// resort.
    fn changes(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told);
        let line = |(ms, change): (u64, Change)| {
            let Change { slot, flags, reason } = change;
            let full = if flags.is_full() { "+" } else { "" };
            let last = if flags.is_last_resort() { "!" } else { "" };
            format!("{ms} {} {}{full}{last} {}", slot.0, flags.letters(), reason.word())
        };
        told.into_iter().map(line).collect()
    }
}

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5_000 + number))
}
