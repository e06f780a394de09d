//! The relay as a whole: starts, reloads, drains and stops it, and runs its control threads.

mod admin;
mod asker;
mod commands;
mod counted;
mod error;
mod events;
mod explain;
mod finish;
mod hep;
mod history;
mod methods;
mod metrics;
mod page;
mod reloads;
mod service;
mod snapshot;
mod start;
#[cfg(test)]
mod tests;
mod threads;
mod traces;
mod watch;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Sender};
use tracing::{error, warn};

pub use admin::check as check_admin_sockets;
pub use asker::Asker;
pub use commands::{
    Added, Change, Changed, Commands, ListedAddress, ListedRecord, ListedSet, Listing, MemoryUse,
    NewRecord, Plan, ReloadHow, Reloaded, StillComing, Took, Which,
};
pub use error::Error;
pub use explain::{Candidate, Explanation, Leaving, SourceIs, state_word};
pub use reloads::PastReload;
pub use service::ServiceManager;
pub use start::check::check_destinations;
pub use traces::{Traced, TracedMessage};

use crate::capture::Capture;
use crate::config::{Config, Flags};
use crate::health::Health;
use crate::limits::{DISPATCH_LINES_MAX, MOVE_ON_TIME_MAX};
use crate::log::{self, DispatchLog, DispatchThread, Templates};
use crate::owners::Owners;
use crate::proxy::{Listeners, Shared};
use crate::registry::Registry;
use crate::resolve::Resolver;
use crate::stats::{Totals, Traffic, WorkerStats};
use crate::transport::{Sockets, Spread, monotonic_now};
use crate::worker::{Fault, OnStart, Placement, Pool, Sightings, Supplies};
use admin::{AdminSockets, ServedSockets};
use counted::CountedBefore;
use events::Notifier;
use hep::HepCounters;
use history::{Cause, History};
use reloads::Reloads;
use service::Notices;
use snapshot::change::Current;
use snapshot::in_force::InForce;
use snapshot::publisher::Publisher;
use start::check::leave_out_unusable;
use start::{load, ready};
use threads::runtime::{ControlRuntime, DrivenRuntime};
use threads::thread_error;
use threads::{names, retry};
use traces::Traces;

/// Options besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The flags that the configuration was read with; a reload reads it again with them. Without
    /// them, a reload reads only the destinations.
    pub flags: Option<Flags>,
    /// A fault point, for tests.
    pub fault: Option<Fault>,
    /// Called on each worker's own thread right before its first datagram, for tests.
    pub on_worker_start: Option<OnStart>,
    /// Who hears when the relay is ready, reloads and ends, and restarts it if a worker is stuck.
    pub service_manager: Option<ServiceManager>,
}

/// A running relay. Dropping it stops it at once.
#[derive(Debug)]
pub struct Relay {
    inner: Arc<Inner>,
    /// Dropping it ends the workers and waits for them.
    _pool: Pool,
    /// Ends after the workers, so that their last lines are written.
    _dispatch_thread: Option<DispatchThread>,
    placements: Vec<Placement>,
    spread: Spread,
    /// Dropping it ends the control threads.
    alive: Option<Sender<()>>,
    /// The threads that end with the relay, each with its name.
    control_threads: Vec<(&'static str, JoinHandle<()>)>,
    /// Closed first, so that no more commands come.
    admin: Option<ServedSockets>,
    /// Its tasks end first, without waiting for them.
    runtime: Option<DrivenRuntime>,
}

/// What the control threads share.
#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    stats: Arc<[WorkerStats]>,
    /// What happens at each destination.
    traffic: Arc<Traffic>,
    counted_before: CountedBefore,
    /// What the workers see of destinations.
    sightings: Arc<Sightings>,
    dispatch_log: Option<Arc<DispatchLog>>,
    current: Current,
    flags: Option<Flags>,
    fault: Option<Fault>,
    resolver: Arc<Resolver>,
    /// Held through a whole reload, addition or removal, so that the later of two wins.
    reloading: Mutex<()>,
    /// How many wait for it or hold it.
    reloads: AtomicUsize,
    /// Whether an operator wants destinations to be pinged.
    ping_active: AtomicBool,
    /// The highest use of the pin table seen by a query, in bytes.
    memory_used_max: AtomicU64,
    started: Instant,
    history: History,
    notifier: Arc<Notifier>,
    past_reloads: Reloads,
    /// What is known of each destination. Locked only by control threads, for microseconds to a few
    /// milliseconds.
    health: Mutex<Health>,
    traces: Traces,
    hep: Arc<HepCounters>,
    /// Set if it started without the content of its source and has not read it since.
    is_stale: AtomicBool,
    /// What the service manager should hear.
    notices: Notices,
}

