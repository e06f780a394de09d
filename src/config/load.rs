//! A file and flags become a [`Config`], or every problem of both.

use std::fs::{self, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::document::{Document, Later, Section};
use super::flags::{self, FORMATS, Flags, LEVELS};
use super::problem::in_order;
use super::{
    Config, ControlConfig, DestinationsConfig, EventsConfig, LogConfig, Problem, RelayConfig,
    Source, control, destinations, dispatch, events, hep, relay, values,
};
use crate::destination::Algorithm;
use crate::health::Mode;
use crate::limits;
use crate::log::Template;
use crate::proxy::{InDialog, Policy, SetPolicy};
use crate::words::remedy;

const SECTIONS: &[&str] =
    &["relay", "dispatch", "set", "destinations", "control", "events", "hep", "log"];

const SECTIONS_LATER: Later = &[
    ("metrics", "leave the section out"),
    ("probing", "write [dispatch.probing], or [set.N.probing] for one set"),
];

impl Config {
    /// Reads the file that the flags name, if they name one, and puts the flags over it.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the file's lines, then of the flags.
    pub fn load(flags: &Flags) -> Result<Self, Vec<Problem>> {
        Draft::load(flags).finish()
    }

    /// As [`Config::load`], from the text of a file called `file`; relative paths in it are
    /// relative to that file's directory.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_text(file: &Path, text: &str, flags: &Flags) -> Result<Self, Vec<Problem>> {
        Draft::from_text(Some(file), text, flags).finish()
    }
}

/// Whether a text that is no TOML begins a line as only a kamailio.cfg does.
fn is_kamailio(text: &str) -> bool {
    let begins = ["#!KAMAILIO", "#!SER", "#!OPENSER", "loadmodule", "modparam", "request_route"];
    text.lines().map(str::trim_start).any(|line| {
        begins.iter().any(|begin| line.starts_with(begin))
            || line.strip_prefix("route").is_some_and(|l| l.trim_start().starts_with(['{', '[']))
    })
}

/// What could be read, and what is wrong with the rest.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The configuration, with defaults where something is wrong.
    pub config: Config,
    /// Whether the source of destinations in it was read, so that it may be looked at too.
    pub has_source: bool,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl Draft {
    /// Reads as [`Config::load`] does, and keeps what is right when something is wrong.
    pub fn load(flags: &Flags) -> Self {
        let Some(path) = &flags.config else {
            return Self::from_text(None, "", flags);
        };
        match read_file(path) {
            Ok(text) => Self::from_text(Some(path), &text, flags),
            Err(problem) => {
                // What the file would have said is not missing, so only the flags' own mistakes are told.
                let mut draft = Self::of_flags(flags);
                draft.problems.insert(0, problem);
                draft
            }
        }
    }

    fn of_flags(flags: &Flags) -> Self {
        let mut config = Config::default();
        let mut source = None;
        let mut problems = Vec::new();
        flags::overlay(flags, &mut config, &mut source, &mut problems);
        Self::new(config, source, problems)
    }

    fn from_text(file: Option<&Path>, text: &str, flags: &Flags) -> Self {
        let name =
            file.map_or_else(|| "the command line".to_owned(), |file| file.display().to_string());
        let (mut document, table) = Document::parse(&name, text);
        if document.is_broken() && is_kamailio(text) {
            let right = format!("make a Strowger one: strowger import {name} -o strowger.toml");
            let problem = Problem::of(&name, "this is a configuration of Kamailio", right);
            let mut draft = Self::of_flags(flags);
            draft.problems.insert(0, problem);
            return draft;
        }
        let top = Section::top(table.get_ref());
        let (mut config, mut source) = read(&mut document, &top);
        if let (Some(source), Some(directory)) = (&mut source, file.and_then(Path::parent)) {
            source.relative_to(directory);
        }
        if let Some(file) = file
            && !config.relay.keys.is_empty()
            && is_readable_by_others(file)
        {
            config.warnings.push(format!(
                "{name} holds keys and can be read by others: chmod 600 {name}, or move the keys to a key file"
            ));
        }
        let is_broken = document.is_broken();
        let mut problems = document.problems;
        // What is missing is said only when it is not there at all, not when it is there and wrong.
        let is_written = |section: &str, key: &str| {
            let value = top.get(section).and_then(|section| section.get_ref().get(key));
            value.is_some_and(|value| {
                let items = value.get_ref().as_array();
                items.is_none_or(|items| !items.is_empty())
            })
        };
        if flags.listen.is_empty() && !is_broken && !is_written("relay", "listen") {
            let right =
                "write [relay] listen = [\"udp:ADDRESS:PORT\"], or give --listen udp:ADDRESS:PORT";
            problems.push(Problem::of(&name, "nothing to listen on", right));
        }
        if !is_broken && !is_written("destinations", "source") {
            let mut embedded = Source::Sqlite("strowger.db".into());
            if let Some(directory) = file.and_then(Path::parent) {
                embedded.relative_to(directory);
            }
            source = Some(embedded);
        }
        let mut problems = in_order(problems);
        flags::overlay(flags, &mut config, &mut source, &mut problems);
        Self::new(config, source, problems)
    }

    fn new(mut config: Config, source: Option<Source>, problems: Vec<Problem>) -> Self {
        let sets = || config.sets.values().chain([&config.set_default]);
        config.policy.is_stateful = sets().any(|set| set.stateful.is_some());
        config.policy.controls_overload = sets().any(SetPolicy::controls_overload);
        config.warnings.extend(warnings(&config));
        let has_source = source.is_some();
        if let Some(source) = source {
            config.destinations.source = source;
        }
        Self { config, has_source, problems }
    }

    fn finish(self) -> Result<Config, Vec<Problem>> {
        if self.problems.is_empty() { Ok(self.config) } else { Err(self.problems) }
    }
}

