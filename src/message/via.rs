//! One Via value (RFC 3261 §20.42).

use super::DEFAULT_PORT;
use super::cursor::{Cursor, Parameter, is_lws, leading_number, number};
use super::scan;
use super::span::Span;
use super::uri::host_len;
use crate::limits::PARAMETERS_MAX;

/// `rport` (RFC 3581).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Rport {
    /// Not there.
    #[default]
    Absent,
    /// There without a value: the sender asks for the port it is seen from.
    Asked,
    /// There with a value.
    Port(u16),
}

/// Where the parts of one Via value lie.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Via {
    /// The value, from `SIP` to the end of its last parameter.
    pub value: Span,
    /// The host of sent-by.
    pub host: Span,
    /// The port of sent-by, when written.
    pub port: Option<u16>,
    /// The value of `branch`.
    pub branch: Option<Span>,
    /// The value of `received`.
    pub received: Option<Span>,
    /// The `received` parameter from its semicolon on.
    pub received_whole: Option<Span>,
    /// `rport`
    pub rport: Rport,
    /// The `rport` parameter from its semicolon on.
    pub rport_whole: Option<Span>,
    /// The value of our own parameter.
    pub own: Option<Span>,
    /// Where the next value of the same row begins, when a comma follows.
    pub next: Option<usize>,
    /// Its parameters are as the grammar wants them. Without that the message is refused, but an
    /// answer can still find its way.
    pub is_well_formed: bool,
}

/// The name of our own Via parameter.
pub(crate) const OWN_PARAMETER: &[u8] = b"sw";

impl Via {
    /// Reads the first value in `span`; `None` when its sent-by cannot be read.
    #[inline]
    pub fn read(bytes: &[u8], span: Span) -> Option<Self> {
        Self::read_usual(bytes, span).or_else(|| Self::read_any(bytes, span))
    }

    /// The usual spelling: a single value of UDP, no blanks, and usual parameters. Reads nothing else,
    /// in a third of the time.
    #[inline]
    fn read_usual(bytes: &[u8], span: Span) -> Option<Self> {
        const PROTOCOL: &[u8; 12] = b"SIP/2.0/UDP ";
        let end = span.end();
        let start = span.start() + usize::from(bytes.get(span.start()) == Some(&b' '));
        if bytes.get(start..end)?.first_chunk() != Some(PROTOCOL) {
            return None;
        }
        let host_start = start + PROTOCOL.len();
        let mut at = host_start + scan::host_name_len(bytes, host_start, end);
        let host = Span::new(host_start, at);
        let mut via = Self { host, is_well_formed: true, ..Self::default() };
        if bytes.get(at) == Some(&b':') && at < end {
            let digits = &bytes[at + 1..end];
            let (port, len) = leading_number(digits);
            via.port = u16::try_from(port).ok().filter(|port| *port > 0);
            via.port?;
            at += 1 + len;
        }
        for _ in 0..PARAMETERS_MAX {
            if at == end {
                via.value = Span::new(start, end);
                return Some(via).filter(|_| !host.is_empty());
            }
            if bytes.get(at) != Some(&b';') {
                return None;
            }
            let mut cursor = Cursor::new(bytes, Span::new(at + 1, end));
            let parameter = cursor.usual_parameter()?;
            let whole = Span::new(at, cursor.at());
            at = whole.end();
            if !via.take(bytes, &parameter, whole) {
                return None;
            }
        }
        None
    }

