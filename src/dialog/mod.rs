//! The signed token in our Record-Route, which routes requests in a dialog without a table.
//!
//! It is in the user part of the URI, in hexadecimal, because other stacks change the case and the
//! order of parameters:
//!
//! ```text
//! Record-Route: <sip:TOKEN@192.0.2.1:5060;lr>
//!
//!  form  key id  destination   egress   response address  arrival  [epoch  connection]    tag
//!   1      1      6 or 18        4          6 or 18          4        1        4          8   bytes
//! ```
//!
//! The tag covers all of these fields, the Call-ID and the caller's From tag. With a token one can
//! only send requests of that call to those two addresses, nothing else and nowhere else. Epoch and
//! connection are there if the caller is reached by a connection, which only the worker that holds
//! it can use, and only until that worker starts anew.

use std::net::{IpAddr, SocketAddr};

use crate::hex;
use crate::keyed::ShortFields;
use crate::keys::{DialogDigest, Keys};

/// The upper bits of the form: version 2 of a Record-Route token.
const FORM: u8 = 0x20;
/// The low bits of the form.
const DESTINATION_IS_IPV6: u8 = 1;
const RESPONSE_IS_IPV6: u8 = 2;
const HAS_CONNECTION: u8 = 4;

const TAG_BYTES: usize = 8;
const CONNECTION_BYTES: usize = 5;
const TOKEN_BYTES_MAX: usize = 2 + 18 + 4 + 18 + 4 + CONNECTION_BYTES + TAG_BYTES;

/// The length of the longest token in hexadecimal.
pub(crate) const TOKEN_HEX_MAX: usize = 2 * TOKEN_BYTES_MAX;

/// The length of the shortest: with two IPv4 addresses.
const TOKEN_HEX_MIN: usize = 2 * (2 + 6 + 4 + 6 + 4 + TAG_BYTES);

const _: () = assert!(TOKEN_HEX_MIN <= 64 && TOKEN_HEX_MAX <= 118);

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
    /// The connection that the caller's request arrived by; `None` without connections.
    pub connection: Option<Connection>,
}

/// A connection to a neighbour, as far as signed notes name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The epoch of the worker that holds it.
    pub epoch: u8,
    /// Its number at that worker.
    pub number: u32,
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
    /// No token, or one of another version or of a key that we do not have: it proves nothing.
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
        self.sign_digest(keys, &keys.signing().dialog(call_id, caller_tag, &[]))
    }

    /// Encodes and signs it for the dialog that this request of the caller begins.
    pub(crate) fn sign_digest(&self, keys: &Keys, dialog: &DialogDigest) -> TokenText {
        let key = keys.signing();
        let mut bytes = [0; TOKEN_BYTES_MAX];
        let mut len = 2;
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        bytes[0] = FORM
            | flag(self.destination.is_ipv6(), DESTINATION_IS_IPV6)
            | flag(self.response_address.is_ipv6(), RESPONSE_IS_IPV6)
            | flag(self.connection.is_some(), HAS_CONNECTION);
        bytes[1] = key.id;
        for (address, listener) in
            [(self.destination, self.egress), (self.response_address, self.arrival)]
        {
            len += put_address(address, &mut bytes[len..]);
            bytes[len..len + 4].copy_from_slice(&listener.to_be_bytes());
            len += 4;
        }
        if let Some(Connection { epoch, number }) = self.connection {
            bytes[len] = epoch;
            bytes[len + 1..len + CONNECTION_BYTES].copy_from_slice(&number.to_be_bytes());
            len += CONNECTION_BYTES;
        }
        let tag = tag(key.route(), &bytes[..len], dialog.call_id, dialog.from_tag);
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
        Self::verify_digest(keys, user, |id| {
            keys.verifying(id).map(|key| key.dialog(call_id, from_tag, to_tag))
        })
    }

    /// Verifies the user part of a Route of ours; `dialog_of` returns the request's dialog, digested
    /// under the key with this number.
    pub(crate) fn verify_digest(
        keys: &Keys,
        user: &[u8],
        dialog_of: impl FnOnce(u8) -> Option<DialogDigest>,
    ) -> Found {
        let mut bytes = [0; TOKEN_BYTES_MAX];
        let Some((bytes, token)) = decode(user, &mut bytes) else {
            return Found::NoToken;
        };
        let Some((key, dialog)) = keys.verifying(bytes[1]).zip(dialog_of(bytes[1])) else {
            return Found::NoToken;
        };
        let (signed, found) = bytes.split_at(bytes.len() - TAG_BYTES);
        // Compared as one number, so that the time does not depend on which byte is wrong.
        let found = u64::from_be_bytes(found.try_into().expect("decode() checks the length"));
        let verifies = |caller_tag| tag(key.route(), signed, dialog.call_id, caller_tag) == found;
        if verifies(dialog.from_tag) {
            let is_either = dialog.from_tag == dialog.to_tag;
            let speaker = if is_either { Speaker::Either } else { Speaker::Caller };
            return Found::Verified(speaker, token);
        }
        if verifies(dialog.to_tag) {
            Found::Verified(Speaker::Callee, token)
        } else {
            Found::Forged
        }
    }

    /// Returns whether this user part has the form of a token, with any key.
    pub fn looks_like(user: &[u8]) -> bool {
        decode(user, &mut [0; TOKEN_BYTES_MAX]).is_some()
    }
}

