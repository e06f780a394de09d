//! Files of captured packets: reads pcap and pcapng, writes pcap.

mod read;
mod write;

use std::net::SocketAddr;
use std::time::Duration;

pub use read::read;
pub use write::Writer;

/// A datagram of a capture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Datagram {
    /// When it was seen, since 1970.
    pub at: Duration,
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// Its payload.
    pub bytes: Vec<u8>,
}
