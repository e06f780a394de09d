//! The FIFO of `kamctl`: many clients write their JSON into one pipe, and each names another pipe
//! for its answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::files::{self, Placed};
use super::handler::Handler;
use super::reply;
use crate::config::Problem;
use crate::control::asker::Asker;
use crate::limits;
use crate::log::Limited;
use crate::rpc::json::{self, Style};
use crate::rpc::{Answer, Frame, Framer, Id};
use crate::transport::monotonic_now;

/// The FIFO, open but not served yet.
#[derive(Debug)]
pub(super) struct Fifo {
    pipe: Receiver,
    reply_directory: PathBuf,
    _placed: Placed,
}

impl Fifo {
    pub(super) fn make(path: &Path, reply_directory: &Path) -> Result<Self, Problem> {
        let (file, placed) = files::fifo("fifo", path)?;
        let pipe = Receiver::from_file(file).map_err(|error| {
            let what = format!("{} cannot be read ({error})", path.display());
            Problem::of(&files::name("fifo"), what, files::RIGHT)
        })?;
        Ok(Self { pipe, reply_directory: reply_directory.to_owned(), _placed: placed })
    }

    /// Reads and answers requests until its task is aborted.
    pub(super) async fn serve(mut self, handler: Handler) {
        let handler = handler.asked_by(Asker::Fifo);
        let replies = Arc::new(Semaphore::new(limits::REPLIES_MAX));
        let mut framer = Framer::new(limits::FIFO_REQUEST_BYTES_MAX);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let half = Duration::from_secs(limits::HALF_REQUEST_S);
            let patience = if framer.is_within() { half } else { Duration::MAX };
            match timeout(patience, self.pipe.read(&mut buffer)).await {
                Ok(Ok(length)) if length > 0 => framer.push(&buffer[..length]),
                // The FIFO cannot reach its end: we hold the write side open ourselves.
                Ok(result) => {
                    say("the FIFO cannot be read", &format!("{result:?}"));
                    sleep(half).await;
                }
                Err(_) => {
                    if let Some(frame) = framer.give_up() {
                        self.handle(frame, &handler, &replies).await;
                    }
                }
            }
            while let Some(frame) = framer.next_frame() {
                self.handle(frame, &handler, &replies).await;
            }
        }
    }

    /// Runs a request. The next one waits for it, but only for a short time.
    async fn handle(&self, frame: Frame, handler: &Handler, replies: &Arc<Semaphore>) {
        let (request, id, reply_name) = match json::of_frame(frame) {
            Ok(mut request) => {
                let (id, reply_name) = (request.id.take(), request.reply_name.take());
                (Ok(request), id, reply_name)
            }
            Err(refused) => (Err(refused.fault), refused.id, refused.reply_name),
        };
        let path = reply_name.map(|name| reply::path(&self.reply_directory, &name)).transpose();
        let path = match path {
            Ok(path) => path,
            Err(why) => return say("a request on the FIFO is refused", &why),
        };
        let Ok(permit) = Arc::clone(replies).try_acquire_owned() else {
            let why = format!("{} answers have not been read yet", limits::REPLIES_MAX);
            return say("a request on the FIFO is refused", &why);
        };
        let (done, is_done) = oneshot::channel();
        let handler = handler.clone();
        tokio::spawn(async move {
            let answer = match request {
                Ok(request) => handler.answer(request).await,
                Err(fault) => Err(fault),
            };
            // Nobody may be waiting any more, and that is fine.
            let _ = done.send(());
            deliver(&answer, id.as_ref(), path.as_deref()).await;
            drop(permit);
        });
        let _ = timeout(Duration::from_millis(limits::COMMAND_ORDER_MS), is_done).await;
    }
}

async fn deliver(answer: &Answer, id: Option<&Id>, path: Option<&Path>) {
    match (path, answer) {
        (Some(path), _) => {
            let text = json::answer(answer, id, Style::Pretty);
            if let Err(why) = reply::write(path, text.as_bytes()).await {
                say("an answer could not be delivered", &why);
            }
        }
        // The client named no reply pipe, so only the log can report the failure.
        (None, Err(fault)) => say("a request on the FIFO failed", &fault.line()),
        (None, Ok(_)) => {}
    }
}

/// Logs at most one line a second: any client that may write to the FIFO may write garbage.
fn say(what: &str, why: &str) {
    static SAID: Limited = Limited::new();
    if let Some(more) = SAID.allow(monotonic_now()) {
        warn!("control: {what}: {why}{more}");
    }
}

/// Bytes per read: the capacity of a pipe.
const READ_BYTES: usize = 65_536;
