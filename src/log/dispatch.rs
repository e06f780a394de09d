//! The path from a worker to the dispatch log: fixed-size records in a ring that is allocated once.
//!
//! A worker copies a few hundred bytes and continues; a separate thread formats, escapes and
//! writes. If that thread falls behind, the newest record is dropped and counted.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;

use super::{DISPATCH, Template, uri};
use crate::limits;
use crate::proxy::{Dispatched, LeftTry};
use crate::transaction::Left;

/// At most `N` bytes from the network; the rest is cut off.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct Value<const N: usize> {
    len: u16,
    is_cut: bool,
    bytes: [u8; N],
}

impl<const N: usize> Value<N> {
    fn new(text: &[u8]) -> Self {
        let len = text.len().min(N);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(&text[..len]);
        Self { len: len as u16, is_cut: text.len() > N, bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl<const N: usize> fmt::Debug for Value<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// What a line may contain about one new call, or one try that was left: 1.4 KB without any pointers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DispatchRecord {
    pub(super) method: Value<32>,
    pub(super) request_uri: Value<{ limits::DISPATCH_VALUE_BYTES }>,
    pub(super) from_uri: Value<{ limits::DISPATCH_VALUE_BYTES }>,
    pub(super) to_uri: Value<{ limits::DISPATCH_VALUE_BYTES }>,
    pub(super) call_id: Value<{ limits::DISPATCH_VALUE_BYTES }>,
    pub(super) destination: Value<{ limits::DISPATCH_VALUE_BYTES }>,
    pub(super) source: SocketAddr,
    /// Why the destination was left, and after how many milliseconds.
    pub(super) left: Option<(Left, u32)>,
}

impl DispatchRecord {
    /// Creates the record of a request, without allocating.
    pub fn new(dispatched: &Dispatched) -> Self {
        Self {
            method: Value::new(dispatched.method),
            request_uri: Value::new(dispatched.request_uri),
            // A long display name must not crowd out the URI.
            from_uri: Value::new(uri::in_name_addr(dispatched.from)),
            to_uri: Value::new(uri::in_name_addr(dispatched.to)),
            call_id: Value::new(dispatched.call_id),
            destination: Value::new(dispatched.destination.as_bytes()),
            source: dispatched.source,
            left: None,
        }
    }

    /// Creates the record of a try that was left, without allocating.
    pub fn of_left(left: &LeftTry) -> Self {
        Self { left: Some((left.why, left.after_ms)), ..Self::new(&left.of) }
    }
}

/// The lines of the log.
#[derive(Clone, Debug)]
pub struct Templates {
    /// For a request that is sent to a destination.
    pub dispatched: Template,
    /// For a try that was left.
    pub left: Template,
}

impl Templates {
    fn of(&self, record: &DispatchRecord) -> &Template {
        if record.left.is_some() { &self.left } else { &self.dispatched }
    }
}

/// The ring between the workers and the dispatch thread.
#[derive(Debug)]
pub struct DispatchLog {
    templates: Templates,
    ring: ArrayQueue<DispatchRecord>,
    dropped: AtomicU64,
}

impl DispatchLog {
    /// Creates a ring for `capacity` records, normally [`limits::DISPATCH_LINES_MAX`].
    ///
    /// # Panics
    /// If `capacity` is 0.
    pub fn new(templates: Templates, capacity: usize) -> Self {
        Self { templates, ring: ArrayQueue::new(capacity), dropped: AtomicU64::new(0) }
    }

    /// Adds a record, or counts it as dropped if the ring is full. Never waits or allocates.
    pub fn push(&self, record: DispatchRecord) {
        if self.ring.push(record).is_err() {
            // Relaxed: a count, which orders nothing.
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Starts the thread that writes; it ends when the result is dropped.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self: &Arc<Self>) -> io::Result<DispatchThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let (log, is_stopped) = (Arc::clone(self), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("dispatch-log".into())
            .spawn(move || log.run(&is_stopped))?;
        Ok(DispatchThread { stop, thread: Some(thread) })
    }

    /// Writes until `stop` is set, and then what is left, for at most a second.
    pub fn run(&self, stop: &AtomicBool) {
        self.run_with(stop, |line| tracing::info!(target: DISPATCH, "{line}"));
    }

    fn run_with(&self, stop: &AtomicBool, mut write: impl FnMut(&str)) {
        let mut line = String::new();
        let mut dropped_told = 0;
        let mut told = Instant::now();
        let mut deadline = None;
        loop {
            // Acquire: pairs with the release by the thread that stops us, so records pushed before
            // are seen below. Read again for every line, because each may block on standard error.
            let is_stopping = stop.load(Ordering::Acquire);
            let now = Instant::now();
            if is_stopping && deadline.is_none() {
                deadline = Some(now + DRAIN_TIME_MAX);
            }
            let is_late = deadline.is_some_and(|end| now >= end);
            let record = if is_late { None } else { self.ring.pop() };
            if let Some(record) = &record {
                // A panic, which the hook reports, loses this line and not all that follow.
                let written = catch_unwind(AssertUnwindSafe(|| {
                    line.clear();
                    self.templates.of(record).format(record, &mut line);
                    write(&line);
                }));
                if written.is_err() {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            let is_over = is_stopping && record.is_none();
            if is_over {
                self.dropped.fetch_add(self.ring.len() as u64, Ordering::Relaxed);
            }
            let dropped = self.dropped();
            if dropped > dropped_told && (is_over || now >= told + TELL_INTERVAL) {
                let count = dropped - dropped_told;
                tracing::warn!("{count} dispatch lines dropped: the log is behind");
                dropped_told = dropped;
                told = now;
            }
            if is_over {
                return;
            }
            if record.is_none() {
                thread::park_timeout(IDLE);
            }
        }
    }
}

/// The running dispatch thread.
#[derive(Debug)]
pub struct DispatchThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for DispatchThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The panic hook has already reported a panic of the log thread.
            let _ = thread.join();
        }
    }
}

/// Workers do not wake the thread for each line, so it polls. At 10,000 calls a second, 10 ms are
/// 100 records.
const IDLE: Duration = Duration::from_millis(10);
const TELL_INTERVAL: Duration = Duration::from_secs(1);
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn record(call_id: &str) -> DispatchRecord {
        let dispatched = Dispatched {
            method: b"INVITE",
            request_uri: b"sip:b",
            from: b"<sip:a>",
            to: b"<sip:b>",
            call_id: call_id.as_bytes(),
            destination: "sip:192.0.2.9",
            slot: crate::destination::Slot(0),
            source: "192.0.2.1:5061".parse().unwrap(),
            is_invite: true,
        };
        DispatchRecord::new(&dispatched)
    }

    fn call_ids() -> Templates {
        let template = |text| Template::parse(text).unwrap();
        Templates { dispatched: template("$ci"), left: template("$ci: $du after $ms ms: $why") }
    }

    #[test]
    fn a_try_that_was_left_has_a_line_of_its_own() {
        let log = DispatchLog::new(call_ids(), 8);
        let left = |why, after_ms| DispatchRecord { left: Some((why, after_ms)), ..record("1") };
        log.push(record("1"));
        log.push(left(Left::Silent, 2_000));
        log.push(left(Left::Code(503), 7));
        let mut lines = Vec::new();
        log.run_with(&AtomicBool::new(true), |line| lines.push(line.to_owned()));
        let wants = [
            "1",
            "1: sip:192.0.2.9 after 2000 ms: silence",
            "1: sip:192.0.2.9 after 7 ms: status 503",
        ];
        assert_eq!(lines, wants);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let log = DispatchLog::new(call_ids(), 3);
        for number in 0..5 {
            log.push(record(&number.to_string()));
        }
        assert_eq!(log.dropped(), 2);
        let mut lines = Vec::new();
        log.run_with(&AtomicBool::new(true), |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["0", "1", "2"]);
    }

    #[test]
    fn a_stuck_writer_cannot_keep_the_thread() {
        let log = DispatchLog::new(call_ids(), 1_000);
        (0..1_000).for_each(|_| log.push(record("1")));
        let stop = AtomicBool::new(false);
        let mut count = 0;
        log.run_with(&stop, |_| {
            count += 1;
            stop.store(true, Ordering::Release);
            thread::sleep(DRAIN_TIME_MAX / 4);
        });
        assert_eq!(count + log.dropped(), 1_000);
        assert!(count <= 5, "{count}");
    }

    #[test]
    fn a_panic_costs_one_line() {
        let log = DispatchLog::new(call_ids(), 8);
        (0..5).for_each(|number| log.push(record(&number.to_string())));
        let mut lines = Vec::new();
        // Do not stop before the last line: reporting the panic may take longer than the stop
        // waits.
        let stop = AtomicBool::new(false);
        log.run_with(&stop, |line| {
            assert_ne!(line, "2");
            lines.push(line.to_owned());
            stop.store(line == "4", Ordering::Release);
        });
        assert_eq!((lines.concat().as_str(), log.dropped()), ("0134", 1));
    }

    #[test]
    fn every_record_of_many_threads_is_written_or_counted() {
        let log = Arc::new(DispatchLog::new(call_ids(), 64));
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            thread::spawn(move || {
                let mut count = 0;
                log.run_with(&stop, |_| count += 1);
                count
            })
        };
        thread::scope(|scope| {
            for worker in 0..4 {
                let log = &log;
                scope.spawn(move || (0..500).for_each(|_| log.push(record(&worker.to_string()))));
            }
        });
        stop.store(true, Ordering::Release);
        assert_eq!(writer.join().unwrap() + log.dropped(), 2_000);
    }

    #[test]
    fn the_thread_ends_when_its_handle_is_dropped() {
        let log = Arc::new(DispatchLog::new(call_ids(), 8));
        let thread = log.start().unwrap();
        log.push(record("1"));
        drop(thread);
        assert!(log.ring.is_empty());
        assert_eq!(Arc::strong_count(&log), 1);
    }
}
