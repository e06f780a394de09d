//! The signed token in our Record-Route, which routes requests in a dialog without a table.
//!
//! It is in the user part of the URI, in hexadecimal, because other stacks change the case and the
//! order of parameters:
//!
//! ```text
//! Record-Route: <sip:TOKEN@192.0.2.1:5060;lr>
//!
//!  form  key id  destination   egress   response address  arrival    tag
//!   1      1      6 or 18        4          6 or 18          4        8     bytes
//! ```
//!
//! The tag covers all of these fields, the Call-ID and the caller's From tag. With a token one can
//! only send requests of that call to those two addresses, nothing else and nowhere else.

use std::net::{IpAddr, SocketAddr};

use crate::hex;
use crate::keys::{Derived, Keys};

/// Form 1 with IPv4 addresses; each of the two low bits marks an address as IPv6.
const FORM: u8 = 0x10;
const DESTINATION_IS_IPV6: u8 = 1;
const RESPONSE_IS_IPV6: u8 = 2;

const TAG_BYTES: usize = 8;
const TOKEN_BYTES_MAX: usize = 2 + 18 + 4 + 18 + 4 + TAG_BYTES;

/// The length of the longest token in hexadecimal.
pub(crate) const TOKEN_HEX_MAX: usize = 2 * TOKEN_BYTES_MAX;

/// The length of the shortest: with two IPv4 addresses.
const TOKEN_HEX_MIN: usize = 2 * (2 + 6 + 4 + 6 + 4 + TAG_BYTES);

const _: () = assert!(TOKEN_HEX_MIN <= 64 && TOKEN_HEX_MAX <= 112);

/// The content of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Token {
    /// The address of the destination that took the call.
    pub destination: SocketAddr,
    /// The hash of the listener that sends requests to the destination.
    pub egress: u32,
    /// The address that the caller receives responses at.
    pub response_address: SocketAddr,
    /// The hash of the listener that the caller's request arrived at.
    pub arrival: u32,
}

/// A token in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct TokenText {
    digits: [u8; TOKEN_HEX_MAX],
    len: usize,
}

impl TokenText {
    /// Returns the digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

/// What the user part of a Route of ours contains.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// No token, or one of a key that we do not have: it proves nothing.
    NoToken,
    /// A token that does not verify: it is from another call, or made up.
    Forged,
    /// A token that verifies, and who sends the request.
    Verified(Speaker, Token),
}

/// Who sends a request in a dialog, by the tag that the token verifies with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Speaker {
    /// It verifies with the From tag.
    Caller,
    /// It verifies with the To tag.
    Callee,
    /// It verifies with both tags, which are equal.
    Either,
}

impl Token {
    /// Encodes and signs it for the dialog with this Call-ID and caller's tag.
    pub fn sign(&self, keys: &Keys, call_id: &[u8], caller_tag: &[u8]) -> TokenText {
        let key = keys.signing();
        let mut bytes = [0; TOKEN_BYTES_MAX];
        let mut len = 2;
        let is_ipv6 = |address: SocketAddr, flag| if address.is_ipv6() { flag } else { 0 };
        bytes[0] = FORM
            | is_ipv6(self.destination, DESTINATION_IS_IPV6)
            | is_ipv6(self.response_address, RESPONSE_IS_IPV6);
        bytes[1] = key.id;
        for (address, listener) in
            [(self.destination, self.egress), (self.response_address, self.arrival)]
        {
            len += put_address(address, &mut bytes[len..]);
            bytes[len..len + 4].copy_from_slice(&listener.to_be_bytes());
            len += 4;
        }
        let tag = tag(key, &bytes[..len], call_id, caller_tag);
        bytes[len..len + TAG_BYTES].copy_from_slice(&tag.to_be_bytes());
        len += TAG_BYTES;
        let mut text = TokenText { digits: [0; TOKEN_HEX_MAX], len: 2 * len };
        hex::encode(&bytes[..len], &mut text.digits);
        text
    }

