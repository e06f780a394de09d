//! The little SIP that the built-in callers and media servers need: they read messages line by line
//! and write them from templates. They do not use the relay's own parser, so that they can find
//! mistakes in it.

/// A message as text: its first line and its header fields.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// The request line or status line.
    pub(super) first_line: &'a str,
    fields: &'a str,
}

impl<'a> Message<'a> {
    /// Reads the message in this datagram; returns `None` if it is not one.
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (header, _body) = text.split_once("\r\n\r\n")?;
        let (first_line, fields) = header.split_once("\r\n")?;
        Some(Self { first_line, fields })
    }

    /// Returns the method of a request.
    pub(super) fn method(&self) -> &'a str {
        self.first_line.split(' ').next().unwrap_or("")
    }

    /// Returns the status code of a response.
    pub(super) fn status(&self) -> Option<u16> {
        let rest = self.first_line.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// Returns all fields, as `(name, value)`, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.fields.split("\r\n").filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim_end(), value.trim_start()))
        })
    }

    /// Returns the value of the first field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the URI inside the angle brackets of the Contact.
    pub(super) fn contact_uri(&self) -> Option<&'a str> {
        let contact = self.field("Contact")?;
        let (_, after) = contact.split_once('<')?;
        after.split_once('>').map(|(uri, _)| uri)
    }

    /// Returns the route set that a caller learns from a response: the Record-Routes from the last
    /// to the first (RFC 3261 §12.1.2), as Route fields.
    pub(super) fn routes_of_caller(&self) -> String {
        let routes: Vec<&str> = self
            .fields()
            .filter(|(name, _)| name.eq_ignore_ascii_case("Record-Route"))
            .flat_map(|(_, value)| value.split(','))
            .map(str::trim)
            .collect();
        let mut rows = String::new();
        for route in routes.iter().rev() {
            rows.push_str("Route: ");
            rows.push_str(route);
            rows.push_str("\r\n");
        }
        rows
    }
}

/// Returns an SDP body of typical size, for a user agent with this port.
pub(super) fn session_description(port: u16) -> String {
    format!(
        "v=0\r\no=demo 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_turns_the_record_routes_round() {
        let response = b"SIP/2.0 200 OK\r\nRecord-Route: <sip:a;lr>, <sip:b;lr>\r\n\
            record-route: <sip:c;lr>\r\nContact: \"x\" <sip:y@z>;q=1\r\n\r\nbody";
        let response = Message::read(response).expect("a message");
        assert_eq!(response.status(), Some(200));
        assert_eq!(response.contact_uri(), Some("sip:y@z"));
        assert_eq!(
            response.routes_of_caller(),
            "Route: <sip:c;lr>\r\nRoute: <sip:b;lr>\r\nRoute: <sip:a;lr>\r\n"
        );
    }

    #[test]
    fn bytes_that_are_no_message_are_none() {
        assert!(Message::read(b"").is_none());
        assert!(Message::read(b"\r\n\r\n").is_none());
        assert!(Message::read(b"INVITE sip:a SIP/2.0\r\nVia: x\r\n").is_none());
    }
}
