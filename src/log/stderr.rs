//! Standard error as a place that may be slow, full or closed.
//!
//! A line is copied into a bounded queue; one thread writes. When the queue is full the newest line
//! is dropped and counted, and a failed write is nobody's trouble.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use super::DISPATCH;
use crate::limits;

/// Sends all logs to standard error, from `level` upwards, as text or JSON; colours only on a
/// terminal. Keep the guard until the end: dropping it writes what waits, for at most a second.
///
/// # Errors
/// When the log thread cannot be started.
pub fn init(level: tracing::Level, json: bool) -> io::Result<LogGuard> {
    let lines = Lines::start(io::stderr)?;
    let guard = LogGuard { lines: lines.clone() };
    let wanted = Targets::new()
        .with_default(LevelFilter::from_level(level))
        .with_target(DISPATCH, LevelFilter::INFO.max(LevelFilter::from_level(level)));
    // Never let the subscriber report a failed write: it would do so on standard error, and panic.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(lines);
    // A second call, in a process that already logs, changes nothing.
    let registry = tracing_subscriber::registry().with(wanted);
    let _ = if json {
        tracing::subscriber::set_global_default(registry.with(layer.json()))
    } else {
        let colours = io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let layer = layer.with_target(false).with_ansi(colours);
        tracing::subscriber::set_global_default(registry.with(layer))
    };
    Ok(guard)
}

/// Writes what waits when it is dropped.
#[derive(Debug)]
pub struct LogGuard {
    lines: Lines,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.lines.flush(FLUSH_TIME_MAX);
    }
}

enum Item {
    Line(Vec<u8>),
    Flush(Sender<()>),
}

/// The queue's entrance.
#[derive(Clone, Debug)]
struct Lines {
    sender: Sender<Item>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn start<W: Write>(out: impl FnOnce() -> W + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = bounded(limits::LOG_LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || write_lines(&receiver, out(), &counter))?;
        Ok(Self { sender, dropped })
    }

    fn flush(&self, time_max: Duration) {
        let (done, is_done) = bounded(1);
        let start = Instant::now();
        if self.sender.send_timeout(Item::Flush(done), time_max).is_ok() {
            let _ = is_done.recv_timeout(time_max.saturating_sub(start.elapsed()));
        }
    }
}

fn write_lines(receiver: &Receiver<Item>, mut out: impl Write, dropped: &AtomicU64) {
    let mut told = Instant::now();
    loop {
        match receiver.recv_timeout(TELL_INTERVAL) {
            Ok(Item::Line(line)) => {
                let _ = out.write_all(&line);
            }
            Ok(Item::Flush(done)) => {
                let _ = out.flush();
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if told.elapsed() >= TELL_INTERVAL {
            told = Instant::now();
            // Relaxed: a count, which orders nothing.
            let count = dropped.swap(0, Ordering::Relaxed);
            if count > 0 {
                tracing::warn!("{count} log lines dropped: standard error is too slow");
            }
        }
    }
}

/// One event on its way into the queue.
struct Event<'a> {
    lines: &'a Lines,
    may_wait: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event { lines: self, may_wait: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Event<'a> {
        Event {
            lines: self,
            // The dispatch thread has a queue of its own and nobody waits for it; that queue's
            // count of dropped lines is the exact one.
            may_wait: metadata.target() == DISPATCH,
        }
    }
}

impl Write for Event<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let item = Item::Line(line.to_vec());
        let is_taken = if self.may_wait {
            self.lines.sender.send_timeout(item, DISPATCH_WAIT_MAX).is_ok()
        } else {
            self.lines.sender.try_send(item).is_ok()
        };
        if !is_taken {
            // Relaxed: a count, which orders nothing.
            self.lines.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const TELL_INTERVAL: Duration = Duration::from_secs(1);
const DISPATCH_WAIT_MAX: Duration = Duration::from_millis(100);
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Standard error that cannot be written to until the sender is gone, and then fails.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_in_order() {
        let paper = Paper::default();
        let copy = paper.clone();
        let lines = Lines::start(move || copy).unwrap();
        for number in 0..100 {
            writeln!(lines.make_writer(), "{number}").unwrap();
        }
        lines.flush(Duration::from_secs(10));
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(text.lines().eq((0..100).map(|number| number.to_string())));
    }

    #[test]
    fn a_stuck_standard_error_holds_nobody() {
        let (release, is_released) = bounded(0);
        let lines = Lines::start(move || Stuck(is_released)).unwrap();
        let count = limits::LOG_LINES_MAX + 100;
        for _ in 0..count {
            lines.make_writer().write_all(b"line\n").unwrap();
        }
        // One line is in the writer's hands, unless it has not begun yet.
        let dropped = lines.dropped.load(Ordering::Relaxed);
        assert!((99..=100).contains(&dropped), "{dropped}");
        lines.flush(Duration::from_millis(1));
        drop(release);
        lines.flush(Duration::from_secs(10));
        assert!(lines.sender.is_empty());
    }
}
