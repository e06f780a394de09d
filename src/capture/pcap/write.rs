//! Writes pcap: a header, then each datagram as the IP packet that carried it.
//!
//! ```text
//! magic, 1 us   version 2.4   zone 0       accuracy 0   bytes of a packet   link type 101: raw IP
//! a1 b2 c3 d4   00 02 00 04   00 00 00 00  00 00 00 00  00 01 00 00         00 00 00 65
//!
//! seconds       microseconds  bytes here   bytes of the packet               IP, UDP, payload
//! ```

use std::io::{self, Write};
use std::net::SocketAddr;

use etherparse::PacketBuilder;

use super::Datagram;

/// A file of captured packets that grows.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        let words = [MAGIC, VERSION, 0, 0, PACKET_BYTES_MAX, RAW_IP];
        out.write_all(&words.map(u32::to_be_bytes).concat())?;
        Ok(Self { out })
    }

    /// Adds a datagram. Its packet is made up but for addresses, ports and payload.
    ///
    /// # Errors
    /// It cannot be written, or its addresses are of two families.
    pub fn write(&mut self, datagram: &Datagram) -> io::Result<()> {
        let Datagram { at, from, to, bytes } = datagram;
        let ip = match (from, to) {
            (SocketAddr::V4(from), SocketAddr::V4(to)) => {
                PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), HOPS)
            }
            (SocketAddr::V6(from), SocketAddr::V6(to)) => {
                PacketBuilder::ipv6(from.ip().octets(), to.ip().octets(), HOPS)
            }
            _ => return Err(io::Error::other("its addresses are of two families")),
        };
        let packet = ip.udp(from.port(), to.port());
        let len = packet.size(bytes.len()) as u32;
        let words = [at.as_secs() as u32, at.subsec_micros(), len, len];
        let mut all = words.map(u32::to_be_bytes).concat();
        packet.write(&mut all, bytes).map_err(io::Error::other)?;
        self.out.write_all(&all)
    }

    /// Writes what is still held back.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: u32 = 2 << 16 | 4;
const PACKET_BYTES_MAX: u32 = 1 << 16;
const RAW_IP: u32 = 101;
const HOPS: u8 = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let datagram = |from: &str, to: &str, len| Datagram {
            at: Duration::new(1_700_000_000, 123_456_000),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            bytes: (0..len).map(|at: u32| at as u8).collect(),
        };
        let all = [
            datagram("192.0.2.1:5060", "198.51.100.7:5062", 900),
            datagram("[2001:db8::1]:5060", "[2001:db8::2]:1", 1),
            datagram("192.0.2.1:5060", "198.51.100.7:5062", 60_000),
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = Writer::new(file.reopen().unwrap()).unwrap();
        for datagram in &all {
            writer.write(datagram).unwrap();
        }
        let mixed = datagram("192.0.2.1:5060", "[2001:db8::2]:1", 1);
        assert!(writer.write(&mixed).is_err());
        writer.flush().unwrap();
        assert_eq!(super::super::read(file.path()), Ok((all.into(), 0)));
    }
}
