//! Parameters of Kamailio's core: listeners, aliases, children.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::draft::{Draft, quoted};
use super::lexer::{Place, Token, TokenKind};
use super::script::{CoreParameter, Script, value, written};
use crate::limits;

/// Parameters that change what happens to messages, and are not here.
const LEFT: &[(&str, &str)] = &[
    ("enable_tls", "only UDP is relayed in this version"),
    ("enable_sctp", "only UDP is relayed in this version"),
    (
        "mhomed",
        "a destination is reached by the listener of its socket attribute, else by the one that the call came to",
    ),
    ("udp_mtu", "a large request is fragmented, not moved to TCP"),
    ("udp_mtu_try_proto", "a large request is fragmented, not moved to TCP"),
    ("reply_to_via", "responses go where RFC 3261 §18.2.2 says"),
];

/// Puts the core's parameters into the draft.
pub(super) fn read(script: &Script, force_rport: Option<Place>, draft: &mut Draft) {
    let number = |name: &str| {
        let found = script.core.iter().rev().find(|parameter| parameter.name == name)?;
        value(found.value).number()
    };
    let port = number("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(5060);
    let mut advertised = None;
    for parameter in &script.core {
        match parameter.name {
            "advertised_address" => advertised = Some((written(parameter.value), None)),
            "advertised_port" => {
                if let Some((_, port)) = &mut advertised {
                    *port = value(parameter.value).number();
                }
            }
            _ => {}
        }
    }
    let advertised = advertised.map(|(host, port)| match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    });
    let mut listeners = Vec::new();
    for parameter in &script.core {
        let CoreParameter { name, value: tokens, place } = *parameter;
        match name {
            "listen" => listeners.extend(listen(tokens, place)),
            "socket" => listeners.extend(socket(tokens, place)),
            "alias" => aliases(tokens, place, draft),
            "children" => {
                let what = format!("children={}: one worker for each core", written(tokens));
                draft.set("relay", "workers", quoted("per-core"), Some(place), what);
            }
            "version_table" => {
                let what = format!("version_table={:?}", written(tokens));
                let table = quoted(&written(tokens));
                draft.set("destinations", "version_table", table, Some(place), what);
            }
            _ => {
                let is_off = value(tokens).number() == Some(0);
                if let Some((_, why)) = LEFT.iter().find(|(known, _)| *known == name && !is_off) {
                    draft.left(place, format!("{name}={}", written(tokens)), *why);
                }
            }
        }
    }
    if listeners.is_empty() {
        let what = "no listen=: every address of this machine";
        let text = format!("udp:0.0.0.0:{port}");
        let item = item(&text, None, None, force_rport.is_some());
        draft.add("relay", "listen", item, None, what);
    }
    if let Some(place) = force_rport {
        draft.carried_too(place, "force_rport()", "relay.listen force_rport");
    }
    let mut seen = Vec::new();
    for listener in listeners {
        let Listener { place, what, .. } = &listener;
        let (place, what) = (*place, what.clone());
        match listener.address(port) {
            Err(why) => draft.left(place, what, why),
            Ok(address) if seen.contains(&address) => {
                draft.left(place, what, "it is listed twice: once is enough");
            }
            Ok(_) if seen.len() >= limits::LISTENERS_MAX => {
                draft.left(place, what, format!("at most {} listeners", limits::LISTENERS_MAX));
            }
            Ok(address) => {
                let is_wildcard = address.1.is_unspecified();
                let mut advertise = listener.advertise.or_else(|| advertised.clone());
                let mut name = listener.name;
                if is_wildcard && (advertise.take().is_some() | name.take().is_some()) {
                    let why = "0.0.0.0 stands for several listeners: write each address with its own advertise and name";
                    draft.left(place, format!("{what}: advertise, name"), why);
                }
                let text = match address.1 {
                    IpAddr::V4(ip) => format!("udp:{ip}:{}", address.0),
                    IpAddr::V6(ip) => format!("udp:[{ip}]:{}", address.0),
                };
                let item =
                    item(&text, advertise.as_deref(), name.as_deref(), force_rport.is_some());
                draft.add("relay", "listen", item, Some(place), what);
                seen.push(address);
            }
        }
    }
}

fn item(text: &str, advertise: Option<&str>, name: Option<&str>, force_rport: bool) -> String {
    if advertise.is_none() && name.is_none() && !force_rport {
        return quoted(text);
    }
    let mut item = format!("{{ address = {}", quoted(text));
    for (key, value) in [("advertise", advertise), ("name", name)] {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(item, ", {key} = {}", quoted(value));
        }
    }
    item.push_str(if force_rport { ", force_rport = true }" } else { " }" });
    item
}

struct Listener {
    place: Place,
    /// As it was written.
    what: String,
    /// `[PROTOCOL:]HOST[:PORT]`
    text: String,
    advertise: Option<String>,
    name: Option<String>,
}

