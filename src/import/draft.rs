//! The strowger.toml that is being made: keys with where each came from. Our own reader is asked
//! whether it takes them, so that what is written here always starts.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use super::lexer::Place;
use crate::config::{Config, Flags};
use crate::limits;

/// One key, or one item of a list.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// As TOML.
    pub(super) value: String,
    /// `None`: nothing in the file says it.
    pub(super) place: Option<Place>,
    /// What the file says, without passwords.
    pub(super) what: String,
}

/// What could not be carried over.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) place: Option<Place>,
    pub(super) what: String,
    /// Why, or what to do instead.
    pub(super) why: String,
}

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) entries: Vec<Entry>,
    /// What is in an entry beside what that tells: where, what, and the key.
    pub(super) carried_too: Vec<(Place, String, String)>,
    pub(super) left: Vec<Left>,
}

const SECTIONS: [&str; 7] = [
    "relay",
    "dispatch",
    "dispatch.failover",
    "dispatch.probing",
    "destinations",
    "control",
    "log",
];
const LISTS: [&str; 2] = ["listen", "alias"];

impl Draft {
    /// Writes a key; what the file says last holds.
    pub(super) fn set(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: String,
        place: Option<Place>,
        what: impl Into<String>,
    ) {
        self.entries.retain(|entry| (entry.section, entry.key) != (section, key));
        self.add(section, key, value, place, what);
    }

    /// Adds an item to a list.
    pub(super) fn add(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: String,
        place: Option<Place>,
        what: impl Into<String>,
    ) {
        self.entries.push(Entry { section, key, value, place, what: what.into() });
    }

    pub(super) fn carried_too(&mut self, place: Place, what: &str, key: &str) {
        self.carried_too.push((place, what.to_owned(), key.to_owned()));
    }

    pub(super) fn left(&mut self, place: Place, what: impl Into<String>, why: impl Into<String>) {
        if self.left.len() < limits::IMPORT_LEFT_MAX {
            self.left.push(Left { place: Some(place), what: what.into(), why: why.into() });
        } else if self.left.len() == limits::IMPORT_LEFT_MAX {
            let why = "more than these could not be carried over, and are not told";
            self.left.push(Left { place: None, what: "…".into(), why: why.into() });
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    pub(super) fn has_in(&self, section: &str, key: &str) -> bool {
        self.entries.iter().any(|entry| (entry.section, entry.key) == (section, key))
    }

    /// Takes out what our reader would refuse, and says so.
    pub(super) fn settle(&mut self) {
        for _ in 0..=limits::LISTENERS_MAX + limits::ALIASES_MAX {
            if !self.has("listen") {
                let value = quoted("udp:0.0.0.0:5060");
                self.add(
                    "relay",
                    "listen",
                    value,
                    None,
                    "no UDP listener that could be carried over",
                );
            }
            let (text, lines) = self.text(|_| String::new());
            let Err(problems) =
                Config::from_text(Path::new("strowger.toml"), &text, &Flags::default())
            else {
                return;
            };
            let mut wrong = BTreeSet::new();
            for problem in problems {
                let at = problem.line.and_then(|line| lines.get(line - 1).copied().flatten());
                let Some(at) = at.filter(|at| wrong.insert(*at)) else { continue };
                let entry = &self.entries[at];
                let why = format!("{}: {}", problem.what, problem.right);
                self.left.push(Left { place: entry.place, what: entry.what.clone(), why });
            }
            for at in wrong.iter().rev() {
                self.entries.remove(*at);
            }
            if wrong.is_empty() {
                return;
            }
        }
    }

    /// The file, and for each of its lines the entry that it is of. `name` calls a file of the
    /// places, with the line.
    pub(super) fn text(&self, name: impl Fn(Place) -> String) -> (String, Vec<Option<usize>>) {
        let mut out = Out::default();
        for section in SECTIONS {
            let of_section: Vec<_> = self
                .entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| entry.section == section)
                .collect();
            if of_section.is_empty() {
                continue;
            }
            out.line(&format!("\n[{section}]"), None);
            let comment = |out: &mut Out, indent: &str, entry: &Entry| {
                let place =
                    entry.place.map(|place| format!("{}: ", name(place))).unwrap_or_default();
                out.line(&format!("{indent}# {place}{}", one_line(&entry.what)), None);
            };
            let mut lists = LISTS.to_vec();
            for (at, entry) in &of_section {
                let Some(list) = lists.iter().position(|key| *key == entry.key) else {
                    if !LISTS.contains(&entry.key) {
                        comment(&mut out, "", entry);
                        out.line(&format!("{} = {}", entry.key, entry.value), Some(*at));
                    }
                    continue;
                };
                lists.remove(list);
                out.line(&format!("{} = [", entry.key), None);
                for (at, item) in of_section.iter().filter(|(_, item)| item.key == entry.key) {
                    comment(&mut out, "    ", item);
                    out.line(&format!("    {},", item.value), Some(*at));
                }
                out.line("]", None);
            }
        }
        (out.text, out.lines)
    }
}

#[derive(Default)]
struct Out {
    text: String,
    lines: Vec<Option<usize>>,
}

impl Out {
    fn line(&mut self, text: &str, entry: Option<usize>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{text}");
        self.lines.extend(text.split('\n').map(|_| entry));
    }
}

/// A text as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    // A string of JSON is one of TOML, but for one character.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A text that fits into a comment and onto a terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .flat_map(|c| {
            let shown = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            shown.chars().collect::<Vec<_>>()
        })
        .take(limits::IMPORT_SHOWN_MAX)
        .collect();
    if line.chars().count() == limits::IMPORT_SHOWN_MAX {
        line.push('…');
    }
    line
}
