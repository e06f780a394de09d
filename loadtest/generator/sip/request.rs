//! Writes requests: the first one of a call from a template, in which only digits change, and the
//! later ones from what the response to it said.

use std::io::Write as _;
use std::net::SocketAddr;

use memchr::memmem;
use thiserror::Error;

use super::mark::{MARK_LEN, Mark, PARAMETER, hex};

/// How large a first request is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Shape {
    /// All its bytes, filled up in its body; `None`: as many as it has by itself.
    pub bytes: Option<usize>,
    /// Its header rows; `None`: as many as usual.
    pub rows: Option<usize>,
}

/// Why a request cannot have a shape.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ShapeError {
    /// There is no room for the header.
    #[error("{bytes} bytes are too few for a request of {rows} header rows: at least {least}")]
    TooSmall {
        /// The bytes asked for.
        bytes: usize,
        /// The rows asked for.
        rows: usize,
        /// The bytes of the header.
        least: usize,
    },
}

/// The first request of a call, as a template.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    mark: usize,
}

impl Request {
    pub(crate) fn new(method: &str, names: &Names, shape: Shape) -> Result<Self, ShapeError> {
        let text = text(method, names, shape)?;
        let mark = memmem::find(&text, PARAMETER.as_bytes()).expect("it is in the Via");
        let numbers = memmem::find_iter(&text, NUMBER).collect();
        Ok(Self { bytes: text, numbers, mark: mark + PARAMETER.len() })
    }

    /// The request of this call.
    pub(crate) fn write(&mut self, number: u64, mark: Mark) -> &[u8] {
        for place in &self.numbers {
            hex(number, &mut self.bytes[*place..*place + NUMBER.len()]);
        }
        mark.write(&mut self.bytes[self.mark..]);
        &self.bytes
    }
}

/// The names that all calls of one socket share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    /// Tells the messages of this run from those of others.
    pub(crate) run: u32,
    /// The caller's own address.
    pub(crate) local: SocketAddr,
    /// What is called.
    pub(crate) domain: SocketAddr,
}

impl Names {
    /// The CANCEL of an INVITE (RFC 3261 §9.1).
    pub(crate) fn cancel(&self, number: u64, mark: Mark, out: &mut Vec<u8>) {
        let to = format!("<{}>", self.uri(number));
        self.write("CANCEL", 1, 'i', number, mark, &self.uri(number), &to, "", out);
    }

    /// The ACK to a final response that is not a 2xx (RFC 3261 §17.1.1.3).
    pub(crate) fn ack_refusal(&self, number: u64, mark: Mark, to: &str, out: &mut Vec<u8>) {
        self.write("ACK", 1, 'i', number, mark, &self.uri(number), to, "", out);
    }

    /// The ACK to a 2xx.
    pub(crate) fn ack(&self, number: u64, mark: Mark, dialog: &Dialog, out: &mut Vec<u8>) {
        let Dialog { to, target, routes } = dialog;
        self.write("ACK", 1, 'a', number, mark, target, to, routes, out);
    }

    /// The BYE.
    pub(crate) fn bye(&self, number: u64, mark: Mark, dialog: &Dialog, out: &mut Vec<u8>) {
        let Dialog { to, target, routes } = dialog;
        self.write("BYE", 2, 'b', number, mark, target, to, routes, out);
    }

    /// The number of the call of a message with this Call-ID, if it is one of this run.
    pub(crate) fn number_of(&self, call_id: &str) -> Option<u64> {
        number_of(call_id).filter(|(_, run)| *run == self.run).map(|(number, _)| number)
    }

