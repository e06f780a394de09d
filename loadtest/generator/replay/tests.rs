use std::fs;
use std::io::Write as _;
use std::net::IpAddr;

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
use tempfile::TempDir;

use super::*;

/// A capture and a configuration in a folder.
struct Case {
    folder: TempDir,
    packets: Vec<(u64, Vec<u8>)>,
}

const CALLER: &str = "192.0.2.1:5070";
const CAPTURED: &str = "192.0.2.100:5060";
const SERVER: &str = "192.0.2.50:5060";

impl Case {
    fn new() -> Self {
        let case = Self { folder: TempDir::new().unwrap(), packets: Vec::new() };
        case.write("strowger.toml", "[relay]\nlisten = [\"udp:192.0.2.100:5060\"]\n[destinations]\nsource = \"list:d.list\"\n");
        case.write("d.list", "1 sip:10.0.0.1:5060\n1 sip:10.0.0.2:5060\n");
        case
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn add(&mut self, ms: u64, from: &str, to: &str, text: &str) {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let (IpAddr::V4(a), IpAddr::V4(b)) = (from.ip(), to.ip()) else { panic!("IPv4") };
        let builder = PacketBuilder::ethernet2([0; 6], [0; 6])
            .ipv4(a.octets(), b.octets(), 64)
            .udp(from.port(), to.port());
        let mut frame = Vec::new();
        builder.write(&mut frame, text.as_bytes()).unwrap();
        self.packets.push((ms, frame));
    }

    /// Writes pcap with this link type and unit of time, in microseconds or nanoseconds.
    fn pcap(&self, link: u32, is_nanos: bool, cut: usize) -> PathBuf {
        let path = self.folder.path().join("calls.pcap");
        let mut file = fs::File::create(&path).unwrap();
        let magic: u32 = if is_nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let head = [magic, 0x0004_0002, 0, 0, 65_535, link];
        let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        for (ms, frame) in &self.packets {
            let unit = if is_nanos { 1_000_000 } else { 1_000 };
            let part = (ms % 1_000) * unit;
            for word in [1_000 + ms / 1_000, part, frame.len() as u64, frame.len() as u64] {
                bytes.extend_from_slice(&(word as u32).to_le_bytes());
            }
            bytes.extend_from_slice(frame);
        }
        bytes.truncate(bytes.len() - cut);
        file.write_all(&bytes).unwrap();
        path
    }

    fn plan(&self, capture: PathBuf) -> ReplayPlan {
        ReplayPlan { capture, config: self.folder.path().join("strowger.toml"), at: Vec::new() }
    }

    fn replay(&self) -> Replayed {
        replay(&self.plan(self.pcap(1, false, 0))).unwrap()
    }
}

fn request(method: &str, call: &str, cseq: u32, branch: &str, more: &str) -> String {
    let to_tag = if more.contains("Route:") || method == "BYE" { ";tag=s" } else { "" };
    format!(
        "{method} sip:bob@192.0.2.100 SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{branch}\r\n\
         {more}Max-Forwards: 70\r\nFrom: <sip:a@x>;tag=c\r\nTo: <sip:b@x>{to_tag}\r\nCall-ID: {call}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:a@{CALLER}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A server's response to what the captured relay sent it.
fn response(code: &str, call: &str, cseq: &str) -> String {
    format!(
        "SIP/2.0 {code}\r\nVia: SIP/2.0/UDP {CAPTURED};branch=z9hG4bKother\r\n\
         Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK1\r\nRecord-Route: <sip:192.0.2.100;lr=on>\r\n\
         From: <sip:a@x>;tag=c\r\nTo: <sip:b@x>;tag=s\r\nCall-ID: {call}\r\nCSeq: {cseq}\r\n\
         Contact: <sip:m@{SERVER}>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A call as it is captured at a Kamailio.
fn call(case: &mut Case, name: &str, ms: u64) {
    let invite = request("INVITE", name, 1, "1", "");
    case.add(ms, CALLER, CAPTURED, &invite);
    case.add(ms + 1, CAPTURED, SERVER, &invite);
    case.add(ms + 2, SERVER, CAPTURED, &response("200 OK", name, "1 INVITE"));
    case.add(ms + 3, CAPTURED, CALLER, &response("200 OK", name, "1 INVITE"));
    let route = "Route: <sip:192.0.2.100;lr=on>\r\n";
    case.add(ms + 4, CALLER, CAPTURED, &request("ACK", name, 1, "2", route));
    // The callee hangs up.
    let bye = request("BYE", name, 7, "3", route)
        .replace("<sip:a@x>;tag=c", "<sip:b@x>;tag=X")
        .replace("<sip:b@x>;tag=s", "<sip:a@x>;tag=c")
        .replace("tag=X", "tag=s");
    case.add(ms + 5, SERVER, CAPTURED, &bye);
}

fn verdicts(replayed: &Replayed) -> Vec<(&str, u64)> {
    replayed.verdicts.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}

#[test]
fn calls_of_another_relay_go_through_this_one() {
    let mut case = Case::new();
    for (n, name) in ["one", "two", "three"].into_iter().enumerate() {
        call(&mut case, name, 100 * n as u64);
    }
    let replayed = case.replay();
    let wants = [("forwarded.chosen", 3), ("forwarded.response", 3), ("forwarded.token", 6)];
    assert_eq!(verdicts(&replayed), wants, "{replayed:#?}");
    let shares: Vec<_> = replayed.destinations.iter().map(|(to, n)| (to.to_string(), *n)).collect();
    assert_eq!(shares, [("10.0.0.1:5060".into(), 2), ("10.0.0.2:5060".into(), 1)]);
    assert_eq!((replayed.sent_by_relay, replayed.others), (6, 0));
    assert_eq!(replayed.span, Duration::from_millis(205));
    let row = &replayed.rows[2];
    assert_eq!((row.at_ms, row.to.unwrap().to_string().as_str()), (4, "10.0.0.1:5060"));
    assert!(row.first_line.starts_with("ACK "));
    // What the server sends goes to the caller, and comes from where this relay sent the call.
    for row in [&replayed.rows[1], &replayed.rows[3]] {
        assert_eq!(row.from.to_string(), "10.0.0.1:5060");
        assert_eq!(row.to.unwrap().to_string(), CALLER);
    }
}

#[test]
fn what_is_not_for_the_relay_is_counted() {
    let mut case = Case::new();
    call(&mut case, "one", 0);
    case.add(10, CALLER, SERVER, &request("OPTIONS", "x", 1, "9", ""));
    case.add(11, CALLER, CAPTURED, "no SIP");
    assert_eq!(case.replay().others, 2);
}

#[test]
fn a_relay_that_listened_elsewhere() {
    let mut case = Case::new();
    call(&mut case, "one", 0);
    case.write(
        "strowger.toml",
        "[relay]\nlisten = [\"udp:127.0.0.1:5999\"]\n[destinations]\nsource = \"list:d.list\"\n",
    );
    let mut plan = case.plan(case.pcap(1, false, 0));
    let error = replay(&plan).unwrap_err().to_string();
    for part in ["goes to 127.0.0.1:5999", "192.0.2.100:5060 (4)", "--at"] {
        assert!(error.contains(part), "{error}");
    }
    plan.at = vec![CAPTURED.parse().unwrap()];
    let replayed = replay(&plan).unwrap();
    assert_eq!(verdicts(&replayed)[0], ("forwarded.chosen", 1), "{replayed:#?}");
}

#[test]
fn files_of_every_kind() {
    let mut case = Case::new();
    call(&mut case, "one", 0);
    let wants = case.replay();
    assert_eq!(replay(&case.plan(case.pcap(1, true, 0))).unwrap(), wants);
    // Without the Ethernet header.
    for (_, frame) in &mut case.packets {
        frame.drain(..14);
    }
    assert_eq!(replay(&case.plan(case.pcap(101, false, 0))).unwrap(), wants);
    // tcpdump -i any: twenty bytes, of which the first two say what follows.
    for (_, frame) in &mut case.packets {
        let mut head = vec![0; 20];
        head[0] = 0x08;
        frame.splice(..0, head);
    }
    assert_eq!(replay(&case.plan(case.pcap(276, false, 0))).unwrap(), wants);
    // The older form of the same: sixteen bytes, here of a loopback interface, the last two say it.
    for (_, frame) in &mut case.packets {
        frame.splice(..20, [0, 0, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]);
    }
    assert_eq!(replay(&case.plan(case.pcap(113, false, 0))).unwrap(), wants);
    // BSD's loopback: four bytes that name the family.
    for (_, frame) in &mut case.packets {
        frame.splice(..16, [2, 0, 0, 0]);
    }
    assert_eq!(replay(&case.plan(case.pcap(0, false, 0))).unwrap(), wants);
    let error = replay(&case.plan(case.pcap(147, false, 0))).unwrap_err().to_string();
    assert!(error.contains("link type 147"), "{error}");
}

#[test]
fn files_that_are_damaged_or_none() {
    let mut case = Case::new();
    call(&mut case, "one", 0);
    let cut = replay(&case.plan(case.pcap(1, false, 10))).unwrap();
    assert_eq!(cut.rows.len(), 3);
    assert!(
        cut.warnings.iter().any(|warning| warning.starts_with("1 packets")),
        "{:?}",
        cut.warnings
    );
    case.write("text", "this is no capture at all, and long enough");
    for (name, wants) in [("text", "is no capture"), ("nowhere", "cannot be read")] {
        let error = replay(&case.plan(case.folder.path().join(name))).unwrap_err().to_string();
        assert!(error.contains(wants), "{error}");
    }
    case.write("d.list", "1 sip:10.0.0.1:x\n");
    let error = replay(&case.plan(case.pcap(1, false, 0))).unwrap_err().to_string();
    assert!(error.contains("d.list:1"), "{error}");
}

#[test]
fn fragments_are_put_together() {
    let mut case = Case::new();
    let invite = request("INVITE", "one", 1, "1", "");
    let mut udp = [5070_u16, 5060, 8 + invite.len() as u16, 0].map(u16::to_be_bytes).concat();
    udp.extend_from_slice(invite.as_bytes());
    let (head, tail) = udp.split_at(200);
    for (at, piece, more) in [(0, head, true), (25, tail, false)] {
        let mut header = Ipv4Header::new(
            piece.len() as u16,
            64,
            IpNumber::UDP,
            [192, 0, 2, 1],
            [192, 0, 2, 100],
        )
        .unwrap();
        header.identification = 9;
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(at).unwrap();
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0]);
        header.write(&mut frame).unwrap();
        frame.extend_from_slice(piece);
        case.packets.push((u64::from(at), frame));
    }
    let whole = case.replay();
    assert_eq!(verdicts(&whole), [("forwarded.chosen", 1)], "{whole:#?}");
    assert!(whole.warnings.iter().all(|warning| !warning.contains("fragments")));
    case.packets.pop();
    call(&mut case, "two", 50);
    assert!(case.replay().warnings.iter().any(|warning| warning.starts_with("1 packets")));
}

#[test]
fn a_stateful_set_tries_again_when_time_passes() {
    let mut case = Case::new();
    case.write("strowger.toml", "[relay]\nlisten = [\"udp:192.0.2.100:5060\"]\n[dispatch]\nforwarding = \"stateful\"\n[destinations]\nsource = \"list:d.list\"\n");
    case.add(0, CALLER, CAPTURED, &request("INVITE", "one", 1, "1", ""));
    case.add(10_000, CALLER, CAPTURED, &request("OPTIONS", "two", 1, "2", ""));
    let replayed = case.replay();
    assert!(replayed.by_time > 0, "{replayed:#?}");
    assert_eq!(replayed.rows[0].to.unwrap().to_string(), "10.0.0.1:5060");
}
