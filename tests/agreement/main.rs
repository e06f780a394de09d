//! Compares the fast parser with the slow one of `tests/oracle`, and what the relay sends with what
//! it may send, on every message that we have and on random mutations of them.

#[path = "../oracle/mod.rs"]
mod oracle;

mod call;
mod fidelity;
mod messages;
mod mutation;
mod reading;
mod relay;
mod smuggling;
mod spelling;
