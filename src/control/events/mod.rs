//! Tells programs outside what happens: changes of a destination's state, reloads, and trouble with the
//! source or with names.
//!
//! Each receiver has a thread and a bounded queue, so nothing waits for it: neither a worker nor a
//! command, nor the other receiver. What does not fit its queue is lost and counted.

mod command;
mod webhook;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{self, Receiver, Sender};
use tracing::warn;

use super::error::Error;
use super::state_word;
use super::threads;
use crate::config::EventsConfig;
use crate::destination::Flags;
use crate::limits::{
    EVENT_BATCH_BYTES, EVENT_BATCH_MAX, EVENTS_QUEUED_MAX, RELOAD_LINE_CHARS_MAX, RELOAD_LINES_MAX,
};
use crate::rpc::{Value, json};
use crate::words::shortened;

/// A change of one destination's state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::control) struct StateEvent {
    pub(in crate::control) time: SystemTime,
    pub(in crate::control) set: u32,
    pub(in crate::control) uri: String,
    pub(in crate::control) address: SocketAddr,
    /// `None` for a destination that is new.
    pub(in crate::control) from: Option<Flags>,
    /// `None` for a destination that is no longer listed.
    pub(in crate::control) to: Option<Flags>,
    /// The kind of reason, one word.
    pub(in crate::control) cause: &'static str,
    /// The reason, for people.
    pub(in crate::control) reason: String,
}

impl StateEvent {
    /// Returns the event as programs get it, here and from a control socket.
    pub(in crate::control) fn value(&self) -> Value {
        let letters = |flags: Option<Flags>| flags.map(|flags| flags.letters().to_owned()).into();
        let state = self.to.map(|flags| state_word(flags).to_owned());
        Value::object([
            ("event", "state".into()),
            ("time", humantime::format_rfc3339_millis(self.time).to_string().into()),
            ("set", self.set.into()),
            ("destination", self.uri.as_str().into()),
            ("address", self.address.to_string().into()),
            ("from", letters(self.from)),
            ("to", letters(self.to)),
            ("state", state.into()),
            ("selectable", self.to.is_some_and(Flags::is_selectable).into()),
            ("cause", self.cause.into()),
            ("reason", self.reason.as_str().into()),
        ])
    }
}

/// Returns the event that something is wrong with the source, or with a name in it.
pub(in crate::control) fn source_trouble(says: impl IntoIterator<Item = String>) -> Value {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    Value::object([
        ("event", "source".into()),
        ("time", time.into()),
        (
            "says",
            Value::Array(
                says.into_iter()
                    .take(RELOAD_LINES_MAX)
                    .map(|text| shortened(&text, RELOAD_LINE_CHARS_MAX).into())
                    .collect(),
            ),
        ),
    ])
}

/// The receivers of events.
#[derive(Debug, Default)]
pub(in crate::control) struct Notifier {
    queues: Vec<Sender<Arc<str>>>,
    lost: Arc<AtomicU64>,
}

/// What a receiver does with a few events, each a line of JSON.
trait Deliver: Send + 'static {
    const NAME: &'static str;
    /// How often it is tried.
    const TRIES: u32;

    fn deliver(&mut self, events: &[String]) -> Result<(), String>;
}

impl Notifier {
    /// Starts a thread for each receiver in the configuration. They end when this is dropped.
    pub(in crate::control) fn start(config: &EventsConfig) -> Result<Self, Vec<Error>> {
        let mut notifier = Self::default();
        if let Some(command) = command::Command::of(config) {
            notifier.add(command)?;
        }
        if let Some(webhook) = webhook::Webhook::of(config) {
            notifier.add(webhook)?;
        }
        Ok(notifier)
    }

