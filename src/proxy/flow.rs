//! Where a datagram came from, or how one is sent.

use std::net::SocketAddr;

use crate::listener::ListenerId;

/// The transport protocol of a flow.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// RFC 3261 §18 over UDP.
    Udp,
}

/// A path to a neighbour: transport, our listener, the neighbour's address and the connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Flow {
    /// The transport protocol.
    pub transport: Transport,
    /// The listener that it arrived at, or leaves from.
    pub listener: ListenerId,
    /// The neighbour's address.
    pub peer: SocketAddr,
    /// The connection; always 0 for UDP.
    pub connection: u32,
}

impl Flow {
    /// Creates a UDP flow.
    pub const fn udp(listener: ListenerId, peer: SocketAddr) -> Self {
        Self { transport: Transport::Udp, listener, peer, connection: 0 }
    }
}
