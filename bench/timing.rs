//! The time of batches on a processor.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::cases::BATCH;

/// Times `work` on this many messages, batch by batch, and leaves the preparing out.
pub(crate) fn in_batches(
    messages: u64,
    mut prepare: impl FnMut(usize),
    mut work: impl FnMut(usize),
) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = messages as usize;
    while left > 0 {
        let count = left.min(BATCH);
        prepare(count);
        spent += timed(|| work(count));
        left -= count;
    }
    spent
}

/// Returns how long `work` was on a processor.
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let begin = processor_time();
    work();
    processor_time().saturating_sub(begin)
}

/// This thread's time on a processor, so that other processes of a busy machine are not counted;
/// asking twice for each batch adds some 5 ns to a message.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    Duration::from(time)
}