    /// Queues an event for every receiver.
    pub(in crate::control) fn notify(&self, event: impl FnOnce() -> Value) {
        if self.queues.is_empty() {
            return;
        }
        let line: Arc<str> = json::line(&event()).into();
        for queue in &self.queues {
            if queue.try_send(Arc::clone(&line)).is_err() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns how many events did not reach a receiver.
    pub(in crate::control) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn add<D: Deliver>(&mut self, receiver: D) -> Result<(), Vec<Error>> {
        let (sender, queue) = channel::bounded(EVENTS_QUEUED_MAX);
        let lost = Arc::clone(&self.lost);
        threads::spawn(D::NAME, move || deliver_all(receiver, &queue, &lost))?;
        self.queues.push(sender);
        Ok(())
    }
}

fn deliver_all<D: Deliver>(mut receiver: D, queue: &Receiver<Arc<str>>, lost: &AtomicU64) {
    while let Ok(first) = queue.recv() {
        let mut bytes = first.len();
        let mut events = vec![first.to_string()];
        // Changes come together: a load, a cable.
        let end = Instant::now() + GATHER;
        while events.len() < EVENT_BATCH_MAX
            && bytes < EVENT_BATCH_BYTES
            && let Ok(event) = queue.recv_deadline(end)
        {
            bytes += event.len();
            events.push(event.to_string());
        }
        for attempt in 1..=D::TRIES {
            match receiver.deliver(&events) {
                Ok(()) => break,
                Err(_) if attempt < D::TRIES => thread::sleep(PAUSE * attempt),
                Err(error) => {
                    lost.fetch_add(events.len() as u64, Ordering::Relaxed);
                    warn!("{}: {} events were not delivered: {error}", D::NAME, events.len());
                }
            }
        }
    }
}

const GATHER: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn event(number: u16) -> StateEvent {
        StateEvent {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_425_098_123),
            set: 1,
            uri: format!("sip:10.0.0.1:{number}"),
            address: SocketAddr::from(([10, 0, 0, 1], number)),
            from: Flags::from_bits(8),
            to: Flags::from_bits(9),
            cause: "probe_timeout",
            reason: "no answer to 1 probe".into(),
        }
    }

    pub(super) fn line(event: &StateEvent) -> String {
        json::line(&event.value())
    }

    struct Failing(u32, Sender<Vec<String>>);

    impl Deliver for Failing {
        const NAME: &'static str = "failing";
        const TRIES: u32 = 2;

        fn deliver(&mut self, events: &[String]) -> Result<(), String> {
            self.0 += 1;
            self.1.send(events.to_vec()).unwrap();
            if self.0 == 1 { Err("the first time".into()) } else { Ok(()) }
        }
    }

    #[test]
    fn as_the_receivers_get_it() {
        let wants = r#"{"event":"state","time":"2026-11-23T09:11:38.123Z","set":1,"destination":"sip:10.0.0.1:5060","address":"10.0.0.1:5060","from":"AP","to":"IP","state":"inactive","selectable":false,"cause":"probe_timeout","reason":"no answer to 1 probe"}"#;
        assert_eq!(line(&event(5060)), wants);
        let new = line(&StateEvent { from: None, to: Flags::from_bits(0), ..event(1) });
        let says = r#""from":null,"to":"AX","state":"active","selectable":true,"#;
        assert!(new.contains(says), "{new}");
    }

    #[test]
    fn events_that_come_together_are_delivered_together_and_tried_again() {
        let (sender, delivered) = channel::unbounded();
        let mut notifier = Notifier::default();
        notifier.add(Failing(0, sender)).unwrap();
        for number in 1..=3 {
            notifier.notify(|| event(number).value());
        }
        let first = delivered.recv_timeout(Duration::from_secs(10)).unwrap();
        let again = delivered.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(first, again);
        assert_eq!(first.len(), 3);
        assert_eq!(notifier.lost(), 0);
    }

    #[test]
    fn a_full_queue_loses_and_counts() {
        let notifier = Notifier { queues: vec![channel::bounded(2).0], ..Notifier::default() };
        notifier.notify(|| event(1).value());
        assert_eq!(notifier.lost(), 1, "the receiver is gone");
        let (sender, _queue) = channel::bounded(2);
        let notifier = Notifier { queues: vec![sender], ..Notifier::default() };
        (1..=5).for_each(|number| notifier.notify(|| event(number).value()));
        assert_eq!(notifier.lost(), 3);
    }
}
