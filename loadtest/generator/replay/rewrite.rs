//! Replaces rows of a captured message.

use crate::sip::{Message, is};

/// The rows of one kind in a message, in order, as values.
pub(super) fn rows(datagram: &[u8], name: &str) -> Vec<String> {
    let Some(message) = Message::read(datagram) else { return Vec::new() };
    let rows = message.rows().filter(|(n, _)| is(n, name)).map(|(_, value)| value.to_owned());
    rows.collect()
}

/// The message with other rows of one kind, where the first of them was; as it is if it has none.
pub(super) fn with_rows(datagram: &[u8], name: &str, values: &[String]) -> Vec<u8> {
    let Some(message) = Message::read(datagram) else { return datagram.to_vec() };
    let end = memchr::memmem::find(datagram, b"\r\n\r\n").map_or(datagram.len(), |at| at + 2);
    let mut out = format!("{}\r\n", message.first_line).into_bytes();
    let mut is_done = false;
    for (n, value) in message.rows() {
        if !is(n, name) {
            out.extend_from_slice(format!("{n}: {value}\r\n").as_bytes());
        } else if !std::mem::replace(&mut is_done, true) {
            for value in values {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
    }
    out.extend_from_slice(&datagram[end..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"BYE sip:a SIP/2.0\r\nVia: 1\r\nTo: x\r\nv: 2\r\nCSeq: 1 BYE\r\n\r\nbody\r\n\r\nVia: 3";

    #[test]
    fn rows_are_replaced_where_the_first_was() {
        assert_eq!(rows(TEXT, "Via"), ["1", "2"]);
        let other = with_rows(TEXT, "Via", &["A".into(), "B".into(), "C".into()]);
        let wants = "BYE sip:a SIP/2.0\r\nVia: A\r\nVia: B\r\nVia: C\r\nTo: x\r\nCSeq: 1 BYE\r\n\r\nbody\r\n\r\nVia: 3";
        assert_eq!(String::from_utf8(other).unwrap(), wants);
        assert_eq!(rows(&with_rows(TEXT, "Via", &[]), "Via"), Vec::<String>::new());
        assert_eq!(with_rows(TEXT, "Route", &["A".into()]), TEXT);
        assert_eq!(with_rows(b"x", "Via", &[]), b"x");
    }
}
