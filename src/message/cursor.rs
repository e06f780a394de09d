//! A place in the datagram and the lexical rules of RFC 3261 §25.1.
//!
//! Inside a header field value CR and LF stand only in folds (the row reader has seen to that), so
//! here they are white space like any other.

use super::scan;
use super::span::Span;
use crate::limits::NAME_BYTES_MAX;

/// A place in the datagram, and where the piece under reading ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], span: Span) -> Self {
        Self { bytes, at: span.start(), end: span.end() }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        (self.at < self.end).then(|| self.bytes[self.at])
    }

    /// Steps over `byte` when it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Where the next thing is that is no white space.
    #[inline]
    pub(crate) fn after_lws(&self) -> usize {
        let mut ahead = *self;
        ahead.skip_lws();
        ahead.at
    }

    /// Steps over white space and folds: `LWS = [*WSP CRLF] 1*WSP`, any number of them.
    #[inline]
    pub(crate) fn skip_lws(&mut self) {
        while self.peek().is_some_and(is_lws) {
            self.at += 1;
        }
    }

    /// Steps over `*LWS byte *LWS`: how SLASH, SEMI, EQUAL, COMMA and COLON are defined.
    #[inline]
    pub(crate) fn eat_separator(&mut self, byte: u8) -> bool {
        // Nearly always nothing stands around it.
        match self.bytes[self.at..self.end] {
            [next, after, ..] if next == byte && !is_lws(after) => {
                self.at += 1;
                true
            }
            [next, ..] if next == byte || is_lws(next) => self.eat_spaced_separator(byte),
            _ => false,
        }
    }

    #[inline(never)]
    fn eat_spaced_separator(&mut self, byte: u8) -> bool {
        let before = self.at;
        self.skip_lws();
        if !self.eat(byte) {
            self.at = before;
            return false;
        }
        self.skip_lws();
        true
    }

    /// Everything before the next `byte`, which is stepped over; `None` when there is none.
    pub(crate) fn up_to(&mut self, byte: u8) -> Option<Span> {
        let found = scan::find(self.bytes, self.at, self.end, byte)?;
        let span = Span::new(self.at, found);
        self.at = found + 1;
        Some(span)
    }

    #[inline]
    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> Span {
        let rest = &self.bytes[self.at..self.end];
        let mut len = 0;
        while let Some(byte) = rest.get(len)
            && wanted(*byte)
        {
            len += 1;
        }
        let span = Span::new(self.at, self.at + len);
        self.at += len;
        span
    }

    /// Everything before the next `<` `>` `"` `,` or `;`.
    pub(crate) fn take_display_name(&mut self) -> Span {
        let len = scan::display_name_len(self.bytes, self.at, self.end);
        let span = Span::new(self.at, self.at + len);
        self.at += len;
        span
    }

    // token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
    #[inline]
    pub(crate) fn token(&mut self) -> Option<Span> {
        let len = scan::token_len(self.bytes, self.at);
        self.take(len)
    }

    /// Steps over `len` bytes, as far as the piece goes; `None` when that is none.
    #[inline]
    fn take(&mut self, len: usize) -> Option<Span> {
        let span = Span::new(self.at, (self.at + len).min(self.end).max(self.at));
        self.at = span.end();
        (!span.is_empty()).then_some(span)
    }

    /// `quoted-string`, its opening quote next; `None` when it does not close.
    #[inline(never)]
    pub(crate) fn quoted_string(&mut self) -> Option<Span> {
        let start = self.at;
        if !self.eat(b'"') {
            return None;
        }
        loop {
            self.at += scan::quoted_len(self.bytes, self.at, self.end);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(Span::new(start, self.at));
                }
                Some(_) => self.at += 2,
                None => {
                    self.at = self.end;
                    return None;
                }
            }
        }
    }

    /// A parameter behind its semicolon: `name [ EQUAL value ]`.
    ///
    /// More generous than `generic-param`: a value may hold any printable byte that does not end it,
    /// since IPv6 addresses in `received` come with and without brackets (RFC 5118 §4.5). Control
    /// bytes end it, for some readers take them for blanks.
    #[inline]
    pub(crate) fn parameter(&mut self) -> Option<Parameter> {
        self.usual_parameter().or_else(|| self.any_parameter())
    }

    /// The usual spelling: a short plain name alone, or with `=` and a value without quotes. Reads
    /// nothing else.
    #[inline]
    pub(crate) fn usual_parameter(&mut self) -> Option<Parameter> {
        let block = scan::block_at(self.bytes, self.at)?;
        let name_len = scan::plain_len(block);
        let name_end = self.at + name_len;
        if name_len == 0 || name_end > self.end {
            return None;
        }
        let name = Span::new(self.at, name_end);
        if name_end == self.end || block.get(name_len) == Some(&b';') {
            self.at = name_end;
            return Some(Parameter { name, value: None });
        }
        if block.get(name_len) != Some(&b'=') {
            return None;
        }
        let value_start = name_end + 1;
        let value_len = scan::value_len(self.bytes, value_start, self.end);
        if value_len == 0 {
            return None;
        }
        let value = Span::new(value_start, value_start + value_len);
        self.at = value.end();
        Some(Parameter { name, value: Some(value) })
    }

    #[inline(never)]
    fn any_parameter(&mut self) -> Option<Parameter> {
        let name = self.token()?;
        if !self.eat_separator(b'=') {
            return Some(Parameter { name, value: None });
        }
        let value = if self.peek() == Some(b'"') {
            self.quoted_string()?
        } else {
            self.take(scan::value_len(self.bytes, self.at, self.end))?
        };
        Some(Parameter { name, value: Some(value) })
    }
}

