//! The world: relays, parties, links and attackers, advanced event by event. A run depends only on
//! its seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::call::{Call, Outcome};
use crate::coverage::Coverage;
use crate::endpoint::Endpoint;
use crate::ladder::{Ladder, describe};
use crate::network::{Event, Fate, Network};
use crate::observer::{Case, Observer};
use crate::random::Random;
use crate::relay::{Line, Relay};
use crate::setup;
use crate::truth::{Datagram, EndId, Part, Pass, RelayId, Truth};

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) network: Network,
    pub(crate) relays: Vec<Relay>,
    pub(crate) ends: Vec<Endpoint>,
    pub(crate) calls: Vec<Call>,
    pub(crate) observer: Observer,
    pub(crate) ladder: Ladder,
    pub(crate) now: u64,
    pub(crate) traits: Traits,
    /// Names that stand in Routes and Vias, and what they mean.
    pub(crate) names: BTreeMap<String, SocketAddr>,
    /// Lines that may come and go in each relay's list.
    pub(crate) stock: Vec<Vec<Line>>,
    /// What attackers overheard at a relay: as it came and as it left.
    pub(crate) overheard: Vec<(Datagram, Option<Datagram>)>,
    pub(crate) failure: Option<String>,
    /// Every byte that a relay sends on is compared: four times the time, so a build that is not
    /// optimised does it for every fourth seed.
    pub(crate) is_thorough: bool,
}

/// What a world is made for; the fewer troubles, the more it must bring to its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traits {
    pub(crate) has_loss: bool,
    pub(crate) has_restarts: bool,
    pub(crate) has_attacks: bool,
    pub(crate) has_list_changes: bool,
    pub(crate) has_small_pins: bool,
    pub(crate) is_ring: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) coverage: Coverage,
    pub(crate) hash: u64,
    pub(crate) failure: Option<String>,
    pub(crate) ladder: Ladder,
}

/// How long a pin serves a call at least, less what a request may wait for a copy.
const PIN_MS: u64 = 200_000;

/// Events of one run: the parties' timers end all of them long before.
const EVENTS_MAX: usize = 20_000;

pub(crate) fn run(seed: u64, keeps_ladder: bool) -> Run {
    let mut world = setup::world(seed, Ladder::new(keeps_ladder));
    for number in 0.. {
        if world.failure.is_some() {
            break;
        }
        let Some((time, event)) = world.network.next() else {
            world.judge_the_end();
            break;
        };
        if number == EVENTS_MAX {
            world.fail("it does not end".into());
        }
        world.move_to(time);
        world.happen(event);
    }
    world.observer.coverage.seeds = 1;
    for relay in &world.relays {
        let (over, live, swept) = relay.evictions();
        world.observer.coverage.events("pin evicted", over + live);
        world.observer.coverage.events("pin swept", swept);
        if !world.traits.has_small_pins && live > 0 && world.failure.is_none() {
            world.failure = Some("a living pin was evicted from a table with room".into());
        }
    }
    Run {
        coverage: std::mem::take(&mut world.observer.coverage),
        hash: world.ladder.hash(),
        failure: world.failure.take(),
        ladder: world.ladder,
    }
}

impl World {
    pub(crate) fn fail(&mut self, what: String) {
        self.ladder.note(self.now, || format!("FAILED: {what}"));
        self.failure.get_or_insert(what);
    }

    pub(crate) fn event(&mut self, name: &'static str) {
        self.observer.coverage.event(name);
    }

    fn move_to(&mut self, time: u64) {
        let passed = time - self.now;
        if passed >= 60_000 {
            self.event("minutes passed");
        }
        if time / 4_096_000 != self.now / 4_096_000 {
            self.event("the clock of pins wrapped");
        }
        self.now = time;
        for relay in &mut self.relays {
            relay.sweep_until(time);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(datagram) => self.arrive(datagram, 1),
            Event::ArriveTwice(datagram) => self.arrive(datagram, 2),
            Event::Begin(call) => self.begin(call),
            Event::Cancel(call) => self.cancel(call),
            Event::ClientTimer(end, client) => self.client_timer(end, client),
            Event::ServerTimer(end, served) => self.server_timer(end, served),
            Event::Answer(end, served, number) => self.play_answer(end, served, number),
            Event::EarlyStep(call) => self.step(call, true),
            Event::Step(call) => self.step(call, false),
            Event::Rebind(end) => self.rebind(end),
            Event::ChangeList(relay) => self.change_list(relay),
            Event::CatchUp(relay, worker) => {
                if worker < self.relays[relay].worker_count() {
                    self.relays[relay].catch_up(worker);
                }
            }
            Event::Restart(relay) => self.restart(relay),
            Event::Drain(relay, is_draining) => self.drain(relay, is_draining),
            Event::ResetWorker(relay) => {
                let worker = self.random.below(self.relays[relay].worker_count());
                self.relays[relay].reset_worker(worker);
                self.event("worker reset");
            }
            Event::Attack(left) => self.attack(left),
            Event::Calm => (self.network.loss, self.network.doubling) = (0, 0),
        }
    }

