//! A slow parser of SIP messages that is easy to check by eye, and a checker of what a relay may
//! change in one.
//!
//! It is written from RFC 3261's grammar and independent of the crate that it checks: owned texts,
//! the standard library, one field after the other. Where it is stricter or more generous than the
//! grammar, a comment says so. Tests include it with `#[path = "…/oracle/mod.rs"] mod oracle;`.

// Each test that includes it uses a part of it.
#![allow(dead_code)]

pub(crate) mod edits;
pub(crate) mod law;
pub(crate) mod liberal;
pub(crate) mod name_addr;
pub(crate) mod rows;
pub(crate) mod server;
pub(crate) mod text;
pub(crate) mod uri;
pub(crate) mod via;

use name_addr::{NameAddr, Route};
use rows::{Header, Row, leading_token};
use text::{BLANKS, is_control, is_token, is_too_long, number, split_outside, text_of, trim};
use uri::Uri;
use via::Via;

/// Route values that are looked at: more are refused.
pub(crate) const ROUTES_MAX: usize = 32;

/// What the first line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum StartLine {
    Request {
        method: String,
        uri: String,
    },
    /// A request of another version of SIP.
    OtherVersion {
        method: String,
        uri: String,
    },
    /// It means to be a request and is not one.
    BadRequest {
        method: String,
    },
    Response {
        code: u16,
    },
    /// It means to be a response and is not one.
    BadResponse,
    /// Neither.
    NotSip,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    StartLine,
    RequestUri,
    /// A row without a proper name or line end.
    Row,
    NoBlankLine,
    /// A field that may stand once stands twice.
    Twice,
    /// Via, From, To, Call-ID or `CSeq` is missing.
    Missing,
    Via,
    From,
    To,
    CallId,
    CSeq,
    MaxForwards,
    ContentLength,
}

/// A Max-Breadth (RFC 5393), which is no fault of the message when it is bad.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MaxBreadth {
    Is(u32),
    /// No number, or there twice.
    Bad,
}

/// The Via value below the topmost.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NextVia {
    Absent,
    Bad,
    Is(Via),
}

/// All that a relay decides by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reading {
    pub(crate) start_line: StartLine,
    /// The first thing that is wrong, in the order in which a reader comes by it.
    pub(crate) fault: Option<Fault>,
    /// Every row is one, so that all readers agree where the fields begin and end.
    pub(crate) has_clean_rows: bool,
    pub(crate) uri: Option<Uri>,
    pub(crate) top_via: Option<Via>,
    pub(crate) next_via: NextVia,
    /// The whole From and To values.
    pub(crate) from: Option<String>,
    pub(crate) from_tag: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) to_tag: Option<String>,
    pub(crate) call_id: Option<String>,
    pub(crate) cseq_number: Option<u32>,
    pub(crate) cseq_method: Option<String>,
    /// Above 255 it is to be replaced.
    pub(crate) max_forwards: Option<u32>,
    pub(crate) max_breadth: Option<MaxBreadth>,
    pub(crate) has_proxy_require: bool,
    pub(crate) has_credentials: bool,
    pub(crate) content_length: Option<u64>,
    /// The body without what lies behind Content-Length.
    pub(crate) body: Option<String>,
    /// Bytes of the datagram behind the body.
    pub(crate) behind_body: usize,
    /// `None` when one is malformed or there are too many.
    pub(crate) routes: Option<Vec<Route>>,
}

impl Reading {
    /// Reads a datagram.
    pub(crate) fn of(datagram: &[u8]) -> Self {
        let text = text_of(datagram);
        // §7.5: line ends before the message are skipped.
        let text = text.trim_start_matches(['\r', '\n']);
        match text.find(['\r', '\n']).filter(|end| text[*end..].starts_with("\r\n")) {
            Some(end) => Self::of_lines(&text[..end], &text[end + 2..]),
            None => Self::nothing(StartLine::NotSip),
        }
    }

