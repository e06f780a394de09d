//! Socket addresses as the kernel lays them out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// A socket address as the kernel lays it out, IPv4 or IPv6.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union Name {
    /// The first two bytes are the family in both layouts.
    family: libc::sa_family_t,
    /// Valid when the family is `AF_INET`.
    v4: libc::sockaddr_in,
    /// Valid when the family is `AF_INET6`; the longest member, so its size is the union's.
    v6: libc::sockaddr_in6,
}

impl Name {
    /// Returns the name of nothing, for the kernel to write to.
    pub(super) fn zeroed() -> Self {
        // SAFETY: all members are made of integers, for which zero is valid.
        unsafe { std::mem::zeroed() }
    }

    pub(super) fn from_socket_addr(address: &SocketAddr) -> (Self, libc::socklen_t) {
        match address {
            SocketAddr::V4(v4) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: v4.ip().to_bits().to_be() },
                    sin_zero: [0; 8],
                };
                (Self { v4 }, size_of_val(&v4) as libc::socklen_t)
            }
            SocketAddr::V6(v6) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                (Self { v6 }, size_of_val(&v6) as libc::socklen_t)
            }
        }
    }

    pub(super) fn to_socket_addr(self, len: libc::socklen_t) -> Option<SocketAddr> {
        if (len as usize) < size_of::<libc::sockaddr_in>() {
            return None;
        }
        // SAFETY: a Name is created whole by `from_socket_addr` or is in zeroed memory that the
        // kernel wrote to, so every byte is initialised, and all three members are integers.
        unsafe {
            match i32::from(self.family) {
                libc::AF_INET => Some(SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from_bits(u32::from_be(self.v4.sin_addr.s_addr)),
                    u16::from_be(self.v4.sin_port),
                ))),
                libc::AF_INET6 if len as usize >= size_of::<libc::sockaddr_in6>() => {
                    Some(SocketAddr::V6(SocketAddrV6::new(
                        Ipv6Addr::from(self.v6.sin6_addr.s6_addr),
                        u16::from_be(self.v6.sin6_port),
                        self.v6.sin6_flowinfo,
                        self.v6.sin6_scope_id,
                    )))
                }
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["192.0.2.7:5060", "[2001:db8::7]:5061", "[fe80::1%3]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let (name, len) = Name::from_socket_addr(&address);
            assert_eq!(name.to_socket_addr(len), Some(address));
            assert_eq!(name.to_socket_addr(4), None);
        }
    }
}
