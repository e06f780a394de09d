//! URIs (RFC 3261 §19.1.1, §25.1).

use super::text::{host_and_rest, is_control, port};

/// The parts of a URI.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Uri {
    /// In lower case.
    pub(crate) scheme: String,
    /// Before the `@`. All that follows is empty unless the scheme is sip or sips.
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// The names of the parameters, in lower case.
    pub(crate) parameters: Vec<String>,
    pub(crate) has_headers: bool,
}

impl Uri {
    // SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ]
    // scheme  = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
    //
    // More generous: users, parameters and headers may hold every byte that is neither a control
    // nor ends the URI, and a user may be empty.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.contains(|c| " <>\"".contains(c) || is_control(c)) {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        if !is_scheme {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "sip" && scheme != "sips" {
            return Some(Self { scheme, ..Self::default() });
        }
        let (user, rest) = match rest.split_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        let (before_headers, has_headers) = match rest.split_once('?') {
            Some((before, _)) => (before, true),
            None => (rest, false),
        };
        let (host_port, parameters) = match before_headers.split_once(';') {
            Some((host_port, parameters)) => (host_port, Some(parameters)),
            None => (before_headers, None),
        };
        let (host, after_host) = host_and_rest(host_port)?;
        let port = match after_host.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if after_host.is_empty() => None,
            None => return None,
        };
        if rest.contains('@') {
            return None;
        }
        let name = |parameter: &str| parameter.split('=').next().unwrap_or("").to_ascii_lowercase();
        let parameters = parameters.map_or(Vec::new(), |all| all.split(';').map(name).collect());
        Some(Self { scheme, user, host, port, parameters, has_headers })
    }

    /// Whether it is one that names a host.
    pub(crate) fn is_sip(&self) -> bool {
        self.scheme == "sip" || self.scheme == "sips"
    }
}
