//! Two reports side by side.

use super::figures::{count, rate, time};
use super::text::{right, summary, table};
use super::{Figure, Report};

/// A table of two reports. A ratio is of the second to the first.
pub fn compare(names: [&str; 2], reports: [&Report; 2]) -> String {
    let [a, b] = reports;
    let mut table = table(&["", names[0], names[1], "ratio"]);
    let mut row = |name: &str, values: [f64; 2], show: &dyn Fn(f64) -> String| {
        table.add_row([name.into(), show(values[0]), show(values[1]), ratio(values)]);
    };
    let whole = |value: f64| count(value as u64);
    row("started a second", [a.rate, b.rate], &rate);
    row("started", reports.map(|r| r.ends.started as f64), &whole);
    row("bad", reports.map(|r| r.bad() as f64), &whole);
    row("messages lost", reports.map(|r| r.messages_lost as f64), &whole);
    row("messages duplicated", reports.map(|r| r.all(|m| m.duplicates) as f64), &whole);
    row("messages reordered", reports.map(|r| r.all(|m| m.reordered) as f64), &whole);
    row("messages sent again", reports.map(|r| r.all(|m| m.sent_again) as f64), &whole);
    for latency in &a.latencies {
        let Some(other) = b.latency(&latency.name) else { continue };
        let both = [latency, other];
        let figures: [(&str, Figure); 5] = [
            ("mean", |l| l.mean_us),
            ("p50", |l| l.at(50.0)),
            ("p99", |l| l.at(99.0)),
            ("p99.9", |l| l.at(99.9)),
            ("longest", |l| l.max_us),
        ];
        for (name, figure) in figures {
            row(&format!("{}, {name}", latency.name), both.map(figure), &time);
        }
    }
    right(&mut table, 1);
    let mut text = format!("{}: {}\n{}: {}\n", names[0], summary(a), names[1], summary(b));
    for note in differences(names, reports) {
        text.push_str(&note);
        text.push('\n');
    }
    format!("{text}\n{}\n", table.trim_fmt())
}

/// What makes a comparison unfair: other machines, other plans.
fn differences(names: [&str; 2], [a, b]: [&Report; 2]) -> Vec<String> {
    let mut notes = Vec::new();
    if a.machine != b.machine {
        notes.push("note: they ran on different machines, or kernels".into());
    }
    if a.traffic != b.traffic {
        notes
            .push(format!("note: {} is of {}, {} of {}", names[0], a.traffic, names[1], b.traffic));
    }
    for (name, value) in a.plan.iter().filter(|(name, _)| name != "target") {
        let other = b.plan.iter().find(|(other, _)| other == name).map(|(_, value)| value);
        if other != Some(value) {
            let other = other.map_or("nothing", String::as_str);
            notes.push(format!("note: {name}: {value} and {other}"));
        }
    }
    for (name, report) in names.iter().zip([a, b]) {
        if !report.warnings.is_empty() {
            notes.push(format!("note: {name} has {} warnings of its own", report.warnings.len()));
        }
    }
    notes
}

fn ratio([a, b]: [f64; 2]) -> String {
    if a == b {
        "1".into()
    } else if a == 0.0 {
        "-".into()
    } else if (b / a - 1.0).abs() < 0.0005 {
        "1.00".into()
    } else {
        format!("{:.2}", b / a)
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::example;
    use super::*;

    #[test]
    fn two_reports_side_by_side() {
        let a = example();
        let mut b = example();
        b.rate = 500.0;
        b.messages_lost = 6;
        b.latencies[0].mean_us = 300.0;
        b.latencies.remove(1);
        b.machine.processors = 4;
        b.plan.push(("rate".into(), "1/s".into()));
        b.warnings.clear();
        let mut a_plan = a.clone();
        a_plan.plan.push(("rate".into(), "2/s".into()));
        let text = compare(["a.json", "b.json"], [&a_plan, &b]);
        for line in [
            "a.json: 10,000 calls in 10.0 s",
            "note: they ran on different machines",
            "note: rate: 2/s and 1/s",
            "note: a.json has 1 warnings of its own",
        ] {
            assert!(text.contains(line), "{line:?} in\n{text}");
        }
        let row = |name: &str| -> Vec<&str> {
            let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            line.trim_start()[name.len()..]
                .split("  ")
                .map(str::trim)
                .filter(|w| !w.is_empty())
                .collect()
        };
        assert_eq!(row("started a second"), ["1,000", "500", "0.50"]);
        assert_eq!(row("messages lost"), ["3", "6", "2.00"]);
        assert_eq!(row("answer, mean"), ["150 us", "300 us", "2.00"]);
        assert_eq!(row("answer, p50"), ["140 us", "140 us", "1"]);
        assert!(!text.contains("bye, p50"), "only one has it");
        assert!(!text.contains("b.json has"), "{text}");
    }

    #[test]
    fn ratios() {
        let ratios = [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [2.0, 1.0], [1.0, 1.0001]].map(ratio);
        assert_eq!(ratios, ["1", "-", "1", "0.50", "1.00"]);
    }
}
