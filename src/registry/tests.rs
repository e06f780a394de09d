//! What stays with a destination from one load to the next.

use std::net::SocketAddr;

use super::*;
use crate::destination::{Attributes, DestinationUri, Flags, Known, Origin, Record, SocketName};
use crate::limits;
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
