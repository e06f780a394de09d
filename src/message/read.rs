//! The reader: one pass over the header, remembering where the few fields are that forwarding needs.

use super::cursor::{leading_number, number, trim};
use super::header::{HeaderName, Row, Rows};
use super::method::Method;
use super::name_addr::NameAddr;
use super::scan::{self, LineEnds};
use super::span::Span;
use super::start_line::StartLine;
use super::uri::Uri;
use super::via::Via;
use crate::keys::{Derived, DialogDigest};
use crate::limits::NAME_BYTES_MAX;

/// The first thing found wrong with a message: the fields that we use must be well-formed
/// (§16.3 item 1), all others pass through as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The first line.
    StartLine,
    /// The Request-URI.
    RequestUri,
    /// A row without a proper name or line end.
    Row,
    /// The blank line after the header is missing.
    NoBlankLine,
    /// A field that may stand once stands twice: two readers would pick different ones.
    Twice,
    /// Via, From, To, Call-ID or `CSeq` is missing.
    Missing,
    /// The top Via.
    Via,
    /// From
    From,
    /// To
    To,
    /// Call-ID
    CallId,
    /// `CSeq`, or its method is not the request's.
    CSeq,
    /// Max-Forwards
    MaxForwards,
    /// Content-Length, or the datagram is shorter than it says.
    ContentLength,
}

/// A Max-Breadth: used only where the operator wants it, so a bad one is no [`Fault`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MaxBreadth {
    /// Where its value lies, and the value.
    Is(Span, u32),
    /// It is no number, or stands twice.
    Bad,
}

/// Where the parts of one message lie in its datagram.
#[derive(Clone, Debug)]
pub struct Message {
    /// The first line.
    pub start_line: StartLine,
    /// The method of a request.
    pub method: Method,
    /// The Request-URI; only its scheme means something unless [`Message::fault`] is `None`.
    pub uri: Uri,
    /// Where the message begins: line ends before it are skipped (§7.5).
    pub start: usize,
    /// Where the first row begins.
    pub rows_start: usize,
    /// Where the body ends: what follows Content-Length in a datagram is no part of it (§18.3).
    pub end: usize,
    /// The topmost Via value.
    pub via: Option<Via>,
    /// The row it stands in.
    pub via_row: Span,
    via_row_value: Span,
    second_via_value: Option<Span>,
    /// The whole From value.
    pub from: Option<Span>,
    /// The From tag.
    pub from_tag: Option<Span>,
    /// The whole To value.
    pub to: Option<Span>,
    /// The To tag.
    pub to_tag: Option<Span>,
    /// The Call-ID.
    pub call_id: Option<Span>,
    /// The number of the `CSeq`.
    pub cseq_number: u32,
    /// The method of the `CSeq`.
    pub cseq_method: Method,
    cseq_method_span: Option<Span>,
    /// Max-Forwards: where its value lies, and the value unless it is above 255.
    pub max_forwards: Option<(Span, Option<u8>)>,
    /// Max-Breadth (RFC 5393 §5.3.3).
    pub max_breadth: Option<MaxBreadth>,
    /// There is a Proxy-Require.
    pub has_proxy_require: bool,
    /// There is an Authorization or a Proxy-Authorization.
    pub has_credentials: bool,
    /// The first Route row, and its value.
    pub(crate) first_route_row: Option<(Span, Span)>,
    /// How many Route rows there are.
    pub(crate) route_rows: usize,
    content_length: Option<u64>,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            start_line: StartLine::NotSip,
            method: Method::Other,
            uri: Uri::default(),
            start: 0,
            rows_start: 0,
            end: 0,
            via: None,
            via_row: Span::default(),
            via_row_value: Span::default(),
            second_via_value: None,
            from: None,
            from_tag: None,
            to: None,
            to_tag: None,
            call_id: None,
            cseq_number: 0,
            cseq_method: Method::Other,
            cseq_method_span: None,
            max_forwards: None,
            max_breadth: None,
            has_proxy_require: false,
            has_credentials: false,
            first_route_row: None,
            route_rows: 0,
            content_length: None,
            fault: None,
        }
    }
}

