//! One Via value (RFC 3261 §20.42, §25.1; RFC 3581 §3).

use super::text::{
    host_and_rest, is_token, is_too_long, number, parameters, port, split_outside, trim,
};

/// `rport`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rport {
    Absent,
    /// There without a value.
    Asked,
    Port(u16),
}

/// The parts of a Via value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Via {
    /// The protocol, `UDP` for instance, as it is written.
    pub(crate) transport: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) branch: Option<String>,
    pub(crate) received: Option<String>,
    pub(crate) rport: Rport,
    pub(crate) maddr: Option<String>,
    /// The relay's own parameter.
    pub(crate) own: Option<String>,
}

impl Via {
    // via-parm      = sent-protocol LWS sent-by *( SEMI via-params )
    // sent-protocol = protocol-name SLASH protocol-version SLASH transport
    // sent-by       = host [ COLON port ]
    pub(crate) fn read(value: &str) -> Option<Self> {
        let head = split_outside(value, ';')[0];
        let parameters = parameters(&value[head.len()..])?;

        let mut words = trim(head).splitn(3, '/');
        let protocol_name = trim(words.next()?);
        let version = trim(words.next()?);
        let (transport, sent_by) = trim(words.next()?).split_once(super::text::BLANKS)?;
        if ![protocol_name, version, transport].into_iter().all(is_token) {
            return None;
        }
        let (host, after_host) = host_and_rest(trim(sent_by))?;
        let port = match trim(after_host).strip_prefix(':') {
            Some(digits) => Some(port(trim(digits))?),
            None if trim(after_host).is_empty() => None,
            None => return None,
        };

        // What we decide by may stand once.
        let is_unique = |name| parameters.iter().filter(|(found, _)| found == name).count() <= 1;
        if !["branch", "received", "rport"].into_iter().all(is_unique) {
            return None;
        }
        let find = |name| parameters.iter().find(|(found, _)| found == name);
        let value_of = |name| find(name).and_then(|(_, value)| value.clone());
        let has_bare = |name| find(name).is_some_and(|(_, value)| value.is_none());
        if has_bare("branch") || has_bare("received") {
            return None;
        }
        // Tokens and addresses do not stand in quotes, and have an end.
        let is_bad = |name| {
            value_of(name).is_some_and(|value| value.starts_with('"') || is_too_long(&value))
        };
        if is_bad("branch") || is_bad("received") {
            return None;
        }
        let rport = match find("rport") {
            None => Rport::Absent,
            Some((_, None)) => Rport::Asked,
            Some((_, Some(digits))) => {
                Rport::Port(u16::try_from(number(digits, 65_535)?).expect("small"))
            }
        };
        // On another's Via our parameter's name may mean anything, so it may stand twice there.
        let own = parameters.iter().filter(|(name, _)| name == "sw").find_map(|(_, v)| v.clone());
        Some(Self {
            transport: transport.to_owned(),
            host,
            port,
            branch: value_of("branch"),
            received: value_of("received"),
            rport,
            maddr: value_of("maddr"),
            own,
        })
    }
}
