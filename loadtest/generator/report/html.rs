//! A report as one HTML file that needs nothing else: plots are SVG in it, and it is light or dark
//! as its reader's browser is.

use std::fmt::Write as _;

use super::figures::{count, percent, rate, time};
use super::plots::{by_percentile, latency_over_time, rate_over_time};
use super::svg::{Plot, escape};
use super::text::summary;
use super::{Figure, Report};

/// The whole report as a page.
pub fn html(report: &Report) -> String {
    let title = format!("Load test: {} {}", count(report.ends.started), report.traffic_unit());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n<p class=\"lead\">{}</p>\n",
        escape(&summary(report)),
        title = escape(&title),
    );
    for warning in &report.warnings {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(page, "<p class=\"warning\">{}</p>", escape(warning));
    }
    page.push_str(&tiles(report));
    page.push_str("<div class=\"plots\">\n");
    let plots: [(&str, &str, Option<Plot>); 3] = [
        ("Time by percentile", "From when a message was meant to be sent.", by_percentile(report)),
        ("Rate and loss", "A second, by when they were meant to start.", rate_over_time(report)),
        (
            "Answers over time",
            "From the first request to its final response, without the ring time.",
            latency_over_time(report),
        ),
    ];
    for (name, says, plot) in plots {
        if let Some(plot) = plot {
            let _ = writeln!(
                page,
                "<section><h2>{name}</h2><p class=\"says\">{says}</p>{}{}</section>",
                plot.legend(),
                plot.draw(name)
            );
        }
    }
    page.push_str(&shares(report));
    page.push_str("</div>\n");
    page.push_str(&latencies(report));
    page.push_str(&messages(report));
    page.push_str(&facts(report));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The figures at the top.
fn tiles(report: &Report) -> String {
    if report.traffic == "flood" {
        let share = percent(report.ends.completed, report.ends.started);
        return tiles_of(&[
            (format!("{}/s", rate(report.rate)), "sent", false),
            (format!("{}/s", rate(report.arrived_rate())), "arrived", false),
            (share, "of what was sent", false),
        ]);
    }
    let bad = report.bad();
    let good = report.ends.started.saturating_sub(bad);
    let mut tiles = vec![
        (format!("{}/s", rate(report.rate)), "started", false),
        (percent(good, report.ends.started), "good", false),
        (count(bad), "bad", bad > 0),
    ];
    if let Some(answer) = report.latency("answer") {
        tiles.push((time(answer.at(50.0)), "answer, p50", false));
        tiles.push((time(answer.at(99.0)), "answer, p99", false));
    }
    for (name, number) in [
        ("messages lost", report.messages_lost),
        ("reordered", report.all(|row| row.reordered)),
        ("duplicated", report.all(|row| row.duplicates)),
    ] {
        tiles.push((count(number), name, number > 0));
    }
    tiles_of(&tiles)
}

fn tiles_of(tiles: &[(String, &str, bool)]) -> String {
    let mut out = String::from("<div class=\"tiles\">\n");
    for (value, name, is_bad) in tiles {
        let class = if *is_bad { " class=\"is-bad\"" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "<div{class}><b>{}</b><span>{name}</span></div>", escape(value));
    }
    out + "</div>\n"
}

fn shares(report: &Report) -> String {
    let all: u64 = report.servers.iter().map(|row| row.taken).sum();
    if report.servers.is_empty() {
        return String::new();
    }
    let most = report.servers.iter().map(|row| row.taken).max().unwrap_or(0).max(1);
    let mut out = String::from("<section><h2>Share per destination</h2><p class=\"says\">");
    let even = 1.0 / report.servers.len() as f64;
    let _ = write!(out, "Even would be {:.2} %.</p><div class=\"shares\">", even * 100.0);
    for row in report.servers.iter().take(SERVERS_SHOWN) {
        let _ = writeln!(
            out,
            "<div><span>{}</span><i style=\"width:{:.2}%\"></i><b>{}</b></div>",
            escape(&row.address),
            100.0 * row.taken as f64 / most as f64,
            percent(row.taken, all)
        );
    }
    out.push_str("</div>");
    if let Some(more) = report.servers.len().checked_sub(SERVERS_SHOWN).filter(|more| *more > 0) {
        let _ = write!(out, "<p class=\"says\">And {more} more.</p>");
    }
    out + "</section>\n"
}

