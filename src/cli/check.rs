//! `strowger check`: everything that is wrong, where, and what would be right; or what would run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use strowger::config::{Config, Draft, Flags, ListenConfig, Problem, Source, Workers, keyfile};
use strowger::control;
use strowger::destination::Resolved;
use strowger::{resolve, source};

use super::show;

/// Say what is wrong with a configuration, where, and what would be right
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// Configuration file, as with --config
    #[arg(value_name = "FILE", conflicts_with = "config")]
    file: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Answer as one JSON object
    #[arg(long)]
    json: bool,
}

/// Looks at the configuration, the list or the database that it names and the key file, and changes nothing. Exit
/// status 0 when `strowger run` would take them, 1 when not.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    let mut flags = args.flags.clone();
    flags.config = args.file.clone().or(flags.config);
    let result = check(&flags);
    let text = match (&result, args.json) {
        (Ok(report), false) => report.text(),
        (Err(problems), false) => told(problems),
        (Ok(report), true) => format!("{:#}\n", report.json()),
        (Err(problems), true) => format!("{:#}\n", json_of(problems)),
    };
    let printed = show::print(&text);
    if result.is_ok() { printed } else { ExitCode::FAILURE }
}

/// What would run.
struct Report {
    config: Config,
    destinations: Vec<Resolved>,
    key: String,
    warnings: Vec<String>,
}

fn check(flags: &Flags) -> Result<Report, Vec<Problem>> {
    let Draft { config, has_source, mut problems } = Draft::load(flags);
    let mut destinations = Vec::new();
    let mut warnings = config.warnings.clone();
    if problems.is_empty() {
        match source::load(&config) {
            // That is how every relay with a database of its own begins.
            Err(_) if is_to_be_made(&config.destinations.source) => {
                let source = &config.destinations.source;
                warnings
                    .push(format!("{source}: does not exist yet: strowger run creates it, empty"));
                problems.extend(
                    control::check_destinations(&config, Vec::new()).err().unwrap_or_default(),
                );
            }
            Ok(loaded) => {
                warnings.extend(loaded.warnings);
                let (resolved, more) = resolve::once(loaded.records, &config);
                warnings.extend(more);
                match control::check_destinations(&config, resolved) {
                    Ok((resolved, more)) => {
                        destinations = resolved;
                        warnings.extend(more);
                    }
                    Err(more) => problems.extend(more),
                }
            }
            Err(more) => problems.extend(more.problems()),
        }
    } else if has_source {
        // Not beside the listeners: they may be what is wrong.
        if let Source::List(path) = &config.destinations.source {
            problems.extend(source::read(path).err().unwrap_or_default());
        }
    }
    problems.extend(control::check_admin_sockets(&config.control));
    let key = match keyfile::look(&config.relay) {
        Ok(Some(path)) => path.display().to_string(),
        Ok(None) if config.relay.keys.is_empty() => "a key file is made at the first start".into(),
        Ok(None) => "from the configuration".into(),
        Err(more) => {
            problems.extend(more);
            String::new()
        }
    };
    if problems.is_empty() {
        Ok(Report { config, destinations, key, warnings })
    } else {
        Err(problems)
    }
}

/// Whether this is a database that a start would create.
fn is_to_be_made(source: &Source) -> bool {
    let Source::Sqlite(path) = source else { return false };
    source::is_to_be_made(path)
}

impl Report {
    fn text(&self) -> String {
        let listeners = self.listeners().join(", ");
        let mut text = String::from("no problems\n");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  listeners     {listeners}");
        let _ = writeln!(text, "  workers       {}", self.workers());
        let _ = writeln!(text, "  source        {}", self.config.destinations.source);
        let sets = self.sets();
        if sets.is_empty() {
            let _ = writeln!(text, "  destinations  none");
        }
        let digits = |number: &dyn ToString| number.to_string().len();
        let number = sets.keys().map(|set| digits(set)).max().unwrap_or_default();
        let count = sets.values().map(|(all, _)| digits(all)).max().unwrap_or_default();
        for (at, (set, (all, active))) in sets.iter().enumerate() {
            let label = if at == 0 { "destinations" } else { "" };
            let what = format!(
                "set {set:>number$}: {all:>count$}, {active:>count$} of them may be chosen"
            );
            let _ = writeln!(text, "  {label:<12}  {what}");
        }
        let _ = writeln!(text, "  set           {}", self.config.policy.set);
        let _ = writeln!(text, "  key           {}", self.key);
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let sets = self
            .sets()
            .into_iter()
            .map(|(set, (all, active))| {
                json!({ "set": set, "destinations": all, "may_be_chosen": active })
            })
            .collect::<Vec<_>>();
        let workers = match self.config.relay.workers {
            Workers::PerCore => json!("per-core"),
            Workers::Count(count) => json!(count),
        };
        json!({
            "ok": true,
            "problems": [],
            "warnings": self.warnings,
            "listeners": self.listeners(),
            "workers": workers,
            "source": self.config.destinations.source.to_string(),
            "set": self.config.policy.set,
            "sets": sets,
            "key": self.key,
        })
    }

