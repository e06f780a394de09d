//! The control thread's side: it gives each destination its slot, keeps what must outlive a
//! reload, and builds the tables that workers read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::clock::Now;
use crate::destination::{
    Destination, DestinationUri, Host, Known, Origin, Place, Record, Resolved, Set, Slot,
    SocketName, Table, Turns,
};
use crate::limits;
use crate::listener::{ListenerId, Listeners};
use crate::pin::PinTable;
use crate::sync::{AtomicU64, Ordering};

/// A load that cannot be taken.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LoadError {
    /// More addresses than there are slots.
    #[error(
        "{wanted} destination addresses, but at most {max} fit: divide the list over several relays",
        max = limits::SLOTS_MAX
    )]
    TooMany {
        /// How many slots the load needs besides those that are still in quarantine.
        wanted: usize,
    },
    /// A `socket=` attribute that names none of our listeners.
    #[error("{origin}: socket=udp:{socket} is not one of our listeners: {listeners}")]
    NoSuchSocket {
        /// Where it was written.
        origin: Origin,
        /// What it says.
        socket: SocketAddr,
        /// What would be right.
        listeners: String,
    },
    /// An address of a family that none of our listeners has.
    #[error(
        "{origin}: {uri} cannot be reached: {listeners} has no {family} address",
        family = if *.is_ipv4 { "IPv4" } else { "IPv6" }
    )]
    NoListener {
        /// Where it was written.
        origin: Origin,
        /// The destination.
        uri: String,
        /// Which family it has.
        is_ipv4: bool,
        /// The listeners that there are.
        listeners: String,
    },
}

/// What a slot stands for.
type SlotIdentity = (String, Option<SocketName>, SocketAddr);
/// What makes two records of two loads the same.
type RecordIdentity = (u32, String, Option<SocketName>);

/// Where each active record stands among the active ones.
type Places<'a> = HashMap<&'a RecordIdentity, u64>;

#[derive(Debug)]
struct SlotState {
    identity: SlotIdentity,
    retired_at: Option<Now>,
}

#[derive(Debug, Default)]
struct SetMemory {
    turns: Arc<Turns>,
    /// The active records in the order of the table that is in force.
    active: Vec<RecordIdentity>,
    /// All records in that order.
    listed: Vec<RecordIdentity>,
    invite: Round,
    other: Round,
}

/// Where the round of one counter is.
#[derive(Debug, Default)]
struct Round {
    /// The turn that falls on the first active record of the table in force.
    offset: u64,
    /// The turns taken when that table was built.
    turn: u64,
    /// The record that took the last turn.
    last_used: Option<RecordIdentity>,
}

/// What the control thread remembers between loads.
#[derive(Debug, Default)]
pub struct Registry {
    slots: Vec<Option<SlotState>>,
    slot_of: HashMap<SlotIdentity, Slot>,
    /// Numbers that were given up and may be given to others.
    free: Vec<Slot>,
    destinations: Vec<Option<Arc<Destination>>>,
    sets: BTreeMap<u32, SetMemory>,
    place_turns: HashMap<RecordIdentity, Arc<AtomicU64>>,
}

impl Registry {
    /// Builds the table for these records, which stand in the order of choice; nothing changes
    /// when it fails.
    pub fn load(
        &mut self,
        now: Now,
        records: &[Resolved],
        listeners: &Listeners,
        pins: &PinTable,
    ) -> Result<Table, Vec<LoadError>> {
        let errors: Vec<_> = records
            .iter()
            .filter_map(|r| {
                socket_error(&r.record, listeners).or_else(|| family_error(&r.record, listeners))
            })
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let records = &reachable(records, listeners);
        self.assign_slots(now, records)?;
        self.describe(records, listeners);

        let mut table = Table {
            slots: self.destinations.clone(),
            set_of: vec![None; self.destinations.len()],
            ..Table::default()
        };
        self.index_addresses(records, &mut table);
        self.build_sets(records, &mut table);
        for (number, state) in self.slots.iter().enumerate() {
            if let Some(SlotState { identity, retired_at }) = state {
                let mut hasher = siphasher::sip::SipHasher13::new();
                (&identity.0, identity.1).hash(&mut hasher);
                pins.memory().write_slot(
                    Slot(number as u16),
                    hasher.finish(),
                    identity.2,
                    retired_at.is_some(),
                );
            }
        }
        // What no set uses any more is not kept for ever.
        self.place_turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        Ok(table)
    }

