//! How the kernel schedules a thread.

use std::io;

/// Makes the calling thread run only while its core has nothing else to do (`SCHED_IDLE`): any
/// thread that wakes up there preempts it at once.
///
/// # Errors
/// The kernel's error.
pub fn run_when_idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the kernel reads the parameters, which live until it returns, and nothing else; 0 is the
    // calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