fn latencies(report: &Report) -> String {
    if report.latencies.is_empty() {
        return String::new();
    }
    let figures: [(&str, Figure); 6] = [
        ("mean", |row| row.mean_us),
        ("p50", |row| row.at(50.0)),
        ("p90", |row| row.at(90.0)),
        ("p99", |row| row.at(99.0)),
        ("p99.9", |row| row.at(99.9)),
        ("longest", |row| row.max_us),
    ];
    let header: Vec<_> = ["", "count"].into_iter().chain(figures.map(|(name, _)| name)).collect();
    let rows = report.latencies.iter().map(|row| {
        let times = figures.iter().map(|(_, figure)| time(figure(row)));
        [row.name.clone(), count(row.count)].into_iter().chain(times).collect()
    });
    table("Times", &header, rows)
}

fn messages(report: &Report) -> String {
    let header = ["", "sent", "again", "arrived", "again", "duplicates", "reordered"];
    let rows = report.messages.iter().map(|row| {
        std::iter::once(row.kind.clone()).chain(row.traffic.figures().map(count)).collect()
    });
    let harm = format!("<p class=\"says\">{}</p>\n", escape(&report.harm()));
    table("Messages", &header, rows) + &harm
}

fn facts(report: &Report) -> String {
    let ends = report
        .end_rows()
        .into_iter()
        .map(|(name, number)| vec![name, count(number), percent(number, report.ends.started)]);
    let ends = table("Ends", &["", "count", "share"], ends);
    let machine = &report.machine;
    let mut plan = report.plan.clone();
    plan.push(("begun".into(), report.begun.clone()));
    plan.push((
        "machine".into(),
        format!(
            "{}, {} processors, Linux {}",
            machine.processor, machine.processors, machine.kernel
        ),
    ));
    if let Some(limits) = report.limits {
        plan.push(("this program by itself".into(), format!("{}/s", rate(limits.rate))));
    }
    let plan = table("What was asked for", &["", ""], plan.into_iter().map(|(a, b)| vec![a, b]));
    ends + &plan.replace("<table>", "<table class=\"words\">")
}

fn table(name: &str, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut out = format!("<h2>{name}</h2>\n<div class=\"scroll\"><table>\n");
    if header.iter().any(|cell| !cell.is_empty()) {
        let cells: String =
            header.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
        let _ = writeln!(out, "<thead><tr>{cells}</tr></thead>");
    }
    for row in rows {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let _ = writeln!(out, "<tr>{cells}</tr>");
    }
    out + "</table></div>\n"
}

const SERVERS_SHOWN: usize = 40;

const STYLE: &str = include_str!("style.css");

#[cfg(test)]
mod tests {
    use super::super::text::tests::example;
    use super::*;

    #[test]
    fn a_page_that_needs_nothing_else() {
        let page = html(&example());
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        for part in ["src=", "href=", "url(", "@import", "<script"] {
            assert!(!page.contains(part), "{part}");
        }
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(page.contains("prefers-color-scheme: dark"));
        // Every colour of a plot is in the style.
        for n in 0..8 {
            assert!(STYLE.contains(&format!("--c{n}:")), "{n}");
        }
    }

    #[test]
    fn everything_of_the_report_is_on_it() {
        let page = html(&example());
        for part in [
            "10,000 calls in 10.0 s",
            "the machine is &lt;busy&gt;",
            "A &lt;processor&gt;, 2 processors, Linux 6.1",
            "<td>unexpected 503</td><td>5</td><td>0.05 %</td>",
            "192.0.2.10:5060</span><i style=\"width:100.00%\"></i><b>60.00 %</b>",
            "<td>192.0.2.1:5060</td>",
            "8 reordered within their call",
            "<b>8</b><span>reordered</span>",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_flood_has_tiles_of_its_own() {
        let page = html(&Report { traffic: "flood".into(), ..example() });
        assert!(page.contains("<b>900/s</b><span>arrived</span>"));
        assert!(!page.contains("<span>reordered</span>"));
    }

    #[test]
    fn tags_are_closed_in_order() {
        let page = html(&example());
        let mut open = Vec::new();
        for tag in
            page.split('<').skip(2).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag)
        {
            let name = tag.split(' ').next().unwrap();
            if let Some(name) = name.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
            } else if !tag.ends_with('/') && name != "meta" {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}
