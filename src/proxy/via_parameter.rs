//! Our own Via parameter: a signed note to ourselves that comes back with the response.
//!
//! ```text
//! Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK…;sw=…
//!
//!  version  key id  incarnation  kind  slot  send time  arrival  [epoch  connection]  [worker]  own tag  tag
//!     1       1         2         1     2     4 (ms)      4        1         4           3         6      8   bytes
//! ```
//!
//! The *own tag* covers what stands in our own Via: all fields before it, the branch and the
//! sent-by. It alone proves that we wrote this Via, wherever it is seen: in the quote of an ICMP
//! error, or in a 100 of a server that leaves out all Vias but ours.
//!
//! The *tag* covers the same, the resolved address that the response must go to, the Call-ID and the
//! From tag. It never covers the bytes of the next Via, because other stacks rewrite Vias. So a
//! response is forwarded only to where its request came from (RFC 6026 §10 describes the abuse), and
//! affects only its own call.
//!
//! In a probe of our own, the place of the arrival listener holds the number of the probe.
//!
//! Epoch and connection are there if the request arrived by a connection: see [`Connection`]. The worker
//! is there if the request is a try of a transaction: see [`Owner`].

use std::net::SocketAddr;

use super::branch::Branch;
use crate::destination::Slot;
use crate::dialog::{Connection, put_address};
use crate::hex;
use crate::keys::{Derived, DialogDigest, Keys};
use crate::listener::SentByKey;

const VERSION: u8 = 2;
/// The fields before the connection.
const FIXED_BYTES: usize = 15;
const CONNECTION_BYTES: usize = 5;
const OWN_TAG_BYTES: usize = 6;
const TAG_BYTES: usize = 8;
const BYTES_MIN: usize = FIXED_BYTES + OWN_TAG_BYTES + TAG_BYTES;
const OWNER_BYTES: usize = 3;
const BYTES_MAX: usize = BYTES_MIN + CONNECTION_BYTES + OWNER_BYTES;

/// The low bits of the kind: a request relayed statelessly.
const RELAYED: u8 = 0;
/// A probe of ours.
const PROBE: u8 = 1;
/// A try of a transaction.
const TRY: u8 = 2;
const FROM_DESTINATION: u8 = 0x80;
const HAS_CONNECTION: u8 = 0x40;

/// The content of our Via parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ViaParameter {
    /// Which process wrote it: slot and send time are valid only in that process.
    pub(super) incarnation: u16,
    /// The request came from a destination.
    pub(super) from_destination: bool,
    /// Where the request went.
    pub(super) slot: Slot,
    /// The send time, in milliseconds of our clock.
    pub(super) sent_ms: u32,
    /// What was sent.
    pub(super) purpose: Purpose,
    /// The connection that the request arrived by; `None` without connections.
    pub(super) connection: Option<Connection>,
}

/// What carries our Via.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// A relayed request; with the hash of the listener that it arrived at.
    Relayed(u32),
    /// A probe with this number.
    Probe(u32),
    /// A try of a transaction; with the same hash, and who has the transaction.
    Try(u32, Owner),
}

/// One run of a worker: after a panic it has none of its transactions any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner {
    /// The number of the worker.
    pub(super) worker: u16,
    /// The number of its run.
    pub(super) epoch: u8,
}

/// What stands in our own Via besides the parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnVia {
    pub(super) branch: Branch,
    pub(super) sent_by: SentByKey,
}

/// What the tag covers besides our own Via.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<'a> {
    pub(super) response_address: SocketAddr,
    /// Digested under the key that signs.
    pub(super) dialog: &'a DialogDigest,
}

/// The text of a parameter's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    digits: [u8; 2 * BYTES_MAX],
    len: usize,
}

impl Text {
    /// Returns the digits.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

/// A parameter whose own tag verified: we wrote this Via.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verified<'a> {
    pub(super) parameter: ViaParameter,
    key: &'a Derived,
    own_tag: u64,
    tag: u64,
}

