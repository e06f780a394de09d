//! Runs heavy control-side work without slowing the workers. When every core has a worker, any
//! other computation takes time away from one.

use std::panic;
use std::thread;

use crate::control::error::Error;
use crate::control::threads::thread_error;
use crate::transport::sys;
use crate::worker::mark_this_thread;

/// Runs `work` and waits for its result, on a separate thread that is scheduled only when its core
/// is otherwise idle. If all cores are busy without a pause, it takes 300 times as long: seconds for
/// 10,000 records. So neither `work` nor the caller may hold a lock meanwhile that others wait for.
///
/// The thread is created each time, which costs some 50 us. The kernel does not let a thread raise
/// its priority again, so no calling thread may lower its own.
pub(in crate::control) fn at_low_priority<T: Send>(
    work: impl FnOnce() -> T + Send,
) -> Result<T, Vec<Error>> {
    let work = || {
        mark_this_thread();
        // If the kernel refuses, do the work at normal priority.
        let _ = sys::run_when_idle();
        work()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("control-build".into());
        let thread = thread.spawn_scoped(scope, work).map_err(thread_error("control-build"))?;
        Ok(thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}
