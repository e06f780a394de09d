//! The URL of a database server. It may hold a password, so whatever shows it leaves that out.

use std::fmt;

use percent_encoding::percent_decode_str;

/// `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?PARAMETERS]`
///
/// User, password and database may be percent-encoded, and need not be: the last `@` ends the user
/// part, and its first `:` begins the password. Only a `%` before two hex digits must be written `%25`.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

/// What a [`DatabaseUrl`] says, decoded.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct UrlParts {
    /// The user, when one is named.
    pub(crate) user: Option<String>,
    /// The password, when there is one.
    pub(crate) password: Option<String>,
    /// An address or a name, an IPv6 address without its brackets, or the folder of a unix socket.
    pub(crate) host: String,
    /// The port, when written.
    pub(crate) port: Option<u16>,
    /// The name of the database.
    pub(crate) database: String,
    /// `name=value` after the question mark.
    pub(crate) parameters: Vec<(String, String)>,
}

impl DatabaseUrl {
    /// A URL with all that it holds.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Takes it apart; `None` when it has not the shape of one.
    pub(crate) fn parts(&self) -> Option<UrlParts> {
        let (_, rest) = self.0.split_once("://")?;
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, database) = place.split_once('/')?;
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (host, None),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let (user, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((user, password)) => (decode(user)?, decode(password)?),
            None => (String::new(), String::new()),
        };
        let parameters = parameters.split('&').filter(|pair| !pair.is_empty());
        let parameters = parameters.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        Some(UrlParts {
            user: (!user.is_empty()).then_some(user),
            password: (!password.is_empty()).then_some(password),
            host: decode(host)?,
            port,
            database: decode(database)?,
            parameters: parameters.collect::<Option<_>>()?,
        })
    }
}

/// As problems and logs call it.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once("://").map_or("", |(scheme, _)| scheme);
        let Some(UrlParts { host, port, database, .. }) = self.parts() else {
            return write!(f, "{scheme}://");
        };
        let brackets = if host.contains(':') { ["[", "]"] } else { ["", ""] };
        write!(f, "{scheme}://{}{host}{}", brackets[0], brackets[1])?;
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{database}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// `%40` is an `@`; a `%` before anything else stands for itself. `None` when that is no UTF-8.
fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says() {
        for (url, user, password, host, port, database) in [
            ("mysql://u:p@h/d", "u", "p", "h", None, "d"),
            ("mysql://u@h:3307/d?ssl-mode=disabled", "u", "", "h", Some(3307), "d"),
            ("mysql://h/d", "", "", "h", None, "d"),
            ("mysql://u:p%40w@h/d", "u", "p@w", "h", None, "d"),
            ("mysql://u:p@w:x/?#%zz@h/d", "u", "p@w:x/?#%zz", "h", None, "d"),
            ("mysql://u%3a:100%25@h/d", "u:", "100%", "h", None, "d"),
            ("postgres://u:p@[::1]:5432/d", "u", "p", "::1", Some(5432), "d"),
            ("postgres://u@[::1]/d", "u", "", "::1", None, "d"),
            ("postgres://u@%2Frun%2Fpostgresql/d", "u", "", "/run/postgresql", None, "d"),
        ] {
            let parts = DatabaseUrl::new(url).parts().unwrap();
            let told = (parts.user.unwrap_or_default(), parts.password.unwrap_or_default());
            assert_eq!((told.0.as_str(), told.1.as_str()), (user, password), "{url}");
            assert_eq!((parts.host.as_str(), parts.port), (host, port), "{url}");
            assert_eq!(parts.database, database, "{url}");
        }
        for url in ["mysql:h/d", "mysql://h", "mysql://h:x/d", "mysql://u:%ff@h/d"] {
            assert!(DatabaseUrl::new(url).parts().is_none(), "{url}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("mysql://kamailio:pw@db.example.com/kamailio", "mysql://db.example.com/kamailio"),
            ("mysql://u:p@w@h/d?password=pw#pw", "mysql://h/d"),
            ("postgres://u:pw?/#pw@h:5432/d", "postgres://h:5432/d"),
            ("postgres://u:pw@[::1]:5432/d", "postgres://[::1]:5432/d"),
            ("mysql://h/d", "mysql://h/d"),
            ("mysql://h/d?password=a@pw", "mysql://"),
        ] {
            let url = DatabaseUrl::new(url);
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("pw"));
        }
    }
}
