//! The record of what was there before anything was applied: `tune.json` in the state directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::apply::{Fate, Written};
use crate::disk;
use crate::limits::CONFIG_BYTES_MAX;

/// What was there before, since the machine was started.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) boot: String,
    pub(super) changes: Vec<Written>,
}

/// Where the record is kept.
pub(super) struct Place {
    path: PathBuf,
    directory: PathBuf,
    /// The directory, locked as long as this lives.
    _lock: File,
}

impl Place {
    /// Locks the state directory: one apply or undo at a time.
    pub(super) fn lock(state: &Path) -> Result<Self, String> {
        let lock = File::open(state).map_err(|error| told(state, &error))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                format!("{}: another strowger tune is at work", state.display())
            }
            fs::TryLockError::Error(error) => told(state, &error),
        })?;
        Ok(Self { path: state.join("tune.json"), directory: state.into(), _lock: lock })
    }

    /// The record, if there is one.
    pub(super) fn read(&self) -> Result<Option<Record>, String> {
        let mut options = OpenOptions::new();
        // A link could lead to a file that only root may read.
        let file = match options.read(true).custom_flags(libc::O_NOFOLLOW).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| told(&self.path, &error))?,
        };
        let mut text = String::new();
        file.take(CONFIG_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| told(&self.path, &error))?;
        let broken = || format!("{}: is no record of strowger tune", self.path.display());
        let value: Value = serde_json::from_str(&text).map_err(|_| broken())?;
        let field = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
        let change = |value: &Value| {
            Some(Written {
                id: field(value, "id")?,
                path: field(value, "path")?,
                from: field(value, "from")?,
                to: field(value, "to")?,
                fate: Fate::Done,
            })
        };
        let changes = value["changes"].as_array().ok_or_else(broken)?.iter().map(change);
        let changes = changes.collect::<Option<Vec<_>>>().ok_or_else(broken)?;
        Ok(Some(Record { boot: field(&value, "boot").ok_or_else(broken)?, changes }))
    }

    /// The whole record or the one before.
    pub(super) fn write(&self, record: &Record) -> Result<(), String> {
        let changes = record.changes.iter().map(|change| {
            json!({ "id": change.id, "path": change.path, "from": change.from, "to": change.to })
        });
        let value = json!({ "boot": record.boot, "changes": changes.collect::<Value>() });
        let new = self.path.with_extension("new");
        let write = || {
            // One that an interrupted run left.
            let _ = fs::remove_file(&new);
            // A new file, so that a link does not lead elsewhere.
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(format!("{value:#}\n").as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|error| told(&self.path, &error))?;
        disk::keep_names(&self.directory);
        Ok(())
    }

    pub(super) fn remove(&self) -> Result<(), String> {
        fs::remove_file(&self.path).map_err(|error| told(&self.path, &error))?;
        disk::keep_names(&self.directory);
        Ok(())
    }
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
