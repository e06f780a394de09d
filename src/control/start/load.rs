//! Reads what a relay needs at a start or a reload: destinations, keys, randomness.

use tracing::{error, warn};

use crate::calls::CallTable;
use crate::config::{Config, RelayConfig, keyfile};
use crate::control::error::{Error, all};
use crate::control::events::source_trouble;
use crate::destination::{Record, Resolved, SourceRates};
use crate::keys::Keys;
use crate::limits;
use crate::pin::{PinMemory, PinTable};
use crate::resolve::{self, Resolver};
use crate::rpc::Value;
use crate::source::{self, AtStart, Loaded, Stale};
use crate::stats::Traffic;
use crate::transaction::TransactionRoom;
use crate::transport::sys::Mapping;

/// What a relay starts with.
pub(in crate::control) struct Started {
    /// The destinations.
    pub(in crate::control) records: Vec<Resolved>,
    /// Warnings.
    pub(in crate::control) warnings: Vec<String>,
    /// Set if the destinations are not those of the source.
    pub(in crate::control) stale: Option<Stale>,
}

/// Reads the destinations at a start, with names resolved as far as time allows.
pub(in crate::control) fn read(
    config: &Config,
    resolver: &Resolver,
) -> Result<Started, Vec<Error>> {
    let AtStart { loaded, stale } = source::load_at_start(config).map_err(all)?;
    let (records, warnings) = resolved(loaded, config, resolver);
    Ok(Started { records, warnings, stale })
}

/// Logs as an error that the relay starts without the content of its source.
pub(in crate::control) fn say_stale(stale: &Stale) {
    for problem in &stale.why {
        error!("{problem}");
    }
    error!("{}; the source is asked again until it answers", stale.instead);
}

/// Returns the same as an event.
pub(in crate::control) fn stale_event(stale: &Stale) -> Value {
    let why = stale.why.iter().map(ToString::to_string);
    source_trouble(why.chain([stale.instead.clone()]))
}

/// If the source is a database, saves the destinations in force for a start without it.
pub(in crate::control) fn keep(config: &Config, records: &[Resolved]) {
    if let Some(warning) = source::keep(config, records.iter().map(|resolved| &resolved.record)) {
        warn!("{warning}");
    }
}

/// Reads the destinations for a running relay. Also returns warnings.
pub(in crate::control) fn read_again(
    config: &Config,
    resolver: &Resolver,
) -> Result<(Vec<Resolved>, Vec<String>), Vec<Error>> {
    let loaded = source::reload(config).map_err(all)?;
    Ok(resolved(loaded, config, resolver))
}

/// Returns one record with the addresses of its name.
pub(in crate::control) fn resolve_one(
    record: Record,
    config: &Config,
    resolver: &Resolver,
) -> Resolved {
    let servers = &config.destinations.name_servers;
    let (mut resolved, _) = resolver.resolve(vec![record], servers, resolve::deadline());
    resolved.pop().expect("as many as were asked for")
}

fn resolved(loaded: Loaded, config: &Config, resolver: &Resolver) -> (Vec<Resolved>, Vec<String>) {
    let servers = &config.destinations.name_servers;
    let (records, notes) = resolver.resolve(loaded.records, servers, resolve::deadline());
    (records, loaded.warnings.into_iter().chain(notes).collect())
}

/// Returns the keys of the configuration, or of the key file.
pub(in crate::control) fn keys(config: &Config) -> Result<Keys, Vec<Error>> {
    let loaded = keyfile::load(&config.relay).map_err(all)?;
    if let Some(warning) = loaded.warning {
        warn!("{warning}");
    }
    Ok(Keys::new(&loaded.keys))
}

/// Creates an empty pin table for the peak load that the operator expects.
pub(in crate::control) fn pins(config: &Config, keys: &Keys) -> Result<PinTable, Error> {
    let pins = PinTable::pins_for_peak(config.relay.peak_requests_per_second);
    let words = Mapping::anonymous_shared(PinMemory::words_for(pins)).map_err(Error::Pins)?;
    if config.relay.populate_pins {
        words.populate().map_err(Error::Pins)?;
    }
    Ok(PinTable::new(PinMemory::new(words, keys.signing().id)))
}

/// Returns the room for the transactions of each worker.
pub(in crate::control) fn transactions(config: &Config, workers: usize) -> TransactionRoom {
    let RelayConfig { transactions_max, transactions_bytes, .. } = config.relay;
    TransactionRoom { count: transactions_max / workers, bytes: transactions_bytes / workers }
}

/// Creates the counters of what happens at each destination, for this many workers.
pub(in crate::control) fn traffic(workers: usize) -> Result<Traffic, Error> {
    let words = Mapping::private(Traffic::words_for(workers)).map_err(Error::Traffic)?;
    Ok(Traffic::new(words, workers))
}

/// Creates an empty table of calls in progress.
pub(in crate::control) fn calls() -> Result<CallTable, Error> {
    let words = Mapping::private(limits::CALLS_MAX).map_err(Error::Calls)?;
    Ok(CallTable::new(words))
}

/// Creates an empty table of the calls per second of each source.
pub(in crate::control) fn source_rates() -> Result<SourceRates, Error> {
    let words = Mapping::private(limits::SOURCE_RATES_MAX).map_err(Error::SourceRates)?;
    Ok(SourceRates::new(words))
}

/// Returns a number by which this process recognises the Vias that it wrote.
pub(in crate::control) fn incarnation() -> Result<u16, Vec<Error>> {
    let random = getrandom::u32().map_err(|e| vec![Error::Random(e)])?;
    Ok(random as u16)
}
