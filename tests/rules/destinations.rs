//! The destinations: which URIs are read, which mean the same server, who may be chosen and how often.

use std::net::SocketAddr;

use strowger::destination::{
    Address, DestinationState, DestinationUri, Flags, Host, Slot, SourceMatch, Table, UriError,
};

use strowger::proxy::{Listener, Listeners, Transport};

use crate::messages::{A, BOB, CALLER, Request, invite};
use crate::relay::{Relay, TRUST_MS, record};

#[test]
fn uris_of_destinations() {
    type Wants<'a> = Result<(&'a str, Option<u16>), UriError>;
    let name = "n".repeat(253);
    let rows: [(&str, Wants); 34] = [
        ("sip:10.0.0.1", Ok(("10.0.0.1", None))),
        ("SIP:10.0.0.1:5080", Ok(("10.0.0.1", Some(5080)))),
        ("10.0.0.1:5080", Ok(("10.0.0.1", Some(5080)))),
        ("sip:[2001:db8::1]:5080", Ok(("2001:db8::1", Some(5080)))),
        ("[2001:db8::1]", Ok(("2001:db8::1", None))),
        ("sip:Media.example.COM", Ok(("media.example.com", None))),
        ("sip:ms_1-a.example.com:1", Ok(("ms_1-a.example.com", Some(1)))),
        ("ms1:65535", Ok(("ms1", Some(65_535)))),
        ("sip:1a", Ok(("1a", None))),
        ("sip:h;transport=udp", Ok(("h", None))),
        ("sip:h;TRANSPORT = UDP ;x=y", Ok(("h", None))),
        ("sip:h;x=tcp;lr", Ok(("h", None))),
        (&name, Ok((&name, None))),
        ("sips:h", Err(UriError::Scheme("sips".into()))),
        ("TEL:+1", Err(UriError::Scheme("TEL".into()))),
        ("tcp:h:5060", Err(UriError::Scheme("tcp".into()))),
        ("tls:h:5060", Err(UriError::Scheme("tls".into()))),
        ("udp:h:5060", Err(UriError::Scheme("udp".into()))),
        ("sip:h;transport=tcp", Err(UriError::Transport("tcp".into()))),
        ("sip:h;x;transport=TLS", Err(UriError::Transport("TLS".into()))),
        ("sip:bob@h", Err(UriError::User("h".into()))),
        ("sip:h?Route=x", Err(UriError::Headers("?Route=x".into()))),
        ("sip:h:0", Err(UriError::Port("0".into()))),
        ("sip:h:65536", Err(UriError::Port("65536".into()))),
        ("sip:h:+80", Err(UriError::Port("+80".into()))),
        ("sip:h:", Err(UriError::Port(String::new()))),
        ("sip:", Err(UriError::Host(String::new()))),
        ("sip:2001:db8::1", Err(UriError::Host("2001".into()))),
        ("sip:[10.0.0.1]", Err(UriError::Host("[10.0.0.1]".into()))),
        ("sip:[2001:db8::1", Err(UriError::Host("[2001:db8::1".into()))),
        ("sip:[2001:db8::1]x", Err(UriError::Host("[2001:db8::1]x".into()))),
        ("sip:-h", Err(UriError::Host("-h".into()))),
        ("sip:10.0.0", Err(UriError::Host("10.0.0".into()))),
        ("sip:h/x", Err(UriError::Host("h/x".into()))),
    ];
    for (text, wants) in rows {
        let got = DestinationUri::parse(text).map(|uri| {
            let host = match uri.host {
                Host::Address(ip) => ip.to_string(),
                Host::Name(name) => name,
            };
            (host, uri.port)
        });
        assert_eq!(got, wants.map(|(host, port)| (host.to_owned(), port)), "{text}");
    }
    for host in [".h", "h h", &"n".repeat(254)] {
        assert_eq!(DestinationUri::parse(host), Err(UriError::Host(host.into())));
    }
}

