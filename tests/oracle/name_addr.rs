//! From, To and Route values (RFC 3261 §20.10, §20.34, §25.1).

use super::text::{Parameter, is_control, is_too_long, parameters, quoted_len, trim};
use super::uri::Uri;

/// A URI and the parameters of the field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NameAddr {
    /// The URI without angle brackets and the blanks inside them.
    pub(crate) uri: String,
    /// It had angle brackets.
    pub(crate) has_brackets: bool,
    pub(crate) parameters: Vec<Parameter>,
}

impl NameAddr {
    // name-addr / addr-spec *( SEMI from-param )
    // name-addr    = [ display-name ] LAQUOT addr-spec RAQUOT
    // display-name = *(token LWS) / quoted-string
    //
    // More generous: a display name without quotes may hold more than tokens. Without angle
    // brackets the URI ends at the first semicolon (§20.10).
    pub(crate) fn read(value: &str) -> Option<Self> {
        let value = trim(value);
        let after_name = if value.starts_with('"') {
            let after = trim(&value[quoted_len(value)?..]);
            if !after.starts_with('<') {
                return None;
            }
            after
        } else {
            &value[value.find(['<', '>', '"', ',', ';']).unwrap_or(value.len())..]
        };
        let (uri, rest) = match after_name.strip_prefix('<') {
            Some(inside) => inside.split_once('>')?,
            None => (&value[..value.len() - after_name.len()], after_name),
        };
        let uri = trim(uri);
        if uri.chars().all(|c| c == ' ' || is_control(c)) {
            return None;
        }
        let has_brackets = after_name.starts_with('<');
        Some(Self { uri: uri.to_owned(), has_brackets, parameters: parameters(rest)? })
    }

    /// The tag; an error when it is there twice, without a value, in quotes or too long.
    pub(crate) fn tag(&self) -> Result<Option<String>, String> {
        let mut tags = self.parameters.iter().filter(|(name, _)| name == "tag");
        match (tags.next(), tags.next()) {
            (None, _) => Ok(None),
            (Some((_, Some(tag))), None) if !tag.starts_with('"') && !is_too_long(tag) => {
                Ok(Some(tag.clone()))
            }
            _ => Err(format!("no tag: {:?}", self.parameters)),
        }
    }
}

/// One Route value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    /// The URI as it is written.
    pub(crate) text: String,
    pub(crate) uri: Uri,
    /// `lr` in the URI, or behind it where there are no angle brackets.
    pub(crate) is_loose: bool,
}

impl Route {
    // route-param = name-addr *( SEMI rr-param )
    //
    // More generous: angle brackets may be missing. A URI here has no headers (§19.1.1, table 1).
    pub(crate) fn read(value: &str) -> Option<Self> {
        let read = NameAddr::read(value)?;
        let uri = Uri::read(&read.uri).filter(|uri| !uri.has_headers)?;
        read.tag().ok()?;
        let is_loose = uri.parameters.iter().any(|name| name == "lr")
            || (!read.has_brackets && read.parameters.iter().any(|(name, _)| name == "lr"));
        Some(Self { text: read.uri, uri, is_loose })
    }
}
