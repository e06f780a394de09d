//! The fields of a header (RFC 3261 §7.3.1).

use super::text::{is_token, is_token_char, trim};

/// One row with its folds.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The long name in lower case.
    pub(crate) name: String,
    /// What follows the colon, each line end of a fold turned into a space.
    pub(crate) value: String,
    /// All of it as it came, the last line end included.
    pub(crate) whole: String,
    /// A name of token characters, blanks, a colon; CR and LF only together.
    pub(crate) is_good: bool,
}

/// The rows, and the body when the blank line before it is there.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) rows: Vec<Row>,
    pub(crate) body: Option<String>,
}

impl Header {
    /// Reads what follows the first line. A header has at most 1,024 lines: in a longer one the rest
    /// is one bad row.
    pub(crate) fn read(text: &str) -> Self {
        let (mut rows, mut lines) = (Vec::new(), 0);
        let mut rest = text;
        loop {
            if let Some(body) = rest.strip_prefix("\r\n") {
                return Self { rows, body: Some(body.to_owned()) };
            }
            if rest.is_empty() {
                return Self { rows, body: None };
            }
            let (row, after) = rest.split_at(row_len(rest));
            lines += row.replace("\r\n", "\n").matches(['\r', '\n']).count();
            if lines > 1_024 {
                rows.push(Row { is_good: false, ..Row::read(rest) });
                return Self { rows, body: None };
            }
            rows.push(Row::read(row));
            rest = after;
        }
    }
}

/// A message in its parts, none of them changed.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) first_line: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) body: String,
}

impl Parts {
    /// Takes a message apart that has a first line and a blank line.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches(['\r', '\n']);
        let (first_line, after) = text.split_once("\r\n").ok_or("no first line")?;
        let Header { rows, body } = Header::read(after);
        Ok(Self { first_line: first_line.to_owned(), rows, body: body.ok_or("no blank line")? })
    }

    /// The rows of the field with this long name.
    pub(crate) fn all(&self, long: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.is(long))
    }

    /// The first row of a field, which must have one.
    pub(crate) fn first(&self, long: &str) -> &Row {
        self.all(long).next().unwrap_or_else(|| panic!("no {long} in {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        let rows: String = self.rows.iter().map(|row| row.whole.as_str()).collect();
        format!("{}\r\n{rows}\r\n{}", self.first_line, self.body)
    }
}

impl Row {
    fn read(whole: &str) -> Self {
        let without_end = whole.strip_suffix("\r\n");
        let text = without_end.unwrap_or(whole);
        let (before, value) = text.split_once(':').unwrap_or((text, ""));
        let name = before.trim_end_matches([' ', '\t']);
        // Line ends that are left once the folds are taken out stand alone.
        let unfolded = value.replace("\r\n", " ");
        let is_good = without_end.is_some()
            && text.contains(':')
            && is_token(name)
            && !unfolded.contains(['\r', '\n']);
        Self { name: long_name(name), value: unfolded, whole: whole.to_owned(), is_good }
    }

    /// What follows the colon as it came, without the blanks at its ends.
    pub(crate) fn raw(&self) -> &str {
        trim(self.whole.split_once(':').map_or("", |(_, value)| value))
    }

    /// Whether it is the field with this long name, which may be written compact and in any case.
    pub(crate) fn is(&self, long: &str) -> bool {
        self.is_good && self.name == long
    }
}

/// Up to the first line end that no blank follows.
fn row_len(text: &str) -> usize {
    let mut len = 0;
    loop {
        let Some(line) = text[len..].find("\r\n") else {
            return text.len();
        };
        len += line + 2;
        if !text[len..].starts_with([' ', '\t']) {
            return len;
        }
    }
}

fn long_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let long = COMPACT.iter().find(|(short, _)| *short == name).map(|(_, long)| (*long).to_owned());
    long.unwrap_or(name)
}

/// Compact forms (§7.3.3) of the fields that a relay reads.
const COMPACT: [(&str, &str); 5] =
    [("v", "via"), ("f", "from"), ("t", "to"), ("i", "call-id"), ("l", "content-length")];

/// The leading token characters.
pub(crate) fn leading_token(text: &str) -> &str {
    &text[..text.find(|c| !is_token_char(c)).unwrap_or(text.len())]
}
