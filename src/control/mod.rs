//! The relay as one thing: started, reloaded, drained and stopped; and what its control threads do
//! meanwhile.

mod aside;
mod beside;
mod desk;
mod doors;
mod edit;
mod error;
mod explain;
mod finish;
mod load;
mod meant;
mod methods;
mod names;
mod plan;
mod publish;
mod ready;
mod reload;
mod remembered;
mod retry;
mod runtime;
mod state;
#[cfg(test)]
mod tests;
mod threads;
mod write_back;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Sender};
use tracing::{error, warn};

pub use beside::look_at_destinations;
pub use desk::{
    Changed, Desk, ListedAddress, ListedRecord, ListedSet, Listing, NewRecord, ReloadHow, Reloaded,
    Took, Which,
};
pub use doors::look as look_at_doors;
pub use error::Error;
pub use explain::{Candidate, Explanation, Leaving, SourceIs, state_word};
pub use plan::{Change, Plan};
pub use remembered::{MemoryUse, StillComing};

use crate::config::{Config, Flags};
use crate::destination::Resolved;
use crate::limits::DISPATCH_LINES_MAX;
use crate::log::{self, DispatchLog, DispatchThread};
use crate::proxy::{Listeners, Shared};
use crate::resolve::Resolver;
use crate::stats::{Totals, WorkerStats};
use crate::transport::{Sockets, Spread};
use crate::worker::{Fault, OnStart, Pool, Seat, Supplies};
use beside::leave_out_ourselves;
use doors::{Doors, OpenDoors};
use publish::Publisher;
use runtime::{ControlRuntime, DrivenRuntime};
use state::State;
use threads::thread_error;

/// What a relay is told besides its configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The flags that the configuration was read with: a reload reads it again with them. Without
    /// them a reload reads the destinations only.
    pub flags: Option<Flags>,
    /// A fault point, for tests.
    pub fault: Option<Fault>,
    /// Called on each worker's own thread right before its first datagram, for tests.
    pub on_worker_start: Option<OnStart>,
}

/// A running relay. Dropping it stops it at once.
#[derive(Debug)]
pub struct Relay {
    inner: Arc<Inner>,
    /// The workers end, and are waited for, when it is dropped.
    _pool: Pool,
    /// Ends after the workers, so that their last lines are written.
    _dispatch_thread: Option<DispatchThread>,
    seats: Vec<Seat>,
    spread: Spread,
    /// The control threads end when it is dropped.
    alive: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
    /// Closed before all else, so that no command comes any more.
    doors: Option<OpenDoors>,
    /// What runs on it ends first, and is not waited for.
    runtime: Option<DrivenRuntime>,
}

/// What the control threads share.
#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    sockets: Arc<Sockets>,
    stats: Arc<[WorkerStats]>,
    dispatch_log: Option<Arc<DispatchLog>>,
    state: Mutex<State>,
    flags: Option<Flags>,
    fault: Option<Fault>,
    resolver: Arc<Resolver>,
    /// Held through a whole reload, addition or removal, so that of two the later one wins.
    reloading: Mutex<()>,
    /// How many want it, the one that has it included.
    reloads: AtomicUsize,
    /// Whether an operator wants destinations to be pinged.
    ping_active: AtomicBool,
    /// The most bytes of the table of calls that were in use when somebody asked.
    memory_used_max: AtomicU64,
    started: Instant,
    /// It started without what its source holds, and has not read it since.
    is_stale: AtomicBool,
}

impl Relay {
    /// Reads the destinations, opens the sockets and starts the workers.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first; then nothing is left running.
    pub fn start(config: &Config, options: Options) -> Result<Self, Vec<Error>> {
        let seats = Seat::assign(config.relay.workers);
        let bound = Sockets::bind(
            &config.relay.listen,
            &config.relay.alias,
            seats.len(),
            config.relay.receive_buffer_bytes,
        )
        .map_err(error::all);
        let read = Resolver::alone().map_err(thread_error("resolver"));
        let read = read.and_then(|resolver| Ok((load::read(config, &resolver)?, resolver)));
        let secrets = error::both(load::keys(config), load::incarnation());
        let doors = ControlRuntime::new().map_err(thread_error("control-io"));
        let doors = doors.and_then(|runtime| {
            Ok((Doors::make(config, runtime.handle()).map_err(error::all)?, runtime))
        });
        let (((bound, read), secrets), doors) =
            error::both(error::both(error::both(bound, read), secrets), doors)?;
        let (sockets, listeners) = bound;
        let (doors, runtime) = doors;
        let (load::Started { records, warnings, stale }, resolver) = read;
        let (keys, incarnation) = secrets;
        let (records, left_out) = leave_out_ourselves(config, records, &listeners);
        for warning in warnings.into_iter().chain(left_out) {
            warn!("{warning}");
        }
        if let Some(stale) = &stale {
            load::say_stale(stale);
        } else {
            load::keep(config, &records);
        }

        let spread = sockets.steer(config.relay.steering);
        let sockets = Arc::new(sockets);
        let pins = load::pins(config, &keys).map_err(|e| vec![e])?;
        let shared = Arc::new(Shared::new(listeners, keys, pins, incarnation));
        let counters: Arc<[WorkerStats]> =
            (0..seats.len()).map(|_| WorkerStats::default()).collect();
        let (mut state, first) = State::new(config.clone(), records, &shared)?;
        let publisher = Publisher::new(first);
        let dispatch_log = config.log.dispatch.clone();
        let dispatch_log =
            dispatch_log.map(|line| Arc::new(DispatchLog::new(line, DISPATCH_LINES_MAX)));
        let dispatch_thread = dispatch_log.as_ref().map(DispatchLog::start).transpose();
        let dispatch_thread = dispatch_thread.map_err(thread_error("dispatch log"))?;
        let supplies = Supplies {
            shared: Arc::clone(&shared),
            sockets: Arc::clone(&sockets),
            snapshot: publisher.current(),
            stats: Arc::clone(&counters),
            stop: Arc::new(AtomicBool::new(false)),
            dispatch_log: dispatch_log.clone(),
            fault: options.fault.clone(),
        };
        let pool =
            Pool::start(&supplies, &seats, options.on_worker_start).map_err(|e| vec![e.into()])?;
        state.publish_with(publisher, pool.wakers());
        let inner = Arc::new(Inner {
            shared,
            sockets,
            stats: counters,
            dispatch_log,
            state: Mutex::new(state),
            flags: options.flags,
            fault: options.fault,
            resolver: Arc::new(resolver),
            reloading: Mutex::new(()),
            reloads: AtomicUsize::new(0),
            ping_active: AtomicBool::new(true),
            memory_used_max: AtomicU64::new(0),
            started: Instant::now(),
            is_stale: AtomicBool::new(stale.is_some()),
        });
        let (alive, gone) = channel::bounded(0);
        let keeper = threads::spawn_keeper(Arc::clone(&inner), gone.clone())?;
        names::spawn(Arc::downgrade(&inner), gone.clone())?;
        if stale.is_some() {
            retry::spawn(Arc::downgrade(&inner), gone)?;
        }
        let doors = doors.open(Desk::new(Arc::clone(&inner)), runtime.handle());
        let runtime = runtime.drive().map_err(thread_error("control-io"))?;
        Ok(Self {
            inner,
            _pool: pool,
            _dispatch_thread: dispatch_thread,
            seats,
            spread,
            alive: Some(alive),
            keeper: Some(keeper),
            doors: Some(doors),
            runtime: Some(runtime),
        })
    }