impl Relay {
    /// Reads the destinations, opens the sockets and starts the workers.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first; then nothing is left running.
    pub fn start(config: &Config, options: Options) -> Result<Self, Vec<Error>> {
        let placements = Placement::assign(config.relay.workers);
        let bound = Sockets::bind(
            &config.relay.listen,
            &config.relay.alias,
            placements.len(),
            config.relay.receive_buffer_bytes,
        )
        .map_err(error::all);
        let read = Resolver::alone().map_err(thread_error("resolver"));
        let read = read.and_then(|resolver| Ok((load::read(config, &resolver)?, resolver)));
        let secrets = error::both(load::keys(config), load::incarnation());
        let admin = ControlRuntime::new().map_err(thread_error("control-io"));
        let admin = admin.and_then(|runtime| {
            Ok((AdminSockets::make(config, runtime.handle()).map_err(error::all)?, runtime))
        });
        let (((bound, read), secrets), admin) =
            error::both(error::both(error::both(bound, read), secrets), admin)?;
        let (sockets, listeners) = bound;
        let (admin, runtime) = admin;
        let (load::Started { records, warnings, stale }, resolver) = read;
        let (keys, incarnation) = secrets;
        let (records, left_out) = leave_out_unusable(config, records, &listeners);
        for warning in warnings.into_iter().chain(left_out) {
            warn!("{warning}");
        }
        if let Some(stale) = &stale {
            load::say_stale(stale);
        } else {
            load::keep(config, &records);
        }

        let owners = Owners::new(placements.len()).map_err(|source| vec![Error::Random(source)])?;
        let spread = sockets.steer(config.relay.steering, &owners);
        let sockets = Arc::new(sockets);
        let pins = load::pins(config, &keys).map_err(|e| vec![e])?;
        let calls = load::calls().map_err(|e| vec![e])?;
        let source_rates = load::source_rates().map_err(|e| vec![e])?;
        let room = load::transactions(config, placements.len());
        let owners = Some(owners).filter(|_| placements.len() > 1);
        let shared = Shared::new(listeners, keys, pins, incarnation)
            .with_calls(calls)
            .with_source_rates(source_rates)
            .with_transactions(room, owners);
        let shared = Arc::new(shared);
        let counters: Arc<[WorkerStats]> =
            (0..placements.len()).map(|_| WorkerStats::default()).collect();
        let traffic = Arc::new(load::traffic(placements.len()).map_err(|e| vec![e])?);
        let sightings = Arc::new(Sightings::new());
        let first = InForce::first(config.clone(), records, monotonic_now(), &shared.listeners)?;
        first.registry().write_slots(&shared.pins);
        let notifier = Arc::new(Notifier::start(&config.events)?);
        if let Some(stale) = &stale {
            notifier.notify(|| load::stale_event(stale));
        }
        let history = History::new(Arc::clone(&notifier));
        let seed = getrandom::u64().map_err(|source| vec![Error::Random(source)])?;
        let loaded = first.registry().differences(&Registry::default());
        history.record(&loaded, Cause::Start, &HashMap::new());
        let publisher = Publisher::new(first.snapshot());
        let dispatch_log = config.log.dispatch.clone().map(|dispatched| {
            let templates = Templates { dispatched, left: config.log.left.clone() };
            Arc::new(DispatchLog::new(templates, DISPATCH_LINES_MAX))
        });
        let dispatch_thread = dispatch_log.as_ref().map(DispatchLog::start).transpose();
        let dispatch_thread = dispatch_thread.map_err(thread_error("dispatch log"))?;
        let capture = Arc::new(Capture::new(placements.len()));
        let supplies = Supplies {
            shared: Arc::clone(&shared),
            sockets: Arc::clone(&sockets),
            snapshot: publisher.current(),
            stats: Arc::clone(&counters),
            traffic: Arc::clone(&traffic),
            sightings: Arc::clone(&sightings),
            capture: Arc::clone(&capture),
            stop: Arc::new(AtomicBool::new(false)),
            dispatch_log: dispatch_log.clone(),
            fault: options.fault.clone(),
            poll: config.relay.poll,
            poll_gather: config.relay.poll_gather,
        };
        let pool = Pool::start(&supplies, &placements, options.on_worker_start)
            .map_err(|e| vec![e.into()])?;
        let traces = Traces::new(capture, pool.wakers());
        let homer = config.hep.as_ref().map(|hep| traces.arm(hep::filter(hep))).transpose()?;
        let current = Current::new(first, publisher, pool.wakers());
        let (notices, heard) = Notices::new(options.service_manager.is_some());
        let inner = Arc::new(Inner {
            shared,
            sockets,
            stats: counters,
            traffic,
            counted_before: CountedBefore::default(),
            sightings,
            dispatch_log,
            current,
            flags: options.flags,
            fault: options.fault,
            resolver: Arc::new(resolver),
            reloading: Mutex::new(()),
            reloads: AtomicUsize::new(0),
            ping_active: AtomicBool::new(true),
            memory_used_max: AtomicU64::new(0),
            started: Instant::now(),
            history,
            notifier,
            past_reloads: Reloads::default(),
            health: Mutex::new(Health::new(seed)),
            traces,
            hep: Arc::new(HepCounters::new(homer)),
            is_stale: AtomicBool::new(stale.is_some()),
            notices,
        });
        let (alive, gone) = channel::bounded(0);
        let keeper = threads::spawn_keeper(Arc::clone(&inner), gone.clone())?;
        let watch = watch::spawn(Arc::clone(&inner), gone.clone())?;
        let mut control_threads = vec![("control", keeper), ("watch", watch)];
        if let Some(config) = config.hep.clone() {
            let (shared, counters) = (Arc::clone(&inner.shared), Arc::clone(&inner.hep));
            control_threads.push(("hep", hep::spawn(config, shared, counters, gone.clone())?));
        }
        names::spawn(Arc::downgrade(&inner), gone.clone())?;
        if stale.is_some() {
            retry::spawn(Arc::downgrade(&inner), gone.clone())?;
        }
        let admin = admin.open(Commands::new(Arc::clone(&inner)), runtime.handle());
        let runtime = runtime.drive().map_err(thread_error("control-io"))?;
        if let Some(manager) = &options.service_manager {
            service::spawn(manager, heard, Arc::downgrade(&inner), pool.wakers(), gone)?;
        }
        Ok(Self {
            inner,
            _pool: pool,
            _dispatch_thread: dispatch_thread,
            placements,
            spread,
            alive: Some(alive),
            control_threads,
            admin: Some(admin),
            runtime: Some(runtime),
        })
    }