impl ViaParameter {
    /// Returns the signed value.
    pub(super) fn sign(&self, keys: &Keys, via: &OwnVia, bound: &Bound) -> Text {
        let key = keys.signing();
        let mut bytes = [0; BYTES_MAX];
        bytes[0] = VERSION;
        bytes[1] = key.id;
        bytes[2..4].copy_from_slice(&self.incarnation.to_be_bytes());
        let (kind, number) = match self.purpose {
            Purpose::Relayed(arrival) => (RELAYED, arrival),
            Purpose::Probe(number) => (PROBE, number),
            Purpose::Try(arrival, _) => (TRY, arrival),
        };
        bytes[4] = kind
            | if self.from_destination { FROM_DESTINATION } else { 0 }
            | if self.connection.is_some() { HAS_CONNECTION } else { 0 };
        bytes[5..7].copy_from_slice(&self.slot.0.to_be_bytes());
        bytes[7..11].copy_from_slice(&self.sent_ms.to_be_bytes());
        bytes[11..15].copy_from_slice(&number.to_be_bytes());
        let mut len = FIXED_BYTES;
        if let Some(Connection { epoch, number }) = self.connection {
            bytes[len] = epoch;
            bytes[len + 1..len + CONNECTION_BYTES].copy_from_slice(&number.to_be_bytes());
            len += CONNECTION_BYTES;
        }
        if let Purpose::Try(_, Owner { worker, epoch }) = self.purpose {
            bytes[len..len + 2].copy_from_slice(&worker.to_be_bytes());
            bytes[len + 2] = epoch;
            len += OWNER_BYTES;
        }
        let own_tag = own_tag(key, &bytes[..len], via);
        bytes[len..len + OWN_TAG_BYTES].copy_from_slice(&own_tag.to_be_bytes()[..OWN_TAG_BYTES]);
        len += OWN_TAG_BYTES;
        bytes[len..len + TAG_BYTES].copy_from_slice(&tag(key, own_tag, bound).to_be_bytes());
        len += TAG_BYTES;
        let mut text = Text { digits: [0; 2 * BYTES_MAX], len: 2 * len };
        hex::encode(&bytes[..len], &mut text.digits);
        text
    }

    /// Returns whether a value has the version that we write, and a key that we know.
    pub(super) fn is_known(value: &[u8], keys: &Keys) -> bool {
        let mut bytes = [0; 2];
        let begin = value.get(..4).and_then(|digits| hex::decode(digits, &mut bytes));
        begin.is_some_and(|begin| begin[0] == VERSION && keys.verifying(begin[1]).is_some())
    }

    /// Reads the value of a parameter; returns `None` unless its own tag verifies.
    pub(super) fn verify<'a>(value: &[u8], keys: &'a Keys, via: &OwnVia) -> Option<Verified<'a>> {
        let mut bytes = [0; BYTES_MAX];
        if value.len() < 2 * BYTES_MIN {
            return None;
        }
        let bytes = hex::decode(value, &mut bytes)?;
        let [version, key_id, _, _, kind, ..] = *bytes.first_chunk::<FIXED_BYTES>()?;
        let key = keys.verifying(key_id).filter(|_| version == VERSION)?;
        let connection_len = if kind & HAS_CONNECTION == 0 { 0 } else { CONNECTION_BYTES };
        let kind_of = kind & !(FROM_DESTINATION | HAS_CONNECTION);
        let owner_len = if kind_of == TRY { OWNER_BYTES } else { 0 };
        let signed_len = FIXED_BYTES + connection_len + owner_len;
        let (signed, tags) = bytes.split_at_checked(signed_len)?;
        let (found, tag) = tags.split_first_chunk::<OWN_TAG_BYTES>()?;
        let tag = u64::from_be_bytes(tag.try_into().ok()?);
        let own_tag = own_tag(key, signed, via);
        if own_tag.to_be_bytes()[..OWN_TAG_BYTES] != *found {
            return None;
        }
        let u16_at = |at: usize| u16::from_be_bytes([signed[at], signed[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) << 16 | u32::from(u16_at(at + 2));
        let parameter = Self {
            incarnation: u16_at(2),
            from_destination: kind & FROM_DESTINATION != 0,
            slot: Slot(u16_at(5)),
            sent_ms: u32_at(7),
            purpose: match kind_of {
                RELAYED => Purpose::Relayed(u32_at(11)),
                PROBE => Purpose::Probe(u32_at(11)),
                TRY => {
                    let worker = u16_at(signed_len - OWNER_BYTES);
                    Purpose::Try(u32_at(11), Owner { worker, epoch: signed[signed_len - 1] })
                }
                _ => return None,
            },
            connection: (connection_len > 0).then(|| Connection {
                epoch: signed[FIXED_BYTES],
                number: u32_at(FIXED_BYTES + 1),
            }),
        };
        Some(Verified { parameter, key, own_tag, tag })
    }
}

