//! Remote procedure calls as operators' tools speak them: what a request and its answer are, and how
//! they look as JSON and as BINRPC. Bytes in, bytes out; no socket and no relay.
//!
//! The words, the order of members and the framing are Kamailio's, so that `kamctl`, `kamcmd`,
//! `kamcli` and what people built on them read them as before.

pub mod binrpc;
mod framing;
pub mod json;
mod request;
mod value;

pub use framing::{Frame, Framer};
pub use request::{Answer, Fault, Id, Params, Request};
pub use value::Value;
