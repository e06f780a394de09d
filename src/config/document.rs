//! A TOML document with its lines: typed look-ups that collect problems and go on.
//!
//! The spanned document is walked by hand, because deriving a reader would stop at the first
//! mistake. Nothing here knows a key of ours.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use crate::limits;
use crate::words::{did_you_mean, nearest};

/// A key or word that is designed, but not in this version, and what there is instead.
pub(crate) type Later<'a> = &'a [(&'a str, &'a str)];

/// Where a value stands in the text.
pub(crate) type Place = Range<usize>;

/// One file's text and what is wrong with it.
pub(crate) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
    broken_lines: BTreeSet<usize>,
    /// What was found so far.
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Document<'a> {
    /// Parses the text; syntax errors become problems and the rest is still read.
    pub(crate) fn parse(file: &'a str, text: &'a str) -> (Self, Spanned<DeTable<'a>>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self {
            file,
            text,
            line_starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(end, _)| end + 1))
                .collect(),
            broken_lines: BTreeSet::new(),
            problems: Vec::new(),
        };
        for error in errors {
            document.syntax(&error);
        }
        (document, table)
    }

    /// Whether the text is TOML at all.
    pub(crate) fn is_broken(&self) -> bool {
        !self.broken_lines.is_empty()
    }

    /// Notes a problem. On a line whose syntax is broken it would only repeat that.
    pub(crate) fn wrong(
        &mut self,
        place: &Place,
        what: impl Into<String>,
        right: impl Into<String>,
    ) {
        if self.has_enough() {
            return;
        }
        let (line, column) = self.line_and_column(place.start);
        if self.broken_lines.contains(&line) {
            return;
        }
        self.problems.push(Problem {
            file: self.file.into(),
            line: Some(line),
            column: Some(column),
            row: None,
            what: what.into(),
            right: right.into(),
        });
    }

    fn syntax(&mut self, error: &toml::de::Error) {
        let at = error.span().map_or(0, |span| span.start);
        // One mistake often makes several errors on its line; the first says it.
        if self.has_enough() || !self.broken_lines.insert(self.line_of(at)) {
            return;
        }
        let (line, column) = self.line_and_column(at);
        let (what, expected) = match error.message().split_once(", expected ") {
            Some((what, expected)) => (what, Some(expected)),
            None => (error.message(), None),
        };
        let written = self.text[self.line_starts[line - 1]..].lines().next().unwrap_or("");
        let right = if written.contains(['“', '”', '„', '‘', '’']) {
            "write straight quotes: \"…\"".to_owned()
        } else if let Some(expected) = expected {
            format!("expected {expected}")
        } else if what.starts_with("duplicate") {
            "write it once".to_owned()
        } else {
            "write key = value lines under [section] lines, strings in quotes".to_owned()
        };
        self.problems.push(Problem {
            file: self.file.into(),
            line: Some(line),
            column: Some(column),
            row: None,
            what: what.into(),
            right,
        });
    }

    /// Only the first are told; a file that is no configuration at all is not searched to its end.
    fn has_enough(&self) -> bool {
        self.problems.len() >= 10 * limits::PROBLEMS_MAX
    }

    fn line_and_column(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.line_of(at);
        let line_start = self.line_starts[line - 1];
        (line, 1 + self.text[line_start..at].chars().count())
    }

    fn line_of(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }
}

/// One table of the document, with the name that problems call it by.
pub(crate) struct Section<'d, 'a> {
    /// `[relay]`
    pub(crate) name: String,
    table: &'d DeTable<'a>,
}

impl<'d, 'a> Section<'d, 'a> {
    /// The table itself, for the top of the document.
    pub(crate) fn top(table: &'d DeTable<'a>) -> Self {
        Self { name: String::new(), table }
    }

    /// A table under another name.
    pub(crate) fn new(name: String, table: &'d DeTable<'a>) -> Self {
        Self { name, table }
    }

    /// Complains about every key that is not in `known`.
    pub(crate) fn only(&self, document: &mut Document, known: &[&str], later: Later) {
        self.only_here(document, known, later, &[]);
    }

    /// As [`only`](Self::only), for a section whose keys others call by other names: for each of
    /// theirs, what is right here.
    pub(crate) fn only_here(
        &self,
        document: &mut Document,
        known: &[&str],
        later: Later,
        elsewhere: &[(&str, &str)],
    ) {
        for (key, _) in self.table {
            let word = key.get_ref().as_ref();
            if known.contains(&word) {
                continue;
            }
            let what = self.what(&format!("unknown key {word:?}"));
            if let Some((_, instead)) = later.iter().find(|(name, _)| *name == word) {
                let what = self.what(&format!("{word:?} is not available in this version"));
                document.wrong(&key.span(), what, *instead);
            } else if let Some((_, here)) = elsewhere.iter().find(|(name, _)| *name == word) {
                let what = self.what(&format!("{word:?} is Kamailio's word"));
                document.wrong(&key.span(), what, *here);
            } else {
                document.wrong(&key.span(), what, did_you_mean(word, known));
            }
        }
    }

