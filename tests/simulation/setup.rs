//! Creates a world from its seed: its parties, their behaviour, and what will go wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use strowger::destination::SourceMatch;
use strowger::proxy::{
    ForeignRoute, InDialog, Listener, Policy, Prefix, Rewrite, SetPolicy, StatusLine, Transport,
};

use crate::call::{Call, Plan};
use crate::endpoint::{Endpoint, ViaHabit};
use crate::ladder::Ladder;
use crate::network::{Event, Network};
use crate::observer::Observer;
use crate::random::Random;
use crate::relay::{Line, LineState, Relay, Spec};
use crate::server;
use crate::sip::Spelling;
use crate::world::{Traits, World};

/// How the relays stand to each other.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Shape {
    Single,
    /// One in front of the other.
    Chain {
        is_one_key: bool,
    },
    /// Each is a destination of the other.
    Ring,
}

pub(crate) fn world(seed: u64, ladder: Ladder) -> World {
    let mut random = Random::new(seed);
    let shape = match random.below(100) {
        0..8 => Shape::Chain { is_one_key: true },
        8..18 => Shape::Chain { is_one_key: false },
        18..24 => Shape::Ring,
        _ => Shape::Single,
    };
    let traits = Traits {
        has_loss: random.chance(35),
        has_restarts: random.chance(20),
        has_attacks: random.chance(35),
        has_list_changes: random.chance(45),
        has_small_pins: random.chance(8),
        is_ring: shape == Shape::Ring,
    };
    // Often just before the clock of pins wraps.
    let wrap = 4_096_000 * random.between(1, 500);
    let now = wrap
        - if random.chance(30) { random.between(1, 3_000) } else { random.between(1, 4_000_000) };
    let loss = if traits.has_loss { random.between(3, 30) } else { 0 };
    let doubling = if random.chance(60) { random.between(1, 15) } else { 0 };
    let network = Network::new(loss, doubling, random.between(2, 80));
    let mut world = World {
        network,
        relays: Vec::new(),
        ends: Vec::new(),
        calls: Vec::new(),
        observer: Observer {
            has_small_pins: traits.has_small_pins,
            has_attacks: traits.has_attacks,
            ..Observer::default()
        },
        ladder,
        now,
        traits,
        names: BTreeMap::new(),
        stock: Vec::new(),
        overheard: Vec::new(),
        failure: None,
        is_thorough: seed.is_multiple_of(4) || !cfg!(debug_assertions),
        random,
    };
    world.make_relays(shape);
    world.make_callers();
    world.make_calls();
    world.make_trouble();
    world
}

