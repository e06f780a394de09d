//! What is plotted of a report.

use super::Report;
use super::figures::{count, percent};
use super::svg::{Axis, Line, Plot};
use crate::record::Latency;

/// The times by percentile: the further to the right, the rarer.
pub(super) fn by_percentile(report: &Report) -> Option<Plot> {
    let all = &report.latencies;
    let longest = all.iter().map(|row| row.count).max().filter(|count| *count > 0)?;
    // There is nothing to see beyond one in all of them.
    let rarest = (longest as f64).clamp(100.0, 100_000.0);
    let place = |percent: f64| (1.0 / (1.0 - percent / 100.0).max(1e-9)).min(rarest);
    let us =
        |row: &super::LatencyRow| row.percentiles.iter().map(|(_, us)| *us).collect::<Vec<_>>();
    let values: Vec<f64> = all.iter().flat_map(us).filter(|us| *us > 0.0).collect();
    let least = values.iter().copied().fold(f64::MAX, f64::min).max(1.0);
    let most = values.iter().copied().fold(0.0, f64::max);
    let ticks = [
        (0.0, "0"),
        (90.0, "90"),
        (99.0, "99"),
        (99.9, "99.9"),
        (99.99, "99.99"),
        (99.999, "99.999"),
    ];
    let ticks =
        ticks.into_iter().map(|(percent, text)| (1.0 / (1.0 - percent / 100.0), text.to_owned()));
    Some(Plot {
        x: Axis {
            from: 1.0,
            to: rarest,
            is_log: true,
            ticks: ticks.filter(|(value, _)| *value <= rarest * 1.01).collect(),
            name: "percentile",
        },
        y: Axis::log("", (least, most), tick),
        lines: all
            .iter()
            .map(|row| Line {
                name: row.name.clone(),
                colour: colour_of(&row.name),
                points: row.percentiles.iter().map(|(p, us)| (place(*p), *us)).collect(),
            })
            .collect(),
        bars: Vec::new(),
    })
}

/// The same time has the same colour in every report.
fn colour_of(name: &str) -> usize {
    Latency::EACH.iter().position(|latency| latency.name() == name).unwrap_or(0)
}

/// How many were started in each second, and how many of these went wrong.
pub(super) fn rate_over_time(report: &Report) -> Option<Plot> {
    let series = &report.series;
    let full = full_slices(report);
    let per_second = |count: u64| count as f64 / series.slice_seconds;
    let rows: Vec<_> = series.rows.iter().take(full).enumerate().collect();
    if rows.is_empty() {
        return None;
    }
    let middle = |at: usize| (at as f64 + 0.5) * series.slice_seconds;
    let most =
        rows.iter().map(|(_, row)| per_second(row.started.max(row.good))).fold(0.0, f64::max);
    let is_flood = report.traffic == "flood";
    let names = if is_flood { ["sent", "arrived", "lost"] } else { ["started", "good", "bad"] };
    let line = |name: &str, colour, value: fn(&super::SliceRow) -> u64| Line {
        name: name.to_owned(),
        colour,
        points: rows.iter().map(|(at, row)| (middle(*at), per_second(value(row)))).collect(),
    };
    let bars = rows.iter().map(|(at, row)| {
        let from = *at as f64 * series.slice_seconds;
        let title = format!(
            "{from:.2} s: {} of {} {}, {}",
            count(row.bad),
            count(row.started),
            names[2],
            percent(row.bad, row.started)
        );
        (from, from + series.slice_seconds, per_second(row.bad), BAD, title)
    });
    Some(Plot {
        x: seconds(rows.len() as f64 * series.slice_seconds),
        y: Axis::linear("", most, short),
        bars: bars.collect(),
        lines: vec![
            line(names[0], WIDE, |row| row.started),
            line(names[1], 1, |row| row.good),
            // Drawn as bars; a line of nothing gives it its name.
            Line { name: names[2].into(), colour: BAD, points: Vec::new() },
        ],
    })
}

/// How long answers took in the course of the run.
pub(super) fn latency_over_time(report: &Report) -> Option<Plot> {
    let series = &report.series;
    let rows: Vec<_> = series.rows.iter().enumerate().filter(|(_, row)| row.max_us > 0.0).collect();
    if rows.is_empty() {
        return None;
    }
    let middle = |at: usize| (at as f64 + 0.5) * series.slice_seconds;
    let line = |name: &str, colour, value: fn(&super::SliceRow) -> f64| Line {
        name: name.to_owned(),
        colour,
        points: rows.iter().map(|(at, row)| (middle(*at), value(row))).collect(),
    };
    let least = rows.iter().map(|(_, row)| row.p50_us.max(1.0)).fold(f64::MAX, f64::min);
    let most = rows.iter().map(|(_, row)| row.max_us).fold(0.0, f64::max);
    Some(Plot {
        x: seconds(series.rows.len() as f64 * series.slice_seconds),
        y: Axis::log("", (least, most), tick),
        bars: Vec::new(),
        lines: vec![
            line("p50", 0, |row| row.p50_us),
            line("p99", 1, |row| row.p99_us),
            line("longest", 2, |row| row.max_us),
        ],
    })
}

