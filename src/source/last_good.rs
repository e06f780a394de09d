//! The last good destinations of a database, in a file of the state directory, so that a relay can
//! start while its database is away.
//!
//! The file is replaced as a whole whenever what was read of the database is put in force. Of what is
//! read back nothing is taken on trust: it must be whole, of this source, and pass the checks that its
//! rows passed.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::records::Records;
use super::row::{self, Fields};
use crate::config::{Config, Problem, state_directories, state_directory};
use crate::destination::{Origin, Record};
use crate::disk;
use crate::limits;

/// The file's name in the state directory.
const FILE_NAME: &str = "destinations.last";

/// The first line; its number grows with the format.
const FORMAT: &str = "strowger-destinations 1";

/// What was kept.
#[derive(Debug)]
pub(super) struct LastGood {
    pub(super) records: Records,
    /// How long ago.
    pub(super) age: Duration,
}

/// Keeps the records of a database for a start without it; of a list nothing is kept, it is a file
/// itself. Says what is to be warned of.
pub fn keep<'a>(config: &Config, records: impl Iterator<Item = &'a Record>) -> Option<String> {
    if !config.destinations.source.is_database() {
        return None;
    }
    let told = |why: String| {
        format!(
            "the destinations cannot be kept for a start without {}: {why}",
            config.destinations.source
        )
    };
    let Some(directory) = state_directory(&config.relay) else {
        return Some(told("no state directory can be written to: set relay.state_dir".into()));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    write(&directory, &text(config, now, records))
        .err()
        .map(|error| told(format!("{}: {error}", directory.join(FILE_NAME).display())))
}

/// What was kept of the source of this configuration.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn read(config: &Config) -> Result<Option<LastGood>, Vec<Problem>> {
    for directory in state_directories(&config.relay) {
        let path = directory.join(FILE_NAME);
        let name = path.display().to_string();
        match bytes(&path) {
            Ok(Some(bytes)) => {
                let read = parse(config, &bytes).map_err(|what| {
                    let right = "it is not used, and written again after the next good load";
                    vec![Problem::of(&name, what, right)]
                });
                return read.map(Some);
            }
            Ok(None) => {}
            Err(what) => {
                return Err(vec![Problem::of(&name, what, "let the relay's user own it")]);
            }
        }
    }
    Ok(None)
}

/// `3 days`, in the largest unit of which there are two.
pub(super) fn for_people(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let unit = units.into_iter().find(|(length, _)| seconds >= 2 * length);
    let (length, unit) = unit.unwrap_or((1, "s"));
    format!("{} {unit}", seconds / length)
}

/// ```text
/// strowger-destinations 1
/// source SOURCE AND ITS NAMES
/// time SECONDS
/// ID TAB SET TAB FLAGS TAB PRIORITY TAB URI TAB ATTRIBUTES
/// blake3 HEX
/// ```
///
/// Neither a URI nor an attribute holds a control character, so no field holds a tab.
fn text<'a>(config: &Config, now: Duration, records: impl Iterator<Item = &'a Record>) -> String {
    let mut text = format!("{FORMAT}\nsource {}\ntime {}\n", source(config), now.as_secs());
    for record in records {
        let Record { set, uri, flags, priority, attributes, origin } = record;
        let Origin::Row(id) = origin else { continue };
        let (flags, uri, attributes) = (flags.bits(), &uri.text, &attributes.text);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{id}\t{set}\t{flags}\t{priority}\t{uri}\t{attributes}");
    }
    let sum = blake3::hash(text.as_bytes()).to_hex();
    let _ = writeln!(text, "blake3 {sum}");
    text
}

fn parse(config: &Config, bytes: &[u8]) -> Result<LastGood, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is damaged")?;
    let first = text.lines().next().unwrap_or_default();
    if first != FORMAT {
        return Err("is of another version of Strowger".into());
    }
    let end = text.rfind("blake3 ").ok_or("is cut short")?;
    let (text, sum) = text.split_at(end);
    let wants = format!("blake3 {}\n", blake3::hash(text.as_bytes()).to_hex());
    if sum != wants {
        return Err("is damaged".into());
    }
    let mut lines = text.lines().skip(1);
    let mut after = |word: &str| lines.next()?.strip_prefix(word);
    if after("source ") != Some(source(config).as_str()) {
        return Err("is of another source".into());
    }
    let time = after("time ").and_then(|time| time.parse().ok()).ok_or("is damaged")?;
    let mut records = Records::new(&config.destinations.source.to_string());
    for line in lines {
        let fields: Vec<_> = line.split('\t').collect();
        let [id, set, flags, priority, uri, attributes] = *fields.as_slice() else {
            return Err("is damaged".into());
        };
        let origin = Origin::Row(id.parse().map_err(|_| "is damaged")?);
        records.read(origin, row::read(Fields { set, uri, flags, priority, attributes }, origin));
    }
    let age = SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(time));
    Ok(LastGood { records, age: age.unwrap_or_default() })
}