impl World {
    fn make_relays(&mut self, shape: Shape) {
        let random = &mut self.random;
        let has_ipv6 = random.chance(35);
        let set = set_policy(random);
        let count = if shape == Shape::Single { 1 } else { 2 };
        let mut specs = Vec::new();
        for number in 0..count {
            let listeners = listeners(random, number, has_ipv6);
            let is_one_key = matches!(shape, Shape::Chain { is_one_key: true });
            let differs = number == 1 && !is_one_key;
            let mut set = set.clone();
            // A callee's request must pass the relays that the caller's did.
            set.foreign_route = if random.chance(25) {
                *random.pick(&[ForeignRoute::Keep, ForeignRoute::Refuse])
            } else {
                ForeignRoute::Remove
            };
            let mut policy = policy(random);
            policy.controls_overload = set.overload_control;
            specs.push(Spec {
                listeners,
                aliases: Vec::new(),
                secret: if differs { 77 } else { 42 },
                key_id: if differs && random.chance(50) { 9 } else { 1 },
                workers: random.between(1, 4) as usize,
                pins: if self.traits.has_small_pins { 8 } else { 4_096 },
                policy,
                set,
            });
        }
        self.observer.coverage.events(
            match shape {
                Shape::Single => "call answered",
                Shape::Chain { is_one_key: true } => "two relays, one key",
                Shape::Chain { is_one_key: false } => "two relays, two keys",
                Shape::Ring => "ring of relays",
            },
            u64::from(shape != Shape::Single),
        );
        for number in 0..count {
            let other = (count == 2).then(|| specs[1 - number].listeners[0].local);
            let neighbour = match shape {
                Shape::Single => None,
                Shape::Chain { .. } => other.filter(|_| number == 0),
                Shape::Ring => other,
            };
            let mut stock: Vec<Line> = neighbour.map(|at| line(at, None)).into_iter().collect();
            let is_front = shape != Shape::Single && number == 0;
            let servers =
                if is_front { self.random.between(0, 1) } else { self.random.between(2, 5) };
            for server in 0..servers {
                let line = self.make_server(&specs[number], number, server as u16, has_ipv6);
                stock.push(line);
            }
            let listed = self.random.between(1, stock.len() as u64) as usize;
            let listed = if is_front { stock.len() } else { listed.max(stock.len().min(2)) };
            let mut lines = stock[..listed].to_vec();
            for line in &mut lines {
                if !is_front && self.random.chance(10) {
                    line.state = *self.random.pick(&[LineState::Inactive, LineState::Disabled]);
                }
            }
            let spec = specs[number].clone();
            self.relays.push(Relay::new(spec, lines, self.now, self.is_thorough));
            self.stock.push(stock);
            for listener in &specs[number].listeners {
                self.names.insert(listener.sent_by.to_ascii_lowercase(), listener.local);
            }
        }
    }

    fn make_server(&mut self, spec: &Spec, relay: usize, number: u16, has_ipv6: bool) -> Line {
        let random = &mut self.random;
        let ip = |relay: usize, number: u16| format!("10.{relay}.0.{}", number + 1);
        let address: SocketAddr = if has_ipv6 && random.chance(40) {
            format!("[2001:db8:a:{relay}::{}]:5060", number + 1)
        } else {
            format!("{}:{}", ip(relay, number), random.pick(&[5060, 5070]))
        }
        .parse()
        .expect("an address");
        let family: Vec<SocketAddr> = spec
            .listeners
            .iter()
            .map(|listener| listener.local)
            .filter(|local| local.is_ipv4() == address.is_ipv4())
            .collect();
        let socket = random.chance(25).then(|| *random.pick(&family));
        let mut line = line(address, socket);
        let mut addresses = vec![address];
        if random.chance(15) {
            // A name with two addresses.
            let mut second = address;
            second.set_port(address.port() + 1);
            addresses.push(second);
            line.uri = format!("sip:media{number}.relay{relay}.example.net:{}", address.port());
            line.addresses.clone_from(&addresses);
        }
        // Two on one address are known by their ports only.
        let is_alone = addresses.len() == 1;
        for address in addresses {
            self.push_server(spec, address, is_alone);
        }
        line
    }

    fn push_server(&mut self, spec: &Spec, address: SocketAddr, is_alone: bool) {
        let random = &mut self.random;
        let is_matched_anyway = spec.policy.source_match == SourceMatch::Address;
        let has_other_port = is_alone && random.chance(if is_matched_anyway { 50 } else { 5 });
        let vias = *random.pick(&[
            ViaHabit::Keeps,
            ViaHabit::Keeps,
            ViaHabit::Keeps,
            ViaHabit::Drops,
            ViaHabit::Reorders,
            ViaHabit::Shouts,
        ]);
        // Unknown at that port it would not be believed without our parameter.
        let is_known = !has_other_port || is_matched_anyway;
        let vias = if vias == ViaHabit::Drops && !is_known { ViaHabit::Keeps } else { vias };
        let contact =
            if random.chance(70) { address.to_string() } else { "10.250.9.9:5060".to_owned() };
        let id = self.ends.len();
        self.ends.push(Endpoint {
            id,
            name: format!("server{id}"),
            is_server: true,
            address,
            source: server::source(address, has_other_port),
            via_host: address.to_string(),
            has_rport: false,
            has_branch: true,
            contact,
            follows_record_route: true,
            is_behind_nat: false,
            spelling: spelling(random),
            vias,
            asks: if random.chance(60) { Some(*random.pick(&[0, 50, 100, 100])) } else { None },
            home: spec.listeners[0].local,
            clients: Vec::new(),
            served: Vec::new(),
            dialogs: Vec::new(),
            branches: 0,
        });
    }

