//! Remote procedure calls of operators' tools: requests and answers, and their JSON and BINRPC
//! forms. Bytes in, bytes out; no socket and no relay.
//!
//! The texts, the order of members and the framing are Kamailio's, so that `kamctl`, `kamcmd`,
//! `kamcli` and the scripts built on them keep working.

pub mod binrpc;
mod framing;
pub mod json;
mod request;
mod value;

pub use framing::{Frame, Framer};
pub use request::{Answer, Fault, Id, Params, Request};
pub use value::Value;
