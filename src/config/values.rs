//! The small languages inside values: listeners, hosts, prefixes, algorithms, keys.
//!
//! Files and flags share them, so a mistake here has a text but no place: what is wrong, and what
//! would be right.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::document::{Later, choose};
use super::{DatabaseUrl, Source};
use crate::destination::{Algorithm, DestinationUri};
use crate::keys::MasterKey;
use crate::limits;
use crate::message::DEFAULT_PORT;
use crate::proxy::Prefix;
use crate::words::nearest;

/// What is wrong, and what would be right.
pub(crate) type Mistake = (String, String);

/// `udp:ADDRESS[:PORT]`, port 5060 when none is written.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, Mistake> {
    let example = "write udp:ADDRESS:PORT, such as udp:192.0.2.1:5060 or udp:[2001:db8::1]:5060";
    let wrong = |what: &str| (format!("{text:?} {what}"), example.to_owned());
    let rest = match text.split_once(':') {
        Some(("udp" | "UDP", rest)) => rest,
        Some((other, _)) if ["tcp", "tls", "sctp", "ws", "wss"].contains(&other) => {
            return Err((
                format!("{other} is not available in this version"),
                "listen on udp:ADDRESS:PORT".into(),
            ));
        }
        _ if socket_address(text).is_some() => {
            return Err((format!("{text:?} lacks the transport"), format!("write udp:{text}")));
        }
        Some((other, rest)) if nearest(other, ["udp"]).is_some() => {
            return Err((
                format!("{other:?} is not a transport"),
                format!("did you mean \"udp:{rest}\"?"),
            ));
        }
        _ => return Err(wrong("is not a listener")),
    };
    let Some(address) = socket_address(rest) else {
        return Err(wrong("does not name an address and port"));
    };
    match address.ip() {
        ip if ip.is_multicast() || ip == Ipv4Addr::BROADCAST => {
            Err(wrong("is no address of one machine"))
        }
        IpAddr::V6(ip) if let Some(v4) = ip.to_ipv4_mapped() => Err((
            format!("{text:?} is an IPv4 address written as IPv6"),
            format!("write udp:{v4}:{}", address.port()),
        )),
        _ => Ok(address),
    }
}

/// `ADDRESS[:PORT]`, an IPv6 address in brackets when a port follows; port 5060 when none is written.
fn socket_address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT))
}

/// `host[:port]` as a destination's URI has it, an IPv6 host with its brackets.
pub(crate) fn host_and_port(text: &str, port_default: u16) -> Result<(String, u16), Mistake> {
    let example = "write HOST or HOST:PORT, an IPv6 address in brackets";
    let wrong = || (format!("{text:?} is not a host"), example.to_owned());
    if text.contains([';', '@', '?', '/']) || text.starts_with("sip:") {
        return Err(wrong());
    }
    let uri = DestinationUri::parse(&format!("sip:{text}")).map_err(|_| wrong())?;
    let host_end = match uri.port {
        Some(_) => text.rfind(':').unwrap_or(text.len()),
        None => text.len(),
    };
    Ok((text[..host_end].to_ascii_lowercase(), uri.port.unwrap_or(port_default)))
}

/// `ADDRESS/BITS`, or an address alone.
pub(crate) fn prefix(text: &str) -> Result<Prefix, Mistake> {
    let example = "write ADDRESS/BITS, such as 192.0.2.0/24 or 2001:db8::/32";
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Err((format!("{text:?} is not a prefix"), example.into()));
    };
    let bits_max = if ip.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => bits_max,
        Some(bits) => match bits.parse::<u8>() {
            Ok(number) if number <= bits_max && bits.bytes().all(|b| b.is_ascii_digit()) => number,
            _ => {
                return Err((
                    format!("{text:?}: {bits:?} is not a number of bits"),
                    format!("write a number from 0 to {bits_max}"),
                ));
            }
        },
    };
    // 192.0.2.77/24 is more often a slip of the last octet than a wish for all of /24.
    let network = first_of(ip, bits);
    if network != ip {
        return Err((
            format!("{text:?} has bits beyond its first {bits}"),
            format!("write {network}/{bits}, or {ip} for that address alone"),
        ));
    }
    Prefix::new(ip, bits).ok_or_else(|| (format!("{text:?} is not a prefix"), example.into()))
}

fn first_of(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((ip.to_bits() & mask).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::from((ip.to_bits() & mask).to_be_bytes())
        }
    }
}

/// An algorithm's name, or its number in Kamailio.
pub(crate) fn algorithm(text: &str) -> Result<Algorithm, Mistake> {
    let Ok(number) = text.parse::<u64>() else {
        let words: Vec<_> = Algorithm::ALL.iter().map(|(of, name, _)| (*name, *of)).collect();
        return choose(text, "algorithm", &words, ALGORITHMS_LATER);
    };
    let is_it = |known: &Option<u8>| known.is_some_and(|known| u64::from(known) == number);
    if let Some((algorithm, ..)) = Algorithm::ALL.iter().find(|(.., known)| is_it(known)) {
        return Ok(*algorithm);
    }
    let later = NUMBERS_LATER.iter().find(|(known, _)| *known == number).and_then(|(_, name)| {
        let (_, right) = ALGORITHMS_LATER.iter().find(|(later, _)| later == name)?;
        Some((name, right))
    });
    Err(match later {
        Some((name, right)) => (
            format!("algorithm {number} ({name}) is not available in this version"),
            (*right).into(),
        ),
        None => (format!("{number} is not the number of an algorithm"), NUMBERS.into()),
    })
}