    /// Our listeners, with the ports that the kernel gave.
    pub fn listeners(&self) -> &Listeners {
        &self.inner.shared.listeners
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        self.seats.len()
    }

    /// The addresses that we listen on, in the order of the listeners.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners().iter();
        listeners.map(|(_, listener)| listener.local).collect()
    }

    /// For people, on one line: listeners, workers and their cores, destinations.
    pub fn describe(&self) -> String {
        let workers = ready::workers(&self.seats, &self.spread);
        let destinations = self.describe_destinations();
        format!("{}; {workers}; {destinations}", ready::listeners(self.listeners()))
    }

    /// How datagrams come to workers.
    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// For people, on one line: the source, and how many destinations of each set are active.
    pub fn describe_destinations(&self) -> String {
        self.inner.describe_destinations()
    }

    /// Reads configuration and destinations again and puts them in force as one, on all workers
    /// when it returns; tells the log what became of it.
    ///
    /// # Errors
    /// Everything that is wrong; then nothing changes.
    pub fn reload(&self) -> Result<Reloaded, Vec<Error>> {
        self.desk().reload(ReloadHow::default())
    }

    /// What operators may ask of it.
    pub fn desk(&self) -> Desk {
        Desk::new(Arc::clone(&self.inner))
    }

    /// The counters as of now.
    pub fn totals(&self) -> Totals {
        self.inner.totals()
    }

    /// The oldest version of the snapshot that some worker still uses; each reload adds one.
    pub fn snapshot_version(&self) -> u64 {
        self.inner.version_in_use()
    }

    /// Ends everything and says what was counted.
    pub fn stop(mut self) -> Totals {
        self.end_control();
        let inner = Arc::clone(&self.inner);
        drop(self);
        // So that a line that cannot be written is counted below.
        log::flush();
        inner.totals()
    }

    fn end_control(&mut self) {
        self.doors = None;
        self.runtime = None;
        self.alive = None;
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            error!("the control thread ended by a panic");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end_control();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic left behind is used on: a snapshot is published whole or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration and the records in force.
    fn in_force(&self) -> (Config, Arc<[Resolved]>) {
        let state = self.state();
        (state.config().clone(), Arc::clone(state.records()))
    }

    /// How many records are in force.
    fn count(&self) -> usize {
        self.state().records().len()
    }

    fn describe_destinations(&self) -> String {
        let state = self.state();
        let source = &state.config().destinations.source;
        format!("{} of {source}", ready::sets(state.records(), state.registry()))
    }

    fn strike(&self, work: &[u8]) {
        if let Some(fault) = &self.fault {
            fault.strike(work);
        }
    }

    fn totals(&self) -> Totals {
        let mut totals: Totals = self.stats.iter().collect();
        totals.socket_drops = self.sockets.drops();
        totals.pins = self.shared.pins.counters().into();
        totals.draining = self.state().is_draining();
        totals.log_lost = self.dispatch_log.as_ref().map_or(0, |log| log.dropped());
        totals.log_lost += log::dispatch_lines_lost();
        totals
    }

    fn is_stale(&self) -> bool {
        // Relaxed: whoever asks in between reloads once more, behind the lock.
        self.is_stale.load(Ordering::Relaxed)
    }

    fn version_in_use(&self) -> u64 {
        let versions = self.stats.iter().map(WorkerStats::snapshot_version);
        versions.min().unwrap_or(0)
    }

    /// Waits until every worker uses this version, which takes each of them one batch.
    fn wait_until_used(&self, version: u64) {
        let begin = Instant::now();
        while self.version_in_use() < version && begin.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
