//! One run: what happens when, and the links between callers, relay and servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use strowger::proxy::Verdict;

use crate::caller::{self, Caller};
use crate::coverage::Coverage;
use crate::ladder::{Ladder, describe};
use crate::plan::Plan;
use crate::random::Random;
use crate::relay::{Relay, Sent, WORKERS, address_of};
use crate::server::{self, Server};
use crate::sip::Sip;
use crate::watch::{Input, Step, Watch};

pub(crate) const T1: u64 = 500;
pub(crate) const T2: u64 = 4_000;
pub(crate) const TIMEOUT: u64 = 64 * T1;

pub(crate) const BEGIN: u64 = 1_000_000_000;
/// Events of a run: one that has more does not end.
const EVENTS_MAX: usize = 50_000;

#[derive(Debug)]
enum Event {
    Caller(usize, caller::Timer),
    /// By server and call.
    Server(usize, usize, server::Timer),
    ToRelay {
        from: SocketAddr,
        worker: Which,
        bytes: Vec<u8>,
    },
    ToCaller(usize, Vec<u8>),
    ToServer(usize, Vec<u8>),
    /// A worker takes what was handed to it.
    Take(usize),
    /// An ICMP error.
    Refused {
        worker: Which,
        server: usize,
        quote: Vec<u8>,
    },
    Switch(usize, bool),
    CatchUp(usize),
    Reset(usize),
}

/// The worker that gets a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Which {
    Owner,
    Other,
}

/// What became of a run.
pub(crate) struct Run {
    pub(crate) failure: Option<String>,
    pub(crate) ladder: Ladder,
    pub(crate) coverage: Coverage,
}

struct World {
    now: u64,
    random: Random,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    relay: Relay,
    callers: Vec<Caller>,
    /// By server, then by call.
    servers: Vec<Vec<Server>>,
    watch: Watch,
    ladder: Ladder,
    coverage: Coverage,
    loss: u64,
    doubling: u64,
    delay_ms: u64,
    /// When the last transaction ended.
    gone: u64,
}

pub(crate) fn run(seed: u64, is_kept: bool) -> Run {
    let mut random = Random::new(seed);
    let plan = Plan::new(&mut random);
    let mut ladder = Ladder::new(is_kept);
    if is_kept {
        ladder.note(0, || format!("{plan:#?}"));
    }
    let relay = Relay::new(&plan, seed.is_multiple_of(4) || !cfg!(debug_assertions));
    let Plan { failover, servers, calls, switches, resets, loss, doubling, delay_ms, .. } = plan;
    let servers = (0..servers)
        .map(|number| {
            let calls = calls.iter().enumerate();
            calls
                .map(|(call, of)| {
                    let behaviour = of.servers[number].clone();
                    Server::new(number, address_of(number), call, behaviour)
                })
                .collect()
        })
        .collect();
    let callers: Vec<_> =
        calls.into_iter().enumerate().map(|(number, of)| Caller::new(number, of)).collect();
    let mut world = World {
        now: BEGIN,
        random,
        events: BTreeMap::new(),
        number: 0,
        watch: Watch::new(failover, &callers),
        relay,
        callers,
        servers,
        ladder,
        coverage: Coverage::default(),
        loss,
        doubling,
        delay_ms,
        gone: BEGIN,
    };
    for (call, at) in world.callers.iter().map(|of| of.plan.begins).enumerate().collect::<Vec<_>>()
    {
        world.at(BEGIN + at, Event::Caller(call, caller::Timer::Begin));
    }
    for (at, server, inactive) in switches {
        world.at(BEGIN + at, Event::Switch(server, inactive));
    }
    for (at, worker) in resets {
        world.at(BEGIN + at, Event::Reset(worker));
    }
    let failure = world.play().err();
    world.watch.seen().for_each(|what| world.coverage.count(what, 1));
    world.coverage.end(&world.relay.shared.transaction_counters, failure.is_none());
    Run { failure, ladder: world.ladder, coverage: world.coverage }
}

