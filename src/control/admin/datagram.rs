//! The unix datagram socket of `kamcli` and of newer `kamcmd`: one datagram is one request, and the
//! answer goes to the address that the client bound.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::Type;
use tokio::net::UnixDatagram;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::accept::Slots;
use super::files::{self, Placed};
use super::handler::Handler;
use crate::config::Problem;
use crate::control::asker::Asker;
use crate::limits;
use crate::rpc::json::{self, Style};
use crate::rpc::{Fault, Id};
use crate::transport::sys;

/// The socket, bound but not served yet.
#[derive(Debug)]
pub(super) struct Datagram {
    socket: UnixDatagram,
    _placed: Placed,
}

impl Datagram {
    pub(super) fn make(path: &Path) -> Result<Self, Problem> {
        let (socket, placed) = files::socket("datagram", path, Type::DGRAM)?;
        // A long answer must fit one datagram. Without the privilege the kernel's limit applies.
        if sys::force_send_buffer(socket.as_fd(), limits::DATAGRAM_REPLY_BYTES).is_err() {
            let _ = socket.set_send_buffer_size(limits::DATAGRAM_REPLY_BYTES);
        }
        let socket = UnixDatagram::from_std(socket.into())
            .map_err(|error| files::cannot_be_made("datagram", path, &error))?;
        Ok(Self { socket, _placed: placed })
    }

    /// Serves requests one after the other, each for a short time at most.
    pub(super) async fn serve(self, handler: Handler) {
        let slots = Arc::new(Slots::new("datagram"));
        let replies = Arc::new(Semaphore::new(limits::REPLIES_MAX));
        let socket = Arc::new(self.socket);
        let mut buffer = vec![0; limits::DATAGRAM_REQUEST_BYTES_MAX + 1];
        loop {
            let (length, client) = match socket.recv_from(&mut buffer).await {
                Ok((length, from)) => (length, from.as_pathname().map(Path::to_owned)),
                Err(error) => {
                    slots.failed(&error).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&replies).try_acquire_owned() else {
                slots.say("a request is refused: too many answers have not been read yet");
                continue;
            };
            let bytes = buffer[..length].to_owned();
            let handler = handler.asked_by(Asker::Datagram(client.clone()));
            let (slots, socket) = (Arc::clone(&slots), Arc::clone(&socket));
            let (done, is_done) = oneshot::channel();
            tokio::spawn(async move {
                let (text, id) = answer(&bytes, &handler).await;
                // Nobody may be waiting any more, and that is fine.
                let _ = done.send(());
                match client {
                    Some(client) => {
                        if let Err(why) = send(&socket, &client, &text, id.as_ref()).await {
                            slots.say(&format!("an answer to {}: {why}", client.display()));
                        }
                    }
                    None => slots
                        .say("cannot answer a client without an address: it must bind its socket"),
                }
                drop(permit);
            });
            let _ = timeout(Duration::from_millis(limits::COMMAND_ORDER_MS), is_done).await;
        }
    }
}

async fn answer(bytes: &[u8], handler: &Handler) -> (String, Option<Id>) {
    let read = if bytes.len() > limits::DATAGRAM_REQUEST_BYTES_MAX {
        Err(Box::new(json::refuse(bytes, "it is too long")))
    } else {
        json::request(bytes)
    };
    handler.answer_json(read, Style::Compact).await
}

/// Sends an answer, or an error if it is too long.
async fn send(
    socket: &UnixDatagram,
    client: &Path,
    text: &str,
    id: Option<&Id>,
) -> Result<(), String> {
    let patience = Duration::from_secs(limits::REPLY_TIME_MAX_S);
    let sent = timeout(patience, socket.send_to(text.as_bytes(), client)).await;
    match sent {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS)) => {
            let why = format!(
                "the answer has {} bytes and does not fit a datagram: use another control socket, \
                 or ask for less",
                text.len()
            );
            let fault = Err(Fault::failed("Reply Too Big").because([why.clone()]));
            let text = json::answer(&fault, id, Style::Compact);
            let _ = timeout(patience, socket.send_to(text.as_bytes(), client)).await;
            Err(why)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the client does not read it".to_owned()),
    }
}
