//! What a destination keeps from one load to the next.

use std::net::SocketAddr;

use super::*;
use crate::destination::{
    Algorithm, Ask, Attributes, Choosing, DestinationUri, Flags, Known, Origin, Record, SocketName,
    SourceMatch,
};
use crate::limits;
use crate::listener::{Listener, Transport};
use crate::pin::{Claim, Kind, PinKey, PinMemory, State};

const NOW: Now = Now::from_ms(4_000_000_000);
const INVITE: Ask = Ask { is_invite: true, entropy: 0, key: None };

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
            set: None,
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

    fn set_state(
        &mut self,
        resolved: &Resolved,
        address: Option<SocketAddr>,
        state: crate::destination::DestinationState,
    ) {
        let identity = RecordIdentity::of(&resolved.record);
        self.registry.set_state(resolved.record.set, &[(identity, address)], state, false);
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

fn in_set(set: u32, number: u32) -> Resolved {
    let mut resolved = at(number);
    resolved.record.set = set;
    resolved
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
fn trust_ends_after_the_longest_pin_life_and_then_the_slot_is_given_to_another() {
    let mut bench = Bench::new();
    let table = bench.load(NOW, &[at(1), at(2)]).unwrap();
    let slot = slot_at(&table, 1).unwrap().slot;
    let Claim::Claimed(claimed) = bench.pins.claim(NOW, PinKey(5), Kind::Invite, 0) else {
        panic!()
    };
    claimed.commit(slot, State::None);
    bench.load(NOW, &[at(2)]).unwrap();

    let early = NOW.plus_ms(limits::SLOT_QUARANTINE_MS - 1);
    let late = NOW.plus_ms(limits::SLOT_QUARANTINE_MS);
    assert!(!bench.registry.has_ended(early) && bench.registry.has_ended(late));
    bench.registry = bench.registry.without_ended(early);
    assert!(slot_at(&bench.registry.table(), 1).is_some());
    bench.registry = bench.registry.without_ended(late);
    assert!(!bench.registry.has_ended(late), "once");
    let table = bench.registry.table();
    let ip = at(1).addresses[0].socket;
    for how in [SourceMatch::AddressAndPort, SourceMatch::Address] {
        assert_eq!(table.by_source(ip, how), None, "it is no destination any more");
    }
    assert_eq!(table.by_host(b"10.0.0.1", 5060), None);
    assert!(table.hop(slot).is_none() && table.get(slot).is_none());
    assert_eq!(slot_at(&table, 2), Some(Known { slot: Slot(1), is_listed: true }), "it stays");

    // A worker may still use an older table, so the slot is not given to another.
    assert_eq!(bench.registry.unused(), [slot]);
    let table = bench.load(late, &[at(2), at(3)]).unwrap();
    assert_eq!(slot_at(&table, 3).unwrap().slot, Slot(2));
    bench.registry.free(&[slot]);
    assert_eq!(bench.registry.unused(), []);
    let table = bench.load(late, &[at(2), at(3), at(4)]).unwrap();
    assert_eq!(slot_at(&table, 4), Some(Known { slot, is_listed: true }));
    assert_eq!(table.hop(slot).unwrap().address, at(4).addresses[0].socket);
}

#[test]
fn a_list_that_changed_completely_fits_when_the_trust_in_the_old_one_has_ended() {
    let mut bench = Bench::new();
    let all: Vec<_> = (0..limits::SLOTS_MAX as u32).map(at).collect();
    bench.load(NOW, &all).unwrap();
    bench.load(NOW, &all[1..]).unwrap();
    let mut renewed = all[1..].to_vec();
    renewed.push(at(1 << 20));
    let late = NOW.plus_ms(limits::SLOT_QUARANTINE_MS);
    let errors = bench.load(late, &renewed).unwrap_err();
    assert_eq!(errors, [LoadError::TooMany { wanted: limits::SLOTS_MAX }]);
    bench.registry = bench.registry.without_ended(late);
    bench.registry.free(&[Slot(0)]);
    let table = bench.load(late, &renewed).unwrap();
    assert_eq!(slot_at(&table, 1 << 20), Some(Known { slot: Slot(0), is_listed: true }));
    assert_eq!(slot_at(&table, 0), None);
}

#[test]
fn a_destination_that_comes_back_is_trusted_on() {
    let mut bench = Bench::new();
    let listed = slot_at(&bench.load(NOW, &[at(1)]).unwrap(), 1);
    bench.load(NOW, &[]).unwrap();
    let late = NOW.plus_ms(limits::SLOT_QUARANTINE_MS);
    bench.load(late, &[at(1)]).unwrap();
    assert!(!bench.registry.has_ended(late));
    bench.registry = bench.registry.without_ended(late);
    assert_eq!(slot_at(&bench.registry.table(), 1), listed);
}

#[test]
fn an_address_that_no_listener_reaches_is_an_error() {
    let mut bench = Bench::new();
    let mut record = at(1);
    record.record.uri = DestinationUri::parse("sip:[2001:db8::7]").unwrap();
    let errors = bench.load(NOW, &[record]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "line 3: sip:[2001:db8::7] cannot be reached: udp:192.0.2.1:5060 has no IPv6 address: \
         add an IPv6 address to relay.listen"
    );
}

#[test]
fn a_socket_must_be_one_of_ours() {
    let mut bench = Bench::new();
    bench.load(NOW, &[with_socket(1, Some("192.0.2.1:5060"))]).unwrap();
    let errors = bench.load(NOW, &[with_socket(1, Some("192.0.2.9:5060"))]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "line 3: socket=udp:192.0.2.9:5060 is not one of our listeners: name one of \
         udp:192.0.2.1:5060, or add it to relay.listen"
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
        .map_while(|_| set.choose(&INVITE))
        .map(|slot| match table.get(slot).unwrap().address {
            SocketAddr::V4(address) => address.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        })
        .collect()
}

#[test]
fn each_address_of_a_name_has_a_state_of_its_own() {
    use crate::destination::DestinationState::{Active, Disabled};
    let address = |number: u32| Some(at(number).addresses[0].socket);
    let mut bench = Bench::new();
    let mut load = |put: &[(Option<SocketAddr>, crate::destination::DestinationState)],
                    record: Resolved| {
        for (address, state) in put {
            bench.set_state(&record, *address, *state);
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
    use crate::destination::DestinationState::Disabled;
    let duid = |resolved: &Resolved, duid: &str| {
        let mut resolved = resolved.clone();
        resolved.record.attributes.text = format!("weight=1;DUID={duid}");
        resolved.record.attributes.duid = duid.split(';').next().map(Into::into);
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
        ("another set", at(1), in_set(2, 1), false),
        ("another socket", at(1), with_socket(1, Some("192.0.2.1:5060")), false),
        ("another URI", at(1), at(2), false),
    ] {
        let mut bench = Bench::new();
        bench.load(NOW, std::slice::from_ref(&before)).unwrap();
        bench.set_state(&before, None, Disabled);
        bench.load(NOW, std::slice::from_ref(&after)).unwrap();
        assert_eq!(bench.registry.flags(&after).0.letters() == "DX", is_same, "{says}");
    }
}

#[test]
fn the_turn_goes_on_after_the_last_one_used_whatever_changes_its_state() {
    use crate::destination::DestinationState::{Active, Disabled};
    let mut bench = Bench::new();
    let all = [at(1), at(2), at(3)];
    assert_eq!(turns(&bench.load(NOW, &all).unwrap(), 2), [1, 2]);
    bench.set_state(&all[2], None, Disabled);
    assert_eq!(turns(&bench.load(NOW, &all).unwrap(), 1), [1]);
    bench.set_state(&all[2], None, Active);
    assert_eq!(turns(&bench.load(NOW, &all).unwrap(), 3), [2, 3, 1]);
    assert_eq!(turns(&bench.load(NOW, &[at(3), at(1), at(2)]).unwrap(), 2), [2, 3]);
}

#[test]
fn the_kernel_is_asked_once_for_each_new_address() {
    use std::cell::Cell;

    use crate::destination::DestinationState::{Active, Disabled};
    thread_local!(static ASKED: Cell<usize> = const { Cell::new(0) });
    let asked = || ASKED.with(Cell::get);
    let mut bench = Bench::new();
    bench.registry.route_lookup = RouteLookup(|address| {
        ASKED.with(|asked| asked.set(asked.get() + 1));
        // Even addresses are reached from the second listener.
        let SocketAddr::V4(address) = address else { return None };
        let last = if address.ip().octets()[3].is_multiple_of(2) { 2 } else { 1 };
        Some([192, 0, 2, last].into())
    });
    let listener = bench.listeners.get(crate::listener::ListenerId(0)).clone();
    let second = Listener {
        name: "b".into(),
        local: "192.0.2.2:5060".parse().unwrap(),
        sent_by: "192.0.2.2:5060".into(),
        ..listener.clone()
    };
    bench.listeners = Listeners::new(vec![listener, second], &[]);
    let fallback = |table: &Table, number| {
        table.hop(slot_at(table, number).unwrap().slot).unwrap().fallback_listener.unwrap().0
    };

    let mut all: Vec<_> = (1..=100).map(at).collect();
    let table = bench.load(NOW, &all).unwrap();
    assert_eq!(asked(), 100);
    assert_eq!((fallback(&table, 1), fallback(&table, 2)), (0, 1));
    for state in [Disabled, Active] {
        bench.set_state(&all[0], None, state);
    }
    bench.load(NOW, &all).unwrap();
    assert_eq!(asked(), 100, "neither a state nor a load of the same addresses needs a lookup");
    all.push(in_set(2, 1));
    all.push(at(200));
    let table = bench.load(NOW, &all).unwrap();
    assert_eq!(asked(), 101, "one of the two addresses is known");
    assert_eq!((fallback(&table, 1), fallback(&table, 2), fallback(&table, 200)), (0, 1, 1));
    bench.load(NOW, &all[..100]).unwrap();
    bench.load(NOW, &all).unwrap();
    assert_eq!(asked(), 101, "a retired destination keeps its route");
}

#[test]
fn a_changed_state_builds_its_own_set_and_nothing_else() {
    use crate::destination::DestinationState::Disabled;
    let mut bench = Bench::new();
    let all = [in_set(1, 1), in_set(1, 2), in_set(2, 1), in_set(3, 3)];
    let before = bench.load(NOW, &all).unwrap();
    bench.set_state(&all[2], None, Disabled);
    let after = bench.registry.table();
    let is_shared: Vec<_> =
        before.sets().iter().zip(after.sets()).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(is_shared, [true, false, true]);
    assert!(Arc::ptr_eq(&before.hops, &after.hops));
    assert!(Arc::ptr_eq(&before.destinations, &after.destinations));
    assert!(Arc::ptr_eq(&before.index, &after.index));
    assert!(before.set(2).unwrap().has_active() && !after.set(2).unwrap().has_active());
    // A set or a record that is not in force has no state.
    bench.set_state(&in_set(9, 1), None, Disabled);
    bench.set_state(&in_set(3, 9), None, Disabled);
    assert!(bench.registry.table().set(3).unwrap().has_active());
}

#[test]
fn one_server_in_two_sets_has_two_slots() {
    let mut bench = Bench::new();
    let table = bench.load(NOW, &[in_set(1, 1), in_set(2, 1)]).unwrap();
    let chosen = [1, 2].map(|set| table.set(set).unwrap().choose(&INVITE).unwrap());
    assert_eq!(chosen, [Slot(0), Slot(1)]);
    assert_eq!(chosen.map(|slot| table.set_of(slot)), [Some(1), Some(2)]);
    assert_eq!(slot_at(&table, 1), Some(Known { slot: Slot(0), is_listed: true }));
    assert!(!table.set(1).unwrap().is_active(Slot(1)));
    // The other one is found as soon as only that is listed, and a retired one keeps its set.
    let table = bench.load(NOW, &[in_set(2, 1)]).unwrap();
    assert_eq!(slot_at(&table, 1), Some(Known { slot: Slot(1), is_listed: true }));
    assert_eq!(table.set_of(Slot(0)), Some(1));
}

#[test]
fn sets_that_were_renumbered_leave_nothing_behind() {
    const SETS: u32 = 3_000;
    let mut bench = Bench::new();
    let list = |round: u32| (0..SETS).map(|n| in_set(round * SETS + n, n)).collect::<Vec<_>>();
    for round in 0..11 {
        bench.load(NOW.plus_ms(u64::from(round)), &list(round)).unwrap();
    }
    assert_eq!(bench.registry.sets.len(), 11 * SETS as usize, "calls may still be in progress");
    let late = NOW.plus_ms(11 + limits::SLOT_QUARANTINE_MS);
    bench.registry = bench.registry.without_ended(late);
    assert_eq!(bench.registry.sets.len(), SETS as usize);
    let table = bench.registry.table();
    assert_eq!((table.sets().len(), table.sets()[0].id), (SETS as usize, 10 * SETS));
    let unused = bench.registry.unused().to_vec();
    assert_eq!(unused.len(), 10 * SETS as usize);
    bench.registry.free(&unused);
    bench.load(late, &list(11)).unwrap();
    assert_eq!(bench.registry.table().hops.len(), 11 * SETS as usize, "their slots are used again");
}

#[test]
fn a_set_that_comes_back_before_it_is_forgotten_goes_on_with_its_round() {
    let mut bench = Bench::new();
    let set = [in_set(1, 1), in_set(1, 2)];
    let one_turn =
        |table: &Table| table.get(table.set(1).unwrap().choose(&INVITE).unwrap()).unwrap().address;
    assert_eq!(one_turn(&bench.load(NOW, &set).unwrap()), set[0].addresses[0].socket);
    let away = bench.load(NOW, &[in_set(2, 3)]).unwrap();
    assert!(!away.set(1).unwrap().has_active());
    assert_eq!(one_turn(&bench.load(NOW, &set).unwrap()), set[1].addresses[0].socket);
    // A set without any address is forgotten at once.
    let unresolved = Resolved { addresses: Vec::new(), ..in_set(4, 4) };
    assert!(bench.load(NOW, &[unresolved]).unwrap().set(4).is_some());
    assert!(bench.load(NOW, &[]).unwrap().set(4).is_none());
}

#[test]
fn a_peek_is_the_next_choice() {
    use crate::destination::DestinationState::Disabled;
    let mut bench = Bench::new();
    assert_eq!(
        bench.load(NOW, &[with_flags(&at(9), 4)]).unwrap().set(1).unwrap().peek(&INVITE),
        None
    );
    let mut weighted = name(&[1, 2, 3]);
    weighted.addresses[1].weight = 3;
    let all = [at(7), weighted, at(8)];
    let mut table = bench.load(NOW, &all).unwrap();
    for turn in 0..40 {
        let set = table.set(1).unwrap();
        let ask = Ask { is_invite: turn % 3 != 0, ..Ask::default() };
        let peeked = set.peek(&ask);
        assert_eq!(set.peek(&ask), peeked, "it takes no turn");
        assert_eq!(set.round(&ask).first().copied(), peeked);
        assert_eq!(set.choose(&ask), peeked);
        if turn == 20 {
            bench.set_state(&all[2], None, Disabled);
            table = bench.registry.table();
        }
    }
}

#[test]
fn turns_that_are_taken_during_a_build_count() {
    let mut bench = Bench::new();
    let set = [at(1), at(2), at(3)];
    let before = bench.load(NOW, &set).unwrap();
    let more = [at(1), at(2), at(3), at(4), in_set(2, 5)];
    let mut next = bench.registry.loaded(NOW, &more, &bench.listeners).unwrap();
    next.continue_rounds(&bench.registry);
    let early = next.table();
    assert!(Arc::ptr_eq(&early.sets()[0], &next.table().sets()[0]), "no turn was taken");
    // The last of five turns goes to the second one, so the third comes next.
    assert_eq!(turns(&before, 5), [1, 2, 3, 1, 2]);
    next.continue_rounds(&bench.registry);
    assert_eq!(turns(&next.table(), 5), [3, 4, 1, 2, 3]);
    assert!(Arc::ptr_eq(&early.sets()[1], &next.table().sets()[1]), "the other set stays");
}

#[test]
fn flags_change_only_from_what_they_are_expected_to_be() {
    let mut bench = Bench::new();
    let named = |duid: &str| {
        let mut record = at(1);
        record.record.attributes.duid = Some(duid.into());
        record
    };
    let all = [named("a"), named("b"), at(2), in_set(2, 1)];
    let table = bench.load(NOW, &all).unwrap();
    let slot_of = |bench: &Bench, r: &Resolved| {
        bench.registry.slot(&r.record, r.addresses[0].socket).unwrap()
    };
    let (one, two) = (slot_of(&bench, &all[0]), slot_of(&bench, &all[2]));
    let other_set = slot_of(&bench, &all[3]);
    bench.set_state(&all[1], None, crate::destination::DestinationState::Disabled);
    let flags = |bits| Flags::from_bits(bits).unwrap();
    let change = |slot, from, to| FlagChange { slot, from: flags(from), to: flags(to) };

    let changes =
        [change(one, 0, 9), change(two, 8, 9), change(other_set, 0, 2), change(Slot(4_000), 0, 1)];
    assert_eq!(bench.registry.change_flags(&changes), [changes[0], changes[2]]);
    let bits: Vec<_> = all.iter().map(|r| bench.registry.flags(r).1[0].bits()).collect();
    assert_eq!(bits, [9, Flags::DISABLED, 0, 2], "the second is disabled, the third never had 8");
    let now = bench.registry.table();
    assert_eq!(now.set(1).unwrap().round(&INVITE), [two]);
    assert!(now.set(2).unwrap().is_active(other_set), "trying is chosen");
    assert!(!Arc::ptr_eq(&now.sets()[0], &table.sets()[0]));

    let before = bench.registry.table();
    assert_eq!(bench.registry.change_flags(&[change(one, 4, 0)]), [change(one, 4, 0)]);
    assert_eq!(bench.registry.change_flags(&[change(two, 4, 0)]), []);
    assert!(Arc::ptr_eq(&bench.registry.table().sets()[1], &before.sets()[1]), "set 2 is the same");
}

#[test]
fn differences_are_what_changed() {
    let mut bench = Bench::new();
    let none = Registry::default();
    let all = [at(1), at(2), in_set(2, 1), in_set(3, 3)];
    bench.load(NOW, &all).unwrap();
    let say = |now: &Registry, before: &Registry| -> Vec<String> {
        let bits = |flags: Option<Flags>| flags.map_or("-".into(), |f| f.bits().to_string());
        let say = |d: Difference| {
            let slot = d.slot.map_or("-".into(), |slot| slot.0.to_string());
            let (set, uri) = (d.identity.set(), d.identity.uri());
            format!("{set} {uri} {} {slot} {}->{}", d.address, bits(d.from), bits(d.to))
        };
        now.differences(before).into_iter().map(say).collect()
    };
    assert_eq!(
        say(&bench.registry, &none),
        [
            "1 sip:10.0.0.1 10.0.0.1:5060 0 -->0",
            "1 sip:10.0.0.2 10.0.0.2:5060 1 -->0",
            "2 sip:10.0.0.1 10.0.0.1:5060 2 -->0",
            "3 sip:10.0.0.3 10.0.0.3:5060 3 -->0",
        ]
    );
    let before = bench.registry.clone();
    assert_eq!(say(&bench.registry, &before), [""; 0]);
    bench.set_state(&all[1], None, crate::destination::DestinationState::Inactive);
    assert_eq!(say(&bench.registry, &before), ["1 sip:10.0.0.2 10.0.0.2:5060 1 0->1"]);

    let before = bench.registry.clone();
    bench.load(NOW, &[at(2), at(4), in_set(2, 1)]).unwrap();
    assert_eq!(
        say(&bench.registry, &before),
        [
            "1 sip:10.0.0.4 10.0.0.4:5060 4 -->0",
            "1 sip:10.0.0.1 10.0.0.1:5060 - 0->-",
            "3 sip:10.0.0.3 10.0.0.3:5060 - 0->-",
        ],
        "the state of the second stays"
    );
}

#[test]
fn each_set_chooses_in_its_own_way_and_a_reload_may_change_it() {
    let mut bench = Bench::new();
    let list = [in_set(1, 1), in_set(1, 2), in_set(2, 3), in_set(2, 4)];
    let first = Choosing { algorithm: Algorithm::First, ..Choosing::default() };
    bench.registry.choose_by(Choosings::new(&Choosing::default(), [(1, &first)]));
    let table = bench.load(NOW, &list).unwrap();
    assert_eq!(turns(&table, 3), [1, 1, 1]);
    let other = table.set(2).unwrap();
    assert_ne!(other.choose(&INVITE), other.choose(&INVITE));
    bench.set_state(&list[0], None, crate::destination::DestinationState::Inactive);
    assert_eq!(turns(&bench.registry.table(), 2), [2, 2], "a state keeps the algorithm");
    bench.registry.choose_by(Choosings::default());
    assert_eq!(turns(&bench.registry.table(), 1), [2], "until the next load");
    assert_eq!(turns(&bench.load(NOW, &list[1..]).unwrap(), 2), [2, 2]);
    let table = bench.load(NOW, &[in_set(1, 2), in_set(1, 9)]).unwrap();
    assert_eq!(turns(&table, 3), [9, 2, 9]);
}

#[test]
fn kamailio_reverses_what_has_one_priority() {
    let mut bench = Bench::new();
    let with_priority = |number, priority| {
        let mut resolved = at(number);
        resolved.record.priority = priority;
        resolved
    };
    let list = [(1, 9), (2, 5), (3, 5), (4, 5), (5, 0), (6, 0)].map(|(n, p)| with_priority(n, p));
    for (is_kamailio, wants) in [(false, [1, 2, 3, 4, 5, 6]), (true, [1, 4, 3, 2, 6, 5])] {
        bench.registry = Registry::default();
        let choosing = Choosing { is_kamailio, ..Choosing::default() };
        bench.registry.choose_by(Choosings::new(&choosing, []));
        assert_eq!(turns(&bench.load(NOW, &list).unwrap(), 6), wants);
    }
}

#[test]
fn the_last_resort_is_used_when_no_other_can_be() {
    use crate::destination::DestinationState::{Active, Inactive};
    let choosing = |is_kamailio| Choosing { use_default: true, is_kamailio, ..Choosing::default() };
    let mut bench = Bench::new();
    bench.registry.choose_by(Choosings::new(&choosing(false), []));
    assert_eq!(turns(&bench.load(NOW, &[at(1)]).unwrap(), 2), [1, 1], "the only one is like any");
    let list = [at(1), at(2), at(3)];
    let table = bench.load(NOW, &list).unwrap();
    assert_eq!(turns(&table, 4), [2, 1, 2, 1]);
    let set = table.set(1).unwrap();
    assert_eq!(set.round(&INVITE).len(), 3);
    assert!(set.is_active(*set.round(&INVITE).last().unwrap()), "it may serve calls");
    bench.set_state(&list[0], None, Inactive);
    assert_eq!(turns(&bench.registry.table(), 2), [2, 2]);
    bench.set_state(&list[1], None, Inactive);
    assert_eq!(turns(&bench.registry.table(), 2), [3, 3]);
    bench.set_state(&list[2], None, Inactive);
    assert!(turns(&bench.registry.table(), 2).is_empty());
    bench.set_state(&list[1], None, Active);
    assert_eq!(turns(&bench.registry.table(), 2), [2, 2]);
    // In Kamailio's order, the first line is the last one.
    bench.registry = Registry::default();
    bench.registry.choose_by(Choosings::new(&choosing(true), []));
    assert_eq!(turns(&bench.load(NOW, &list).unwrap(), 3), [3, 2, 3]);
}

#[test]
fn two_records_with_one_uri_have_a_share_each() {
    let mut bench = Bench::new();
    let choosing = Choosing { algorithm: Algorithm::Consistent, ..Choosing::default() };
    bench.registry.choose_by(Choosings::new(&choosing, []));
    let mut twin = at(1);
    twin.record.attributes.socket = Some(SocketName("192.0.2.1:5060".parse().unwrap()));
    let table = bench.load(NOW, &[at(1), twin, at(2)]).unwrap();
    let set = table.set(1).unwrap();
    let chosen = (0..64).map(|n| set.choose(&Ask { key: Some(n << 58), ..INVITE }).unwrap());
    assert_eq!(chosen.collect::<std::collections::HashSet<_>>().len(), 3);
}