    /// Puts a party's message on the wire.
    pub(crate) fn send(
        &mut self,
        end: EndId,
        to: SocketAddr,
        bytes: Vec<u8>,
        part: Part,
        passes: Vec<Pass>,
    ) {
        let from = self.ends[end].source;
        self.transmit(Datagram { from, to, bytes, truth: Truth { part, passes } });
    }

    pub(crate) fn transmit(&mut self, datagram: Datagram) {
        let is_kept = self.ladder.is_kept();
        let text = if is_kept { describe(&datagram.bytes) } else { String::new() };
        let (from, to) = (datagram.from, datagram.to);
        let fate = self.network.send(&mut self.random, self.now, datagram);
        match fate {
            Fate::Lost => self.event("datagram lost"),
            Fate::Arrives => {}
            Fate::Doubled => self.event("datagram doubled"),
            Fate::DoubledToTwoWorkers => self.event("one datagram to two workers"),
        }
        if is_kept {
            let line = format!("{} -> {}  {text}  {fate:?}", self.name(from), self.name(to));
            self.ladder.note(self.now, || line);
        } else {
            self.ladder.steps += 1;
        }
    }

    fn arrive(&mut self, datagram: Datagram, workers: usize) {
        let relay = (0..self.relays.len())
            .find_map(|r| Some((r, self.relays[r].listener_at(datagram.to)?)));
        let Some((relay, listener)) = relay else {
            for _ in 0..workers {
                self.arrive_at_party(&datagram);
            }
            return;
        };
        let count = self.relays[relay].worker_count();
        let first = self.random.below(count);
        for copy in 0..workers {
            if self.failure.is_some() {
                return;
            }
            let worker = (first + copy) % count;
            let handled = self.relays[relay].datagram(
                self.now,
                worker,
                listener,
                datagram.from,
                &datagram.bytes,
            );
            self.observer.coverage.verdict(handled.verdict);
            self.note_arrival(relay, listener, &datagram, &handled);
            if handled.list != self.relays[relay].newest() {
                self.event("worker with an old list");
            }
            let case = Case {
                number: relay,
                relay: &self.relays[relay],
                now: self.now,
                listener,
                datagram: &datagram,
                handled: &handled,
            };
            let truth = match self.observer.judge(case) {
                Ok(truth) => truth,
                Err(what) => {
                    let list = &self.relays[relay].lists[handled.list];
                    let lines: Vec<_> = list.lines.iter().map(|l| (&l.uri, l.state)).collect();
                    let left = handled.sent.as_ref().map(|sent| {
                        format!(
                            "to {} by {:?}:\n{}",
                            sent.to,
                            sent.listener,
                            String::from_utf8_lossy(&sent.bytes)
                        )
                    });
                    self.fail(format!(
                        "{what}\nverdict {:?}, worker {worker} with list {} {lines:?}\n--- came from {} to {}\n{}\n--- left {}",
                        handled.verdict,
                        handled.list,
                        datagram.from,
                        datagram.to,
                        String::from_utf8_lossy(&datagram.bytes),
                        left.unwrap_or_default(),
                    ));
                    return;
                }
            };
            let left = handled.sent.zip(truth).map(|(sent, truth)| Datagram {
                from: self.relays[relay].listener(sent.listener).local,
                to: sent.to,
                bytes: sent.bytes,
                truth,
            });
            self.overhear(&datagram, left.as_ref());
            if let Some(left) = left {
                self.transmit(left);
            }
        }
    }

    fn arrive_at_party(&mut self, datagram: &Datagram) {
        let end = self.ends.iter().find(|end| {
            // Behind a NAT every port that was used once leads to it.
            end.address == datagram.to
                || end.source == datagram.to
                || end.is_behind_nat && end.source.ip() == datagram.to.ip()
        });
        let Some(end) = end else {
            if !matches!(datagram.truth.part, Part::Attack(_)) {
                self.fail(format!("{} is nobody's address", datagram.to));
            }
            return;
        };
        let (id, is_server) = (end.id, end.is_server);
        if let Err(what) = self.observer.delivered(id, is_server, datagram) {
            let text = String::from_utf8_lossy(&datagram.bytes).into_owned();
            self.fail(format!("{what}: {}\n{text}", self.ends[id].name));
            return;
        }
        if !matches!(datagram.truth.part, Part::Attack(_)) {
            self.receive(id, datagram);
        }
    }