#[test]
fn uris_that_mean_the_same_server() {
    for (one, other, wants) in [
        ("sip:h", "SIP:H", true),
        ("sip:h", "h:5060", true),
        ("sip:h", "sip:h;transport=udp", true),
        ("sip:h;a;b=C", "sip:h;B=c;;a ", true),
        ("sip:[2001:db8::1]", "sip:[2001:DB8:0::1]:5060", true),
        ("sip:h", "sip:g", false),
        ("sip:h", "sip:h:5061", false),
        ("sip:h", "sip:h;a", false),
        ("sip:h;a=1", "sip:h;a=2", false),
    ] {
        let uri = |text| DestinationUri::parse(text).unwrap();
        assert_eq!(uri(one).is_same(&uri(other)), wants, "{one} {other}");
        assert_eq!(uri(other).is_same(&uri(one)), wants, "{other} {one}");
    }
}

/// All numbers of flags, as Kamailio reads them.
#[test]
fn flags_say_a_state_and_letters() {
    for bits in 0..64 {
        let flags = Flags::from_bits(bits).unwrap();
        assert_eq!(flags.bits(), bits);
        let (state, letter) = match bits & 7 {
            1 | 3 | 5 | 7 => (DestinationState::Inactive, 'I'),
            4 | 6 => (DestinationState::Disabled, 'D'),
            2 => (DestinationState::Trying, 'T'),
            _ => (DestinationState::Active, 'A'),
        };
        let probing = match (bits & 8 != 0, bits & 32 != 0) {
            (true, _) => 'P',
            (false, true) => 'N',
            (false, false) => 'X',
        };
        assert_eq!(flags.state(), state, "{bits}");
        assert_eq!(flags.letters(), format!("{letter}{probing}"), "{bits}");
        let is_selectable = matches!(state, DestinationState::Active | DestinationState::Trying);
        assert_eq!(flags.is_selectable(), is_selectable, "{bits}");
        for (state, number) in [
            (DestinationState::Active, 0),
            (DestinationState::Trying, 2),
            (DestinationState::Inactive, 1),
            (DestinationState::Disabled, 4),
        ] {
            for (is_probed, probing) in [(false, 0), (true, 8)] {
                let got = flags.in_state(state, is_probed).bits();
                assert_eq!(got, (bits & (16 | 32)) | number | probing, "{bits} {state:?}");
            }
        }
    }
    assert_eq!((Flags::from_bits(64), Flags::from_bits(u32::MAX)), (None, None));
}

/// Shares that a round of 128 turns cannot have exactly: a turn more for those that lack most of one.
#[test]
fn weights_that_do_not_divide_a_round() {
    for (weights, wants) in [
        ([100, 101, 102], [169, 171, 172]),
        ([100, 100, 101], [170, 170, 172]),
        ([0, 1, 0], [1, 510, 1]),
    ] {
        let mut resolved = record("sip:media.example.com", 0);
        let address = |(at, weight): (u8, u16)| Address {
            priority: 0,
            weight,
            socket: SocketAddr::from(([10, 0, 0, at], 5060)),
        };
        resolved.addresses = (0..).zip(weights).map(address).collect();
        let mut relay = Relay::new(&[]);
        relay.load_records(&[resolved]);
        let mut counts = [0; 3];
        for n in 0..512 {
            let to = relay.send(CALLER, invite(&format!("weighted-{n}"))).forwarded().to;
            let octet = to.ip().to_string().rsplit('.').next().unwrap().parse::<usize>().unwrap();
            counts[octet] += 1;
        }
        assert_eq!(counts, wants, "{weights:?}");
    }
}

#[test]
fn a_name_has_its_turn_and_its_addresses_share_it_by_their_ranks() {
    struct Row {
        says: &'static str,
        /// Priority and weight of each address.
        given: &'static [(u16, u16)],
        /// The addresses that eight calls get.
        wants: &'static str,
    }
    let row = |says, given, wants| Row { says, given, wants };
    let rows = [
        row("one", &[(0, 0)], "00000000"),
        row("equal", &[(0, 0), (0, 0), (0, 0)], "01201201"),
        row("by weight", &[(0, 3), (0, 1)], "00100010"),
        row("only the lowest priority", &[(20, 1), (10, 1), (10, 1)], "12121212"),
    ];
    for row in rows {
        let mut resolved = record("sip:media.example.com", 0);
        let address = |(at, (priority, weight)): (u8, &(u16, u16))| Address {
            priority: *priority,
            weight: *weight,
            socket: SocketAddr::from(([10, 0, 0, at], 5060)),
        };
        resolved.addresses = (0..).zip(row.given).map(address).collect();
        let mut relay = Relay::new(&[]);
        relay.load_records(&[resolved]);
        let hops: String = (0..8)
            .map(|n| relay.send(CALLER, invite(&format!("ranked-{n}"))).forwarded().to)
            .map(|to| to.ip().to_string().rsplit('.').next().unwrap().to_owned())
            .collect();
        assert_eq!(hops, row.wants, "{}", row.says);
    }
}

