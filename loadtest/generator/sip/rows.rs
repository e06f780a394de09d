//! Reads a message row by row.

use memchr::{memchr, memmem};

/// A message of a datagram: its first line and its header rows.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The request line or status line.
    pub first_line: &'a str,
    header: &'a str,
}

impl<'a> Message<'a> {
    /// Reads the message in this datagram; returns `None` if it is not one.
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let end = memmem::find(datagram, b"\r\n\r\n")?;
        // With the line end of the last row.
        let header = std::str::from_utf8(&datagram[..end + 2]).ok()?;
        let (first_line, header) = header.split_once("\r\n")?;
        Some(Self { first_line, header })
    }

    /// Returns the status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.first_line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Returns the method of a request.
    pub fn method(&self) -> Option<&'a str> {
        let (method, rest) = self.first_line.split_once(' ')?;
        rest.ends_with(" SIP/2.0").then_some(method)
    }

    /// Returns all rows in order, as name and value.
    pub fn rows(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut rest = self.header;
        std::iter::from_fn(move || {
            loop {
                let end = memchr(b'\n', rest.as_bytes())?;
                let row = rest[..end].trim_end_matches('\r');
                rest = &rest[end + 1..];
                if let Some((name, value)) = row.split_once(':') {
                    return Some((name.trim_end(), value.trim_start()));
                }
            }
        })
    }

    /// Returns the value of the first row with this name.
    pub fn row(&self, name: &str) -> Option<&'a str> {
        self.rows().find(|(n, _)| is(n, name)).map(|(_, value)| value)
    }
}

/// Whether a row's name is this one; its compact form counts too (RFC 3261 §7.3.3).
pub(crate) fn is(name: &str, wanted: &str) -> bool {
    let compact = match wanted {
        "Via" => "v",
        "From" => "f",
        "To" => "t",
        "Call-ID" => "i",
        "Contact" => "m",
        _ => return name.eq_ignore_ascii_case(wanted),
    };
    name.eq_ignore_ascii_case(wanted) || name.eq_ignore_ascii_case(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_rows() {
        let text = b"BYE sip:a@b SIP/2.0\r\nVia: one\r\nv:two\r\nnot a row\r\nCALL-id :  x\r\n\r\nVia: body";
        let message = Message::read(text).unwrap();
        assert_eq!(message.method(), Some("BYE"));
        assert_eq!(message.status(), None);
        assert_eq!(
            message.rows().collect::<Vec<_>>(),
            [("Via", "one"), ("v", "two"), ("CALL-id", "x")]
        );
        assert_eq!(message.row("Call-ID"), Some("x"));
        assert_eq!(message.row("To"), None);
        assert!(is("v", "Via") && is("VIA", "Via") && !is("v", "From") && !is("", "Server"));
    }

    #[test]
    fn a_response() {
        let message = Message::read(b"SIP/2.0 180 Ringing\r\nt: x\r\n\r\n").unwrap();
        assert_eq!((message.status(), message.method()), (Some(180), None));
        assert_eq!(message.row("To"), Some("x"));
    }

    #[test]
    fn what_is_no_message() {
        for text in
            [&b""[..], b"BYE", b"BYE sip:a SIP/2.0\r\n", b"\xff\r\na: b\r\n\r\n", b"\r\n\r\n"]
        {
            let read = Message::read(text);
            assert!(read.is_none_or(|m| m.method().is_none() && m.status().is_none()), "{text:?}");
        }
    }
}
