//! Kamailio's pseudo-variables as parts of `hash_over`.

/// Returns the `hash_over` that hashes the same text as this `hash_pvar`; an error names the piece
/// that has no counterpart.
pub(super) fn hash_over(text: &str) -> Result<String, &str> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let end = piece_len(rest);
        let (piece, after) = rest.split_at(end);
        parts.push(part(piece).ok_or(piece)?);
        rest = after;
    }
    if parts.is_empty() { Err(text) } else { Ok(parts.join("+")) }
}

/// Returns the length of the first variable, or of the text before it.
fn piece_len(text: &str) -> usize {
    let Some(after) = text.strip_prefix('$') else {
        return text.find('$').unwrap_or(text.len());
    };
    let name = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let is_open = after[name..].starts_with('(');
    let close = after.find(')').filter(|_| is_open);
    1 + close.map_or(name, |close| close + 1)
}

fn part(piece: &str) -> Option<String> {
    let (_, part) = match PARTS.iter().find(|(known, _)| *known == piece) {
        Some(known) => *known,
        None => return with_argument(piece),
    };
    Some(part.to_owned())
}

/// `$hdr(NAME)`, `$(hdr(NAME))` without its end, `$(ru{uri.param,NAME})`
fn with_argument(piece: &str) -> Option<String> {
    let inside = |start: &str, end: &str| {
        let name = piece.strip_prefix(start)?.strip_suffix(end)?;
        let is_plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (!name.is_empty() && name.bytes().all(is_plain)).then_some(name)
    };
    if let Some(name) = inside("$hdr(", ")") {
        return Some(format!("header({name})"));
    }
    let uris = [("ru", "request-uri"), ("fu", "from"), ("tu", "to")];
    uris.into_iter().find_map(|(variable, uri)| {
        let name = inside(&format!("$({variable}{{uri.param,"), "})")?;
        Some(format!("{uri}.param({name})"))
    })
}

const PARTS: &[(&str, &str)] = &[
    ("$ci", "call-id"),
    ("$si", "source-address"),
    ("$au", "auth-user"),
    ("$fu", "from.uri"),
    ("$fU", "from.user"),
    ("$fd", "from.host"),
    ("$tu", "to.uri"),
    ("$tU", "to.user"),
    ("$td", "to.host"),
    ("$ru", "request-uri"),
    ("$rU", "request-uri.user"),
    ("$rd", "request-uri.host"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        for (text, wants) in [
            ("$ci", Ok("call-id")),
            (" $fU$tU ", Ok("from.user+to.user")),
            ("$hdr(X-Account)", Ok("header(X-Account)")),
            ("$(ru{uri.param,tgrp})$si", Ok("request-uri.param(tgrp)+source-address")),
            ("$fU@$fd", Err("@")),
            ("$avp(x)", Err("$avp(x)")),
            ("$hdr(a b)", Err("$hdr(a b)")),
            ("$hdr(", Err("$hdr")),
            ("x$ci", Err("x")),
            ("", Err("")),
        ] {
            assert_eq!(hash_over(text), wants.map(str::to_owned), "{text}");
        }
    }
}
