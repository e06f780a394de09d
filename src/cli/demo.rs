//! `strowger demo`: flags in, report and exit status out.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use strowger::demo::{self, Options};

use super::show;

/// The relay between built-in callers and media servers, on the loopback interface.
///
/// Nothing else is touched, and the ports are found free. The exit status is 0 only when every call
/// was completed and the spread over the servers is even to the call.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// How long calls are begun
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Calls begun per second, all callers together
    #[arg(long, value_name = "CALLS/S", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Media servers
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    servers: u16,
    /// Workers of the relay [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: Option<u16>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    /// Show nothing before the report
    #[arg(long)]
    no_progress: bool,
}

/// Runs the demo and prints its report.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The first signal ends the calls, a second one the process.
        let registered =
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        if let Err(error) = registered {
            eprintln!("strowger demo: cannot wait for Ctrl-C: {error}");
            return ExitCode::FAILURE;
        }
    }
    let options = Options {
        length: Duration::from_secs(args.seconds.into()),
        rate: args.rate.into(),
        servers: args.servers.into(),
        workers: args.workers.map(Into::into),
        progress: !args.no_progress,
    };
    match demo::run(&options, &stop) {
        Ok(report) => {
            let text =
                if args.json { format!("{:#}", report.to_json()) } else { report.to_string() };
            let printed = show::print(&text);
            if report.is_good() { printed } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("strowger demo: {error}");
            ExitCode::FAILURE
        }
    }
}
