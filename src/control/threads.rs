//! The control side's threads: how they begin, and the one that tidies up.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::{Error, Inner};
use crate::transport::monotonic_now;
use crate::worker::{catch, mark_this_thread};

/// The thread that tidies up every second.
pub(super) fn spawn_keeper(
    inner: Arc<Inner>,
    gone: Receiver<()>,
) -> Result<JoinHandle<()>, Vec<Error>> {
    let tick = move || {
        inner.strike(b"strowger control");
        inner.shared.pins.sweep(monotonic_now());
        inner.sockets.drops();
        inner.state().free_old_snapshots();
    };
    spawn("control", move || {
        while is_alive(&gone, Duration::from_secs(1)) {
            // A panic is said by the hook; the next second is a new chance.
            let _ = catch(&tick);
        }
    })
}

/// Starts a thread whose panics are told as ours.
pub(super) fn spawn(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Vec<Error>> {
    let guarded = || {
        mark_this_thread();
        work();
    };
    thread::Builder::new().name(name.into()).spawn(guarded).map_err(thread_error(name))
}

/// What the kernel says about a thread that it does not give.
pub(super) fn thread_error(name: &'static str) -> impl FnOnce(io::Error) -> Vec<Error> {
    move |source| vec![Error::Thread { name, source }]
}

/// Waits this long; false as soon as the relay ends.
pub(super) fn is_alive(gone: &Receiver<()>, wait: Duration) -> bool {
    gone.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
}
