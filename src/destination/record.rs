//! A destination as the operator wrote it: one row of the table or one line of the list.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::{Flags, Limits};
use crate::message::DEFAULT_PORT;

/// A `socket=` attribute: the listener that a destination is reached through.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SocketName(pub SocketAddr);

/// The attributes of a destination, `name=value;…`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Attributes {
    /// `socket=udp:ADDRESS:PORT`: the listener it is reached through.
    pub socket: Option<SocketName>,
    /// `sockname`: the same listener by its name; the code that reads the record looks it up.
    pub sockname: Option<String>,
    /// `duid`: distinguishes it from another destination with the same URI.
    pub duid: Option<String>,
    /// `weight`: its share, 1 to 100.
    pub weight: Option<u8>,
    /// `rweight`: its share by the algorithm `relative-weight`, 1 to 100.
    pub rweight: Option<u8>,
    /// `maxload`: the most calls that it takes at a time; 0 is any number.
    pub maxload: Option<u32>,
    /// `cps`: the most new calls per second that it takes; 0 is any number.
    pub calls_per_second: Option<u32>,
    /// `cps_burst`: how many of them may come at once.
    pub burst: Option<u32>,
    /// `latency`: how long it takes to answer, in milliseconds, before it is measured.
    pub latency_ms: Option<u32>,
    /// `cc`: its share follows its latency.
    pub congestion_control: bool,
    /// All attributes as written, including unknown ones.
    pub text: String,
    /// The unknown names. They are kept, because operators store their own attributes there.
    pub unknown: Vec<String>,
}

impl Attributes {
    /// Returns the limits that they set.
    pub fn limits(&self) -> Limits {
        let Self { calls_per_second, burst, maxload, .. } = *self;
        Limits {
            calls_per_second: calls_per_second.unwrap_or(0),
            burst: burst.unwrap_or(0),
            calls_max: maxload.unwrap_or(0),
        }
    }

    /// Returns the value of this attribute, without its quotes. Ignores the case of the name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut is_quoted = false;
        let parts = self.text.split(|c| {
            is_quoted ^= c == '"';
            c == ';' && !is_quoted
        });
        let value = parts
            .filter_map(|part| part.split_once('='))
            .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))?;
        Some(value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value))
    }
}

/// The host of a destination.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name to be resolved, in lower case.
    Name(String),
}

/// A parsed destination URI.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DestinationUri {
    /// As written, with `sip:` added if it was missing.
    pub text: String,
    /// The host.
    pub host: Host,
    /// The port, if written.
    pub port: Option<u16>,
}

/// Why a text is not a destination's URI.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum UriError {
    /// The scheme is not `sip`.
    #[error("the scheme {0:?} is not supported: write sip:HOST:PORT")]
    Scheme(String),
    /// Only UDP is relayed.
    #[error("transport {0:?} is not supported: only udp is relayed")]
    Transport(String),
    /// The host or port cannot be read.
    #[error("{0:?} is not a host: write sip:HOST:PORT, an IPv6 address in brackets")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} is not a port: write a number from 1 to 65535")]
    Port(String),
    /// A destination names a server, not a user.
    #[error("a destination has no user part: write sip:{0}")]
    User(String),
    /// Headers after a question mark have no meaning here.
    #[error("a destination has no headers: leave out {0:?}")]
    Headers(String),
}

