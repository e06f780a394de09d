//! The traces that operators run: each is a tap that its reader asks for messages again and again. One
//! that nobody reads any more is ended.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::Waker;
use tracing::info;

use super::Inner;
use super::asker::Named;
use super::commands::Commands;
use super::error::Error;
use super::explain::Explanation;
use crate::capture::{Capture, Filter, Record, Tap, What};
use crate::config::Problem;
use crate::limits::{
    CAPTURES_MAX, MOVE_ON_TIME_MAX, TRACE_EXPLAINED_MAX, TRACE_IDLE, TRACE_READ_MAX,
};
use crate::proxy::{Forwarded, Verdict};
use crate::worker::wake;

/// The traces that run, and the way to the workers.
#[derive(Debug)]
pub(in crate::control) struct Traces {
    capture: Arc<Capture>,
    wakers: Arc<[Waker]>,
    running: Mutex<Vec<Running>>,
    begun: AtomicU64,
}

#[derive(Debug)]
struct Running {
    number: u64,
    tap: Arc<Tap>,
    read_at: Instant,
    /// Messages that are too new to be shown: one of another worker may still come that is older.
    held: Vec<TracedMessage>,
}

/// What a trace has seen since it was last read.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The messages, in the order of their times.
    pub messages: Vec<TracedMessage>,
    /// There may be more by now.
    pub has_more: bool,
    /// How many messages there was no room for since the trace began.
    pub lost: u64,
}

/// A message that was received or sent.
#[derive(Clone, Debug)]
pub struct TracedMessage {
    /// What is known of it.
    pub record: Record,
    /// The address of our listener.
    pub local: SocketAddr,
    /// Its bytes, perhaps cut.
    pub bytes: Vec<u8>,
    /// What the relay would say of it now, if something was decided that is worth it.
    pub explanation: Option<Explanation>,
}

impl Traces {
    pub(in crate::control) fn new(capture: Arc<Capture>, wakers: Arc<[Waker]>) -> Self {
        Self { capture, wakers, running: Mutex::default(), begun: AtomicU64::new(0) }
    }

    /// Arms a tap, and returns it when all workers use it.
    pub(in crate::control) fn arm(&self, filter: Filter) -> Result<Arc<Tap>, Vec<Error>> {
        filter.check().map_err(|bad| {
            let (what, right) = (format!("{} cannot be searched for", bad.name), bad.to_string());
            vec![Problem::of("trace", what, right).into()]
        })?;
        let tap = self.capture.arm(filter).map_err(|_| {
            let what = format!("{CAPTURES_MAX} taps are in use, by traces and [hep]");
            vec![Problem::of("trace", what, "end one of the other traces first").into()]
        })?;
        wake(&self.wakers);
        let begin = Instant::now();
        while !self.capture.is_seen() && begin.elapsed() < MOVE_ON_TIME_MAX {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(tap)
    }

    pub(in crate::control) fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Ends the traces that nobody reads, and frees what no worker uses.
    pub(in crate::control) fn sweep(&self) {
        self.end(|running| running.read_at.elapsed() > TRACE_IDLE);
        self.capture.sweep();
    }

    /// Returns whether there was one.
    fn end(&self, is_over: impl Fn(&Running) -> bool) -> bool {
        let ended: Vec<_> = self.running().extract_if(.., |running| is_over(running)).collect();
        for running in &ended {
            self.capture.disarm(&running.tap);
            let number = running.number;
            info!(event = "trace_ended", trace = number, "trace {number} has ended");
        }
        if !ended.is_empty() {
            wake(&self.wakers);
        }
        !ended.is_empty()
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commands {
    /// Starts a trace and returns its number. It ends by itself if it is not read for some seconds.
    ///
    /// # Errors
    /// There are too many, or the filter is wrong.
    pub fn trace(&self, filter: Filter) -> Result<u64, Vec<Error>> {
        let traces = &self.inner().traces;
        let what = filter.to_string();
        let tap = traces.arm(filter)?;
        let number = traces.begun.fetch_add(1, Ordering::Relaxed) + 1;
        // It reads what others say to each other.
        let Named { by, uid, pid } = self.asker().named();
        info!(
            event = "traced",
            trace = number,
            calls = what,
            by,
            uid,
            pid,
            "trace {number} of {what} begun by {by}"
        );
        traces.running().push(Running { number, tap, read_at: Instant::now(), held: Vec::new() });
        Ok(number)
    }

    /// Returns what a trace has seen since it was last read.
    ///
    /// # Errors
    /// There is no such trace.
    pub fn trace_read(&self, number: u64) -> Result<Traced, Vec<Error>> {
        let Inner { traces, shared, .. } = self.inner();
        let mut running = traces.running();
        let found = running.iter_mut().find(|running| running.number == number);
        let Running { tap, read_at, held, .. } = found.ok_or_else(|| {
            let what = format!("there is no trace {number} any more");
            vec![Error::from(Problem::of("trace", what, "start another one"))]
        })?;
        *read_at = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let settled = now.saturating_sub(SETTLE_TIME);
        let mut messages = std::mem::take(held);
        let is_full = tap.take(TRACE_READ_MAX, |record, bytes| {
            let local = shared.listeners.get(record.listener).local;
            let (record, bytes) = (*record, bytes.to_vec());
            messages.push(TracedMessage { record, local, bytes, explanation: None });
        });
        messages.sort_by_key(|message| message.record.at);
        // What is of the future was stamped before the clock was set back.
        let is_new = |message: &TracedMessage| (settled..=now).contains(&message.record.at);
        *held = messages.extract_if(.., |message| is_new(message)).collect();
        let (has_more, lost) = (is_full || !held.is_empty(), tap.lost());
        drop(running);
        let decided = messages.iter_mut().filter(|message| is_decision(message.record.what));
        for message in decided.take(TRACE_EXPLAINED_MAX) {
            let listener = message.local.to_string();
            let source = Some(message.record.peer);
            message.explanation = self.explain(&message.bytes, source, Some(&listener)).ok();
        }
        Ok(Traced { messages, has_more, lost })
    }

    /// Ends a trace; returns false if there is no such one.
    pub fn trace_end(&self, number: u64) -> bool {
        self.inner().traces.end(|running| running.number == number)
    }
}

/// Whether more than what is remembered decided about it.
fn is_decision(what: What) -> bool {
    match what {
        What::Received(Verdict::Forwarded(how)) => {
            matches!(how, Forwarded::Chosen | Forwarded::Retried | Forwarded::Hash)
        }
        What::Received(Verdict::Answered(_)) => true,
        _ => false,
    }
}

/// How long after its time a message is in its ring at the latest, unless its worker was interrupted.
const SETTLE_TIME: Duration = Duration::from_millis(2);
