//! The unix stream socket of our own command line: one JSON request, one answer, then close.
//!
//! A request ends when its braces balance, or when the client closes its side.

use std::path::Path;
use std::time::Duration;

use socket2::Type;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::accept::{self, Slots};
use super::files::{self, Placed};
use super::handler::Handler;
use crate::config::Problem;
use crate::limits;
use crate::rpc::json::{self, Style};
use crate::rpc::{Frame, Framer};

/// The socket, bound but not served yet.
#[derive(Debug)]
pub(super) struct Stream {
    listener: UnixListener,
    _placed: Placed,
}

/// Binds a unix stream socket and listens on it.
pub(super) fn listen(key: &str, path: &Path) -> Result<(UnixListener, Placed), Problem> {
    let (socket, placed) = files::socket(key, path, Type::STREAM)?;
    let listener = socket.listen(BACKLOG).and_then(|()| UnixListener::from_std(socket.into()));
    match listener {
        Ok(listener) => Ok((listener, placed)),
        Err(error) => Err(files::cannot_be_made(key, path, &error)),
    }
}

impl Stream {
    pub(super) fn make(path: &Path) -> Result<Self, Problem> {
        let (listener, placed) = listen("socket", path)?;
        Ok(Self { listener, _placed: placed })
    }

    pub(super) async fn serve(self, handler: Handler) {
        let slots = Slots::new("socket");
        accept::serve(self.listener, &slots, |stream| {
            let asker = accept::asker(&stream);
            answer(stream, handler.asked_by(asker))
        })
        .await;
    }
}

/// Answers one request. A client that disconnects is not an error.
async fn answer(mut stream: UnixStream, handler: Handler) {
    let patience = Duration::from_secs(limits::REPLY_TIME_MAX_S);
    let Ok(Some(frame)) = timeout(patience, read(&mut stream)).await else { return };
    let (text, _) = handler.answer_json(json::of_frame(frame), Style::Compact).await;
    write(&mut stream, format!("{text}\n").as_bytes()).await;
}

/// Reads the request; `None` if nothing came.
async fn read(stream: &mut UnixStream) -> Option<Frame> {
    let mut framer = Framer::new(limits::STREAM_REQUEST_BYTES_MAX);
    let mut buffer = vec![0; 16_384];
    loop {
        let length = stream.read(&mut buffer).await.ok()?;
        if length == 0 {
            return framer.give_up();
        }
        framer.push(&buffer[..length]);
        if let Some(frame) = framer.next_frame() {
            return Some(frame);
        }
    }
}

/// Writes all bytes, as long as the client keeps reading. Returns whether it took all of them.
pub(super) async fn write(stream: &mut UnixStream, mut bytes: &[u8]) -> bool {
    let patience = Duration::from_secs(limits::REPLY_TIME_MAX_S);
    while !bytes.is_empty() {
        match timeout(patience, stream.write(bytes)).await {
            Ok(Ok(written)) if written > 0 => bytes = &bytes[written..],
            _ => return false,
        }
    }
    true
}

/// Length of the accept queue: as many connections as are served.
const BACKLOG: i32 = 64;

const _: () = assert!(BACKLOG as usize == limits::CONTROL_CONNECTIONS_MAX);
