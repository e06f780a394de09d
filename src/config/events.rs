//! `[events]`: which programs are told when the state of a destination changes.

use std::path::Path;
use std::time::Duration;

use super::document::{Document, Section};
use crate::limits;

const KEYS: &[&str] = &["command", "webhook", "timeout_ms"];

/// `[events]`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventsConfig {
    /// `command`: a program and its arguments; empty: none.
    pub command: Vec<String>,
    /// `webhook`: an HTTP or HTTPS URL.
    pub webhook: Option<String>,
    /// `timeout_ms`: the longest time that the command runs and the webhook is waited for.
    pub timeout: Duration,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self { command: Vec::new(), webhook: None, timeout: limits::EVENT_TIMEOUT_DEFAULT }
    }
}

/// Reads `[events]`.
pub(super) fn read(document: &mut Document, section: &Section) -> EventsConfig {
    section.only(document, KEYS, &[]);
    let mut events = EventsConfig::default();
    if let Some(words) = section.strings(document, "command", EXAMPLE) {
        let program = words.first().map(|(program, _)| Path::new(*program));
        let wrong = match program {
            None => Some("command: an empty list".to_owned()),
            Some(program) if !program.is_absolute() => {
                Some(format!("command: {} is not an absolute path", program.display()))
            }
            Some(program) if !program.is_file() => {
                Some(format!("command: {} is not a file", program.display()))
            }
            Some(_) => None,
        };
        match wrong {
            Some(what) => {
                let right = format!("write the path of a program and its arguments: {EXAMPLE}");
                document.wrong(&section.place("command"), section.what(&what), right);
            }
            None => events.command = words.iter().map(|(word, _)| (*word).to_owned()).collect(),
        }
    }
    if let Some((url, place)) = section.string(document, "webhook") {
        let has_host = ["http://", "https://"].iter().any(|scheme| {
            let rest = url.strip_prefix(scheme);
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
        if has_host && !url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            events.webhook = Some(url.to_owned());
        } else {
            let what = section.what(&format!("webhook: {url:?} is not a URL of HTTP"));
            document.wrong(&place, what, "write https://HOST/PATH or http://HOST/PATH");
        }
    }
    if let Some(ms) =
        section.integer(document, "timeout_ms", &limits::EVENT_TIMEOUT_MS, " (milliseconds)")
    {
        events.timeout = Duration::from_millis(ms);
    }
    events
}

const EXAMPLE: &str = "[\"/usr/local/bin/on-change\", \"--site\", \"west\"]";