impl World {
    fn at(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.events.insert((time, self.number), event);
    }

    fn play(&mut self) -> Result<(), String> {
        for _ in 0..EVENTS_MAX {
            let event = self.events.first_key_value().map(|((time, _), _)| *time);
            let due = self.relay.next_deadline();
            match (event, due) {
                (event, Some((due, worker))) if event.is_none_or(|event| due <= event) => {
                    self.now = self.now.max(due);
                    self.expire(worker)?;
                }
                (Some(time), _) => {
                    self.now = time;
                    let (_, event) = self.events.pop_first().unwrap();
                    self.event(event)?;
                }
                (None, _) => return self.end(),
            }
            if self.relay.transactions() != (0, 0) {
                self.gone = self.now;
            }
        }
        Err("the run does not end".into())
    }

    fn end(&mut self) -> Result<(), String> {
        self.watch.end(self.gone)?;
        let left = self.relay.transactions();
        if left != (0, 0) {
            return Err(format!("{} transactions and {} blocks are left", left.0, left.1));
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Caller(call, timer) => {
                let does = self.callers[call].timer(self.now, timer);
                self.caller_does(call, does);
            }
            Event::ToCaller(call, bytes) => {
                let sip = Sip::read(&bytes).ok_or("the caller cannot read what it got")?;
                let does = self.callers[call].response(&sip);
                self.caller_does(call, does);
            }
            Event::Server(server, call, timer) => {
                let does = self.servers[server][call].timer(self.now, timer);
                self.server_does(server, call, does);
            }
            Event::ToServer(server, bytes) => {
                let sip = Sip::read(&bytes).ok_or("a server cannot read what it got")?;
                let call = call_of(&sip)?;
                let does = self.servers[server][call].request(self.now, sip);
                self.server_does(server, call, does);
            }
            Event::ToRelay { from, worker, bytes } => {
                let sip = Sip::read(&bytes).expect("parties write what they can read");
                let owner = self.relay.owner(sip.get("Call-ID"));
                let worker = if worker == Which::Owner { owner } else { 1 - owner };
                self.datagram(worker, from, &bytes)?;
            }
            Event::Take(worker) => {
                let (from, bytes) = self.relay.take(worker).expect("something was handed over");
                self.datagram(worker, from, &bytes)?;
            }
            Event::Refused { worker, server, quote } => {
                let text = String::from_utf8_lossy(&quote).into_owned();
                let call = text.split("Call-ID: ").nth(1).and_then(|text| text.split('\r').next());
                let owner = call.map_or(0, |call_id| self.relay.owner(call_id));
                let is_owner = worker == Which::Owner;
                let worker = if is_owner { owner } else { 1 - owner };
                self.ladder.note(self.now, || format!("w{worker}: ICMP of server {server}"));
                self.watch.refused(self.now, &text, is_owner);
                self.relay.refused(self.now, worker, address_of(server), &quote);
            }
            Event::Switch(server, inactive) => {
                self.ladder.note(self.now, || format!("server {server} inactive: {inactive}"));
                self.relay.switch(self.now, server, inactive);
                for worker in 0..WORKERS {
                    let lag = self.random.between(0, 50);
                    self.at(self.now + lag, Event::CatchUp(worker));
                }
            }
            Event::CatchUp(worker) => {
                self.relay.catch_up(worker);
                // It looks at what is due after each batch.
                self.expire(worker)?;
            }
            Event::Reset(worker) => {
                self.ladder.note(self.now, || format!("w{worker}: reset"));
                self.relay.reset(worker);
                let Self { watch, relay, .. } = self;
                watch.reset(|call_id| relay.owner(call_id) == worker);
            }
        }
        Ok(())
    }

