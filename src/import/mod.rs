//! A kamailio.cfg becomes a strowger.toml that does the same, and a list of what could not be
//! carried over.
//!
//! Text in, text out: nothing here opens a file. Files that are included are asked for, and the
//! script of a route is looked through, not run.

mod answer;
mod call;
mod control_sockets;
mod core;
mod draft;
mod failover;
mod flow;
mod hash_pvar;
mod lexer;
mod modules;
mod probing;
mod reader;
mod routes;
#[cfg(test)]
mod rows;
mod script;

pub use reader::Fetch;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use draft::{Draft, one_line, quoted};
use lexer::Place;
use reader::Reader;
use script::Script;
use thiserror::Error;

use crate::config::DatabaseUrl;

/// What became of a kamailio.cfg.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Import {
    /// The strowger.toml. It may hold the password of a database.
    pub toml: String,
    /// The same for the eyes of whoever stands behind the operator: without a password.
    pub toml_shown: String,
    /// What was carried over, in the order of the file.
    pub carried: Vec<Item>,
    /// What was not, in the order of the file.
    pub left: Vec<Item>,
}

/// One thing of a kamailio.cfg. No text of it holds a password or a line end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// `FILE:LINE`; empty when no line says it.
    pub line: String,
    /// What the file says.
    pub what: String,
    /// The key that it became; or why there is none, and what to do instead.
    pub then: String,
}

/// Why a text is not imported at all.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NotKamailio {
    /// Nothing in it is Kamailio's.
    #[error("{0}: not a kamailio.cfg: there is no loadmodule, no modparam and no route in it")]
    Nothing(String),
    /// It has modules of `OpenSIPS`, whose dispatcher has another table and other functions.
    #[error("{0}: a configuration of OpenSIPS, not of Kamailio: its dispatcher has another table")]
    OpenSips(String),
}

impl Import {
    /// Whether the toml holds a password.
    pub fn has_password(&self) -> bool {
        self.toml != self.toml_shown
    }
}

/// Reads the text of `file`; `defined` are names that Kamailio would be given with `-A`, with their
/// values, and `fetch` gets the text of files that are included.
///
/// # Errors
/// When nothing in it is Kamailio's.
pub fn import(
    file: &Path,
    text: &str,
    defined: &[(String, String)],
    fetch: &mut Fetch<'_>,
) -> Result<Import, NotKamailio> {
    let mut reader = Reader::new(fetch, defined);
    reader.read(file, text, 0);
    let Reader { files, tokens, problems, .. } = reader;
    let script = Script::read(&tokens);
    if script.is_empty() {
        return Err(NotKamailio::Nothing(file.display().to_string()));
    }
    // In OpenSIPS transports are modules; Kamailio has none of these names.
    if ["proto_udp", "proto_tcp", "sipmsgops"].iter().any(|name| script.module(name).is_some()) {
        return Err(NotKamailio::OpenSips(file.display().to_string()));
    }
    let mut draft = Draft::default();
    for (place, what, why) in problems {
        draft.left(place, what, why);
    }
    let force_rport = routes::read(&script, &mut draft);
    core::read(&script, force_rport, &mut draft);
    modules::read(&script, &mut draft);
    control_sockets::read(&script, &mut draft);
    draft.settle();
    if !draft.has("source") {
        let what = if modules::has_dispatcher(&script) {
            "no source of destinations that could be carried over"
        } else {
            "the dispatcher is not loaded"
        };
        let why = "strowger.db beside strowger.toml is used, and made at the first start: fill it, or write [destinations] source";
        draft.left.push(draft::Left { place: None, what: what.into(), why: why.into() });
    }
    Ok(finish(draft, &files))
}

fn finish(mut draft: Draft, files: &[PathBuf]) -> Import {
    let line = |place: Place| {
        let file = files.get(place.file).and_then(|file| file.file_name());
        let file = file.map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        one_line(&format!("{file}:{}", place.line))
    };
    draft.entries.sort_by_key(|entry| entry.place.is_none());
    let mut carried: Vec<(Option<Place>, String, String)> = draft
        .entries
        .iter()
        .map(|entry| (entry.place, entry.what.clone(), format!("{}.{}", entry.section, entry.key)))
        .chain(draft.carried_too.drain(..).map(|(place, what, key)| (Some(place), what, key)))
        .collect();
    carried.sort_by_key(|(place, ..)| (place.is_none(), *place));
    draft.left.sort_by_key(|left| (left.place.is_none(), left.place));
    let item = |place: Option<Place>, what: &str, then: &str| Item {
        line: place.map(line).unwrap_or_default(),
        what: one_line(what),
        then: one_line(then),
    };
    let carried: Vec<_> =
        carried.iter().map(|(place, what, key)| item(*place, what, key)).collect();
    let left: Vec<_> =
        draft.left.iter().map(|left| item(left.place, &left.what, &left.why)).collect();
    let name = files.first().and_then(|file| file.file_name()).unwrap_or_default();
    let head = head(&name.to_string_lossy(), &left);
    let toml = format!("{head}{}", draft.text(line).0);
    for entry in &mut draft.entries {
        if entry.key == "source" && entry.value.contains("://") {
            // As TOML writes it, so the quotes are around it.
            let url = DatabaseUrl::new(entry.value.trim_matches('"'));
            entry.value = quoted(&url.to_string());
        }
    }
    let toml_shown = format!("{head}{}", draft.text(line).0);
    Import { toml, toml_shown, carried, left }
}

/// The comment at the beginning: where it comes from, and what is missing.
fn head(name: &str, left: &[Item]) -> String {
    let mut head = format!("# Made by `strowger import` from {}.\n", one_line(name));
    if !left.is_empty() {
        head.push_str("#\n# Not carried over:\n");
    }
    for Item { line, what, then } in left {
        let line = if line.is_empty() { String::new() } else { format!("{line}: ") };
        // Writing to a string cannot fail.
        let _ = write!(head, "#   {line}{what}\n#       {then}\n");
    }
    head
}
