//! Replays what the fuzzers found: runs every input of `fuzz/corpus`, `fuzz/regressions` and
//! `fuzz/seeds` through its target, on whatever toolchain builds the tests.

#[path = "agreement/reading.rs"]
mod agreement;
#[path = "oracle/mod.rs"]
mod oracle;
#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// Runs a target on all that is kept for it; an input that fails is named.
fn replay(target: &str) {
    let corpus = inputs("corpus", target);
    assert!(!corpus.is_empty(), "no corpus of {target}: fuzz/run {target} makes one");
    let kept = ["regressions", "seeds"].map(|folder| inputs(folder, target)).concat();
    println!("{target}: {} inputs of the corpus, {} of others", corpus.len(), kept.len());
    for path in corpus.iter().chain(&kept) {
        let input = fs::read(path).unwrap();
        let result = std::panic::catch_unwind(|| targets::run(target, &input));
        assert!(result.is_ok(), "{} fails: see above", path.display());
    }
}

/// The files of `fuzz/FOLDER/TARGET`, none when there is no such folder.
fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(fuzz().join(folder).join(target)) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

#[test]
fn every_target_is_fuzzed_and_replayed() {
    let names: Vec<_> = targets::ALL.iter().map(|(name, _)| *name).collect();
    let cargo = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let fuzzed: Vec<_> =
        cargo.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    assert_eq!(fuzzed, names.iter().map(|name| format!("{name}.rs\"")).collect::<Vec<_>>());
    assert_eq!(REPLAYED, names.as_slice());
    for folder in ["corpus", "regressions", "seeds"] {
        for entry in fs::read_dir(fuzz().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(names.contains(&name.as_str()), "fuzz/{folder}/{name} is of no target");
        }
    }
}

macro_rules! replayed {
    ($($target:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];

        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*
    };
}

replayed! { reader uri via core tokens list config keyfile template import binrpc requests }