    /// Gives up the numbers of destinations retired long ago, when `records` need more than there
    /// are; says which. Tables loaded from now on do not know them.
    ///
    /// Numbers that were never used come first, so this is for lists that changed completely.
    pub fn give_up(&mut self, now: Now, records: &[Resolved]) -> Vec<Slot> {
        let wanted: HashSet<SlotIdentity> = records.iter().flat_map(slot_identities).collect();
        let new = wanted.iter().filter(|id| !self.slot_of.contains_key(*id)).count();
        if new <= limits::SLOTS_MAX - self.slots.len() + self.free.len() {
            return Vec::new();
        }
        for (state, destination) in self.slots.iter_mut().zip(&mut self.destinations) {
            let is_over = state.as_ref().is_some_and(|SlotState { identity, retired_at }| {
                retired_at.is_some_and(|at| at.plus_ms(limits::SLOT_QUARANTINE_MS) <= now)
                    && !wanted.contains(identity)
            });
            if is_over && let Some(old) = state.take() {
                self.slot_of.remove(&old.identity);
                *destination = None;
            }
        }
        let is_free: HashSet<Slot> = self.free.iter().copied().collect();
        let numbers = (0..self.slots.len()).map(|number| Slot(number as u16));
        numbers
            .filter(|slot| self.slots[usize::from(slot.0)].is_none() && !is_free.contains(slot))
            .collect()
    }

    /// Lets numbers that were given up be given to others. Whoever calls knows that every worker
    /// uses a table without them, so that no pin names them once these are cleared.
    pub fn reuse(&mut self, given_up: Vec<Slot>, pins: &PinTable) {
        let cleared: HashSet<Slot> = given_up.iter().copied().collect();
        pins.clear_slots(|slot| cleared.contains(&slot));
        self.free.extend(given_up);
    }

    fn assign_slots(&mut self, now: Now, records: &[Resolved]) -> Result<(), Vec<LoadError>> {
        let mut seen = HashSet::new();
        let wanted: Vec<SlotIdentity> =
            records.iter().flat_map(slot_identities).filter(|id| seen.insert(id.clone())).collect();
        let new: Vec<&SlotIdentity> =
            wanted.iter().filter(|id| !self.slot_of.contains_key(*id)).collect();
        let unused = limits::SLOTS_MAX - self.slots.len();
        if new.len() > unused + self.free.len() {
            return Err(vec![LoadError::TooMany { wanted: wanted.len() }]);
        }
        for identity in new {
            let slot = if self.slots.len() < limits::SLOTS_MAX {
                self.slots.push(None);
                self.destinations.push(None);
                Slot((self.slots.len() - 1) as u16)
            } else {
                self.free.pop().expect("they were counted")
            };
            let at = usize::from(slot.0);
            self.slot_of.insert(identity.clone(), slot);
            self.slots[at] = Some(SlotState { identity: identity.clone(), retired_at: None });
        }
        for state in self.slots.iter_mut().flatten() {
            state.retired_at =
                if seen.contains(&state.identity) { None } else { state.retired_at.or(Some(now)) };
        }
        Ok(())
    }

    /// Says how each listed destination is reached; retired ones keep what was said.
    fn describe(&mut self, records: &[Resolved], listeners: &Listeners) {
        for resolved in records {
            let record = &resolved.record;
            let listener =
                record.attributes.socket.and_then(|socket| listener_of(socket, listeners));
            for identity in slot_identities(resolved) {
                let address = identity.2;
                let slot = self.slot_of[&identity];
                self.destinations[usize::from(slot.0)] = Some(Arc::new(Destination {
                    uri: record.uri.text.clone(),
                    address,
                    listener,
                    fallback_listener: route_to(address, listeners),
                    host_port: host_port(record),
                }));
            }
        }
    }

    fn index_addresses(&self, records: &[Resolved], table: &mut Table) {
        for resolved in records {
            for identity in slot_identities(resolved) {
                let known = Known { slot: self.slot_of[&identity], is_listed: true };
                table.by_address.entry(identity.2).or_insert(known);
                table.by_ip.entry(identity.2.ip()).or_insert(known);
                if let Host::Name(name) = &resolved.record.uri.host {
                    let key = (name.as_bytes().into(), resolved.record.uri.port_or_default());
                    table.by_name.entry(key).or_insert(known.slot);
                }
            }
        }
        for (number, state) in self.slots.iter().enumerate() {
            if let Some(SlotState { identity, retired_at: Some(_) }) = state {
                let known = Known { slot: Slot(number as u16), is_listed: false };
                table.by_address.entry(identity.2).or_insert(known);
                table.by_ip.entry(identity.2.ip()).or_insert(known);
                if let Ok(uri) = DestinationUri::parse(&identity.0)
                    && let Host::Name(name) = &uri.host
                {
                    let key = (name.as_bytes().into(), uri.port_or_default());
                    table.by_name.entry(key).or_insert(known.slot);
                }
            }
        }
    }

