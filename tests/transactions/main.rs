//! Stateful sets in a small world from a seed: callers, a relay with two workers, servers that answer,
//! refuse, ring for ever, sleep or are gone, and links that lose, double and delay. `watch` knows what
//! must hold.
//!
//! `STROWGER_SEED=7 cargo test --test transactions one_seed -- --nocapture` plays one run and prints all
//! of it; `tests/simulate transactions --seeds 1000000` plays as many as wanted.

// Parties and plans are records of many yes-or-no facts, and speed is no aim here.
#![allow(clippy::pedantic)]

mod caller;
mod coverage;
#[allow(dead_code)]
#[path = "../simulation/ladder.rs"]
mod ladder;
#[path = "../oracle/mod.rs"]
mod oracle;
mod plan;
#[path = "../simulation/random.rs"]
mod random;
mod relay;
mod server;
#[allow(dead_code)]
#[path = "../simulation/sip.rs"]
mod sip;
mod watch;
#[path = "../simulation/words.rs"]
mod words;
mod world;

use std::collections::BTreeMap;

use coverage::Coverage;
use world::Run;

/// Runs in the ordinary tests, in four parts.
const SEEDS: u64 = 10_000;
const PART: u64 = SEEDS / 4;

/// Seeds that failed once. A change of the plans makes other runs of them, so what they found is also in
/// `tests/rules/stateful.rs`.
const FAILED_ONCE: [u64; 24] = [
    0, 52, 86, 94, 96, 108, 155, 184, 356, 472, 483, 494, 568, 650, 668, 680, 912, 1519, 1763,
    2228, 2330, 3510, 4546, 4765,
];

#[test]
fn seeds_of_the_first_quarter() {
    quarter(0);
}

#[test]
fn seeds_of_the_second_quarter() {
    quarter(1);
}

#[test]
fn seeds_of_the_third_quarter() {
    quarter(2);
}

#[test]
fn seeds_of_the_last_quarter() {
    quarter(3);
}

#[test]
fn seeds_that_failed_once() {
    play(FAILED_ONCE);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in (0..SEEDS).step_by(200) {
        let (first, again) = (world::run(seed, false), world::run(seed, true));
        assert_eq!(first.ladder.hash(), again.ladder.hash(), "seed {seed}");
        assert_eq!(first.ladder.steps + 1, again.ladder.steps, "seed {seed}");
    }
}

/// One run with all that happened in it, chosen by `STROWGER_SEED`; the first without it.
#[test]
fn one_seed() {
    let chosen = number("STROWGER_SEED");
    let run = world::run(chosen.unwrap_or(0), true);
    if chosen.is_some() {
        println!("{}", run.ladder.last(usize::MAX));
        println!("trace {:016x}", run.ladder.hash());
    }
    assert_eq!(run.failure, None);
}

/// As many runs as `tests/simulate` asks for: `STROWGER_SEEDS` of them from `STROWGER_FROM`.
#[test]
fn campaign() {
    let (from, seeds) = (number("STROWGER_FROM").unwrap_or(SEEDS), number("STROWGER_SEEDS"));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let to = from + seeds.unwrap_or(10);
    let mut all = Coverage::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || play((from + thread..to).step_by(threads as usize))))
            .collect();
        workers.into_iter().for_each(|worker| all.add(&worker.join().expect("see above")));
    });
    if seeds.is_some() {
        println!("{}", all.table());
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

fn quarter(part: u64) {
    let coverage = play(part * PART..(part + 1) * PART);
    assert_eq!(coverage.missing(), [""; 0], "\n{}", coverage.table());
}

/// Plays these runs. If any fails, each kind of failure is told with how often it came and its first seed,
/// and what led to the first of all.
fn play(seeds: impl IntoIterator<Item = u64>) -> Coverage {
    let mut coverage = Coverage::default();
    let mut failures: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| world::run(seed, false));
        let failure = match run {
            Ok(Run { failure: None, coverage: one, .. }) => {
                coverage.add(&one);
                continue;
            }
            Ok(Run { failure: Some(failure), .. }) => failure,
            Err(_) => "it panicked".to_owned(),
        };
        // Which call it was, and how long something took, says nothing about the kind.
        let kind = failure.split_once(": ").map_or(failure.as_str(), |(_, what)| what);
        let is_time =
            |word: &&str| word.len() > 3 && word.bytes().all(|byte| byte.is_ascii_digit());
        let words = kind.split(' ').map(|word| if is_time(&word) { "N" } else { word });
        failures.entry(words.collect::<Vec<_>>().join(" ")).or_insert((0, seed)).0 += 1;
    }
    let Some((_, first)) = failures.values().min_by_key(|(_, seed)| *seed) else { return coverage };
    let kinds = failures.iter().map(|(kind, (n, seed))| format!("{n:>6}  {kind}, seed {seed}\n"));
    panic!(
        "seed {first} failed:\n{}\n\n{}\n\
         replay: STROWGER_SEED={first} cargo test --test transactions one_seed -- --nocapture",
        std::panic::catch_unwind(|| world::run(*first, true).ladder.last(24)).unwrap_or_default(),
        kinds.collect::<String>(),
    );
}