    fn listeners(&self) -> Vec<String> {
        let listen = &self.config.relay.listen;
        let text = |entry: &ListenConfig| {
            let set = entry.set.map(|set| format!(" (set {set})")).unwrap_or_default();
            format!("udp:{}{set}", entry.address)
        };
        listen.iter().map(text).collect()
    }

    fn workers(&self) -> String {
        match self.config.relay.workers {
            Workers::PerCore => "one per core".into(),
            Workers::Count(count) => count.to_string(),
        }
    }

    /// For each set, how many destinations it has, and how many of them can be chosen.
    fn sets(&self) -> BTreeMap<u32, (usize, usize)> {
        let mut sets = BTreeMap::new();
        for resolved in &self.destinations {
            let (all, active) = sets.entry(resolved.record.set).or_insert((0, 0));
            *all += 1;
            let is_active = resolved.record.flags.is_selectable() && !resolved.addresses.is_empty();
            *active += usize::from(is_active);
        }
        sets
    }
}

fn told(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let _ = writeln!(text, "{problem}");
    }
    let _ = match problems.len() {
        1 => writeln!(text, "1 problem"),
        count => writeln!(text, "{count} problems"),
    };
    text
}

fn json_of(problems: &[Problem]) -> serde_json::Value {
    let list = problems
        .iter()
        .map(|problem| {
            json!({
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "row": problem.row,
                "what": problem.what,
                "right": problem.right,
            })
        })
        .collect::<Vec<_>>();
    json!({ "ok": false, "problems": list })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn write(directory: &Path, config: &str, list: &str) -> Flags {
        let key = directory.join("state");
        let config = config.replace("STATE", &key.display().to_string());
        fs::write(directory.join("strowger.toml"), config).unwrap();
        fs::write(directory.join("d.list"), list).unwrap();
        Flags { config: Some(directory.join("strowger.toml")), ..Flags::default() }
    }

    #[test]
    fn what_would_run() {
        let directory = tempfile::tempdir().unwrap();
        let config = "[relay]\nlisten = [\"udp:127.0.0.1:5060\"]\nworkers = 2\nstate_dir = \"STATE\"\n\
                      [dispatch]\nrecord_route = false\n[destinations]\nsource = \"list:d.list\"\n";
        let other = |n: usize| format!("20 sip:127.0.0.1:{} 0 0 own=1\n", 6000 + n);
        let others: String = (0..11).map(other).collect();
        let list = format!("1 sip:127.0.0.1:5070\n1 sip:127.0.0.1:5071 4\n{others}");
        let report = check(&write(directory.path(), config, &list)).unwrap();
        let text = report.text();
        for part in [
            "listeners     udp:127.0.0.1:5060\n",
            "workers       2\n",
            "source        ",
            "d.list\n",
            "  destinations  set  1:  2,  1 of them may be chosen\n\
             \u{20}               set 20: 11, 11 of them may be chosen\n",
            "warning: record_route = false",
            "unknown attributes, kept as they are: own\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(report.json()["sets"][0]["may_be_chosen"], 1);
        assert!(!directory.path().join("state").exists(), "check changes nothing");
    }

    #[test]
    fn both_files_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let config = "[relay]\nlisten = [\"udp:127.0.0.1:5060\"]\nstate_dir = \"STATE\"\n\
                      [dispatch]\nalgorithm = \"round-robn\"\n[destinations]\nsource = \"list:d.list\"\n\
                      [log]\ndispatch = \"$rx\"\n";
        let problems =
            check(&write(directory.path(), config, "one sip:127.0.0.1\n1\n")).err().unwrap();
        let lines = problems
            .iter()
            .map(|problem| (problem.file.rsplit('/').next().unwrap(), problem.line.unwrap()))
            .collect::<Vec<_>>();
        let wants = [("strowger.toml", 5), ("strowger.toml", 9), ("d.list", 1), ("d.list", 2)];
        assert_eq!(lines, wants, "{problems:?}");
        assert!(told(&problems).ends_with("4 problems\n"));
        assert_eq!(json_of(&problems)["problems"][0]["line"], 5);
    }

    #[test]
    fn a_database_that_will_be_made_is_no_problem() {
        let folder = tempfile::tempdir().unwrap();
        for (name, is_right) in [("strowger.db", true), ("no-such-folder/strowger.db", false)] {
            let flags = Flags {
                listen: vec!["udp:127.0.0.1:5060".into()],
                db: Some(format!("sqlite:{}", folder.path().join(name).display())),
                ..Flags::default()
            };
            match check(&flags) {
                Ok(report) => {
                    assert!(is_right, "{name}");
                    assert!(report.warnings[0].ends_with("strowger run creates it, empty"));
                    assert!(!folder.path().join(name).exists(), "a check changes nothing");
                }
                Err(problems) => assert!(!is_right, "{name}: {problems:?}"),
            }
        }
    }

    /// What a start refuses, a check refuses, in the same words.
    #[test]
    fn what_a_start_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let many: String = (0..70_000)
            .map(|n| format!("1 sip:10.{}.{}.{}\n", n >> 16, n >> 8 & 255, n & 255))
            .collect();
        for (says, listen, list, wants) in [
            ("too many destinations", "udp:127.0.0.1:0", many.as_str(), "at most 65520 fit"),
            ("another family", "udp:127.0.0.1:0", "1 sip:[2001:db8::1]\n", "add an IPv6 address"),
            (
                "another family than the socket's",
                "udp:127.0.0.1:0\", \"udp:[::1]:5999",
                "1 sip:127.0.0.1 0 0 socket=udp:[::1]:5999\n",
                "has no IPv4 address",
            ),
        ] {
            let config = format!(
                "[relay]\nlisten = [\"{listen}\"]\nstate_dir = \"STATE\"\n\
                 [destinations]\nsource = \"list:d.list\"\n"
            );
            let flags = write(folder.path(), &config, list);
            let checked = check(&flags).err().unwrap_or_else(|| panic!("{says}"));
            assert_eq!(checked.len(), 1, "{says}: {checked:?}");
            assert!(checked[0].to_string().contains(wants), "{says}: {checked:?}");
            let started = Config::load(&flags).map(|config| {
                control::Relay::start(&config, control::Options::default()).map(drop)
            });
            let errors = started.unwrap().expect_err(says);
            assert_eq!(errors.len(), 1, "{says}: {errors:?}");
            assert!(errors[0].to_string().contains(wants), "{says}: {errors:?}");
        }
    }

    #[test]
    fn a_destination_that_is_this_relay_is_a_problem_behind_a_wildcard_and_by_name_too() {
        let folder = tempfile::tempdir().unwrap();
        let list = "1 sip:127.0.0.1:5060\n1 sip:localhost:5060\n1 sip:127.0.0.1:5070\n";
        let config = |more: &str| {
            format!(
                "[relay]\nlisten = [\"udp:0.0.0.0:5060\"]\nstate_dir = \"STATE\"\n\
                 [destinations]\nsource = \"list:d.list\"\n{more}"
            )
        };
        let problems = check(&write(folder.path(), &config(""), list)).err().unwrap();
        let told: Vec<_> = problems.iter().map(|p| (p.line, p.what.as_str())).collect();
        let is = |uri: &str| {
            let ours = "127.0.0.1:5060 is its listener udp:127.0.0.1:5060";
            format!("{uri} is this relay itself: {ours}")
        };
        let (by_address, by_name) = (is("sip:127.0.0.1:5060"), is("sip:localhost:5060"));
        assert_eq!(told, [(Some(1), by_address.as_str()), (Some(2), by_name.as_str())]);

        let skip = config("load_mode = \"skip\"\n");
        let report = check(&write(folder.path(), &skip, list)).unwrap();
        assert_eq!(report.sets()[&1], (1, 1));
        let left_out = report.warnings.iter().filter(|w| w.starts_with("left out: ")).count();
        assert_eq!(left_out, 2, "{:?}", report.warnings);
    }

    #[test]
    fn a_missing_list_is_a_problem() {
        let flags = Flags {
            listen: vec!["udp:127.0.0.1:5060".into()],
            list: Some("/does/not/exist".into()),
            ..Flags::default()
        };
        let problems = check(&flags).err().unwrap();
        assert!(problems[0].to_string().starts_with("/does/not/exist: cannot be read"));
    }
}
