//! `strowger run`: the relay in the foreground, one line when it serves, one summary at its end.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::thread;

use crossbeam::channel;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use strowger::config::{Config, Flags};
use strowger::control::{Asker, Options, Relay, ReloadHow, ServiceManager};
use strowger::stats::Totals;
use strowger::worker::Fault;
use tracing::{info, warn};

/// Relays calls until SIGTERM or SIGINT.
///
/// The flags alone are enough; a flag wins over the same key of the configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  strowger run --listen udp:127.0.0.1:5060 --list dispatcher.list

Signals:
  SIGHUP           reads again the list and, of the configuration, [dispatch], [set.N],
                   relay.allow and [destinations]; a mistake in them changes nothing
  SIGTERM, SIGINT  waits for the INVITEs that have no final response yet, at most grace_s, and
                   ends; new requests are served meanwhile, or get 503 when the relay is drained.
                   A second one ends at once")]
pub(crate) struct Args {
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn main(args: &Args) -> ExitCode {
    match run(&args.flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            for error in errors {
                // When standard error is gone there is nobody left to tell.
                let _ = writeln!(std::io::stderr(), "strowger: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Vec<Box<dyn Display>>> {
    let config = Config::load(flags).map_err(boxed)?;
    let _log =
        strowger::log::init(config.log.level, config.log.json).map_err(|e| boxed(vec![e]))?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    // Before the relay starts, so that no signal finds the default action.
    let mut signals =
        Signals::new([SIGHUP, SIGTERM, SIGINT]).map_err(|error| boxed(vec![error]))?;
    let options = Options {
        flags: Some(flags.clone()),
        fault: Fault::from_environment(),
        service_manager: ServiceManager::from_environment(),
        ..Options::default()
    };
    let relay = Relay::start(&config, options).map_err(boxed)?;
    info!("ready: {}", relay.describe());
    // A reload may wait for a database; a signal that ends the relay does not wait for the reload.
    let (ask, asked) = channel::bounded(1);
    let commands = relay.commands().asked_by(Asker::Signal("SIGHUP"));
    let reloads = move || {
        for () in asked {
            // The log tells what became of it.
            let _ = commands.reload(ReloadHow::default());
        }
    };
    thread::Builder::new().name("reload".into()).spawn(reloads).map_err(|e| boxed(vec![e]))?;
    for signal in signals.forever() {
        if signal != SIGHUP {
            break;
        }
        // One that has not begun yet reads what this one asks for.
        let _ = ask.try_send(());
    }
    relay.finish(config.relay.grace, || {
        signals.pending().any(|signal| {
            if signal == SIGHUP {
                let _ = ask.try_send(());
            }
            signal != SIGHUP
        })
    });
    sum_up(&relay.stop());
    Ok(())
}

/// A table for who sits before a terminal, a line for who reads logs.
fn sum_up(totals: &Totals) {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        // Calls matter more than words: a terminal that is gone is no error.
        let _ = write!(out, "{totals}").and_then(|()| out.flush());
    } else {
        info!("summary: {}", totals.to_line());
    }
}

fn boxed<E: Display + 'static>(errors: Vec<E>) -> Vec<Box<dyn Display>> {
    let boxed = errors.into_iter().map(|e| Box::new(e) as Box<dyn Display>);
    boxed.collect()
}
