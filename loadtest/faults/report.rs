//! What the calls say about a fault, as a row.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use loadtest::record::{CallOutcome, End};
use serde_json::{Value, json};

use super::fault::{Fault, HEALTHY};
use super::subject::Kind;

/// The figures of one fault and one relay.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) fault: Fault,
    pub(super) kind: Kind,
    calls: usize,
    lost: usize,
    refused: usize,
    late: usize,
    byes_lost: usize,
    /// The longest time from an INVITE to its 200, of the calls of the fault.
    slowest: Duration,
    /// From the fault to the beginning of the last call that it touched.
    out_after: Option<Duration>,
    /// From the end of the fault to the first call that went well, when all were dead.
    back_after: Option<Duration>,
    /// Which share of the calls each server took while the fault lasted, in percent.
    shares: [f64; 4],
}

impl Row {
    pub(super) fn of(fault: Fault, kind: Kind, calls: &[CallOutcome]) -> Self {
        let end = HEALTHY + fault.lasts();
        let is_during = |call: &&CallOutcome| (HEALTHY..end).contains(&call.due);
        let touched = calls.iter().filter(|call| is_touched(call)).filter(is_during);
        let out_after = (!matches!(fault, Fault::All | Fault::Flap | Fault::Loss))
            .then(|| touched.map(|call| call.due.saturating_sub(HEALTHY)).next_back())
            .flatten();
        let back = calls.iter().find(|call| call.due >= end && !is_touched(call));
        let back_after =
            (fault == Fault::All).then(|| back.map(|call| call.due.saturating_sub(end))).flatten();
        let mut taken = [0_usize; 4];
        for call in calls.iter().filter(is_during) {
            if let Some((_, Some(server))) = call.end.answer()
                && let Some(taken) = taken.get_mut(usize::from(server).wrapping_sub(1))
            {
                *taken += 1;
            }
        }
        let slowest = calls.iter().filter(is_during).filter_map(|call| Some(call.end.answer()?.0));
        let slowest = slowest.max().unwrap_or_default();
        let all = taken.iter().sum::<usize>().max(1);
        let count = |is: fn(&End) -> bool| calls.iter().filter(|call| is(&call.end)).count();
        Self {
            fault,
            kind,
            calls: calls.len(),
            lost: count(|end| *end == End::Lost),
            refused: count(|end| matches!(end, End::Unexpected(_))),
            late: count(|end| end.answer().is_some_and(|(after, _)| after >= LATE)),
            byes_lost: count(|end| matches!(end, End::ByeLost { .. })),
            slowest,
            out_after,
            back_after,
            shares: taken.map(|taken| 100.0 * taken as f64 / all as f64),
        }
    }

    pub(super) fn json(&self) -> Value {
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        json!({
            "fault": self.fault.says(),
            "relay": self.kind.name(),
            "calls": self.calls,
            "lost": self.lost,
            "refused": self.refused,
            "late": self.late,
            "byes_lost": self.byes_lost,
            "slowest_ms": self.slowest.as_millis() as u64,
            "out_after_ms": ms(self.out_after),
            "back_after_ms": ms(self.back_after),
            "shares_percent": self.shares,
        })
    }

    fn cells(&self) -> [String; 9] {
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let time = match (self.out_after, self.back_after) {
            (Some(out), _) => ms(out),
            (_, Some(back)) => format!("back {}", ms(back)),
            _ if matches!(self.fault, Fault::Flap | Fault::All | Fault::Loss) => "-".into(),
            _ => "0 ms".into(),
        };
        let shares: Vec<_> = self.shares.iter().map(|share| format!("{share:.0}")).collect();
        [
            self.fault.says().into(),
            self.kind.name().into(),
            self.calls.to_string(),
            self.lost.to_string(),
            self.refused.to_string(),
            self.late.to_string(),
            ms(self.slowest),
            time,
            shares.join(" / "),
        ]
    }
}

/// Returns whether a call failed or needed a second try: its first INVITE went to a server in
/// trouble.
fn is_touched(call: &CallOutcome) -> bool {
    call.end.answer().is_none_or(|(after, _)| after >= LATE)
}

/// The rows for a terminal.
pub(super) fn text(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEADER);
    for row in rows {
        table.add_row(row.cells());
    }
    for column in 2..=7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// The rows for a document.
pub(super) fn markdown(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&HEADER.map(str::to_owned));
    text.push_str("|---|---|--:|--:|--:|--:|--:|--:|---|\n");
    for row in rows {
        text.push_str(&line(&row.cells()));
    }
    text
}

const HEADER: [&str; 9] =
    ["fault", "relay", "calls", "lost", "refused", "late", "slowest", "out after", "shares %"];
/// An INVITE that is sent a second time is answered no earlier (T1).
const LATE: Duration = Duration::from_millis(450);
