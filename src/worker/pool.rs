//! The workers' threads: starts them, pins them to cores, wakes and ends them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use core_affinity::CoreId;
use mio::Waker;
use thiserror::Error;
use tracing::{error, warn};

use super::{HandOvers, Supplies, Worker, check_memory, guard};
use crate::config::Workers;
use crate::words::with_remedy;

/// Called on each worker's own thread, with its number, right before it handles its first datagram.
pub type OnStart = fn(usize);

/// Why a worker cannot start.
#[derive(Debug, Error)]
#[error("cannot start worker {number}: {}", with_remedy(.source))]
pub struct StartError {
    number: usize,
    source: io::Error,
}

/// The core that a worker is pinned to.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// `None` if the cores are not known; then the worker is not pinned.
    pub(crate) core: Option<CoreId>,
}

impl Placement {
    /// Assigns the workers to the cores that we may use, round robin.
    pub(crate) fn assign(workers: Workers) -> Vec<Self> {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let count = match workers {
            Workers::PerCore => cores.len().max(1),
            Workers::Count(count) => count,
        };
        if !cores.is_empty() && count > cores.len() {
            warn!(
                "{count} workers share {} cores: more than one per core gains nothing",
                cores.len()
            );
        }
        let core_of = |number: usize| cores.get(number % cores.len().max(1)).copied();
        (0..count).map(|number| Self { core: core_of(number) }).collect()
    }
}

/// All workers of a relay.
#[derive(Debug)]
pub(crate) struct Pool {
    supplies: Supplies,
    wakers: Arc<[Waker]>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Creates the workers, then starts their threads.
    pub(crate) fn start(
        supplies: &Supplies,
        placements: &[Placement],
        on_start: Option<OnStart>,
    ) -> Result<Self, StartError> {
        guard::install_hook();
        let failed = |number| move |source| StartError { number, source };
        let mut workers = Vec::new();
        let mut wakers = Vec::new();
        for number in 0..placements.len() {
            let (worker, waker) = Worker::new(number, supplies.clone()).map_err(failed(number))?;
            workers.push(worker);
            wakers.push(waker);
        }
        let wakers: Arc<[Waker]> = wakers.into();
        if workers.len() > 1 {
            let last = workers.len() - 1;
            check_memory(HandOvers::memory(workers.len())).map_err(failed(last))?;
            let hand_overs = Arc::new(HandOvers::new(Arc::clone(&wakers)));
            for worker in &mut workers {
                worker.connect(Arc::clone(&hand_overs));
            }
        }
        let mut pool = Self { supplies: supplies.clone(), wakers, threads: Vec::new() };
        for ((number, worker), placement) in workers.into_iter().enumerate().zip(placements) {
            let core = placement.core;
            let thread = thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(number, worker, core, on_start))
                .map_err(failed(number))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Returns the wakers, which announce a new snapshot to the workers.
    pub(crate) fn wakers(&self) -> Arc<[Waker]> {
        Arc::clone(&self.wakers)
    }
}

impl Drop for Pool {
    /// Ends the workers and waits for them: each finishes its batch first.
    fn drop(&mut self) {
        // Relaxed: the flag publishes nothing else, and the wakers' system calls come after it.
        self.supplies.stop.store(true, Ordering::Relaxed);
        wake(&self.wakers);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a worker panicked");
            }
        }
    }
}

/// Wakes every waiting worker.
pub(crate) fn wake(wakers: &[Waker]) {
    for waker in wakers {
        if let Err(error) = waker.wake() {
            error!("cannot wake a worker: {error}");
        }
    }
}

fn work(number: usize, mut worker: Worker, core: Option<CoreId>, on_start: Option<OnStart>) {
    guard::mark_this_thread();
    if let Some(core) = core
        && !core_affinity::set_for_current(core)
    {
        warn!("worker {number} could not be pinned to core {}", core.id);
    }
    // So that a short sleep ends when it should; the default is 50 us late.
    if let Err(error) = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS) {
        warn!("worker {number} sleeps longer than it should: {error}");
    }
    worker.warm_up();
    if let Some(on_start) = on_start {
        on_start(number);
    }
    while guard::catch(|| worker.run()).is_none() {
        worker.recover();
    }
}

/// How much later than asked the kernel may end a worker's sleep, in nanoseconds.
const TIMER_SLACK_NS: u64 = 1_000;
