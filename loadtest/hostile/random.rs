//! Pseudorandom numbers that are the same in every run: `SplitMix64`.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Its state.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// From this seed on.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A host of 10.0.0.0/8, which all lie in the world of the arena, and a port.
    pub(super) fn source(&mut self) -> SocketAddrV4 {
        let n = self.next();
        let ip = Ipv4Addr::from(0x0a00_0000 | (n as u32 & 0x00ff_ffff).clamp(1, 0x00ff_fffe));
        SocketAddrV4::new(ip, 1024 + (n >> 32) as u16 % 64_000)
    }

    /// This many bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
