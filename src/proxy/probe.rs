//! Our own probes of destinations: writes them, and recognizes their replies.
//!
//! A probe goes out through a worker's socket, so its reply comes in among all other messages, at any
//! worker. Its Via says that it is a probe, which one, and when it was sent:
//!
//! ```text
//! OPTIONS sip:10.0.0.1:5060 SIP/2.0
//! Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK…;sw=…       kind, number, send time, signed
//! From: <sip:dispatcher@localhost>;tag=swp0000002a05f5e100   number and send time again
//! ```
//!
//! If the server drops our parameter, number and send time are read from the From tag, and the branch
//! proves them: it is a keyed hash over both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::branch::Branch;
use super::own_via::{age_ms, age_of_own, verify_own};
use super::verdict::Reason;
use super::via_parameter::{Bound, OwnVia, Purpose, ViaParameter, claims_probe};
use super::{Arrival, Core, ListenerId, Shared};
use crate::clock::Now;
use crate::destination::Slot;
use crate::hex;
use crate::message::Method;

/// A probe to be written.
#[derive(Clone, Copy, Debug)]
pub struct ProbeRequest<'a> {
    /// Its number, which comes back with the reply.
    pub number: u32,
    /// The method, usually `OPTIONS`.
    pub method: &'a str,
    /// The destination's URI: Request-URI and To.
    pub uri: &'a str,
    /// The URI in From.
    pub from: &'a str,
    /// Max-Forwards.
    pub max_forwards: u8,
    /// The destination's slot, so that an ICMP error for the probe can be attributed to it.
    pub slot: Slot,
    /// The listener that sends it.
    pub listener: ListenerId,
}

/// A reply to a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// The number; `None` if an earlier process sent the probe.
    pub(super) number: Option<u32>,
    /// Milliseconds since it was sent.
    pub(super) age_ms: u32,
}

/// Writes a probe into `out`, which is cleared first. Returns false if one of the texts has a
/// character that would break the message, and then `out` is empty.
///
/// The probe is complete: it is sent as it is, from a socket of its listener. A copy of it is written
/// with the time of the first one, so that both are the same message.
#[must_use]
pub fn write(shared: &Shared, request: &ProbeRequest<'_>, now: Now, out: &mut Vec<u8>) -> bool {
    out.clear();
    let &ProbeRequest { number, method, uri, from, max_forwards, slot, listener } = request;
    let is_writable = [uri, from].iter().all(|text| is_plain_uri(text)) && is_token(method);
    if !is_writable {
        return false;
    }
    let sent_ms = now.ms() as u32;
    let branch = Branch::of_probe(&shared.keys, shared.incarnation, number, sent_ms);
    let tag = tag_of(number, sent_ms);
    let call_id = call_id_of(shared, branch);
    let dialog = shared.keys.signing().dialog(&call_id, &tag, b"");
    let parameter = ViaParameter {
        incarnation: shared.incarnation,
        from_destination: false,
        slot,
        sent_ms,
        purpose: Purpose::Probe(number),
        connection: None,
    };
    let sent_by = *shared.listeners.sent_by_key(listener);
    let parameter = parameter.sign(
        &shared.keys,
        &OwnVia { branch, sent_by },
        &Bound { response_address: NOWHERE, dialog: &dialog },
    );
    let contact = if wants_contact(method) {
        format!("Contact: <sip:{}>\r\n", shared.listeners.get(listener).sent_by)
    } else {
        String::new()
    };
    let accept = if method == "OPTIONS" { "Accept: application/sdp\r\n" } else { "" };
    for piece in [
        method.as_bytes(),
        b" ",
        uri.as_bytes(),
        b" SIP/2.0\r\n",
        &shared.listeners.texts(listener).via,
        &branch.text(),
        b";sw=",
        parameter.as_bytes(),
        b"\r\nMax-Forwards: ",
        max_forwards.to_string().as_bytes(),
        b"\r\nFrom: <",
        from.as_bytes(),
        b">;tag=",
        &tag,
        b"\r\nTo: <",
        uri.as_bytes(),
        b">\r\nCall-ID: ",
        &call_id,
        b"\r\nCSeq: 1 ",
        method.as_bytes(),
        b"\r\n",
        contact.as_bytes(),
        accept.as_bytes(),
        b"User-Agent: Strowger\r\nContent-Length: 0\r\n\r\n",
    ] {
        out.extend_from_slice(piece);
    }
    true
}