/// Decodes the digits of a token and reads its fields, without verifying its tag.
fn decode<'a>(user: &[u8], bytes: &'a mut [u8; TOKEN_BYTES_MAX]) -> Option<(&'a [u8], Token)> {
    // Ordinary users are shorter than any token.
    if user.len() < TOKEN_HEX_MIN {
        return None;
    }
    let bytes = if memchr::memchr(b'%', user).is_some() {
        decode_escaped(user, bytes)?
    } else {
        hex::decode(user, bytes)?
    };
    let token = read(bytes)?;
    Some((bytes, token))
}

#[cold]
fn decode_escaped<'a>(user: &[u8], bytes: &'a mut [u8; TOKEN_BYTES_MAX]) -> Option<&'a [u8]> {
    let mut plain = [0; TOKEN_HEX_MAX];
    hex::decode(unescape(user, &mut plain)?, bytes)
}

fn read(bytes: &[u8]) -> Option<Token> {
    let form = *bytes.first()?;
    if form & !(DESTINATION_IS_IPV6 | RESPONSE_IS_IPV6 | HAS_CONNECTION) != FORM {
        return None;
    }
    let mut at = 2;
    let (destination, egress) = take_hop(bytes, &mut at, form & DESTINATION_IS_IPV6 != 0)?;
    let (response_address, arrival) = take_hop(bytes, &mut at, form & RESPONSE_IS_IPV6 != 0)?;
    let mut connection = None;
    if form & HAS_CONNECTION != 0 {
        let (epoch, number) = bytes.get(at..at + CONNECTION_BYTES)?.split_first()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        connection = Some(Connection { epoch: *epoch, number });
        at += CONNECTION_BYTES;
    }
    (bytes.len() == at + TAG_BYTES).then_some(Token {
        destination,
        egress,
        response_address,
        arrival,
        connection,
    })
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

/// Computes the tag for a dialog with this Call-ID and caller's tag, both digested.
fn tag(mut fields: ShortFields, signed: &[u8], call_id: u128, caller_tag: u64) -> u64 {
    // The length of what is signed follows from its first byte.
    fields.bytes(signed);
    fields.fixed(call_id.to_be_bytes());
    fields.fixed(caller_tag.to_be_bytes());
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
            connection: None,
        }
    }

    #[test]
    fn a_token_says_who_sends() {
        let keys = keys(&[1]);
        let plain = token("192.0.2.1:5060", "198.51.100.1:5062");
        for token in [
            plain,
            Token { connection: Some(Connection { epoch: 3, number: 0x0102_0304 }), ..plain },
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
    fn tokens_of_this_version_are_read_as_they_were_written_before() {
        let keys = keys(&[1]);
        let v4 = token("192.0.2.1:5060", "198.51.100.1:5062");
        let v6 = token("[2001:db8::1]:5060", "[2001:db8::2]:65535");
        let connected = Token { connection: Some(Connection { epoch: 3, number: 4 }), ..v4 };
        let golden = [
            "2001c000020113c400000007c633640113c600000009c6f6a5a60231cf58",
            "230120010db800000000000000000000000113c40000000720010db8000000000000000000000002ffff00000009ff60d826f7f49c84",
            "2401c000020113c400000007c633640113c60000000903000000045ad6adab01b747db",
        ];
        for (token, golden) in [v4, v6, connected].iter().zip(golden) {
            let text = token.sign(&keys, b"call@host", b"CallerTag");
            assert_eq!(std::str::from_utf8(text.as_bytes()).unwrap(), golden);
            let found = Token::verify(&keys, golden.as_bytes(), b"call@host", b"callertag", b"");
            assert_eq!(found, Found::Verified(Speaker::Caller, *token));
        }
    }

    #[test]
    fn another_version_proves_nothing() {
        let keys = keys(&[1]);
        let text = token("192.0.2.1:5060", "198.51.100.1:5062").sign(&keys, b"c", b"t");
        for form in ["10", "28", "30", "40", "a0"] {
            let user = [form.as_bytes(), &text.as_bytes()[2..]].concat();
            assert_eq!(Token::verify(&keys, &user, b"c", b"t", b"u"), Found::NoToken, "{form}");
            assert!(!Token::looks_like(&user));
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
