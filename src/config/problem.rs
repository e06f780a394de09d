//! What is wrong with what the operator wrote, where, and what would be right.

use std::fmt::{self, Write};

use crate::destination::Origin;
use crate::limits;

/// One mistake in a file or a flag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The file as it was named, or the flag (`--listen`).
    pub file: String,
    /// The line, from 1; `None` for the whole file, or for a flag.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// The `id` of the row, when it is of a database's table.
    pub row: Option<i64>,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub right: String,
}

impl Problem {
    /// A problem of a whole file, or of a flag.
    pub fn of(file: &str, what: impl Into<String>, right: impl Into<String>) -> Self {
        let (what, right) = (what.into(), right.into());
        Self { file: file.into(), line: None, column: None, row: None, what, right }
    }

    /// A problem of one line.
    pub fn at(file: &str, line: usize, what: impl Into<String>, right: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::of(file, what, right) }
    }

    /// A problem of one record of a source.
    pub fn of_record(
        source: &str,
        origin: Origin,
        what: impl Into<String>,
        right: impl Into<String>,
    ) -> Self {
        let whole = Self::of(source, what, right);
        match origin {
            Origin::Line(line) => Self { line: Some(line), ..whole },
            Origin::Row(id) => Self { row: Some(id), ..whole },
            Origin::Command => whole,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(row) = self.row {
            write!(f, ": row {row}")?;
        }
        write!(f, ": {}: {}", Shown(&self.what), Shown(&self.right))
    }
}

/// A text as a terminal may show it: what is wrong often quotes the file, and that may hold
/// anything.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// In the order of the lines or rows, each once, and no more than can be read.
pub(crate) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.line, problem.row, problem.column));
    problems.dedup();
    let more = problems.len().saturating_sub(limits::PROBLEMS_MAX);
    if more > 0 {
        problems.truncate(limits::PROBLEMS_MAX);
        let file = problems[0].file.clone();
        problems.push(Problem::of(&file, format!("{more} more problems"), "fix these first"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_problems_are_cut() {
        let many = (0..1_000).map(|line| Problem::at("f", line, "w", "r")).collect();
        let told = in_order(many);
        assert_eq!(told.len(), limits::PROBLEMS_MAX + 1);
        assert_eq!(told.last().unwrap().to_string(), "f: 900 more problems: fix these first");
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let problem = Problem::at("f", 1, "a user \u{1b}]0;x\u{7}", "write sip:\0\u{9b}\u{e9}");
        assert_eq!(
            problem.to_string(),
            "f:1: a user \\u{1b}]0;x\\u{7}: write sip:\\u{0}\\u{9b}\u{e9}"
        );
    }
}