impl Message {
    /// Reads a datagram of at most 65,535 bytes.
    ///
    /// A fault does not end the reading: an answer needs the rest.
    ///
    /// # Panics
    /// When `bytes` is longer than that; a UDP payload never is.
    pub fn read(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        message.read_again(bytes);
        message
    }

    /// Returns where the method of the `CSeq` lies.
    pub const fn cseq_method_place(&self) -> Option<Span> {
        self.cseq_method_span
    }

    /// The same, in the place of what was read before.
    pub(crate) fn read_again(&mut self, bytes: &[u8]) {
        assert!(u16::try_from(bytes.len()).is_ok());
        let message = self;
        *message = Self::default();
        message.start = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let line_end = LineEnds::new(bytes, message.start).next_from(message.start);
        let Some(line_end) = line_end.filter(|at| bytes[*at..].starts_with(b"\r\n")) else {
            return;
        };
        let line = Span::new(message.start, line_end);
        message.start_line = StartLine::read(bytes, line);
        message.method = message.start_line.method(bytes);
        message.rows_start = line.end() + 2;
        match message.start_line {
            StartLine::NotSip => return,
            StartLine::BadRequest { .. } | StartLine::BadResponse => message.note(Fault::StartLine),
            StartLine::Request { uri, .. } | StartLine::OtherVersion { uri, .. } => {
                match Uri::read(bytes, uri) {
                    Some(uri) => {
                        message.uri = uri;
                        if uri.has_headers {
                            message.note(Fault::RequestUri);
                        }
                    }
                    None => message.note(Fault::RequestUri),
                }
            }
            StartLine::Response { .. } => {}
        }
        let blank_line = message.take_rows(bytes);
        message.finish(bytes, blank_line);
    }

    /// Reads all rows; returns where the blank line after them is.
    #[inline]
    fn take_rows(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rows = Rows::new(bytes, self.rows_start);
        loop {
            // Usual rows are read by a copy, which stays in registers.
            let mut usual = rows.clone();
            while let Some(row) = usual.next_usual() {
                self.take_row(bytes, row);
            }
            rows = usual;
            match rows.next_unusual() {
                Some(row) => self.take_unusual_row(bytes, row),
                None => return rows.blank_line(),
            }
        }
    }

    #[inline(never)]
    fn take_unusual_row(&mut self, bytes: &[u8], row: Row) {
        self.take_row(bytes, row);
    }

    /// Digests what identifies its dialog under this key.
    pub(crate) fn dialog(&self, key: &Derived, bytes: &[u8]) -> DialogDigest {
        let of = |span: Option<Span>| span.unwrap_or_default().of(bytes);
        key.dialog(of(self.call_id), of(self.from_tag), of(self.to_tag))
    }

    /// The Via value below the topmost; `None` when there is none, an error when it is unreadable.
    pub fn next_via(&self, bytes: &[u8]) -> Option<Result<Via, Fault>> {
        let span = match self.via?.next {
            Some(next) => Span::new(next, self.via_row_value.end()),
            None => self.second_via_value?,
        };
        Some(Via::read(bytes, span).filter(|via| via.is_well_formed).ok_or(Fault::Via))
    }

    // Retry-After = "Retry-After" HCOLON delta-seconds [ comment ] *( SEMI retry-param )
    /// Returns the seconds of Retry-After (§20.33), if there is one that can be read. It reads the
    /// header again, because only a 503 is asked for it.
    #[cold]
    pub(crate) fn retry_after_s(&self, bytes: &[u8]) -> Option<u32> {
        self.seconds_of(bytes, |name| name.eq_ignore_ascii_case(b"retry-after"))
    }

    // Session-Expires = ("Session-Expires" / "x") HCOLON delta-seconds *( SEMI se-params )
    /// Returns the seconds of Session-Expires (RFC 4028 §4), if there is one that can be read. It reads
    /// the header again, because only the answer to a call that is counted is asked for it.
    #[cold]
    pub(crate) fn session_expires_s(&self, bytes: &[u8]) -> Option<u32> {
        self.seconds_of(bytes, |name| {
            name.eq_ignore_ascii_case(b"session-expires") || name.eq_ignore_ascii_case(b"x")
        })
    }

