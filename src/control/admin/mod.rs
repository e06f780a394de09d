//! The control sockets for operators and their tools: a FIFO, unix sockets, HTTP. Each turns bytes
//! into a request, has the [`Handler`] answer it, and turns the answer into bytes.
//!
//! A client can be slow, silent, hostile or gone. It ties up only a task and its memory, both
//! bounded, and never blocks a control socket or a worker.

mod accept;
mod binrpc;
mod check;
mod datagram;
mod fifo;
mod files;
mod handler;
mod http;

mod reply;
mod stream;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::warn;

pub use check::check;

use self::binrpc::Binrpc;
use self::datagram::Datagram;
use self::fifo::Fifo;
use self::handler::Handler;
use self::http::Http;
use self::stream::Stream;
use crate::config::{Config, ControlSocket, Problem, state_directory};
use crate::control::commands::Commands;

/// Control sockets that are bound but not served yet.
#[derive(Debug)]
pub(super) struct AdminSockets {
    stream: Option<Stream>,
    fifo: Option<Fifo>,
    datagram: Option<Datagram>,
    binrpc: Option<Binrpc>,
    http: Option<Http>,
}

/// Control sockets that are served. Dropping it closes them.
#[derive(Debug)]
pub(super) struct ServedSockets(Vec<AbortHandle>);

impl AdminSockets {
    /// Creates every control socket of the configuration.
    ///
    /// # Errors
    /// Each one that cannot be created; then all are removed.
    pub(super) fn make(config: &Config, handle: &Handle) -> Result<Self, Vec<Problem>> {
        let _context = handle.enter();
        let control = &config.control;
        let mut problems = Vec::new();
        let fifo = control.fifo.as_deref().map(|path| Fifo::make(path, &control.fifo_reply_dir));
        let sockets = Self {
            stream: stream(config, &mut problems),
            fifo: made(fifo, &mut problems),
            datagram: made(control.datagram.as_deref().map(Datagram::make), &mut problems),
            binrpc: made(control.binrpc.as_deref().map(Binrpc::make), &mut problems),
            http: made(control.http.map(Http::make), &mut problems),
        };
        if problems.is_empty() { Ok(sockets) } else { Err(problems) }
    }

    /// Starts to serve them.
    pub(super) fn open(self, commands: Commands, handle: &Handle) -> ServedSockets {
        let handler = Handler::new(commands);
        let mut tasks = Vec::new();
        if let Some(socket) = self.stream {
            tasks.push(handle.spawn(socket.serve(handler.clone())).abort_handle());
        }
        if let Some(socket) = self.fifo {
            tasks.push(handle.spawn(socket.serve(handler.clone())).abort_handle());
        }
        if let Some(socket) = self.datagram {
            tasks.push(handle.spawn(socket.serve(handler.clone())).abort_handle());
        }
        if let Some(socket) = self.binrpc {
            tasks.push(handle.spawn(socket.serve(handler.clone())).abort_handle());
        }
        if let Some(socket) = self.http {
            tasks.push(handle.spawn(socket.serve(handler)).abort_handle());
        }
        ServedSockets(tasks)
    }
}

impl Drop for ServedSockets {
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
                Ok(socket) => Some(socket),
                Err(problem) => {
                    warn!("{UNREACHED}: {problem}");
                    None
                }
            }
        }
    }
}

fn made<T>(socket: Option<Result<T, Problem>>, problems: &mut Vec<Problem>) -> Option<T> {
    match socket? {
        Ok(socket) => Some(socket),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

const UNREACHED: &str = "strowger list and the like cannot reach this relay";

/// The socket's name in the state directory.
const SOCKET_NAME: &str = "strowger.sock";
