//! What is read when a relay starts or reloads: destinations, keys, randomness.

use tracing::{error, warn};

use super::error::{Error, all};
use crate::config::{Config, keyfile};
use crate::destination::{Host, Record, Resolved};
use crate::keys::Keys;
use crate::pin::{PinMemory, PinTable};
use crate::source::{self, Stale, Started};
use crate::transport::sys::Mapping;

/// The destinations at a start, names resolved as far as the time allows, what is to be warned of, and
/// whether they are not those of the source.
pub(super) fn read(config: &Config) -> Result<Started, Vec<Error>> {
    source::start_and_resolve(config).map_err(all)
}

/// Says loudly that a relay starts without what its source holds.
pub(super) fn say_stale(stale: &Stale) {
    for problem in &stale.why {
        error!("{problem}");
    }
    error!("{}; the source is asked again until it answers", stale.instead);
}

/// Keeps what is in force for a start without the database, when it is from one.
pub(super) fn keep(config: &Config, records: &[Resolved]) {
    if let Some(warning) = source::keep(config, records.iter().map(|resolved| &resolved.record)) {
        warn!("{warning}");
    }
}

/// The destinations for a relay that has these, and what is to be warned of.
pub(super) fn read_again(
    config: &Config,
    known: &[Resolved],
) -> Result<(Vec<Resolved>, Vec<String>), Vec<Error>> {
    source::reload_and_resolve(config, known).map_err(all)
}

/// One record with the addresses of its name.
pub(super) fn resolve(record: Record) -> Resolved {
    let mut resolved = source::resolve(vec![record], source::RESOLVE_TIME_MAX);
    resolved.pop().expect("as many as were asked for")
}

/// The records, with the names that have no address asked for once more; `None` when nothing was
/// won.
pub(super) fn resolve_missing(mut records: Vec<Resolved>) -> Option<Vec<Resolved>> {
    let missing: Vec<Record> = records
        .iter()
        .filter(|r| r.addresses.is_empty() && matches!(r.record.uri.host, Host::Name(_)))
        .map(|r| r.record.clone())
        .collect();
    if missing.is_empty() {
        return None;
    }
    let mut found = source::resolve(missing, source::RESOLVE_TIME_MAX);
    found.retain(|resolved| !resolved.addresses.is_empty());
    for resolved in &found {
        let place = records.iter_mut().find(|r| r.record == resolved.record);
        if let Some(place) = place {
            place.addresses.clone_from(&resolved.addresses);
        }
    }
    (!found.is_empty()).then_some(records)
}

/// The keys of the configuration, or of the key file.
pub(super) fn keys(config: &Config) -> Result<Keys, Vec<Error>> {
    let loaded = keyfile::load(&config.relay).map_err(all)?;
    if let Some(warning) = loaded.warning {
        warn!("{warning}");
    }
    Ok(Keys::new(&loaded.keys))
}

/// An empty pin table for the peak that the operator expects.
pub(super) fn pins(config: &Config, keys: &Keys) -> Result<PinTable, Error> {
    let pins = PinTable::pins_for_peak(config.relay.peak_requests_per_second);
    let words = Mapping::anonymous_shared(PinMemory::words_for(pins)).map_err(Error::Pins)?;
    Ok(PinTable::new(PinMemory::new(words, keys.signing().id)))
}

/// A number by which this process knows the Vias that it wrote.
pub(super) fn incarnation() -> Result<u16, Vec<Error>> {
    let random = getrandom::u32().map_err(|e| vec![Error::Random(e)])?;
    Ok(random as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::destination::{Attributes, DestinationUri, Flags, Origin};

    fn record(uri: &str, line: usize) -> Resolved {
        Resolved {
            record: Record {
                set: 1,
                uri: DestinationUri::parse(uri).unwrap(),
                flags: Flags::default(),
                priority: 0,
                attributes: Attributes::default(),
                origin: Origin::Line(line),
            },
            addresses: Vec::new(),
        }
    }

    #[test]
    fn only_what_has_no_address_is_asked_for() {
        let known = Resolved {
            addresses: vec!["192.0.2.1:5060".parse::<SocketAddr>().unwrap().into()],
            ..record("sip:localhost", 1)
        };
        assert_eq!(resolve_missing(vec![known.clone()]), None);
        let records = vec![known.clone(), record("sip:localhost:5070", 2)];
        let records = resolve_missing(records).unwrap();
        assert_eq!(records[0], known);
        assert!(records[1].addresses[0].socket.ip().is_loopback());
        assert_eq!(records[1].addresses[0].socket.port(), 5070);
    }

    #[test]
    fn nothing_is_won_by_a_name_that_does_not_exist() {
        assert_eq!(resolve_missing(vec![record("sip:no-such-host.invalid", 1)]), None);
    }
}
