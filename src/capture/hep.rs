//! HEP3, the protocol of Homer's captures: a message and what is known of it, in one packet.
//!
//! The chunks are those of "The Hybrid Encapsulation Protocol 3" (HEP3, rev. 12), §2 and §3:
//!
//! ```text
//! "HEP3"   length of all      vendor   type    length of the chunk   value …
//! 4        2                  2        2       2, these six included
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A message as Homer gets it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was seen, since 1970.
    pub at: Duration,
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// Who captured it.
    pub capture_id: u32,
    /// What Homer knows us by.
    pub password: Option<&'a str>,
    /// What the messages of a call share: its Call-ID.
    pub correlation_id: &'a [u8],
    /// The message.
    pub payload: &'a [u8],
}

impl Packet<'_> {
    /// Appends the packet.
    ///
    /// # Panics
    /// If it would have more than 65,535 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(b"HEP3\0\0");
        let (from, to) = (self.from.ip().to_canonical(), self.to.ip().to_canonical());
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                chunk(out, IP_FAMILY, &[AF_INET]);
                chunk(out, IPV4_SOURCE, &from.octets());
                chunk(out, IPV4_DESTINATION, &to.octets());
            }
            (from, to) => {
                let octets = |ip| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                chunk(out, IP_FAMILY, &[AF_INET6]);
                chunk(out, IPV6_SOURCE, &octets(from));
                chunk(out, IPV6_DESTINATION, &octets(to));
            }
        }
        chunk(out, IP_PROTOCOL, &[UDP]);
        chunk(out, SOURCE_PORT, &self.from.port().to_be_bytes());
        chunk(out, DESTINATION_PORT, &self.to.port().to_be_bytes());
        chunk(out, SECONDS, &(self.at.as_secs() as u32).to_be_bytes());
        chunk(out, MICROSECONDS, &self.at.subsec_micros().to_be_bytes());
        chunk(out, PROTOCOL_TYPE, &[SIP]);
        chunk(out, CAPTURE_ID, &self.capture_id.to_be_bytes());
        if let Some(password) = self.password {
            chunk(out, AUTHENTICATE_KEY, password.as_bytes());
        }
        if !self.correlation_id.is_empty() {
            chunk(out, CORRELATION_ID, self.correlation_id);
        }
        chunk(out, PAYLOAD, self.payload);
        let len = u16::try_from(out.len() - begin).expect("a message is cut to much less");
        out[begin + 4..begin + 6].copy_from_slice(&len.to_be_bytes());
    }
}

/// Appends a chunk of the generic vendor.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(6 + value.len()).expect("a message is cut to much less");
    for word in [GENERIC, kind, len] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(value);
}

const GENERIC: u16 = 0x0000;
const IP_FAMILY: u16 = 0x0001;
const IP_PROTOCOL: u16 = 0x0002;
const IPV4_SOURCE: u16 = 0x0003;
const IPV4_DESTINATION: u16 = 0x0004;
const IPV6_SOURCE: u16 = 0x0005;
const IPV6_DESTINATION: u16 = 0x0006;
const SOURCE_PORT: u16 = 0x0007;
const DESTINATION_PORT: u16 = 0x0008;
const SECONDS: u16 = 0x0009;
const MICROSECONDS: u16 = 0x000a;
const PROTOCOL_TYPE: u16 = 0x000b;
const CAPTURE_ID: u16 = 0x000c;
const AUTHENTICATE_KEY: u16 = 0x000e;
const PAYLOAD: u16 = 0x000f;
const CORRELATION_ID: u16 = 0x0011;

/// Values of these chunks.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const UDP: u8 = 17;
const SIP: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(from: &str, to: &str, password: Option<&str>, correlation_id: &str) -> Vec<u8> {
        let packet = Packet {
            at: Duration::new(0x0102_0304, 5_000),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            capture_id: 2_001,
            password,
            correlation_id: correlation_id.as_bytes(),
            payload: b"SIP",
        };
        let mut out = b"before".to_vec();
        packet.encode(&mut out);
        out.split_off(6)
    }

    #[test]
    fn all_bytes() {
        let wants: &[&[u8]] = &[
            b"HEP3\x00\x75",
            b"\0\0\0\x01\0\x07\x02",
            b"\0\0\0\x03\0\x0a\xc0\0\x02\x01",
            b"\0\0\0\x04\0\x0a\x0a\0\0\x01",
            b"\0\0\0\x02\0\x07\x11",
            b"\0\0\0\x07\0\x08\x13\xc4",
            b"\0\0\0\x08\0\x08\x13\xc6",
            b"\0\0\0\x09\0\x0a\x01\x02\x03\x04",
            b"\0\0\0\x0a\0\x0a\0\0\0\x05",
            b"\0\0\0\x0b\0\x07\x01",
            b"\0\0\0\x0c\0\x0a\0\0\x07\xd1",
            b"\0\0\0\x0e\0\x08pw",
            b"\0\0\0\x11\0\x07c",
            b"\0\0\0\x0f\0\x09SIP",
        ];
        let got = encoded("192.0.2.1:5060", "10.0.0.1:5062", Some("pw"), "c");
        assert_eq!(got, wants.concat(), "{got:x?}");
    }

    #[test]
    fn what_is_not_there_has_no_chunk_and_ipv6_has_its_own() {
        let got = encoded("[2001:db8::1]:5060", "[2001:db8::2]:5062", None, "");
        let has = |kind: u8| got[6..].windows(4).any(|window| window == [0, 0, 0, kind]);
        let v6 = b"\0\0\0\x05\0\x16\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
        assert!(got.windows(v6.len()).any(|window| window == v6));
        assert!(!has(0x0e) && !has(0x11) && !has(0x03));
        assert_eq!(usize::from(u16::from_be_bytes([got[4], got[5]])), got.len());
    }
}
