//! Our keys: from the configuration, or from a file in the state directory that is made on first use.
//!
//! Branches and tokens live through a restart only when the key does. So a key file is made where
//! one can be kept, two processes that start together agree on it, and where none can be kept that
//! is said. No secret is ever part of a message.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::state_dir::{self, Place, places};
use super::{Problem, RelayConfig, values};
use crate::disk;
use crate::keys::MasterKey;
use crate::limits;

/// The file's name in the state directory.
pub const FILE_NAME: &str = "strowger.key";

/// The keys, and where they are from.
#[derive(Debug)]
pub struct Loaded {
    /// 1 to [`limits::KEYS_MAX`] keys; the first signs, all verify.
    pub keys: Vec<MasterKey>,
    /// The key file; `None` when the configuration holds the keys, or nothing does.
    pub file: Option<PathBuf>,
    /// Why the keys will not live through a restart.
    pub warning: Option<String>,
}

/// The keys of this configuration. A missing key file is made; when no place for it can be written
/// to, the key is random and the warning says so.
///
/// # Errors
/// A key file that others may read, or that cannot be read or understood.
pub fn load(relay: &RelayConfig) -> Result<Loaded, Vec<Problem>> {
    if !relay.keys.is_empty() {
        return Ok(Loaded { keys: relay.keys.clone(), file: None, warning: None });
    }
    load_from(&places(relay))
}

/// Looks at the key file that [`load`] would read, without making one: its path, if there is one.
///
/// # Errors
/// As [`load`].
pub fn look(relay: &RelayConfig) -> Result<Option<PathBuf>, Vec<Problem>> {
    if !relay.keys.is_empty() {
        return Ok(None);
    }
    for place in places(relay) {
        let path = place.directory.join(FILE_NAME);
        match read(&path) {
            Ok(_) => return Ok(Some(path)),
            Err(Unread::Absent) => {}
            Err(Unread::Forbidden(_)) if place.is_a_guess => {}
            Err(Unread::Forbidden(problem)) => return Err(vec![problem]),
            Err(Unread::Wrong(problems)) => return Err(problems),
        }
    }
    Ok(None)
}

fn load_from(places: &[Place]) -> Result<Loaded, Vec<Problem>> {
    let mut failures = Vec::new();
    for place in places {
        let path = place.directory.join(FILE_NAME);
        let result = match read(&path) {
            Err(Unread::Absent) => match make(&place.directory, &path) {
                // Another start may have been faster; its key is ours then.
                Ok(()) => read(&path),
                Err(error) => {
                    failures.push(format!("{}: {error}", place.directory.display()));
                    continue;
                }
            },
            other => other,
        };
        match result {
            Ok(keys) => {
                return Ok(Loaded { keys, file: Some(path), warning: None });
            }
            Err(Unread::Forbidden(problem)) if place.is_a_guess => {
                failures.push(format!("{}: {}", path.display(), problem.what));
            }
            Err(Unread::Forbidden(problem)) => return Err(vec![problem]),
            Err(Unread::Wrong(problems)) => return Err(problems),
            Err(Unread::Absent) => failures.push(format!("{}: it vanished", path.display())),
        }
    }
    Ok(Loaded {
        keys: vec![random_key()],
        file: None,
        warning: Some(format!(
            "no key file can be kept ({}), so calls in progress will not survive a restart: set \
             relay.state_dir to a directory that the relay's user may write to",
            failures.join("; ")
        )),
    })
}

enum Unread {
    Absent,
    Forbidden(Problem),
    Wrong(Vec<Problem>),
}

fn read(path: &Path) -> Result<Vec<MasterKey>, Unread> {
    let name = path.display().to_string();
    let forbidden = |error: &io::Error| {
        let what = format!("cannot be read ({error})");
        Unread::Forbidden(Problem::of(&name, what, "let the relay's user own it"))
    };
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Unread::Absent),
        Err(error) => return Err(forbidden(&error)),
    };
    let metadata = file.metadata().map_err(|error| forbidden(&error))?;
    let wrong = |what: &str, right: &str| Unread::Wrong(vec![Problem::of(&name, what, right)]);
    if !metadata.is_file() {
        return Err(wrong("not a file", "remove it: a key file is made in its place"));
    }
    if metadata.mode() & 0o077 != 0 {
        let what = format!("others may use this key file (mode {:04o})", metadata.mode() & 0o7777);
        return Err(wrong(&what, &format!("chmod 600 {name}")));
    }
    let mut bytes = Vec::new();
    file.take(limits::KEY_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| forbidden(&error))?;
    if bytes.len() as u64 > limits::KEY_FILE_BYTES_MAX {
        return Err(wrong("too long for a key file", "keep one key per line"));
    }
    parse(&name, &bytes).map_err(Unread::Wrong)
}

