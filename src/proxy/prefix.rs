//! Prefixes of addresses: who may send to us, and where requests may go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A prefix of addresses, `192.0.2.0/24` or `2001:db8::/32`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// All IPv4 addresses.
    pub const ALL_IPV4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), bits: 0 };
    /// All IPv6 addresses.
    pub const ALL_IPV6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), bits: 0 };

    /// Creates the prefix of the first `bits` bits of `address`; `None` if `bits` is out of range.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        if bits > bits_max {
            return None;
        }
        Some(match address.to_canonical() {
            // The first 96 bits mark it as an IPv4 address.
            IpAddr::V4(ip) if address.is_ipv6() && bits >= 96 => {
                Self { address: ip.into(), bits: bits - 96 }
            }
            _ => Self { address, bits },
        })
    }

    /// Returns whether it contains `ip`. An IPv4-mapped IPv6 address counts as the IPv4 address.
    #[inline]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32 - u32::from(self.bits);
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128 - u32::from(self.bits);
                (a.to_bits() ^ b.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}
