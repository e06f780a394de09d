//! Where destinations come from: the list file, and the names in it.

mod list;
mod resolve;

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{Config, Problem, Source, blank, values};
use crate::destination::{Flags, Record, Resolved};

pub use list::{List, parse, read};
pub use resolve::{resolve, unresolved};

/// The longest time that names may take to resolve, all together.
pub const RESOLVE_TIME_MAX: Duration = Duration::from_secs(2);

/// The destinations of a configuration, read and checked, names not yet resolved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Loaded {
    /// The records: sets ascending, in each the highest priority first, then as listed.
    pub records: Vec<Record>,
    /// What is allowed but perhaps not meant, one sentence each.
    pub warnings: Vec<String>,
    /// The source was there without a single byte in it.
    pub is_blank: bool,
}

/// Reads what the configuration names as its source.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines.
pub fn load(config: &Config) -> Result<Loaded, Vec<Problem>> {
    let Source::List(path) = &config.source;
    let name = path.display().to_string();
    let list = read(path)?;
    let problems = list
        .records
        .iter()
        .filter_map(|record| beside_listeners(&name, record, config))
        .collect::<Vec<_>>();
    if !problems.is_empty() {
        return Err(crate::config::in_order(problems));
    }
    let mut warnings = list.warnings(&name);
    let set = config.policy.set;
    let in_use = list.records.iter().filter(|record| record.set == set);
    if !in_use.clone().any(|record| record.flags.is_selectable()) {
        let what = if in_use.count() == 0 {
            "no destination"
        } else {
            "no destination that may be chosen"
        };
        warnings.push(format!("{name}: {what} in set {set}: every call is refused"));
    }
    Ok(Loaded { records: list.records, warnings, is_blank: list.is_blank })
}

/// Reads what the configuration names as its source and resolves its names, within
/// [`RESOLVE_TIME_MAX`]. Names without an address are among the warnings.
///
/// # Errors
/// As [`load`].
pub fn load_and_resolve(config: &Config) -> Result<(Vec<Resolved>, Vec<String>), Vec<Problem>> {
    Ok(resolve_loaded(load(config)?))
}

/// As [`load_and_resolve`], for a relay at work: a list without a single byte is one that is about to
/// be written, or was lost with its disk, and refused.
///
/// # Errors
/// As [`load`].
pub fn reload_and_resolve(config: &Config) -> Result<(Vec<Resolved>, Vec<String>), Vec<Problem>> {
    let loaded = load(config)?;
    if loaded.is_blank {
        let Source::List(path) = &config.source;
        return Err(vec![blank(&path.display().to_string())]);
    }
    Ok(resolve_loaded(loaded))
}

fn resolve_loaded(loaded: Loaded) -> (Vec<Resolved>, Vec<String>) {
    let resolved = resolve(loaded.records, RESOLVE_TIME_MAX);
    let mut warnings = loaded.warnings;
    let names = unresolved(&resolved);
    if !names.is_empty() {
        warnings
            .push(format!("no address is known for {}: listed, but not used", names.join(", ")));
    }
    (resolved, warnings)
}

/// What is wrong with a record beside the listeners of this configuration.
fn beside_listeners(file: &str, record: &Record, config: &Config) -> Option<Problem> {
    use crate::destination::Host;

    let listen = &config.relay.listen;
    if let Some(socket) = &record.attributes.socket
        && !listen.iter().any(|entry| covers(entry.address, socket.0))
    {
        let ours = listen
            .iter()
            .map(|entry| format!("udp:{}", entry.address))
            .collect::<Vec<_>>()
            .join(", ");
        let what = format!("socket=udp:{} is not one of our listeners", socket.0);
        let right = format!("name one of {ours}, or add it to relay.listen");
        return Some(Problem::at(file, record.line, what, right));
    }
    if let Host::Address(ip) = record.uri.host {
        let address = SocketAddr::new(ip, record.uri.port_or_default());
        if listen.iter().any(|entry| entry.address == address) {
            let what = format!("{} is this relay itself", record.uri.text);
            let right = "name a server, or listen on another address";
            return Some(Problem::at(file, record.line, what, right));
        }
    }
    None
}

fn covers(listen: SocketAddr, socket: SocketAddr) -> bool {
    let is_wildcard = listen.ip().is_unspecified() && listen.is_ipv4() == socket.is_ipv4();
    listen == socket || (is_wildcard && listen.port() == socket.port())
}

impl List {
    /// One sentence for each kind of thing that has no effect here.
    fn warnings(&self, name: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.unknown.is_empty() {
            let names = self.unknown.join(", ");
            warnings.push(format!("{name}: unknown attributes, kept as they are: {names}"));
        }
        for (bit, says) in [
            (Flags::INACTIVE, "inactive (1): not chosen, since nothing is probed in this version"),
            (Flags::PROBING, "probing (8): nothing is probed in this version"),
        ] {
            let mut lines = self
                .records
                .iter()
                .filter(|record| record.flags.bits() & bit != 0)
                .map(|record| record.line)
                .collect::<Vec<_>>();
            lines.sort_unstable();
            if let Some(first) = lines.first() {
                let more = match lines.len() {
                    1 => String::new(),
                    n => format!(" and {} more", n - 1),
                };
                warnings.push(format!("{name}:{first}{more}: {says}"));
            }
        }
        warnings
    }
}

/// `udp:ADDRESS:PORT` of an attribute.
fn socket_attribute(text: &str) -> Result<SocketAddr, values::Mistake> {
    values::listen_address(text)
}