/// A parameter's name and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: Span,
    pub(crate) value: Option<Span>,
}

impl Parameter {
    /// Its value, unless that stands in quotes or is longer than what is hashed: what is a token or an
    /// address never has quotes, and one server would take them for a part of it and the next one
    /// would not.
    pub(crate) fn plain_value(&self, bytes: &[u8]) -> Option<Span> {
        self.value.filter(|value| value.of(bytes)[0] != b'"' && value.len() <= NAME_BYTES_MAX)
    }
}

pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The span without white space at its ends.
#[inline]
pub(crate) fn trim(bytes: &[u8], span: Span) -> Span {
    // As nearly every value of a row: one blank before it.
    if let [b' ', first, .., last] = span.of(bytes)
        && !is_lws(*first)
        && !is_lws(*last)
    {
        return Span::new(span.start() + 1, span.end());
    }
    trim_any(bytes, span)
}

#[inline(never)]
fn trim_any(bytes: &[u8], span: Span) -> Span {
    let (mut start, mut end) = (span.start(), span.end());
    while start < end && is_lws(bytes[start]) {
        start += 1;
    }
    while start < end && is_lws(bytes[end - 1]) {
        end -= 1;
    }
    Span::new(start, end)
}

/// `1*DIGIT` as a number; `None` when it is something else or greater than `max`.
#[inline]
pub(crate) fn number(digits: &[u8], max: u64) -> Option<u64> {
    let (value, len) = leading_number(digits);
    if len < digits.len() {
        return long_number(digits, max);
    }
    (len > 0 && u64::from(value) <= max).then_some(u64::from(value))
}

/// The same for any number of digits.
#[inline(never)]
fn long_number(digits: &[u8], max: u64) -> Option<u64> {
    let mut value: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        if value > max {
            return None;
        }
    }
    Some(value)
}

/// The number that up to nine digits at the start of `text` write, and how many they are.
#[inline]
pub(crate) fn leading_number(text: &[u8]) -> (u32, usize) {
    let (mut value, mut len) = (0, 0);
    while let Some(digit @ b'0'..=b'9') = text.get(len)
        && len < DIGITS_MAX
    {
        value = value * 10 + u32::from(digit - b'0');
        len += 1;
    }
    (value, len)
}

/// So many digits of a number fit 32 bits.
const DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const PIECES: [&str; 20] = [
        "tag",
        "branch",
        "a-name-of-16-byte",
        "x",
        "=",
        " = ",
        ";",
        ",",
        " ",
        "\t",
        "\r\n ",
        "\"q\"",
        "\"",
        "value",
        "z9hG4bK.~!",
        "<",
        ">",
        "\0",
        "é",
        "_",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_read_as_usual_is_read_alike_otherwise(
            pieces in prop::collection::vec(select(&PIECES[..]), 0..6),
            behind in select(&["", "x=y;0123456789abcdef", "=0123456789abcdef"][..]),
        ) {
            let text = pieces.concat();
            let all = format!("{text}{behind}");
            let cursor = Cursor::new(all.as_bytes(), Span::new(0, text.len()));
            let (mut usual, mut any) = (cursor, cursor);
            if let Some(parameter) = usual.usual_parameter() {
                let wants = any.any_parameter();
                let wants = wants.map(|parameter| (parameter.name, parameter.value));
                prop_assert_eq!(Some((parameter.name, parameter.value)), wants);
                prop_assert_eq!(usual.at(), any.at());
            }
        }

        #[test]
        fn blanks_at_the_ends_are_left_out(
            pieces in prop::collection::vec(select(&[" ", "\t", "\r\n", "x", "yz"][..]), 0..6),
        ) {
            let text = pieces.concat();
            let all = Span::new(0, text.len());
            prop_assert_eq!(trim(text.as_bytes(), all), trim_any(text.as_bytes(), all));
            let wants = text.trim_matches([' ', '\t', '\r', '\n']);
            prop_assert_eq!(trim(text.as_bytes(), all).of(text.as_bytes()), wants.as_bytes());
        }
    }

    #[test]
    fn numbers_of_any_length() {
        let texts = [
            "",
            "0",
            "7",
            "65535",
            "65536",
            "999999999",
            "4294967295",
            "4294967296",
            "1234567890",
            "-1",
            "1x",
            "x1",
            "000000000000001",
            "00000000000000x",
            "99999999999999999999999",
            "12345678 ",
        ];
        for text in texts {
            for max in [255, 65_535, u64::from(u32::MAX)] {
                let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let wants = text.parse::<u64>().ok().filter(|n| is_number && *n <= max);
                assert_eq!(number(text.as_bytes(), max), wants, "{text}");
            }
        }
        assert_eq!(leading_number(b"1234567890"), (123_456_789, 9));
        assert_eq!(leading_number(b"42;x"), (42, 2));
        assert_eq!(leading_number(b""), (0, 0));
    }
}
