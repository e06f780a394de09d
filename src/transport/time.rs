//! The only code that reads the clock.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::clock::Now;

/// Returns the time of the machine's monotonic clock, in whole milliseconds.
pub fn monotonic_now() -> Now {
    Now::from_ms(monotonic().as_millis() as u64)
}

/// Returns the same as exactly as the clock has it.
///
/// # Panics
/// Never on Linux, where `CLOCK_MONOTONIC` cannot fail.
pub(crate) fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC");
    Duration::new(time.tv_sec().unsigned_abs(), time.tv_nsec().unsigned_abs() as u32)
}
