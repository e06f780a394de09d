//! `loadtest replay`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use loadtest::replay::{ReplayPlan, Replayed, replay};

use super::print::print;

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Nothing is sent: the relay's own core decides, on the clock of the capture. Example:
  tcpdump -i any -w calls.pcap udp port 5060
  loadtest replay calls.pcap --config strowger.toml --at 192.0.2.1:5060")]
pub(super) struct ReplayArgs {
    /// A capture, pcap or pcapng
    #[arg(value_name = "FILE.pcap")]
    capture: PathBuf,
    /// The configuration of the relay
    #[arg(long, value_name = "strowger.toml")]
    config: PathBuf,
    /// Where the captured relay listened [default: where the configuration listens]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    at: Vec<SocketAddr>,
    /// Only the summary, not each message
    #[arg(long)]
    summary: bool,
    /// Save everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl ReplayArgs {
    pub(super) fn run(&self) -> super::Result {
        let plan = ReplayPlan {
            capture: self.capture.clone(),
            config: self.config.clone(),
            at: self.at.clone(),
        };
        let replayed = replay(&plan).map_err(|error| error.to_string())?;
        let mut text = String::new();
        if !self.summary {
            text = messages(&replayed) + "\n\n";
        }
        text.push_str(&summary(&replayed));
        // Writing to a string cannot fail.
        for warning in &replayed.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        print(&text)?;
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&replayed).map_err(|e| e.to_string())?;
            std::fs::write(file, text + "\n")
                .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
        Ok(true)
    }
}

fn messages(replayed: &Replayed) -> String {
    let mut table = table(&["ms", "from", "message", "verdict", "to"]);
    for row in &replayed.rows {
        let line: String = row.first_line.chars().filter(|c| !c.is_control()).take(60).collect();
        table.add_row([
            row.at_ms.to_string(),
            row.from.to_string(),
            line,
            row.verdict.clone(),
            row.to.map_or_else(|| "-".into(), |to| to.to_string()),
        ]);
    }
    right(&mut table, 0);
    table.trim_fmt()
}

fn summary(replayed: &Replayed) -> String {
    let mut verdicts = table(&["verdict", "messages"]);
    for (verdict, count) in &replayed.verdicts {
        verdicts.add_row([verdict.clone(), count.to_string()]);
    }
    right(&mut verdicts, 1);
    let mut destinations = table(&["destination", "new requests"]);
    for (to, count) in &replayed.destinations {
        destinations.add_row([to.to_string(), count.to_string()]);
    }
    right(&mut destinations, 1);
    format!(
        "{} messages in {:.1} s; {} sent by the captured relay and {} others were left out; {} would \
         leave because time passed\n\n{}\n\n{}\n",
        replayed.rows.len(),
        replayed.span.as_secs_f64(),
        replayed.sent_by_relay,
        replayed.others,
        replayed.by_time,
        verdicts.trim_fmt(),
        destinations.trim_fmt()
    )
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn right(table: &mut Table, column: usize) {
    if let Some(column) = table.column_mut(column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