/// `list:PATH`, or a database.
pub(crate) fn source(text: &str) -> Result<Source, Mistake> {
    match text.split_once(':') {
        Some(("list", path)) if !path.is_empty() => Ok(Source::List(path.into())),
        Some(("list", _)) => {
            Err(("source lacks the path of the list".into(), "write \"list:PATH\"".into()))
        }
        // sqlite:///PATH is how Kamailio writes it.
        Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
            "" => Err((
                "source lacks the path of the database".into(),
                "write \"sqlite:PATH\"".into(),
            )),
            path => Ok(Source::Sqlite(path.into())),
        },
        // What follows the scheme may hold a password, so it is not told.
        Some((scheme @ ("mysql" | "mariadb" | "postgres" | "postgresql"), rest)) => {
            let right = format!("write {scheme}://USER:PASSWORD@HOST/DATABASE");
            let is_mysql = matches!(scheme, "mysql" | "mariadb");
            let kind = if is_mysql { "mysql" } else { "postgres" };
            let url = DatabaseUrl::new(format!("{kind}:{rest}"));
            let Some(parts) = url.parts() else {
                return Err(("source does not name a host and a database".into(), right));
            };
            if parts.host.is_empty() || parts.database.is_empty() {
                return Err(("source does not name a host and a database".into(), right));
            }
            Ok(if is_mysql { Source::Mysql(url) } else { Source::Postgres(url) })
        }
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Err((format!("{scheme:?} is not a kind of source"), SOURCES.into()))
        }
        _ => {
            // Without a sign of a URL there is no password in it.
            let path = Some(text).filter(|text| !text.contains([':', '@', '/']));
            let ends = |ends: &[&str]| path.is_some_and(|p| ends.iter().any(|e| p.ends_with(e)));
            let right = if ends(&[".db", ".sqlite", ".sqlite3"]) {
                format!("write \"sqlite:{text}\"")
            } else if ends(&[".list"]) {
                format!("write \"list:{text}\"")
            } else {
                SOURCES.into()
            };
            Err(("source does not say its kind".into(), right))
        }
    }
}

/// The kinds of sources.
pub(super) const SOURCES: &str =
    "write list:PATH, sqlite:PATH, mysql://USER:PASSWORD@HOST/DATABASE or postgres://…";

/// Whether this may stand for a table or a column in a statement as it is.
pub(crate) fn is_sql_name(text: &str) -> bool {
    // The shortest limit of the three databases is that of PostgreSQL.
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// `attribute=column;…`, as `ds_db_extra_attrs`.
pub(crate) fn extra_attributes(text: &str) -> Result<Vec<(String, String)>, Mistake> {
    let right = "write ATTRIBUTE=COLUMN;ATTRIBUTE=COLUMN";
    let pairs = text.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| match pair.split_once('=') {
        Some((name, column)) if is_sql_name(column.trim()) && !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), column.trim().to_owned()))
        }
        _ => Err((format!("{pair:?} does not name an attribute and a column"), right.into())),
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    if pairs.len() > limits::EXTRA_ATTRIBUTES_MAX {
        let right = format!("name at most {}", limits::EXTRA_ATTRIBUTES_MAX);
        return Err((format!("{} columns", pairs.len()), right));
    }
    Ok(pairs)
}

/// `ADDRESS[:PORT]` of a name server, port 53 when none is written.
pub(crate) fn name_server(text: &str) -> Result<SocketAddr, Mistake> {
    let address = text.parse().ok();
    address.or_else(|| Some(SocketAddr::new(text.parse().ok()?, 53))).ok_or_else(|| {
        let right = "write ADDRESS or ADDRESS:PORT, such as \"192.0.2.53\"";
        (format!("{text:?} is not an address"), right.into())
    })
}

/// `ID:64 hex digits`. Nothing of the text is told.
pub(crate) fn key(text: &str) -> Result<MasterKey, Mistake> {
    let right = "write ID:SECRET, a number from 0 to 255 and 64 hex digits".to_owned();
    let (id, hex) = text
        .split_once(':')
        .ok_or_else(|| ("a key without its number".to_owned(), right.clone()))?;
    let id = id
        .parse::<u8>()
        .map_err(|_| ("the number of a key cannot be read".to_owned(), right.clone()))?;
    let hex = hex.as_bytes();
    if hex.len() != 64 || !hex.iter().all(u8::is_ascii_hexdigit) {
        return Err((format!("the secret of key {id} is not 64 hex digits"), right));
    }
    let mut secret = [0; 32];
    for (byte, pair) in secret.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16).unwrap_or(0) as u8;
        *byte = digit(0) << 4 | digit(1);
    }
    Ok(MasterKey { id, secret })
}