#[test]
fn a_request_uri_names_a_destination_by_address_or_name_and_port() {
    let long = format!("sip:{}.example", "n".repeat(245));
    let mut relay = Relay::new(&[
        "sip:10.0.0.1",
        "sip:10.0.0.2:5080",
        "sip:Media.example.com",
        "sip:media.example.com:5090",
        &long,
    ]);
    let media = "request_uri 203.0.113.1:5060";
    let one_more = long.replacen("sip:", "sip:n", 1);
    for (uri, wants) in [
        ("sip:10.0.0.1", "request_uri 10.0.0.1:5060"),
        ("sip:bob@10.0.0.1:5060", "request_uri 10.0.0.1:5060"),
        ("sips:10.0.0.1", "request_uri 10.0.0.1:5060"),
        ("sip:10.0.0.2", "481"),
        ("sip:10.0.0.2:5080", "request_uri 10.0.0.2:5080"),
        ("sip:MEDIA.Example.com", media),
        ("sip:media.example.com:5090", media),
        ("sip:media.example.com:5091", "481"),
        ("sip:media.example.co", "481"),
        ("sip:203.0.113.2", "request_uri 203.0.113.2:5060"),
        (&long, media),
        (&one_more, "481"),
        ("tel:10.0.0.1", "481"),
    ] {
        let mut bye = Request::new("BYE", "named");
        (bye.to, bye.uri) = (BOB, uri);
        assert_eq!(relay.send(CALLER, bye.text()).summary(), wants, "{uri}");
    }
    let mut relay = Relay::new(&["sip:10.0.0.1"]);
    let mut bye = Request::new("BYE", "named");
    (bye.to, bye.uri) = (BOB, "sip:media.example.com");
    assert_eq!(relay.send(CALLER, bye.text()).summary(), "481", "there are no names");
}

#[test]
fn a_table_knows_its_destinations_by_their_addresses() {
    let relay = Relay::new(&["sip:10.0.0.1", "sip:10.0.0.1:5080", "set=3 sip:10.0.0.2"]);
    let table: &Table = &relay.snapshot.destinations;
    let slot = |address: &str| table.by_address(address.parse().unwrap()).map(|known| known.slot.0);
    assert_eq!(
        (slot(A), slot("10.0.0.1:5080"), slot("10.0.0.2:5060")),
        (Some(0), Some(1), Some(2))
    );
    assert_eq!(slot("10.0.0.1:5090"), None);
    let source = |address: &str, how| {
        table.by_source(address.parse().unwrap(), how).map(|known| known.slot.0)
    };
    let (exact, by_ip) = (SourceMatch::AddressAndPort, SourceMatch::Address);
    assert_eq!((source("10.0.0.1:5080", exact), source("10.0.0.1:5090", exact)), (Some(1), None));
    assert_eq!(source("10.0.0.1:5080", by_ip), Some(1), "the one that has the port");
    assert_eq!(source("10.0.0.1:5090", by_ip), Some(0), "else the first");
    assert_eq!(source("10.0.0.3:5060", by_ip), None);
    let sets: Vec<u32> = table.sets().iter().map(|set| set.id).collect();
    assert_eq!(sets, [1, 3]);
    assert_eq!((table.set(1).unwrap().id, table.set(3).unwrap().id), (1, 3));
    assert!(table.set(0).is_none() && table.set(2).is_none() && table.set(4).is_none());
    let set_of = |number| table.set_of(Slot(number));
    assert_eq!((set_of(1), set_of(2), set_of(3)), (Some(1), Some(3), None));
    assert_eq!(table.get(Slot(2)).unwrap().uri, "sip:10.0.0.2");
    assert!(table.get(Slot(3)).is_none());
    let set = table.set(1).unwrap();
    assert!(set.has_active() && set.is_active(Slot(1)));
    assert!(!set.is_active(Slot(2)));
}

