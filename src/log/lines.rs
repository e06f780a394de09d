//! The queue of log lines and the thread that writes them, to standard error or to the journal.
//!
//! Standard error may be slow, full or closed. Callers copy each line into a bounded queue, and one
//! thread writes. If the queue is full, the newest line is lost; if a write fails, that line is lost; no
//! caller ever waits. Lost lines are counted, and the count is written as soon as writing works again.

use std::cell::RefCell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::DISPATCH;
use super::journal::{Journal, Record};
use crate::limits;
use crate::words::with_remedy;

enum Item {
    Line(Line),
    Flush(Sender<()>),
}

struct Line {
    text: Text,
    is_dispatch: bool,
}

/// What the log thread writes.
#[derive(Debug)]
pub(super) enum Text {
    Line(Vec<u8>),
    Record(Record),
}

/// Lines lost: in total, and dispatch lines.
#[derive(Debug, Default)]
struct Losses {
    all: AtomicU64,
    dispatch: AtomicU64,
}

impl Losses {
    fn add(&self, is_dispatch: bool) {
        // Relaxed, here and below: counts, which order nothing.
        self.all.fetch_add(1, Ordering::Relaxed);
        self.dispatch.fetch_add(u64::from(is_dispatch), Ordering::Relaxed);
    }

    fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    fn dispatch(&self) -> u64 {
        self.dispatch.load(Ordering::Relaxed)
    }
}

/// The sending end of the queue.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    sender: Sender<Item>,
    losses: Arc<Losses>,
}

impl Lines {
    /// Starts the log thread, which writes to the journal if there is one, and else to `out`.
    pub(super) fn start<W: Write>(
        out: impl FnOnce() -> W + Send + 'static,
        journal: Option<Journal>,
    ) -> io::Result<Self> {
        let (sender, receiver) = bounded(limits::LOG_LINES_MAX);
        let losses = Arc::new(Losses::default());
        let counted = Arc::clone(&losses);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || Pen::new(out(), journal, counted).write_lines(&receiver))
            .map_err(|error| {
                let told = format!("cannot start the log thread: {}", with_remedy(&error));
                io::Error::new(error.kind(), told)
            })?;
        Ok(Self { sender, losses })
    }

    /// Returns how many dispatch lines were lost.
    pub(super) fn dispatch_lines_lost(&self) -> u64 {
        self.losses.dispatch()
    }

    /// Adds one line to the queue, or counts it as lost.
    pub(super) fn queue(&self, text: Text, is_dispatch: bool) {
        let Err(text) = keep_own(text) else { return };
        let item = Item::Line(Line { text, is_dispatch });
        // The dispatch thread has its own queue, and nobody waits for that thread.
        let is_taken = if is_dispatch {
            self.sender.send_timeout(item, DISPATCH_WAIT_MAX).is_ok()
        } else {
            self.sender.try_send(item).is_ok()
        };
        if !is_taken {
            self.losses.add(is_dispatch);
        }
    }

    /// Waits until the lines that are queued have been written, for at most `time_max`.
    pub(super) fn flush(&self, time_max: Duration) {
        let (done, is_done) = bounded(1);
        let start = Instant::now();
        if self.sender.send_timeout(Item::Flush(done), time_max).is_ok() {
            let _ = is_done.recv_timeout(time_max.saturating_sub(start.elapsed()));
        }
    }
}

/// The log thread's writer.
struct Pen<W> {
    out: W,
    journal: Option<Journal>,
    losses: Arc<Losses>,
    /// How many of the losses have been reported.
    told: u64,
    told_at: Instant,
    /// The last line was written in part.
    is_torn: bool,
}

impl<W: Write> Pen<W> {
    fn new(out: W, journal: Option<Journal>, losses: Arc<Losses>) -> Self {
        Self { out, journal, losses, told: 0, told_at: Instant::now(), is_torn: false }
    }