    /// The keys and values, as written.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'d str, Place, &'d Spanned<DeValue<'a>>)> + use<'d, 'a> {
        let table = self.table;
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'d Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    /// The table under a key.
    pub(crate) fn section(&self, document: &mut Document, key: &str) -> Option<Section<'d, 'a>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => {
                let name = if self.name.is_empty() { format!("[{key}]") } else { self.what(key) };
                Some(Section::new(name, table))
            }
            other => {
                let right = if self.name.is_empty() {
                    format!("write [{key}] on a line of its own, then its keys")
                } else {
                    "write { key = value, … }".to_owned()
                };
                self.wrong_type(document, key, value, other, "a table", &right);
                None
            }
        }
    }

    /// A string.
    pub(crate) fn string(&self, document: &mut Document, key: &str) -> Option<(&'d str, Place)> {
        let value = self.get(key)?;
        if let DeValue::String(text) = value.get_ref() {
            return Some((text.as_ref(), value.span()));
        }
        self.wrong_type(document, key, value, value.get_ref(), "a string", "write it in quotes");
        None
    }

    /// true or false.
    pub(crate) fn boolean(&self, document: &mut Document, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        if let DeValue::Boolean(on) = value.get_ref() {
            return Some(*on);
        }
        self.wrong_type(
            document,
            key,
            value,
            value.get_ref(),
            "true or false",
            "write true or false, without quotes",
        );
        None
    }

    /// A whole number in this range; `unit` follows the number in messages.
    pub(crate) fn integer(
        &self,
        document: &mut Document,
        key: &str,
        range: &RangeInclusive<u64>,
        unit: &str,
    ) -> Option<u64> {
        let value = self.get(key)?;
        let right = format!("write a number from {} to {}{unit}", range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(document, key, value, value.get_ref(), "a whole number", &right);
            return None;
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let what = self.what(&format!("{key}: {number} is out of range"));
                document.wrong(&value.span(), what, right);
                None
            }
        }
    }

    /// A number with at most two decimals, in hundredths; 0 is allowed, too.
    pub(crate) fn hundredths(
        &self,
        document: &mut Document,
        key: &str,
        range: &RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = self.get(key)?;
        let [from, to] = [range.start(), range.end()].map(|number| f64::from(*number) / 100.0);
        let right =
            format!("write a number from {from} to {to} with at most two decimals, or 0 for none");
        let text = match value.get_ref() {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            other => {
                self.wrong_type(document, key, value, other, "a number", &right);
                return None;
            }
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let number = format!("{whole}{decimals:0<2}").parse().ok();
        let is_right =
            |number: &u32| decimals.len() <= 2 && (*number == 0 || range.contains(number));
        let number = number.filter(is_right);
        if number.is_none() {
            let what = self.what(&format!("{key}: {text} is not such a number"));
            document.wrong(&value.span(), what, right);
        }
        number
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &self,
        document: &mut Document,
        key: &str,
        words: &[(&str, T)],
        later: Later,
    ) -> Option<T> {
        let (text, place) = self.string(document, key)?;
        match choose(text, key, words, later) {
            Ok(value) => Some(value),
            Err((what, right)) => {
                document.wrong(&place, self.what(&format!("{key}: {what}")), right);
                None
            }
        }
    }

    /// A list; `None` when the key is missing or no list.
    pub(crate) fn list(
        &self,
        document: &mut Document,
        key: &str,
        example: &str,
    ) -> Option<Vec<&'d Spanned<DeValue<'a>>>> {
        let value = self.get(key)?;
        if let DeValue::Array(items) = value.get_ref() {
            return Some(items.iter().collect());
        }
        let right = format!("write a list: {key} = {example}");
        self.wrong_type(document, key, value, value.get_ref(), "a list", &right);
        None
    }

    /// A list of strings, those that are none left out.
    pub(crate) fn strings(
        &self,
        document: &mut Document,
        key: &str,
        example: &str,
    ) -> Option<Vec<(&'d str, Place)>> {
        let items = self.list(document, key, example)?;
        let mut strings = Vec::with_capacity(items.len());
        for item in items {
            if let DeValue::String(text) = item.get_ref() {
                strings.push((text.as_ref(), item.span()));
            } else {
                let right = format!("write strings: {key} = {example}");
                self.wrong_type(document, key, item, item.get_ref(), "a string", &right);
            }
        }
        Some(strings)
    }

    /// Where the value of a key stands.
    pub(crate) fn place(&self, key: &str) -> Place {
        self.get(key).map_or(0..0, Spanned::span)
    }

    /// `[relay] what`
    pub(crate) fn what(&self, what: &str) -> String {
        if self.name.is_empty() { what.into() } else { format!("{} {what}", self.name) }
    }

    /// Complains about a type. The value itself is not told: it might be a secret.
    pub(crate) fn wrong_type(
        &self,
        document: &mut Document,
        key: &str,
        value: &Spanned<DeValue>,
        found: &DeValue,
        wanted: &str,
        right: &str,
    ) {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let what = self.what(&format!("{key}: {found} where {wanted} belongs"));
        document.wrong(&value.span(), what, right);
    }
}

/// The value of a word, or what is wrong and what would be right.
pub(crate) fn choose<T: Copy>(
    text: &str,
    noun: &str,
    words: &[(&str, T)],
    later: Later,
) -> Result<T, (String, String)> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    let all = known.iter().copied().chain(later.iter().map(|(word, _)| *word));
    let near = nearest(text, all);
    if let Some((word, instead)) = later.iter().find(|(word, _)| near == Some(*word)) {
        let what = format!("{word:?} is not available in this version");
        return Err((what, (*instead).to_owned()));
    }
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    let what = format!("{text:?} is not {article} {noun}");
    Err((what, did_you_mean(text, &known)))
}