    fn datagram(&mut self, worker: usize, from: SocketAddr, bytes: &[u8]) -> Result<(), String> {
        let no_room = self.relay.no_room();
        let (verdict, sent) = self.relay.datagram(self.now, worker, from, bytes)?;
        self.ladder.mix(bytes);
        self.ladder
            .note(self.now, || format!("w{worker} <- {from}  {} = {verdict:?}", describe(bytes)));
        self.coverage.verdict(verdict);
        if let Verdict::HandedOver(owner) = verdict {
            let owner = usize::from(owner);
            let at = self.now + self.random.between(0, 5);
            self.at(at, Event::Take(owner));
            return Ok(());
        }
        let sip = Sip::read(bytes).expect("it was read before");
        self.watched(worker, Input::Message { from, sip: &sip, bytes, verdict }, &sent, no_room)?;
        self.send(sent)
    }

    fn expire(&mut self, worker: usize) -> Result<(), String> {
        for _ in 0..1_000 {
            let no_room = self.relay.no_room();
            let Some(sent) = self.relay.expire(self.now, worker)? else { return Ok(()) };
            self.watched(worker, Input::Time, &sent, no_room)?;
            self.send(sent)?;
        }
        Err("the timers of a worker do not end".into())
    }

    fn watched(
        &mut self,
        worker: usize,
        input: Input,
        sent: &[Sent],
        no_room: u64,
    ) -> Result<(), String> {
        for sent in sent {
            self.ladder.mix(&sent.bytes);
            self.ladder.note(self.now, || {
                format!("    w{worker} -> {}  {}", sent.to, describe(&sent.bytes))
            });
        }
        let Self { watch, relay, .. } = self;
        let is_inactive = |server| relay.is_inactive(worker, server);
        let has_no_room = relay.no_room() > no_room;
        let now = self.now;
        watch.step(&Step { now, input, sent, is_inactive: &is_inactive, has_no_room })
    }

    /// What the relay sends goes to callers and servers.
    fn send(&mut self, sent: Vec<Sent>) -> Result<(), String> {
        for Sent { to, bytes, .. } in sent {
            if let Some(call) = self.callers.iter().position(|caller| caller.address == to) {
                self.deliver(|| Event::ToCaller(call, bytes.clone()));
                continue;
            }
            let server = (0..self.servers.len()).find(|server| address_of(*server) == to);
            let server = server.ok_or_else(|| format!("{to} is nobody"))?;
            let call = call_of(&Sip::read(&bytes).ok_or("the relay wrote what is no SIP")?)?;
            if self.servers[server][call].behaviour.refuses {
                let quote = bytes[..bytes.len().min(520)].to_vec();
                let worker = self.which();
                self.deliver(|| Event::Refused { worker, server, quote: quote.clone() });
            } else {
                self.deliver(|| Event::ToServer(server, bytes.clone()));
            }
        }
        Ok(())
    }

    fn caller_does(&mut self, call: usize, does: caller::Does) {
        let from = self.callers[call].address;
        does.sends.into_iter().for_each(|bytes| self.sent_to_relay(from, &bytes));
        for (at, timer) in does.sets {
            self.at(at, Event::Caller(call, timer));
        }
    }

    fn server_does(&mut self, server: usize, call: usize, does: server::Does) {
        does.sends.into_iter().for_each(|bytes| self.sent_to_relay(address_of(server), &bytes));
        for (at, timer) in does.sets {
            self.at(at, Event::Server(server, call, timer));
        }
    }

    fn sent_to_relay(&mut self, from: SocketAddr, bytes: &[u8]) {
        let worker = self.which();
        self.deliver(|| Event::ToRelay { from, worker, bytes: bytes.to_vec() });
    }

    fn which(&mut self) -> Which {
        if self.random.chance(30) { Which::Other } else { Which::Owner }
    }

    /// A datagram on its way: lost, doubled, late.
    fn deliver(&mut self, datagram: impl Fn() -> Event) {
        if self.random.chance(self.loss) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(self.doubling));
        for _ in 0..copies {
            let at = self.now + self.random.between(1, self.delay_ms);
            self.at(at, datagram());
        }
    }
}

fn call_of(sip: &Sip) -> Result<usize, String> {
    let number = sip.get("Call-ID").strip_prefix("call-").and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("no call has the Call-ID {:?}", sip.get("Call-ID")))
}