impl Core {
    /// Returns the probe that this response answers; `None` if it is no reply to a probe, an error if
    /// it is a forged one.
    pub(super) fn verify_probe(&self, at: &Arrival) -> Result<Option<Probe>, Reason> {
        let via = self.our_via(at)?;
        let tag = self.message.from_tag.unwrap_or_default().of(at.bytes);
        let claim = match via.own {
            Some(value) => claims_probe(value.of(at.bytes)).then_some((0, 0)),
            None => parse_tag(tag),
        };
        let Some((number, sent_ms)) = claim else {
            return Ok(None);
        };
        let branch = self.named_branch(at).ok_or(Reason::ForgedVia)?;
        let Some(verified) = verify_own(at, &via, branch)? else {
            let incarnation = at.shared.incarnation;
            let expected = Branch::of_probe(&at.shared.keys, incarnation, number, sent_ms);
            if expected.hash != branch.hash {
                return Err(Reason::ForgedVia);
            }
            let age_ms = age_ms(at, sent_ms);
            return Ok(Some(Probe { number: Some(number), age_ms }));
        };
        let dialog = self.dialog_under(at, verified.key_id()).ok_or(Reason::ForgedVia)?;
        let Purpose::Probe(number) = verified.parameter.purpose else {
            return Ok(None);
        };
        if !verified.is_bound_to(&Bound { response_address: NOWHERE, dialog: &dialog }) {
            return Err(Reason::ForgedVia);
        }
        let age_ms = age_of_own(at, &verified.parameter);
        Ok(Some(Probe { number: age_ms.map(|_| number), age_ms: age_ms.unwrap_or(0) }))
    }
}

/// Stands where the parameter of a relayed request has the address of its caller.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What the From tag of each probe starts with.
const TAG_START: &[u8; 3] = b"swp";
const TAG_LEN: usize = TAG_START.len() + 16;

fn tag_of(number: u32, sent_ms: u32) -> [u8; TAG_LEN] {
    let mut tag = [0; TAG_LEN];
    let (start, digits) = tag.split_at_mut(TAG_START.len());
    start.copy_from_slice(TAG_START);
    let word = u64::from(number) << 32 | u64::from(sent_ms);
    hex::encode(&word.to_be_bytes(), digits);
    tag
}

/// Returns number and send time of a probe whose From tag this may be.
fn parse_tag(tag: &[u8]) -> Option<(u32, u32)> {
    let (start, digits) = tag.split_first_chunk::<{ TAG_START.len() }>()?;
    let mut bytes = [0; 8];
    let is_ours = start.eq_ignore_ascii_case(TAG_START) && digits.len() == 2 * bytes.len();
    hex::decode(digits, &mut bytes).filter(|_| is_ours)?;
    let word = u64::from_be_bytes(bytes);
    Some(((word >> 32) as u32, word as u32))
}

/// Returns a Call-ID that no other probe has.
fn call_id_of(shared: &Shared, branch: Branch) -> [u8; 32] {
    let mut fields = shared.keys.branch();
    fields.fixed([3]);
    fields.fixed(branch.hash.to_be_bytes());
    let mut call_id = [0; 32];
    hex::encode(&fields.spread128().to_be_bytes(), &mut call_id);
    call_id
}

/// Returns whether servers expect a Contact in this request (RFC 3261 §20.10). A REGISTER must not
/// have one, because it would be stored.
fn wants_contact(method: &str) -> bool {
    matches!(Method::of(method.as_bytes()), Method::Invite | Method::Subscribe | Method::Refer)
        || matches!(method, "OPTIONS" | "NOTIFY" | "UPDATE")
}

fn is_token(method: &str) -> bool {
    !method.is_empty()
        && method.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
}

/// Returns whether this text can stand in a first line and between angle brackets.
fn is_plain_uri(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
}
