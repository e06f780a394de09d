//! Loads the program into the kernel, and attaches it to a listener's sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use socket2::Socket;
use thiserror::Error;
use tracing::debug;

use super::program::{self, BUFFER_BYTES, Purpose};
use crate::owners::Owners;
use crate::transport::sys::{self, MapKind};

/// Why datagrams are not steered.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The privilege is missing, or the kernel allows it to nobody.
    #[error("the kernel does not permit it: CAP_BPF and CAP_PERFMON are needed")]
    NotPermitted,
    /// A kernel without `bpf(2)`.
    #[error("the kernel has no BPF")]
    NoBpf,
    /// The verifier rejects the program. Without `CAP_PERFMON` it also follows the processor's
    /// wrong guesses, for example that a counted loop never ends.
    #[error("the kernel's verifier, stricter without CAP_PERFMON, refuses the program: {0}")]
    NotVerified(String),
    /// Any other error of the kernel.
    #[error("{doing}: {source}")]
    Other {
        /// What was tried.
        doing: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The program requires little-endian byte order.
    #[error("not supported on big-endian processors")]
    BigEndian,
    /// No random key for the hash.
    #[error("no random numbers are available: {0}")]
    Random(#[from] getrandom::Error),
}

impl Refusal {
    fn of(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.raw_os_error() {
            Some(libc::EPERM) => Self::NotPermitted,
            Some(libc::ENOSYS) => Self::NoBpf,
            _ => Self::Other { doing, source },
        }
    }
}

/// Creates the memory that the programs of all listeners share; they take turns on each processor.
pub(super) fn buffer() -> Result<OwnedFd, Refusal> {
    sys::bpf_map(MapKind::PerCpuArray, BUFFER_BYTES, 1)
        .map_err(Refusal::of("creating a map for a datagram"))
}

/// Loads a program for a listener with these sockets, in the order of the workers.
pub(super) fn load(
    group: &[Socket],
    buffer: &OwnedFd,
    owners: &Owners,
) -> Result<OwnedFd, Refusal> {
    let sockets = sys::bpf_map(MapKind::ReusePortSockets, 4, owners.workers)
        .map_err(Refusal::of("creating a map for sockets"))?;
    for (worker, socket) in group.iter().enumerate() {
        sys::bpf_map_put_socket(sockets.as_fd(), worker as u32, socket.as_fd())
            .map_err(Refusal::of("putting a socket into a map"))?;
    }
    let program = program::assemble(Purpose {
        buffer: buffer.as_raw_fd(),
        sockets: sockets.as_raw_fd(),
        owners,
    });
    sys::bpf_load_reuseport(&program, None).map_err(|error| explain(&program, error))
}

/// Attaches the program, so that it chooses among the sockets of its listener.
pub(super) fn attach(group: &[Socket], program: &OwnedFd) -> Result<(), Refusal> {
    sys::attach_reuseport(group[0].as_fd(), program.as_fd())
        .map_err(Refusal::of("attaching the program"))
}

/// Loads the program again to get the verifier's log.
fn explain(program: &[u64], error: io::Error) -> Refusal {
    if !matches!(
        error.raw_os_error(),
        Some(libc::EACCES | libc::EINVAL | libc::E2BIG | libc::EFAULT)
    ) {
        return Refusal::of("loading the program")(error);
    }
    let mut log = vec![0; 1 << 16];
    // At this level the verifier keeps the end of a log that is too long, which has the verdict.
    let again = sys::bpf_load_reuseport(program, Some((1, &mut log)));
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    debug!("the verifier's log: {text}");
    // The last line counts instructions; the verdict is the line before.
    let is_verdict = |line: &&str| !line.is_empty() && !line.starts_with("processed ");
    match text.lines().rev().find(is_verdict) {
        Some(verdict) => Refusal::NotVerified(verdict.into()),
        None => Refusal::of("loading the program")(again.err().unwrap_or(error)),
    }
}