    /// Returns the number that the first field with this name begins with.
    fn seconds_of(&self, bytes: &[u8], is_named: impl Fn(&[u8]) -> bool) -> Option<u32> {
        let row = Rows::new(bytes, self.rows_start).find(|row| {
            let end = row.value.start().saturating_sub(1);
            let name = trim(bytes, Span::new(row.whole.start(), end.max(row.whole.start())));
            is_named(name.of(bytes))
        })?;
        let value = trim(bytes, row.value).of(bytes);
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !matches!(value.get(digits), None | Some(b' ' | b'\t' | b'(' | b';' | b'\r')) {
            return None;
        }
        number(&value[..digits], u64::from(u32::MAX)).map(|seconds| seconds as u32)
    }

    /// What is left out when the topmost Via is removed: its row, or the value and its comma.
    pub fn top_via_whole(&self, bytes: &[u8]) -> Option<Span> {
        let via = self.via?;
        Some(match via.next {
            Some(next) => {
                let rest = trim(bytes, Span::new(next, self.via_row_value.end()));
                Span::new(via.value.start(), rest.start())
            }
            None => self.via_row,
        })
    }

    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn note_unless(&mut self, is_good: bool, fault: Fault) {
        if !is_good {
            self.note(fault);
        }
    }

    #[allow(clippy::inline_always, reason = "a usual row is known to be well-formed")]
    #[inline(always)]
    fn take_row(&mut self, bytes: &[u8], row: Row) {
        self.note_unless(row.is_well_formed, Fault::Row);
        match row.name {
            HeaderName::Other => {}
            HeaderName::Via => self.take_via(bytes, row.whole, row.value, row.is_well_formed),
            HeaderName::From => self.take_from(bytes, row.value),
            HeaderName::To => self.take_to(bytes, row.value),
            HeaderName::CallId => self.take_call_id(bytes, row.value),
            HeaderName::CSeq => self.take_cseq(bytes, row.value),
            HeaderName::MaxForwards => self.take_max_forwards(bytes, row.value),
            HeaderName::MaxBreadth => self.take_max_breadth(bytes, row.value),
            HeaderName::ContentLength => self.take_content_length(bytes, row.value),
            HeaderName::Route => {
                self.first_route_row.get_or_insert((row.whole, row.value));
                self.route_rows += 1;
            }
            HeaderName::ProxyRequire => self.has_proxy_require = true,
            HeaderName::Authorization => self.has_credentials = true,
        }
    }

    // Each field that is read has a function of its own, so that the walk over the rows keeps its
    // place in registers.

    #[inline(never)]
    fn take_from(&mut self, bytes: &[u8], value: Span) {
        self.note_unless(self.from.is_none(), Fault::Twice);
        let read = NameAddr::read(bytes, value).filter(|read| is_whole(bytes, read.end, value));
        self.note_unless(read.is_some(), Fault::From);
        self.from = Some(trim(bytes, value));
        self.from_tag = read.and_then(|read| read.tag);
    }

    #[inline(never)]
    fn take_to(&mut self, bytes: &[u8], value: Span) {
        self.note_unless(self.to.is_none(), Fault::Twice);
        let read = NameAddr::read(bytes, value).filter(|read| is_whole(bytes, read.end, value));
        self.note_unless(read.is_some(), Fault::To);
        self.to = Some(trim(bytes, value));
        self.to_tag = read.and_then(|read| read.tag);
    }

    // callid = word [ "@" word ]: no white space and no control bytes inside.
    #[inline(never)]
    fn take_call_id(&mut self, bytes: &[u8], value: Span) {
        self.note_unless(self.call_id.is_none(), Fault::Twice);
        let value = trim(bytes, value);
        let is_good = (1..=NAME_BYTES_MAX).contains(&value.len())
            && scan::word_len(bytes, value.start(), value.end()) == value.len();
        self.note_unless(is_good, Fault::CallId);
        self.call_id = Some(value);
    }

    #[inline(never)]
    fn take_max_forwards(&mut self, bytes: &[u8], value: Span) {
        self.note_unless(self.max_forwards.is_none(), Fault::Twice);
        let value = trim(bytes, value);
        let hops = number(value.of(bytes), u64::from(u32::MAX));
        self.note_unless(hops.is_some(), Fault::MaxForwards);
        self.max_forwards = Some((value, hops.and_then(|hops| u8::try_from(hops).ok())));
    }

