//! From and To: the URI and the tag (RFC 3261 §20.10, §25.1).

use super::cursor::Cursor;
use super::span::Span;
use crate::limits::PARAMETERS_MAX;

/// What is used of a From, To or Route value.
#[derive(Clone, Copy, Debug, Default)]
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
    // name-addr / addr-spec *( SEMI from-param )
    // name-addr    = [ display-name ] LAQUOT addr-spec RAQUOT
    // display-name = *(token LWS) / quoted-string
    /// Reads the value at the start of `span`; `None` when it is malformed.
    #[inline]
    pub(crate) fn read(bytes: &[u8], span: Span) -> Option<Self> {
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
        if uri.is_empty() {
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