    // via-parm      = sent-protocol LWS sent-by *( SEMI via-params )
    // sent-protocol = protocol-name SLASH protocol-version SLASH transport
    // sent-by       = host [ COLON port ]
    /// Reads any spelling.
    #[inline(never)]
    fn read_any(bytes: &[u8], span: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, span);
        cursor.skip_lws();
        let start = cursor.at();
        cursor.token()?;
        for _ in 0..2 {
            if !cursor.eat_separator(b'/') {
                return None;
            }
            cursor.token()?;
        }
        if !cursor.peek().is_some_and(is_lws) {
            return None;
        }
        cursor.skip_lws();
        let len = host_len(bytes, cursor.at(), span.end())?;
        let host = Span::new(cursor.at(), cursor.at() + len);
        let mut cursor = Cursor::new(bytes, Span::new(host.end(), span.end()));
        let mut via = Self { host, is_well_formed: true, ..Self::default() };
        let mut value_end = host.end();
        if cursor.eat_separator(b':') {
            let digits = cursor.take_while(|b| b.is_ascii_digit());
            via.port =
                number(digits.of(bytes), 65_535).filter(|port| *port > 0).map(|port| port as u16);
            via.port?;
            value_end = digits.end();
        }
        for count in 0.. {
            let semicolon = cursor.after_lws();
            if !cursor.eat_separator(b';') {
                break;
            }
            if count == PARAMETERS_MAX {
                via.is_well_formed = false;
                break;
            }
            let Some(parameter) = cursor.parameter() else {
                via.is_well_formed = false;
                break;
            };
            let end = parameter.value.map_or(parameter.name.end(), Span::end);
            value_end = end;
            let whole = Span::new(semicolon, end);
            via.is_well_formed &= via.take(bytes, &parameter, whole);
        }
        via.value = Span::new(start, value_end);
        cursor.skip_lws();
        match cursor.peek() {
            None => {}
            Some(b',') => via.next = Some(cursor.at() + 1),
            Some(_) => via.is_well_formed = false,
        }
        Some(via)
    }

    /// Remembers one parameter; false when it is there twice or its value is impossible.
    #[inline]
    fn take(&mut self, bytes: &[u8], parameter: &Parameter, whole: Span) -> bool {
        let name = parameter.name.of(bytes);
        let value = parameter.value;
        // The length tells the five apart from nearly all others.
        match name.len() {
            2 if is_named(name, OWN_PARAMETER) => {
                // On another's Via it may mean anything.
                self.own = self.own.or(value);
                true
            }
            6 if is_named(name, b"branch") => {
                let branch = parameter.plain_value(bytes);
                branch.is_some() && self.branch.replace(branch.unwrap_or_default()).is_none()
            }
            8 if is_named(name, b"received") => {
                self.received_whole = Some(whole);
                let address = parameter.plain_value(bytes);
                address.is_some() && self.received.replace(address.unwrap_or_default()).is_none()
            }
            5 if is_named(name, b"rport") => {
                let is_first = self.rport_whole.replace(whole).is_none();
                self.rport = match value {
                    None => Rport::Asked,
                    Some(digits) => match number(digits.of(bytes), 65_535) {
                        Some(port) => Rport::Port(port as u16),
                        None => return false,
                    },
                };
                is_first
            }
            _ => true,
        }
    }

    /// The port of sent-by: [`DEFAULT_PORT`] when none is written.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// The branch when it has the magic cookie and something after it (§8.1.1.7).
    pub fn usable_branch(&self, datagram: &[u8]) -> Option<Span> {
        self.branch.filter(|span| {
            let text = span.of(datagram);
            text.len() > MAGIC_COOKIE.len() && is_named(&text[..MAGIC_COOKIE.len()], MAGIC_COOKIE)
        })
    }
}

/// Returns whether this is the name, in any case. Nearly always it is written as here, and comparing
/// letter by letter takes ten times as long.
#[inline]
pub(super) fn is_named(text: &[u8], name: &[u8]) -> bool {
    text == name || text.eq_ignore_ascii_case(name)
}

/// What every branch of RFC 3261 begins with (§8.1.1.7).
pub(crate) const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn the_usual_spellings_need_no_second_look() {
        for text in [
            " SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-1---7f3c.2",
            "SIP/2.0/UDP pbx_1.example.com;rport;branch=z9hG4bK*~+",
            " SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;sw=0203;received=::1;rport=5062;x",
        ] {
            let span = Span::new(0, text.len());
            // Names are looked at in blocks of 16, so something must stand behind the last one.
            let all = format!("{text}\r\nFrom: somebody");
            let usual = Via::read_usual(all.as_bytes(), span);
            assert_eq!(usual.map(|via| via.value.end()), Some(text.len()), "{text}");
        }
    }

    const PIECES: [&str; 28] = [
        " ",
        "\t",
        "\r\n ",
        "SIP/2.0/UDP ",
        "SIP/2.0/UDP",
        "SIP / 2.0 / UDP ",
        "sip/2.0/tcp ",
        "h.com",
        "192.0.2.1",
        "[::1]",
        ":",
        ":5060",
        ":0",
        ":99999",
        ":00000000005060",
        ";branch=z9hG4bK1",
        ";BRANCH=x",
        ";branch=\"q\"",
        ";rport",
        ";rport=",
        ";rport=5062",
        ";rport = 1",
        ";received=1.2.3.4",
        ";sw=01",
        ",",
        ";",
        "=",
        "\0",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_read_as_usual_is_read_alike_otherwise(
            start in select(&["", " ", " SIP/2.0/UDP h", " SIP/2.0/UDP 192.0.2.1:5060"][..]),
            pieces in prop::collection::vec(select(&PIECES[..]), 0..6),
            behind in select(&["", "\r\n", "x;branch=abcdefghijklmnopqrstuvwxyz", "5060;x=y0123456789"][..]),
        ) {
            let text = format!("{start}{}", pieces.concat());
            let all = format!("{text}{behind}");
            let span = Span::new(0, text.len());
            if let Some(usual) = Via::read_usual(all.as_bytes(), span) {
                prop_assert_eq!(Some(usual), Via::read_any(all.as_bytes(), span));
            }
        }
    }
}
