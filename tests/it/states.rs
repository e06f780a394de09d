//! Operators change destinations of a running relay: this affects the next call, but not those in
//! progress.

use std::fs;

use strowger::config::{Config, Flags};
use strowger::control::{NewRecord, Options, Relay, Which};
use strowger::destination::DestinationState;
use tempfile::TempDir;

use crate::harness::sipp::{list, servers};
use crate::harness::{Sipp, loopback};

/// A relay in this process with this list.
fn start(list: &str) -> (Relay, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("dispatcher.list");
    fs::write(&path, list).unwrap();
    let flags = Flags {
        listen: vec!["udp:127.0.0.1:5060".into()],
        list: Some(path),
        workers: Some(2),
        ..Flags::default()
    };
    let mut config = Config::load(&flags).unwrap();
    config.relay.listen[0].address = loopback::fresh();
    config.relay.state_dir = Some(folder.path().into());
    (Relay::start(&config, Options::default()).unwrap(), folder)
}

#[test]
fn the_next_call_notices_and_the_turn_goes_on_from_where_it_was() {
    let servers = servers("uas_call", 4);
    let (relay, _folder) = start(&list(&servers[..3]));
    let commands = relay.commands();
    let address = relay.local_addresses()[0];
    let uri = |at: usize| format!("sip:{}", servers[at].address);
    let put = |at, state| {
        let count = commands.set_state(1, &Which::Uri(uri(at)), state, false).unwrap().count;
        assert_eq!(count, 1);
    };
    let taken = |calls| {
        let caller = Sipp::scenario("uac_call").calls_in_turn(address, calls).run();
        caller.assert_all_succeeded(calls);
        caller.taken_by().join(" ")
    };
    assert_eq!(taken(1), "ms1");
    put(1, DestinationState::Disabled);
    assert_eq!(taken(3), "ms3 ms1 ms3");
    put(1, DestinationState::Trying);
    // Whatever changed, nobody is called twice in a row and nobody is passed over.
    assert_eq!(taken(4), "ms1 ms2 ms3 ms1");
    put(2, DestinationState::Inactive);
    relay.reload().unwrap();
    assert_eq!(taken(2), "ms2 ms1");
    commands.add(&NewRecord { set: 1, uri: uri(3), ..NewRecord::default() }, None).unwrap();
    assert_eq!(taken(4), "ms2 ms4 ms1 ms2");
    assert_eq!(commands.remove(1, &uri(1), None).unwrap(), 1);
    assert_eq!(taken(2), "ms4 ms1");
    commands.set_state(1, &Which::All, DestinationState::Active, false).unwrap();
    assert_eq!(taken(3), "ms3 ms4 ms1");
    relay.reload().unwrap();
    assert_eq!(taken(3), "ms2 ms3 ms1");
}

#[test]
fn calls_in_progress_stay_where_they_are() {
    let servers = servers("uas_call", 2);
    let (relay, _folder) = start(&list(&servers));
    let commands = relay.commands();
    let address = relay.local_addresses()[0];
    let uris: Vec<_> = servers.iter().map(|server| format!("sip:{}", server.address)).collect();
    let mut caller =
        Sipp::scenario("uac_call").calls(address, 40, 40).with(&["-d", "2000"]).start();
    caller.wait_logged("taken", 20);
    commands.set_state(1, &Which::Uri(uris[0].clone()), DestinationState::Disabled, false).unwrap();
    let at_first = |caller: &crate::harness::sipp::Outcome| {
        caller.taken_by().into_iter().filter(|server| *server == "ms1").count()
    };
    // Its row is gone too, while calls of both are in progress.
    caller.wait_logged("taken", 30);
    assert_eq!(commands.remove(1, &uris[0], None).unwrap(), 1);
    let caller = caller.wait();
    caller.assert_all_succeeded(40);
    caller.assert_stayed(40);
    let count = at_first(&caller);
    assert!(
        (9..20).contains(&count),
        "{count} calls at the first, of twenty before it was disabled"
    );
    let outcomes: Vec<_> = servers.into_iter().map(crate::harness::sipp::Running::stop).collect();
    assert!(outcomes.iter().all(|server| server.failed == 0));
    assert_eq!(outcomes[0].successful as usize, count);
    relay.stop();
}
