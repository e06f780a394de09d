//! Answers the requests of every control socket: runs the command on a thread that may block, and
//! returns its answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use crate::control::commands::Commands;
use crate::control::methods;
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

    /// Runs a command. If it takes too long, the client gets an error and the command continues.
    pub(super) async fn answer(&self, request: Request) -> Answer {
        let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() else {
            say_busy();
            let why = format!("{} commands are running: ask again later", limits::COMMANDS_MAX);
            return Err(Fault::failed("Too Many Commands").because([why]));
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

fn say_busy() {
    static SAID: Limited = Limited::new();
    if let Some(more) = SAID.allow(monotonic_now()) {
        warn!("control: a command is refused: {} are running already{more}", limits::COMMANDS_MAX);
    }
}