impl DestinationUri {
    /// Parses `sip:host[:port][;params]`; `sip:` may be missing, as in Kamailio's list.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let is_ipv6 = text.starts_with('[');
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if !is_ipv6 && scheme.eq_ignore_ascii_case("sip") => {
                (scheme, rest)
            }
            Some((scheme, _))
                if !is_ipv6
                    && ["sips", "tel", "tcp", "tls", "udp"]
                        .iter()
                        .any(|s| scheme.eq_ignore_ascii_case(s)) =>
            {
                return Err(UriError::Scheme(scheme.into()));
            }
            _ => ("sip", text),
        };
        if let Some(at) = rest.find('?') {
            return Err(UriError::Headers(rest[at..].into()));
        }
        if let Some((_, host)) = rest.split_once('@') {
            return Err(UriError::User(host.into()));
        }
        let (host_port, parameters) = rest.split_once(';').unwrap_or((rest, ""));
        for parameter in parameters.split(';') {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("transport")
                && !value.trim().eq_ignore_ascii_case("udp")
            {
                return Err(UriError::Transport(value.into()));
            }
        }
        let (host, port) = split_host(host_port)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let host = match bare.parse::<IpAddr>() {
            Ok(ip) if ip.is_ipv6() == host.starts_with('[') => Host::Address(ip),
            Err(_) if is_host_name(host) => Host::Name(host.to_ascii_lowercase()),
            _ => return Err(UriError::Host(host.into())),
        };
        let port = match port {
            None => None,
            Some(port) => match port.parse() {
                Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
                    Some(number)
                }
                _ => return Err(UriError::Port(port.into())),
            },
        };
        Ok(Self { text: format!("{scheme}:{rest}"), host, port })
    }

    /// Returns whether both name the same server: a missing port is 5060, and a missing transport
    /// is UDP. Other parameters are compared, in any order and case.
    pub fn is_same(&self, other: &Self) -> bool {
        self.host == other.host
            && self.port_or_default() == other.port_or_default()
            && self.parameters() == other.parameters()
    }

    fn parameters(&self) -> BTreeSet<String> {
        let parameters = self.text.split(';').skip(1).map(|p| p.trim().to_ascii_lowercase());
        parameters.filter(|p| !p.is_empty() && p != "transport=udp").collect()
    }

    /// Returns the port, or [`DEFAULT_PORT`] if none is written.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }
}

/// One destination of the source, not yet resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// The set it belongs to.
    pub set: u32,
    /// Its URI.
    pub uri: DestinationUri,
    /// Its flags.
    pub flags: Flags,
    /// Higher values go first.
    pub priority: i32,
    /// Its attributes.
    pub attributes: Attributes,
    /// Where it was written.
    pub origin: Origin,
}

/// Where a record was written.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// The line of the list, from 1.
    Line(usize),
    /// The row of the table with this `id`.
    Row(i64),
    /// An operator's command; not in the source.
    #[default]
    Command,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(id) => write!(f, "row {id}"),
            Self::Command => f.write_str("added by a command"),
        }
    }
}

/// A record and the addresses of its host; none if the name did not resolve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolved {
    /// The record.
    pub record: Record,
    /// Its addresses, in a fixed order.
    pub addresses: Vec<Address>,
}

/// One address of a destination's host, as RFC 2782 ranks the servers of a name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// Lower values are used first; 0 without an SRV record.
    pub priority: u16,
    /// Its share among the addresses of one priority; 0 without an SRV record.
    pub weight: u16,
    /// The address and port.
    pub socket: SocketAddr,
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        Self { priority: 0, weight: 0, socket }
    }
}

fn split_host(host_port: &str) -> Result<(&str, Option<&str>), UriError> {
    let host_end = if host_port.starts_with('[') {
        host_port.find(']').map(|at| at + 1).ok_or_else(|| UriError::Host(host_port.into()))?
    } else {
        host_port.find(':').unwrap_or(host_port.len())
    };
    let (host, rest) = host_port.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() && !host.is_empty() => Ok((host, None)),
        None => Err(UriError::Host(host_port.into())),
    }
}

fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 253
        && !host.starts_with(['-', '.'])
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_attributes() {
        let text = "Duid=ms1;class=\"a;duid=no\";weight=50;flag;empty=;weight=60";
        let attributes = Attributes { text: text.into(), ..Attributes::default() };
        for (name, wants) in [
            ("duid", Some("ms1")),
            ("CLASS", Some("a;duid=no")),
            ("weight", Some("50")),
            ("empty", Some("")),
            ("flag", None),
            ("uid", None),
        ] {
            assert_eq!(attributes.value(name), wants, "{name}");
        }
    }
}
