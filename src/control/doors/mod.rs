//! The control sockets for operators and their tools: a FIFO, unix sockets, HTTP. Each turns bytes
//! into a request, has the [`Clerk`] answer it, and turns the answer into bytes.
//!
//! A client can be slow, silent, hostile or gone. It ties up only a task and its memory, both
//! bounded, and never blocks a control socket or a worker.

mod accept;
mod binrpc;
mod clerk;
mod datagram;
mod fifo;
mod files;
mod http;
mod look;
mod reply;
mod stream;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::warn;

pub use look::look;

use self::binrpc::Binrpc;
use self::clerk::Clerk;
use self::datagram::Datagram;
use self::fifo::Fifo;
use self::http::Http;
use self::stream::Stream;
use super::desk::Desk;
use crate::config::{Config, ControlSocket, Problem, state_directory};

/// Control sockets that are bound but not served yet.
#[derive(Debug)]
pub(super) struct Doors {
    stream: Option<Stream>,
    fifo: Option<Fifo>,
    datagram: Option<Datagram>,
    binrpc: Option<Binrpc>,
    http: Option<Http>,
}

/// Control sockets that are served. Dropping it closes them.
#[derive(Debug)]
pub(super) struct OpenDoors(Vec<AbortHandle>);

impl Doors {
    /// Creates every control socket of the configuration.
    ///
    /// # Errors
    /// Each one that cannot be created; then all are removed.
    pub(super) fn make(config: &Config, handle: &Handle) -> Result<Self, Vec<Problem>> {
        let _context = handle.enter();
        let control = &config.control;
        let mut problems = Vec::new();
        let fifo = control.fifo.as_deref().map(|path| Fifo::make(path, &control.fifo_reply_dir));
        let doors = Self {
            stream: stream(config, &mut problems),
            fifo: made(fifo, &mut problems),
            datagram: made(control.datagram.as_deref().map(Datagram::make), &mut problems),
            binrpc: made(control.binrpc.as_deref().map(Binrpc::make), &mut problems),
            http: made(control.http.map(Http::make), &mut problems),
        };
        if problems.is_empty() { Ok(doors) } else { Err(problems) }
    }

    /// Starts to serve them.
    pub(super) fn open(self, desk: Desk, handle: &Handle) -> OpenDoors {
        let clerk = Clerk::new(desk);
        let mut tasks = Vec::new();
        if let Some(door) = self.stream {
            tasks.push(handle.spawn(door.serve(clerk.clone())).abort_handle());
        }
        if let Some(door) = self.fifo {
            tasks.push(handle.spawn(door.serve(clerk.clone())).abort_handle());
        }
        if let Some(door) = self.datagram {
            tasks.push(handle.spawn(door.serve(clerk.clone())).abort_handle());
        }
        if let Some(door) = self.binrpc {
            tasks.push(handle.spawn(door.serve(clerk.clone())).abort_handle());
        }
        if let Some(door) = self.http {
            tasks.push(handle.spawn(door.serve(clerk)).abort_handle());
        }
        OpenDoors(tasks)
    }
}

impl Drop for OpenDoors {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Creates the socket of our own command line. Its default path is not the operator's choice, so if
/// it cannot be created there, the relay runs without it.
fn stream(config: &Config, problems: &mut Vec<Problem>) -> Option<Stream> {
    match &config.control.socket {
        ControlSocket::Off => None,
        ControlSocket::At(path) => made(Some(Stream::make(path)), problems),
        ControlSocket::InStateDirectory => {
            let Some(directory) = state_directory(&config.relay) else {
                warn!("{UNREACHED}: no state directory can be written to: set relay.state_dir");
                return None;
            };
            match Stream::make(&directory.join(SOCKET_NAME)) {
                Ok(door) => Some(door),
                Err(problem) => {
                    warn!("{UNREACHED}: {problem}");
                    None
                }
            }
        }
    }
}

fn made<T>(door: Option<Result<T, Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    match door? {
        Ok(door) => Some(door),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

const UNREACHED: &str = "strowger list and the like cannot reach this relay";

/// The socket's name in the state directory.
const SOCKET_NAME: &str = "strowger.sock";
