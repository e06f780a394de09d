//! What was found, for eyes and for programs.

use std::fmt::Write as _;

use comfy_table::ContentArrangement;
use serde_json::{Value, json};
use strowger::tune::{Advice, Finding, Report, Row};

use super::super::client::shown;
use super::super::show;
use super::name;

/// The machine, a table of what to change, each of it in full, and what is fine.
pub(super) fn text(report: &Report) -> String {
    let mut table = show::table(&["advice", "severity", "found", "right"]);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    let width = table.width().unwrap_or(WIDTH).max(WIDTH);
    table.set_width(width);
    for (row, advice) in report.advice() {
        table.add_row([
            show::cell(&name(row)),
            show::cell(row.check.severity.word()),
            show::cell(&advice.found),
            show::cell(&advice.right),
        ]);
    }
    let width = usize::from(width);
    let mut text = String::new();
    for line in &report.machine {
        text.push_str(&wrapped("", &shown(line), width));
    }
    let count = report.advice().count();
    if count > 0 {
        let _ = writeln!(text, "\n{}", show::text(&table));
        for (row, advice) in report.advice() {
            text.push('\n');
            text.push_str(&in_full(row, advice, width));
        }
    }
    let fine = report.rows.iter().filter(|row| matches!(row.finding, Finding::Fine(_)));
    let fine: Vec<String> = fine.map(name).collect();
    let unknown = report.rows.iter().filter_map(|row| match &row.finding {
        Finding::Unknown(why) => Some(format!("{} ({why})", name(row))),
        _ => None,
    });
    let unknown: Vec<String> = unknown.collect();
    text.push('\n');
    text.push_str(&wrapped("fine: ", &fine.join(", "), width));
    if !unknown.is_empty() {
        text.push_str(&wrapped("not known: ", &unknown.join(", "), width));
    }
    let applicable = report.advice().filter(|(_, advice)| !advice.changes.is_empty()).count();
    let last = match count {
        0 => "Everything is fine.".to_owned(),
        _ => format!(
            "{count} to change; strowger tune --apply does {applicable} of them until the next \
             restart. tuning/advice.md explains each."
        ),
    };
    text.push('\n');
    text.push_str(&wrapped("", &last, width));
    text
}

/// The narrowest table that is readable.
const WIDTH: u16 = 80;

/// An advice with its reason and its commands. Commands are not wrapped, since they are copied.
fn in_full(row: &Row, advice: &Advice, width: usize) -> String {
    let mut text = wrapped(&format!("{}: ", name(row)), row.check.cost, width);
    let _ = writeln!(text, "  see  {}", shown(&advice.see));
    for (line, word) in
        advice.by_hand.iter().zip(["do "].into_iter().chain(std::iter::repeat("   ")))
    {
        let _ = writeln!(text, "  {word}  {}", shown(line));
    }
    text
}

/// A paragraph in lines of this width; all but the first begin with two spaces.
fn wrapped(start: &str, words: &str, width: usize) -> String {
    let mut text = start.trim_end().to_owned();
    let mut column = text.chars().count();
    for word in words.split(' ') {
        let len = word.chars().count();
        if column > 0 && column + 1 + len > width {
            text.push_str("\n ");
            column = 1;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += len;
    }
    text.push('\n');
    text
}

/// The same as one object.
pub(super) fn json(report: &Report) -> Value {
    let mut advice = Vec::new();
    let mut fine = Vec::new();
    let mut unknown = Vec::new();
    for row in &report.rows {
        let (id, card) = (row.check.id, &row.card);
        match &row.finding {
            Finding::Fine(found) => fine.push(json!({ "id": id, "card": card, "found": found })),
            Finding::Unknown(why) => unknown.push(json!({ "id": id, "card": card, "why": why })),
            Finding::Advice(found) => {
                let changes = found.changes.iter();
                let changes = changes.map(|change| json!({ "path": change.path, "to": change.to }));
                advice.push(json!({
                    "id": id,
                    "card": card,
                    "severity": row.check.severity.word(),
                    "cost": row.check.cost,
                    "found": found.found,
                    "right": found.right,
                    "see": found.see,
                    "by_hand": found.by_hand,
                    "changes": changes.collect::<Value>(),
                }));
            }
        }
    }
    json!({
        "ok": advice.is_empty(),
        "machine": report.machine,
        "advice": advice,
        "fine": fine,
        "unknown": unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs() {
        for (start, words, wants) in [
            ("", "a b", "a b\n"),
            ("fine: ", "a b", "fine: a b\n"),
            ("", "1234567890", "1234567890\n"),
            ("", "12345 67890 12345", "12345\n  67890\n  12345\n"),
            ("", "12345 789 12", "12345 789\n  12\n"),
            ("", "123456 789", "123456 789\n"),
        ] {
            assert_eq!(wrapped(start, words, 10), wants, "{start}{words}");
        }
    }
}