    /// Verifies the user part of a Route of ours. `%HH` counts as the byte it encodes.
    pub fn verify(
        keys: &Keys,
        user: &[u8],
        call_id: &[u8],
        from_tag: &[u8],
        to_tag: &[u8],
    ) -> Found {
        let mut plain = [0; TOKEN_HEX_MAX];
        let Some(digits) = unescape(user, &mut plain) else {
            return Found::NoToken;
        };
        let mut bytes = [0; TOKEN_BYTES_MAX];
        let Some(bytes) = hex::decode(digits, &mut bytes) else {
            return Found::NoToken;
        };
        let Some((token, signed_len)) = read(bytes) else {
            return Found::NoToken;
        };
        let Some(key) = keys.verifying(bytes[1]) else {
            return Found::NoToken;
        };
        let (signed, found) = bytes.split_at(signed_len);
        // Compared as one number, so that the time does not depend on which byte is wrong.
        let found = u64::from_be_bytes(found.try_into().expect("read() has seen to the length"));
        let verifies = |caller_tag| tag(key, signed, call_id, caller_tag) == found;
        if verifies(from_tag) {
            let is_either = from_tag.eq_ignore_ascii_case(to_tag);
            let speaker = if is_either { Speaker::Either } else { Speaker::Caller };
            return Found::Verified(speaker, token);
        }
        if verifies(to_tag) { Found::Verified(Speaker::Callee, token) } else { Found::Forged }
    }

    /// Returns whether this user part has the form of a token, with any key.
    pub fn looks_like(user: &[u8]) -> bool {
        // Ordinary users are shorter than any token.
        if user.len() < TOKEN_HEX_MIN {
            return false;
        }
        let mut plain = [0; TOKEN_HEX_MAX];
        let mut bytes = [0; TOKEN_BYTES_MAX];
        unescape(user, &mut plain)
            .and_then(|digits| hex::decode(digits, &mut bytes))
            .is_some_and(|bytes| read(bytes).is_some())
    }
}

fn read(bytes: &[u8]) -> Option<(Token, usize)> {
    let form = *bytes.first()?;
    if form & !(DESTINATION_IS_IPV6 | RESPONSE_IS_IPV6) != FORM {
        return None;
    }
    let mut at = 2;
    let (destination, egress) = take_hop(bytes, &mut at, form & DESTINATION_IS_IPV6 != 0)?;
    let (response_address, arrival) = take_hop(bytes, &mut at, form & RESPONSE_IS_IPV6 != 0)?;
    (bytes.len() == at + TAG_BYTES)
        .then_some((Token { destination, egress, response_address, arrival }, at))
}

fn take_hop(bytes: &[u8], at: &mut usize, is_ipv6: bool) -> Option<(SocketAddr, u32)> {
    let ip_len = if is_ipv6 { 16 } else { 4 };
    let part = bytes.get(*at..*at + ip_len + 6)?;
    *at += ip_len + 6;
    let (ip, rest) = part.split_at(ip_len);
    let ip = match <[u8; 4]>::try_from(ip) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
    };
    let port = u16::from_be_bytes([rest[0], rest[1]]);
    Some((SocketAddr::new(ip, port), u32::from_be_bytes([rest[2], rest[3], rest[4], rest[5]])))
}