    fn make_callers(&mut self) {
        for number in 0..self.random.between(1, 3) {
            let random = &mut self.random;
            let home = random.pick(&self.relays[0].spec.listeners).local;
            let is_behind_nat = home.is_ipv4() && random.chance(30);
            let address: SocketAddr = match (home.is_ipv4(), is_behind_nat) {
                (true, true) => format!("203.0.113.{}:{}", number + 1, 30_000 + number),
                (true, false) => format!("198.51.100.{}:5062", number + 1),
                (false, _) => format!("[2001:db8:c::{}]:5062", number + 1),
            }
            .parse()
            .expect("an address");
            let inside = format!("192.168.7.{}:5060", number + 1);
            let (via_host, contact) = match (is_behind_nat, random.below(5)) {
                (true, _) => (inside.clone(), inside),
                (false, 0) => (
                    format!("Phone{number}.example.org:5062"),
                    format!("phone{number}.example.org"),
                ),
                _ => (address.to_string(), address.to_string()),
            };
            let has_branch = random.chance(90);
            if !has_branch {
                self.observer.coverage.event("caller of RFC 2543");
            }
            let id = self.ends.len();
            self.ends.push(Endpoint {
                id,
                name: format!("caller{id}"),
                is_server: false,
                address,
                source: address,
                via_host,
                has_rport: if is_behind_nat { random.chance(75) } else { random.chance(40) },
                has_branch,
                contact,
                follows_record_route: random.chance(70),
                is_behind_nat,
                spelling: spelling(random),
                vias: ViaHabit::Keeps,
                asks: None,
                home,
                clients: Vec::new(),
                served: Vec::new(),
                dialogs: Vec::new(),
                branches: 0,
            });
            if is_behind_nat {
                for _ in 0..self.random.below(4) {
                    let at = self.now + self.random.between(1, 4_000);
                    self.network.at(at, Event::Rebind(id));
                }
            }
        }
    }

    fn make_calls(&mut self) {
        let callers: Vec<usize> = self.ends.iter().filter(|e| !e.is_server).map(|e| e.id).collect();
        let someone_drops = self.ends.iter().any(|e| e.vias == ViaHabit::Drops);
        for number in 0..self.random.between(2, 6) as usize {
            let caller = *self.random.pick(&callers);
            let plan = Plan::random(&mut self.random, self.ends[caller].follows_record_route);
            let mut call = Call::new(number, caller, plan);
            // A dropped parameter takes the listener with it that the response should leave by, and
            // a relay before us may not know us by another.
            let has_listeners = self.relays.iter().any(|relay| relay.spec.listeners.len() > 1);
            let is_known =
                self.ends[caller].has_branch && !(self.relays.len() > 1 && has_listeners);
            call.is_unanswerable = someone_drops && !is_known;
            let begins = self.now + self.random.between(1, 2_000);
            self.network.at(begins, Event::Begin(number));
            if let Some(after) = call.plan.cancel_after {
                self.network.at(begins + after, Event::Cancel(number));
            }
            self.calls.push(call);
        }
    }

