//! The fuzz targets and what must hold: one function per target, which takes any bytes and panics
//! if something does not hold.
//!
//! The fuzzers of `fuzz_targets/` and the replay in `tests/corpus.rs` include this file, so a
//! corpus proves the same on every toolchain. They also include the slow reader and checker of
//! `tests/oracle` as `oracle` and the comparison of `tests/agreement` as `agreement`.

// Each fuzzer uses one target of them all.
#![allow(dead_code)]

mod binrpc;
mod call;
mod config;
mod core;
mod import;
mod keyfile;
mod list;
mod message;
mod reader;
mod relay;
mod requests;
mod template;
mod tokens;
mod transactions;
mod uri;
mod via;
mod world;

/// A target: what is done with an input.
pub(crate) type Target = fn(&[u8]);

/// All targets by the names of their corpora.
pub(crate) const ALL: [(&str, Target); 12] = [
    ("reader", reader::run),
    ("uri", uri::run),
    ("via", via::run),
    ("core", core::run),
    ("tokens", tokens::run),
    ("list", list::run),
    ("config", config::run),
    ("keyfile", keyfile::run),
    ("template", template::run),
    ("import", import::run),
    ("binrpc", binrpc::run),
    ("requests", requests::run),
];

/// Runs the target of this name.
pub(crate) fn run(name: &str, input: &[u8]) {
    let found = ALL.iter().find(|(known, _)| *known == name);
    found.expect("a target of ours").1(input);
}
