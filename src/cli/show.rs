//! Tables and lines for a terminal or a pipe.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use serde_json::Value;

use super::client::{Trouble, shown};

/// Prints what a command found, and says on standard error when it cannot be written.
pub(super) fn print(text: &str) -> ExitCode {
    match put(&format!("{}\n", text.trim_end())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.tell(),
    }
}

/// Writes to standard output.
pub(super) fn put(text: &str) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// What became of a write to standard output. A reader that closes its pipe has read enough.
pub(super) fn written(result: io::Result<()>) -> Result<(), Trouble> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Trouble(vec![format!("cannot write to standard output: {error}")]))
        }
        _ => Ok(()),
    }
}

/// Prints a reply: as it came when JSON is wanted, else as `text` writes it.
pub(super) fn reply(
    reply: Result<Value, Trouble>,
    is_json: bool,
    text: impl FnOnce(&Value) -> String,
) -> ExitCode {
    match reply {
        Ok(value) if is_json => print(&format!("{value:#}")),
        Ok(value) => print(&text(&value)),
        Err(trouble) => trouble.tell(),
    }
}

/// A table without lines, its columns wide enough for what they hold, unless the terminal is narrower:
/// then long texts go on in the next line of their column.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    if let Some(width) = table.width() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width);
    }
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    if !has_colours() {
        table.force_no_tty();
    }
    table
}

/// The width of the terminal that standard output is; `None` if it is none.
pub(super) fn width() -> Option<u16> {
    Table::new().width()
}

/// Numbers stand at the right.
pub(super) fn right(table: &mut Table, columns: &[usize]) {
    for at in columns {
        if let Some(column) = table.column_mut(*at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The table as text, without spaces at the ends of its lines.
pub(super) fn text(table: &Table) -> String {
    table.trim_fmt()
}

/// A cell with whatever text.
pub(super) fn cell(text: &str) -> Cell {
    Cell::new(shown(text))
}

/// A state as word and letters, such as `active (AP)`, in its colour.
pub(super) fn state(word: &str, letters: &str) -> Cell {
    let text = if letters.is_empty() { word.to_owned() } else { format!("{word} ({letters})") };
    let cell = Cell::new(shown(&text));
    match word {
        "active" => cell.fg(Color::Green),
        "trying" | "full" => cell.fg(Color::Yellow),
        "inactive" | "unresolved" | "not reached" => cell.fg(Color::Red),
        "disabled" => cell.fg(Color::DarkGrey),
        _ => cell,
    }
}

/// What stands above all else while the whole relay is drained.
pub(super) fn drained(is_drained: bool) -> &'static str {
    if is_drained {
        "the relay is drained: new requests get 503; strowger drain --off ends that\n\n"
    } else {
        ""
    }
}

/// The warnings of a reply, a line each, for standard error.
pub(super) fn warn(reply: &Value) {
    let mut err = io::stderr().lock();
    for warning in all(reply, "warnings").iter().filter_map(Value::as_str) {
        // When standard error is gone there is nobody left to tell.
        let _ = writeln!(err, "strowger: warning: {}", shown(warning));
    }
}

/// Whether standard output is somebody's eyes, who did not ask for plain text.
pub(super) fn has_colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// A member as text: a string as it is, anything else as JSON writes it, what is absent as nothing.
pub(super) fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The members of an array; none when it is not there.
pub(super) fn all<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// `1 record`, `2 records`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