    fn make_trouble(&mut self) {
        let soon = |world: &mut Self| {
            let span = *world.random.pick(&[3_000, 3_000, 40_000, 300_000]);
            world.now + world.random.between(1, span)
        };
        let calm = self.now + self.random.between(5_000, 90_000);
        self.network.at(calm, Event::Calm);
        for relay in 0..self.relays.len() {
            if self.traits.has_list_changes {
                for _ in 0..self.random.between(1, 5) {
                    let at = soon(self);
                    self.network.at(at, Event::ChangeList(relay));
                }
                if self.random.chance(15) {
                    let at = soon(self);
                    self.network.at(at, Event::Drain(relay, true));
                }
            }
            if self.traits.has_restarts {
                for _ in 0..self.random.between(1, 2) {
                    let at = soon(self);
                    self.network.at(at, Event::Restart(relay));
                }
            }
            if self.random.chance(10) {
                let at = soon(self);
                self.network.at(at, Event::ResetWorker(relay));
            }
        }
        if self.traits.has_attacks {
            let at = self.now + self.random.between(1, 1_500);
            let count = self.random.between(3, 20) as usize;
            self.network.at(at, Event::Attack(count));
        }
    }
}

fn line(address: SocketAddr, socket: Option<SocketAddr>) -> Line {
    let state = LineState::Active;
    Line { uri: format!("sip:{address}"), addresses: vec![address], state, socket }
}

fn listeners(random: &mut Random, relay: usize, has_ipv6: bool) -> Vec<Listener> {
    let ip = 10 * relay + 1;
    let mut locals = vec![format!("192.0.2.{ip}:5060")];
    if random.chance(35) {
        locals.push(format!("192.0.2.{ip}:5080"));
    }
    if random.chance(15) {
        locals.push(format!("192.0.2.{}:5060", ip + 1));
    }
    if has_ipv6 {
        locals.push(format!("[2001:db8::{ip}]:5060"));
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for (number, local) in locals.into_iter().enumerate() {
        let local: SocketAddr = local.parse().expect("an address");
        let sent_by = if random.chance(15) {
            format!("sip{number}.relay{relay}.example.net:{}", local.port())
        } else {
            local.to_string()
        };
        listeners.push(Listener {
            name: sent_by.clone(),
            local,
            transport: Transport::Udp,
            sent_by,
            force_rport: random.chance(15),
            set: None,
        });
    }
    listeners
}

fn policy(random: &mut Random) -> Policy {
    let prefixes = |texts: &[&str]| -> Vec<Prefix> {
        let read = |text: &&str| {
            let (ip, bits) = text.split_once('/')?;
            Prefix::new(ip.parse().ok()?, bits.parse().ok()?)
        };
        texts.iter().map(|text| read(text).expect("a prefix")).collect()
    };
    Policy {
        // All but the shared addresses of RFC 6598.
        allow: prefixes(&[
            "0.0.0.0/2",
            "96.0.0.0/6",
            "104.0.0.0/5",
            "112.0.0.0/4",
            "128.0.0.0/1",
            "::/0",
        ]),
        // Callers, relays, and a network inside: never a bystander's.
        in_dialog_to: prefixes(&[
            "198.51.100.0/24",
            "203.0.113.0/25",
            "192.0.2.0/24",
            "192.168.0.0/16",
            "127.0.0.0/8",
            "224.0.0.0/4",
            "2001:db8:c::/48",
            "2001:db8::/64",
        ]),
        source_match: if random.chance(15) {
            SourceMatch::Address
        } else {
            SourceMatch::AddressAndPort
        },
        options_always_ok: random.chance(20),
        max_breadth: random.chance(20).then_some(60),
        ..Policy::default()
    }
}

fn set_policy(random: &mut Random) -> SetPolicy {
    SetPolicy {
        record_route: random.chance(85),
        no_destination: StatusLine {
            code: *random.pick(&[404, 480]),
            reason: "No destination".to_owned(),
        },
        rewrite: if random.chance(15) { Rewrite::Domain } else { Rewrite::None },
        in_dialog: if random.chance(15) { InDialog::Route } else { InDialog::Destination },
        retry: random.chance(85),
        overload_control: random.chance(25),
        ..SetPolicy::default()
    }
}

fn spelling(random: &mut Random) -> Spelling {
    *random.pick(&[
        Spelling::Plain,
        Spelling::Plain,
        Spelling::Compact,
        Spelling::Odd,
        Spelling::Joined,
    ])
}
