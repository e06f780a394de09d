//! Prints what was measured, for people and for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::measure::{AtRate, Highest};
use super::relay::Kind;

/// What was measured of one relay, each time once per round.
pub(super) struct Row {
    pub(super) kind: Kind,
    /// By rate.
    pub(super) at_rates: Vec<Vec<AtRate>>,
    pub(super) highest: Vec<Highest>,
    pub(super) bytes_per_call: Option<f64>,
}

/// Everything.
pub(super) struct Report {
    pub(super) rates: Vec<f64>,
    pub(super) rows: Vec<Row>,
}

/// Three figures of several rounds.
#[derive(Clone, Copy)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<_> = values.into_iter().collect();
        all.sort_by(f64::total_cmp);
        let (least, most) = (*all.first()?, *all.last()?);
        Some(Self { least, median: all[all.len() / 2], most })
    }

    /// `1.32 (1.28-1.40)`
    fn text(self) -> String {
        let Self { least, median, most } = self;
        format!("{median:.2} ({least:.2}-{most:.2})")
    }
}

impl Report {
    fn row(&self, kind: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.kind == kind)
    }

    /// The ratios of a figure to that of another relay in the same round.
    fn ratio(&self, row: &Row, to: Kind, figures: impl Fn(&Row) -> Vec<f64>) -> Option<Spread> {
        let other = figures(self.row(to)?);
        let ratios = figures(row).into_iter().zip(other).filter(|(_, other)| *other > 0.0);
        Spread::of(ratios.map(|(own, other)| own / other))
    }

    /// The tables.
    pub(super) fn text(&self) -> String {
        let (disturbed, all) = self.disturbed();
        let noise = if self.is_too_noisy() {
            format!(
                "\n\ntoo noisy to tell: in {disturbed} of {all} measurements other processes and the \
                 host took more than a tenth of a core. Run it again on a quiet machine."
            )
        } else {
            String::new()
        };
        format!("{}\n\n{}{noise}", self.costs(), self.limits())
    }

    fn costs(&self) -> String {
        let mut table = new_table(&[
            "relay",
            "calls a second",
            "CPU us per message",
            "to the null relay",
            "to Kamailio's",
            "added, us: p50",
            "p99",
            "bad calls",
        ]);
        for (at, rate) in self.rates.iter().enumerate() {
            for row in self.rows.iter().filter(|row| row.kind != Kind::Direct) {
                let samples = &row.at_rates[at];
                let cpu = |row: &Row| row.at_rates[at].iter().map(|s| s.cpu_us).collect::<Vec<_>>();
                let to = |to| self.ratio(row, to, cpu).map_or_else(String::new, Spread::text);
                let added = |share: usize| {
                    let direct = self.row(Kind::Direct);
                    let direct = direct.and_then(|direct| {
                        Spread::of(direct.at_rates[at].iter().map(|s| s.answer_us[share]))
                    });
                    let own = Spread::of(samples.iter().map(|s| s.answer_us[share]));
                    own.zip(direct).map_or_else(String::new, |(own, direct)| {
                        format!("{:.0}", (own.median - direct.median).max(0.0))
                    })
                };
                table.add_row([
                    row.kind.name(),
                    format!("{rate:.0}"),
                    Spread::of(cpu(row))
                        .map_or_else(String::new, |all| format!("{:.1}", all.median)),
                    if row.kind == Kind::Null { String::new() } else { to(Kind::Null) },
                    row.kind.counterpart().map_or_else(String::new, to),
                    added(0),
                    added(1),
                    samples.iter().map(|sample| sample.bad).sum::<u64>().to_string(),
                ]);
            }
        }
        aligned(table)
    }

    fn limits(&self) -> String {
        let mut table = new_table(&[
            "relay",
            "highest calls a second",
            "to the null relay",
            "to Kamailio's",
            "bytes per ringing call",
        ]);
        for row in &self.rows {
            let calls = |row: &Row| row.highest.iter().map(|h| h.calls).collect::<Vec<_>>();
            let highest = Spread::of(calls(row)).map_or_else(String::new, |all| {
                let mark = if row.highest.iter().any(|h| h.is_of_generator) { " *" } else { "" };
                format!("{:.0}{mark}", all.median)
            });
            let to = |to| self.ratio(row, to, calls).map_or_else(String::new, Spread::text);
            let has_ratio = !matches!(row.kind, Kind::Null | Kind::Direct);
            table.add_row([
                row.kind.name(),
                highest,
                if has_ratio { to(Kind::Null) } else { String::new() },
                row.kind.counterpart().map_or_else(String::new, to),
                row.bytes_per_call.map_or_else(String::new, |bytes| format!("{bytes:.0}")),
            ]);
        }
        let marked = self.rows.iter().flat_map(|row| &row.highest).any(|h| h.is_of_generator);
        let note = if marked { "\n* the generator can do no more" } else { "" };
        aligned(table) + note
    }

    /// In how many measurements at a fixed rate others took too much, and how many there are.
    fn disturbed(&self) -> (usize, usize) {
        let samples = self.rows.iter().flat_map(|row| row.at_rates.iter().flatten());
        let disturbed: Vec<_> = samples.map(|sample| sample.disturbed > NOISY).collect();
        (disturbed.iter().filter(|is_so| **is_so).count(), disturbed.len())
    }

    /// Whether that is more than every fifth. A few change no median.
    fn is_too_noisy(&self) -> bool {
        let (disturbed, all) = self.disturbed();
        disturbed * 5 > all
    }

    /// All figures.
    pub(super) fn json(&self) -> Value {
        let at_rate = |sample: &AtRate| {
            json!({
                "cpu_us_per_message": sample.cpu_us,
                "answer_us": { "p50": sample.answer_us[0], "p99": sample.answer_us[1] },
                "bad_calls": sample.bad,
                "disturbed": sample.disturbed,
            })
        };
        let row = |row: &Row| {
            let rates = self.rates.iter().zip(&row.at_rates).map(|(rate, samples)| {
                json!({ "rate": rate, "rounds": samples.iter().map(at_rate).collect::<Vec<_>>() })
            });
            let highest = row.highest.iter().map(|highest| {
                json!({ "calls": highest.calls, "is_of_generator": highest.is_of_generator })
            });
            json!({
                "relay": row.kind.name(),
                "at_rates": rates.collect::<Vec<_>>(),
                "highest": highest.collect::<Vec<_>>(),
                "bytes_per_call": row.bytes_per_call,
            })
        };
        json!({
            "relays": self.rows.iter().map(row).collect::<Vec<_>>(),
            "is_too_noisy": self.is_too_noisy(),
        })
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn aligned(mut table: Table) -> String {
    for (at, column) in table.column_iter_mut().enumerate() {
        if at > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// More of a core than this taken by others makes ratios unreliable.
const NOISY: f64 = 0.1;
