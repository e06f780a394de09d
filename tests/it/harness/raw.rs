//! Handmade IPv4 packets: datagrams with a forged source, and ICMP errors. Raw sockets need root.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Protocol numbers of IPv4.
const ICMP: u8 = 1;
const UDP: u8 = 17;
/// `IPPROTO_RAW`: only for sending, headers included.
const ANY: i32 = 255;

/// A socket that sends whole packets, as a type of std so that batches can be sent by it. The
/// kernel adds length, checksum and, where it is 0, identification.
pub(crate) fn sender() -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(ANY)))
        .expect("a raw socket (root is needed)");
    socket.set_header_included_v4(true).expect("an option of raw sockets");
    UdpSocket::from(std::os::fd::OwnedFd::from(socket))
}

/// Sends one packet of [`sender`]'s kind to the host that it names.
pub(crate) fn send(sender: &UdpSocket, packet: &[u8]) {
    let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
    let address = SockAddr::from(SocketAddr::from((to, 0)));
    let sent = socket2::SockRef::from(sender).send_to(packet, &address);
    assert_eq!(sent.expect("a way to the host"), packet.len());
}

/// A datagram with this source, whoever sends it.
pub(crate) fn udp(out: &mut Vec<u8>, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
    begin(out, UDP, *from.ip(), *to.ip());
    let len = (payload.len() + 8) as u16;
    // Without a checksum, which IPv4 allows.
    for field in [from.port(), to.port(), len, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(payload);
}

/// An ICMP error about a packet that begins with `quote`.
pub(crate) fn icmp(
    out: &mut Vec<u8>,
    from: Ipv4Addr,
    to: Ipv4Addr,
    (kind, code): (u8, u8),
    rest: u32,
    quote: &[u8],
) {
    begin(out, ICMP, from, to);
    let start = out.len();
    out.extend_from_slice(&[kind, code, 0, 0]);
    out.extend_from_slice(&rest.to_be_bytes());
    out.extend_from_slice(quote);
    let sum = checksum(&out[start..]);
    out[start + 2..start + 4].copy_from_slice(&sum.to_be_bytes());
}

/// What an ICMP error quotes of a datagram: its headers and 8 bytes or more of the rest.
pub(crate) fn quote(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    udp(&mut packet, from, to, payload);
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    let sum = checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The IPv4 header.
fn begin(out: &mut Vec<u8>, protocol: u8, from: Ipv4Addr, to: Ipv4Addr) {
    const TTL: u8 = 64;
    out.clear();
    out.extend_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, TTL, protocol, 0, 0]);
    out.extend_from_slice(&from.octets());
    out.extend_from_slice(&to.octets());
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
