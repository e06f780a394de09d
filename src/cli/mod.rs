//! What can be said after `strowger`.

mod ask;
mod check;
mod client;
mod demo;
mod drain;
mod explain;
mod generate;
mod import;
mod init;
mod list;
mod record;
mod reload;
mod run;
mod show;
mod state;
mod top;
mod trace;
mod tune;
mod watch;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A SIP load balancer: calls come in over UDP and are spread over your media servers.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
#[command(after_help = "Exit status: 0 when all went well, 1 when something was wrong, \
                        2 when the command line cannot be read.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the relay at work between built-in callers and media servers, on this machine alone
    Demo(demo::DemoArgs),
    /// Relay calls, in the foreground, until SIGTERM or SIGINT
    Run(run::Args),
    /// Say what is wrong with a configuration and its list, where, and what would be right
    Check(check::CheckArgs),
    Init(init::InitArgs),
    /// Make a strowger.toml that does what a kamailio.cfg does, and say what could not be carried over
    Import(import::ImportArgs),
    List(list::ListArgs),
    Top(top::TopArgs),
    Reload(reload::ReloadArgs),
    SetState(state::SetStateArgs),
    Add(record::AddArgs),
    Remove(record::RemoveArgs),
    Drain(drain::DrainArgs),
    Explain(explain::ExplainArgs),
    Trace(trace::TraceArgs),
    Stats(ask::StatsArgs),
    PingActive(state::PingActiveArgs),
    Hash(ask::HashArgs),
    Oclist(ask::OclistArgs),
    Tune(tune::TuneArgs),
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // --help and --version are no mistakes, but they may find no room to be written.
        Err(help) if !help.use_stderr() => {
            return match show::written(help.print().and_then(|()| io::stdout().flush())) {
                Ok(()) => ExitCode::SUCCESS,
                Err(trouble) => trouble.tell(),
            };
        }
        Err(mistake) => mistake.exit(),
    };
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::main(&args),
        Command::Check(args) => check::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Import(args) => import::run(&args),
        Command::List(args) => list::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::SetState(args) => state::set_state(&args),
        Command::Add(args) => record::add(&args),
        Command::Remove(args) => record::remove(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Stats(args) => ask::stats(&args),
        Command::PingActive(args) => state::ping_active(&args),
        Command::Hash(args) => ask::hash(&args),
        Command::Oclist(args) => ask::oclist(&args),
        Command::Tune(args) => tune::run(&args),
        Command::Generate(args) => generate::run(&args),
    }
}
