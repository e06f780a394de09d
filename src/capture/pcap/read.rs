//! Reads the UDP datagrams of a capture.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use etherparse::defrag::IpDefragPool;
use etherparse::{
    EtherType, LaxSlicedPacket, NetSlice, SlicedPacket, TransportSlice, UdpSlice, ip_number,
};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

use super::Datagram;

/// Reads all datagrams, and how many packets of UDP were cut short.
///
/// # Errors
/// What is wrong with the file.
pub fn read(path: &Path) -> Result<(Vec<Datagram>, u64), String> {
    let error = |what: String| what;
    let file = File::open(path).map_err(|e| error(format!("cannot be read: {e}")))?;
    let no_capture = "is no capture: it must be pcap or pcapng, as tcpdump -w writes";
    let mut reader = create_reader(BUFFER_BYTES, file).map_err(|_| error(no_capture.into()))?;
    let mut frames = Frames::default();
    let mut links = Links::default();
    loop {
        match reader.next() {
            Ok((consumed, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        let unit = if header.is_nanosecond_precision() { 1 } else { 1_000 };
                        links.set(header.network, unit);
                    }
                    PcapBlockOwned::Legacy(packet) => {
                        let (link, unit) = links.of(0);
                        let part = Duration::from_nanos(u64::from(packet.ts_usec) * unit);
                        let at = Duration::from_secs(packet.ts_sec.into()) + part;
                        frames.take(link, at, packet.data);
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => links = Links::default(),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        let per_second = interface.ts_resolution().unwrap_or(1_000_000);
                        links.add(interface.linktype, per_second);
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let (link, per_second) = links.of(packet.if_id as usize);
                        let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                        frames.take(link, time_of(ticks, per_second), packet.packet_data());
                    }
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(consumed);
            }
            Err(PcapError::Eof) => break,
            Err(PcapError::UnexpectedEof) => {
                frames.cut += 1;
                break;
            }
            Err(PcapError::Incomplete(_)) => {
                // The file ends within a packet: whoever wrote it was stopped.
                if reader.reader_exhausted() {
                    frames.cut += 1;
                    break;
                }
                reader.refill().map_err(|e| error(format!("cannot be read: {e}")))?;
            }
            Err(e) => return Err(error(format!("is damaged: {e}"))),
        }
    }
    if let Some(link) = frames.unknown_link.filter(|_| frames.datagrams.is_empty()) {
        return Err(error(format!(
            "has link type {}, which is not known here: Ethernet, raw IP, Linux cooked and loopback are",
            link.0
        )));
    }
    frames.cut += frames.pieces.len();
    Ok((frames.datagrams, frames.cut))
}

/// The interfaces of a capture: link type, and the unit of its times.
#[derive(Default)]
struct Links(Vec<(Linktype, u64)>);

impl Links {
    fn set(&mut self, link: Linktype, unit: u64) {
        self.0 = vec![(link, unit)];
    }

    fn add(&mut self, link: Linktype, per_second: u64) {
        self.0.push((link, per_second));
    }

    fn of(&self, at: usize) -> (Linktype, u64) {
        self.0.get(at).copied().unwrap_or((Linktype::ETHERNET, 1_000_000))
    }
}

fn time_of(ticks: u64, per_second: u64) -> Duration {
    let per_second = per_second.max(1);
    let part = u128::from(ticks % per_second) * 1_000_000_000 / u128::from(per_second);
    Duration::new(ticks / per_second, part as u32)
}

/// Takes frames apart, and puts fragments together.
#[derive(Default)]
struct Frames {
    datagrams: Vec<Datagram>,
    pool: Pool,
    /// Fragmented packets that are not complete.
    pieces: Pieces,
    cut: u64,
    unknown_link: Option<Linktype>,
}

struct Pool(IpDefragPool<(), ()>);

impl Default for Pool {
    fn default() -> Self {
        Self(IpDefragPool::new())
    }
}

