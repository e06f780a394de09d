//! Failures of the machine: system calls, networks, time, the log, memory, files, and the relay's
//! own code. Calls in progress continue, losses are counted exactly and by cause, nothing spins,
//! and nothing has to be restarted.

mod control;
mod log;
mod network;
mod panics;
mod start;
mod stopped;
mod syscalls;