    fn uri(&self, number: u64) -> String {
        format!("sip:u{number:016x}@{}", self.domain)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a request, in their order")]
    fn write(
        &self,
        method: &str,
        cseq: u32,
        branch: char,
        number: u64,
        mark: Mark,
        uri: &str,
        to: &str,
        routes: &str,
        out: &mut Vec<u8>,
    ) {
        let Self { run, local, .. } = self;
        let mark = mark.text();
        let mark = std::str::from_utf8(&mark).expect("a mark is ASCII");
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK{run:08x}{number:016x}{branch}{PARAMETER}{mark};rport\r\n\
             {routes}Max-Forwards: 70\r\n\
             From: <sip:c{number:016x}@{local}>;tag=c{number:016x}\r\n\
             To: {to}\r\n\
             Call-ID: {number:016x}{run:08x}@{ip}\r\n\
             CSeq: {cseq} {method}\r\n\
             Content-Length: 0\r\n\r\n",
            ip = local.ip(),
        );
    }
}

/// What the later requests of a call need of the response that began its dialog.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Dialog {
    /// The value of To.
    pub(crate) to: String,
    /// The Request-URI.
    pub(crate) target: String,
    /// The Route rows.
    pub(crate) routes: String,
}

impl Dialog {
    /// RFC 3261 §12.1.2: the Record-Routes become Routes in reverse order.
    pub(crate) fn of(response: super::Message<'_>) -> Option<Self> {
        let mut routes: Vec<&str> = Vec::new();
        let (mut to, mut contact) = (None, None);
        for (name, value) in response.rows() {
            if name.eq_ignore_ascii_case("Record-Route") {
                routes.extend(value.split(',').map(str::trim));
            } else if super::rows::is(name, "To") {
                to = Some(value);
            } else if super::rows::is(name, "Contact") {
                contact = Some(value);
            }
        }
        let contact = contact?;
        let target = match contact.split_once('<') {
            Some((_, rest)) => rest.split_once('>')?.0,
            None => contact.split(';').next()?,
        };
        Some(Self {
            to: to?.to_owned(),
            target: target.to_owned(),
            routes: routes.iter().rev().map(|route| format!("Route: {route}\r\n")).collect(),
        })
    }
}

/// The number and the run in a Call-ID.
pub(crate) fn number_of(call_id: &str) -> Option<(u64, u32)> {
    let number = super::mark::unhex(call_id.as_bytes().get(..16)?)?;
    let run = super::mark::unhex(call_id.as_bytes().get(16..24)?)?;
    Some((number, u32::try_from(run).ok()?))
}

/// The status line's code and reason phrase.
pub(crate) fn reason(code: u16) -> &'static str {
    match code {
        180 => "Ringing",
        200 => "OK",
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Refused",
    }
}

