//! From and To: the URI and the tag (RFC 3261 §20.10, §25.1).

use super::cursor::{Cursor, is_lws};
use super::scan;
use super::span::Span;
use crate::limits::{NAME_BYTES_MAX, PARAMETERS_MAX};

/// What is used of a From, To or Route value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct NameAddr {
    /// The URI, without the angle brackets.
    pub(crate) uri: Span,
    /// It had angle brackets, so that all parameters behind them are the field's and none the URI's.
    pub(crate) has_brackets: bool,
    /// The value of `tag`.
    pub(crate) tag: Option<Span>,
    /// Where the value ends: at the end of the field or before the comma that follows.
    pub(crate) end: usize,
}

impl NameAddr {
    /// Reads the value at the start of `span`; `None` when it is malformed.
    #[inline]
    pub(crate) fn read(bytes: &[u8], span: Span) -> Option<Self> {
        Self::read_usual(bytes, span).or_else(|| Self::read_any(bytes, span))
    }

    /// The usual spelling: a display name in quotes or none, a URI in brackets, and a tag or nothing
    /// behind it. Reads nothing else, in half the time.
    #[inline]
    fn read_usual(bytes: &[u8], span: Span) -> Option<Self> {
        const TAG: &[u8; 5] = b";tag=";
        let text = bytes.get(..span.end())?;
        let mut at = span.start();
        at += usize::from(text.get(at) == Some(&b' '));
        if text.get(at) == Some(&b'"') {
            at += 1;
            at += scan::quoted_len(bytes, at, span.end());
            if text.get(at) != Some(&b'"') {
                return None;
            }
            at += 1;
            at += usize::from(text.get(at) == Some(&b' '));
        }
        if text.get(at) != Some(&b'<') {
            return None;
        }
        let uri = Span::new(at + 1, scan::find(bytes, at + 1, span.end(), b'>')?);
        if !is_graphic(*text.get(uri.start())?) || is_lws(text[uri.end() - 1]) || uri.is_empty() {
            return None;
        }
        let end = uri.end() + 1;
        let read = Self { uri, has_brackets: true, tag: None, end };
        if end == text.len() {
            return Some(read);
        }
        if text.get(end..)?.first_chunk() != Some(TAG) {
            return None;
        }
        let tag = Span::new(end + TAG.len(), text.len());
        let len = scan::value_len(bytes, tag.start(), tag.end());
        let is_whole = len == tag.len() && (1..=NAME_BYTES_MAX).contains(&len);
        is_whole.then_some(Self { tag: Some(tag), end: tag.end(), ..read })
    }

    // name-addr / addr-spec *( SEMI from-param )
    // name-addr    = [ display-name ] LAQUOT addr-spec RAQUOT
    // display-name = *(token LWS) / quoted-string
    /// Reads any spelling.
    #[inline(never)]
    fn read_any(bytes: &[u8], span: Span) -> Option<Self> {
        let mut cursor = Cursor::new(bytes, span);
        cursor.skip_lws();
        let is_quoted = cursor.peek() == Some(b'"');
        if is_quoted {
            cursor.quoted_string()?;
            cursor.skip_lws();
        }
        let mut has_brackets = true;
        let uri = if cursor.eat(b'<') {
            cursor.up_to(b'>')?
        } else if is_quoted {
            return None;
        } else {
            // Generous: a display name without quotes may hold more than tokens, but nothing that
            // ends it. Without brackets the URI ends at the first semicolon or comma.
            let text = cursor.take_display_name();
            has_brackets = cursor.eat(b'<');
            if has_brackets { cursor.up_to(b'>')? } else { text }
        };
        let uri = super::cursor::trim(bytes, uri);
        // Some readers take control bytes for blanks, and would see no URI at all.
        if !uri.of(bytes).iter().any(|byte| is_graphic(*byte)) {
            return None;
        }
        let mut read = Self { uri, has_brackets, tag: None, end: cursor.at() };
        let mut parameters_left = PARAMETERS_MAX;
        while cursor.eat_separator(b';') {
            parameters_left = parameters_left.checked_sub(1)?;
            let parameter = cursor.parameter()?;
            read.end = parameter.value.map_or(parameter.name.end(), Span::end);
            let name = parameter.name.of(bytes);
            if name == b"tag" || name.eq_ignore_ascii_case(b"tag") {
                let tag = parameter.plain_value(bytes)?;
                if read.tag.replace(tag).is_some() {
                    return None;
                }
            }
        }
        cursor.skip_lws();
        match cursor.peek() {
            None | Some(b',') => Some(read),
            Some(_) => None,
        }
    }
}

const fn is_graphic(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const USUAL: [&str; 5] = [
        " <sip:b@c>",
        "<sip:+4930123456@sip.example.net;user=phone>;tag=8d5f2a7c",
        " \"Alice, at home\" <sip:a@b>;tag=x",
        "\"\"<tel:1>",
        " <sip:a@b>;tag=z9.-!%*_+`'~/:?@[]",
    ];

    #[test]
    fn the_usual_spellings_need_no_second_look() {
        for text in USUAL {
            let span = Span::new(0, text.len());
            let usual = NameAddr::read_usual(text.as_bytes(), span);
            assert_eq!(usual.map(|read| read.end), Some(text.len()), "{text}");
        }
    }

    #[test]
    fn a_uri_has_something_to_see() {
        for text in ["<>", "< >", "\x0c", "<\x0c>", "<\0 \x7f>;tag=x", "Bob <\x01>", "\x1f;tag=x"] {
            let read = NameAddr::read(text.as_bytes(), Span::new(0, text.len()));
            assert_eq!(read.map(|read| read.uri), None, "{text:?}");
        }
        for text in ["<\x0csip:a@b>", "<a\x7f>", "é"] {
            let read = NameAddr::read(text.as_bytes(), Span::new(0, text.len()));
            assert!(read.is_some(), "{text:?}");
        }
    }

    const PIECES: [&str; 25] = [
        " ",
        "\"",
        "\\",
        "<",
        ">",
        "sip:a@b",
        "<sip:a@b>",
        ";",
        ";tag=",
        ";tag=x",
        "tag",
        "=",
        ",",
        "\r\n ",
        "\t",
        "\"Bob\" ",
        "x",
        ";TAG=y",
        ";lr",
        "Bob ",
        "é",
        "\0",
        "\x7f",
        ";tag=\"q\"",
        " <sip:b>",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_read_as_usual_is_read_alike_otherwise(
            pieces in prop::collection::vec(select(&PIECES[..]), 0..8),
            behind in select(&["", "\r\n", ";tag=z", ">;tag=abcdefghijklmnopqrstuvwxyz"][..]),
        ) {
            let text = pieces.concat();
            let all = format!("{text}{behind}");
            let span = Span::new(0, text.len());
            if let Some(usual) = NameAddr::read_usual(all.as_bytes(), span) {
                prop_assert_eq!(Some(usual), NameAddr::read_any(all.as_bytes(), span));
            }
        }
    }
}
