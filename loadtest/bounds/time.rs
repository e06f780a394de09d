//! Measures the processor time that the core takes for a message.

use std::net::SocketAddr;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use strowger::proxy::Verdict;

use crate::cases::Core;

/// The time for each of these messages, all from one sender, and what became of the last: the best
/// of several rounds, since what disturbs a round only makes it longer. The messages take turns, so
/// that a busy second of the machine meets all of them.
pub(crate) fn of<const N: usize>(
    core: &mut Core,
    from: SocketAddr,
    messages: &[Vec<u8>; N],
    rounds: u32,
) -> ([f64; N], Verdict) {
    let mut verdict = core.datagram(from, &messages[0]);
    let counts: [u32; N] = std::array::from_fn(|i| {
        core.datagram(from, &messages[i]);
        let begin = processor_time();
        core.datagram(from, &messages[i]);
        let once = processor_time().saturating_sub(begin).max(Duration::from_nanos(200));
        (ROUND.as_nanos() / once.as_nanos()).clamp(1, 10_000) as u32
    });
    let mut best = [Duration::MAX; N];
    for _ in 0..rounds {
        for (i, message) in messages.iter().enumerate() {
            let begin = processor_time();
            for _ in 0..counts[i] {
                verdict = std::hint::black_box(core.datagram(from, message));
            }
            best[i] = best[i].min(processor_time().saturating_sub(begin) / counts[i]);
        }
    }
    (best.map(|time| time.as_secs_f64() * 1e9), verdict)
}

/// This thread's time on a processor, so that other processes of a busy machine are not counted.
fn processor_time() -> Duration {
    Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock"))
}

/// Short enough to fall between two other processes now and then.
const ROUND: Duration = Duration::from_micros(500);
