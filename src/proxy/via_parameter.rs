//! Our own Via parameter: a signed note to ourselves that comes back with the response.
//!
//! ```text
//! Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK…;sw=…
//!
//!  version  key id  incarnation  kind  slot  send time  arrival listener  tag
//!     1       1         2          1     2      4 (ms)         4           8    bytes
//! ```
//!
//! The tag covers all of these, our branch, our sent-by, the resolved address that the response
//! must go to, the Call-ID and the From tag. It never covers the bytes of the next Via, because
//! other stacks rewrite Vias. So a response is forwarded only to where its request came from (RFC
//! 6026 §10 describes the abuse), and affects only its own call.

use std::net::SocketAddr;

use super::branch::Branch;
use crate::destination::Slot;
use crate::dialog::put_address;
use crate::hex;
use crate::keys::{Derived, Keys};

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 15;
const BYTES: usize = SIGNED_BYTES + 8;
/// Digits of the parameter's value.
pub(super) const DIGITS: usize = 2 * BYTES;

/// The low bits of the kind: a relayed request. Our own probes and stateful tries get other values.
const RELAYED: u8 = 0;
const FROM_DESTINATION: u8 = 0x80;

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
    /// The hash of the listener that the request arrived at.
    pub(super) arrival: u32,
}

/// What the tag covers besides the parameter itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<'a> {
    pub(super) branch: Branch,
    /// Our sent-by in canonical form: see [`super::Listeners::sent_by_key`].
    pub(super) sent_by: &'a [u8],
    pub(super) response_address: SocketAddr,
    pub(super) call_id: &'a [u8],
    pub(super) from_tag: &'a [u8],
}

impl ViaParameter {
    /// Returns the signed value.
    pub(super) fn sign(&self, keys: &Keys, bound: &Bound) -> [u8; DIGITS] {
        let key = keys.signing();
        let mut bytes = [0; BYTES];
        bytes[0] = VERSION;
        bytes[1] = key.id;
        bytes[2..4].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[4] = RELAYED | if self.from_destination { FROM_DESTINATION } else { 0 };
        bytes[5..7].copy_from_slice(&self.slot.0.to_be_bytes());
        bytes[7..11].copy_from_slice(&self.sent_ms.to_be_bytes());
        bytes[11..15].copy_from_slice(&self.arrival.to_be_bytes());
        let tag = tag(key, &bytes[..SIGNED_BYTES], bound);
        bytes[SIGNED_BYTES..].copy_from_slice(&tag.to_be_bytes());
        let mut digits = [0; DIGITS];
        hex::encode(&bytes, &mut digits);
        digits
    }

    /// Reads the value of a response's parameter; returns `None` unless its tag verifies.
    pub(super) fn verify(value: &[u8], keys: &Keys, bound: &Bound) -> Option<Self> {
        let mut bytes = [0; BYTES];
        if value.len() != DIGITS {
            return None;
        }
        hex::decode(value, &mut bytes)?;
        let key = keys.verifying(bytes[1]).filter(|_| bytes[0] == VERSION)?;
        let (signed, found) = bytes.split_at(SIGNED_BYTES);
        if tag(key, signed, bound).to_be_bytes() != *found
            || signed[4] & !FROM_DESTINATION != RELAYED
        {
            return None;
        }
        let u16_at = |at: usize| u16::from_be_bytes([signed[at], signed[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) << 16 | u32::from(u16_at(at + 2));
        Some(Self {
            incarnation: u16_at(2),
            from_destination: signed[4] & FROM_DESTINATION != 0,
            slot: Slot(u16_at(5)),
            sent_ms: u32_at(7),
            arrival: u32_at(11),
        })
    }
}

fn tag(key: &Derived, signed: &[u8], bound: &Bound) -> u64 {
    let mut address = [0; 18];
    let address_len = put_address(bound.response_address, &mut address);
    let mut fields = key.via();
    fields.fixed(signed);
    fields.fixed(&bound.branch.hash.to_be_bytes());
    fields.fixed(&[bound.branch.try_number]);
    fields.field(bound.sent_by);
    fields.field(&address[..address_len]);
    fields.field(bound.call_id);
    fields.lower(bound.from_tag);
    fields.tag()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    #[test]
    fn nothing_in_it_or_around_it_can_change() {
        let keys = Keys::new(&[MasterKey { id: 3, secret: [7; 32] }]);
        let bound = Bound {
            branch: Branch { hash: 1 << 100, try_number: 0 },
            sent_by: b"us",
            response_address: "192.0.2.9:5062".parse().unwrap(),
            call_id: b"call",
            from_tag: b"Tag",
        };
        let parameter = ViaParameter {
            incarnation: 0xabcd,
            from_destination: true,
            slot: Slot(513),
            sent_ms: u32::MAX,
            arrival: 0xdead_beef,
        };
        let value = parameter.sign(&keys, &bound);
        assert_eq!(ViaParameter::verify(&value, &keys, &bound), Some(parameter));
        assert_eq!(
            ViaParameter::verify(&value.to_ascii_uppercase(), &keys, &bound),
            Some(parameter)
        );
        let recased = Bound { from_tag: b"tAG", ..bound };
        assert_eq!(ViaParameter::verify(&value, &keys, &recased), Some(parameter));
        for at in 0..value.len() {
            let mut changed = value;
            changed[at] = if changed[at] == b'5' { b'6' } else { b'5' };
            assert_eq!(ViaParameter::verify(&changed, &keys, &bound), None, "digit {at}");
        }
        let others = [
            Bound { branch: Branch { hash: 1, ..bound.branch }, ..bound },
            Bound { branch: Branch { try_number: 1, ..bound.branch }, ..bound },
            Bound { sent_by: b"you", ..bound },
            Bound { response_address: "192.0.2.9:5063".parse().unwrap(), ..bound },
            Bound { call_id: b"Call", ..bound },
            Bound { from_tag: b"Tug", ..bound },
        ];
        for other in others {
            assert_eq!(ViaParameter::verify(&value, &keys, &other), None, "{other:?}");
        }
    }
}
