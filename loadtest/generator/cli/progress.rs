//! What is shown while a run goes on, and how Ctrl-C ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use loadtest::Seen;
use signal_hook::consts::{SIGINT, SIGTERM};

/// A bar on a terminal; elsewhere nothing.
pub(super) struct Bar {
    shown: ProgressBar,
    begin: Instant,
    time: Duration,
}

impl Bar {
    pub(super) fn new(time: Duration) -> Self {
        let shown = ProgressBar::new(time.as_millis() as u64);
        let style = ProgressStyle::with_template("{bar:30} {elapsed_precise}  {msg}");
        shown.set_style(style.expect("a template that is right"));
        Self { shown, begin: Instant::now(), time }
    }

    pub(super) fn show(&self, seen: Seen) {
        let elapsed = self.begin.elapsed();
        self.shown.set_position(elapsed.min(self.time).as_millis() as u64);
        let Seen { started, good, bad } = seen;
        let open = started.saturating_sub(good + bad);
        let end = if elapsed > self.time { ", waiting for these" } else { "" };
        self.shown
            .set_message(format!("{started} started, {good} good, {bad} bad, {open} open{end}"));
    }

    pub(super) fn show_flood(&self, sent: u64, arrived: u64) {
        self.shown.set_position(self.begin.elapsed().min(self.time).as_millis() as u64);
        self.shown.set_message(format!("{sent} sent, {arrived} arrived"));
    }

    pub(super) fn end(&self) {
        self.shown.finish_and_clear();
    }
}

/// Ctrl-C: the first ends the start of calls, the second the run.
pub(super) struct Interrupts {
    /// Set by a signal since the last look.
    flag: Arc<AtomicBool>,
    count: AtomicUsize,
}

impl Interrupts {
    pub(super) fn listen() -> Result<Self, String> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag))
                .map_err(|error| format!("cannot listen for signals: {error}"))?;
        }
        Ok(Self { flag, count: AtomicUsize::new(0) })
    }

    /// How many there have been.
    pub(super) fn count(&self) -> usize {
        // Relaxed: only this thread counts.
        if self.flag.swap(false, Ordering::Relaxed) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        self.count.load(Ordering::Relaxed)
    }

    /// The flag itself: a signal sets it.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.flag
    }
}
