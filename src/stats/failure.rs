//! Why the kernel refused to send a message: a closed set, each with its counter's name.

use std::io;

use nix::errno::Errno;

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SendFailure {
    /// The socket's send buffer stayed full for as long as we wait.
    WouldBlock,
    /// The machine has no memory or queue space left (`ENOBUFS`, `ENOMEM`).
    NoBuffers,
    /// Longer than the path or the protocol allows (`EMSGSIZE`).
    TooLong,
    /// A firewall or a broadcast address (`EPERM`, `EACCES`).
    NotPermitted,
    /// No route, network or host (`ENETUNREACH`, `EHOSTUNREACH`, `ENETDOWN`, `EHOSTDOWN`).
    Unreachable,
    /// An earlier message was answered with ICMP port unreachable (`ECONNREFUSED`).
    Refused,
    /// An address that nothing can be sent to from this socket (`EINVAL`, `EADDRNOTAVAIL`, `EAFNOSUPPORT`).
    BadAddress,
    /// Anything else.
    Other,
}

impl SendFailure {
    /// All members, in the order of their counters.
    pub const ALL: &'static [Self] = &[
        Self::WouldBlock,
        Self::NoBuffers,
        Self::TooLong,
        Self::NotPermitted,
        Self::Unreachable,
        Self::Refused,
        Self::BadAddress,
        Self::Other,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Returns the counter's name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::WouldBlock => "would_block",
            Self::NoBuffers => "no_buffers",
            Self::TooLong => "too_long",
            Self::NotPermitted => "not_permitted",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::BadAddress => "bad_address",
            Self::Other => "other",
        }
    }

    /// Returns the class of a system call's error.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN) => Self::WouldBlock,
            Some(Errno::ENOBUFS | Errno::ENOMEM) => Self::NoBuffers,
            Some(Errno::EMSGSIZE) => Self::TooLong,
            Some(Errno::EPERM | Errno::EACCES) => Self::NotPermitted,
            Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EHOSTDOWN) => {
                Self::Unreachable
            }
            Some(Errno::ECONNREFUSED) => Self::Refused,
            Some(Errno::EINVAL | Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => Self::BadAddress,
            _ => Self::Other,
        }
    }
}
