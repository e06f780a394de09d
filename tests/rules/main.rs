//! The rules of the proxy, as rows: messages go in, verdicts and messages come out.
//!
//! Everything goes through the crate's public surface. A row names what it asserts, gives messages,
//! and wants what leaves, so it holds whatever the core looks like inside.

#[path = "../oracle/mod.rs"]
mod oracle;

mod messages;
mod relay;

mod algorithms;
mod answers;
mod calls;
mod cannot;
mod checks;
mod choice;
mod destinations;
mod dialogs;
mod emergencies;
mod events;
mod explain;
mod law;
mod limits;
mod next_hops;
mod overload;
mod pins;
mod probes;
mod responses;
mod retries;
mod stateful;
mod tokens;
mod torture;
mod tries;
mod unreachable;
mod writing;
