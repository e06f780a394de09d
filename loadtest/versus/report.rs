//! Prints what was measured, for people and for programs.

use serde_json::{Value, json};

use super::columns;
use super::measure::{AtRate, Highest};
use super::relay::Kind;
use super::samples::Samples;

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

/// Returns `1.32 (1.28-1.40)`; nothing if there are no ratios.
fn spread(ratios: &Samples) -> String {
    if ratios.is_empty() {
        return String::new();
    }
    format!("{:.2} ({:.2}-{:.2})", ratios.median(), ratios.least(), ratios.most())
}

impl Report {
    fn row(&self, kind: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.kind == kind)
    }

    /// The ratios of a figure to that of another relay in the same round.
    fn ratios(&self, row: &Row, to: Kind, figures: impl Fn(&Row) -> Vec<f64>) -> Samples {
        let other = self.row(to).map(&figures).unwrap_or_default();
        let rounds = figures(row).into_iter().zip(other);
        rounds.filter(|(_, other)| *other > 0.0).map(|(own, other)| own / other).collect()
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
        let mut table = columns::table(&[
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
                let to = |to| spread(&self.ratios(row, to, cpu));
                let answer = |row: &Row, share: usize| {
                    let samples = row.at_rates[at].iter();
                    samples.map(|s| s.answer_us[share]).collect::<Samples>().median()
                };
                let added = |share| {
                    let direct = self.row(Kind::Direct).map(|direct| answer(direct, share));
                    let added = direct.map(|direct| (answer(row, share) - direct).max(0.0));
                    added.map_or_else(String::new, |added| format!("{added:.0}"))
                };
                table.add_row([
                    row.kind.name(),
                    format!("{rate:.0}"),
                    format!("{:.1}", Samples::from_iter(cpu(row)).median()),
                    if row.kind == Kind::Null { String::new() } else { to(Kind::Null) },
                    row.kind.counterpart().map_or_else(String::new, to),
                    added(0),
                    added(1),
                    samples.iter().map(|sample| sample.bad).sum::<u64>().to_string(),
                ]);
            }
        }
        columns::text(table, 1)
    }

    fn limits(&self) -> String {
        let mut table = columns::table(&[
            "relay",
            "highest calls a second",
            "to the null relay",
            "to Kamailio's",
            "bytes per ringing call",
        ]);
        for row in &self.rows {
            let calls = |row: &Row| row.highest.iter().map(|h| h.calls).collect::<Vec<_>>();
            let mark = if row.highest.iter().any(|h| h.is_of_generator) { " *" } else { "" };
            let highest = Samples::from_iter(calls(row)).median();
            let to = |to| spread(&self.ratios(row, to, calls));
            let has_ratio = !matches!(row.kind, Kind::Null | Kind::Direct);
            table.add_row([
                row.kind.name(),
                format!("{highest:.0}{mark}"),
                if has_ratio { to(Kind::Null) } else { String::new() },
                row.kind.counterpart().map_or_else(String::new, to),
                row.bytes_per_call.map_or_else(String::new, |bytes| format!("{bytes:.0}")),
            ]);
        }
        let marked = self.rows.iter().flat_map(|row| &row.highest).any(|h| h.is_of_generator);
        let note = if marked { "\n* the generator can do no more" } else { "" };
        columns::text(table, 1) + note
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

/// More of a core than this taken by others makes ratios unreliable.
const NOISY: f64 = 0.1;
