//! Limits the damage of a panic: one while a datagram is handled loses only that datagram, one on a
//! control thread only its current run. The log reports panics at most once a second.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use tracing::error;

use crate::log::Limited;
use crate::transport::monotonic_now;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; returns `None` if it panicked.
///
/// The caller discards what a half-done `work` may have left: the outbox, the messages it queued
/// and the worker's core. Workers share only atomics, which are valid at any moment.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Like [`catch`], on a thread that may not be ours.
pub(crate) fn catch_here<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = IS_GUARDED.replace(true);
    let done = catch(work);
    IS_GUARDED.set(before);
    done
}

/// Makes the log report panics of this thread, at most one a second. The standard hook would write
/// to standard error, which may block.
pub(crate) fn mark_this_thread() {
    IS_GUARDED.set(true);
}

/// Installs our panic hook in front of the existing one; other threads keep using the latter.
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
        error!("a bug, please report it: {name} panicked{place}: {what}; it continues{more}");
    }
}