impl Default for Config {
    /// Every key at its default; without a listener and a source it is of no use as it is.
    fn default() -> Self {
        Self {
            relay: RelayConfig::default(),
            policy: Policy::default(),
            set_default: SetPolicy::default(),
            sets: Arc::default(),
            destinations: DestinationsConfig::default(),
            control: ControlConfig::default(),
            events: EventsConfig::default(),
            hep: None,
            log: LogConfig::default(),
            warnings: Vec::new(),
        }
    }
}

fn read(document: &mut Document, top: &Section) -> (Config, Option<Source>) {
    top.only(document, SECTIONS, SECTIONS_LATER);
    let mut config = Config::default();
    if let Some(section) = top.section(document, "relay") {
        let (relay, allow) = relay::read(document, &section);
        config.relay = relay;
        if let Some(allow) = allow {
            config.policy.allow.clone_from(&allow);
            config.policy.in_dialog_to = allow;
        }
    }
    if let Some(section) = top.section(document, "dispatch") {
        let (policy, defaults) = (&mut config.policy, &mut config.set_default);
        dispatch::read(document, &section, policy, defaults);
    }
    if let Some(section) = top.section(document, "set") {
        config.sets = Arc::new(dispatch::read_sets(document, &section, &config.set_default));
    }
    let mut source = None;
    if let Some(section) = top.section(document, "destinations") {
        let (read, has_source) = destinations::read(document, &section);
        source = has_source.then(|| read.source.clone());
        config.destinations = read;
    }
    if let Some(section) = top.section(document, "control") {
        config.control = control::read(document, &section);
    }
    if let Some(section) = top.section(document, "events") {
        config.events = events::read(document, &section);
    }
    if let Some(section) = top.section(document, "hep") {
        config.hep = hep::read(document, &section);
    }
    if let Some(section) = top.section(document, "log") {
        read_log(document, &section, &mut config.log);
    }
    (config, source)
}

fn read_log(document: &mut Document, section: &Section, log: &mut LogConfig) {
    section.only(document, &["level", "format", "dispatch", "left"], &[]);
    if let Some(level) = section.word(document, "level", LEVELS, &[]) {
        log.level = level;
    }
    if let Some(json) = section.word(document, "format", FORMATS, &[]) {
        log.json = json;
    }
    log.dispatch = read_template(document, section, "dispatch");
    if let Some(left) = read_template(document, section, "left") {
        log.left = left;
    }
}

fn read_template(document: &mut Document, section: &Section, key: &str) -> Option<Template> {
    let (text, place) = section.string(document, key)?;
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(error) => {
            let what = section.what(&format!("{key}: {}", error.what()));
            document.wrong(&place, what, error.right());
            None
        }
    }
}

fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let sets_in_use = config.sets_in_use();
    let in_use =
        || sets_in_use.iter().map(|set| config.sets.get(set).unwrap_or(&config.set_default));
    if in_use().any(|set| !set.record_route) {
        warnings.push(
            "record_route = false: a caller's requests in a dialog find their destination only while \
             the call is remembered, at most 240 s after its last message"
                .into(),
        );
    }
    if in_use().any(|set| set.in_dialog == InDialog::Route)
        && config.policy.in_dialog_to == Policy::default().allow
    {
        warnings.push(
            "in_dialog = \"route\" without in_dialog_to: requests in a dialog may be sent to any address"
                .into(),
        );
    }
    let of_sets = config.sets.iter().map(|(set, policy)| (format!("[set.{set}.probing]"), policy));
    let all =
        std::iter::once(("[dispatch.probing]".to_owned(), &config.set_default)).chain(of_sets);
    for (name, policy) in all {
        let Some(socket) = policy.probing.socket else { continue };
        let is_ours = config.relay.listen.iter().any(|listen| {
            let (local, ip) = (listen.address, listen.address.ip());
            let is_same_ip =
                ip == socket.ip() || ip.is_unspecified() && local.is_ipv4() == socket.is_ipv4();
            is_same_ip && local.port() == socket.port()
        });
        if !is_ours {
            warnings.push(format!(
                "{name} socket = \"udp:{socket}\" is not one of relay.listen: probes leave as requests do"
            ));
        }
    }
    for set in in_use() {
        let choosing = &set.choosing;
        let algorithm = choosing.algorithm;
        for (key, is_set, is_read) in [
            ("hash_over", !choosing.hash_over.is_empty(), algorithm.reads_hash_over()),
            ("hash_user_only", choosing.hash_user_only, algorithm.reads_user_only()),
            ("spill_over = false", choosing.stays_in_tier(), algorithm.has_tiers()),
            ("load_factor", choosing.load_factor_percent > 0, algorithm.hashes()),
        ] {
            if is_set && !is_read {
                warnings
                    .push(format!("{key} has no effect with the algorithm {}", algorithm.name()));
            }
        }
    }
    let is_latency = |set: &&SetPolicy| set.choosing.algorithm == Algorithm::Latency;
    if in_use().filter(is_latency).any(|set| set.probing.mode == Mode::Off) {
        warnings.push(
            "the algorithm latency knows only what the attribute latency says: no probe measures it \
             with mode = \"off\" under [dispatch.probing]"
                .into(),
        );
    }
    for set in config.sets.keys().filter(|set| !sets_in_use.contains(set)) {
        let in_use: Vec<_> = sets_in_use.iter().map(u32::to_string).collect();
        warnings.push(format!(
            "[set.{set}] has no effect: requests are dispatched to set {}",
            in_use.join(", ")
        ));
    }
    warnings
}

fn read_file(path: &Path) -> Result<String, Problem> {
    let name = path.display().to_string();
    let bytes = read_at_most(path, limits::CONFIG_BYTES_MAX)
        .map_err(|(what, right)| Problem::of(&name, what, right))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + memchr::memchr_iter(b'\n', &error.as_bytes()[..valid]).count();
        Problem::at(&name, line, "not UTF-8", "save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The bytes of a file that an operator named, once it stands still: who reloads may still be
/// writing, and half a list is a list too.
pub(crate) fn read_at_most(path: &Path, bytes_max: u64) -> Result<Vec<u8>, values::Mistake> {
    let cannot = |error: std::io::Error| {
        let right = match error.kind() {
            std::io::ErrorKind::NotFound => "name a file that exists",
            std::io::ErrorKind::PermissionDenied => "let the relay's user read it",
            _ => remedy(&error).unwrap_or("name a file that can be read"),
        };
        (format!("cannot be read ({error})"), right.to_owned())
    };
    for _ in 0..limits::FILE_LOOKS_MAX {
        // A pipe would keep us waiting, perhaps for ever, and with us the signal that ends the relay.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
        let before = file.metadata().map_err(cannot)?;
        if before.file_type().is_fifo() {
            return Err((
                "is a pipe".into(),
                "name a file: it is read again at each reload".into(),
            ));
        }
        let mut bytes = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(cannot)?;
        if bytes.len() as u64 > bytes_max {
            let right = format!("keep it within {bytes_max} bytes");
            return Err(("is too long".into(), right));
        }
        // What has stood still for longer need not be waited for: a write since would show below.
        if !has_stood_still(&before) {
            thread::sleep(Duration::from_millis(limits::FILE_STILL_MS));
        }
        let after = fs::metadata(path).map_err(cannot)?;
        let state = |of: &Metadata| (of.dev(), of.ino(), of.len(), of.mtime(), of.mtime_nsec());
        if state(&before) == state(&after) {
            return Ok(bytes);
        }
    }
    Err(("is being written".into(), "write it under another name, then rename it".into()))
}

/// Whether nothing has happened to a file for long enough. Its own time of change counts, which nobody
/// can set back; a clock that was set back only costs the wait.
fn has_stood_still(file: &Metadata) -> bool {
    let nanoseconds = file.ctime_nsec().cast_unsigned() as u32;
    let since = Duration::new(file.ctime().max(0).cast_unsigned(), nanoseconds);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(since).is_some_and(|age| age > Duration::from_millis(limits::FILE_STILL_MS))
}

/// A file that is there and has nothing in it, when it is read again.
pub(crate) fn blank(name: &str) -> Problem {
    Problem::of(name, "is empty", "write a comment into it (#) if nothing else is wanted")
}

fn is_readable_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o044 != 0)
}
