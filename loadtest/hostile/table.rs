//! Prints the results for people, for documents and for programs.

use comfy_table::{ContentArrangement, presets};
use serde_json::json;

use super::stage::Row;
use super::subject::Kind;

/// All rows, those of one attack and one thing side by side.
pub(super) struct Table {
    kinds: Vec<Kind>,
    lines: Vec<Line>,
}

struct Line {
    attack: &'static str,
    what: String,
    must: &'static str,
    figures: Vec<Option<Row>>,
}

impl Table {
    pub(super) fn new(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), lines: Vec::new() }
    }

    pub(super) fn add(&mut self, attack: &'static str, kind: Kind, row: Row) {
        let place = self.kinds.iter().position(|k| *k == kind).expect("a relay of this run");
        let at = self.lines.iter().position(|line| line.attack == attack && line.what == row.what);
        let at = at.unwrap_or_else(|| {
            let figures = vec![None; self.kinds.len()];
            self.lines.push(Line { attack, what: row.what.clone(), must: row.must, figures });
            self.lines.len() - 1
        });
        self.lines[at].figures[place] = Some(row);
    }

    /// Whether everything that must happen to Strowger did.
    pub(super) fn holds(&self) -> bool {
        let Some(place) = self.kinds.iter().position(|kind| *kind == Kind::Strowger) else {
            return true;
        };
        let rows = self.lines.iter().filter_map(|line| line.figures[place].as_ref());
        rows.into_iter().all(|row| row.holds != Some(false))
    }

    pub(super) fn text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.header());
        for line in self.cells() {
            table.add_row(line);
        }
        table.to_string()
    }

    pub(super) fn markdown(&self) -> String {
        let row = |cells: Vec<String>| {
            let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let header = self.header();
        let rule = vec!["---".to_owned(); header.len()];
        let lines: String = self.cells().map(row).collect();
        row(header) + &row(rule) + &lines
    }

    pub(super) fn json(&self) -> String {
        let mut rows = Vec::new();
        for line in &self.lines {
            for (kind, row) in self.kinds.iter().zip(&line.figures) {
                if let Some(row) = row {
                    rows.push(json!({
                        "attack": line.attack, "what": line.what, "must": line.must,
                        "subject": kind.name(), "figure": row.figure, "holds": row.holds,
                    }));
                }
            }
        }
        format!("{:#}\n", json!({ "rows": rows }))
    }

    fn header(&self) -> Vec<String> {
        let columns = ["attack", "what", "must"].map(str::to_owned).into_iter();
        columns.chain(self.kinds.iter().map(|kind| kind.name().to_owned())).collect()
    }

    fn cells(&self) -> impl Iterator<Item = Vec<String>> + '_ {
        self.lines.iter().map(|line| {
            let begin = [line.attack.to_owned(), line.what.clone(), line.must.to_owned()];
            let figures = self.kinds.iter().zip(&line.figures).map(|(kind, row)| match row {
                Some(row) if *kind == Kind::Strowger && row.holds == Some(false) => {
                    format!("{} (!)", row.figure)
                }
                Some(row) => row.figure.clone(),
                None => String::new(),
            });
            begin.into_iter().chain(figures).collect()
        })
    }
}
