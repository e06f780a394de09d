//! BINRPC, the binary protocol of Kamailio's `ctl` module that `kamcmd` speaks.
//!
//! ```text
//! packet   0xA1 | type:4 LL-1:2 CL-1:2 | length of the payload, LL bytes | cookie, CL bytes | payload
//! record   S:1 size:3 type:4 [length, size bytes, when S is 1] value
//! ```
//!
//! Numbers are big endian. A size is the size of the value or, with S, of the length before it. A
//! request is a method's name and its values, an answer is any records, a fault is a code and a
//! text.

mod decode;
mod encode;

pub use decode::{Broken, Packet, decode};
pub use encode::{answer, request};

/// The type of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PacketType {
    /// A request.
    Request = 0,
    /// An answer.
    Reply = 1,
    /// An error instead of an answer.
    Fault = 3,
}

/// Magic and version.
const MAGIC: u8 = 0xa1;

const INT: u8 = 0;
const STRING: u8 = 1;
const DOUBLE: u8 = 2;
const STRUCT: u8 = 3;
const ARRAY: u8 = 4;
/// The name of a member.
const NAME: u8 = 5;
const BYTES: u8 = 6;

/// Doubles are sent as thousandths.
const THOUSANDTHS: f64 = 1_000.0;

#[cfg(test)]
mod tests;
