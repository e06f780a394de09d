//! How liberal servers read a datagram.
//!
//! Each liberty converts the datagram into the one that a strict parser would have to get to see
//! the same. What the relay forwards must mean the same under all of them; otherwise two servers in
//! a row could see two different messages.

use super::rows::{Header, Row};
use super::text::{bytes_of, is_control, text_of};
use super::{NextVia, Reading, StartLine};

/// What a reader allows itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Liberty {
    /// A line ends at a line feed; carriage returns before it are dropped.
    LoneLineFeed,
    /// A line ends at a carriage return too.
    LoneReturn,
    /// What is not printable round a field's name is not there.
    NamesTrimmed,
    /// Control bytes in the header are blanks.
    ControlsAreBlanks,
    /// Of a field that may stand once the first one counts.
    FirstWins,
    /// Of a field that may stand once the last one counts.
    LastWins,
    /// What is no row is not there.
    BadRowsIgnored,
}

/// All of them.
pub(crate) const ALL: [Liberty; 7] = [
    Liberty::LoneLineFeed,
    Liberty::LoneReturn,
    Liberty::NamesTrimmed,
    Liberty::ControlsAreBlanks,
    Liberty::FirstWins,
    Liberty::LastWins,
    Liberty::BadRowsIgnored,
];

/// What such a reader sees; `None` when that is what is there.
pub(crate) fn read(datagram: &[u8], liberty: Liberty) -> Option<Reading> {
    read_all(datagram, &[liberty]).pop().map(|(_, reading)| reading)
}

/// What the readers with these liberties see, where it is not what is there.
pub(crate) fn read_all(datagram: &[u8], liberties: &[Liberty]) -> Vec<(Liberty, Reading)> {
    let text = text_of(datagram);
    let text = text.trim_start_matches(['\r', '\n']);
    let (first_line, rest) = text.split_once("\r\n").unwrap_or((text, ""));
    let Header { rows, body } = Header::read(rest);
    let mut seen = Vec::new();
    for liberty in liberties {
        let other = match liberty {
            Liberty::LoneLineFeed => with_line_ends(text, "\n"),
            Liberty::LoneReturn => with_line_ends(text, "\r\n"),
            _ => {
                let changed = liberty.rows(&rows);
                if changed.iter().eq(rows.iter().map(|row| &row.whole)) {
                    continue;
                }
                let end = body.as_ref().map_or(String::new(), |body| format!("\r\n{body}"));
                format!("{first_line}\r\n{}{end}", changed.concat())
            }
        };
        if other != text {
            seen.push((*liberty, Reading::of(&bytes_of(&other))));
        }
    }
    seen
}

impl Liberty {
    /// The rows as this reader sees them.
    fn rows(self, rows: &[Row]) -> Vec<String> {
        let whole = |row: &Row| row.whole.clone();
        let none_is = |others: &[Row], row: &Row| !others.iter().any(|one| is_again(one, row));
        let numbered = rows.iter().enumerate();
        match self {
            Self::NamesTrimmed => rows.iter().map(|row| with_trimmed_name(&row.whole)).collect(),
            Self::ControlsAreBlanks => {
                let is_blank = |c| is_control(c) && c != '\r' && c != '\n';
                rows.iter().map(|row| row.whole.replace(is_blank, " ")).collect()
            }
            Self::FirstWins => {
                let first = numbered.filter(|(at, row)| none_is(&rows[..*at], row));
                first.map(|(_, row)| whole(row)).collect()
            }
            Self::LastWins => {
                let last = numbered.filter(|(at, row)| none_is(&rows[at + 1..], row));
                last.map(|(_, row)| whole(row)).collect()
            }
            Self::BadRowsIgnored => rows.iter().filter(|row| row.is_good).map(whole).collect(),
            Self::LoneLineFeed | Self::LoneReturn => rows.iter().map(whole).collect(),
        }
    }
}

/// Says where two readings of what leaves would make a server decide otherwise. Max-Breadth decides
/// something where it is used only.
pub(crate) fn difference(
    strict: &Reading,
    liberal: &Reading,
    uses_max_breadth: bool,
) -> Option<String> {
    let mut strict = strict.clone();
    let mut liberal = liberal.clone();
    // How the whole values are spelt decides nothing, nor does a Route of a response.
    for reading in [&mut strict, &mut liberal] {
        (reading.from, reading.to) = (None, None);
        if matches!(reading.start_line, StartLine::Response { .. }) {
            reading.routes = None;
        }
        reading.max_breadth = reading.max_breadth.filter(|_| uses_max_breadth);
    }
    // A Via below the topmost decides nothing where the message goes now: it is for the next one to
    // read, who drops what it cannot.
    if strict.next_via == NextVia::Bad {
        liberal.next_via = NextVia::Bad;
    }
    if strict == liberal {
        return None;
    }
    let (strict, liberal) = (format!("{strict:#?}"), format!("{liberal:#?}"));
    let lines = strict.lines().zip(liberal.lines()).filter(|(a, b)| a != b).take(4);
    Some(lines.map(|(a, b)| format!("{} / {}\n", a.trim(), b.trim())).collect())
}

/// The same with proper line ends, where `ends` are the bytes that end a line.
fn with_line_ends(text: &str, ends: &str) -> String {
    if !text.replace("\r\n", "").contains(['\r', '\n']) {
        return text.to_owned();
    }
    let mut header = String::new();
    let mut rest = text;
    while let Some((line, after)) = rest.split_once(|c| ends.contains(c)) {
        let is_pair = ends.contains('\r') && rest[line.len()..].starts_with("\r\n");
        rest = if is_pair { &after[1..] } else { after };
        let line = line.trim_end_matches('\r');
        header.push_str(line);
        header.push_str("\r\n");
        if line.is_empty() {
            break;
        }
    }
    header + rest
}

fn with_trimmed_name(row: &str) -> String {
    match row.split_once(':') {
        Some((name, value)) => {
            let name = name.trim_matches(|c: char| !c.is_ascii_graphic());
            format!("{name}:{value}")
        }
        None => row.to_owned(),
    }
}

/// Whether both rows are the same field, which may stand once.
fn is_again(one: &Row, other: &Row) -> bool {
    super::MAY_STAND_ONCE.contains(&one.name.as_str()) && one.name == other.name
}
