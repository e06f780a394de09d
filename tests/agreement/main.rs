//! The fast reader and the slow one of `tests/oracle`, and what leaves the relay and what may leave
//! it: on every message that we have and on as many as chance can make of them.

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
