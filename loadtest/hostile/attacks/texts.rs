//! The attackers' messages.

use std::fmt::Display;

/// A complete request with these rows besides the necessary ones. Its Call-ID and branch hold the
/// number.
pub(super) fn request(
    method: &str,
    uri: impl Display,
    via: impl Display,
    number: u64,
    rows: &str,
) -> Vec<u8> {
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {via};branch=z9hG4bK{number:016x}\r\n\
         {rows}\
         From: <sip:mallory@example.org>;tag=m{number:x}\r\n\
         To: <sip:bob@example.net>\r\n\
         Call-ID: {number:016x}@mallory\r\n\
         CSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The same inside a dialog.
pub(super) fn in_dialog(
    method: &str,
    uri: impl Display,
    via: impl Display,
    number: u64,
    rows: &str,
) -> Vec<u8> {
    replaced(&request(method, uri, via, number, rows), "net>\r\nCall", "net>;tag=b0b\r\nCall")
}

/// With the first `from` turned into `to`.
pub(super) fn replaced(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = memchr::memmem::find(message, from.as_bytes());
    let at = at.unwrap_or_else(|| {
        panic!("no {from:?} in {}", String::from_utf8_lossy(message));
    });
    [&message[..at], to.as_bytes(), &message[at + from.len()..]].concat()
}

/// The value of the first row with this name.
pub(super) fn value<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
