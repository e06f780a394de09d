//! Answers the requests of every control socket: runs the command on a thread that may block, and
//! returns its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use crate::control::asker::Asker;
use crate::control::commands::Commands;
use crate::control::methods;
use crate::control::metrics::{self, Asked};
use crate::limits;
use crate::log::Limited;
use crate::rpc::json::{self, Refused, Style};
use crate::rpc::{Answer, Fault, Id, Request};
use crate::transport::monotonic_now;
use crate::worker::catch_here;

/// Answers requests, a bounded number at the same time.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    commands: Commands,
    running: Arc<Semaphore>,
}

impl Handler {
    pub(super) fn new(commands: Commands) -> Self {
        Self { commands, running: Arc::new(Semaphore::new(limits::COMMANDS_MAX)) }
    }

    /// Returns the same for whoever asks here.
    pub(super) fn asked_by(&self, asker: Asker) -> Self {
        Self { commands: self.commands.asked_by(asker), running: Arc::clone(&self.running) }
    }

    /// Returns what it runs.
    pub(super) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Runs a command. If it takes too long, the client gets an error and the command continues.
    pub(super) async fn answer(&self, request: Request) -> Answer {
        let Some(permit) = self.permit() else {
            return Err(Fault::failed("Too Many Commands").because([busy()]));
        };
        let commands = self.commands.clone();
        let command = spawn_blocking(move || {
            let _permit = permit;
            catch_here(|| methods::run(&commands, &request))
        });
        match timeout(Duration::from_secs(limits::COMMAND_TIME_MAX_S), command).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None) | Err(_)) => {
                let why = "a bug, please report it: the command panicked".to_owned();
                Err(Fault::failed("Internal Error").because([why]))
            }
            Err(_) => {
                let why = "the command takes too long; it continues, see the log".to_owned();
                Err(Fault::failed("Timeout").because([why]))
            }
        }
    }

    /// Writes the metrics to whoever takes the pieces; `None` if too many commands are running.
    pub(super) fn metrics(&self, asked: Asked) -> Option<Receiver<Bytes>> {
        let permit = self.permit()?;
        let (sender, pieces) = mpsc::channel(PIECES);
        let commands = self.commands.clone();
        spawn_blocking(move || {
            let _permit = permit;
            catch_here(|| {
                let mut pieces = Pieces { piece: String::with_capacity(PIECE_BYTES), sender };
                // It fails if the client has gone.
                let _ = metrics::write(&commands, asked, &mut pieces).and_then(|()| pieces.flush());
            })
        });
        Some(pieces)
    }

    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.running).try_acquire_owned().ok();
        if permit.is_none() {
            say_busy();
        }
        permit
    }

    /// Returns the JSON text that answers a request or reports why it could not be read, and the id
    /// of the request.
    pub(super) async fn answer_json(
        &self,
        read: Result<Request, Box<Refused>>,
        style: Style,
    ) -> (String, Option<Id>) {
        let (answer, id) = match read {
            Ok(mut request) => {
                let id = request.id.take();
                (self.answer(request).await, id)
            }
            Err(refused) => (Err(refused.fault), refused.id),
        };
        (json::answer(&answer, id.as_ref(), style), id)
    }
}

/// Collects text into pieces that are worth a write.
struct Pieces {
    piece: String,
    sender: Sender<Bytes>,
}

impl Pieces {
    fn flush(&mut self) -> fmt::Result {
        let piece = std::mem::replace(&mut self.piece, String::with_capacity(PIECE_BYTES));
        // Waits while the client is slow, until its connection is closed for that.
        self.sender.blocking_send(piece.into()).map_err(|_| fmt::Error)
    }
}

impl fmt::Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.piece.push_str(text);
        if self.piece.len() < PIECE_BYTES { Ok(()) } else { self.flush() }
    }
}

/// Returns why a command is not run.
pub(super) fn busy() -> String {
    format!("{} commands are running: ask again later", limits::COMMANDS_MAX)
}

/// Bytes of a piece, and pieces that wait for a client.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 4;

fn say_busy() {
    static SAID: Limited = Limited::new();
    if let Some(more) = SAID.allow(monotonic_now()) {
        warn!("control: a command is refused: {} are running already{more}", limits::COMMANDS_MAX);
    }
}