    /// Returns our listeners, with the ports that the kernel assigned.
    pub fn listeners(&self) -> &Listeners {
        &self.inner.shared.listeners
    }

    /// Returns the number of workers.
    pub fn worker_count(&self) -> usize {
        self.placements.len()
    }

    /// Returns the addresses that we listen on, in the order of the listeners.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners().iter();
        listeners.map(|(_, listener)| listener.local).collect()
    }

    /// Describes listeners, workers and their cores, and destinations on one line.
    pub fn describe(&self) -> String {
        let workers = ready::workers(&self.placements, &self.spread);
        let destinations = self.describe_destinations();
        format!("{}; {workers}; {destinations}", ready::listeners(self.listeners()))
    }

    /// Returns how datagrams are spread over workers.
    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// Describes the source, and how many destinations of each set are active, on one line.
    pub fn describe_destinations(&self) -> String {
        self.inner.describe_destinations()
    }

    /// Reads configuration and destinations again, puts both in force together and logs the result.
    /// All workers use them when it returns.
    ///
    /// # Errors
    /// Everything that is wrong; then nothing changes.
    pub fn reload(&self) -> Result<Reloaded, Vec<Error>> {
        self.commands().reload(ReloadHow::default())
    }

    /// Returns the commands that operators can run.
    pub fn commands(&self) -> Commands {
        Commands::new(Arc::clone(&self.inner))
    }

    /// Returns the current counters.
    pub fn totals(&self) -> Totals {
        self.inner.totals()
    }

    /// Returns what happens at each destination.
    pub fn traffic(&self) -> &Traffic {
        &self.inner.traffic
    }

    /// Returns the oldest version of the snapshot that some worker still uses; each reload adds
    /// one.
    pub fn snapshot_version(&self) -> u64 {
        self.inner.version_in_use()
    }

    /// Stops everything and returns the final counters.
    pub fn stop(mut self) -> Totals {
        self.end_control();
        let inner = Arc::clone(&self.inner);
        drop(self);
        // So that lines that cannot be written are counted below.
        log::flush();
        inner.totals()
    }

    fn end_control(&mut self) {
        self.admin = None;
        self.runtime = None;
        self.alive = None;
        self.inner.sightings.wake();
        for (name, thread) in self.control_threads.drain(..) {
            if thread.join().is_err() {
                error!("the {name} thread panicked");
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end_control();
    }
}

impl Inner {
    fn in_force(&self) -> Arc<InForce> {
        self.current.get()
    }

    fn describe_destinations(&self) -> String {
        let in_force = self.in_force();
        let source = &in_force.config().destinations.source;
        format!("{} of {source}", ready::sets(in_force.records(), in_force.registry()))
    }

    fn fault_point(&self, work: &[u8]) {
        if let Some(fault) = &self.fault {
            fault.check(work);
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        // After a panic the watching thread starts with a new one.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> Totals {
        let mut totals: Totals = self.stats.iter().collect();
        totals.socket_drops = self.sockets.drops();
        totals.pins = self.shared.pins.counters().into();
        totals.calls = (&self.shared.calls).into();
        totals.transactions = (&self.shared.transaction_counters).into();
        let emergencies = &self.shared.emergencies;
        totals.emergencies_passed = emergencies.passed();
        totals.emergencies_over_ceiling = emergencies.over_ceiling();
        let captured = self.traces.capture().counters();
        totals.capture_armed = self.traces.capture().armed() as u64;
        totals.capture_recorded = captured.recorded.load(Ordering::Relaxed);
        totals.capture_lost = captured.lost.load(Ordering::Relaxed);
        (totals.hep_sent, totals.hep_lost) = (self.hep.sent(), self.hep.lost());
        totals.source_rates_full = self.shared.source_rates.table_full();
        totals.sightings_lost = self.sightings.lost();
        totals.draining = self.in_force().is_draining();
        totals.log_lost = self.dispatch_log.as_ref().map_or(0, |log| log.dropped());
        totals.log_lost += log::dispatch_lines_lost();
        totals.events_lost = self.notifier.lost();
        totals.watch = self.health().counters();
        totals
    }

    fn is_stale(&self) -> bool {
        // Relaxed: a caller that reads an old value reloads once more, under the lock.
        self.is_stale.load(Ordering::Relaxed)
    }

    fn version_in_use(&self) -> u64 {
        let versions = self.stats.iter().map(WorkerStats::snapshot_version);
        versions.min().unwrap_or(0)
    }

    /// Waits until every worker uses this version, which takes each of them one batch.
    fn wait_until_used(&self, version: Option<u64>) {
        let Some(version) = version else { return };
        let begin = Instant::now();
        while self.version_in_use() < version && begin.elapsed() < MOVE_ON_TIME_MAX {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
