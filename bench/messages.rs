//! The messages of the benches: templates, each made new by a number of fixed width.

use std::net::SocketAddr;

/// A message with places for a number: its bytes change, its length never does.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// A template from a text in which `%%%%%%%%%%%%%%%%` stands for the number.
    pub(crate) fn new(text: impl AsRef<[u8]>) -> Self {
        let bytes = text.as_ref().to_vec();
        let places = memchr::memmem::find_iter(&bytes, PLACE).collect();
        Self { bytes, places }
    }

    /// Writes the number, as 16 hex digits, into its places.
    pub(crate) fn number(&mut self, number: u64) {
        let mut digits = [0; PLACE.len()];
        for (i, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (60 - 4 * i)) as usize & 15];
        }
        for place in &self.places {
            self.bytes[*place..*place + PLACE.len()].copy_from_slice(&digits);
        }
    }

    /// The message as it is now.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

const PLACE: &[u8] = b"%%%%%%%%%%%%%%%%";

/// An INVITE of some 1,000 bytes as a carrier's border sends it: it has passed a proxy, which wants
/// to stay in the path, and offers the usual codecs.
pub(crate) fn invite(caller: SocketAddr) -> Template {
    invite_with(caller, USUAL_ROWS, SDP)
}

/// The same with this body and at least as many header fields as an INVITE must have: fewer than
/// usual, or more, which no relay knows.
#[allow(dead_code, reason = "not every bench needs it")]
pub(crate) fn invite_with(caller: SocketAddr, rows: usize, body: &str) -> Template {
    let is_usual = rows >= USUAL_ROWS;
    let path = format!(
        "Via: SIP/2.0/UDP 203.0.113.20:5060;branch=z9hG4bK-524287-1---7f3c2ab19d;rport=5060\r\n\
         Record-Route: <sip:{caller};lr>\r\n"
    );
    let offer = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE\r\n\
                 Supported: 100rel, timer\r\n\
                 Session-Expires: 1800;refresher=uac\r\n\
                 P-Asserted-Identity: <sip:+4989987654@example.org;user=phone>\r\n\
                 Content-Type: application/sdp\r\n";
    let notes: String = (USUAL_ROWS..rows)
        .map(|number| format!("X-Carrier-Note-{number:02}: route=fra-{number};cost=7\r\n"))
        .collect();
    Template::new(format!(
        "INVITE sip:+4930123456@sip.example.net;user=phone SIP/2.0\r\n\
         Via: SIP/2.0/UDP {caller};branch=z9hG4bK%%%%%%%%%%%%%%%%.1\r\n\
         {}\
         Max-Forwards: 69\r\n\
         From: \"Alice\" <sip:+4989987654@example.org;user=phone>;tag=8d5f2a7c\r\n\
         To: <sip:+4930123456@sip.example.net;user=phone>\r\n\
         Call-ID: %%%%%%%%%%%%%%%%-3fa9@203.0.113.20\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:+4989987654@203.0.113.20:5060>\r\n\
         {}\
         {notes}\
         Content-Length: {}\r\n\r\n{body}",
        if is_usual { path.as_str() } else { "" },
        if is_usual { offer } else { "" },
        body.len()
    ))
}

/// Header fields of the usual INVITE, and of the shortest.
pub(crate) const USUAL_ROWS: usize = 15;
#[allow(dead_code, reason = "not every bench needs it")]
pub(crate) const ROWS_MIN: usize = 8;

const SDP: &str = "v=0\r\n\
                   o=- 41234567 1 IN IP4 203.0.113.21\r\n\
                   s=-\r\n\
                   c=IN IP4 203.0.113.21\r\n\
                   t=0 0\r\n\
                   m=audio 31876 RTP/AVP 8 0 101\r\n\
                   a=rtpmap:101 telephone-event/8000\r\n\
                   a=fmtp:101 0-15\r\n\
                   a=ptime:20\r\n";

/// What a server answers to a request that it got: all its Vias and Record-Routes, and a To tag.
pub(crate) fn response(request: &[u8], status: &str) -> Vec<u8> {
    let mut answer = format!("SIP/2.0 {status}\r\n").into_bytes();
    for line in rows(request) {
        let is_to = line.starts_with(b"To: ");
        let is_copied =
            [b"Via: ".as_slice(), b"Record-Route: ", b"From: ", b"Call-ID: ", b"CSeq: "]
                .iter()
                .any(|name| line.starts_with(name));
        if is_copied || is_to {
            answer.extend_from_slice(line);
            if is_to && memchr::memmem::find(line, b";tag=").is_none() {
                answer.extend_from_slice(b";tag=as4f1e2d3c");
            }
            answer.extend_from_slice(b"\r\n");
        }
    }
    answer.extend_from_slice(b"Contact: <sip:+4930123456@192.0.2.200:5060>\r\n");
    let body = if status.starts_with("200") { SDP } else { "" };
    answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    answer
}

/// The caller's request in the dialog that this response to its INVITE began, with a place for a
/// number in its branch; the routes are the response's, in reverse (RFC 3261 §12.1.2).
pub(crate) fn in_dialog(method: &str, cseq: u32, caller: SocketAddr, response: &[u8]) -> Template {
    let mut text = format!(
        "{method} sip:+4930123456@192.0.2.200:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {caller};branch=z9hG4bK%%%%%%%%%%%%%%%%.2\r\n\
         Max-Forwards: 70\r\n"
    )
    .into_bytes();
    let lines: Vec<_> = rows(response).collect();
    let own = lines
        .iter()
        .rev()
        .filter_map(|line| line.strip_prefix(b"Record-Route: "))
        .filter(|value| !value.starts_with(format!("<sip:{caller};").as_bytes()));
    for value in own {
        text.extend_from_slice(b"Route: ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    let same = |line: &&&[u8]| {
        [b"From: ".as_slice(), b"To: ", b"Call-ID: "].iter().any(|n| line.starts_with(n))
    };
    for line in lines.iter().filter(same) {
        text.extend_from_slice(line);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(
        format!("CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
    );
    Template::new(text)
}

fn rows(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    let header = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
    message[..header]
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip(1)
}
