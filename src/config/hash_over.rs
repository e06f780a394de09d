//! `hash_over`: the key of a hash algorithm, `PART+PART`.
//!
//! ```text
//! hash-over = part *( "+" part )
//! part      = "call-id" / "source-address" / "auth-user" / "header(" NAME ")"
//!           / uri [ ".uri" / ".user" / ".host" / ".param(" NAME ")" ]
//! uri       = "from" / "to" / "request-uri"
//! ```

use super::values::Mistake;
use crate::destination::{HeaderField, Part, UriOf};
use crate::limits::HASH_OVER_PARTS_MAX;
use crate::words::nearest;

/// Reads the parts.
pub(crate) fn hash_over(text: &str) -> Result<Vec<Part>, Mistake> {
    let parts: Vec<_> = text.split('+').map(str::trim).collect();
    if parts.len() > HASH_OVER_PARTS_MAX {
        let right = format!("name at most {HASH_OVER_PARTS_MAX}");
        return Err((format!("{} parts", parts.len()), right));
    }
    parts.into_iter().map(part).collect()
}

fn part(text: &str) -> Result<Part, Mistake> {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(argument) => (name, Some(argument)),
            None => return Err((format!("{text:?} lacks its )"), format!("write {text})"))),
        },
        None => (text, None),
    };
    let unknown = || {
        let known = PLAIN.iter().map(|(word, _)| *word).chain(["header"]).chain(URI_WORDS);
        let right = match nearest(name, known) {
            Some(near) if near != name => format!("did you mean {:?}?", text.replace(name, near)),
            _ => RIGHT.to_owned(),
        };
        (format!("{text:?} is not a part of a message"), right)
    };
    if argument.is_none()
        && let Some((_, part)) = PLAIN.iter().find(|(word, _)| *word == name)
    {
        return Ok(part.clone());
    }
    if name == "header" {
        let wrong =
            || (format!("{text:?} does not name a header field"), "write header(NAME)".into());
        let name = argument.filter(|name| is_token(name)).ok_or_else(wrong)?;
        return Ok(Part::Header(HeaderField::new(name)));
    }
    let (uri, of) = name.split_once('.').unwrap_or((name, "uri"));
    let uri = match uri {
        "from" => UriOf::From,
        "to" => UriOf::To,
        "request-uri" => UriOf::Request,
        _ => return Err(unknown()),
    };
    match (of, argument) {
        ("uri", None) => Ok(Part::Uri(uri)),
        ("user", None) => Ok(Part::User(uri)),
        ("host", None) => Ok(Part::Host(uri)),
        ("param", Some(name)) if is_token(name) => Ok(Part::Parameter(uri, name.into())),
        ("param", _) => {
            Err((format!("{text:?} does not name a parameter"), format!("write {name}(NAME)")))
        }
        _ => Err(unknown()),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_`'~".contains(&byte))
}

const PLAIN: &[(&str, Part)] = &[
    ("call-id", Part::CallId),
    ("source-address", Part::SourceAddress),
    ("auth-user", Part::CredentialsUser),
];

const URI_WORDS: [&str; 15] = [
    "from",
    "from.uri",
    "from.user",
    "from.host",
    "from.param",
    "to",
    "to.uri",
    "to.user",
    "to.host",
    "to.param",
    "request-uri",
    "request-uri.uri",
    "request-uri.user",
    "request-uri.host",
    "request-uri.param",
];

const RIGHT: &str = "write call-id, source-address, auth-user, header(NAME), or from, to or \
                     request-uri with .uri, .user, .host or .param(NAME); several are joined by +";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let header = |name| Part::Header(HeaderField::new(name));
        for (text, wants) in [
            ("call-id", vec![Part::CallId]),
            ("source-address", vec![Part::SourceAddress]),
            ("auth-user", vec![Part::CredentialsUser]),
            ("from", vec![Part::Uri(UriOf::From)]),
            ("to.uri", vec![Part::Uri(UriOf::To)]),
            ("from.user + to.user", vec![Part::User(UriOf::From), Part::User(UriOf::To)]),
            ("request-uri.host", vec![Part::Host(UriOf::Request)]),
            (
                "request-uri.param(tgrp)+header(X-Account)",
                vec![Part::Parameter(UriOf::Request, "tgrp".into()), header("X-Account")],
            ),
        ] {
            assert_eq!(hash_over(text), Ok(wants), "{text}");
        }
        for (text, what, right) in [
            ("call_id", "\"call_id\" is not a part", "did you mean \"call-id\"?"),
            ("form.user", "\"form.user\" is not a part", "did you mean \"from.user\"?"),
            ("from.usr+to", "\"from.usr\"", "did you mean \"from.user\"?"),
            ("from.tag", "\"from.tag\"", "from"),
            ("$ci", "\"$ci\"", "write call-id, source-address"),
            ("", "\"\"", "write call-id"),
            ("call-id+", "\"\"", "write call-id"),
            ("call-id(x)", "\"call-id(x)\"", "write call-id"),
            ("from.user(x)", "\"from.user(x)\"", "write call-id"),
            ("header", "does not name a header field", "write header(NAME)"),
            ("header()", "does not name a header field", "write header(NAME)"),
            ("header(a b)", "does not name a header field", "write header(NAME)"),
            ("header(x", "lacks its )", "write header(x)"),
            ("to.param", "does not name a parameter", "write to.param(NAME)"),
            ("hedder(X-A)", "\"hedder(X-A)\"", "did you mean \"header(X-A)\"?"),
        ] {
            let (told, advice) = hash_over(text).unwrap_err();
            assert!(told.contains(what) && advice.contains(right), "{text}: {told}: {advice}");
        }
        let many = ["call-id"; HASH_OVER_PARTS_MAX + 1].join("+");
        assert_eq!(hash_over(&many).unwrap_err().1, "name at most 8");
    }
}
