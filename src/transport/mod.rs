//! RFC 3261 §18: sockets and batches of datagrams. It moves bytes and makes no decisions.

mod bind;
pub(crate) mod send;
mod socket;
mod steering;
pub mod sys;
mod time;

pub(crate) use bind::planned;
pub use bind::{BindError, Sockets, local_addresses};
pub use steering::{Refusal, Spread};
pub(crate) use time::monotonic;
pub use time::monotonic_now;
