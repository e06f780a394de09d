//! Work that must not hold up a worker: where every core has a worker, whatever computes on one takes
//! its time from it.

use std::panic;
use std::thread;

use super::error::Error;
use super::threads::thread_error;
use crate::limits;
use crate::transport::sys;
use crate::worker::mark_this_thread;

/// Does this, and waits for it; with many records on a thread of its own that runs only while its core
/// has nothing else to do. Where all cores are busy without a pause it then takes 300 times as long,
/// seconds for 10,000 records.
///
/// The thread is made each time, which costs some 50 us: what the kernel lets a thread give up it does
/// not give back, and none of the callers' threads may stay so.
pub(super) fn aside<T: Send>(
    records: usize,
    work: impl FnOnce() -> T + Send,
) -> Result<T, Vec<Error>> {
    if records <= limits::BUILD_AT_ONCE_MAX {
        return Ok(work());
    }
    let aside = || {
        mark_this_thread();
        // Where the kernel does not allow it, the work is done all the same.
        let _ = sys::run_when_idle();
        work()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("control-build".into());
        let thread = thread.spawn_scoped(scope, aside).map_err(thread_error("control-build"))?;
        Ok(thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}
