//! Shows the demo while it runs: one view that is updated in place on a terminal, or a line every
//! other second elsewhere. It goes to standard error, so that the report can be piped.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::{Options, Tally};

/// Widest bar of a destination, in characters.
const BAR_WIDTH: u64 = 30;

/// The view of a running demo.
pub(super) struct View {
    kind: Style,
    length: Duration,
    destinations: Vec<SocketAddr>,
    /// When the rate was last computed, and the calls started until then.
    last: (Duration, u64),
    rate: f64,
}

enum Style {
    Silent,
    Lines,
    /// One progress bar of several lines, so that all numbers are from the same moment.
    Live(ProgressBar),
}

impl View {
    pub(super) fn new(options: &Options, relay: SocketAddr, destinations: &[SocketAddr]) -> Self {
        let kind = if !options.progress {
            Style::Silent
        } else if std::io::stderr().is_terminal() {
            Style::Live(live(options, relay, destinations.len()))
        } else {
            Style::Lines
        };
        Self {
            kind,
            length: options.length,
            destinations: destinations.to_vec(),
            last: (Duration::ZERO, 0),
            rate: 0.0,
        }
    }

    /// Returns how long to wait before the next update.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(match self.kind {
            Style::Live(_) => 100,
            _ => 50,
        })
    }

    pub(super) fn show(&mut self, elapsed: Duration, tally: &Tally) {
        let period = match self.kind {
            Style::Silent => return,
            Style::Lines => Duration::from_secs(2),
            Style::Live(_) => Duration::from_millis(500),
        };
        let is_due = elapsed.saturating_sub(self.last.0) >= period;
        if is_due {
            self.take_rate(elapsed, tally);
        }
        match &self.kind {
            Style::Live(bar) => {
                bar.set_message(table(&self.destinations, tally, self.rate));
                bar.set_position(millis(elapsed.min(self.length)));
            }
            Style::Lines if is_due => {
                let counts: Vec<_> = tally.per_destination.iter().map(u64::to_string).collect();
                // If nobody reads the output any more, the calls continue.
                let _ = writeln!(
                    std::io::stderr(),
                    "{:4.0} s  {}  {}  per destination {}",
                    elapsed.as_secs_f64(),
                    calls(tally, self.rate),
                    setup(tally),
                    counts.join(" "),
                );
            }
            Style::Lines | Style::Silent => {}
        }
    }

    /// Removes the view from the terminal, to make room for the report.
    pub(super) fn end(self) {
        if let Style::Live(bar) = self.kind {
            bar.finish_and_clear();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of calls is far below 2^52")]
    fn take_rate(&mut self, elapsed: Duration, tally: &Tally) {
        let (then, begun) = self.last;
        self.rate = (tally.started - begun) as f64 / elapsed.saturating_sub(then).as_secs_f64();
        self.last = (elapsed, tally.started);
    }
}

/// Returns one row for each destination, and the totals below them.
fn table(destinations: &[SocketAddr], tally: &Tally, rate: f64) -> String {
    let most = tally.per_destination.iter().max().copied().unwrap_or(0);
    let mut table = String::new();
    for (at, calls) in tally.per_destination.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "  {:>3}  {:<15} {:>10}  {}",
            at + 1,
            destinations[at].to_string(),
            HumanCount(*calls).to_string(),
            bar(*calls, most, BAR_WIDTH),
        );
    }
    format!("{table}  {}\n  {}", calls(tally, rate), setup(tally))
}

fn calls(tally: &Tally, rate: f64) -> String {
    format!(
        "{} calls  {rate:.0}/s  {} in progress  {} failed",
        HumanCount(tally.started),
        tally.started - tally.completed - tally.failed_count(),
        tally.failed_count(),
    )
}

fn setup(tally: &Tally) -> String {
    format!(
        "setup p50 {} us, p99 {} us  {} retransmissions",
        tally.setup_us.value_at_quantile(0.5),
        tally.setup_us.value_at_quantile(0.99),
        tally.retransmissions,
    )
}

/// Returns a bar for `count`, where `most` gets `width` characters. One call is enough to be
/// visible.
pub(super) fn bar(count: u64, most: u64, width: u64) -> String {
    let rounded = (count * width + most / 2).checked_div(most).unwrap_or(0);
    let width = rounded.max(u64::from(count > 0));
    (0..width).map(|_| '█').collect()
}

fn live(options: &Options, relay: SocketAddr, destinations: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}\n  {elapsed:>3} [{bar:52.green}]\n{msg}")
        .expect("a valid template")
        .progress_chars("=> ");
    ProgressBar::new(millis(options.length))
        .with_style(style)
        .with_prefix(head(relay, destinations))
}

fn head(relay: SocketAddr, destinations: usize) -> String {
    format!("callers -> relay udp:{relay} -> {destinations} media servers")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let calls = 1_000_000 * 86_400;
        let mut tally = Tally::new(256);
        tally.per_destination = vec![calls; 256];
        (tally.started, tally.retransmissions) = (calls, calls);
        tally.failed.insert("no answer".into(), calls / 2);
        tally.setup_us.record_n(60_000_000, calls).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 65_535));
        let text = head(address, 256) + "\n" + &table(&[address; 256], &tally, 1_000_000.0);
        for line in text.lines() {
            // The cursor stands behind the line.
            assert!(line.chars().count() < 80, "{line}");
        }
    }
}
