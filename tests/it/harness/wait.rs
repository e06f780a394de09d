//! Waits for a condition, with a time limit.

use std::thread;
use std::time::{Duration, Instant};

/// The longest time that any test waits for one thing. Far more than is needed: it only ends what
/// would hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Returns what `probe` finds, or fails when it finds nothing for [`PATIENCE`].
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
