//! The transport protocols (RFC 3261 §18), as far as the core depends on them.

use std::net::SocketAddr;

use crate::limits::{PAYLOAD_IPV4_MAX, PAYLOAD_IPV6_MAX};

/// A transport protocol. It belongs to a listener, to the flows through it, and to each next hop.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Transport {
    /// UDP.
    #[default]
    Udp,
}

impl Transport {
    /// Returns the sent-protocol of a Via (RFC 3261 §20.42).
    pub const fn sent_protocol(self) -> &'static str {
        match self {
            Self::Udp => "SIP/2.0/UDP",
        }
    }

    /// Returns the length in bytes of the longest message to this address.
    pub const fn payload_max(self, peer: &SocketAddr) -> usize {
        match (self, peer) {
            (Self::Udp, SocketAddr::V4(_)) => PAYLOAD_IPV4_MAX,
            (Self::Udp, SocketAddr::V6(_)) => PAYLOAD_IPV6_MAX,
        }
    }
}