    fn write_lines(mut self, receiver: &Receiver<Item>) {
        OWN_LINES.set(Some(Vec::new()));
        loop {
            match receiver.recv_timeout(TELL_INTERVAL) {
                Ok(Item::Line(line)) => {
                    if self.put(&line.text).is_err() {
                        self.losses.add(line.is_dispatch);
                    }
                }
                Ok(Item::Flush(done)) => {
                    self.tell();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.told_at.elapsed() >= TELL_INTERVAL {
                self.tell();
            }
        }
    }

    /// Writes how many lines were lost. Bypasses the queue, which may be full.
    fn tell(&mut self) {
        self.told_at = Instant::now();
        let all = self.losses.all();
        if all == self.told {
            return;
        }
        let count = all - self.told;
        tracing::warn!(
            "{count} log lines lost: standard error is too slow or cannot be written to"
        );
        let lines = OWN_LINES.with_borrow_mut(|lines| lines.as_mut().map(std::mem::take));
        if lines.is_some_and(|lines| lines.iter().all(|line| self.put(line).is_ok())) {
            self.told = all;
        }
    }

    /// Writes a whole line, or returns why it cannot. A panic loses the line but not the thread.
    fn put(&mut self, text: &Text) -> io::Result<()> {
        let written = catch_unwind(AssertUnwindSafe(|| match (text, &self.journal) {
            (Text::Line(line), _) => self.put_bytes(line),
            (Text::Record(record), Some(journal)) if journal.send(record).is_ok() => Ok(()),
            (Text::Record(record), _) => self.put_bytes(&record.to_line()),
        }));
        written.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    }

    fn put_bytes(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            // After a partial line, start a new one.
            self.out.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut at = 0;
        while at < line.len() {
            match self.out.write(&line[at..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => at += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.is_torn = at < line.len();
        }
        Ok(())
    }
}

thread_local! {
    /// Collects the log thread's own lines; `None` on every other thread.
    static OWN_LINES: RefCell<Option<Vec<Text>>> = const { RefCell::new(None) };
}

/// Keeps a line of the log thread itself; returns that of any other thread.
fn keep_own(text: Text) -> Result<(), Text> {
    OWN_LINES.with_borrow_mut(|own| match own {
        Some(own) => {
            own.push(text);
            Ok(())
        }
        None => Err(text),
    })
}

/// One event on its way into the queue.
pub(super) struct Event<'a> {
    lines: &'a Lines,
    is_dispatch: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event { lines: self, is_dispatch: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Event<'a> {
        Event { lines: self, is_dispatch: metadata.target() == DISPATCH }
    }
}

impl Write for Event<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.queue(Text::Line(line.to_vec()), self.is_dispatch);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const TELL_INTERVAL: Duration = Duration::from_secs(1);
const DISPATCH_WAIT_MAX: Duration = Duration::from_millis(100);

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

    /// Standard error that blocks until the sender is dropped, and then fails.
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
        let lines = Lines::start(move || copy, None).unwrap();
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
        let lines = Lines::start(move || Stuck(is_released), None).unwrap();
        let count = limits::LOG_LINES_MAX + 100;
        for _ in 0..count {
            lines.make_writer().write_all(b"line\n").unwrap();
        }
        // The writer holds one line, unless it has not started yet.
        let lost = lines.losses.all();
        assert!((99..=100).contains(&lost), "{lost}");
        lines.flush(Duration::from_millis(1));
        drop(release);
        lines.flush(Duration::from_secs(10));
        assert!(lines.sender.is_empty());
        // None of the queued lines could be written either.
        assert_eq!(lines.losses.all(), count as u64);
    }

    /// A disk with room for some bytes until more is given; it panics once.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize, bool)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut guard = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (text, room, is_broken) = &mut *guard;
            assert!(!std::mem::take(is_broken), "a disk that panics");
            let count = bytes.len().min(*room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            text.extend_from_slice(&bytes[..count]);
            *room -= count;
            Ok(count)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_costs_is_counted_and_the_next_line_is_whole() {
        let disk = Disk(Arc::new(Mutex::new((Vec::new(), 8, false))));
        let copy = disk.clone();
        let lines = Lines::start(move || copy, None).unwrap();
        let say = |line: &str, is_dispatch| {
            Event { lines: &lines, is_dispatch }.write_all(line.as_bytes()).unwrap();
            lines.flush(Duration::from_secs(10));
        };
        say("one\n", false);
        say("torn apart\n", true);
        say("two\n", true);
        assert_eq!((lines.losses.all(), lines.losses.dispatch()), (2, 2));
        disk.0.lock().unwrap().1 = 100;
        say("three\n", true);
        disk.0.lock().unwrap().2 = true;
        say("panicked\n", false);
        say("four\n", false);
        assert_eq!((lines.losses.all(), lines.losses.dispatch()), (3, 2));
        let guard = disk.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        assert_eq!(String::from_utf8_lossy(&guard.0), "one\ntorn\nthree\nfour\n");
    }
}