/// Returns whether this value claims to be of a probe; it may be forged.
pub(super) fn claims_probe(value: &[u8]) -> bool {
    let mut bytes = [0; 5];
    let kind = value.get(..10).and_then(|digits| hex::decode(digits, &mut bytes)).map(|b| b[4]);
    kind.is_some_and(|kind| kind & !(FROM_DESTINATION | HAS_CONNECTION) == PROBE)
}

impl Verified<'_> {
    /// Returns whether it is of a probe of ours.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self.parameter.purpose, Purpose::Probe(_))
    }

    /// Returns the number of the key that signed it.
    pub(super) fn key_id(&self) -> u8 {
        self.key.id
    }

    /// Returns whether it was written for a response to this address, of this dialog.
    pub(super) fn is_bound_to(&self, bound: &Bound) -> bool {
        tag(self.key, self.own_tag, bound) == self.tag
    }
}

fn own_tag(key: &Derived, signed: &[u8], via: &OwnVia) -> u64 {
    let mut fields = key.via();
    fields.fixed([b'v']);
    // Its fifth byte, the kind, says how long it is.
    fields.bytes(signed);
    fields.fixed(via.branch.hash.to_be_bytes());
    fields.fixed([via.branch.try_number]);
    fields.fixed(via.sent_by.to_bytes());
    fields.tag()
}