    fn of_lines(line: &str, rest: &str) -> Self {
        let mut reading = Self::nothing(StartLine::read(line));
        if reading.start_line == StartLine::NotSip {
            return reading;
        }
        let header = Header::read(rest);
        let mut faults = Vec::new();
        match &reading.start_line {
            StartLine::Request { uri, .. } | StartLine::OtherVersion { uri, .. } => {
                reading.uri = Uri::read(uri);
                // §19.1.1: a Request-URI has no headers.
                if reading.uri.as_ref().is_none_or(|uri| uri.has_headers) {
                    faults.push(Fault::RequestUri);
                }
            }
            StartLine::Response { .. } => {}
            _ => faults.push(Fault::StartLine),
        }
        for (number, row) in header.rows.iter().enumerate() {
            reading.take_row(row, &header.rows[..number], &mut faults);
        }
        reading.has_clean_rows = header.rows.iter().all(|row| row.is_good);
        reading.take_vias(&header.rows);
        reading.take_routes(&header.rows);
        reading.finish(&header, &mut faults);
        reading.fault = faults.first().copied();
        reading
    }

    fn nothing(start_line: StartLine) -> Self {
        Self {
            start_line,
            fault: None,
            has_clean_rows: false,
            uri: None,
            top_via: None,
            next_via: NextVia::Absent,
            from: None,
            from_tag: None,
            to: None,
            to_tag: None,
            call_id: None,
            cseq_number: None,
            cseq_method: None,
            max_forwards: None,
            max_breadth: None,
            has_proxy_require: false,
            has_credentials: false,
            content_length: None,
            body: None,
            behind_body: 0,
            routes: Some(Vec::new()),
        }
    }

    /// What one row says, when these came before it.
    fn take_row(&mut self, row: &Row, before: &[Row], faults: &mut Vec<Fault>) {
        if !row.is_good {
            faults.push(Fault::Row);
            return;
        }
        let name = row.name.as_str();
        let is_first = !before.iter().any(|other| other.is(name));
        let value = trim(&row.value);
        if MAY_STAND_ONCE.contains(&name) && !is_first {
            faults.push(Fault::Twice);
        }
        match name {
            "via" if is_first => {
                let read = Via::read(split_outside(value, ',')[0]);
                faults.extend(read.is_none().then_some(Fault::Via));
            }
            "from" => {
                let tag = tag_of(value);
                faults.extend(tag.is_err().then_some(Fault::From));
                self.from = Some(value.to_owned());
                self.from_tag = tag.unwrap_or_default();
            }
            "to" => {
                let tag = tag_of(value);
                faults.extend(tag.is_err().then_some(Fault::To));
                self.to = Some(value.to_owned());
                self.to_tag = tag.unwrap_or_default();
            }
            // callid = word [ "@" word ]
            //
            // More generous: all that is printable and not blank.
            "call-id" => {
                let is_bad = |c| c == ' ' || is_control(c);
                if value.is_empty() || value.contains(is_bad) || is_too_long(value) {
                    faults.push(Fault::CallId);
                }
                self.call_id = Some(value.to_owned());
            }
            // CSeq = 1*DIGIT LWS Method
            "cseq" => {
                let (digits, method) = value.split_once(BLANKS).unwrap_or((value, ""));
                let digits = number(digits, u64::from(u32::MAX));
                if digits.is_none() || !is_token(trim(method)) {
                    faults.push(Fault::CSeq);
                }
                self.cseq_number = digits.map(|digits| u32::try_from(digits).expect("small"));
                self.cseq_method = Some(trim(method).to_owned());
            }
            "max-forwards" => {
                let hops = number(value, u64::from(u32::MAX));
                faults.extend(hops.is_none().then_some(Fault::MaxForwards));
                self.max_forwards = hops.map(|hops| u32::try_from(hops).expect("small"));
            }
            "max-breadth" => {
                let breadth = number(value, u64::from(u32::MAX)).filter(|_| is_first);
                self.max_breadth = Some(match breadth {
                    Some(breadth) => MaxBreadth::Is(u32::try_from(breadth).expect("small")),
                    None => MaxBreadth::Bad,
                });
            }
            "content-length" => {
                self.content_length = number(value, u64::from(u32::MAX));
                faults.extend(self.content_length.is_none().then_some(Fault::ContentLength));
            }
            "proxy-require" => self.has_proxy_require = true,
            "authorization" | "proxy-authorization" => self.has_credentials = true,
            _ => {}
        }
    }

