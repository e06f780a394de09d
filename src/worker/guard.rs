//! A panic while one datagram is handled loses that datagram only, and is said at most once a
//! second.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use tracing::error;

use crate::log::Limited;
use crate::transport::monotonic_now;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` when it panicked.
///
/// The caller throws away what a half-done `work` may have left: the outbox, the messages it
/// queued and the worker's core. What workers share consists of atomics, which are whole at any
/// moment.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Makes panics of this thread be said at most once a second.
pub(crate) fn mark_this_thread() {
    IS_WORKER.set(true);
}

/// Puts our hook before the one that is there; other threads keep that one.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_WORKER.get() {
                say(info);
            } else {
                previous(info);
            }
        }));
    });
}

fn say(info: &PanicHookInfo<'_>) {
    static SAID: Limited = Limited::new();
    if let Some(more) = SAID.allow(monotonic_now()) {
        let place = info.location().map_or_else(String::new, |place| format!(" at {place}"));
        let what = info.payload_as_str().unwrap_or("no message");
        error!("a bug, please report it: a worker panicked{place}: {what}; it goes on{more}");
    }
}