fn text(method: &str, names: &Names, shape: Shape) -> Result<Vec<u8>, ShapeError> {
    let Names { run, local, domain } = names;
    let number = std::str::from_utf8(NUMBER).expect("ASCII");
    let mark = "0".repeat(MARK_LEN);
    let is_invite = method == "INVITE";
    let usual = if is_invite { ROWS_OF_INVITE } else { ROWS_OF_OPTIONS };
    let rows = shape.rows.unwrap_or(usual).max(ROWS_MIN);
    let mut spare = rows - ROWS_MIN;
    // Takes one of the rows that are left for it.
    let mut is_in = || {
        let is_in = spare > 0;
        spare = spare.saturating_sub(1);
        is_in
    };
    let body = if is_invite { SDP } else { "" };
    let (contact, forwards, length) = (is_in(), is_in(), is_in());
    let kind = (is_invite || shape.bytes.is_some()) && is_in();
    let mut head = Vec::new();
    // Writing to a vector cannot fail, here and below.
    let _ = write!(
        head,
        "{method} sip:u{number}@{domain} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};branch=z9hG4bK{run:08x}{number}i{PARAMETER}{mark};rport\r\n"
    );
    if forwards {
        head.extend_from_slice(b"Max-Forwards: 70\r\n");
    }
    let _ = write!(
        head,
        "From: <sip:c{number}@{local}>;tag=c{number}\r\n\
         To: <sip:u{number}@{domain}>\r\n\
         Call-ID: {number}{run:08x}@{ip}\r\n\
         CSeq: 1 {method}\r\n",
        ip = local.ip(),
    );
    if contact {
        let _ = write!(head, "Contact: <sip:caller@{local}>\r\n");
    }
    let usual = USUAL.iter().map(|row| (*row).to_owned());
    let more = (1..).map(|n| format!("X-Load-{n:02}: a row that no relay needs to understand"));
    for row in usual.chain(more).take(spare) {
        let _ = write!(head, "{row}\r\n");
    }
    if kind {
        head.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    let Some(bytes) = shape.bytes else {
        if length {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        let _ = write!(head, "\r\n{body}");
        return Ok(head);
    };
    // Its width does not depend on the number.
    let length_row = if length { "Content-Length: 12345\r\n".len() } else { 0 };
    let least = head.len() + length_row + 2;
    let room = bytes.checked_sub(least).ok_or(ShapeError::TooSmall { bytes, rows, least })?;
    if length {
        let _ = write!(head, "Content-Length: {room:>5}\r\n");
    }
    let _ = write!(head, "\r\n{body}");
    head.resize(bytes, b'x');
    Ok(head)
}

/// Stands for the number of a call.
const NUMBER: &[u8] = b"%%%%%%%%%%%%%%%%";

/// Via, From, To, `Call-ID` and `CSeq`.
pub(crate) const ROWS_MIN: usize = 5;
/// With these an INVITE has some 830 bytes.
const ROWS_OF_INVITE: usize = 16;
const ROWS_OF_OPTIONS: usize = 9;

const USUAL: [&str; 8] = [
    "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE",
    "Supported: 100rel, timer",
    "User-Agent: loadtest",
    "Session-Expires: 1800;refresher=uac",
    "P-Asserted-Identity: <sip:+4989987654@example.org;user=phone>",
    "Min-SE: 90",
    "Allow-Events: refer",
    "Privacy: none",
];

const SDP: &str = "v=0\r\n\
                   o=- 41234567 1 IN IP4 203.0.113.21\r\n\
                   s=-\r\n\
                   c=IN IP4 203.0.113.21\r\n\
                   t=0 0\r\n\
                   m=audio 31876 RTP/AVP 8 0 101\r\n\
                   a=rtpmap:101 telephone-event/8000\r\n\
                   a=fmtp:101 0-15\r\n\
                   a=ptime:20\r\n";

#[cfg(test)]
mod tests {
    use super::super::{Message, Script, mark_in};
    use super::*;

    fn names() -> Names {
        let local = "127.0.0.1:40000".parse().unwrap();
        Names { run: 0xabc, local, domain: "[::1]:5060".parse().unwrap() }
    }

    fn rows(text: &[u8]) -> usize {
        Message::read(text).unwrap().rows().count()
    }

    const MARK: Mark = Mark { script: Script::Refuse, sequence: 7, due: 99 };

    #[test]
    fn any_shape_can_be_had() {
        for method in ["INVITE", "OPTIONS"] {
            for wants in [5, 6, 7, 8, 9, 10, 14, 60] {
                for bytes in [None, Some(4_000), Some(8_192)] {
                    let shape = Shape { bytes, rows: Some(wants) };
                    let mut request = Request::new(method, &names(), shape).unwrap();
                    let text = request.write(3, MARK);
                    assert_eq!(rows(text), wants, "{method}: {}", String::from_utf8_lossy(text));
                    assert_eq!(text.len(), bytes.unwrap_or(text.len()));
                    let (head, body) = text.split_at(memmem::find(text, b"\r\n\r\n").unwrap() + 4);
                    let message = Message::read(head).unwrap();
                    if let Some(length) = message.row("Content-Length") {
                        assert_eq!(length.parse::<usize>().unwrap(), body.len());
                    }
                }
            }
        }
    }

    #[test]
    fn the_smallest_and_what_is_too_small() {
        let shape = Shape { bytes: Some(420), rows: Some(5) };
        assert_eq!(Request::new("OPTIONS", &names(), shape).unwrap().bytes.len(), 420);
        let shape = Shape { bytes: Some(100), rows: Some(5) };
        let error = Request::new("OPTIONS", &names(), shape).unwrap_err();
        let ShapeError::TooSmall { least, .. } = error;
        let shape = Shape { bytes: Some(least), rows: Some(5) };
        assert_eq!(Request::new("OPTIONS", &names(), shape).unwrap().bytes.len(), least);
        assert!(least <= 360, "{least}");
    }

    #[test]
    fn digits_are_written_into_their_places() {
        let mut request = Request::new("INVITE", &names(), Shape::default()).unwrap();
        let len = request.bytes.len();
        assert!((800..900).contains(&len), "the usual INVITE has {len} bytes");
        for number in [1, u64::MAX] {
            let text = request.write(number, MARK).to_vec();
            assert_eq!(mark_in(&text), Some(MARK));
            assert_eq!(text.len(), len);
            assert!(!text.contains(&b'%'));
            let message = Message::read(&text).unwrap();
            assert_eq!(names().number_of(message.row("Call-ID").unwrap()), Some(number));
            let other = Names { run: 1, ..names() };
            assert_eq!(other.number_of(message.row("Call-ID").unwrap()), None);
        }
    }

    #[test]
    fn the_later_requests_belong_to_the_first() {
        let mut first = Request::new("INVITE", &names(), Shape::default()).unwrap();
        let first = first.write(5, MARK).to_vec();
        let response = b"SIP/2.0 200 OK\r\nRecord-Route: <sip:b;lr>, <sip:a;lr>\r\n\
            Record-Route: <sip:z;lr>\r\nTo: x;tag=1\r\nContact: <sip:m@1.2.3.4>;x\r\n\r\n";
        let dialog = Dialog::of(Message::read(response).unwrap()).unwrap();
        let row =
            |text: &[u8], name: &str| Message::read(text).unwrap().row(name).unwrap().to_owned();
        let branch = |text: &[u8]| row(text, "Via").split(';').nth(1).unwrap().to_owned();
        let mut texts = [const { Vec::new() }; 4];
        names().cancel(5, MARK, &mut texts[0]);
        names().ack_refusal(5, MARK, "x;tag=1", &mut texts[1]);
        names().ack(5, MARK, &dialog, &mut texts[2]);
        names().bye(5, MARK, &dialog, &mut texts[3]);
        let shares_branch = texts.each_ref().map(|text| branch(text) == branch(&first));
        assert_eq!(shares_branch, [true, true, false, false]);
        let uri = |text: &[u8]| {
            Message::read(text).unwrap().first_line.split(' ').nth(1).unwrap().to_owned()
        };
        let shares_uri = texts.each_ref().map(|text| uri(text) == uri(&first));
        assert_eq!(shares_uri, [true, true, false, false]);
        assert_eq!(uri(&texts[3]), "sip:m@1.2.3.4");
        let to = texts.each_ref().map(|text| row(text, "To"));
        assert_eq!(to[0], row(&first, "To"));
        assert_eq!(to[1..], ["x;tag=1"; 3]);
        let cseq = texts.each_ref().map(|text| row(text, "CSeq"));
        assert_eq!(cseq, ["1 CANCEL", "1 ACK", "1 ACK", "2 BYE"]);
        for text in &texts {
            assert_eq!(row(text, "From"), row(&first, "From"));
            assert_eq!(row(text, "Call-ID"), row(&first, "Call-ID"));
            assert_eq!(mark_in(text), Some(MARK));
        }
        let routes: Vec<_> =
            Message::read(&texts[3]).unwrap().rows().filter(|(n, _)| *n == "Route").collect();
        assert_eq!(
            routes.iter().map(|(_, v)| *v).collect::<Vec<_>>(),
            ["<sip:z;lr>", "<sip:a;lr>", "<sip:b;lr>"]
        );
    }

    #[test]
    fn a_contact_without_brackets() {
        let response = b"SIP/2.0 200 OK\r\nt: x\r\nm: sip:m@1.2.3.4;x=y\r\n\r\n";
        let dialog = Dialog::of(Message::read(response).unwrap()).unwrap();
        assert_eq!(dialog.target, "sip:m@1.2.3.4");
        assert_eq!(Dialog::of(Message::read(b"SIP/2.0 200 OK\r\nTo: x\r\n\r\n").unwrap()), None);
    }
}
