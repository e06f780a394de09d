//! Shared by all control sockets that accept connections: limits their number and runs each in its
//! own task.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::warn;

use crate::control::asker::Asker;
use crate::limits;
use crate::log::Limited;
use crate::transport::monotonic_now;

/// Counts the connections of one control socket.
#[derive(Debug)]
pub(super) struct Slots {
    socket: &'static str,
    free: Arc<Semaphore>,
    said: Limited,
}

impl Slots {
    pub(super) fn new(socket: &'static str) -> Self {
        let free = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
        Self { socket, free, said: Limited::new() }
    }

    /// Reserves a place for one more connection; `None` if all are taken, and then the new
    /// connection is refused.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok();
        if permit.is_none() {
            let max = limits::CONTROL_CONNECTIONS_MAX;
            self.say(&format!("a connection is refused: {max} are open already"));
        }
        permit
    }

    /// Logs at most one line a second.
    pub(super) fn say(&self, what: &str) {
        if let Some(more) = self.said.allow(monotonic_now()) {
            warn!("control: {}: {what}{more}", self.socket);
        }
    }

    /// Logs a failed accept and waits. The machine may be out of file descriptors.
    pub(super) async fn failed(&self, error: &io::Error) {
        self.say(&format!("cannot accept a connection ({error})"));
        sleep(Duration::from_millis(ACCEPT_AGAIN_MS)).await;
    }
}

/// Returns who has connected.
pub(super) fn asker(stream: &UnixStream) -> Asker {
    match stream.peer_cred() {
        Ok(peer) => Asker::Process { uid: peer.uid(), pid: peer.pid() },
        Err(_) => Asker::default(),
    }
}

/// Serves each connection in its own task, forever.
pub(super) async fn serve<F>(
    listener: UnixListener,
    slots: &Slots,
    mut serve: impl FnMut(UnixStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(permit) = slots.take() else { continue };
                let served = serve(stream);
                tokio::spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => slots.failed(&error).await,
        }
    }
}

/// Milliseconds until we try to accept again, so the longest that a client waits once a place is
/// free.
const ACCEPT_AGAIN_MS: u64 = 100;
