//! Reloads of a relay in this process, each with another list than the one before.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use strowger::config::{Config, Flags};
use strowger::control::{Options, Relay, ReloadHow, Took};
use tempfile::TempDir;

/// The times of all reloads.
#[derive(Debug)]
pub(crate) struct Stages(Vec<Took>);

impl Stages {
    /// The parts by name; the last is all but reading.
    pub(crate) fn rows(&self) -> Vec<(&'static str, Vec<Duration>)> {
        let all = |part: fn(&Took) -> Duration| self.0.iter().map(part).collect();
        vec![
            ("read the list", all(|took| took.read)),
            ("check and compare", all(|took| took.check)),
            ("build", all(|took| took.build)),
            ("until all workers use it", all(|took| took.publish)),
            ("all but reading", all(|took| took.check + took.build + took.publish)),
        ]
    }
}

/// Reloads so often: a tenth of the list changes its flags and a tenth its addresses each time.
pub(crate) fn measure(destinations: usize, reloads: usize) -> Stages {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("dispatcher.list");
    fs::write(&path, list(destinations, 0)).expect("a writable folder");
    let flags = Flags {
        listen: vec!["udp:127.0.0.1:5060".into()],
        list: Some(path.clone()),
        workers: Some(1),
        ..Flags::default()
    };
    let mut config = Config::load(&flags).expect("a configuration that is right");
    config.relay.listen[0].address.set_port(0);
    config.relay.state_dir = Some(folder.path().into());
    let relay = Relay::start(&config, Options::default()).expect("a relay");
    let commands = relay.commands();
    let took = (1..=reloads).map(|round| {
        fs::write(&path, list(destinations, round)).expect("a writable folder");
        let reloaded = commands.reload(ReloadHow::default()).expect("a list that is right");
        let tenth = destinations / 10;
        assert_eq!(reloaded.plan.added.len(), tenth);
        assert_eq!(reloaded.plan.removed.len(), tenth);
        assert_eq!(reloaded.plan.unchanged, destinations - 3 * tenth);
        reloaded.took
    });
    let stages = Stages(took.collect());
    let told = commands.list().sets;
    assert_eq!(told.iter().map(|set| set.records.len()).sum::<usize>(), destinations);
    stages
}

/// The list of one round. What differs from the round before: a tenth is elsewhere, a tenth has
/// other flags, and a tenth has again those that it had.
fn list(destinations: usize, round: usize) -> String {
    let tenth = destinations / 10;
    let mut list = String::new();
    for number in 0..destinations {
        // Eight tenths take turns to be disabled, one is renewed, one always stays.
        let is_renewed = number < tenth;
        let is_disabled = !is_renewed && number / tenth == 1 + round % 8;
        let address = if is_renewed { number + (round % 2) * destinations } else { number };
        let ip = Ipv4Addr::from_bits(0x7f01_0000 + address as u32);
        let flags = if is_disabled { 4 } else { 0 };
        let weight = 1 + number % 100;
        writeln!(list, "{} sip:{ip}:5060 {flags} 0 weight={weight}", 1 + number % 10)
            .expect("a string takes all");
    }
    list
}