    fn build_sets(&mut self, records: &[Resolved], table: &mut Table) {
        let mut by_set: BTreeMap<u32, Vec<&Resolved>> = BTreeMap::new();
        for resolved in records {
            by_set.entry(resolved.record.set).or_default().push(resolved);
        }
        // A set that is gone keeps its counters: it may come back.
        for id in self.sets.keys() {
            by_set.entry(*id).or_default();
        }
        for (id, listed) in by_set {
            let is_active =
                |r: &&&Resolved| r.record.flags.is_selectable() && !r.addresses.is_empty();
            let active: Vec<RecordIdentity> =
                listed.iter().filter(is_active).map(|r| record_identity(r)).collect();
            let slots_of = |r: &Resolved| -> Vec<Slot> {
                slot_identities(r).map(|identity| self.slot_of[&identity]).collect()
            };
            for slot in listed.iter().flat_map(|r| slots_of(r)) {
                // Sets come in order of their numbers, so the first one is the lowest.
                table.set_of[usize::from(slot.0)].get_or_insert(id);
            }
            let active_members = sorted(listed.iter().filter(is_active).flat_map(|r| slots_of(r)));
            let places = listed
                .iter()
                .filter(is_active)
                .map(|r| Place {
                    slots: slots_of(r).into(),
                    turns: Arc::clone(self.place_turns.entry(record_identity(r)).or_default()),
                })
                .collect();

            let memory = self.sets.entry(id).or_default();
            let listed_now: Vec<RecordIdentity> =
                listed.iter().map(|r| record_identity(r)).collect();
            let place_of: HashMap<_, _> = active.iter().zip(0..).collect();
            memory.go_on(true, &place_of, &listed_now);
            memory.go_on(false, &place_of, &listed_now);
            memory.active = active;
            memory.listed = listed_now;
            table.sets.push(Set {
                id,
                active: places,
                turns: Arc::clone(&memory.turns),
                invite_offset: memory.invite.offset,
                other_offset: memory.other.offset,
                active_members,
            });
        }
    }
}

impl SetMemory {
    /// Makes the next turn fall on the active record after the last one used.
    fn go_on(&mut self, is_invite: bool, places: &Places, listed: &[RecordIdentity]) {
        // Relaxed: a turn drawn by the old table at this moment is as good as one drawn before.
        let turn = self.turns.of(is_invite).load(Ordering::Relaxed);
        let round = if is_invite { &mut self.invite } else { &mut self.other };
        let (offset, count) = (round.offset, self.active.len() as u64);
        let at_turn = |turn: u64| &self.active[(turn.wrapping_sub(offset) % count) as usize];
        if count > 0 && turn != round.turn {
            round.last_used = Some(at_turn(turn - 1).clone());
        }
        let next = round.last_used.as_ref().and_then(|last| {
            first_active(last, 1, listed, places)
                .or_else(|| first_active(last, 1, &self.listed, places))
                // It was gone before already: the turn stays with the one that it fell to then.
                .or_else(|| {
                    let due = (count > 0).then(|| at_turn(turn))?;
                    first_active(due, 0, &self.listed, places)
                })
        });
        round.offset = turn.wrapping_sub(next.unwrap_or(0));
        round.turn = turn;
    }
}

/// The place among the active ones of the first that is found in `list` from `steps` after `from`.
fn first_active(
    from: &RecordIdentity,
    steps: usize,
    list: &[RecordIdentity],
    places: &Places,
) -> Option<u64> {
    let at = list.iter().position(|id| id == from)?;
    (steps..=list.len()).find_map(|step| places.get(&list[(at + step) % list.len()])).copied()
}

/// The records with those of their addresses that can be sent to: from their socket, else from any
/// listener.
fn reachable(records: &[Resolved], listeners: &Listeners) -> Vec<Resolved> {
    let is_reached = |record: &Record, address: &SocketAddr| match record.attributes.socket {
        Some(socket) => socket.0.is_ipv4() == address.is_ipv4(),
        None => listeners.iter().any(|(_, listener)| listener.local.is_ipv4() == address.is_ipv4()),
    };
    let mut records = records.to_vec();
    for Resolved { record, addresses } in &mut records {
        addresses.retain(|address| is_reached(record, &address.socket));
    }
    records
}

