//! Who asks for a command, as the log names them.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use nix::unistd::{Uid, User};

/// Who asks for a command.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Asker {
    /// The program that the relay is part of.
    #[default]
    Program,
    /// The relay, as long as it has not read its source.
    Relay,
    /// A signal with this name.
    Signal(&'static str),
    /// A process at a unix socket: the kernel says who it is (`SO_PEERCRED`).
    Process {
        /// Its user.
        uid: u32,
        /// Its number; `None` if the kernel does not tell.
        pid: Option<i32>,
    },
    /// Whoever reads the answers at this path.
    Datagram(Option<PathBuf>),
    /// Whoever may write to the FIFO.
    Fifo,
    /// Whoever may connect over HTTP, from this address.
    Http(SocketAddr),
}

impl Asker {
    /// Returns the fields that a log line has of it.
    pub(crate) fn named(&self) -> Named {
        let (uid, pid) = match self {
            Self::Process { uid, pid } => (Some(*uid), *pid),
            _ => (None, None),
        };
        Named { by: self.to_string(), uid, pid }
    }
}

/// Who asked, as the fields of a log line.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Named {
    pub(crate) by: String,
    /// Its user, where the kernel tells.
    pub(crate) uid: Option<u32>,
    /// The number of its process, where the kernel tells.
    pub(crate) pid: Option<i32>,
}

/// What was done by: `a command of alice (pid 4711)`. Looks the name of the user up, so it may block.
impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("a command"),
            Self::Relay => f.write_str("the relay itself"),
            Self::Signal(name) => f.write_str(name),
            Self::Process { uid, pid } => {
                match User::from_uid(Uid::from_raw(*uid)) {
                    Ok(Some(user)) => write!(f, "a command of {}", user.name)?,
                    _ => write!(f, "a command of user {uid}")?,
                }
                pid.map_or(Ok(()), |pid| write!(f, " (pid {pid})"))
            }
            Self::Datagram(Some(path)) => write!(f, "a command answered at {}", path.display()),
            Self::Datagram(None) => f.write_str("a command at the datagram socket"),
            Self::Fifo => f.write_str("a command at the FIFO"),
            Self::Http(from) => write!(f, "a command over HTTP from {from}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_log_names_them() {
        let root = Asker::Process { uid: 0, pid: Some(4711) };
        let unknown = Asker::Process { uid: 3_999_999_999, pid: None };
        let fields = |asker: &Asker| (asker.named().uid, asker.named().pid);
        assert_eq!(fields(&root), (Some(0), Some(4711)));
        assert_eq!(fields(&Asker::Fifo), (None, None));
        for (asker, wants) in [
            (Asker::Program, "a command"),
            (Asker::Relay, "the relay itself"),
            (Asker::Signal("SIGHUP"), "SIGHUP"),
            (root, "a command of root (pid 4711)"),
            (unknown, "a command of user 3999999999"),
            (Asker::Datagram(Some("/run/k.1".into())), "a command answered at /run/k.1"),
            (Asker::Datagram(None), "a command at the datagram socket"),
            (Asker::Fifo, "a command at the FIFO"),
            (Asker::Http(([127, 0, 0, 1], 4000).into()), "a command over HTTP from 127.0.0.1:4000"),
        ] {
            assert_eq!(asker.named().by, wants);
        }
    }
}
