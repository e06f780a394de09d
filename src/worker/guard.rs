//! A panic while one datagram is handled loses that datagram only, one on a control thread that
//! thread's work of a second, and it is said at most once a second, in the log.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use tracing::error;

use crate::log::Limited;
use crate::transport::monotonic_now;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; `None` when it panicked.
///
/// The caller throws away what a half-done `work` may have left: the outbox, the messages it
/// queued and the worker's core. What workers share consists of atomics, which are whole at any
/// moment.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// As [`catch`], on a thread that may not be ours.
pub(crate) fn catch_here<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = IS_GUARDED.replace(true);
    let done = catch(work);
    IS_GUARDED.set(before);
    done
}

/// Makes panics of this thread be said at most once a second, in the log: the standard hook would
/// wait for standard error, which may be stuck.
pub(crate) fn mark_this_thread() {
    IS_GUARDED.set(true);
}

/// Puts our hook before the one that is there; other threads keep that one.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_GUARDED.get() {
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
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("a thread");
        error!("a bug, please report it: {name} panicked{place}: {what}; it goes on{more}");
    }
}
