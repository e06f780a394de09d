//! The relay's own choosers: lists of destinations as a reload loads them, and what a set chooses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use strowger::clock::Now;
use strowger::destination::{
    Ask, Attributes, DestinationState, DestinationUri, Flags, Origin, Part, Record, Resolved, Set,
    Slot, Table,
};
use strowger::proxy::{Flow, Forwarded, FrameBuffer, ListenerId, Outbox, Proxy, Shared, Verdict};
use strowger::registry::{Choosings, RecordIdentity, Registry};

use super::{Way, world};

/// A relay with one set of destinations. They are numbered from 0, in the order of the list.
pub(crate) struct Relay {
    registry: Registry,
    shared: Arc<Shared>,
    is_kamailio: bool,
}

impl Relay {
    /// Creates a relay that chooses this way.
    pub(crate) fn new(way: &Way) -> Self {
        let mut registry = Registry::default();
        registry.choose_by(Choosings::new(&way.choosing, []));
        Self { registry, shared: world::shared(1 << 13), is_kamailio: way.choosing.is_kamailio }
    }

    /// Loads a list of the destinations with these numbers.
    pub(crate) fn load(&mut self, numbers: impl Iterator<Item = u16>) -> Loaded {
        let mut records: Vec<_> = numbers.map(record).collect();
        if self.is_kamailio {
            // Kamailio's order: the last line goes first.
            records.reverse();
        }
        let Shared { listeners, pins, .. } = &*self.shared;
        let table = self.registry.load(NOW, &records, listeners, pins);
        Loaded::new(table.expect("a list that can be loaded"))
    }

    /// Makes one destination inactive, as probing does.
    pub(crate) fn make_inactive(&mut self, number: u16) -> Loaded {
        let identity = RecordIdentity::of(&record(number).record);
        self.registry.set_state(SET, &[(identity, None)], DestinationState::Inactive, true);
        Loaded::new(self.registry.table())
    }

    /// Returns where an INVITE with this Call-ID goes when the whole relay handles it.
    pub(crate) fn invite(&self, loaded: &Loaded, call_id: &str) -> u16 {
        let caller: SocketAddr = "198.51.100.7:5060".parse().expect("an address");
        let invite = format!(
            "INVITE sip:+4930123456@sip.example.net SIP/2.0\r\n\
             Via: SIP/2.0/UDP {caller};branch=z9hG4bK-524287-1\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:+4989987654@example.org>;tag=8d5f2a7c\r\n\
             To: <sip:+4930123456@sip.example.net>\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 INVITE\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let mut outbox = Outbox::new();
        let mut frame = FrameBuffer::default();
        let verdict = Proxy::new(Arc::clone(&self.shared)).datagram(
            NOW,
            &world::snapshot(1, loaded.table.clone()),
            Flow::new(&self.shared.listeners, ListenerId(0), caller),
            frame.receive(invite.as_bytes()),
            &mut outbox,
        );
        assert_eq!(verdict, Verdict::Forwarded(Forwarded::Chosen), "{call_id}");
        number_of(outbox.entries()[0].flow.peer)
    }
}

/// A list in force.
pub(crate) struct Loaded {
    table: Table,
    /// By slot: the number of the destination.
    numbers: Vec<Option<u16>>,
}

impl Loaded {
    fn new(table: Table) -> Self {
        let number = |slot| table.hop(Slot(slot)).map(|hop| number_of(hop.address));
        Self { numbers: (0..=u16::MAX).map(number).collect(), table }
    }

    fn set(&self) -> &Set {
        self.table.set(SET).expect("the only set")
    }

    /// Returns the hash of this Call-ID that the set chooses by.
    pub(crate) fn key(&self, call_id: &str) -> u64 {
        let key = self.set().key().expect("a hash algorithm has a key");
        assert_eq!(key.parts, [Part::CallId]);
        let mut hasher = key.hasher();
        hasher.part(call_id.as_bytes());
        hasher.finish().expect("a Call-ID is a key")
    }

    /// Returns the number of the destination that each call gets, and checks that it can be chosen.
    pub(crate) fn choose(&self, keys: &[u64]) -> Vec<u16> {
        let set = self.set();
        let choose = |key: &u64| {
            let ask = Ask { is_invite: true, entropy: 0, key: Some(*key) };
            let slot = set.choose(&ask).expect("every call gets a destination");
            assert!(set.is_active(slot), "a call gets a destination that cannot be chosen");
            self.numbers[usize::from(slot.0)].expect("a slot in use")
        };
        keys.iter().map(choose).collect()
    }
}

fn record(number: u16) -> Resolved {
    let address =
        SocketAddr::from((Ipv4Addr::from_bits(FIRST.to_bits() + u32::from(number)), 5060));
    Resolved {
        record: Record {
            set: SET,
            uri: DestinationUri::parse(&format!("sip:{address}")).expect("a URI"),
            flags: Flags::default(),
            priority: 0,
            attributes: Attributes::default(),
            origin: Origin::Line(usize::from(number) + 1),
        },
        addresses: vec![address.into()],
    }
}

fn number_of(address: SocketAddr) -> u16 {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_bits() - FIRST.to_bits()) as u16,
        SocketAddr::V6(_) => unreachable!("all destinations have an IPv4 address"),
    }
}

const SET: u32 = 1;
const NOW: Now = Now::from_ms(1_000_000_000);
/// The address of the first destination.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
