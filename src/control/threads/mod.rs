//! Starts the control side's threads, among them the one that cleans up every second.

pub(super) mod names;
pub(super) mod retry;
pub(super) mod runtime;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use tracing::error;

use crate::control::{Error, Inner};
use crate::transport::monotonic_now;
use crate::worker::{catch, mark_this_thread};

/// Starts the thread that cleans up every second.
pub(in crate::control) fn spawn_keeper(
    inner: Arc<Inner>,
    gone: Receiver<()>,
) -> Result<JoinHandle<()>, Vec<Error>> {
    let tick = move || {
        inner.fault_point(b"strowger control");
        inner.shared.pins.sweep(monotonic_now());
        inner.sweep_calls(monotonic_now());
        inner.sockets.drops();
        drop(inner.current.unused_snapshots());
        inner.traces.sweep();
        if let Err(errors) = inner.end_trust(monotonic_now()) {
            for error in errors {
                error!("{error}");
            }
        }
    };
    spawn("control", move || {
        while is_alive(&gone, Duration::from_secs(1)) {
            // The hook reports a panic; the next second tries again.
            let _ = catch(&tick);
        }
    })
}

/// Starts a thread whose panics are reported as ours.
pub(in crate::control) fn spawn(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Vec<Error>> {
    let guarded = || {
        mark_this_thread();
        work();
    };
    thread::Builder::new().name(name.into()).spawn(guarded).map_err(thread_error(name))
}

/// Returns the error for a thread that the kernel refuses.
pub(in crate::control) fn thread_error(name: &'static str) -> impl FnOnce(io::Error) -> Vec<Error> {
    move |source| vec![Error::Thread { name, source }]
}

/// Waits this long; returns false as soon as the relay ends.
pub(in crate::control) fn is_alive(gone: &Receiver<()>, wait: Duration) -> bool {
    gone.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
}
