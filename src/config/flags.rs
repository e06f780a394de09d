//! What can be said on the command line: each flag wins over the same key of the file.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::problem::Problem;
use super::relay::listen_conflict;
use super::{Config, ListenConfig, Source, Workers, values};
use crate::destination::Algorithm;
use crate::limits;
use crate::log::Template;

/// The flags of `run` and `check`. None of them is needed when the file says it, and no file when
/// they say enough.
#[derive(Args, Clone, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on, udp:ADDRESS:PORT; may be given several times
    #[arg(long, value_name = "udp:ADDR:PORT")]
    pub listen: Vec<String>,
    /// List of destinations in the format of Kamailio's dispatcher.list
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Database of destinations: mysql://USER:PASSWORD@HOST/DATABASE, postgres://… or sqlite:PATH
    /// [default: sqlite:strowger.db]. Others on the machine see a command line; a configuration file
    /// may keep a password
    // The help shows this text as it is, so the URL has no brackets around it.
    #[allow(clippy::doc_markdown)]
    #[arg(long, value_name = "URL", conflicts_with = "list")]
    pub db: Option<String>,
    /// Set that requests are dispatched to [default: 1]
    #[arg(long, value_name = "N")]
    pub set: Option<u32>,
    /// How destinations are chosen: a name, or Kamailio's number [default: round-robin]
    #[arg(long, value_name = "NAME|NUMBER")]
    pub algorithm: Option<String>,
    /// Number of workers [default: one per core]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Line to log for each new call, such as 'going to <$ru> via <$du>'
    #[arg(long, value_name = "TEMPLATE")]
    pub dispatch_line: Option<String>,
}

/// Words of `log.level`.
pub(super) const LEVELS: &[(&str, tracing::Level)] = &[
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

/// Words of `log.format`, and whether that is JSON.
pub(super) const FORMATS: &[(&str, bool)] = &[("text", false), ("json", true)];

/// Puts the flags over what the file said; `source` is what both said about the destinations.
pub(super) fn overlay(
    flags: &Flags,
    config: &mut Config,
    source: &mut Option<Source>,
    problems: &mut Vec<Problem>,
) {
    let mut wrong = |flag: &str, (what, right): values::Mistake| {
        problems.push(Problem::of(flag, what, right));
    };
    if !flags.listen.is_empty() {
        config.relay.listen.clear();
    }
    for text in &flags.listen {
        match values::listen_address(text) {
            Ok(address) => config.relay.listen.push(ListenConfig {
                address,
                name: None,
                advertise: None,
                force_rport: false,
                set: None,
            }),
            Err(mistake) => wrong("--listen", mistake),
        }
        if let Some(mistake) = listen_conflict(&config.relay.listen) {
            wrong("--listen", mistake);
            config.relay.listen.pop();
        }
    }
    if flags.listen.len() > limits::LISTENERS_MAX {
        let what = format!("{} listeners", flags.listen.len());
        let right = format!("give at most {}", limits::LISTENERS_MAX);
        wrong("--listen", (what, right));
    }
    if let Some(path) = &flags.list {
        *source = Some(Source::List(path.clone()));
    }
    if let Some(url) = &flags.db {
        match values::source(url) {
            Ok(named) => *source = Some(named),
            Err((what, right)) => {
                // A list has a flag of its own.
                let right = match right.strip_prefix("write \"list:") {
                    Some(_) => "give a list with --list FILE".to_owned(),
                    None => right.replace("write list:PATH, sqlite:", "write sqlite:"),
                };
                wrong("--db", (what, right));
            }
        }
    }
    match flags.set {
        Some(set) if set <= limits::SET_MAX => config.policy.set = set,
        Some(set) => {
            let right = format!("write a number from 0 to {}", limits::SET_MAX);
            wrong("--set", (format!("{set} is out of range"), right));
        }
        None => {}
    }
    if let Some(text) = &flags.algorithm {
        match values::algorithm(text) {
            Ok(algorithm) => {
                let sets =
                    Arc::make_mut(&mut config.sets).values_mut().chain([&mut config.set_default]);
                let mut lacks_key = false;
                for set in sets {
                    set.choosing.algorithm = algorithm;
                    lacks_key |=
                        algorithm == Algorithm::KeyHash && set.choosing.hash_over.is_empty();
                }
                if lacks_key {
                    let what = "key-hash has nothing to hash".to_owned();
                    wrong("--algorithm", (what, values::HASH_OVER.to_owned()));
                }
            }
            Err(mistake) => wrong("--algorithm", mistake),
        }
    }
    match flags.workers {
        Some(count) if (1..=limits::WORKERS_MAX).contains(&count) => {
            config.relay.workers = Workers::Count(count);
        }
        Some(count) => {
            let right = format!("write a number from 1 to {}", limits::WORKERS_MAX);
            wrong("--workers", (format!("{count} is out of range"), right));
        }
        None => {}
    }
    overlay_log(flags, config, wrong);
}

fn overlay_log(flags: &Flags, config: &mut Config, mut wrong: impl FnMut(&str, values::Mistake)) {
    if let Some(text) = &flags.log_level {
        match super::document::choose(text, "level", LEVELS, &[]) {
            Ok(level) => config.log.level = level,
            Err(mistake) => wrong("--log-level", mistake),
        }
    }
    if let Some(text) = &flags.log_format {
        match super::document::choose(text, "format", FORMATS, &[]) {
            Ok(json) => config.log.json = json,
            Err(mistake) => wrong("--log-format", mistake),
        }
    }
    if let Some(text) = &flags.dispatch_line {
        match Template::parse(text) {
            Ok(template) => config.log.dispatch = Some(template),
            Err(error) => wrong("--dispatch-line", (error.what(), error.right())),
        }
    }
}