/// `ID:64 hex digits` on each line, comments after `#`.
fn parse(name: &str, bytes: &[u8]) -> Result<Vec<MasterKey>, Vec<Problem>> {
    let text = String::from_utf8_lossy(bytes);
    let mut keys: Vec<MasterKey> = Vec::new();
    let mut problems = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        match values::key(line) {
            Ok(key) if keys.iter().any(|other| other.id == key.id) => {
                let what = format!("a second key has the number {}", key.id);
                let right = "give each a number of its own";
                problems.push(Problem::at(name, at + 1, what, right));
            }
            Ok(key) => keys.push(key),
            Err((what, right)) => problems.push(Problem::at(name, at + 1, what, right)),
        }
    }
    if keys.len() > limits::KEYS_MAX {
        let right = format!("keep at most {}, the one that signs first", limits::KEYS_MAX);
        problems.push(Problem::of(name, format!("{} keys", keys.len()), right));
    }
    if keys.is_empty() && problems.is_empty() {
        let right = "remove it, and a new one is made at the next start";
        problems.push(Problem::of(name, "no key in it", right));
    }
    if problems.is_empty() { Ok(keys) } else { Err(problems) }
}

/// Makes the key file, unless there is one by now.
fn make(directory: &Path, path: &Path) -> io::Result<()> {
    state_dir::make(directory)?;
    let temporary = directory.join(format!("{FILE_NAME}.{:016x}", random_number()));
    let made = write_key(&temporary).and_then(|()| {
        // A link, unlike a rename, fails when the name is taken: of two that start at the same
        // time one makes the file, whole, and both read it.
        match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    });
    let _ = fs::remove_file(&temporary);
    made?;
    disk::keep_names(directory);
    Ok(())
}

fn write_key(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut key = random_key();
    key.id = 1;
    let mut secret = String::with_capacity(64);
    for byte in key.secret {
        // Writing to a string cannot fail.
        let _ = write!(secret, "{byte:02x}");
    }
    writeln!(
        file,
        "# The key behind Strowger's Via parameters and Record-Route tokens: keep it secret.\n\
         # The first line signs, all lines verify, up to {} of them.\n{}:{secret}",
        limits::KEYS_MAX,
        key.id,
    )?;
    file.sync_all()
}

/// A key that nobody else has. Its number is random too, so that what an earlier process signed
/// counts as unknown rather than as forged.
fn random_key() -> MasterKey {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the system gives random numbers");
    MasterKey { id: random_number() as u8, secret }
}

fn random_number() -> u64 {
    getrandom::u64().expect("the system gives random numbers")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    fn named(directory: &Path) -> Vec<Place> {
        vec![Place { directory: directory.into(), is_a_guess: false }]
    }

    fn write(directory: &Path, text: &str, mode: u32) -> PathBuf {
        let path = directory.join(FILE_NAME);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn made_once_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let places = named(&directory.path().join("deep/state"));
        let first = load_from(&places).unwrap();
        let second = load_from(&places).unwrap();
        assert_eq!(first.keys[0].secret, second.keys[0].secret);
        assert_eq!(first.warning, None);
        let path = first.file.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn starts_at_the_same_time_agree() {
        let directory = tempfile::tempdir().unwrap();
        let places = named(directory.path());
        let secrets = thread::scope(|scope| {
            let starts = [(); 8].map(|()| scope.spawn(|| load_from(&places).unwrap()));
            starts.map(|start| start.join().unwrap().keys[0].secret)
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    }

    #[test]
    fn wrong_files() {
        let hex = "ab".repeat(32);
        let five = [1, 2, 3, 4, 5].map(|id| format!("{id}:{hex}")).join("\n");
        for (text, mode, wants) in [
            (format!("1:{hex}\n"), 0o640, "chmod 600"),
            (format!("1:{hex}\n"), 0o604, "chmod 600"),
            (format!("1:{hex}\n1:{hex}\n"), 0o600, ":2: a second key"),
            (format!("1:{hex}\nxx:{hex}\n"), 0o600, ":2: the number of a key"),
            (five, 0o600, "5 keys"),
            ("# nothing\n".into(), 0o600, "no key in it"),
            ("\u{0}".repeat(20_000), 0o600, "too long"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), &text, mode);
            let problems = load_from(&named(directory.path())).unwrap_err();
            let told = problems[0].to_string();
            assert!(told.contains(wants), "{told}");
            assert!(!told.contains("abab"), "{told}");
        }
    }

    #[test]
    fn comments_and_order() {
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        let text = format!("# old keys stay below\n 9:{one} # signs\r\n\n3:{two}\n");
        let keys = parse("f", text.as_bytes()).unwrap();
        assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [9, 3]);
        assert!(!format!("{keys:?}").contains("17"), "{keys:?}");
    }

    #[test]
    fn no_place_is_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        // A directory cannot be made below a file, whoever we are.
        let mut places = named(&file.join("state"));
        places[0].is_a_guess = true;
        let loaded = load_from(&places).unwrap();
        assert_eq!(loaded.keys.len(), 1);
        assert!(loaded.warning.unwrap().contains("relay.state_dir"));
    }
}
