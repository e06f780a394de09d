//! The status of the relay once a second, for every page that is open. It is built once for all of
//! them, off the thread that serves them, and not at all while nobody listens.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::stream::{Stream, unfold};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::control::commands::Commands;
use crate::control::methods::status;
use crate::limits::{STATUS_DESTINATIONS_IN_ALL_MAX, STATUS_DESTINATIONS_MAX, STATUS_STREAMS_MAX};
use crate::rpc::json;
use crate::worker::catch_here;

/// Sends the status to those who listen.
#[derive(Clone, Debug)]
pub(in crate::control) struct Feed {
    /// The last event, ready to be sent.
    last: watch::Sender<Bytes>,
    /// Somebody began to listen.
    wanted: Arc<Notify>,
    places: Arc<Semaphore>,
}

impl Feed {
    pub(in crate::control) fn new() -> Self {
        Self {
            last: watch::Sender::new(Bytes::new()),
            wanted: Arc::default(),
            places: Arc::new(Semaphore::new(STATUS_STREAMS_MAX)),
        }
    }

    /// Returns the events from now on; `None` if as many listen as may. Who reads slowly misses
    /// events, and always gets the last one.
    pub(in crate::control) fn listen(&self) -> Option<impl Stream<Item = Bytes> + use<>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let last = self.last.subscribe();
        self.wanted.notify_one();
        Some(unfold((last, place), |(mut last, place)| async move {
            last.changed().await.ok()?;
            let event = last.borrow_and_update().clone();
            Some((event, (last, place)))
        }))
    }

    /// Builds the events, forever.
    pub(in crate::control) async fn run(self, commands: Commands) {
        loop {
            while self.last.receiver_count() == 0 {
                self.wanted.notified().await;
            }
            let next = Instant::now() + PERIOD;
            let commands = commands.clone();
            let built = spawn_blocking(move || catch_here(|| event(&commands)));
            // After a panic, which is logged, the pages say that nothing comes.
            if let Ok(Some(event)) = built.await {
                self.last.send_replace(event);
            }
            sleep_until(next).await;
        }
    }
}

fn event(commands: &Commands) -> Bytes {
    let status = status::of(commands, STATUS_DESTINATIONS_MAX, STATUS_DESTINATIONS_IN_ALL_MAX);
    // JSON text has no line end in it.
    format!("data: {}\n\n", json::line(&status)).into()
}

const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::runtime::Builder;
    use tokio::time::sleep;

    use super::*;
    use crate::control::tests::Running;

    #[test]
    fn built_once_for_all_and_only_for_listeners() {
        let running = Running::with("1 sip:192.0.2.1\n");
        let commands = running.commands();
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let feed = Feed::new();
            tokio::spawn(feed.clone().run(commands));
            sleep(Duration::from_millis(100)).await;
            assert!(feed.last.borrow().is_empty());
            let mut one = Box::pin(feed.listen().unwrap());
            let mut two = Box::pin(feed.listen().unwrap());
            let event = one.next().await.unwrap();
            // The same bytes, not equal ones.
            assert_eq!(two.next().await.unwrap().as_ptr(), event.as_ptr());
            let text = String::from_utf8(event.to_vec()).unwrap();
            assert!(text.starts_with("data: {\"version\":") && text.ends_with("}\n\n"), "{text}");
            assert_eq!(text.lines().count(), 2);
            // Each event is new.
            assert_ne!(one.next().await.unwrap(), event);

            let others: Vec<_> = (2..STATUS_STREAMS_MAX).map(|_| feed.listen().unwrap()).collect();
            assert!(feed.listen().is_none());
            drop(others);
            assert!(feed.listen().is_some());
        });
    }
}
