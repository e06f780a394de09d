//! The sent-by of a Via in one canonical form.

use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use crate::limits::HOST_NAME_BYTES_MAX;
use crate::message::parse_ip;

/// Host and port in one canonical form, because other stacks may rewrite IPv6 addresses and change
/// the case of names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct SentByKey([u8; 18]);

impl SentByKey {
    /// Returns `None` if the host is longer than a name can be.
    #[inline]
    pub(crate) fn new(host: &[u8], port: u16) -> Option<Self> {
        let mut key = [0; 18];
        key[..16].copy_from_slice(&match parse_ip(host) {
            Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets(),
            Some(IpAddr::V6(ip)) => ip.octets(),
            None => of_name(host)?,
        });
        key[16..].copy_from_slice(&port.to_be_bytes());
        Some(Self(key))
    }

    pub(crate) fn to_bytes(self) -> [u8; 18] {
        self.0
    }
}

/// Returns a digest of a name. It looks like a multicast address, which is never a sent-by.
fn of_name(host: &[u8]) -> Option<[u8; 16]> {
    if host.len() > HOST_NAME_BYTES_MAX {
        return None;
    }
    let mut lower = [0; HOST_NAME_BYTES_MAX];
    let lower = &mut lower[..host.len()];
    lower.copy_from_slice(host);
    lower.make_ascii_lowercase();
    let mut key = [0xff; 16];
    // No secret is needed: only names that the operator wrote are ours.
    key[8..].copy_from_slice(&SipHasher13::new().hash(lower).to_be_bytes());
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_one_and_others_differ() {
        let of = |host: &str, port| SentByKey::new(host.as_bytes(), port);
        assert_eq!(of("[2001:db8::1]", 5060), of("[2001:DB8:0:0::1]", 5060));
        assert_eq!(of("pbx.Example.com", 5060), of("PBX.example.COM", 5060));
        let others = [
            of("192.0.2.1", 5060),
            of("192.0.2.1", 5061),
            of("192.0.2.2", 5060),
            of("[2001:db8::1]", 5060),
            of("pbx.example.com", 5060),
            of("pbx.example.co", 5060),
        ];
        for (at, one) in others.iter().enumerate() {
            assert!(one.is_some() && !others[..at].contains(one), "{at}");
        }
        assert!(of(&"a".repeat(253), 5060).is_some() && of(&"a".repeat(254), 5060).is_none());
    }
}