/// What `key-hash` needs.
pub(super) const HASH_OVER: &str =
    "add hash_over, such as hash_over = \"from.user\" or \"header(X-Account)\"";

/// What is right instead of a number or name that is not one.
const NUMBERS: &str =
    "write a number of Kamailio's (0 to 11, 13 to 15, 64) or a name, such as 4 or \"round-robin\"";

const ALGORITHMS_LATER: Later = &[(
    "parallel",
    "a call would go to all destinations at once: write \"first\", and forwarding = \"stateful\" to try the next one if that fails",
)];

const NUMBERS_LATER: &[(u64, &str)] = &[(12, "parallel")];

#[cfg(test)]
mod tests {
    use super::algorithm as algorithm_of;
    use super::*;

    #[test]
    fn listeners() {
        for (text, wants) in [
            ("udp:192.0.2.1:5080", Ok("192.0.2.1:5080")),
            ("udp:192.0.2.1", Ok("192.0.2.1:5060")),
            ("udp:0.0.0.0:5060", Ok("0.0.0.0:5060")),
            ("udp:[::1]:5060", Ok("[::1]:5060")),
            ("udp:[::1]", Ok("[::1]:5060")),
            ("192.0.2.1:5060", Err("lacks the transport")),
            ("tcp:192.0.2.1:5060", Err("not available in this version")),
            ("udp:sip.example.com:5060", Err("does not name an address")),
            ("udp:192.0.2.1:0", Ok("192.0.2.1:0")),
            ("udp:192.0.2.1:70000", Err("does not name an address")),
            ("udp:224.0.0.1:5060", Err("no address of one machine")),
            ("udp:[::ffff:192.0.2.1]:5060", Err("IPv4 address")),
            ("upd:192.0.2.1", Err("\"upd\" is not a transport")),
            ("", Err("is not a listener")),
        ] {
            match (listen_address(text), wants) {
                (Ok(address), Ok(wanted)) => assert_eq!(address.to_string(), wanted),
                (Err((what, _)), Err(part)) => assert!(what.contains(part), "{text}: {what}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn hosts() {
        for (text, wants) in [
            ("sip.example.com", Some(("sip.example.com", 5070))),
            ("SIP.example.com:5060", Some(("sip.example.com", 5060))),
            ("192.0.2.1:5060", Some(("192.0.2.1", 5060))),
            ("[2001:DB8::1]", Some(("[2001:db8::1]", 5070))),
            ("[2001:db8::1]:5061", Some(("[2001:db8::1]", 5061))),
            ("2001:db8::1", None),
            ("sip:example.com", None),
            ("a b", None),
            ("user@host", None),
            ("", None),
        ] {
            let read = host_and_port(text, 5070).ok();
            let wants = wants.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(read, wants, "{text}");
        }
    }

    #[test]
    fn prefixes() {
        for (text, wants) in [
            ("0.0.0.0/0", None),
            ("192.0.2.0/24", None),
            ("192.0.2.1", None),
            ("::/0", None),
            ("2001:db8::/32", None),
            ("192.0.2.1/24", Some("write 192.0.2.0/24")),
            ("192.0.2.0/33", Some("0 to 32")),
            ("192.0.2.0/+4", Some("0 to 32")),
            ("192.0.2/24", Some("ADDRESS/BITS")),
            ("2001:db8::/129", Some("0 to 128")),
        ] {
            match (prefix(text), wants) {
                (Ok(_), None) => {}
                (Err((_, right)), Some(part)) => assert!(right.contains(part), "{text}: {right}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn algorithms() {
        for (algorithm, name, number) in Algorithm::ALL {
            assert_eq!(algorithm_of(name), Ok(*algorithm));
            assert_eq!(algorithm.name(), *name);
            if let Some(number) = number {
                assert_eq!(algorithm_of(&number.to_string()), Ok(*algorithm));
            }
        }
        for (text, wants) in [
            ("round-robin", None),
            ("4", None),
            ("round-robn", Some("\"round-robn\" is not an algorithm")),
            ("12", Some("algorithm 12 (parallel) is not available")),
            ("64", None),
            ("63", Some("63 is not the number")),
            ("-1", Some("\"-1\" is not an algorithm")),
        ] {
            let what = algorithm_of(text).err().map(|(what, _)| what);
            match (what, wants) {
                (None, None) => {}
                (Some(what), Some(part)) => assert!(what.contains(part), "{text}: {what}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn keys_and_silence_about_them() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
        let read = key(&format!("7:{hex}")).unwrap();
        assert_eq!((read.id, read.secret[1], read.secret[31]), (7, 0x11, 0xff));
        for wrong in [
            format!("256:{hex}"),
            hex.to_owned(),
            format!("1:{}", &hex[2..]),
            format!("1:{}zz", &hex[2..]),
            format!("1:{}\u{e9}", &hex[2..]),
        ] {
            let (what, right) = key(&wrong).unwrap_err();
            assert!(!format!("{what}{right}").contains("2233"), "{what}");
        }
        let (what, right) = source("mysql://user:secret@host").unwrap_err();
        assert!(!format!("{what}{right}").contains("secret"));
    }
}