    fn note_arrival(
        &mut self,
        relay: RelayId,
        listener: strowger::proxy::ListenerId,
        datagram: &Datagram,
        handled: &crate::relay::Handled,
    ) {
        self.ladder.mix_number(self.now);
        self.ladder
            .mix_number(u64::from(datagram.from.port()) << 16 | u64::from(datagram.to.port()));
        self.ladder.mix(&datagram.bytes);
        if let Some(sent) = &handled.sent {
            self.ladder.mix_number(u64::from(sent.to.port()));
            self.ladder.mix(&sent.bytes);
            if datagram.from.is_ipv4() != sent.to.is_ipv4() {
                self.event("from one family to the other");
            }
            if datagram.from.is_ipv6() {
                self.event("IPv6");
            }
        }
        let name = if self.ladder.is_kept() { self.name(datagram.from) } else { String::new() };
        self.ladder.note(self.now, || {
            format!(
                "    {name} at relay {relay} {listener:?}: {:?}  {}",
                handled.verdict,
                describe(&datagram.bytes)
            )
        });
    }

    pub(crate) fn name(&self, address: SocketAddr) -> String {
        let end = self.ends.iter().find(|e| e.address == address || e.source == address);
        if let Some(end) = end {
            return format!("{}({address})", end.name);
        }
        let relay = self.relays.iter().position(|r| r.listener_at(address).is_some());
        relay.map_or(address.to_string(), |relay| format!("relay{relay}({address})"))
    }

    /// What a host and port in a Route or a Via mean.
    pub(crate) fn resolve(&self, host_port: &str) -> Option<SocketAddr> {
        let text = host_port.to_ascii_lowercase();
        let with_port = || format!("{text}:5060");
        text.parse()
            .ok()
            .or_else(|| with_port().parse().ok())
            .or_else(|| self.names.get(&text).copied())
            .or_else(|| self.names.get(&with_port()).copied())
    }

    /// Nothing happens any more: is everything at its end?
    fn judge_the_end(&mut self) {
        let traits = self.traits;
        for number in 0..self.calls.len() {
            let call = &self.calls[number];
            self.observer.coverage.event(match call.outcome {
                Outcome::Final(200..=299) => "call answered",
                Outcome::Final(487) => "call cancelled",
                Outcome::Final(_) => "call refused",
                Outcome::TimedOut => "call timed out",
                Outcome::Pending => {
                    let what = format!("{} never ends", call.call_id);
                    return self.fail(what);
                }
            });
            if traits.has_loss || traits.has_restarts || traits.has_small_pins || traits.is_ring {
                continue;
            }
            // Nothing was lost, so nothing may have timed out but what was never answered.
            let is_silent =
                call.plan.answers.iter().all(|answer| answer.code < 200) || call.is_unanswerable;
            if call.outcome == Outcome::TimedOut && !is_silent {
                let what = format!("{} timed out though nothing was lost", call.call_id);
                return self.fail(what);
            }
            // Without Record-Route a call lives as long as its pin.
            let is_routed = self.ends[call.caller].follows_record_route
                && self.relays.iter().all(|relay| relay.spec.set.record_route);
            let is_too_long = !is_routed && call.plan.steps.iter().any(|step| step.gap > PIN_MS);
            if !call.failed_steps.is_empty() && !call.is_unanswerable && !is_too_long {
                let what = format!("{}: {:?} failed", call.call_id, call.failed_steps);
                return self.fail(what);
            }
            let count = call.plan.steps.len();
            if call.has_begun_steps && call.steps_at != count {
                let what = format!("{} stopped at step {} of {count}", call.call_id, call.steps_at);
                return self.fail(what);
            }
        }
        let is_clean = !(traits.has_loss || traits.has_restarts || traits.has_small_pins);
        if let Some(end) = self.ends.iter().find(|end| {
            let is_done = |s: &crate::endpoint::Served| {
                // A failure response of a try that was left goes to nobody.
                let is_left = self.observer.left.contains(&s.request.branch());
                s.is_acked || s.method != "INVITE" || is_left || self.calls[s.call].is_unanswerable
            };
            is_clean && !end.served.iter().filter(|s| s.final_code.is_some()).all(is_done)
        }) {
            let what = format!("{} waits for an ACK", end.name);
            self.fail(what);
        }
    }
}
