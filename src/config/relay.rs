//! `[relay]`: listeners, workers, and what is fixed while the process runs.

use std::net::SocketAddr;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::document::{Document, Place, Section};
use super::values::{self, Mistake};
use super::{ListenConfig, Poll, RelayConfig, Steering, Workers};
use crate::keys::MasterKey;
use crate::limits;
use crate::message::DEFAULT_PORT;
use crate::proxy::{Prefix, name_hash};

const KEYS: &[&str] = &[
    "listen",
    "alias",
    "workers",
    "steering",
    "allow",
    "receive_buffer_bytes",
    "peak_requests_per_second",
    "populate_pins",
    "grace_s",
    "state_dir",
    "transactions_max",
    "transactions_bytes",
    "poll",
    "poll_gather_us",
    "keys",
];

/// What Kamailio's core calls the same.
const KAMAILIO: &[(&str, &str)] = &[
    ("children", "write workers = \"per-core\", or a number"),
    ("socket_workers", "write workers = \"per-core\", or a number"),
    ("port", "write it behind the address: listen = [\"udp:ADDRESS:PORT\"]"),
    (
        "advertised_address",
        "write listen = [{ address = \"udp:ADDRESS:PORT\", advertise = \"HOST\" }]",
    ),
    (
        "advertised_port",
        "write listen = [{ address = \"udp:ADDRESS:PORT\", advertise = \"HOST:PORT\" }]",
    ),
];

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            alias: Vec::new(),
            workers: Workers::PerCore,
            steering: Steering::Auto,
            receive_buffer_bytes: limits::RECEIVE_BUFFER_BYTES_DEFAULT,
            peak_requests_per_second: 10_000,
            populate_pins: false,
            grace: Duration::from_secs(30),
            state_dir: None,
            transactions_max: limits::TRANSACTIONS_DEFAULT,
            transactions_bytes: limits::TRANSACTIONS_BYTES_DEFAULT,
            poll: Poll::default(),
            poll_gather: limits::POLL_GATHER_DEFAULT,
            keys: Vec::new(),
        }
    }
}

/// Reads `[relay]`, and `allow` beside it.
pub(super) fn read(
    document: &mut Document,
    section: &Section,
) -> (RelayConfig, Option<Vec<Prefix>>) {
    section.only_here(document, KEYS, &[], KAMAILIO);
    let mut relay = RelayConfig {
        listen: read_listen(document, section),
        alias: read_alias(document, section),
        keys: read_keys(document, section),
        ..RelayConfig::default()
    };
    if let Some(workers) = read_workers(document, section) {
        relay.workers = workers;
    }
    let words = &[("auto", Steering::Auto), ("off", Steering::Off)];
    if let Some(steering) = section.word(document, "steering", words, &[]) {
        relay.steering = steering;
    }
    let buffer =
        *limits::RECEIVE_BUFFER_BYTES.start() as u64..=*limits::RECEIVE_BUFFER_BYTES.end() as u64;
    if let Some(bytes) = section.integer(document, "receive_buffer_bytes", &buffer, " (bytes)") {
        relay.receive_buffer_bytes = bytes as usize;
    }
    let peak = 1..=u64::from(limits::PEAK_REQUESTS_PER_SECOND_MAX);
    if let Some(rate) = section.integer(document, "peak_requests_per_second", &peak, "") {
        relay.peak_requests_per_second = rate as u32;
    }
    if let Some(populate) = section.boolean(document, "populate_pins") {
        relay.populate_pins = populate;
    }
    let grace = 0..=limits::GRACE_S_MAX;
    if let Some(seconds) = section.integer(document, "grace_s", &grace, " (seconds)") {
        relay.grace = Duration::from_secs(seconds);
    }
    if let Some((path, place)) = section.string(document, "state_dir") {
        if path.is_empty() || path.contains('\0') {
            let what = section.what("state_dir: not a path");
            document.wrong(&place, what, "write a directory, or leave the key out");
        } else {
            relay.state_dir = Some(path.into());
        }
    }
    let transactions = limits::TRANSACTIONS;
    if let Some(count) = section.integer(document, "transactions_max", &transactions, "") {
        relay.transactions_max = count as usize;
    }
    let bytes = limits::TRANSACTIONS_BYTES;
    if let Some(count) = section.integer(document, "transactions_bytes", &bytes, " (bytes)") {
        relay.transactions_bytes = count as usize;
    }
    if let Some(poll) = section.word(document, "poll", Poll::WORDS, &[]) {
        relay.poll = poll;
    }
    if let Some(us) =
        section.integer(document, "poll_gather_us", &limits::POLL_GATHER_US, " (microseconds)")
    {
        relay.poll_gather = Duration::from_micros(us);
    }
    let allow = read_prefixes(document, section, "allow");
    (relay, allow)
}

