//! A report as aligned text.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};

use super::Report;
use super::figures::{count, percent, rate, time};

/// The whole report for a terminal.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "{}", summary(report));
    if let Some(limits) = report.limits {
        let _ = writeln!(out, "by itself this program does {}/s here", rate(limits.rate));
    }
    for part in [ends(report), latencies(report), messages(report), servers(report), others(report)]
    {
        if !part.is_empty() {
            let _ = writeln!(out, "\n{part}");
        }
    }
    if !report.warnings.is_empty() {
        out.push('\n');
        for warning in &report.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
    }
    out
}

/// One line.
pub(super) fn summary(report: &Report) -> String {
    let planned = match report.rate_planned {
        0.0 => String::new(),
        planned => format!(" of {} planned", rate(planned)),
    };
    if report.traffic == "flood" {
        return format!(
            "{} messages in {:.1} s: {}/s sent{planned}, {}/s arrived ({})",
            count(report.ends.started),
            report.seconds,
            rate(report.rate),
            rate(report.arrived_rate()),
            percent(report.ends.completed, report.ends.started),
        );
    }
    format!(
        "{} {} in {:.1} s: {}/s{planned}, {} good, {} bad",
        count(report.ends.started),
        report.traffic_unit(),
        report.seconds,
        rate(report.rate),
        percent(report.ends.started.saturating_sub(report.bad()), report.ends.started),
        count(report.bad()),
    )
}

impl Report {
    /// What is counted.
    pub(super) fn traffic_unit(&self) -> &'static str {
        match self.traffic.as_str() {
            "flood" => "messages",
            "calls" => "calls",
            _ => "requests",
        }
    }

    /// What arrived of a flood, a second.
    pub(super) fn arrived_rate(&self) -> f64 {
        self.ends.completed as f64 / self.seconds
    }

    /// The ends, with names and without those that nothing had.
    pub(super) fn end_rows(&self) -> Vec<(String, u64)> {
        let ends = &self.ends;
        let is_flood = self.traffic == "flood";
        let is_single = self.traffic == "options";
        let mut rows = vec![
            (
                if is_flood {
                    "arrived"
                } else if is_single {
                    "answered"
                } else {
                    "completed"
                }
                .to_owned(),
                ends.completed,
            ),
            ("cancelled as planned".into(), ends.cancelled),
            ("refused as planned".into(), ends.refused),
            ("not answered, as planned".into(), ends.unanswered),
            (if is_flood { "lost" } else { "lost: no final response" }.into(), ends.lost),
            ("lost: BYE without answer".into(), ends.byes_lost),
        ];
        let unexpected = ends.unexpected.iter();
        rows.extend(unexpected.map(|(code, count)| (format!("unexpected {code}"), *count)));
        rows.push(("not started".into(), ends.not_started));
        rows.retain(|(_, count)| *count > 0);
        rows
    }

    /// What the messages suffered, in one line.
    pub(super) fn harm(&self) -> String {
        if self.traffic == "flood" {
            return format!("{} lost", count(self.messages_lost));
        }
        format!(
            "{} lost, {} duplicated, {} reordered within their call, {} sent again",
            count(self.messages_lost),
            count(self.all(|row| row.duplicates)),
            count(self.all(|row| row.reordered)),
            count(self.all(|row| row.sent_again)),
        )
    }
}

fn ends(report: &Report) -> String {
    let mut table = table(&[report.traffic_unit(), "count", "share"]);
    for (name, number) in report.end_rows() {
        table.add_row([name, count(number), percent(number, report.ends.started)]);
    }
    right(&mut table, 1);
    table.trim_fmt()
}

fn latencies(report: &Report) -> String {
    if report.latencies.is_empty() {
        return String::new();
    }
    let mut table = table(&["time", "count", "mean", "p50", "p90", "p99", "p99.9", "longest"]);
    for row in &report.latencies {
        let at = |percent| time(row.at(percent));
        table.add_row([
            row.name.clone(),
            count(row.count),
            time(row.mean_us),
            at(50.0),
            at(90.0),
            at(99.0),
            at(99.9),
            time(row.max_us),
        ]);
    }
    right(&mut table, 1);
    format!("{}\nfrom when a message was meant to be sent", table.trim_fmt())
}

fn messages(report: &Report) -> String {
    if report.messages.is_empty() {
        return String::new();
    }
    let mut table =
        table(&["message", "sent", "again", "arrived", "again", "duplicates", "reordered"]);
    for row in &report.messages {
        table.add_row(std::iter::once(row.kind.clone()).chain(row.traffic.figures().map(count)));
    }
    right(&mut table, 1);
    format!("{}\n{}", table.trim_fmt(), report.harm())
}

fn servers(report: &Report) -> String {
    let all: u64 = report.servers.iter().map(|row| row.taken).sum();
    if report.servers.is_empty() {
        return String::new();
    }
    let mut table = table(&["server", "taken", "share"]);
    for row in report.servers.iter().take(SERVERS_SHOWN) {
        table.add_row([row.address.clone(), count(row.taken), percent(row.taken, all)]);
    }
    right(&mut table, 1);
    let mut text = table.trim_fmt();
    if let Some(more) = report.servers.len().checked_sub(SERVERS_SHOWN).filter(|more| *more > 0) {
        let taken = report.servers.iter().map(|row| row.taken);
        let (least, most) = (taken.clone().min().unwrap_or(0), taken.max().unwrap_or(0));
        let _ = write!(text, "\nand {more} more; the least took {least}, the most {most}");
    }
    text
}