fn tag(key: &Derived, own_tag: u64, bound: &Bound) -> u64 {
    let mut address = [0; 18];
    let address_len = put_address(bound.response_address, &mut address);
    let mut fields = key.via();
    fields.fixed([b'r']);
    fields.fixed(own_tag.to_be_bytes());
    fields.fixed(bound.dialog.call_id.to_be_bytes());
    fields.fixed(bound.dialog.from_tag.to_be_bytes());
    // The last one, so its length needs no mark.
    fields.bytes(&address[..address_len]);
    fields.tag()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    fn keys() -> Keys {
        Keys::new(&[MasterKey { id: 3, secret: [7; 32] }])
    }

    fn via() -> OwnVia {
        OwnVia {
            branch: Branch { hash: 1 << 100, try_number: 0 },
            sent_by: SentByKey::new(b"192.0.2.1", 5060).unwrap(),
        }
    }

    fn parameter() -> ViaParameter {
        ViaParameter {
            incarnation: 0xabcd,
            from_destination: true,
            slot: Slot(513),
            sent_ms: u32::MAX,
            purpose: Purpose::Relayed(0xdead_beef),
            connection: None,
        }
    }

    fn try_of_ours() -> Purpose {
        Purpose::Try(0xdead_beef, Owner { worker: 0x0506, epoch: 7 })
    }

    #[test]
    fn nothing_in_it_or_around_it_can_change() {
        let keys = keys();
        let dialog = keys.signing().dialog(b"call", b"Tag", b"");
        let bound = Bound { response_address: "192.0.2.9:5062".parse().unwrap(), dialog: &dialog };
        let verify = |value: &[u8], via: &OwnVia, bound: &Bound| {
            let verified = ViaParameter::verify(value, &keys, via)?;
            Some((verified.parameter, verified.is_bound_to(bound)))
        };
        for parameter in [
            parameter(),
            ViaParameter {
                connection: Some(Connection { epoch: 9, number: 0x0102_0304 }),
                ..parameter()
            },
            ViaParameter { purpose: Purpose::Probe(0xdead_beef), ..parameter() },
            ViaParameter { purpose: try_of_ours(), ..parameter() },
            ViaParameter {
                connection: Some(Connection { epoch: 9, number: 0x0102_0304 }),
                purpose: try_of_ours(),
                ..parameter()
            },
        ] {
            let text = parameter.sign(&keys, &via(), &bound);
            let value = text.as_bytes();
            assert_eq!(verify(value, &via(), &bound), Some((parameter, true)));
            let upper = value.to_ascii_uppercase();
            assert_eq!(verify(&upper, &via(), &bound), Some((parameter, true)));
            let recased = Bound { dialog: &keys.signing().dialog(b"call", b"tAG", b"x"), ..bound };
            assert_eq!(verify(value, &via(), &recased), Some((parameter, true)));
            for at in 0..value.len() {
                let mut changed = value.to_vec();
                changed[at] = if changed[at] == b'5' { b'6' } else { b'5' };
                let told = verify(&changed, &via(), &bound);
                // The last digits are the tag, which the own tag does not cover.
                let wants = (at >= value.len() - 2 * TAG_BYTES).then_some((parameter, false));
                assert_eq!(told, wants, "digit {at}");
            }
            for cut in [value.len() - 2, value.len() - 1, 2 * BYTES_MIN - 2, 0] {
                assert_eq!(verify(&value[..cut], &via(), &bound), None);
            }
            let branch = via().branch;
            for other in [
                OwnVia { branch: Branch { hash: 1, ..branch }, ..via() },
                OwnVia { branch: Branch { try_number: 1, ..branch }, ..via() },
                OwnVia { sent_by: SentByKey::new(b"192.0.2.1", 5061).unwrap(), ..via() },
                OwnVia { sent_by: SentByKey::new(b"us", 5060).unwrap(), ..via() },
            ] {
                assert_eq!(verify(value, &other, &bound), None, "{other:?}");
            }
            let other_address = "192.0.2.9:5063".parse().unwrap();
            for other in [
                Bound { response_address: other_address, ..bound },
                Bound { dialog: &keys.signing().dialog(b"Call", b"tag", b""), ..bound },
                Bound { dialog: &keys.signing().dialog(b"call", b"tug", b""), ..bound },
            ] {
                assert_eq!(verify(value, &via(), &other), Some((parameter, false)), "{other:?}");
            }
        }
    }

    #[test]
    fn it_is_read_as_it_was_written_before() {
        let keys = keys();
        let dialog = keys.signing().dialog(b"call", b"Tag", b"");
        let connection = Some(Connection { epoch: 9, number: 0x0102_0304 });
        let (v4, v6) = ("192.0.2.9:5062", "[2001:db8::9]:5062");
        let probe = Purpose::Probe(0xdead_beef);
        let rows = [
            (v4, parameter(), "0203abcd800201ffffffffdeadbeefbd0b5e2b3b1c074e7a266fff0d1f"),
            (v6, parameter(), "0203abcd800201ffffffffdeadbeefbd0b5e2b3b1cb00d07095e928b23"),
            (
                v4,
                ViaParameter { from_destination: false, ..parameter() },
                "0203abcd000201ffffffffdeadbeef1103a286fc1114e2da3965aba016",
            ),
            (
                v4,
                ViaParameter { purpose: probe, ..parameter() },
                "0203abcd810201ffffffffdeadbeeffac5ac3a492c93f7a79ba28210cd",
            ),
            (
                v4,
                ViaParameter { purpose: try_of_ours(), ..parameter() },
                "0203abcd820201ffffffffdeadbeef050607a1f8ff430f6b87caaad637d3fad8",
            ),
            (
                v4,
                ViaParameter { connection, ..parameter() },
                "0203abcdc00201ffffffffdeadbeef0901020304963c3ef6055378bae4b84bd4cc03",
            ),
            (
                v4,
                ViaParameter { connection, purpose: try_of_ours(), ..parameter() },
                "0203abcdc20201ffffffffdeadbeef090102030405060743f23376ac4774f1797b31f30995",
            ),
        ];
        for (address, parameter, golden) in rows {
            let bound = Bound { response_address: address.parse().unwrap(), dialog: &dialog };
            let text = parameter.sign(&keys, &via(), &bound);
            assert_eq!(std::str::from_utf8(text.as_bytes()).unwrap(), golden, "{parameter:?}");
            let read = ViaParameter::verify(golden.as_bytes(), &keys, &via()).unwrap();
            assert_eq!(read.parameter, parameter);
            assert!(read.is_bound_to(&bound), "{parameter:?}");
        }
    }
}
