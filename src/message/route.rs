//! The Route values of a request, in order, and which of them are to be removed.

use super::cursor::{Cursor, trim};
use super::edit::Edits;
use super::header::{HeaderName, Rows};
use super::name_addr::NameAddr;
use super::read::Message;
use super::span::Span;
use super::uri::Uri;
use crate::limits::ROUTES_MAX;

/// One Route value.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteValue {
    /// Its URI, without the angle brackets.
    pub uri: Span,
    /// The same, read.
    pub parts: Uri,
    /// From its first byte to its last, parameters included.
    value: Span,
    row: Span,
    has_brackets: bool,
    is_removed: bool,
}

/// The Route values of a request.
#[derive(Debug)]
pub struct Routes {
    values: [RouteValue; ROUTES_MAX],
    count: usize,
}

impl Default for Routes {
    fn default() -> Self {
        Self { values: [RouteValue::default(); ROUTES_MAX], count: 0 }
    }
}

impl Routes {
    // Route       = "Route" HCOLON route-param *(COMMA route-param)
    // route-param = name-addr *( SEMI rr-param )
    //
    // Generous: angle brackets may be missing, as some stacks write it. The URI must be one, and
    // without headers (§19.1.1), since it may become the Request-URI.
    /// Collects the Route values; false when one is malformed or there are too many.
    pub fn read(&mut self, message: &Message, bytes: &[u8]) -> bool {
        self.count = 0;
        let Some((first, first_value)) = message.first_route_row else {
            return true;
        };
        if !self.read_row(bytes, first, first_value) {
            return false;
        }
        // Most requests have one row, and their header is not walked again.
        message.route_rows == 1 || self.read_rows(bytes, first.end(), message.route_rows - 1)
    }

    /// Reads so many Route rows behind the first one.
    #[inline(never)]
    fn read_rows(&mut self, bytes: &[u8], at: usize, count: usize) -> bool {
        let rows = Rows::new(bytes, at).filter(|row| row.name == HeaderName::Route);
        rows.take(count).all(|row| self.read_row(bytes, row.whole, row.value))
    }

    fn read_row(&mut self, bytes: &[u8], row: Span, row_value: Span) -> bool {
        let mut rest = trim(bytes, row_value);
        loop {
            let Some(read) = NameAddr::read(bytes, rest) else {
                return false;
            };
            let parts = Uri::read(bytes, read.uri).filter(|uri| !uri.has_headers);
            let (Some(parts), Some(place)) = (parts, self.values.get_mut(self.count)) else {
                return false;
            };
            *place = RouteValue {
                uri: read.uri,
                parts,
                value: Span::new(rest.start(), read.end),
                row,
                has_brackets: read.has_brackets,
                is_removed: false,
            };
            self.count += 1;
            let after = Span::new(read.end, rest.end());
            // NameAddr::read stops only at the end or before a comma, which blanks may surround.
            let comma = if after.is_empty() { after } else { trim(bytes, after) };
            if comma.is_empty() {
                return true;
            }
            rest = trim(bytes, Span::new(comma.start() + 1, comma.end()));
        }
    }

    /// Whether there is none, removed or not.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The topmost value that is not removed, with its number.
    pub fn top(&self) -> Option<(usize, RouteValue)> {
        self.left().next()
    }

    /// The last value that is not removed, with its number.
    pub fn last(&self) -> Option<(usize, RouteValue)> {
        self.left().last()
    }

    fn left(&self) -> impl Iterator<Item = (usize, RouteValue)> + '_ {
        let all = self.values[..self.count].iter().enumerate();
        all.filter(|(_, value)| !value.is_removed).map(|(number, value)| (number, *value))
    }

    /// Marks a value for removal.
    pub fn remove(&mut self, number: usize) {
        self.values[number].is_removed = true;
    }

    /// Marks all values for removal.
    pub fn remove_all(&mut self) {
        self.values[..self.count].iter_mut().for_each(|value| value.is_removed = true);
    }

    /// Where a further row would follow the last Route row.
    pub fn end_of_rows(&self) -> Option<usize> {
        self.count.checked_sub(1).map(|last| self.values[last].row.end())
    }

    /// Adds the edits that remove the marked values, and the rows that are left empty by it.
    pub fn edit(&self, edits: &mut Edits) {
        let values = &self.values[..self.count];
        for row in values.chunk_by(|a, b| a.row == b.row) {
            if row.iter().all(|value| value.is_removed) {
                edits.remove(row[0].row);
                continue;
            }
            let mut at = 0;
            while at < row.len() {
                if !row[at].is_removed {
                    at += 1;
                    continue;
                }
                // A run of removed values goes with the commas that led to what follows it, or,
                // at the end of the row, with the commas before it.
                let run_start = at;
                while at < row.len() && row[at].is_removed {
                    at += 1;
                }
                edits.remove(match row.get(at) {
                    Some(next) => Span::new(row[run_start].value.start(), next.value.start()),
                    None => Span::new(row[run_start - 1].value.end(), row[at - 1].value.end()),
                });
            }
        }
    }
}

impl RouteValue {
    /// Whether its URI says loose routing: `lr`, `LR` or `lr=…` (§19.1.1).
    pub fn is_loose(&self, bytes: &[u8]) -> bool {
        self.parts.has_parameter(bytes, b"lr")
            // Without angle brackets the parameters of the URI are those of the field.
            || (!self.has_brackets && self.has_parameter(bytes, b"lr"))
    }

    fn has_parameter(&self, bytes: &[u8], name: &[u8]) -> bool {
        let mut cursor = Cursor::new(bytes, Span::new(self.uri.end(), self.value.end()));
        while cursor.eat_separator(b';')
            && let Some(parameter) = cursor.parameter()
        {
            if parameter.name.of(bytes).eq_ignore_ascii_case(name) {
                return true;
            }
        }
        false
    }
}
