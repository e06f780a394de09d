//! The only code that reads the clock.

use nix::time::{ClockId, clock_gettime};

use crate::clock::Now;

/// Returns the time of the machine's monotonic clock.
///
/// # Panics
/// Never on Linux, where `CLOCK_MONOTONIC` cannot fail.
pub fn monotonic_now() -> Now {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC");
    Now::from_ms(time.tv_sec().unsigned_abs() * 1000 + time.tv_nsec().unsigned_abs() / 1_000_000)
}
