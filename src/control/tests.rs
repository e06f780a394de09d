//! What operators ask of a running relay, and what it answers.

use std::fs;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::commands::Added;
use super::history::Cause;
use super::*;
use crate::destination::DestinationState;
use crate::limits;

/// A relay in this process, with a list in its own folder.
pub(super) struct Running {
    relay: Relay,
    folder: TempDir,
}

impl Running {
    pub(super) fn with(list: &str) -> Self {
        Self::at("127.0.0.1", list, |_| ())
    }

    /// Starts one on free ports of this host.
    fn at(host: &str, list: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("dispatcher.list");
        fs::write(&path, list).unwrap();
        let flags = Flags {
            listen: vec![format!("udp:{host}:5060")],
            list: Some(path),
            workers: Some(1),
            ..Flags::default()
        };
        let mut config = Config::load(&flags).unwrap();
        config.relay.listen[0].address.set_port(0);
        config.relay.state_dir = Some(folder.path().into());
        change(&mut config);
        Self { relay: Relay::start(&config, Options::default()).unwrap(), folder }
    }

    pub(super) fn commands(&self) -> Commands {
        self.relay.commands()
    }

    pub(super) fn traffic(&self) -> &Traffic {
        self.relay.traffic()
    }

    pub(super) fn put_in(&self, set: u32, destination: &str, state: DestinationState) {
        self.commands().set_state(set, &uri(destination), state, false).unwrap();
    }

    fn write(&self, list: &str) {
        fs::write(self.folder.path().join("dispatcher.list"), list).unwrap();
    }

    fn reload(&self, list: &str) -> Result<Reloaded, String> {
        self.reload_so(list, ReloadHow::default())
    }

    fn reload_so(&self, list: &str, how: ReloadHow) -> Result<Reloaded, String> {
        self.write(list);
        self.commands().reload(how).map_err(said)
    }

    /// `1 sip:a AX 0`, a line for each record.
    fn listed(&self) -> Vec<String> {
        let line = |set: u32, r: &ListedRecord| {
            format!("{set} {} {} {}", r.uri, r.flags.letters(), r.priority)
        };
        let sets = self.commands().list().sets;
        sets.iter().flat_map(|set| set.records.iter().map(|r| line(set.id, r))).collect()
    }

    fn put(&self, which: &Which, state: DestinationState) -> Result<usize, String> {
        self.commands().set_state(1, which, state, false).map(|changed| changed.count).map_err(said)
    }