/// Which rows these are. No password is part of it.
fn source(config: &Config) -> String {
    let destinations = &config.destinations;
    let names = &destinations.table;
    let mut text = format!(
        "{} {} {} {} {} {} {} {}",
        destinations.source,
        names.table,
        names.version_table,
        names.set,
        names.destination,
        names.flags,
        names.priority,
        names.attributes
    );
    for (name, column) in &destinations.extra_attributes {
        let _ = write!(text, " {name}={column}");
    }
    text.replace(char::is_control, "?")
}

fn write(directory: &Path, text: &str) -> io::Result<()> {
    let (path, new) = (directory.join(FILE_NAME), directory.join(format!("{FILE_NAME}.new")));
    disk::write(&new, text.as_bytes(), |_| Ok(()))?;
    fs::rename(&new, path)?;
    disk::keep_names(directory);
    Ok(())
}

fn bytes(path: &PathBuf) -> Result<Option<Vec<u8>>, String> {
    let cannot = |error: io::Error| format!("cannot be read ({error})");
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() || metadata.mode() & 0o022 != 0 {
        return Err("may be written by others".into());
    }
    let mut bytes = Vec::new();
    file.take(limits::LAST_GOOD_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > limits::LAST_GOOD_BYTES_MAX {
        return Err("is too long".into());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::{DatabaseUrl, LoadMode, Source};

    fn config(state: &Path, url: &str) -> Config {
        let mut config = Config::default();
        config.relay.state_dir = Some(state.into());
        config.destinations.source = Source::Mysql(DatabaseUrl::new(url));
        config
    }

    fn records() -> Vec<Record> {
        [
            (4, "sip:192.0.2.1:5060", 0, -3, ""),
            (-9, "a.example", 24, 0, "duid=a;note=\"x;y\";own=\u{e9} z"),
        ]
        .map(|(id, uri, flags, priority, attributes)| {
            let (flags, priority) = (i32::to_string(&flags), i32::to_string(&priority));
            let fields = Fields { set: "7", uri, flags: &flags, priority: &priority, attributes };
            row::read(fields, Origin::Row(id)).strict().unwrap()
        })
        .into()
    }

    #[test]
    fn what_was_kept_is_read_back() {
        let state = tempfile::tempdir().unwrap();
        let config = config(state.path(), "mysql://u:pw@h/d");
        assert!(read(&config).unwrap().is_none());
        assert_eq!(keep(&config, records().iter()), None);
        assert_eq!(keep(&config, records().iter()), None);
        let path = state.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
        assert!(!fs::read_to_string(path).unwrap().contains("pw"));
        let last = read(&config).unwrap().unwrap();
        let mut kept = last.records.finish(LoadMode::All).unwrap().records;
        kept.sort_by_key(|record| std::cmp::Reverse(record.origin));
        assert_eq!(kept, records());
        assert!(last.age < Duration::from_mins(1));
    }

    #[test]
    fn every_byte_counts() {
        let state = tempfile::tempdir().unwrap();
        let config = config(state.path(), "mysql://u:pw@h/d");
        let text = text(&config, Duration::from_secs(1), records().iter()).into_bytes();
        assert!(parse(&config, &text).is_ok());
        for at in 0..text.len() {
            assert!(parse(&config, &text[..at]).is_err(), "cut at {at}");
            let mut other = text.clone();
            other[at] ^= 1;
            assert!(parse(&config, &other).is_err(), "another byte at {at}");
        }
    }

    #[test]
    fn what_is_not_used() {
        let state = tempfile::tempdir().unwrap();
        let ours = config(state.path(), "mysql://u:pw@h/d");
        let path = state.path().join(FILE_NAME);
        let told = |config: &Config| read(config).unwrap_err()[0].what.clone();
        assert_eq!(keep(&ours, records().iter()), None);
        // Another user reads the same rows; another database or table does not.
        assert!(read(&config(state.path(), "mysql://v:px@h/d")).unwrap().is_some());
        assert_eq!(told(&config(state.path(), "mysql://u:pw@h/e")), "is of another source");
        let mut other = ours.clone();
        other.destinations.table.table = "other".into();
        assert_eq!(told(&other), "is of another source");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(told(&ours), "may be written by others");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(FORMAT, "strowger-destinations 2", 1)).unwrap();
        assert_eq!(told(&ours), "is of another version of Strowger");
    }

    #[test]
    fn where_nothing_can_be_kept_it_is_said() {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("file");
        fs::write(&file, "").unwrap();
        // A directory cannot be made below a file, whoever we are.
        let told = keep(&config(&file.join("state"), "mysql://u:pw@h/d"), records().iter());
        let told = told.unwrap();
        assert!(told.contains("relay.state_dir") && !told.contains("pw"), "{told}");
        let list = Config::default();
        assert_eq!(keep(&list, records().iter()), None);
    }

    #[test]
    fn ages() {
        for (seconds, told) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 minutes"),
            (7_200, "2 hours"),
            (400_000, "4 days"),
        ] {
            assert_eq!(for_people(Duration::from_secs(seconds)), told);
        }
    }
}
