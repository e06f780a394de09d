//! What happens when the machine fails the relay: system calls, networks, time, the log, memory,
//! files, and the relay's own code. Calls in progress go on, what is lost is counted to the unit
//! and by cause, nothing spins, and nobody has to restart anything.

mod control;
mod log;
mod network;
mod panics;
mod start;
mod stopped;
mod syscalls;