/// A list of prefixes.
pub(super) fn read_prefixes(
    document: &mut Document,
    section: &Section,
    key: &str,
) -> Option<Vec<Prefix>> {
    let texts = section.strings(document, key, "[\"192.0.2.0/24\"]")?;
    if texts.len() > limits::PREFIXES_MAX {
        let what = section.what(&format!("{key}: {} prefixes", texts.len()));
        let right = format!("write at most {}", limits::PREFIXES_MAX);
        document.wrong(&section.place(key), what, right);
    }
    if texts.is_empty() && section.get(key).is_some_and(is_empty_list) {
        let what = section.what(&format!("{key}: an empty list lets nobody through"));
        let right = "write the prefixes, or leave the key out to let everybody through";
        document.wrong(&section.place(key), what, right);
    }
    let mut prefixes = Vec::with_capacity(texts.len());
    for (text, place) in texts {
        match values::prefix(text) {
            Ok(prefix) => prefixes.push(prefix),
            Err((what, right)) => {
                document.wrong(&place, section.what(&format!("{key}: {what}")), right);
            }
        }
    }
    Some(prefixes)
}

fn is_empty_list(value: &Spanned<DeValue>) -> bool {
    matches!(value.get_ref(), DeValue::Array(items) if items.is_empty())
}

/// Why the last of these listeners cannot stand beside those before it.
pub(super) fn listen_conflict(listen: &[ListenConfig]) -> Option<Mistake> {
    let (last, earlier) = listen.split_last()?;
    for other in earlier {
        let (one, other) = (last.address, other.address);
        if one.port() == 0 {
            // The kernel gives each a port of its own.
            break;
        }
        if one == other {
            let what = format!("udp:{one} is listed twice");
            return Some((what, "write it once".into()));
        }
        if overlaps(one, other) || overlaps(other, one) {
            let what = format!("udp:{one} and udp:{other} overlap");
            return Some((what, "write only the wildcard, or only addresses".into()));
        }
    }
    let name = name_of(last)?;
    let other =
        earlier.iter().filter_map(name_of).find(|other| name_hash(other) == name_hash(&name))?;
    let what = if name == other {
        format!("two listeners are called {name:?}")
    } else {
        format!("the names {name:?} and {other:?} have the same hash")
    };
    let right = "give each a name of its own: { address = …, name = … }";
    Some((what, right.into()))
}

/// The name of a listener, unless it is known only when its sockets are made.
fn name_of(listen: &ListenConfig) -> Option<String> {
    match (&listen.name, &listen.advertise) {
        (Some(name), _) => Some(name.clone()),
        (None, Some((host, port))) => Some(format!("{host}:{port}")),
        (None, None) if listen.address.ip().is_unspecified() || listen.address.port() == 0 => None,
        (None, None) => Some(listen.address.to_string()),
    }
}

fn overlaps(wildcard: SocketAddr, other: SocketAddr) -> bool {
    wildcard.ip().is_unspecified()
        && wildcard.is_ipv4() == other.is_ipv4()
        && wildcard.port() == other.port()
}

fn read_listen(document: &mut Document, section: &Section) -> Vec<ListenConfig> {
    let Some(items) = section.list(document, "listen", "[\"udp:192.0.2.1:5060\"]") else {
        return Vec::new();
    };
    let mut listen = Vec::with_capacity(items.len());
    let mut places = Vec::with_capacity(items.len());
    for item in items {
        let entry = match item.get_ref() {
            DeValue::String(text) => listen_text(document, section, text, &item.span()),
            DeValue::Table(table) => {
                let table = Section::new(section.what("listen"), table);
                listen_table(document, &table, &item.span())
            }
            other => {
                let right = "write \"udp:ADDRESS:PORT\" or { address = \"udp:ADDRESS:PORT\", … }";
                let wanted = "a string or table";
                section.wrong_type(document, "listen", item, other, wanted, right);
                None
            }
        };
        if let Some(entry) = entry {
            listen.push(entry);
            places.push(item.span());
        }
    }
    if listen.len() > limits::LISTENERS_MAX {
        let what = section.what(&format!("listen: {} listeners", listen.len()));
        let right = format!("write at most {}", limits::LISTENERS_MAX);
        document.wrong(&section.place("listen"), what, right);
        listen.truncate(limits::LISTENERS_MAX);
    }
    let mut kept: Vec<ListenConfig> = Vec::with_capacity(listen.len());
    for (entry, place) in listen.into_iter().zip(places) {
        kept.push(entry);
        if let Some((what, right)) = listen_conflict(&kept) {
            document.wrong(&place, section.what(&format!("listen: {what}")), right);
            kept.pop();
        }
    }
    kept
}

fn listen_text(
    document: &mut Document,
    section: &Section,
    text: &str,
    place: &Place,
) -> Option<ListenConfig> {
    match values::listen_address(text) {
        Ok(address) => {
            let entry = ListenConfig {
                address,
                name: None,
                advertise: None,
                force_rport: false,
                set: None,
            };
            Some(entry)
        }
        Err((what, right)) => {
            document.wrong(place, section.what(&format!("listen: {what}")), right);
            None
        }
    }
}

