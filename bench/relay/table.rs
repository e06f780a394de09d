//! Prints the results for people and for programs.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use super::poll_word;
use super::round::{Entry, Plan, Round};
use super::subject::Kind;

/// A row for each subject and rate: medians over the rounds, ratios with their range.
pub(super) fn render(plan: &Plan, rounds: &[Round]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "subject",
        "planned/s",
        "offered/s",
        "forwarded/s",
        "loss %",
        "core busy %",
        "user %",
        "p50 us",
        "p99 us",
        "CPU us/message",
        "ratio to null (min-max)",
    ]);
    for rate in &plan.rates {
        for entry in &plan.entries {
            let of_row = |round: &&Round| round.entry == *entry && round.rate == *rate;
            let row: Vec<&Round> = rounds.iter().filter(of_row).collect();
            let mid = |value: fn(&Round) -> f64| median(row.iter().map(|r| value(r)).collect());
            let delay = |at: usize| {
                let delays: Option<Vec<f64>> = row.iter().map(|r| r.delay_us[at]).collect();
                delays.map_or_else(|| "-".to_owned(), |delays| format!("{:.0}", median(delays)))
            };
            let planned = if *rate == 0 { "all".to_owned() } else { rate.to_string() };
            table.add_row([
                name(*entry),
                planned,
                format!("{:.0}", mid(|r| r.offered)),
                format!("{:.0}", mid(|r| r.forwarded)),
                format!("{:.2}", 100.0 * mid(|r| r.loss)),
                format!("{:.0}", 100.0 * mid(|r| r.busy)),
                format!("{:.0}", 100.0 * mid(|r| r.user)),
                delay(0),
                delay(1),
                format!("{:.2}", mid(|r| r.cpu_us)),
                ratios(rounds, &row),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let bytes = rounds.first().map_or(0, |round| round.message_bytes);
    let most = |value: fn(&Round) -> f64| 100.0 * rounds.iter().map(value).fold(0.0, f64::max);
    format!(
        "{table}\n\nINVITEs of {bytes} bytes, {} rounds of {:.1} s; in the worst round other \
         processes took {:.0} % and the host {:.0} % of one core",
        plan.rounds,
        plan.time.as_secs_f64(),
        most(|r| r.others),
        most(|r| r.stolen)
    )
}

/// Every round as it was.
pub(super) fn json(rounds: &[Round]) -> String {
    let rounds: Vec<_> = rounds
        .iter()
        .map(|r| {
            json!({
                "round": r.number, "subject": name(r.entry), "planned_per_s": r.rate,
                "delay_p50_us": r.delay_us[0], "delay_p99_us": r.delay_us[1],
                "message_bytes": r.message_bytes, "offered_per_s": r.offered,
                "forwarded_per_s": r.forwarded, "loss": r.loss, "cpu_us_per_message": r.cpu_us,
                "core_busy": r.busy, "user_share": r.user, "others": r.others, "stolen": r.stolen,
            })
        })
        .collect();
    format!("{:#}", json!({ "rounds": rounds }))
}

/// The subject and its mode: `strowger, adaptive`.
fn name(entry: Entry) -> String {
    let name = entry.kind.name();
    if entry.kind.has_modes() { format!("{name}, {}", poll_word(entry.poll)) } else { name.into() }
}

/// To the null relay of the same round, rate and mode.
fn ratios(rounds: &[Round], row: &[&Round]) -> String {
    let ratios: Vec<f64> = row
        .iter()
        .filter_map(|round| {
            let wants = Entry { kind: Kind::Null, ..round.entry };
            let null = rounds.iter().find(|other| {
                (other.entry, other.number, other.rate) == (wants, round.number, round.rate)
            })?;
            Some(round.cpu_us / null.cpu_us)
        })
        .collect();
    if ratios.is_empty() {
        return String::new();
    }
    let (min, max) =
        ratios.iter().fold((f64::MAX, 0.0_f64), |(min, max), r| (min.min(*r), max.max(*r)));
    format!("{:.2} ({min:.2}-{max:.2})", median(ratios))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
