//! A thousand reloads, ten at a time, half of them broken, under load: calls are not affected,
//! every mistake is reported, and nothing that was refused ever takes effect.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use strowger::config::{Config, Flags};
use strowger::control::{Commands, Options, Relay, ReloadHow};
use strowger::proxy::{Forwarded, Verdict};
use tempfile::TempDir;

use crate::harness::sipp::{list, servers};
use crate::harness::{Sipp, loopback, wait};

const ROUNDS: usize = 100;
const AT_A_TIME: usize = 10;
const CALLS: usize = 600;

#[test]
fn a_thousand_reloads_ten_at_a_time_and_half_of_them_broken() {
    let folder = TempDir::new().unwrap();
    let servers = servers("uas_call", 4);
    let all = list(&servers);
    let good = [all.clone(), list(&servers[..3]), list(servers.iter().rev()), list(&servers[1..])];
    let broken = [
        (all.clone() + "1 sip:127.0.0.1:port\n", "dispatcher.list:6: "),
        ("1 sip:127.0.0.1:9\nrubbish\n".to_owned(), "dispatcher.list:2: "),
        (all.replace("1 sip:", "2 sip:"), "set 1 would have none"),
        (list(&servers[..1]), "set 1 would lose"),
    ];
    let write = |name: String, text: &str| fs::write(folder.path().join(name), text).unwrap();
    for (at, text) in good.iter().enumerate() {
        write(format!("good-{at}.list"), text);
    }
    for (at, (text, _)) in broken.iter().enumerate() {
        write(format!("broken-{at}.list"), text);
    }
    turn_to(folder.path(), "good-0.list", 0);
    let relay = start(folder.path());
    let commands = relay.commands();
    let address = relay.local_addresses()[0];
    let mut caller =
        Sipp::scenario("uac_call").calls(address, CALLS as u64, 100).with(&["-d", "300"]).start();
    caller.wait_logged("taken", 1);

    let is_over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let wanted: Vec<_> = good.iter().map(|text| uris(text)).collect();
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                let seen = listed(&commands);
                assert!(wanted.contains(&seen), "what no good list says: {seen:?}");
                looks += 1;
            }
            looks
        });
        let mut told = Vec::new();
        for round in 0..ROUNDS {
            // The calls go on as long as the reloads do.
            let due = (CALLS * round / ROUNDS) as u64;
            wait::until("the calls before this round", || {
                (commands.totals().of(Verdict::Forwarded(Forwarded::Chosen)) >= due).then_some(())
            });
            let round = thread::scope(|scope| {
                let reloads: Vec<_> = (0..AT_A_TIME)
                    .map(|at| {
                        let (commands, folder) = (&commands, folder.path());
                        scope.spawn(move || {
                            let kind = ["good", "broken"][(round + at) % 2];
                            let name = format!("{kind}-{}.list", (round + at / 2) % 4);
                            turn_to(folder, &name, at);
                            commands.reload(ReloadHow::default())
                        })
                    })
                    .collect();
                reloads.into_iter().map(|reload| reload.join().unwrap()).collect::<Vec<_>>()
            });
            told.extend(round);
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(watcher.join().unwrap() > 100);
        told
    });

    let published = told.iter().filter(|result| result.is_ok()).count();
    let errors: Vec<String> = told
        .iter()
        .filter_map(|result| result.as_ref().err())
        .map(|errors| errors.iter().map(ToString::to_string).collect())
        .collect();
    let is_known = |error: &String| broken.iter().any(|(_, part)| error.contains(part));
    let unknown = errors.iter().find(|error| !is_known(error));
    assert_eq!(unknown, None, "an error that no broken list has");
    for (_, part) in &broken {
        assert!(errors.iter().any(|error| error.contains(part)), "never told: {part}");
    }
    // Which file a reload found is up to the threads, but all kinds were found often.
    assert_eq!(published + errors.len(), ROUNDS * AT_A_TIME);
    assert!(published >= 250 && errors.len() >= 250, "{published} taken, {} not", errors.len());
    wait::until("the last snapshot", || {
        (relay.snapshot_version() == 1 + published as u64).then_some(())
    });

    let caller = caller.wait();
    caller.assert_all_succeeded(CALLS as u64);
    caller.assert_stayed(CALLS);
    let outcomes: Vec<_> = servers.into_iter().map(crate::harness::sipp::Running::stop).collect();
    assert!(outcomes.iter().all(|server| server.failed == 0));
    assert_eq!(outcomes.iter().map(|server| server.successful).sum::<u64>(), CALLS as u64);
    let totals = relay.stop();
    assert_eq!(totals.of(Verdict::Forwarded(Forwarded::Chosen)), CALLS as u64);
    assert_eq!(totals.of(Verdict::Forwarded(Forwarded::Token)), 2 * CALLS as u64);
    assert_eq!(totals.unaccounted(), 0);
}

fn start(folder: &Path) -> Relay {
    let flags = Flags {
        listen: vec!["udp:127.0.0.1:5060".into()],
        list: Some(folder.join("dispatcher.list")),
        workers: Some(2),
        ..Flags::default()
    };
    let mut config = Config::load(&flags).unwrap();
    config.relay.listen[0].address = loopback::fresh();
    config.relay.state_dir = Some(folder.into());
    Relay::start(&config, Options::default()).unwrap()
}

/// Makes the list another one, in one step.
fn turn_to(folder: &Path, name: &str, at: usize) {
    let link = folder.join(format!("link-{at}"));
    symlink(name, &link).unwrap();
    fs::rename(&link, folder.join("dispatcher.list")).unwrap();
}

/// The destinations in the order of choice.
fn listed(commands: &Commands) -> Vec<String> {
    let sets = commands.list().sets;
    sets.iter().flat_map(|set| set.records.iter().map(|r| r.uri.clone())).collect()
}

fn uris(list: &str) -> Vec<String> {
    let words = list.lines().filter_map(|line| line.split(' ').nth(1));
    words.filter(|word| word.starts_with("sip:")).map(Into::into).collect()
}