fn record_identity(resolved: &Resolved) -> RecordIdentity {
    let record = &resolved.record;
    (record.set, record.uri.text.clone(), record.attributes.socket)
}

fn slot_identities(resolved: &Resolved) -> impl Iterator<Item = SlotIdentity> + '_ {
    let record = &resolved.record;
    resolved
        .addresses
        .iter()
        .map(move |address| (record.uri.text.clone(), record.attributes.socket, address.socket))
}

fn listener_of(socket: SocketName, listeners: &Listeners) -> Option<ListenerId> {
    listeners.iter().find(|(_, listener)| listener.local == socket.0).map(|(id, _)| id)
}

fn socket_error(record: &Record, listeners: &Listeners) -> Option<LoadError> {
    let socket = record.attributes.socket?;
    if listener_of(socket, listeners).is_some() {
        return None;
    }
    Some(LoadError::NoSuchSocket {
        origin: record.origin,
        socket: socket.0,
        listeners: names_of(listeners),
    })
}

/// An address whose family neither its socket nor, without one, any listener has.
fn family_error(record: &Record, listeners: &Listeners) -> Option<LoadError> {
    let Host::Address(ip) = record.uri.host else {
        return None;
    };
    let is_reached = match record.attributes.socket {
        Some(socket) => socket.0.is_ipv4() == ip.is_ipv4(),
        None => listeners.iter().any(|(_, listener)| listener.local.is_ipv4() == ip.is_ipv4()),
    };
    (!is_reached).then(|| LoadError::NoListener {
        origin: record.origin,
        uri: record.uri.text.clone(),
        is_ipv4: ip.is_ipv4(),
        listeners: record
            .attributes
            .socket
            .map_or_else(|| names_of(listeners), |socket| format!("socket=udp:{}", socket.0)),
    })
}

fn names_of(listeners: &Listeners) -> String {
    let names: Vec<_> =
        listeners.iter().map(|(_, listener)| format!("udp:{}", listener.local)).collect();
    names.join(", ")
}

/// The listener whose address the kernel would send from, else the first of the family.
fn route_to(address: SocketAddr, listeners: &Listeners) -> Option<ListenerId> {
    let same_family = || listeners.iter().filter(|(_, l)| l.local.is_ipv4() == address.is_ipv4());
    if same_family().count() < 2 {
        return same_family().next().map(|(id, _)| id);
    }
    let any: SocketAddr =
        if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let source = std::net::UdpSocket::bind(any)
        .and_then(|socket| socket.connect(address).and_then(|()| socket.local_addr()))
        .ok();
    same_family()
        .find(|(_, listener)| source.is_some_and(|source| listener.local.ip() == source.ip()))
        .or_else(|| same_family().next())
        .map(|(id, _)| id)
}