/// Slices that lasted to their end: what is left over at the end would look like a fall.
fn full_slices(report: &Report) -> usize {
    let series = &report.series;
    let full = (report.seconds / series.slice_seconds.max(1e-9) + 0.02) as usize;
    full.min(series.rows.len()).max(usize::from(!series.rows.is_empty()))
}

fn seconds(most: f64) -> Axis {
    let mut axis =
        Axis::linear("seconds", most, |value| format!("{}", (value * 100.0).round() / 100.0));
    // The plot ends where the run does.
    axis.to = most;
    axis.ticks.retain(|(value, _)| *value <= most);
    axis
}

/// A count at an axis: 1.5k.
fn short(value: f64) -> String {
    let shown = |value: f64, unit: &str| format!("{}{unit}", (value * 100.0).round() / 100.0);
    match value {
        1e6.. => shown(value / 1e6, "M"),
        1e3.. => shown(value / 1e3, "k"),
        _ => shown(value, ""),
    }
}

/// A power of ten of microseconds at an axis.
fn tick(us: f64) -> String {
    match us {
        ..1e3 => format!("{us} us"),
        ..1e6 => format!("{} ms", us / 1e3),
        _ => format!("{} s", us / 1e6),
    }
}

/// A broad and pale line, so that another one on it is seen.
const WIDE: usize = 8;
/// The colour of what went wrong.
const BAD: usize = 7;

#[cfg(test)]
mod tests {
    use super::super::text::tests::example;
    use super::*;

    #[test]
    fn percentiles_become_rarer_to_the_right() {
        let plot = by_percentile(&example()).unwrap();
        assert_eq!(plot.lines.len(), 3);
        // The third is the lag, which is dashed.
        let colours: Vec<_> = plot.lines.iter().map(|line| line.colour).collect();
        assert_eq!(colours, [0, 3, 6]);
        let line = &plot.lines[0];
        assert_eq!((line.name.as_str(), line.points[1]), ("answer", (2.0, 140.0)));
        assert!(line.points.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        // Of 9,998 calls the 99.99th percentile is the last that means something.
        assert_eq!(line.points.last(), Some(&(9_998.0, 30_000.0)));
        let ticks: Vec<_> = plot.x.ticks.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(ticks, ["0", "90", "99", "99.9", "99.99"]);
        let mut none = example();
        none.latencies.clear();
        assert!(by_percentile(&none).is_none());
    }

    #[test]
    fn rates_are_per_second_whatever_the_slice() {
        let mut report = example();
        report.series.slice_seconds = 0.25;
        report.seconds = 2.4;
        let plot = rate_over_time(&report).unwrap();
        // The tenth slice was cut short.
        assert_eq!(plot.lines[0].points.len(), 9);
        assert_eq!(plot.lines[0].points[0], (0.125, 4_000.0));
        assert_eq!((plot.bars[1].0, plot.bars[1].2), (0.25, 4.0));
        assert_eq!(plot.bars[1].4, "0.25 s: 1 of 1,000 bad, 0.10 %");
        assert_eq!(plot.x.to, 2.25);
        report.series.rows.clear();
        assert!(rate_over_time(&report).is_none());
    }

    #[test]
    fn latency_over_time_leaves_out_what_has_none() {
        let mut report = example();
        report.series.rows[3].max_us = 0.0;
        let plot = latency_over_time(&report).unwrap();
        assert_eq!(plot.lines.iter().map(|line| line.points.len()).collect::<Vec<_>>(), [9, 9, 9]);
        assert_eq!(plot.lines[2].points[0], (0.5, 3_000.0));
    }

    #[test]
    fn what_stands_at_axes() {
        assert_eq!([0.0, 250.0, 1_500.0, 2e6].map(short), ["0", "250", "1.5k", "2M"]);
        assert_eq!(
            [1.0, 100.0, 1e3, 1e5, 1e6, 1e7].map(tick),
            ["1 us", "100 us", "1 ms", "100 ms", "1 s", "10 s"]
        );
    }
}
