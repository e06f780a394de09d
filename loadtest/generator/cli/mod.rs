//! The command line.

mod compare;
mod flood;
mod load;
mod print;
mod progress;
mod replay;
mod save;
mod values;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Makes SIP load for Strowger and other relays: calls, single requests or a flood, with servers
/// that answer, and says what was lost, late, doubled or reordered.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  loadtest list > dispatcher.list              the servers of the next command, as a relay's list
  loadtest calls --relay 127.0.0.1:5060 --rate 2000 --time 30s --html report.html
  loadtest calls                               straight to its own servers: what it can do by itself
  loadtest compare before.json after.json
  loadtest replay calls.pcap --config strowger.toml

Exit status: 0 when all went as planned, 1 when something was lost or failed, 2 when the command \
line cannot be read or the run cannot be made.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make calls: INVITE, 180, 200, ACK, BYE, 200
    Calls(load::CallArgs),
    /// Send single INVITEs, which are refused: INVITE, 486, ACK
    Invites(load::SingleArgs),
    /// Send single OPTIONS
    Options(load::SingleArgs),
    /// Flood with requests in one direction, to sinks that only count
    Flood(flood::FloodArgs),
    /// Only answer, for a generator or SIPp on another machine
    Serve(load::ServeArgs),
    /// Print a dispatcher.list with the servers of a run
    List(load::ListArgs),
    /// Say what a relay with a configuration would do with the SIP of a capture
    Replay(replay::ReplayArgs),
    /// Compare two results that were saved with --json
    Compare(compare::CompareArgs),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Calls(args) => args.run(),
        Command::Invites(args) => args.run(loadtest::Traffic::Invites),
        Command::Options(args) => args.run(loadtest::Traffic::Options),
        Command::Flood(args) => args.run(),
        Command::Serve(args) => args.run(),
        Command::List(args) => args.run(),
        Command::Replay(args) => args.run(),
        Command::Compare(args) => args.run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("loadtest: {trouble}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went as planned, or what cannot be done.
type Result = std::result::Result<bool, String>;
