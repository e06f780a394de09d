//! The thread of a relay that started without its database: reloads until one reload succeeds.

use std::sync::Weak;
use std::time::{Duration, Instant};

use crate::control::threads::{self, is_alive};
use crate::control::{Asker, Error, Inner, ReloadHow};
use crate::limits::DATABASE_RETRY_MS;
use crate::worker::catch;
use crossbeam::channel::Receiver;

/// Starts it. It ends when any reload has succeeded, or when the relay ends.
pub(in crate::control) fn spawn(inner: Weak<Inner>, gone: Receiver<()>) -> Result<(), Vec<Error>> {
    threads::spawn("source", move || {
        let mut wait_ms = *DATABASE_RETRY_MS.start();
        while is_alive(&gone, Duration::from_millis(wait_ms)) {
            if catch(|| is_read(&inner)) == Some(true) {
                return;
            }
            wait_ms = (wait_ms * 2).min(*DATABASE_RETRY_MS.end());
        }
    })
    .map(drop)
}

/// Tries once. Returns true if nothing is left to do.
fn is_read(inner: &Weak<Inner>) -> bool {
    let Some(inner) = inner.upgrade() else { return true };
    if !inner.is_stale() {
        return true;
    }
    let begin = Instant::now();
    let result = inner.reload(ReloadHow::default());
    inner.tell(&Asker::Relay, begin.elapsed(), &result);
    result.is_ok()
}
