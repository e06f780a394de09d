//! The relay of the demo: the one that `run` starts, with a list of its own in a folder that goes
//! away with it.

use std::net::SocketAddr;

/// A relay that serves.
pub(super) struct Running {
    address: SocketAddr,
}

impl Running {
    pub(super) fn start(
        destinations: &[SocketAddr],
        _workers: Option<usize>,
    ) -> Result<Self, super::Error> {
        Ok(Self {
            address: std::env::var("DEMO_RELAY")
                .ok()
                .and_then(|a| a.parse().ok())
                .unwrap_or(destinations[0]),
        })
    }
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
    pub(super) fn workers(&self) -> usize {
        1
    }
    pub(super) fn stop(self) -> Vec<(String, u64)> {
        Vec::new()
    }
}
