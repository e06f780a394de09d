//! The relay's core in a small world from a seed: callers, servers, links that lose and duplicate,
//! relays that restart, attackers; and an observer that knows the truth.
//!
//! `STROWGER_SEED=7 cargo test --test simulation one_seed -- --nocapture` plays one run and prints
//! all of it; `tests/simulate --seeds 1000000` plays as many as wanted.

// Parties and plans are records of many yes-or-no facts, and speed is no aim here.
#![allow(clippy::pedantic)]

mod addresses;
mod attacker;
mod call;
mod caller;
mod coverage;
mod endpoint;
mod ladder;
mod network;
mod observer;
#[path = "../oracle/mod.rs"]
mod oracle;
mod overload;
mod pins;
mod random;
mod relay;
mod rules;
mod server;
mod setup;
mod sip;
mod trouble;
mod truth;
mod turns;
mod words;
mod world;

use coverage::Coverage;
use world::Run;

/// Runs in the ordinary tests, in four parts.
const SEEDS: u64 = 10_000;
const PART: u64 = SEEDS / 4;

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
fn the_same_seed_is_the_same_run() {
    for seed in (0..SEEDS).step_by(200) {
        let (first, again) = (world::run(seed, false), world::run(seed, true));
        assert_eq!(first.hash, again.hash, "seed {seed}");
        assert_eq!(first.ladder.steps, again.ladder.steps, "seed {seed}");
    }
}

/// One run with all that happened in it, chosen by `STROWGER_SEED`; the first without it.
#[test]
fn one_seed() {
    let chosen = std::env::var("STROWGER_SEED").ok();
    let seed = chosen.as_ref().map_or(0, |text| text.parse().expect("STROWGER_SEED is a number"));
    let run = world::run(seed, true);
    if chosen.is_some() {
        println!("{}", run.ladder.last(usize::MAX));
        println!("trace {:016x}", run.hash);
    }
    if let Some(failure) = run.failure {
        panic!("seed {seed}: {failure}");
    }
}

/// As many runs as `tests/simulate` asks for: `STROWGER_SEEDS` of them from `STROWGER_FROM`.
#[test]
fn campaign() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let from = number("STROWGER_FROM").unwrap_or(SEEDS);
    let seeds = number("STROWGER_SEEDS").unwrap_or(10);
    let shows = number("STROWGER_SEEDS").is_some();
    let (to, mut all) = (from + seeds, Coverage::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let next = std::sync::atomic::AtomicU64::new(from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut coverage = Coverage::default();
                    loop {
                        // Relaxed: it only hands out numbers.
                        let at = next.fetch_add(100, std::sync::atomic::Ordering::Relaxed);
                        if at >= to {
                            return coverage;
                        }
                        coverage.add(&play(at..(at + 100).min(to)));
                        if shows
                            && (at - from)
                                .is_multiple_of((seeds / 100).max(1).next_multiple_of(100))
                        {
                            eprint!("\r{:>10} of {seeds} seeds", at - from);
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            all.add(&worker.join().expect("a run failed: see above"));
        }
    });
    if shows {
        eprintln!("\r{:40}", "");
        println!("{}", all.table());
    }
    assert_eq!(all.seeds, seeds);
}

fn quarter(number: u64) {
    let coverage = play(number * PART..(number + 1) * PART);
    assert_eq!(coverage.missing(), [""; 0], "\n{}", coverage.table());
}

fn play(seeds: std::ops::Range<u64>) -> Coverage {
    let mut coverage = Coverage::default();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| world::run(seed, false));
        match run {
            Ok(Run { failure: None, coverage: one, .. }) => coverage.add(&one),
            Ok(_) => tell(seed),
            Err(_) => panic!("seed {seed} panicked: {}", replay(seed)),
        }
    }
    coverage
}

/// Plays it again to show what led to the failure.
fn tell(seed: u64) -> ! {
    let run = world::run(seed, true);
    panic!(
        "seed {seed}, step {}\n{}\n\n{}\n\n{}",
        run.ladder.steps,
        run.ladder.last(24),
        run.failure.unwrap_or_else(|| {
            "it did not fail again: the run is not a function of its seed".into()
        }),
        replay(seed)
    );
}

fn replay(seed: u64) -> String {
    format!("replay: STROWGER_SEED={seed} cargo test --test simulation one_seed -- --nocapture")
}