fn host_port(record: &Record) -> String {
    let host = match &record.uri.host {
        Host::Address(ip) if ip.is_ipv6() => format!("[{ip}]"),
        Host::Address(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    };
    record.uri.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

fn sorted(slots: impl Iterator<Item = Slot>) -> Box<[Slot]> {
    let mut slots: Vec<Slot> = slots.collect();
    slots.sort_unstable();
    slots.dedup();
    slots.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{Attributes, Flags};
    use crate::listener::Listener;
    use crate::pin::{Claim, Kind, PinKey, PinMemory, State};

    const NOW: Now = Now::from_ms(4_000_000_000);

    struct Bench {
        registry: Registry,
        listeners: Listeners,
        pins: PinTable,
    }

    impl Bench {
        fn new() -> Self {
            let listener = Listener {
                name: "a".into(),
                local: "192.0.2.1:5060".parse().unwrap(),
                sent_by: "192.0.2.1:5060".into(),
                force_rport: false,
            };
            Self {
                registry: Registry::default(),
                listeners: Listeners::new(vec![listener], &[]),
                pins: PinTable::new(PinMemory::on_heap(800)),
            }
        }

        fn load(&mut self, now: Now, records: &[Resolved]) -> Result<Table, Vec<LoadError>> {
            self.registry.load(now, records, &self.listeners, &self.pins)
        }
    }

    fn at(number: u32) -> Resolved {
        with_socket(number, None)
    }

    fn with_socket(number: u32, socket: Option<&str>) -> Resolved {
        let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        let uri = DestinationUri::parse(&format!("sip:{ip}")).unwrap();
        let socket = socket.map(|text| SocketName(text.parse().unwrap()));
        let attributes = Attributes { socket, ..Attributes::default() };
        let record = Record {
            set: 1,
            uri,
            flags: Flags::default(),
            priority: 0,
            attributes,
            origin: Origin::Line(3),
        };
        Resolved { record, addresses: vec![SocketAddr::new(ip.into(), 5060).into()] }
    }

    fn slot_at(table: &Table, number: u32) -> Option<Known> {
        table.by_address((std::net::Ipv4Addr::from_bits(0x0a00_0000 + number), 5060).into())
    }

    #[test]
    fn a_slot_stays_with_its_destination_while_it_is_away_too() {
        let mut bench = Bench::new();
        let first = slot_at(&bench.load(NOW, &[at(1), at(2)]).unwrap(), 2).unwrap();
        let away = bench.load(NOW, &[at(3)]).unwrap();
        assert_eq!(slot_at(&away, 2), Some(Known { is_listed: false, ..first }));
        assert_eq!(away.get(first.slot).unwrap().address.to_string(), "10.0.0.2:5060");
        let back = bench.load(NOW, &[at(4), at(2)]).unwrap();
        assert_eq!(slot_at(&back, 2), Some(first));
    }

    #[test]
    fn more_than_fits_is_refused_and_changes_nothing() {
        let mut bench = Bench::new();
        bench.load(NOW, &[at(1), at(2)]).unwrap();
        let many: Vec<_> = (10..10 + limits::SLOTS_MAX as u32).map(at).collect();
        let errors = bench.load(NOW, &many).unwrap_err();
        assert_eq!(errors, [LoadError::TooMany { wanted: limits::SLOTS_MAX }]);
        let table = bench.load(NOW, &[at(1), at(2)]).unwrap();
        assert_eq!(slot_at(&table, 2), Some(Known { slot: Slot(1), is_listed: true }));
        assert_eq!(slot_at(&table, 10), None);
    }

    #[test]
    fn a_number_is_given_to_another_only_after_its_quarantine_and_with_its_pins_cleared() {
        let mut bench = Bench::new();
        let all: Vec<_> = (0..limits::SLOTS_MAX as u32).map(at).collect();
        bench.load(NOW, &all).unwrap();
        let Claim::Claimed(claimed) = bench.pins.claim(NOW, PinKey(5), Kind::Invite, 0) else {
            panic!()
        };
        claimed.commit(Slot(0), State::None);
        bench.load(NOW, &all[1..]).unwrap();

        let mut renewed = all[1..].to_vec();
        renewed.push(at(1 << 20));
        let early = NOW.plus_ms(limits::SLOT_QUARANTINE_MS - 1);
        assert!(bench.load(early, &renewed).is_err());
        assert!(bench.pins.find(NOW, PinKey(5), false).is_some());
        assert_eq!(bench.registry.give_up(early, &renewed), []);
        let late = NOW.plus_ms(limits::SLOT_QUARANTINE_MS);
        let given_up = bench.registry.give_up(late, &renewed);
        assert_eq!(given_up, [Slot(0)]);
        assert!(bench.registry.destinations[0].is_none(), "the next table does not know it");
        assert!(bench.load(late, &renewed).is_err(), "not before every worker has moved on");
        assert_eq!(bench.registry.give_up(late, &renewed), [Slot(0)], "asked again");
        bench.registry.reuse(given_up, &bench.pins);
        assert_eq!(bench.registry.give_up(late, &renewed), []);
        let table = bench.load(late, &renewed).unwrap();
        assert_eq!(slot_at(&table, 1 << 20), Some(Known { slot: Slot(0), is_listed: true }));
        assert_eq!(slot_at(&table, 0), None, "its old owner is forgotten");
        assert!(bench.pins.find(NOW, PinKey(5), false).is_none());
    }

    #[test]
    fn an_address_that_no_listener_reaches_is_an_error() {
        let mut bench = Bench::new();
        let mut record = at(1);
        record.record.uri = DestinationUri::parse("sip:[2001:db8::7]").unwrap();
        let errors = bench.load(NOW, &[record]).unwrap_err();
        assert_eq!(
            errors[0].to_string(),
            "line 3: sip:[2001:db8::7] cannot be reached: udp:192.0.2.1:5060 has no IPv6 address"
        );
    }

    #[test]
    fn a_socket_must_be_one_of_ours() {
        let mut bench = Bench::new();
        bench.load(NOW, &[with_socket(1, Some("192.0.2.1:5060"))]).unwrap();
        let errors = bench.load(NOW, &[with_socket(1, Some("192.0.2.9:5060"))]).unwrap_err();
        assert_eq!(
            errors[0].to_string(),
            "line 3: socket=udp:192.0.2.9:5060 is not one of our listeners: udp:192.0.2.1:5060"
        );
    }
}
