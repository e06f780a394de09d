//! The whole core with its state: what callers, servers, attackers, operators and the clock do to
//! one relay, one event after the other.
//!
//! The law of `tests/oracle/law.rs` holds after each datagram, and messages sent by the rules arrive.

use arbitrary::Unstructured;
use strowger::keys::MasterKey;
use strowger::limits;
use strowger::proxy::{Forwarded, ListenerId, Verdict};

use super::call::{Call, Says};
use super::message;
use super::relay::{Relay, Way};
use super::world::{self, LISTS, PEERS};
use crate::oracle::law::Origin;
use crate::oracle::server::Habits;

/// Events of one input. More would only be slow.
const EVENTS_MAX: usize = 48;
/// Messages and calls that are remembered; the oldest are forgotten.
const REMEMBERED_MAX: usize = 8;

pub(crate) fn run(input: &[u8]) {
    // An input that ends in the middle of an event is as good as one that ends before it.
    let _ = play(&mut Unstructured::new(input), seed_of(input));
}

/// FNV-1a.
pub(crate) fn seed_of(input: &[u8]) -> u64 {
    input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

struct Play {
    relay: Relay,
    calls: Vec<Call>,
    /// Messages of any kind, as they came or left.
    seen: Vec<Vec<u8>>,
    /// Counts up with each change of what the operator wants.
    policy: u64,
}

fn play(u: &mut Unstructured, seed: u64) -> arbitrary::Result<()> {
    let (pins, policy) = *u.choose(&[
        (4_096, 0),
        (512, 0),
        (8, 0),
        (4_096, world::STATEFUL),
        (512, world::STATEFUL),
        (8, world::STATEFUL),
    ])?;
    let mut play =
        Play { relay: Relay::new(seed, pins), calls: Vec::new(), seen: Vec::new(), policy: 0 };
    world::choose_policy(&mut play.relay.snapshot, policy);
    play.relay.load(LISTS[0]);
    for _ in 0..EVENTS_MAX {
        if u.is_empty() {
            break;
        }
        play.event(u)?;
        play.take_tries();
    }
    play.relay.settle();
    Ok(())
}

impl Play {
    fn event(&mut self, u: &mut Unstructured) -> arbitrary::Result<()> {
        match u.int_in_range(0..=15)? {
            0 | 1 => {
                let bytes = message::request(u)?;
                self.send(u, bytes)
            }
            2 => self.with_call(u, |play, call, u| {
                call.repeat(&mut play.relay, worker(u)?, play.policy);
                Ok(())
            }),
            3 => self.with_call(u, |play, call, u| {
                let method = *u.choose(&["CANCEL", "ACK"])?;
                call.follow(&mut play.relay, worker(u)?, method, play.policy);
                Ok(())
            }),
            4 | 5 => self.with_call(u, |play, call, u| {
                let status = *u.choose(&STATUSES)?;
                let habits = habits(u.arbitrary()?);
                call.answer(&mut play.relay, worker(u)?, status, habits);
                Ok(())
            }),
            6 | 7 => self.with_call(u, |play, call, u| {
                let method = *u.choose(&["BYE", "ACK", "INVITE", "INFO", "CANCEL", "OPTIONS"])?;
                let bits: u8 = u.arbitrary()?;
                let further = [
                    None,
                    None,
                    Some("<sip:203.0.113.66;lr>"),
                    Some("<sip:203.0.113.66>"),
                    Some("<sip:127.0.0.1;lr>"),
                    Some("<sip:10.0.0.3:5060;lr>"),
                    Some("<sip:[2001:db8:3::9];lr>"),
                    Some("<sip:somewhere.example;lr>"),
                ][usize::from(bits >> 2 & 7)];
                let says = Says {
                    is_callee: bits & 1 == 1,
                    by_a_strict_router: bits & 2 == 2,
                    further_route: further,
                };
                call.go_on(&mut play.relay, worker(u)?, method, says);
                Ok(())
            }),
            8 => {
                let step = *u.choose(&[1, 500, 4_000, 33_000, 241_000, 1_801_000, 4_095_000])?;
                self.relay.now = self.relay.now.plus_ms(step);
                self.relay.shared.pins.sweep(self.relay.now);
                self.relay.expire();
                Ok(())
            }
            9 => {
                self.policy += 1;
                self.relay.load(u.choose(&LISTS)?);
                self.relay.expire();
                Ok(())
            }
            10 => self.operate(u),
            11 => {
                let any = u.len().min(usize::from(u.arbitrary::<u16>()?) & 0x3ff);
                let bytes = u.bytes(any)?.to_vec();
                self.send(u, bytes)
            }
            12 => self.trouble(u),
            // What passed before, as it was or changed, from anybody.
            _ => {
                let Some(at) = self.seen.len().checked_sub(1) else {
                    return Ok(());
                };
                let mut bytes = self.seen[u.int_in_range(0..=at)?].clone();
                for _ in 0..u.int_in_range(0..=3)? {
                    message::splice(u, &mut bytes)?;
                }
                self.send(u, bytes)
            }
        }
    }

    /// What transactions are for.
    fn trouble(&mut self, u: &mut Unstructured) -> arbitrary::Result<()> {
        let bits: u8 = u.arbitrary()?;
        let worker = usize::from(bits & 1);
        match bits >> 1 & 7 {
            0 => self.relay.reset(worker),
            1..=3 => {
                return self.with_call(u, |play, call, _| {
                    play.relay.unreachable(worker, &call.sent);
                    Ok(())
                });
            }
            shift => {
                self.relay.now = self.relay.now.plus_ms(500 << (shift - 4));
                self.relay.expire();
            }
        }
        Ok(())
    }

    /// A destination may answer a further try as well.
    fn take_tries(&mut self) {
        for (origin, sent) in std::mem::take(&mut self.relay.tries) {
            let Origin { bytes, source, listener, .. } = origin;
            let way = Way { worker: 0, listener, peer: source };
            let call = Call::new(&self.relay, way, bytes, sent, Forwarded::Chosen, self.policy);
            remember(&mut self.calls, call.of_transaction(true));
        }
    }

    fn operate(&mut self, u: &mut Unstructured) -> arbitrary::Result<()> {
        self.policy += 1;
        match u.int_in_range(0..=4)? {
            0 | 1 => {
                world::choose_policy(&mut self.relay.snapshot, u.arbitrary()?);
                self.relay.load(u.choose(&LISTS)?);
            }
            2 => self.relay.snapshot.draining ^= true,
            kind => {
                let mut keys = self.relay.keys.clone();
                if kind == 4 {
                    let id = u.int_in_range(0..=7)?;
                    let secret = [id ^ keys[0].secret[7]; 32];
                    keys.retain(|key| key.id != id);
                    keys.insert(0, MasterKey { id, secret });
                    keys.truncate(limits::KEYS_MAX);
                    if u.ratio(1, 4)? {
                        keys.truncate(1);
                    }
                }
                self.relay.restart(keys);
                self.relay.load(u.choose(&LISTS)?);
            }
        }
        Ok(())
    }

    fn send(&mut self, u: &mut Unstructured, bytes: Vec<u8>) -> arbitrary::Result<()> {
        let way = way(u)?;
        let outcome = self.relay.send(way, &bytes);
        if let Some(sent) = &outcome.sent {
            remember(&mut self.seen, sent.bytes.clone());
        }
        remember(&mut self.seen, bytes.clone());
        let (Verdict::Forwarded(how), Some(sent)) = (outcome.verdict, outcome.sent) else {
            return Ok(());
        };
        if !bytes.trim_ascii_start().to_ascii_uppercase().starts_with(b"SIP/") {
            let call = Call::new(&self.relay, way, bytes, sent, how, self.policy);
            remember(&mut self.calls, call.of_transaction(outcome.is_try));
        }
        Ok(())
    }

    fn with_call(
        &mut self,
        u: &mut Unstructured,
        act: impl FnOnce(&mut Self, &Call, &mut Unstructured) -> arbitrary::Result<()>,
    ) -> arbitrary::Result<()> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let at = u.int_in_range(0..=self.calls.len() - 1)?;
        let call = self.calls.remove(at);
        let done = act(self, &call, u);
        // Two variants of it for the events that change what passed before.
        remember(&mut self.seen, call.sent.bytes.clone());
        self.calls.insert(at, call);
        done
    }
}

