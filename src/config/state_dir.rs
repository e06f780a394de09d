//! The state directory: where the key file is kept, and what else must outlive a restart.
//!
//! The operator names it, or systemd does; else it is `strowger` in `/var/lib`, or in the user's own
//! folder for state.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::RelayConfig;

/// A directory that may be the state directory.
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// Nobody named it, so that another is tried when it is not ours.
    pub(super) is_a_guess: bool,
}

/// The state directory: the first place that can be written to, made when it is not there. `None`
/// when there is none.
pub fn state_directory(relay: &RelayConfig) -> Option<PathBuf> {
    places(relay).into_iter().map(|place| place.directory).find(|directory| is_writable(directory))
}

/// Where the state directory may be, the first choice first; nothing is made.
pub fn state_directories(relay: &RelayConfig) -> Vec<PathBuf> {
    places(relay).into_iter().map(|place| place.directory).collect()
}

pub(super) fn places(relay: &RelayConfig) -> Vec<Place> {
    let named = |directory: PathBuf| Place { directory, is_a_guess: false };
    if let Some(directory) = &relay.state_dir {
        return vec![named(directory.clone())];
    }
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    // systemd sets it, several directories separated by colons.
    if let Some(list) = variable("STATE_DIRECTORY")
        && let Some(first) = std::env::split_paths(&list).next()
    {
        return vec![named(first)];
    }
    let home = variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let own = variable("XDG_STATE_HOME").map(PathBuf::from).or(home);
    std::iter::once(PathBuf::from("/var/lib"))
        .chain(own)
        .map(|parent| Place { directory: parent.join("strowger"), is_a_guess: true })
        .collect()
}

/// Makes a directory that nobody else may look into, unless there is one.
pub(super) fn make(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn is_writable(directory: &Path) -> bool {
    make(directory).is_ok() && access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_where_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let named = |path: PathBuf| RelayConfig { state_dir: Some(path), ..RelayConfig::default() };
        let deep = directory.path().join("deep/state");
        assert_eq!(state_directories(&named(deep.clone())), std::slice::from_ref(&deep));
        assert!(!deep.exists());
        assert_eq!(state_directory(&named(deep.clone())), Some(deep.clone()));
        assert!(deep.is_dir());
        // A directory cannot be made below a file, whoever we are.
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(state_directory(&named(file.join("state"))), None);
    }
}