/// Writes an address as octets and port; returns the length.
pub(crate) fn put_address(address: SocketAddr, out: &mut [u8]) -> usize {
    let len = match address.ip() {
        IpAddr::V4(ip) => {
            out[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            out[..16].copy_from_slice(&ip.octets());
            16
        }
    };
    out[len..len + 2].copy_from_slice(&address.port().to_be_bytes());
    len + 2
}

/// Computes the tag. Dialog tags are hashed in lower case, because they are tokens and tokens have
/// no case (§7.3.1).
fn tag(key: &Derived, signed: &[u8], call_id: &[u8], caller_tag: &[u8]) -> u64 {
    let mut fields = key.route();
    fields.field(signed);
    fields.field(call_id);
    fields.lower(caller_tag);
    fields.tag()
}

fn unescape<'a>(text: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut len = 0;
    let mut at = 0;
    while at < text.len() {
        let byte = if text[at] == b'%' {
            let high = hex::digit(*text.get(at + 1)?)?;
            let low = hex::digit(*text.get(at + 2)?)?;
            at += 3;
            high << 4 | low
        } else {
            at += 1;
            text[at - 1]
        };
        *out.get_mut(len)? = byte;
        len += 1;
    }
    Some(&out[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    fn keys(ids: &[u8]) -> Keys {
        let masters: Vec<_> =
            ids.iter().map(|id| MasterKey { id: *id, secret: [*id; 32] }).collect();
        Keys::new(&masters)
    }

    fn token(destination: &str, response: &str) -> Token {
        Token {
            destination: destination.parse().unwrap(),
            egress: 7,
            response_address: response.parse().unwrap(),
            arrival: 9,
        }
    }

    #[test]
    fn a_token_says_who_sends() {
        let keys = keys(&[1]);
        for token in [
            token("192.0.2.1:5060", "198.51.100.1:5062"),
            token("[2001:db8::1]:5060", "198.51.100.1:5062"),
            token("192.0.2.1:5060", "[2001:db8::2]:1"),
            token("[2001:db8::1]:5060", "[2001:db8::2]:65535"),
        ] {
            let text = token.sign(&keys, b"call@host", b"CallerTag");
            let user = text.as_bytes();
            let verify =
                |from: &[u8], to: &[u8]| Token::verify(&keys, user, b"call@host", from, to);
            assert_eq!(verify(b"callertag", b"x"), Found::Verified(Speaker::Caller, token));
            assert_eq!(verify(b"x", b"CALLERTAG"), Found::Verified(Speaker::Callee, token));
            assert_eq!(verify(b"callerTag", b"CallerTag"), Found::Verified(Speaker::Either, token));
            assert_eq!(verify(b"x", b"y"), Found::Forged);
            assert_eq!(Token::verify(&keys, user, b"other", b"callertag", b"x"), Found::Forged);
        }
    }

    #[test]
    fn any_changed_digit_fails() {
        let keys = keys(&[1]);
        let text = token("192.0.2.1:5060", "198.51.100.1:5062").sign(&keys, b"c", b"t");
        assert!(text.as_bytes().len() <= 64);
        for at in 0..text.as_bytes().len() {
            let mut user = text.as_bytes().to_vec();
            user[at] = if user[at] == b'0' { b'1' } else { b'0' };
            let found = Token::verify(&keys, &user, b"c", b"t", b"u");
            assert!(matches!(found, Found::Forged | Found::NoToken), "digit {at}: {found:?}");
        }
    }

    #[test]
    fn other_stacks_spellings_are_read() {
        let keys = keys(&[1]);
        let token = token("192.0.2.1:5060", "198.51.100.1:5062");
        let text = token.sign(&keys, b"c", b"t");
        let upper = text.as_bytes().to_ascii_uppercase();
        let escaped: Vec<u8> =
            text.as_bytes().iter().flat_map(|b| format!("%{b:02X}").into_bytes()).collect();
        for user in [upper, escaped] {
            assert_eq!(
                Token::verify(&keys, &user, b"c", b"t", b""),
                Found::Verified(Speaker::Caller, token)
            );
        }
    }

    #[test]
    fn a_key_on_its_way_out_verifies_and_an_unknown_one_proves_nothing() {
        let token = token("192.0.2.1:5060", "198.51.100.1:5062");
        let old = token.sign(&keys(&[1]), b"c", b"t");
        let verify = |ids: &[u8]| Token::verify(&keys(ids), old.as_bytes(), b"c", b"t", b"");
        assert_eq!(verify(&[2, 1]), Found::Verified(Speaker::Caller, token));
        assert_eq!(verify(&[2]), Found::NoToken);
    }
}