    fn add(&self, set: u32, uri: &str) -> Result<Vec<String>, String> {
        let new = NewRecord { set, uri: uri.into(), ..NewRecord::default() };
        self.commands().add(&new, None).map(|added| added.notes).map_err(said)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn said(errors: Vec<Error>) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn uri(text: &str) -> Which {
    Which::Uri(text.into())
}

const FORCED: ReloadHow = ReloadHow { dry_run: false, force: true };
const DRY: ReloadHow = ReloadHow { dry_run: true, force: false };

#[test]
fn what_is_listed() {
    let running =
        Running::with("2 sip:192.0.2.3:5070 8\n1 sip:192.0.2.1\n1 sip:192.0.2.2 4 7 duid=b\n");
    assert_eq!(
        running.listed(),
        ["1 sip:192.0.2.2 DX 7", "1 sip:192.0.2.1 AX 0", "2 sip:192.0.2.3:5070 AP 0"]
    );
    let list = running.commands().list();
    let record = &list.sets[0].records[0];
    assert_eq!(record.attributes.value("duid"), Some("b"));
    assert_eq!(record.origin.to_string(), "line 3");
    assert_eq!(record.addresses[0].address.socket.to_string(), "192.0.2.2:5060");
    assert_eq!(record.addresses[0].slot.unwrap(), crate::destination::Slot(0));

    let iuids = |list: &Listing| -> Vec<String> {
        list.sets.iter().flat_map(|s| s.records.iter().map(|r| r.iuid.clone())).collect()
    };
    let before = iuids(&list);
    assert_eq!(before.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    running
        .reload("1 sip:192.0.2.1 0 9\n1 sip:192.0.2.2 0 7 duid=b\n2 sip:192.0.2.3:5070\n")
        .unwrap();
    let after = iuids(&running.commands().list());
    assert_eq!(after, [&before[1], &before[0], &before[2]].map(Clone::clone));
}

#[test]
fn a_state_outlives_reloads_until_the_source_changes_its_mind() {
    let running = Running::with("1 sip:192.0.2.1\n1 sip:192.0.2.2\n");
    assert_eq!(running.put(&uri("sip:192.0.2.1"), DestinationState::Disabled), Ok(1));
    assert_eq!(running.listed()[0], "1 sip:192.0.2.1 DX 0");
    for (says, list, wants) in [
        ("nothing changed", "1 sip:192.0.2.1\n1 sip:192.0.2.2\n", "1 sip:192.0.2.1 DX 0"),
        ("another priority", "1 sip:192.0.2.1 0 9\n1 sip:192.0.2.2\n", "1 sip:192.0.2.1 DX 9"),
        ("an attribute", "1 sip:192.0.2.1 0 9 weight=5\n1 sip:192.0.2.2\n", "1 sip:192.0.2.1 DX 9"),
        (
            "the flags in the source",
            "1 sip:192.0.2.1 2 9\n1 sip:192.0.2.2\n",
            "1 sip:192.0.2.1 TX 9",
        ),
        ("and back", "1 sip:192.0.2.1 0 9\n1 sip:192.0.2.2\n", "1 sip:192.0.2.1 AX 9"),
    ] {
        running.reload(list).unwrap();
        assert_eq!(running.listed()[0], wants, "{says}");
    }
    // A record that is removed and comes back starts afresh.
    running.put(&uri("sip:192.0.2.1"), DestinationState::Disabled).unwrap();
    running.reload("1 sip:192.0.2.2\n").unwrap();
    running.reload("1 sip:192.0.2.1\n1 sip:192.0.2.2\n").unwrap();
    assert_eq!(running.listed()[0], "1 sip:192.0.2.1 AX 0");
}

#[test]
fn whom_a_state_is_for() {
    let list = "1 sip:192.0.2.1 0 0 duid=a\n1 sip:192.0.2.2:5060;transport=udp\n\
                1 sip:MS.invalid 0 0 duid=c\n";
    for (says, which, wants) in [
        ("as written", uri("sip:192.0.2.1"), Ok("DX AX AX")),
        ("without sip:, with the usual port", uri("192.0.2.1:5060"), Ok("DX AX AX")),
        ("without transport and port", uri("sip:192.0.2.2"), Ok("AX DX AX")),
        ("a name in another case", uri("SIP:ms.INVALID;transport=UDP"), Ok("AX AX DX")),
        ("by duid", Which::Duid("c".into()), Ok("AX AX DX")),
        ("all", Which::All, Ok("DX DX DX")),
        (
            "another port",
            uri("sip:192.0.2.1:5061"),
            Err("set 1 has no destination sip:192.0.2.1:5061: it has sip:192.0.2.1, \
                 sip:192.0.2.2:5060;transport=udp, sip:MS.invalid"),
        ),
        (
            "no such duid",
            Which::Duid("x".into()),
            Err("set 1 has no destination duid=x: it has duid=a, duid=c"),
        ),
    ] {
        let running = Running::with(list);
        let said = running.put(&which, DestinationState::Disabled);
        let letters: Vec<String> =
            running.listed().iter().map(|l| l.split(' ').nth(2).unwrap().into()).collect();
        match wants {
            Ok(wants) => {
                said.unwrap();
                assert_eq!(letters.join(" "), wants, "{says}");
            }
            Err(wants) => {
                assert_eq!(said.unwrap_err(), wants, "{says}");
                assert_eq!(letters.join(" "), "AX AX AX", "{says}");
            }
        }
    }
    let running = Running::with(list);
    let errors =
        running.commands().set_state(7, &Which::All, DestinationState::Active, false).unwrap_err();
    assert_eq!(said(errors), "there is no set 7: the sets are 1");
    let errors = Running::with("# none\n").commands().set_state(
        1,
        &Which::All,
        DestinationState::Active,
        false,
    );
    assert_eq!(said(errors.unwrap_err()), "there is no set 1: no sets are loaded");
}

#[test]
fn what_a_reload_would_do() {
    let running =
        Running::with("1 sip:192.0.2.1\n1 sip:192.0.2.2\n1 sip:192.0.2.3\n2 sip:192.0.2.9\n");
    let before = running.listed();
    let list = "1 sip:192.0.2.1 4 7 weight=5\n1 sip:192.0.2.2\n1 sip:192.0.2.4\n2 sip:192.0.2.9\n";
    let plan = running.reload_so(list, DRY).unwrap().plan;
    assert_eq!(plan.to_string(), "1 added, 1 removed, 1 changed");
    assert_eq!((plan.added[0].uri.as_str(), plan.added[0].set), ("sip:192.0.2.4", 1));
    assert_eq!(plan.removed[0].uri, "sip:192.0.2.3");
    assert_eq!(plan.changed[0].what, "flags 0 -> 4, priority 0 -> 7, attributes none -> weight=5");
    assert_eq!(plan.unchanged, 2);
    assert_eq!(running.listed(), before);
    assert_eq!(running.relay.snapshot_version(), 1);
    running.reload(list).unwrap();
    assert_eq!(running.listed()[0], "1 sip:192.0.2.1 DX 7");
}

#[test]
fn a_reload_that_takes_too_much_is_refused_unless_forced() {
    let four =
        "1 sip:192.0.2.1\n1 sip:192.0.2.2\n1 sip:192.0.2.3\n1 sip:192.0.2.4\n2 sip:192.0.2.9\n";
    let two = "1 sip:192.0.2.1\n1 sip:192.0.2.2\n2 sip:192.0.2.9\n";
    let one = "1 sip:192.0.2.1\n2 sip:192.0.2.9\n";
    let others = "1 sip:192.0.2.5\n1 sip:192.0.2.6\n2 sip:192.0.2.9\n";
    let shrinks = "set 1 would lose 3 of its 4 destinations, more than removed_percent_max = 50: \
                   correct the source, or run strowger reload --force";
    let empties = "set 2 would have none of its 1 destinations left: correct the source, or run \
                   strowger reload --force";
    for (says, to, wants) in [
        ("half of them", two, None),
        ("half of them, and the rest for others", others, None),
        ("more", one, Some(shrinks)),
        ("a set", "1 sip:192.0.2.1\n1 sip:192.0.2.2\n", Some(empties)),
        ("both", "1 sip:192.0.2.1\n", Some("set 1 would lose")),
        ("everything but a comment", "# none\n", Some("set 1 would have none of its 4")),
    ] {
        let running = Running::with(four);
        let before = running.listed();
        let dry = running.reload_so(to, DRY).unwrap();
        assert_eq!(!dry.refused.is_empty(), wants.is_some(), "{says}");
        match (running.reload(to), wants) {
            (Ok(_), None) => {}
            (Err(said), Some(wants)) => {
                assert!(said.starts_with(wants), "{says}: {said}");
                assert_eq!(running.listed(), before, "{says}");
                running.reload_so(to, FORCED).unwrap();
            }
            (said, wants) => panic!("{says}: {said:?}, not {wants:?}"),
        }
        assert_eq!(running.listed().len(), to.matches("sip:").count(), "{says}");
    }
}

#[test]
fn a_record_is_added_and_removed_and_nothing_else_changes() {
    let list = "1 sip:192.0.2.1 0 5\n1 sip:192.0.2.2\n2 sip:192.0.2.9\n";
    let running = Running::with(list);
    running.put(&uri("sip:192.0.2.2"), DestinationState::Disabled).unwrap();
    let notes = running.add(1, "192.0.2.3").unwrap();
    assert_eq!(notes, ["not written to the source: the next reload removes it"]);
    running.add(7, "sip:192.0.2.7").unwrap();
    let new = NewRecord {
        set: 1,
        uri: "sip:192.0.2.4".into(),
        flags: 8,
        priority: 5,
        attributes: "duid=d".into(),
    };
    running.commands().add(&new, Some(false)).unwrap();
    let wants = [
        "1 sip:192.0.2.1 AX 5",
        "1 sip:192.0.2.4 AP 5",
        "1 sip:192.0.2.2 DX 0",
        "1 sip:192.0.2.3 AX 0",
        "2 sip:192.0.2.9 AX 0",
        "7 sip:192.0.2.7 AX 0",
    ];
    assert_eq!(running.listed(), wants);

    for (says, set, uri, wants) in [
        ("the same", 1, "sip:192.0.2.1:5060", "sip:192.0.2.1 is in set 1 already, line 1"),
        ("added before", 1, "192.0.2.3", "sip:192.0.2.3 is in set 1 already, added by a command"),
        (
            "TCP",
            1,
            "sip:192.0.2.1;transport=tcp",
            "the new record: \"sip:192.0.2.1;transport=tcp\"",
        ),
        ("two words", 1, "sip:192.0.2.1 0", "the new record: \"sip:192.0.2.1 0\""),
        ("none", 1, "", "the new record: "),
        (
            "no listener's family",
            1,
            "sip:[2001:db8::1]",
            "the new record: sip:[2001:db8::1] cannot",
        ),
    ] {
        let said = running.add(set, uri).unwrap_err();
        assert!(said.starts_with(wants), "{says}: {said}");
    }
    assert_eq!(running.listed(), wants);

    assert_eq!(running.commands().remove(1, "sip:192.0.2.77", None).unwrap(), 0);
    assert_eq!(running.commands().remove(3, "sip:192.0.2.1", None).unwrap(), 0);
    assert_eq!(running.commands().remove(1, "192.0.2.1:5060", None).unwrap(), 1);
    assert_eq!(running.listed(), wants[1..]);

    // A reload removes what the source does not know and restores what it does; no guard stops
    // that.
    let plan = running.reload(list).unwrap().plan;
    assert_eq!(plan.to_string(), "1 added, 3 removed, 0 changed");
    assert_eq!(
        running.listed(),
        ["1 sip:192.0.2.1 AX 5", "1 sip:192.0.2.2 DX 0", "2 sip:192.0.2.9 AX 0"]
    );
}

#[test]
fn the_relay_itself_is_no_destination() {
    let list = "1 sip:192.0.2.1\n";
    let running = Running::at("0.0.0.0", list, |config| {
        config.relay.listen[0].advertise = Some(("198.51.100.7".into(), 5080));
        config.relay.alias = vec![("198.51.100.8".into(), 5090)];
    });
    let local = running.relay.local_addresses();
    let local = local.into_iter().find(|local| local.ip().is_loopback()).unwrap();
    let port = local.port();
    let advertises = "advertises, 198.51.100.7:5080";
    for (uri, wants) in [
        (format!("sip:127.0.0.1:{port}"), format!("{local} is its listener udp:{local}")),
        (format!("sip:localhost:{port}"), format!("{local} is its listener udp:{local}")),
        ("sip:198.51.100.7:5080".into(), "198.51.100.7:5080 is what its listener udp:".into()),
        ("sip:198.51.100.7:5080".into(), advertises.into()),
        ("sip:198.51.100.8:5090".into(), "198.51.100.8:5090 is one of relay.alias".into()),
    ] {
        let is_us = format!("{uri} is this relay itself: ");
        let said = running.add(1, &uri).unwrap_err();
        assert!(said.starts_with(&format!("added by a command: {is_us}")), "{said}");
        assert!(said.contains(&wants), "{said}");
        let said = running.reload(&format!("{list}1 {uri}\n")).unwrap_err();
        assert!(said.starts_with(&format!("line 2: {is_us}")), "{said}");
        assert_eq!(running.listed(), ["1 sip:192.0.2.1 AX 0"]);
    }
    // Another port of the same host is another program.
    running.add(1, "sip:198.51.100.7:5081").unwrap();
    running.add(1, &format!("sip:127.0.0.2:{port}")).unwrap();
}

#[test]
fn a_name_that_others_are_told_is_the_relay_itself() {
    let running = Running::at("127.0.0.1", "1 sip:192.0.2.1\n", |config| {
        config.relay.listen[0].advertise = Some(("localhost".into(), 5080));
    });
    let said = running.add(1, "sip:LocalHost:5080").unwrap_err();
    assert!(said.contains("127.0.0.1:5080 is what its listener udp:127.0.0.1:"), "{said}");
    running.add(1, "sip:localhost:5081").unwrap();
}

#[test]
fn a_destination_that_is_the_relay_itself_is_left_out_where_that_is_wanted() {
    let skip = |config: &mut Config| config.destinations.load_mode = crate::config::LoadMode::Skip;
    let running = Running::at("0.0.0.0", "1 sip:192.0.2.1\n", skip);
    let port = running.relay.local_addresses()[0].port();
    let us = running.relay.local_addresses()[0].ip();
    let list = format!("1 sip:192.0.2.1\n1 sip:{us}:{port}\n1 sip:192.0.2.2\n");
    let reloaded = running.reload(&list).unwrap();
    assert_eq!(running.listed(), ["1 sip:192.0.2.1 AX 0", "1 sip:192.0.2.2 AX 0"]);
    let told = reloaded.notes.iter().any(|note| {
        note.starts_with("left out: ")
            && note.contains(&format!(":2: sip:{us}:{port} is this relay"))
    });
    assert!(told, "{:?}", reloaded.notes);
}

#[test]
fn what_is_saved_stands_in_the_source() {
    let running = Running::with("1 sip:192.0.2.1 # the first\n1 sip:192.0.2.2\n");
    let new = NewRecord { set: 1, uri: "192.0.2.3".into(), ..NewRecord::default() };
    let added = running.commands().add(&new, Some(true)).unwrap();
    let place = format!("line 3 of {}", running.folder.path().join("dispatcher.list").display());
    assert_eq!(added, Added { notes: Vec::new(), saved: Some(place) });
    assert_eq!(running.commands().remove(1, "sip:192.0.2.2:5060", Some(true)).unwrap(), 1);
    let wants = ["1 sip:192.0.2.1 AX 0", "1 sip:192.0.2.3 AX 0"];
    assert_eq!(running.listed(), wants);
    let list = fs::read_to_string(running.folder.path().join("dispatcher.list")).unwrap();
    assert_eq!(list.lines().count(), 2, "{list}");
    let plan = running.commands().reload(ReloadHow::default()).unwrap().plan;
    assert_eq!(plan.to_string(), "0 added, 0 removed, 0 changed");
    assert_eq!(running.listed(), wants);
    // If the source cannot be written to, nothing changes.
    fs::remove_file(running.folder.path().join("dispatcher.list")).unwrap();
    let new = NewRecord { uri: "192.0.2.4".into(), ..new };
    assert!(running.commands().add(&new, Some(true)).is_err());
    assert!(running.commands().remove(1, "sip:192.0.2.1", Some(true)).is_err());
    assert_eq!(running.listed(), wants);
}

#[test]
fn more_reloads_than_may_wait_are_refused() {
    let running = Running::with("1 sip:192.0.2.1\n");
    let reloads = &running.relay.inner.reloads;
    reloads.store(limits::RELOADS_WAITING_MAX + 1, Ordering::Relaxed);
    let said = running.reload("1 sip:192.0.2.2\n").unwrap_err();
    assert_eq!(said, "32 reloads are waiting already: try again");
    reloads.store(limits::RELOADS_WAITING_MAX, Ordering::Relaxed);
    running.reload("1 sip:192.0.2.2\n").unwrap();
}

#[test]
fn what_else_may_be_asked() {
    let running = Running::with("1 sip:192.0.2.1\n");
    let commands = running.commands();
    assert!(commands.ping_active(None));
    assert!(commands.ping_active(Some(false)));
    assert!(!commands.ping_active(None));
    assert!(!commands.drain(true).unwrap());
    assert!(commands.drain(false).unwrap());
    assert_eq!(running.relay.snapshot_version(), 3);
    assert!(commands.uptime() > Duration::ZERO);
    assert_eq!(commands.totals().received, 0);
}

/// Lines of a list that is long enough to be built at low priority.
fn long_list(addresses: std::ops::Range<usize>) -> String {
    addresses.map(|n| format!("1 sip:192.0.2.{n}\n")).collect()
}

#[test]
fn a_build_that_another_change_overtook_is_done_once_more_and_delays_nobody() {
    const { assert!(limits::BUILD_AT_ONCE_MAX < 100) };
    let running = Running::with(&long_list(1..101));
    let inner = &running.relay.inner;
    let mut builds = 0;
    let records: Arc<[_]> = inner.in_force().records()[1..].into();
    let version = inner.change_all(Cause::Reload, 100, |in_force| {
        builds += 1;
        if builds == 1 {
            // Neither a command nor a listing waits for this build.
            assert_eq!(running.put(&uri("sip:192.0.2.7"), DestinationState::Disabled), Ok(1));
            assert_eq!(running.listed()[6], "1 sip:192.0.2.7 DX 0");
            assert!(!running.commands().drain(true).unwrap());
        }
        let config = Arc::clone(in_force.config());
        let listeners = running.relay.listeners();
        in_force.with_records(config, Arc::clone(&records), monotonic_now(), listeners).map(Some)
    });
    assert_eq!((builds, version.unwrap()), (2, Some(4)));
    let listed = running.listed();
    assert_eq!((listed.len(), listed[5].as_str()), (99, "1 sip:192.0.2.7 DX 0"));
    assert!(running.commands().list().draining);
    let snapshot = inner.current.snapshot();
    assert_eq!((snapshot.version, snapshot.draining), (4, true));
    let slot = snapshot.destinations.by_address("192.0.2.7:5060".parse().unwrap()).unwrap().slot;
    assert!(!snapshot.destinations.set(1).unwrap().is_active(slot));
}

#[test]
fn a_build_that_nothing_overtook_is_done_once() {
    for count in [limits::BUILD_AT_ONCE_MAX, limits::BUILD_AT_ONCE_MAX + 1] {
        let running = Running::with(&long_list(1..count + 1));
        let mut builds = 0;
        let version = running.relay.inner.change_all(Cause::Reload, count, |in_force| {
            builds += 1;
            Ok(Some(in_force.with_draining(true)))
        });
        assert_eq!((builds, version.unwrap()), (1, Some(2)), "{count} records");
    }
}

#[test]
fn a_retired_destination_is_forgotten_with_its_pins_and_its_slot_is_used_again() {
    use crate::pin::{Claim, Kind, PinKey, State::Final};
    let running = Running::with("1 sip:192.0.2.1\n1 sip:192.0.2.2\n7 sip:192.0.2.3\n");
    let inner = &running.relay.inner;
    let slot_of = |address: &str| {
        let snapshot = inner.current.snapshot();
        snapshot.destinations.by_address(address.parse().unwrap()).map(|known| known.slot)
    };
    let slot = slot_of("192.0.2.3:5060").unwrap();
    let heard = crate::proxy::Heard {
        slot,
        method: crate::message::Method::Invite,
        code: 503,
        is_first: true,
        is_final: true,
        age_ms: Some(7),
        retry_after_s: None,
        failed: None,
    };
    inner.traffic.count(0, &crate::proxy::Event::Heard(heard));
    let counted = |at: usize| {
        let listed = &running.commands().list().sets[0].records[at].addresses[0];
        (listed.traffic.heard, listed.answers.classes[4], listed.answers.first.count())
    };
    running.reload_so("1 sip:192.0.2.1\n1 sip:192.0.2.2\n", FORCED).unwrap();
    let pins = &inner.shared.pins;
    let now = monotonic_now();
    for (key, slot) in [(PinKey(5), slot), (PinKey(6), slot_of("192.0.2.1:5060").unwrap())] {
        let Claim::Claimed(claimed) = pins.claim(now, key, Kind::Invite, 0) else { panic!() };
        claimed.commit(slot, Final);
    }
    inner.end_trust(now).unwrap();
    assert_eq!(slot_of("192.0.2.3:5060"), Some(slot), "calls may still be in progress");

    let late = now.plus_ms(limits::SLOT_QUARANTINE_MS);
    inner.end_trust(late).unwrap();
    assert_eq!(slot_of("192.0.2.3:5060"), None);
    assert_eq!(inner.current.snapshot().destinations.sets().len(), 1, "set 7 is forgotten");
    assert!(pins.find(now, PinKey(5), false).is_some(), "a worker may still know the slot");
    inner.wait_until_used(Some(inner.in_force().version()));
    inner.end_trust(late).unwrap();
    assert!(pins.find(now, PinKey(5), false).is_none());
    assert!(pins.find(now, PinKey(6), false).is_some(), "the others stay");
    running.reload("1 sip:192.0.2.1\n1 sip:192.0.2.2\n1 sip:192.0.2.9\n").unwrap();
    assert_eq!(slot_of("192.0.2.9:5060"), Some(slot));
    assert_eq!(counted(2), (0, 0, 0), "what its slot counted before is not its own");
    inner.traffic.count(0, &crate::proxy::Event::Heard(heard));
    assert_eq!(counted(2), (1, 1, 1));
    let version = inner.in_force().version();
    inner.end_trust(late).unwrap();
    assert_eq!(inner.in_force().version(), version, "nothing is left to do");
}

#[test]
fn every_change_of_state_is_kept_with_its_reason() {
    let running = Running::with("1 sip:192.0.2.1\n1 sip:192.0.2.2 8\n");
    let history = |of: &str| -> Vec<String> {
        let history = running.commands().history();
        let of = history.iter().filter(|event| event.uri == of);
        let letters = |flags: Option<_>| flags.map_or("-", crate::destination::Flags::letters);
        of.map(|e| format!("{} {} {} {}", letters(e.from), letters(e.to), e.cause, e.reason))
            .collect()
    };
    let first = "- AX start loaded at the start".to_owned();
    assert_eq!(history("sip:192.0.2.1"), std::slice::from_ref(&first));
    running.put(&uri("sip:192.0.2.1"), DestinationState::Disabled).unwrap();
    running.put(&uri("sip:192.0.2.1"), DestinationState::Disabled).unwrap();
    running.reload("1 sip:192.0.2.1 1\n1 sip:192.0.2.3\n").unwrap();
    let wants =
        [&first, "AX DX command by a command", "DX IX reload its flags changed in the source"];
    assert_eq!(history("sip:192.0.2.1"), wants);
    assert_eq!(history("sip:192.0.2.2"), [""; 0], "it is no longer listed");
    assert_eq!(history("sip:192.0.2.3"), ["- AX reload added to the source"]);
    running.add(1, "sip:192.0.2.4").unwrap();
    assert_eq!(history("sip:192.0.2.4"), ["- AX command by a command"]);
    for _ in 0..limits::HISTORY_MAX {
        running.put(&uri("sip:192.0.2.3"), DestinationState::Disabled).unwrap();
        running.put(&uri("sip:192.0.2.3"), DestinationState::Active).unwrap();
    }
    let last = history("sip:192.0.2.3");
    assert_eq!(last.len(), limits::HISTORY_MAX);
    assert_eq!(last.last().unwrap(), "DX AX command by a command");
}

#[test]
fn a_program_is_told_of_every_change() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("told");
    let script = format!("cat >> {}", file.display());
    let running = Running::at("127.0.0.1", "1 sip:192.0.2.1\n", |config| {
        config.events.command = ["/bin/sh", "-c", &script].map(str::to_owned).into();
    });
    running.put(&uri("sip:192.0.2.1"), DestinationState::Inactive).unwrap();
    running.reload("nonsense\n").unwrap_err();
    let end = Instant::now() + Duration::from_secs(20);
    let told = loop {
        let told = fs::read_to_string(&file).unwrap_or_default();
        if told.lines().count() == 3 || Instant::now() > end {
            break told;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines[2].contains(r#"{"event":"reload","time":""#), "{told}");
    assert!(
        lines[2].contains(r#","by":"a command","changed":null,"changes":[],"says":[""#),
        "{told}"
    );
    assert!(lines[0].contains(r#""from":null,"to":"AX","state":"active""#), "{told}");
    assert!(
        lines[1].contains(r#""to":"IX","state":"inactive","selectable":false,"cause":"command""#)
    );
    assert_eq!(running.relay.totals().events_lost, 0);
}
