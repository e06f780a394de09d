//! The parts of a SIP URI that a log line shows. No decision depends on them, so any text is
//! accepted.

/// Returns the URI in a From or To value: between angle brackets, or else up to the first
/// semicolon.
///
/// `name-addr = [ display-name ] LAQUOT addr-spec RAQUOT` (RFC 3261 §25.1); a quoted display name
/// may contain angle brackets and escaped quotes.
pub(super) fn in_name_addr(value: &[u8]) -> &[u8] {
    let mut at = 0;
    let mut is_quoted = false;
    while at < value.len() {
        match value[at] {
            b'\\' if is_quoted => at += 1,
            b'"' => is_quoted = !is_quoted,
            b'<' if !is_quoted => {
                let uri = &value[at + 1..];
                let end = memchr::memchr(b'>', uri).unwrap_or(uri.len());
                return uri[..end].trim_ascii();
            }
            b';' if !is_quoted => break,
            _ => {}
        }
        at += 1;
    }
    value[..at.min(value.len())].trim_ascii()
}

/// Returns the user part, without a password.
pub(super) fn user(uri: &[u8]) -> Option<&[u8]> {
    let rest = after_scheme(uri)?;
    let user_info = match memchr::memchr(b'@', rest) {
        Some(at) => &rest[..at],
        None if is_tel(uri) => until(rest, b";?"),
        None => return None,
    };
    Some(until(user_info, b":")).filter(|user| !user.is_empty())
}

/// Returns the host, an IPv6 address with its brackets.
pub(super) fn host(uri: &[u8]) -> Option<&[u8]> {
    let (host, _) = host_port(uri)?;
    Some(host).filter(|host| !host.is_empty())
}

/// Returns the port as written.
pub(super) fn port(uri: &[u8]) -> Option<&[u8]> {
    host_port(uri)?.1
}

fn host_port(uri: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if is_tel(uri) {
        return None;
    }
    let rest = after_scheme(uri)?;
    let rest = match memchr::memchr(b'@', rest) {
        Some(at) => &rest[at + 1..],
        None => rest,
    };
    let rest = until(rest, b";?> ");
    let host_end = match memchr::memchr(b']', rest) {
        Some(at) if rest.starts_with(b"[") => at + 1,
        _ => memchr::memchr(b':', rest).unwrap_or(rest.len()),
    };
    let (host, port) = rest.split_at(host_end);
    Some((host, port.strip_prefix(b":").filter(|port| !port.is_empty())))
}

fn after_scheme(uri: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b':', uri).map(|at| &uri[at + 1..])
}

fn is_tel(uri: &[u8]) -> bool {
    uri.len() >= 4 && uri[..4].eq_ignore_ascii_case(b"tel:")
}

fn until<'a>(text: &'a [u8], ends: &[u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| ends.contains(byte));
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_from_values() {
        for (value, wants) in [
            ("<sip:a@b>;tag=1", "sip:a@b"),
            ("\"A <x> \\\" B\" <sip:a@b;p>;tag=1", "sip:a@b;p"),
            ("Alice <sip:a@b>", "sip:a@b"),
            ("sip:a@b;tag=1", "sip:a@b"),
            ("sip:a@b", "sip:a@b"),
            ("\"open", "\"open"),
            ("\"open\\", "\"open\\"),
            ("<sip:a", "sip:a"),
            ("", ""),
        ] {
            let uri = String::from_utf8_lossy(in_name_addr(value.as_bytes()));
            assert_eq!(uri, wants, "{value}");
        }
    }

    #[test]
    fn parts() {
        for (uri, user_wants, host_wants, port_wants) in [
            ("sip:a@b:5070;x=1", Some("a"), Some("b"), Some("5070")),
            ("sip:a:secret@b", Some("a"), Some("b"), None),
            ("sip:b?h=1", None, Some("b"), None),
            ("sips:a@[2001:db8::1]:5061", Some("a"), Some("[2001:db8::1]"), Some("5061")),
            ("tel:+431234;x=1", Some("+431234"), None, None),
            ("sip:@b", None, Some("b"), None),
            ("nonsense", None, None, None),
            ("sip:", None, None, None),
        ] {
            let text = |part: Option<&[u8]>| part.map(|p| String::from_utf8_lossy(p).into_owned());
            let read = (
                text(user(uri.as_bytes())),
                text(host(uri.as_bytes())),
                text(port(uri.as_bytes())),
            );
            let own = |part: Option<&str>| part.map(str::to_owned);
            assert_eq!(read, (own(user_wants), own(host_wants), own(port_wants)), "{uri}");
        }
    }
}
