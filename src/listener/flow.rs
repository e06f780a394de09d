//! The path of a datagram.

use std::net::SocketAddr;

use super::{ListenerId, Listeners, Transport};

/// A path to a neighbour: transport, our listener, the neighbour's address and the connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Flow {
    /// The transport protocol.
    pub transport: Transport,
    /// The listener that it arrived at, or leaves from.
    pub listener: ListenerId,
    /// The neighbour's address.
    pub peer: SocketAddr,
    /// The connection; 0 for a transport without connections.
    pub connection: u32,
}

impl Flow {
    /// Creates the flow between a listener without connections and this address.
    pub fn new(listeners: &Listeners, listener: ListenerId, peer: SocketAddr) -> Self {
        Self { transport: listeners.transport(listener), listener, peer, connection: 0 }
    }

    /// Returns the flow that answers what came by this one, at this address of the same neighbour.
    #[must_use]
    pub const fn reply(self, peer: SocketAddr) -> Self {
        Self { peer, ..self }
    }

    /// Returns the length in bytes of the longest message that can leave by this flow.
    pub const fn payload_max(&self) -> usize {
        self.transport.payload_max(&self.peer)
    }
}