impl Listener {
    /// The port and address, or why there is none.
    fn address(&self, port_default: u16) -> Result<(u16, IpAddr), String> {
        let (protocol, host, port) = parts(&self.text);
        if let Some(protocol) = protocol.filter(|protocol| *protocol != "udp") {
            return Err(format!(
                "{protocol} is not available in this version: only UDP is relayed"
            ));
        }
        let ip = match host {
            "*" | "any" => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            "localhost" | "lo" => IpAddr::from(Ipv4Addr::LOCALHOST),
            _ => host.parse().map_err(|_| {
                format!(
                    "{host:?} is not an address: write the address, or udp:0.0.0.0 for all of them"
                )
            })?,
        };
        match port {
            None => Ok((port_default, ip)),
            Some(port) => match port.parse() {
                Ok(port) => Ok((port, ip)),
                Err(_) => Err(format!("{port:?} is not a port: write one from 1 to 65535")),
            },
        }
    }
}

/// Protocol, host without brackets, and port.
fn parts(text: &str) -> (Option<&str>, &str, Option<&str>) {
    const PROTOCOLS: [&str; 6] = ["udp", "tcp", "tls", "sctp", "ws", "wss"];
    let (protocol, rest) = match text.split_once(':') {
        Some((protocol, rest)) if PROTOCOLS.contains(&protocol) => (Some(protocol), rest),
        _ => (None, text),
    };
    if rest.parse::<Ipv6Addr>().is_ok() {
        return (protocol, rest, None);
    }
    if let Some((host, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (protocol, host, after.strip_prefix(':'));
    }
    match rest.split_once(':') {
        Some((host, port)) => (protocol, host, Some(port)),
        None => (protocol, rest, None),
    }
}

/// `listen = ADDRESS… [advertise ADDRESS] [name "NAME"]`
fn listen(tokens: &[Token], place: Place) -> Vec<Listener> {
    let keys = ["advertise", "name", "virtual"];
    let is_key = |token: &Token| keys.iter().any(|key| token.is_word(key));
    let end = tokens.iter().position(is_key).unwrap_or(tokens.len());
    let (addresses, options) = tokens.split_at(end);
    // Several addresses of one listener stand in brackets.
    let addresses = match addresses {
        [first, rest @ ..] if first.is_sign("(") => rest,
        all => all,
    };
    let option = |key: &str| {
        let at = options.iter().position(|token| token.is_word(key))? + 1;
        let rest = &options[at..];
        let end = rest.iter().position(is_key).unwrap_or(rest.len());
        // A value may be spread out: 192.0.2.1 : 5060
        let text: String = rest[..end].iter().map(|token| token.text.as_str()).collect();
        Some(text).filter(|text| !text.is_empty())
    };
    let (advertise, name) = (option("advertise"), option("name"));
    split_apart(addresses)
        .into_iter()
        .map(|text| Listener {
            place,
            what: format!("listen={text}"),
            text,
            advertise: advertise.clone(),
            name: name.clone(),
        })
        .collect()
}

/// `socket = { bind = ADDRESS; advertise = ADDRESS; name = "NAME"; }`
fn socket(tokens: &[Token], place: Place) -> Option<Listener> {
    let inside = tokens.get(1..tokens.len().checked_sub(1)?)?;
    let mut listener =
        Listener { place, what: String::new(), text: String::new(), advertise: None, name: None };
    for part in inside.split(|token| token.is_sign(";")) {
        let [key, sign, value @ ..] = part else { continue };
        if !sign.is_sign("=") {
            continue;
        }
        let value: String = value.iter().map(|token| token.text.as_str()).collect();
        match key.text.as_str() {
            "bind" => listener.text = value,
            "advertise" => listener.advertise = Some(value),
            "name" => listener.name = Some(value),
            _ => {}
        }
    }
    listener.what = format!("socket = {{ bind = {}; … }}", listener.text);
    Some(listener)
}

/// `alias = HOST[:PORT] …`
fn aliases(tokens: &[Token], place: Place, draft: &mut Draft) {
    for text in split_apart(tokens) {
        let (_, host, port) = parts(&text);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let alias = match port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        let what = format!("alias={text}");
        let value = quoted(&alias);
        if draft.entries.iter().any(|entry| entry.key == "alias" && entry.value == value) {
            continue;
        }
        if draft.entries.iter().filter(|entry| entry.key == "alias").count() >= limits::ALIASES_MAX
        {
            draft.left(place, what, format!("at most {} aliases", limits::ALIASES_MAX));
            continue;
        }
        draft.add("relay", "alias", value, Some(place), what);
    }
}

/// What stands between blanks and commas. A quoted text is one, and blanks beside a colon part nothing.
fn split_apart(tokens: &[Token]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut joins = false;
    for token in tokens {
        let is_colon = token.is_sign(":");
        let parts = token.is_sign(",") || token.is_sign(")") || token.is_sign(";");
        let begins = !joins && !is_colon && (token.is_apart || token.kind == TokenKind::Text);
        if parts {
            texts.push(String::new());
        } else if let Some(last) = texts.last_mut().filter(|last| last.is_empty() || !begins) {
            last.push_str(&token.text);
        } else {
            texts.push(token.text.clone());
        }
        joins = is_colon;
    }
    texts.retain(|text| !text.is_empty());
    texts
}
