//! `dispatcher.list`: any bytes.
//!
//! If it is refused, the errors name lines of the file and can safely be printed on a terminal. If
//! it is accepted, writing and reading it again gives the same, and a table can be built from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use strowger::clock::Now;
use strowger::config::Problem;
use strowger::destination::{Ask, Host, Origin, Record, Resolved};
use strowger::limits;
use strowger::pin::{PinMemory, PinTable};
use strowger::proxy::{Listener, Listeners, Transport};
use strowger::registry::{LoadError, Registry};
use strowger::source::{List, parse};

pub(crate) fn run(input: &[u8]) {
    match parse("dispatcher.list", input) {
        Err(problems) => {
            let lines = input.split(|byte| *byte == b'\n').count();
            assert_problems(&problems, lines);
        }
        Ok(list) => {
            assert_ordered(&list);
            assert_written_again(&list);
            assert_loads(&list);
        }
    }
}

/// Problems that an operator can use: somewhere in the file, in order, a screen of them at most.
pub(crate) fn assert_problems(problems: &[Problem], lines: usize) {
    assert!(!problems.is_empty() && problems.len() <= limits::PROBLEMS_MAX + 1);
    for problem in problems {
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem}");
        assert!(!problem.what.is_empty() && !problem.right.is_empty());
        let told = problem.to_string();
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
    let placed: Vec<_> = problems.iter().filter_map(|problem| problem.line).collect();
    assert!(placed.is_sorted(), "{placed:?}");
}

fn assert_ordered(list: &List) {
    let places: Vec<_> =
        list.records.iter().map(|r| (r.set, std::cmp::Reverse(r.priority), r.origin)).collect();
    assert!(places.is_sorted());
    assert!(places.iter().all(|(set, ..)| *set <= limits::SET_MAX));
    for record in &list.records {
        assert!(!record.uri.text.chars().any(char::is_control), "{:?}", record.uri.text);
    }
}

fn assert_written_again(list: &List) {
    let text: String = list.records.iter().map(written).collect();
    let again = parse("again", text.as_bytes()).expect("it was accepted");
    let bare = |list: &List| {
        list.records
            .iter()
            .map(|r| Record { origin: Origin::Command, ..r.clone() })
            .collect::<Vec<_>>()
    };
    assert_eq!(bare(&again), bare(list), "{text:?}");
    assert_eq!(again.unknown, list.unknown);
}

fn written(record: &Record) -> String {
    let Record { set, uri, flags, priority, attributes, .. } = record;
    format!("{set} {} {} {priority} {}\n", uri.text, flags.bits(), attributes.text)
}

/// Every set chooses among its own.
fn assert_loads(list: &List) {
    let listeners = ["192.0.2.1:5060", "[2001:db8::1]:5060"].map(|address| Listener {
        name: address.into(),
        local: address.parse().unwrap(),
        transport: Transport::Udp,
        sent_by: address.into(),
        force_rport: false,
        set: None,
    });
    let listeners = Listeners::new(listeners.into(), &[]);
    let resolved: Vec<_> = list.records.iter().map(resolved).collect();
    thread_local! {
        // The part for slots alone is 2 MiB; what an earlier load left there is never read.
        static WORDS: Arc<[AtomicU64]> =
            (0..PinMemory::words_for(8)).map(|_| AtomicU64::new(0)).collect();
    }
    let pins = PinTable::new(PinMemory::new(WORDS.with(Arc::clone), 0));
    let mut registry = Registry::default();
    let table = match registry.load(Now::from_ms(0), &resolved, &listeners, &pins) {
        Ok(table) => table,
        Err(errors) => {
            // Only for a socket that does not exist, or for the relay's own address.
            let has_socket = list.records.iter().any(|record| record.attributes.socket.is_some());
            let is_ourselves = |error: &LoadError| matches!(error, LoadError::Ourselves { .. });
            assert!(has_socket || errors.iter().all(is_ourselves), "{errors:?}");
            return;
        }
    };
    for set in table.sets() {
        let members: Vec<_> = resolved.iter().filter(|r| r.record.set == set.id).collect();
        let is_active = |r: &&&Resolved| r.record.flags.is_selectable() && !r.addresses.is_empty();
        let active: Vec<SocketAddr> =
            members.iter().filter(is_active).flat_map(|r| &r.addresses).map(|a| a.socket).collect();
        assert_eq!(set.has_active(), !active.is_empty());
        for _ in 0..active.len().min(8) {
            let slot = set.choose(&Ask::default()).expect("it has active ones");
            assert!(set.is_active(slot));
            assert!(active.contains(&table.get(slot).expect("listed").address));
        }
    }
}

/// A name has two addresses, one that ends in a zero none.
pub(crate) fn resolved(record: &Record) -> Resolved {
    let addresses = match &record.uri.host {
        Host::Address(ip) => vec![SocketAddr::new(*ip, record.uri.port_or_default()).into()],
        Host::Name(name) if name.ends_with('0') => Vec::new(),
        Host::Name(_) => ["203.0.113.1", "203.0.113.2"]
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), record.uri.port_or_default()).into())
            .into(),
    };
    Resolved { record: record.clone(), addresses }
}
