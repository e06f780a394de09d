//! The cost of one message on sockets: a one-way flood of new INVITEs through the relay, through a
//! null relay that makes the same system calls and reads nothing, and through Kamailio if it is
//! installed.
//!
//! The subject has one core, the load the other. Subjects take turns within one run (ABBA), so that
//! changes of the machine affect all of them. What counts is the ratio to the null relay of the
//! same round, in the same mode of waiting.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and times become rates, and none is negative or past 2^52"
)]

#[path = "../subject/datagrams.rs"]
mod datagrams;
#[path = "../subject/kamailio.rs"]
mod kamailio;
mod load;
#[path = "../messages.rs"]
#[allow(dead_code, reason = "the flood needs only the INVITE")]
mod messages;
mod null;
#[path = "../subject/process.rs"]
mod process;
#[path = "../subject/processor.rs"]
mod processor;
mod round;
mod subject;
mod table;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use strowger::config::Poll as PollMode;

use round::{Entry, Plan, Round};
use subject::Kind;

/// Measures the relay's processor time per message against a null relay.
#[derive(Debug, Parser)]
struct Args {
    /// Fewer rates and shorter rounds: under 20 s, for a first look
    #[arg(long)]
    quick: bool,
    /// Prints every round as JSON instead of the table
    #[arg(long)]
    json: bool,
    /// What to measure [default: all that is installed]
    #[arg(long, value_delimiter = ',')]
    subjects: Vec<Kind>,
    /// What strowger and the null relay do when their sockets are empty: wait, adaptive or spin
    #[arg(long, default_value = "adaptive", value_parser = poll_mode, value_delimiter = ',')]
    poll: Vec<PollMode>,
    /// INVITEs per second; 0 is as fast as the load can
    #[arg(long, value_delimiter = ',')]
    rates: Vec<u32>,
    /// Rounds: each measures every subject once at every rate
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds that are measured each time, after a warm-up
    #[arg(long)]
    seconds: Option<f64>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    null: null::Args,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.null.null_relay {
        Some(listen) => null::run(listen, &args.null.server, args.poll[0], null::Hops::InTurn),
        // Under `cargo test` there is nothing to do.
        None if args.bench => measure(&args),
        None => {
            println!("run by: cargo bench --bench relay [-- --quick]");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn poll_mode(word: &str) -> Result<PollMode, String> {
    let known = PollMode::WORDS.iter().find(|(known, _)| *known == word);
    known.map(|(_, mode)| *mode).ok_or_else(|| "write wait, adaptive or spin".to_owned())
}

fn poll_word(mode: PollMode) -> &'static str {
    PollMode::WORDS.iter().find(|(_, known)| *known == mode).map_or("", |(word, _)| word)
}

/// What to measure: these subjects in these modes, as far as they are here and have modes.
fn entries(kinds: &[Kind], modes: &[PollMode]) -> Vec<Entry> {
    let of_mode = |poll: &PollMode| {
        let is_first = poll == &modes[0];
        let is_wanted = move |kind: &&Kind| kind.is_here() && (kind.has_modes() || is_first);
        let poll = *poll;
        kinds.iter().filter(is_wanted).map(move |kind| Entry { kind: *kind, poll })
    };
    modes.iter().flat_map(of_mode).collect()
}

fn measure(args: &Args) -> io::Result<()> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let [load_core, .., subject_core] = cores[..] else {
        return Err(io::Error::other("two cores are needed, one for the load"));
    };
    core_affinity::set_for_current(load_core);
    let kinds = if args.subjects.is_empty() {
        vec![Kind::Null, Kind::Strowger, Kind::Kamailio]
    } else {
        args.subjects.clone()
    };
    let (rates, rounds, seconds) = if args.quick {
        (vec![60_000, 0], 2, 0.5)
    } else {
        (vec![20_000, 60_000, 120_000, 0], 4, 1.6)
    };
    let plan = Plan {
        entries: entries(&kinds, &args.poll),
        rates: if args.rates.is_empty() { rates } else { args.rates.clone() },
        rounds: args.rounds.unwrap_or(rounds),
        time: Duration::from_secs_f64(args.seconds.unwrap_or(seconds)),
        core: subject_core.id,
    };
    let rounds: Vec<Round> = plan.run()?;
    if args.json {
        println!("{}", table::json(&rounds));
    } else {
        println!("{}", table::render(&plan, &rounds));
    }
    Ok(())
}