fn remember<T>(list: &mut Vec<T>, item: T) {
    if list.len() == REMEMBERED_MAX {
        list.remove(0);
    }
    list.push(item);
}

fn worker(u: &mut Unstructured) -> arbitrary::Result<usize> {
    u.int_in_range(0..=1)
}

/// From anybody to a listener of its family.
fn way(u: &mut Unstructured) -> arbitrary::Result<Way> {
    let bits: u8 = u.arbitrary()?;
    let peer: std::net::SocketAddr = PEERS[usize::from(bits >> 2) % PEERS.len()].parse().unwrap();
    let listener = if peer.is_ipv4() { u16::from(bits >> 1 & 1) } else { 2 };
    Ok(Way { worker: usize::from(bits & 1), listener: ListenerId(listener), peer })
}

fn habits(bits: u8) -> Habits {
    let is = |bit: u8| bits >> bit & 1 == 1;
    Habits {
        joins_vias: is(0),
        shouts: is(1),
        drops_parameter: is(2) && is(3),
        adds_received: is(4),
        vias_last: is(5),
    }
}

const STATUSES: [&str; 12] = [
    "200 OK",
    "100 Trying",
    "180 Ringing",
    "401 Unauthorized",
    "407 Proxy Authentication Required",
    "486 Busy Here",
    "503 Service Unavailable",
    "500 Server Error",
    "408 Request Timeout",
    "699 ",
    "302",
    "299 \u{e4}",
];
