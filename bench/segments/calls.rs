//! Calls through the relay's core: INVITE, 180, 200, ACK, BYE and its 200, of many calls at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use strowger::proxy::Verdict;

use super::call_ids::call_id;
use super::cases::{BATCH, Core};
use super::messages::{in_dialog, response};
use super::runs::Sent;

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callers {
    /// Numbers, names, Call-IDs and bodies of many lengths, as trunks bring them.
    Mixed,
    /// All alike except for a number of fixed width, as a load generator's.
    Alike,
}

impl fmt::Display for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mixed => "numbers, names, Call-IDs and bodies of many lengths",
            Self::Alike => "all calls alike, as from a load generator",
        })
    }
}

/// Traffic in which every message of a call may be the next one.
pub(crate) struct Traffic {
    core: Core,
    callers: Callers,
    live: Vec<Call>,
    random: u64,
    next: u64,
    /// Messages sent to each next hop.
    sent: BTreeMap<SocketAddr, u64>,
}

/// A call: what its party sends next, and from where.
struct Call {
    step: usize,
    from: SocketAddr,
    bytes: Vec<u8>,
    caller: SocketAddr,
    /// The 200 to its INVITE as the caller got it.
    ok: Vec<u8>,
}

impl Traffic {
    pub(crate) fn new(callers: Callers, destinations: usize) -> Self {
        let core = Core::new(destinations, LIVE);
        let sent = BTreeMap::new();
        let mut traffic = Self { core, callers, live: Vec::new(), random: 1, next: 0, sent };
        traffic.live = (0..LIVE).map(|_| traffic.call()).collect();
        // Until calls are at every step.
        for _ in 0..LIVE * STEPS / BATCH {
            traffic.batch();
        }
        traffic
    }

    /// What a worker sends for the next batch that it receives.
    pub(crate) fn batch(&mut self) -> Vec<Sent> {
        self.core.pass_ms(1);
        (0..BATCH).map(|_| self.message()).collect()
    }

    /// Every next hop got something, and no destination much more than another.
    pub(crate) fn check(&self) {
        let destinations = self.sent.iter().filter(|(to, _)| !TRUNKS.contains(to));
        let (least, most) = destinations
            .fold((u64::MAX, 0), |(least, most), (_, count)| (least.min(*count), most.max(*count)));
        assert!(least > 0 && most <= least + least / 2, "{least}-{most} to a destination");
        assert!(TRUNKS.iter().all(|trunk| self.sent.contains_key(trunk)));
    }

    fn message(&mut self) -> Sent {
        let at = self.below(LIVE as u64) as usize;
        let Call { step, from, bytes, .. } = &self.live[at];
        let is_request = matches!(step, 0 | 3 | 4);
        let verdict = self.core.datagram(*from, bytes);
        assert!(matches!(verdict, Verdict::Forwarded(_)), "step {step}: {verdict:?}");
        let (to, bytes) = self.core.sent();
        let sent = Sent { to, bytes: bytes.len(), is_request };
        let bytes = bytes.to_vec();
        *self.sent.entry(to).or_default() += 1;
        self.go_on(at, to, &bytes);
        sent
    }

    /// What follows after this message has arrived.
    fn go_on(&mut self, at: usize, to: SocketAddr, bytes: &[u8]) {
        let number = self.next;
        let call = &mut self.live[at];
        let request = |method, cseq, ok: &[u8]| {
            let mut template = in_dialog(method, cseq, call.caller, ok);
            template.number(number);
            template.bytes().to_vec()
        };
        match call.step {
            // The server rings, and keeps the INVITE to answer it once more.
            0 => {
                call.ok = response(bytes, "200 OK");
                call.bytes = response(bytes, "180 Ringing");
                call.from = to;
            }
            1 => call.bytes = std::mem::take(&mut call.ok),
            2 => {
                call.ok = bytes.to_vec();
                call.bytes = request("ACK", 1, bytes);
                call.from = call.caller;
            }
            3 => call.bytes = request("BYE", 2, &call.ok),
            4 => {
                call.bytes = response(bytes, "200 OK");
                call.from = to;
            }
            _ => {
                self.live[at] = self.call();
                return;
            }
        }
        call.step += 1;
        self.next += 1;
    }

    /// A new call, whose INVITE is to be sent.
    fn call(&mut self) -> Call {
        self.next += 1;
        let number = self.next;
        let caller = TRUNKS[self.below(TRUNKS.len() as u64) as usize];
        let (from_number, to_number, name, codecs, id) = match self.callers {
            Callers::Alike => (
                "4989987654".to_owned(),
                "4930123456".to_owned(),
                "\"Alice\" ",
                2,
                format!("{number:016x}"),
            ),
            Callers::Mixed => {
                let digits = |random: u64, least: u64, more: u64| {
                    let len = (least + random % more) as usize;
                    format!("{random:0>20}")[20 - len..].to_owned()
                };
                let from = digits(self.random(), 8, 6);
                let to = digits(self.random(), 8, 6);
                let name = NAMES[self.below(NAMES.len() as u64) as usize];
                (from, to, name, 1 + self.below(4) as usize, call_id(number))
            }
        };
        let payloads: String =
            CODECS[..codecs].iter().map(|(number, _)| format!(" {number}")).collect();
        let codecs: String = CODECS[..codecs]
            .iter()
            .map(|(number, name)| format!("a=rtpmap:{number} {name}\r\n"))
            .collect();
        let port = 16_384 + 2 * self.below(8_192);
        let sdp = format!(
            "v=0\r\no=- {} 1 IN IP4 203.0.113.21\r\ns=-\r\nc=IN IP4 203.0.113.21\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP{payloads}\r\n{codecs}a=ptime:20\r\n",
            1_000_000 + number
        );
        let text = format!(
            "INVITE sip:+{to_number}@sip.example.net;user=phone SIP/2.0\r\n\
             Via: SIP/2.0/UDP {caller};branch=z9hG4bK{number:016x}.1\r\n\
             Max-Forwards: 69\r\n\
             From: {name}<sip:+{from_number}@example.org;user=phone>;tag={:08x}\r\n\
             To: <sip:+{to_number}@sip.example.net;user=phone>\r\n\
             Call-ID: {id}\r\n\
             CSeq: 1 INVITE\r\n\
             Contact: <sip:+{from_number}@{caller}>\r\n\
             Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE\r\n\
             Supported: 100rel, timer\r\n\
             P-Asserted-Identity: <sip:+{from_number}@example.org;user=phone>\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            self.random() as u32,
            sdp.len()
        );
        Call { step: 0, from: caller, bytes: text.into_bytes(), caller, ok: Vec::new() }
    }

    /// The next number of a splitmix64, the same in every run.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random() % end
    }
}

/// Messages of a call.
const STEPS: usize = 6;

/// Calls at a time.
const LIVE: usize = 6_000;

/// Where calls come from: few, as a carrier's trunks are.
const TRUNKS: [SocketAddr; 4] = [trunk(7), trunk(8), trunk(21), trunk(130)];

const fn trunk(number: u8) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, number), 5060))
}

const NAMES: [&str; 5] =
    ["", "\"Anonymous\" ", "\"Alice\" ", "\"Bob Baker\" ", "\"Example Trading Company\" "];

const CODECS: [(u8, &str); 4] =
    [(8, "PCMA/8000"), (101, "telephone-event/8000"), (9, "G722/8000"), (96, "opus/48000/2")];
