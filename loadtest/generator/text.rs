//! Reads the messages that the generator and its servers get, line by line. It does not use the
//! relay's own parser, so that it can find mistakes in it.

/// The header field in which a server writes its number.
pub(crate) const SERVER_FIELD: &str = "Server";

/// A message as text.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The request line or status line.
    pub(crate) first_line: &'a str,
    fields: &'a str,
}

impl<'a> Message<'a> {
    /// Reads the message in this datagram; returns `None` if it is not one.
    pub(crate) fn read(datagram: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (header, _) = text.split_once("\r\n\r\n")?;
        let (first_line, fields) = header.split_once("\r\n")?;
        Some(Self { first_line, fields })
    }

    /// Returns the status code of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.first_line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Returns all fields in order, as name and value.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.fields.split("\r\n").filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim_end(), value.trim_start()))
        })
    }

    /// Returns the value of the first field with this name.
    pub(crate) fn field(&self, name: &str) -> Option<&'a str> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}
