//! The service manager that started this process, systemd for one: it hears when the relay is ready,
//! reloads and ends, and its watchdog is fed with the workers' progress.
//!
//! There is no feed by the clock alone: as long as one worker does not get round its loop, the
//! watchdog is not fed, and the service manager restarts the relay.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Receiver, Sender};
use crossbeam::select;
use mio::Waker;
use sd_notify::NotifyState;
use tracing::{error, warn};

use super::{Error, Inner, threads};
use crate::limits::{NOTICES_MAX, STATUS_INTERVAL, WATCHDOG_LOOKS};
use crate::log::Limited;
use crate::stats::WorkerStats;
use crate::transport::monotonic_now;
use crate::worker::{catch, wake};

/// The service manager that waits for our notifications.
#[derive(Clone, Debug)]
pub struct ServiceManager {
    /// The time without a feed after which it restarts us.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// Returns the service manager that `NOTIFY_SOCKET` names, if that is set.
    pub fn from_environment() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        Some(Self { watchdog: sd_notify::watchdog_enabled() })
    }
}

/// Where the control threads leave what the service manager should hear; they never wait for it.
#[derive(Debug, Default)]
pub(super) struct Notices(Option<Sender<Notice>>);

#[derive(Debug)]
enum Notice {
    Reloading,
    Reloaded,
    Stopping(String),
}

impl Notices {
    /// Creates the way to the service manager, if there is one, and the end that its thread reads.
    pub(super) fn new(is_heard: bool) -> (Self, Heard) {
        let (sender, heard) = channel::bounded(NOTICES_MAX);
        (Self(is_heard.then_some(sender)), Heard(heard))
    }

    /// Says that a reload has begun.
    pub(super) fn reloading(&self) {
        self.leave(Notice::Reloading);
    }

    /// Says that a reload has ended.
    pub(super) fn reloaded(&self) {
        self.leave(Notice::Reloaded);
    }

    /// Says that the relay ends, and what it waits for.
    pub(super) fn stopping(&self, status: String) {
        self.leave(Notice::Stopping(status));
    }

    fn leave(&self, notice: Notice) {
        if let Some(sender) = &self.0 {
            // It is full only if the service manager reads nothing.
            let _ = sender.try_send(notice);
        }
    }
}

/// What [`Notices`] leaves.
#[derive(Debug)]
pub(super) struct Heard(Receiver<Notice>);

/// Starts the thread that says that the relay is ready, passes the notices on, feeds the watchdog
/// and keeps the status. Nobody waits for its end, since the service manager may not be reading.
pub(super) fn spawn(
    manager: &ServiceManager,
    heard: Heard,
    inner: Weak<Inner>,
    wakers: Arc<[Waker]>,
    gone: Receiver<()>,
) -> Result<(), Vec<Error>> {
    let wakers = manager.watchdog.is_some().then_some(wakers);
    let interval = match manager.watchdog {
        Some(watchdog) => STATUS_INTERVAL.min(watchdog / WATCHDOG_LOOKS),
        None => STATUS_INTERVAL,
    };
    threads::spawn("service", move || {
        let mut service = Service::default();
        service.ready(&inner);
        let mut next_look = Instant::now() + interval;
        loop {
            select! {
                recv(gone) -> _ => break,
                recv(heard.0) -> notice => match notice {
                    Ok(Notice::Reloading) => notify(&[NotifyState::Reloading]),
                    Ok(Notice::Reloaded) => service.ready(&inner),
                    Ok(Notice::Stopping(status)) => {
                        notify(&[NotifyState::Stopping, NotifyState::Status(&status)]);
                    }
                    Err(_) => break,
                },
                default(next_look.saturating_duration_since(Instant::now())) => {
                    // The hook reports a panic; the next look tries again.
                    let _ = catch(|| service.look(&inner, wakers.as_deref()));
                    next_look = Instant::now() + interval;
                }
            }
        }
    })?;
    Ok(())
}

/// What the thread keeps.
#[derive(Debug, Default)]
struct Service {
    /// What the service manager was told last of the destinations.
    status: String,
    progress: Progress,
}

impl Service {
    fn ready(&mut self, inner: &Weak<Inner>) {
        let Some(inner) = inner.upgrade() else { return };
        self.status = inner.describe_destinations();
        notify(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// With `wakers` there is a watchdog.
    fn look(&mut self, inner: &Weak<Inner>, wakers: Option<&[Waker]>) {
        let Some(inner) = inner.upgrade() else { return };
        if let Some(wakers) = wakers {
            self.feed(&inner.stats);
            // Idle workers go round too, so that the next look sees that they can.
            wake(wakers);
        }
        let status = inner.describe_destinations();
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// Feeds the watchdog if every worker has gone round since the last feed.
    fn feed(&mut self, stats: &[WorkerStats]) {
        static STUCK: Limited = Limited::new();
        match self.progress.of(stats.iter().map(WorkerStats::rounds)) {
            Ok(()) => notify(&[NotifyState::Watchdog]),
            Err(worker) => {
                if let Some(more) = STUCK.allow(monotonic_now()) {
                    error!("worker {worker} is stuck: the watchdog is not fed{more}");
                }
            }
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    static FAILED: Limited = Limited::new();
    if let Err(error) = sd_notify::notify(states)
        && let Some(more) = FAILED.allow(monotonic_now())
    {
        warn!("cannot notify the service manager (NOTIFY_SOCKET): {error}{more}");
    }
}

/// How often each worker had gone round its loop at the last feed; `None` before the first look.
#[derive(Debug, Default)]
struct Progress {
    fed: Option<Box<[u64]>>,
}

impl Progress {
    /// Takes these as the new numbers if all of them have changed; otherwise returns the first worker
    /// whose number has not. The first numbers are taken as they are: nobody was woken before.
    fn of(&mut self, rounds: impl Iterator<Item = u64>) -> Result<(), usize> {
        let rounds: Box<[u64]> = rounds.collect();
        let fed = self.fed.iter().flatten();
        if let Some(stuck) = fed.zip(&rounds).position(|(fed, now)| fed == now) {
            return Err(stuck);
        }
        self.fed = Some(rounds);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_takes_progress_of_every_worker_since_the_last_feed() {
        let mut progress = Progress::default();
        let mut looks = |rounds: [u64; 2]| progress.of(rounds.into_iter());
        assert_eq!(looks([1, 6]), Ok(()), "nobody was woken before");
        assert_eq!(looks([1, 7]), Err(0));
        assert_eq!(looks([2, 6]), Err(1), "what it did before the last feed does not count");
        assert_eq!(looks([2, 8]), Ok(()), "one look without a feed is no harm");
        assert_eq!(looks([3, 8]), Err(1));
    }
}