fn listen_table(document: &mut Document, table: &Section, place: &Place) -> Option<ListenConfig> {
    table.only(document, &["address", "name", "advertise", "force_rport", "set"], &[]);
    let force_rport = table.boolean(document, "force_rport").unwrap_or(false);
    let sets = 0..=u64::from(limits::SET_MAX);
    let set = table.integer(document, "set", &sets, "").map(|set| set as u32);
    let name = table.string(document, "name");
    let advertise = table.string(document, "advertise");
    if table.get("address").is_none() {
        let right = "write { address = \"udp:ADDRESS:PORT\", … }";
        document.wrong(place, table.what("lacks an address"), right);
    }
    let (text, address_place) = table.string(document, "address")?;
    let address = match values::listen_address(text) {
        Ok(address) => address,
        Err((what, right)) => {
            document.wrong(&address_place, table.what(&format!("address: {what}")), right);
            return None;
        }
    };
    let name = name.and_then(|(name, place)| {
        let is_word = name.bytes().all(|byte| byte.is_ascii_graphic());
        if is_word && (1..=limits::LISTENER_NAME_BYTES_MAX).contains(&name.len()) {
            return Some(name.to_owned());
        }
        let right = format!(
            "write 1 to {} printable ASCII characters without blanks",
            limits::LISTENER_NAME_BYTES_MAX
        );
        document.wrong(&place, table.what(&format!("name: {name:?} is no name")), right);
        None
    });
    let advertise = advertise.and_then(|(text, place)| {
        values::host_and_port(text, address.port())
            .map_err(|(what, right)| {
                document.wrong(&place, table.what(&format!("advertise: {what}")), right);
            })
            .ok()
    });
    if address.ip().is_unspecified() && (name.is_some() || advertise.is_some()) {
        let what = table.what("a wildcard address stands for several listeners");
        let right = "write the address that this name belongs to";
        document.wrong(&address_place, what, right);
    }
    Some(ListenConfig { address, name, advertise, force_rport, set })
}

fn read_alias(document: &mut Document, section: &Section) -> Vec<(String, u16)> {
    let texts =
        section.strings(document, "alias", "[\"sip.example.com:5060\"]").unwrap_or_default();
    if texts.len() > limits::ALIASES_MAX {
        let what = section.what(&format!("alias: {} names", texts.len()));
        let right = format!("write at most {}", limits::ALIASES_MAX);
        document.wrong(&section.place("alias"), what, right);
    }
    let mut aliases = Vec::with_capacity(texts.len());
    for (text, place) in texts {
        match values::host_and_port(text, DEFAULT_PORT) {
            Ok(alias) => aliases.push(alias),
            Err((what, right)) => {
                document.wrong(&place, section.what(&format!("alias: {what}")), right);
            }
        }
    }
    aliases
}

fn read_workers(document: &mut Document, section: &Section) -> Option<Workers> {
    let right = format!("write \"per-core\" or a number from 1 to {}", limits::WORKERS_MAX);
    let value = section.get("workers")?;
    match value.get_ref() {
        DeValue::String(word) if word == "per-core" => Some(Workers::PerCore),
        DeValue::String(word) => {
            let what = section.what(&format!("workers: {word:?} is no number of workers"));
            document.wrong(&value.span(), what, right);
            None
        }
        DeValue::Integer(_) => {
            let range = 1..=limits::WORKERS_MAX as u64;
            let number = section.integer(document, "workers", &range, ", or \"per-core\"")?;
            Some(Workers::Count(number as usize))
        }
        other => {
            let wanted = "a number or \"per-core\"";
            section.wrong_type(document, "workers", value, other, wanted, &right);
            None
        }
    }
}

fn read_keys(document: &mut Document, section: &Section) -> Vec<MasterKey> {
    let texts = section.strings(document, "keys", "[\"1:64 hex digits\"]").unwrap_or_default();
    let mut keys: Vec<MasterKey> = Vec::with_capacity(texts.len());
    if texts.len() > limits::KEYS_MAX {
        let what = section.what(&format!("keys: {} keys", texts.len()));
        let right = format!("keep at most {}, the one that signs first", limits::KEYS_MAX);
        document.wrong(&section.place("keys"), what, right);
    }
    for (text, place) in texts {
        match values::key(text) {
            Ok(key) if keys.iter().any(|other| other.id == key.id) => {
                let what = section.what(&format!("keys: two keys have the number {}", key.id));
                document.wrong(&place, what, "give each a number of its own");
            }
            Ok(key) => keys.push(key),
            Err((what, right)) => {
                document.wrong(&place, section.what(&format!("keys: {what}")), right);
            }
        }
    }
    keys
}
