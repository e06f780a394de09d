//! What a destination keeps from one load to the next.

use std::net::SocketAddr;

use super::*;
use crate::destination::{Attributes, DestinationUri, Flags, Known, Origin, Record, SocketName};
use crate::limits;
use crate::listener::{Listener, Transport};
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
            transport: Transport::Udp,
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

/// A host name with these addresses, the last bytes of 10.0.0.0.
fn name(addresses: &[u32]) -> Resolved {
    let mut resolved = at(1);
    resolved.record.uri = DestinationUri::parse("sip:ms.example.com").unwrap();
    resolved.addresses = addresses.iter().flat_map(|number| at(*number).addresses).collect();
    resolved
}

fn with_flags(resolved: &Resolved, flags: u32) -> Resolved {
    let mut resolved = resolved.clone();
    resolved.record.flags = Flags::from_bits(flags).unwrap();
    resolved
}

/// Returns the addresses that the next turns go to, each as its last byte.
fn turns(table: &Table, count: usize) -> Vec<u8> {
    let set = table.set(1).unwrap();
    (0..count)
        .map_while(|_| set.choose(true))
        .map(|slot| match table.get(slot).unwrap().address {
            SocketAddr::V4(address) => address.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        })
        .collect()
}

#[test]
fn each_address_of_a_name_has_a_state_of_its_own() {
    use crate::destination::State::{Active, Disabled};
    let address = |number: u32| Some(at(number).addresses[0].socket);
    let mut bench = Bench::new();
    let mut load = |put: &[(Option<SocketAddr>, crate::destination::State)], record: Resolved| {
        for (address, state) in put {
            assert!(bench.registry.put_state(&record, *address, *state, false));
        }
        let table = bench.load(NOW, std::slice::from_ref(&record)).unwrap();
        let (whole, each) = bench.registry.flags(&record);
        let letters: Vec<_> = each.iter().map(|flags| flags.letters()).collect();
        let mut taken = turns(&table, 6);
        taken.sort_unstable();
        taken.dedup();
        (whole.letters(), letters.join(" "), taken)
    };
    let first = load(&[], name(&[1, 2]));
    assert_eq!(first, ("AX", "AX AX".into(), vec![1, 2]));
    // One is disabled: the record is active as long as another is.
    let one = load(&[(address(1), Disabled)], name(&[1, 2]));
    assert_eq!(one, ("AX", "DX AX".into(), vec![2]));
    // The name's addresses change: one that stays keeps its state, a new one starts as the record.
    assert_eq!(load(&[], name(&[3, 1])), ("AX", "AX DX".into(), vec![3]));
    assert_eq!(load(&[(None, Disabled)], name(&[3, 1])), ("DX", "DX DX".into(), vec![]));
    assert_eq!(load(&[], name(&[4])), ("DX", "DX".into(), vec![]));
    assert_eq!(load(&[], name(&[])), ("DX", String::new(), vec![]));
    assert_eq!(load(&[], name(&[5, 6])), ("DX", "DX DX".into(), vec![]));
    assert_eq!(load(&[(address(6), Active)], name(&[5, 6])), ("AX", "DX AX".into(), vec![6]));
    // The flags change in the source once, and then stay.
    assert_eq!(load(&[], with_flags(&name(&[5, 6]), 2)), ("TX", "TX TX".into(), vec![5, 6]));
    assert_eq!(load(&[], with_flags(&name(&[5, 6]), 2)), ("TX", "TX TX".into(), vec![5, 6]));
}

#[test]
fn a_record_is_the_same_by_set_uri_socket_and_duid() {
    use crate::destination::State::Disabled;
    let duid = |resolved: &Resolved, duid: &str| {
        let mut resolved = resolved.clone();
        resolved.record.attributes.text = format!("weight=1;DUID={duid}");
        resolved.record.attributes.duid = duid.split(';').next().map(Into::into);
        resolved
    };
    let in_set = |set| {
        let mut resolved = at(1);
        resolved.record.set = set;
        resolved
    };
    for (says, before, after, is_same) in [
        ("nothing changed", at(1), at(1), true),
        (
            "another priority",
            at(1),
            {
                let mut r = at(1);
                r.record.priority = 9;
                r
            },
            true,
        ),
        ("other attributes", duid(&at(1), "a"), duid(&at(1), "a;weight=2"), true),
        ("another duid", duid(&at(1), "a"), duid(&at(1), "b"), false),
        ("another set", at(1), in_set(2), false),
        ("another socket", at(1), with_socket(1, Some("192.0.2.1:5060")), false),
        ("another URI", at(1), at(2), false),
    ] {
        let mut bench = Bench::new();
        bench.load(NOW, std::slice::from_ref(&before)).unwrap();
        assert!(bench.registry.put_state(&before, None, Disabled, false));
        bench.load(NOW, std::slice::from_ref(&after)).unwrap();
        assert_eq!(bench.registry.flags(&after).0.letters() == "DX", is_same, "{says}");
    }
}

#[test]
fn the_turn_goes_on_after_the_last_one_used_whatever_changes_its_state() {
    use crate::destination::State::{Active, Disabled};
    let mut bench = Bench::new();
    let all = [at(1), at(2), at(3)];
    assert_eq!(turns(&bench.load(NOW, &all).unwrap(), 2), [1, 2]);
    bench.registry.put_state(&all[2], None, Disabled, false);
    assert_eq!(turns(&bench.load(NOW, &all).unwrap(), 1), [1]);
    bench.registry.put_state(&all[2], None, Active, false);
    assert_eq!(turns(&bench.load(NOW, &all).unwrap(), 3), [2, 3, 1]);
    assert_eq!(turns(&bench.load(NOW, &[at(3), at(1), at(2)]).unwrap(), 2), [2, 3]);
}
