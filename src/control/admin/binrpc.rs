//! The unix stream socket of `kamcmd`: BINRPC, any number of requests one after the other.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::accept::{self, Slots};
use super::files::Placed;
use super::handler::Handler;
use super::stream;
use crate::config::Problem;
use crate::limits;
use crate::rpc::binrpc::{self, Broken, Packet, PacketType};
use crate::rpc::{Answer, Fault, Params, Request, Value};

/// The socket, bound but not served yet.
#[derive(Debug)]
pub(super) struct Binrpc {
    listener: UnixListener,
    _placed: Placed,
}

impl Binrpc {
    pub(super) fn make(path: &Path) -> Result<Self, Problem> {
        let (listener, placed) = stream::listen("binrpc", path)?;
        Ok(Self { listener, _placed: placed })
    }

    pub(super) async fn serve(self, handler: Handler) {
        let slots = Slots::new("binrpc");
        accept::serve(self.listener, &slots, |stream| {
            let asker = accept::asker(&stream);
            converse(stream, handler.asked_by(asker))
        })
        .await;
    }
}

/// Serves requests until the client closes, is silent for too long, or sends something that leaves
/// the rest of the stream unreadable.
async fn converse(mut stream: UnixStream, handler: Handler) {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 4_096];
    loop {
        let (answer, cookie, goes_on) = match binrpc::decode(&bytes) {
            Ok(Some((packet, length))) => {
                bytes.drain(..length);
                let cookie = packet.cookie;
                (answer(packet, &handler).await, cookie, true)
            }
            Ok(None) => {
                let seconds =
                    if bytes.is_empty() { limits::CONTROL_IDLE_S } else { limits::HALF_REQUEST_S };
                let patience = Duration::from_secs(seconds);
                match timeout(patience, stream.read(&mut buffer)).await {
                    Ok(Ok(length)) if length > 0 => bytes.extend_from_slice(&buffer[..length]),
                    _ => return,
                }
                continue;
            }
            Err(Broken { why, packet }) => {
                let (cookie, length) = packet.unwrap_or_default();
                bytes.drain(..length);
                (Err(Fault::new(400, format!("not a request: {why}"))), cookie, packet.is_some())
            }
        };
        let packet = binrpc::answer(&answer, cookie);
        if !stream::write(&mut stream, &packet).await || !goes_on {
            return;
        }
    }
}

async fn answer(packet: Packet, handler: &Handler) -> Answer {
    let mut records = packet.records.into_iter();
    let (PacketType::Request, Some(Value::Str(method))) = (packet.kind, records.next()) else {
        return Err(Fault::new(400, "not a request: it must start with the name of a method"));
    };
    let params = Params::Positional(records.collect());
    let request = Request { method: method.clone(), params, id: None, reply_name: None };
    let answer = handler.answer(request).await;
    match answer {
        // What Kamailio says on this socket.
        Err(fault) if fault == Fault::method_not_found() => {
            Err(Fault::failed(format!("command {method} not found")))
        }
        other => other,
    }
}