/// How many fragmented packets have begun and have not ended.
#[derive(Default)]
struct Pieces(std::collections::HashSet<(IpAddr, IpAddr, u32)>);

impl Pieces {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Frames {
    fn take(&mut self, link: Linktype, at: Duration, frame: &[u8]) {
        let sliced = match link {
            Linktype::ETHERNET => SlicedPacket::from_ethernet(frame),
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | DLT_RAW => {
                SlicedPacket::from_ip(frame)
            }
            // Not `from_linux_sll`: it does not look into what comes from a loopback interface.
            Linktype::LINUX_SLL if frame.len() > 16 => after_kind(&frame[14..16], &frame[16..]),
            SLL2 if frame.len() > 20 => after_kind(&frame[..2], &frame[20..]),
            Linktype::NULL | Linktype::LOOP if frame.len() > 4 => {
                SlicedPacket::from_ip(&frame[4..])
            }
            _ => {
                self.unknown_link = Some(link);
                return;
            }
        };
        let Ok(packet) = sliced else {
            self.cut += u64::from(is_cut_udp(link, frame));
            return;
        };
        let Some((source, destination)) = addresses_of(&packet) else { return };
        if packet.is_ip_payload_fragmented() {
            let id = fragment_id(&packet);
            match self.pool.0.process_sliced_packet(&packet, (), ()) {
                Ok(Some(whole)) => {
                    self.pieces.0.remove(&(source, destination, id));
                    if whole.ip_number == ip_number::UDP
                        && let Ok(udp) = UdpSlice::from_slice(&whole.payload)
                    {
                        self.push(at, source, destination, &udp);
                    }
                    self.pool.0.return_buf(whole);
                }
                Ok(None) => {
                    self.pieces.0.insert((source, destination, id));
                }
                Err(_) => self.cut += 1,
            }
        } else if let Some(TransportSlice::Udp(udp)) = &packet.transport {
            self.push(at, source, destination, udp);
        }
    }

    fn push(&mut self, at: Duration, source: IpAddr, destination: IpAddr, udp: &UdpSlice<'_>) {
        self.datagrams.push(Datagram {
            at,
            from: SocketAddr::new(source, udp.source_port()),
            to: SocketAddr::new(destination, udp.destination_port()),
            bytes: udp.payload().to_vec(),
        });
    }
}

/// A packet behind two bytes that say what it is, as behind Ethernet's addresses.
fn after_kind<'a>(
    kind: &[u8],
    packet: &'a [u8],
) -> Result<SlicedPacket<'a>, etherparse::err::packet::SliceError> {
    SlicedPacket::from_ether_type(EtherType(u16::from_be_bytes([kind[0], kind[1]])), packet)
}

fn addresses_of(packet: &SlicedPacket<'_>) -> Option<(IpAddr, IpAddr)> {
    match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        NetSlice::Ipv6(ip) => {
            Some((ip.header().source_addr().into(), ip.header().destination_addr().into()))
        }
        NetSlice::Arp(_) => None,
    }
}

/// What the fragments of one packet share; IPv6 fragments of one source are told apart roughly.
fn fragment_id(packet: &SlicedPacket<'_>) -> u32 {
    match &packet.net {
        Some(NetSlice::Ipv4(ip)) => ip.header().identification().into(),
        _ => 0,
    }
}

/// Whether a frame that cannot be read holds a part of a UDP datagram.
fn is_cut_udp(link: Linktype, frame: &[u8]) -> bool {
    let lax = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(frame).ok(),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | DLT_RAW => {
            LaxSlicedPacket::from_ip(frame).ok()
        }
        _ => None,
    };
    lax.is_some_and(|packet| matches!(packet.transport, Some(TransportSlice::Udp(_))))
}

/// As BSD and Linux number raw IP within themselves.
const DLT_RAW: Linktype = Linktype(12);
/// `LINKTYPE_LINUX_SLL2`, what `tcpdump -i any` writes.
const SLL2: Linktype = Linktype(276);
/// More than the largest packet.
const BUFFER_BYTES: usize = 1 << 20;