    #[inline(never)]
    fn take_max_breadth(&mut self, bytes: &[u8], value: Span) {
        let value = trim(bytes, value);
        let breadth = number(value.of(bytes), u64::from(u32::MAX));
        self.max_breadth = Some(match (self.max_breadth, breadth) {
            (None, Some(breadth)) => MaxBreadth::Is(value, breadth as u32),
            _ => MaxBreadth::Bad,
        });
    }

    #[inline(never)]
    fn take_content_length(&mut self, bytes: &[u8], value: Span) {
        self.note_unless(self.content_length.is_none(), Fault::Twice);
        let length = number(trim(bytes, value).of(bytes), u64::from(u32::MAX));
        self.note_unless(length.is_some(), Fault::ContentLength);
        self.content_length = length;
    }

    #[inline(never)]
    fn take_via(&mut self, bytes: &[u8], whole: Span, value: Span, is_well_formed: bool) {
        if self.via_row.is_empty() {
            self.via_row = whole;
            self.via_row_value = value;
            self.via = Via::read(bytes, value).filter(|_| is_well_formed);
            self.note_unless(self.via.is_some_and(|via| via.is_well_formed), Fault::Via);
        } else if self.second_via_value.is_none() {
            self.second_via_value = Some(value);
        }
    }

    // CSeq = "CSeq" HCOLON 1*DIGIT LWS Method
    #[inline(never)]
    fn take_cseq(&mut self, bytes: &[u8], value: Span) {
        self.note_unless(self.cseq_method_span.is_none(), Fault::Twice);
        let value = trim(bytes, value);
        let text = value.of(bytes);
        // The usual spelling: a number of few digits, one blank, and the method.
        let (number_read, digits) = leading_number(text);
        let method = Span::new((value.start() + digits + 1).min(value.end()), value.end());
        if digits > 0
            && text.get(digits) == Some(&b' ')
            && !method.is_empty()
            && scan::token_len(bytes, method.start()) == method.len()
        {
            self.cseq_number = number_read;
            self.cseq_method = Method::of(method.of(bytes));
            self.cseq_method_span = Some(method);
            return;
        }
        self.take_unusual_cseq(bytes, value);
    }

    #[inline(never)]
    fn take_unusual_cseq(&mut self, bytes: &[u8], value: Span) {
        let text = value.of(bytes);
        let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
        let method = trim(bytes, Span::new(value.start() + digits, value.end()));
        let parsed = number(&text[..digits], u64::from(u32::MAX));
        let has_blank = method.start() > value.start() + digits;
        let is_token = method.of(bytes).iter().all(|b| scan::is_token(*b));
        self.note_unless(
            parsed.is_some() && has_blank && is_token && !method.is_empty(),
            Fault::CSeq,
        );
        self.cseq_number = parsed.unwrap_or(0) as u32;
        self.cseq_method = Method::of(method.of(bytes));
        self.cseq_method_span = Some(method);
    }

    fn finish(&mut self, bytes: &[u8], blank_line: Option<usize>) {
        let Some(blank_line) = blank_line else {
            self.end = bytes.len();
            self.note(Fault::NoBlankLine);
            return;
        };
        let body_start = blank_line + 2;
        self.end = bytes.len();
        if let Some(length) = self.content_length {
            match usize::try_from(length).ok().and_then(|length| body_start.checked_add(length)) {
                Some(end) if end <= bytes.len() => self.end = end,
                _ => self.note(Fault::ContentLength),
            }
        }
        let is_complete = !self.via_row.is_empty()
            && self.from.is_some()
            && self.to.is_some()
            && self.call_id.is_some()
            && self.cseq_method_span.is_some();
        self.note_unless(is_complete, Fault::Missing);
        if let StartLine::Request { method, .. } = self.start_line
            && let Some(cseq_method) = self.cseq_method_span
        {
            self.note_unless(method.of(bytes) == cseq_method.of(bytes), Fault::CSeq);
        }
    }
}

fn is_whole(bytes: &[u8], end: usize, value: Span) -> bool {
    end == value.end() || trim(bytes, Span::new(end, value.end())).is_empty()
}