fn others(report: &Report) -> String {
    let others = report.others;
    let rows = [
        ("responses of the relay itself", others.by_relay),
        ("probes", others.probes),
        ("strays", others.strays),
        ("requests at a server without their call", others.misrouted),
    ];
    let texts: Vec<_> = rows
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| format!("{} {name}", count(*number)))
        .collect();
    texts.join(", ")
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// Aligns all columns from this one on to the right.
pub(super) fn right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

const SERVERS_SHOWN: usize = 20;

#[cfg(test)]
pub(super) mod tests {
    use super::super::*;
    use super::*;
    use crate::record::Others;

    /// A report with something everywhere.
    pub(in crate::report) fn example() -> Report {
        let row = |kind: &str, lost: u64| MessageRow {
            kind: kind.into(),
            traffic: Traffic {
                sent: 10_000,
                sent_again: 3,
                arrived: 10_000 - lost,
                arrived_again: 2,
                duplicates: 1,
                reordered: 4,
            },
        };
        let latency = |name: &str, factor: f64| LatencyRow {
            name: name.into(),
            count: 9_998,
            mean_us: 150.0 * factor,
            max_us: 30_000.0 * factor,
            percentiles: [
                (0.0, 90.0),
                (50.0, 140.0),
                (90.0, 300.0),
                (99.0, 900.0),
                (99.9, 9_000.0),
                (100.0, 30_000.0),
            ]
            .map(|(p, us)| (p, us * factor))
            .into(),
        };
        let slice = |n: u64| SliceRow {
            started: 1_000,
            good: 1_000 - n % 2,
            bad: n % 2,
            p50_us: 140.0,
            p99_us: 900.0 + 50.0 * n as f64,
            max_us: 3_000.0 * (n + 1) as f64,
        };
        Report {
            format: FORMAT,
            traffic: "calls".into(),
            begun: "2026-01-02T03:04:05Z".into(),
            seconds: 10.0,
            machine: Machine {
                processor: "A <processor>".into(),
                processors: 2,
                kernel: "6.1".into(),
            },
            plan: vec![("target".into(), "192.0.2.1:5060".into())],
            rate_planned: 1_000.0,
            rate: 1_000.0,
            limits: Some(Limits { rate: 20_000.0 }),
            ends: Ends {
                started: 10_000,
                completed: 9_000,
                cancelled: 500,
                refused: 490,
                unanswered: 0,
                unexpected: [(503, 5)].into(),
                lost: 3,
                byes_lost: 2,
                not_started: 0,
            },
            messages: vec![row("INVITE", 2), row("BYE", 1)],
            messages_lost: 3,
            latencies: vec![
                latency("answer", 1.0),
                latency("bye", 0.8),
                latency("generator's own lag", 0.1),
            ],
            servers: vec![
                ServerRow { address: "192.0.2.10:5060".into(), taken: 6_000 },
                ServerRow { address: "192.0.2.11:5060".into(), taken: 4_000 },
            ],
            series: Series { slice_seconds: 1.0, rows: (0..10).map(slice).collect() },
            others: Others { by_relay: 5, probes: 20, strays: 1, ..Others::default() },
            warnings: vec!["the machine is <busy>".into()],
        }
    }

    #[test]
    fn a_report_for_a_terminal() {
        let text = text(&example());
        let wants = "\
10,000 calls in 10.0 s: 1,000/s of 1,000 planned, 99.90 % good, 10 bad
by itself this program does 20,000/s here

 calls                     count    share
 completed                 9,000  90.00 %
 cancelled as planned        500   5.00 %
 refused as planned          490   4.90 %
 lost: no final response       3   0.03 %
 lost: BYE without answer      2   0.02 %
 unexpected 503                5   0.05 %

 time                 count     mean      p50      p90     p99    p99.9  longest
 answer               9,998   150 us   140 us   300 us  900 us  9.00 ms  30.0 ms
 bye                  9,998   120 us   112 us   240 us  720 us  7.20 ms  24.0 ms
 generator's own lag  9,998  15.0 us  14.0 us  30.0 us  90.0 us   900 us  3.00 ms
from when a message was meant to be sent

 message    sent  again  arrived  again  duplicates  reordered
 INVITE   10,000      3    9,998      2           1          4
 BYE      10,000      3    9,999      2           1          4
3 lost, 2 duplicated, 8 reordered within their call, 6 sent again

 server           taken    share
 192.0.2.10:5060  6,000  60.00 %
 192.0.2.11:5060  4,000  40.00 %

5 responses of the relay itself, 20 probes, 1 strays

warning: the machine is <busy>
";
        assert_eq!(
            text.replace("  ", " ").replace("  ", " "),
            wants.replace("  ", " ").replace("  ", " "),
            "\n{text}"
        );
    }

    #[test]
    fn many_servers_are_summed_up() {
        let mut report = example();
        report.servers = (0..50)
            .map(|n| ServerRow { address: format!("192.0.2.{n}:5060"), taken: 100 + n })
            .collect();
        let text = text(&report);
        assert!(text.contains("192.0.2.19:5060") && !text.contains("192.0.2.20:5060"));
        assert!(text.contains("and 30 more; the least took 100, the most 149"), "{text}");
    }

    #[test]
    fn a_flood_speaks_of_messages() {
        let mut report = example();
        report.traffic = "flood".into();
        report.rate_planned = 0.0;
        let text = text(&report);
        let wants = "10,000 messages in 10.0 s: 1,000/s sent, 900/s arrived (90.00 %)\n";
        assert!(text.starts_with(wants), "{text}");
        assert!(text.contains(" arrived "), "{text}");
    }
}
