//! Text in, a [`Config`] that cannot be wrong out.
//!
//! Files and flags are read to their end and every [`Problem`] is told at once. Nothing here opens
//! a socket or resolves a name; the list of destinations is read by [`source`](crate::source).

mod control;
mod database_url;
mod destinations;
mod dispatch;
mod document;
mod emergency;
mod events;
mod failover;
mod flags;
mod hash_over;
mod health;
mod hep;
pub mod keyfile;
mod load;
mod problem;
mod relay;
mod reload;
#[cfg(test)]
mod rows;
mod state_dir;
pub(crate) mod values;

pub use control::{ControlConfig, ControlSocket};
pub use database_url::DatabaseUrl;
pub(crate) use database_url::UrlParts;
pub use destinations::{DestinationsConfig, LoadMode, Source, TableNames};
pub use events::EventsConfig;
pub use flags::Flags;
pub use hep::HepConfig;
pub use load::Draft;
pub(crate) use load::{blank, read_at_most};
pub use problem::Problem;
pub(crate) use problem::in_order;
pub use state_dir::{state_directories, state_directory};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::keys::MasterKey;
use crate::log::Template;
use crate::proxy::{Policy, SetPolicy};

/// Everything an operator can say, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[relay]`
    pub relay: RelayConfig,
    /// `[dispatch]`, the choices for the whole relay, `relay.allow` among them.
    pub policy: Policy,
    /// `[dispatch]`, the defaults of every set.
    pub set_default: SetPolicy,
    /// `[set.N]`, each with the defaults filled in.
    pub sets: Arc<BTreeMap<u32, SetPolicy>>,
    /// `[destinations]`
    pub destinations: DestinationsConfig,
    /// `[control]`
    pub control: ControlConfig,
    /// `[events]`
    pub events: EventsConfig,
    /// `[hep]`; `None` without that section.
    pub hep: Option<HepConfig>,
    /// `[log]`
    pub log: LogConfig,
    /// What is allowed but perhaps not meant, one sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Returns the sets that requests are dispatched to: those of the listeners, and `dispatch.set`
    /// unless every listener has its own.
    pub fn sets_in_use(&self) -> BTreeSet<u32> {
        let listen = &self.relay.listen;
        let sets: BTreeSet<_> =
            listen.iter().map(|entry| entry.set.unwrap_or(self.policy.set)).collect();
        if sets.is_empty() { BTreeSet::from([self.policy.set]) } else { sets }
    }
}

/// `[relay]`
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// `listen`: as written; a wildcard address is expanded when the sockets are made.
    pub listen: Vec<ListenConfig>,
    /// `alias`: further `(host, port)` that mean us.
    pub alias: Vec<(String, u16)>,
    /// `workers`
    pub workers: Workers,
    /// `steering`
    pub steering: Steering,
    /// `receive_buffer_bytes` of each socket, in
    /// [`limits::RECEIVE_BUFFER_BYTES`](crate::limits::RECEIVE_BUFFER_BYTES): 4 MiB by default.
    pub receive_buffer_bytes: usize,
    /// `peak_requests_per_second`: new requests per second at the peak; sizes the pin table.
    /// 1 to 1,000,000, 10,000 by default.
    pub peak_requests_per_second: u32,
    /// `populate_pins`: the pin table's memory is taken at the start, not as it is first used.
    pub populate_pins: bool,
    /// `grace_s`: the longest time that a shutdown waits for INVITEs without a final response. 0 to
    /// 3,600 s, 30 s by default.
    pub grace: Duration,
    /// `state_dir`: where the key file is kept. `None`: the default places are tried.
    pub state_dir: Option<PathBuf>,
    /// `transactions_max`: transactions of stateful sets, of all workers together.
    pub transactions_max: usize,
    /// `transactions_bytes`: bytes of the messages that they keep, of all workers together.
    pub transactions_bytes: usize,
    /// `poll`: what a worker does when its sockets are empty.
    pub poll: Poll,
    /// `poll_gather_us`: the longest time that `adaptive` delays a message.
    pub poll_gather: Duration,
    /// `keys`: `["ID:64 hex digits", …]`, the first signs and all verify; empty: the key file.
    pub keys: Vec<MasterKey>,
}

/// One entry of `listen`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenConfig {
    /// The address; UDP.
    pub address: SocketAddr,
    /// `name`
    pub name: Option<String>,
    /// `advertise`: `host[:port]` for Via and Record-Route.
    pub advertise: Option<(String, u16)>,
    /// `force_rport`
    pub force_rport: bool,
    /// `set`: the set for requests to it; `None`: `dispatch.set`.
    pub set: Option<u32>,
}

/// How many workers there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Workers {
    /// One for each core that we may use.
    PerCore,
    /// This many, 1 to [`limits::WORKERS_MAX`](crate::limits::WORKERS_MAX), several on a core when there are
    /// more than cores.
    Count(usize),
}

/// Whether the kernel is asked to hand datagrams to workers by Call-ID.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Steering {
    /// When it can, which needs `CAP_BPF` and `CAP_PERFMON`; otherwise it goes by source address.
    #[default]
    Auto,
    /// Not at all: it goes by source address.
    Off,
}

/// What a worker does when its sockets are empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Poll {
    /// It waits until the kernel wakes it for the next message.
    Wait,
    /// It sleeps for `poll_gather_us` while the recent rate says that several messages arrive in
    /// that time, and waits otherwise.
    #[default]
    Adaptive,
    /// It asks again and again, and uses all of its core.
    Spin,
}

impl Poll {
    /// The words of `relay.poll`.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("wait", Self::Wait), ("adaptive", Self::Adaptive), ("spin", Self::Spin)];
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `level`: error, warn, info, debug or trace.
    pub level: tracing::Level,
    /// `format`: text or json.
    pub json: bool,
    /// `dispatch`: a line per new call; none by default.
    pub dispatch: Option<Template>,
    /// `left`: a line per try that was left, if there is one per new call.
    pub left: Template,
}

impl Default for LogConfig {
    fn default() -> Self {
        let left = Template::parse("DISPATCH: left <$du> after $ms ms: $why ($ci)");
        Self {
            level: tracing::Level::INFO,
            json: false,
            dispatch: None,
            left: left.expect("a template"),
        }
    }
}