    /// The two topmost Via values, wherever they stand: rows of one name are one list (§7.3.1).
    fn take_vias(&mut self, rows: &[Row]) {
        let mut values = values_of(rows, "via");
        self.top_via = values.next().and_then(|value| Via::read(&value));
        self.next_via = match values.next() {
            None => NextVia::Absent,
            Some(value) => Via::read(&value).map_or(NextVia::Bad, NextVia::Is),
        };
    }

    fn take_routes(&mut self, rows: &[Row]) {
        let routes: Option<Vec<_>> =
            values_of(rows, "route").map(|value| Route::read(&value)).collect();
        self.routes = routes.filter(|routes| routes.len() <= ROUTES_MAX);
    }

    /// What only the whole header tells.
    fn finish(&mut self, header: &Header, faults: &mut Vec<Fault>) {
        let Some(body) = &header.body else {
            faults.push(Fault::NoBlankLine);
            return;
        };
        // §18.3: without Content-Length the body goes on to the end of the datagram, which may be
        // longer than Content-Length says but not shorter.
        let there = body.chars().count();
        let length = self
            .content_length
            .map_or(there, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if length > there {
            faults.push(Fault::ContentLength);
        }
        let end = body.char_indices().nth(length).map_or(body.len(), |(at, _)| at);
        self.body = Some(body[..end].to_owned());
        self.behind_body = there.saturating_sub(length);

        let has = |long: &str| header.rows.iter().any(|row| row.is(long));
        if !["via", "from", "to", "call-id", "cseq"].into_iter().all(has) {
            faults.push(Fault::Missing);
        }
        // §8.1.1.5: its method is the request's.
        if let StartLine::Request { method, .. } = &self.start_line
            && self.cseq_method.as_ref().is_some_and(|cseq_method| cseq_method != method)
        {
            faults.push(Fault::CSeq);
        }
    }
}

impl StartLine {
    // Request-Line = Method SP Request-URI SP SIP-Version CRLF
    // Status-Line  = SIP-Version SP Status-Code SP Reason-Phrase CRLF
    //
    // Stricter: what has more or less than one space is no request.
    fn read(line: &str) -> Self {
        let upper = line.to_ascii_uppercase();
        if upper.starts_with("SIP/") {
            return Self::read_status(line)
                .map_or(Self::BadResponse, |code| Self::Response { code });
        }
        let method = leading_token(line).to_owned();
        if method.is_empty() || !upper.contains(" SIP/") {
            return Self::NotSip;
        }
        match line.split(' ').collect::<Vec<_>>()[..] {
            [word, uri, version] if word == method => {
                let uri = uri.to_owned();
                if version.eq_ignore_ascii_case("SIP/2.0") {
                    Self::Request { method, uri }
                } else if is_version(version) {
                    Self::OtherVersion { method, uri }
                } else {
                    Self::BadRequest { method }
                }
            }
            _ => Self::BadRequest { method },
        }
    }

    // More generous: the second space may be missing when the phrase is.
    fn read_status(line: &str) -> Option<u16> {
        let (version, rest) = line.split_once(' ')?;
        let code = rest.split(' ').next()?;
        let is_good = version.eq_ignore_ascii_case("SIP/2.0") && code.len() == 3;
        let code = number(code, 699).filter(|code| *code >= 100 && is_good)?;
        Some(u16::try_from(code).expect("small"))
    }
}

// SIP-Version = "SIP" "/" 1*DIGIT "." 1*DIGIT
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    text.to_ascii_uppercase()
        .strip_prefix("SIP/")
        .and_then(|numbers| numbers.split_once('.'))
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// The tag of a From or To value, which is one value and no list.
fn tag_of(value: &str) -> Result<Option<String>, String> {
    NameAddr::read(value).ok_or("malformed")?.tag()
}

/// The values of all rows of a field, in order.
fn values_of<'a>(rows: &'a [Row], long: &'a str) -> impl Iterator<Item = String> + 'a {
    rows.iter().filter(move |row| row.is(long)).flat_map(|row| {
        split_outside(&row.value, ',').into_iter().map(str::to_owned).collect::<Vec<_>>()
    })
}

const MAY_STAND_ONCE: [&str; 6] =
    ["from", "to", "call-id", "cseq", "max-forwards", "content-length"];
