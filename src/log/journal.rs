//! Sends log lines to the systemd journal as records with fields, if standard error is the journal.
//!
//! The log thread sends them, so nobody else waits for the journal.

use std::fmt::Debug;
use std::io;

use systemd_journal_logger::{JournalLog, connected_to_journal};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// One event: its sentence, and its fields under the names that they have in the journal.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Record {
    level: Level,
    target: &'static str,
    message: String,
    fields: Vec<(String, String)>,
}

impl Record {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut record = Self {
            level: *metadata.level(),
            target: metadata.target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut record);
        record
    }

    /// Returns the line for standard error, when the journal's socket does not take the record.
    pub(super) fn to_line(&self) -> Vec<u8> {
        format!("{} {}\n", self.level, self.message).into_bytes()
    }

    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((format!("{PREFIX}{}", name.to_ascii_uppercase()), value)),
        }
    }
}

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// The socket of the journal.
pub(super) struct Journal(JournalLog);

impl Journal {
    /// Connects to the journal if standard error is the journal: `JOURNAL_STREAM`, systemd.exec(5).
    pub(super) fn of_standard_error() -> Option<io::Result<Self>> {
        connected_to_journal().then(|| {
            let journal = JournalLog::empty()?;
            Ok(Self(journal.with_syslog_identifier("strowger".into())))
        })
    }

    pub(super) fn send(&self, record: &Record) -> io::Result<()> {
        let fields: Vec<_> =
            record.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.0.journal_send(
            &log::Record::builder()
                .args(format_args!("{}", record.message))
                .level(level_with_priority_of(record.level))
                .target(record.target)
                .key_values(&fields.as_slice())
                .build(),
        )
    }
}

/// Returns the level that the library sends with the priority of the same name. It shifts levels to
/// tell debug from trace: its `Info` is "notice", which journalctl shows in bold.
fn level_with_priority_of(level: Level) -> log::Level {
    match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Debug,
        _ => log::Level::Trace,
    }
}

/// In front of our fields, so that they are not taken for those of the journal.
const PREFIX: &str = "STROWGER_";

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Subscriber;
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Keeps the records of a closure.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Record>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(Record::of(event));
        }
    }

    #[test]
    fn an_event_becomes_a_sentence_and_fields() {
        let kept = Kept::default();
        let address: std::net::SocketAddr = "192.0.2.1:5060".parse().unwrap();
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(kept.clone()),
            || {
                let (uid, by) = (Some(1_000), "a command of alice");
                tracing::info!(event = "added", set = 7, %address, uid, by, "set 7: added, by {by}");
                tracing::warn!(target: "dispatch", saved = None::<&str>, "two\nlines");
            },
        );
        let records = std::mem::take(&mut *kept.0.lock().unwrap());
        let field = |name: &str, value: &str| (format!("STROWGER_{name}"), value.to_owned());
        let fields = [
            ("EVENT", "added"),
            ("SET", "7"),
            ("ADDRESS", "192.0.2.1:5060"),
            ("UID", "1000"),
            ("BY", "a command of alice"),
        ];
        let wants = [
            Record {
                level: Level::INFO,
                target: module_path!(),
                message: "set 7: added, by a command of alice".into(),
                fields: fields.map(|(name, value)| field(name, value)).into(),
            },
            Record {
                level: Level::WARN,
                target: "dispatch",
                message: "two\nlines".into(),
                fields: vec![],
            },
        ];
        assert_eq!(records, wants);
        assert_eq!(records[0].to_line(), b"INFO set 7: added, by a command of alice\n");
    }
}
