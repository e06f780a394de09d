//! The branch of our Via: the same for every copy of a request, its CANCEL and the ACK to its
//! non-2xx, whichever worker, process or node writes it (RFC 3261 §16.11).
//!
//! ```text
//! z9hG4bK  9f2c…(32 digits)  0
//!  cookie   keyed hash        try number
//! ```

use crate::hex;
use crate::keyed::Fields;
use crate::keys::{DialogDigest, Keys};
use crate::message::{MAGIC_COOKIE, Message, StartLine, Via};
use crate::pin::PinKey;

const HASH_DIGITS: usize = 32;
/// Cookie, hash and try number.
pub(super) const BRANCH_LEN: usize = MAGIC_COOKIE.len() + HASH_DIGITS + 1;

/// A branch of ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Branch {
    pub(super) hash: u128,
    pub(super) try_number: u8,
}

impl Branch {
    /// Returns the branch for this request: a keyed hash over fields that are the same in every
    /// copy, CANCEL and ACK, so never over the method, the To tag or the source port.
    pub(super) fn of_request(
        keys: &Keys,
        message: &Message,
        dialog: &DialogDigest,
        bytes: &[u8],
    ) -> Option<Self> {
        let via = message.via?;
        let request_uri = match message.start_line {
            StartLine::Request { uri, .. } | StartLine::OtherVersion { uri, .. } => uri.of(bytes),
            // A malformed request is answered, not forwarded.
            _ => &[],
        };
        let mut fields = keys.branch();
        if via.usable_branch(bytes).is_some() {
            write_upstream(&mut fields, &via, bytes);
        } else {
            // An element of RFC 2543: use its whole Via and the Request-URI instead of the branch.
            fields.fixed([1]);
            fields.field(via.value.of(bytes));
            fields.field(request_uri);
        }
        Some(Self::finish(&mut fields, message, dialog))
    }

    /// Returns the branch that we gave the request of this response, whose Via below ours is
    /// `upstream`; `None` if that has no usable branch.
    pub(super) fn of_response(
        keys: &Keys,
        message: &Message,
        dialog: &DialogDigest,
        upstream: &Via,
        bytes: &[u8],
    ) -> Option<Self> {
        upstream.usable_branch(bytes)?;
        let mut fields = keys.branch();
        write_upstream(&mut fields, upstream, bytes);
        Some(Self::finish(&mut fields, message, dialog))
    }

    /// Returns the branch of the probe with this number, sent at this time by this process.
    pub(super) fn of_probe(keys: &Keys, incarnation: u16, number: u32, sent_ms: u32) -> Self {
        let mut fields = keys.branch();
        fields.fixed([2]);
        fields.fixed(incarnation.to_be_bytes());
        fields.fixed(number.to_be_bytes());
        fields.fixed(sent_ms.to_be_bytes());
        Self { hash: fields.spread128(), try_number: 0 }
    }

    fn finish(fields: &mut Fields, message: &Message, dialog: &DialogDigest) -> Self {
        fields.fixed(dialog.call_id.to_be_bytes());
        fields.fixed(dialog.from_tag.to_be_bytes());
        fields.fixed(message.cseq_number.to_be_bytes());
        Self { hash: fields.spread128(), try_number: 0 }
    }

    /// Parses a branch that may be ours; case does not matter, because a branch is a token.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let digits =
            text.get(MAGIC_COOKIE.len()..).filter(|digits| digits.len() == HASH_DIGITS + 1)?;
        let cookie = &text[..MAGIC_COOKIE.len()];
        if cookie != MAGIC_COOKIE && !cookie.eq_ignore_ascii_case(MAGIC_COOKIE) {
            return None;
        }
        let mut hash = [0; HASH_DIGITS / 2];
        hex::decode(&digits[..HASH_DIGITS], &mut hash)?;
        Some(Self { hash: u128::from_be_bytes(hash), try_number: hex::digit(digits[HASH_DIGITS])? })
    }

    /// Returns the branch as text.
    pub(super) fn text(self) -> [u8; BRANCH_LEN] {
        let mut text = [0; BRANCH_LEN];
        text[..MAGIC_COOKIE.len()].copy_from_slice(MAGIC_COOKIE);
        hex::encode(&self.hash.to_be_bytes(), &mut text[MAGIC_COOKIE.len()..]);
        text[BRANCH_LEN - 1] = hex::DIGITS[usize::from(self.try_number & 15)];
        text
    }

    /// Returns the key of the transaction's pin.
    pub(super) fn pin_key(self) -> PinKey {
        PinKey(self.hash as u64)
    }

    /// Returns the To tag of our own responses to its request, which the ACK repeats: no table is needed.
    pub(super) fn own_to_tag(self, keys: &Keys) -> [u8; 16] {
        let mut fields = keys.to_tag();
        fields.fixed(self.hash.to_be_bytes());
        let mut tag = [0; 16];
        hex::encode(&fields.tag().to_be_bytes(), &mut tag);
        tag
    }
}

/// Adds the branch and sent-by of the element before us. Both are hashed without case.
fn write_upstream(fields: &mut Fields, via: &Via, bytes: &[u8]) {
    fields.fixed([0]);
    fields.lower(via.branch.unwrap_or_default().of(bytes));
    fields.lower(via.host.of(bytes));
    fields.fixed(via.port_or_default().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    fn of(text: &str) -> String {
        let keys = Keys::new(&[MasterKey { id: 1, secret: [1; 32] }]);
        let message = Message::read(text.as_bytes());
        let dialog = message.dialog(keys.signing(), text.as_bytes());
        let branch = Branch::of_request(&keys, &message, &dialog, text.as_bytes()).unwrap();
        assert_eq!(Branch::read(&branch.text()), Some(branch));
        String::from_utf8(branch.text().to_vec()).unwrap()
    }

    fn invite(branch: &str) -> String {
        format!(
            "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5062{branch}\r\n\
             From: <sip:a@b>;tag=Tag\r\nTo: <sip:b@c>\r\nCall-ID: call@host\r\nCSeq: 7 INVITE\r\n\r\n"
        )
    }

    /// Every node of a group, and every version from now on, writes the same.
    #[test]
    fn branches_are_written_as_they_were_before() {
        assert_eq!(of(&invite(";branch=z9hG4bK-1")), "z9hG4bKbaf91e94b7df91d926efc4ada93940e90");
        assert_eq!(of(&invite("")), "z9hG4bK8c466ed07deab4800180ff7b955f414b0");
    }
}