#[test]
fn a_retired_destination_is_trusted_and_reached_for_1800_s_and_then_a_stranger() {
    let mut relay = Relay::new(&["sip:10.0.0.1", "set=2 sip:10.0.0.2", "sip:10.0.0.3"]);
    relay.load(&["sip:10.0.0.1"]);
    let by_source = |relay: &Relay, address: &str| {
        let table = &relay.snapshot.destinations;
        let found = [SourceMatch::AddressAndPort, SourceMatch::Address]
            .map(|how| table.by_source(address.parse().unwrap(), how));
        assert_eq!(found[0], found[1]);
        found[0].map(|known| (known.slot.0, known.is_listed))
    };
    // Its To tag is invented: only its Request-URI says where it goes.
    let bye = |relay: &mut Relay, call_id: &str, uri| {
        let mut bye = Request::new("BYE", call_id);
        (bye.to, bye.uri) = ("<sip:bob@example.com>;tag=invented", uri);
        relay.send(CALLER, bye.text()).summary()
    };
    relay.pass_ms(TRUST_MS - 1);
    relay.end_trust();
    assert_eq!(by_source(&relay, "10.0.0.2:5060"), Some((1, false)));
    assert_eq!(relay.snapshot.destinations.set_of(Slot(1)), Some(2));
    assert_eq!(bye(&mut relay, "early", "sip:10.0.0.2"), "request_uri 10.0.0.2:5060");

    relay.pass_ms(1);
    relay.end_trust();
    for address in ["10.0.0.2:5060", "10.0.0.3:5060"] {
        assert_eq!(by_source(&relay, address), None);
    }
    assert_eq!(bye(&mut relay, "late", "sip:10.0.0.2"), "481");
    let table = &relay.snapshot.destinations;
    assert_eq!((table.set_of(Slot(1)), table.set(2).is_some()), (None, false));
    assert_eq!(by_source(&relay, A), Some((0, true)), "what is listed stays");
    assert_eq!(bye(&mut relay, "listed", "sip:10.0.0.1"), "request_uri 10.0.0.1:5060");

    // Their slots are free for others.
    relay.load(&["sip:10.0.0.1", "sip:10.0.0.4", "sip:10.0.0.5", "sip:10.0.0.6"]);
    let mut slots = ["10.0.0.4:5060", "10.0.0.5:5060", "10.0.0.6:5060"]
        .map(|address| by_source(&relay, address).unwrap().0);
    slots.sort_unstable();
    assert_eq!(slots, [1, 2, 3]);
}

#[test]
fn a_listener_dispatches_to_its_own_set() {
    let listener = |local: &str, set| Listener {
        name: local.to_owned(),
        local: local.parse().unwrap(),
        transport: Transport::Udp,
        sent_by: local.to_owned(),
        force_rport: false,
        set,
    };
    let own = ["192.0.2.1:5060", "192.0.2.1:5070", "192.0.2.1:5080"];
    let all = vec![listener(own[0], None), listener(own[1], Some(2)), listener(own[2], Some(3))];
    let mut relay = Relay::made_of(Listeners::new(all, &[]), 1, &[]);
    relay.load_records(&[record("sip:10.0.0.1", 0), record("set=2 sip:10.0.0.2", 1)]);
    for (call_id, arrival, wants) in [
        ("a", 0, "chosen 10.0.0.1:5060"),
        ("b", 1, "chosen 10.0.0.2:5060"),
        ("c", 1, "chosen 10.0.0.2:5060"),
        ("d", 0, "chosen 10.0.0.1:5060"),
        ("e", 2, "no_destination"),
    ] {
        let outcome = relay.send_to(0, arrival, CALLER, invite(call_id).as_bytes());
        assert_eq!(outcome.summary(), wants, "{call_id}");
    }
}
