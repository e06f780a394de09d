//! What is logged, and how it looks: as text or JSON on standard error, as records in the journal.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::DISPATCH;
use super::journal::{Journal, Record};
use super::lines::{Lines, Text};

/// Sends all logs to standard error, from `level` upwards, as text or JSON; in colour only on a
/// terminal, and with fields if it is the journal. Keep the guard until the end: dropping it writes
/// the queued lines, for at most a second.
///
/// # Errors
/// The log thread cannot be started.
pub fn init(level: tracing::Level, json: bool) -> io::Result<LogGuard> {
    // Who asks for JSON gets lines of JSON, from the journal too.
    let (journal, unreachable) = match Journal::of_standard_error().filter(|_| !json) {
        Some(Ok(journal)) => (Some(journal), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let has_journal = journal.is_some();
    let lines = Lines::start(io::stderr, journal)?;
    // A second call, in a process that already logs, changes nothing.
    let _ = STANDARD_ERROR.set(lines.clone());
    let guard = LogGuard { lines: lines.clone() };
    // Our resolver reports a failing name server once; the library would log it every time.
    let library = if level > tracing::Level::INFO { level.into() } else { LevelFilter::OFF };
    let wanted = Targets::new()
        .with_default(LevelFilter::from_level(level))
        .with_target("hickory", library)
        .with_target(DISPATCH, LevelFilter::INFO.max(LevelFilter::from_level(level)));
    let registry = tracing_subscriber::registry().with(wanted);
    if has_journal {
        let _ = tracing::subscriber::set_global_default(registry.with(Collector(lines)));
        return Ok(guard);
    }
    // Never let the subscriber report a failed write: it would do so on standard error, and panic.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(lines);
    let _ = if json {
        tracing::subscriber::set_global_default(registry.with(layer.json()))
    } else {
        let colours = io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        // The sentence says it all to people; the fields are for programs.
        let sentence =
            debug_fn(
                |out, field, value| {
                    if field.name() == "message" { write!(out, "{value:?}") } else { Ok(()) }
                },
            );
        let layer = layer.with_target(false).with_ansi(colours).fmt_fields(sentence);
        tracing::subscriber::set_global_default(registry.with(layer))
    };
    if let Some(error) = unreachable {
        tracing::warn!("the journal does not take records, log lines have no fields: {error}");
    }
    Ok(guard)
}

/// Writes the queued lines, for at most a second.
pub(crate) fn flush() {
    if let Some(lines) = STANDARD_ERROR.get() {
        lines.flush(FLUSH_TIME_MAX);
    }
}

/// Returns how many dispatch lines were lost so far on the way to standard error.
pub(crate) fn dispatch_lines_lost() -> u64 {
    STANDARD_ERROR.get().map_or(0, Lines::dispatch_lines_lost)
}

/// The queue that [`init`] made.
static STANDARD_ERROR: OnceLock<Lines> = OnceLock::new();

/// Writes the queued lines when it is dropped.
#[derive(Debug)]
pub struct LogGuard {
    lines: Lines,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.lines.flush(FLUSH_TIME_MAX);
    }
}

/// Puts what events say into the queue of the log thread, which sends it to the journal.
#[derive(Debug)]
struct Collector(Lines);

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.queue(Text::Record(Record::of(event)), event.metadata().target() == DISPATCH);
    }
}

const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);
