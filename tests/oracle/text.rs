//! The basic elements of the grammar: blanks, tokens, numbers, quoted strings, lists (RFC 3261
//! §25.1).
//!
//! Everything is a `String` in which each byte of the datagram is the character with that number.
//! So no byte is lost, and all the functions of `str` can be used.

/// The bytes as text, one character for each.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.to_owned(),
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The bytes of such a text.
pub(crate) fn bytes_of(text: &str) -> Vec<u8> {
    if text.is_ascii() {
        return text.as_bytes().to_vec();
    }
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("made by text_of")).collect()
}

/// White space inside a field: folds are made of it too.
pub(crate) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Control bytes: 0 to 31 and 127.
pub(crate) fn is_control(c: char) -> bool {
    c.is_ascii_control()
}

/// Without the white space at both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(BLANKS)
}

// token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
pub(crate) fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c)
}

pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

/// `1*DIGIT`, however many zeros come first, up to `max`.
pub(crate) fn number(text: &str, max: u64) -> Option<u64> {
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let digits = text.trim_start_matches('0');
    if digits.len() > 19 {
        return None;
    }
    let value = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    (value <= max).then_some(value)
}

/// How long the quoted string is that `text` begins with; `None` when it does not close.
pub(crate) fn quoted_len(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The pieces between the separators that stand outside quotes and angle brackets.
pub(crate) fn split_outside(text: &str, separator: char) -> Vec<&str> {
    if !text.contains(separator) {
        return vec![text];
    }
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let c = rest.chars().next().expect("not at the end");
        at += match c {
            // What never closes goes to the end.
            '"' => quoted_len(rest).unwrap_or(rest.len()),
            '<' => rest.find('>').unwrap_or(rest.len()),
            _ if c == separator => {
                pieces.push(&text[start..at]);
                start = at + 1;
                1
            }
            _ => c.len_utf8(),
        };
    }
    pieces.push(&text[start..]);
    pieces
}

/// A parameter behind its semicolon: its name in lower case, and its value.
pub(crate) type Parameter = (String, Option<String>);

// generic-param = token [ EQUAL gen-value ]
// gen-value     = token / host / quoted-string
//
// More generous: a value without quotes may hold every printable byte that does not end it.
pub(crate) fn parameter(text: &str) -> Option<Parameter> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (trim(name), Some(trim(value))),
        None => (trim(text), None),
    };
    if !is_token(name) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let Some(value) = value else {
        return Some((name, None));
    };
    let is_good = if value.starts_with('"') {
        quoted_len(value) == Some(value.len())
    } else {
        !value.is_empty() && !value.contains(|c| " ,;\"<>".contains(c) || is_control(c))
    };
    is_good.then(|| (name, Some(value.to_owned())))
}

/// Whether a Call-ID, a tag or a branch is longer than a relay compares.
pub(crate) fn is_too_long(name: &str) -> bool {
    name.chars().count() > 4_096
}

/// All parameters of `;a;b=c…`; `None` when one is malformed, something else comes first, or there
/// are more than a relay reads.
pub(crate) fn parameters(text: &str) -> Option<Vec<Parameter>> {
    let mut pieces = split_outside(text, ';').into_iter();
    if pieces.next().is_some_and(|before| !trim(before).is_empty()) || pieces.len() > 256 {
        return None;
    }
    pieces.map(parameter).collect()
}

/// The host that `text` begins with and what follows it: a name, an IPv4 address, or an IPv6
/// address in brackets.
///
/// More generous than the grammar: an underscore is let through, and no label is looked at.
pub(crate) fn host_and_rest(text: &str) -> Option<(String, &str)> {
    let len = if text.starts_with('[') {
        let close = text.find(']')?;
        let inner = &text[1..close];
        if inner.is_empty() || !inner.chars().all(|c| c.is_ascii_hexdigit() || ":.".contains(c)) {
            return None;
        }
        close + 1
    } else {
        text.find(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c)).unwrap_or(text.len())
    };
    (len > 0).then(|| (text[..len].to_owned(), &text[len..]))
}

/// A port: 1 to 65535.
pub(crate) fn port(text: &str) -> Option<u16> {
    number(text, 65_535).filter(|port| *port > 0).map(|port| u16::try_from(port).expect("small"))
}
