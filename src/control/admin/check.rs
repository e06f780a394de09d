//! What `strowger check` can check of the control sockets without creating them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::files::{RIGHT, in_the_way, name};
use crate::config::{ControlConfig, ControlSocket, Problem};

/// Returns the problems that would keep the control sockets from being created, as far as they are
/// visible. Does not test for a live listener: that may be the running relay.
pub fn check(config: &ControlConfig) -> Vec<Problem> {
    let socket = match &config.socket {
        ControlSocket::At(path) => Some(path),
        ControlSocket::InStateDirectory | ControlSocket::Off => None,
    };
    let sockets = [
        ("socket", socket),
        ("fifo", config.fifo.as_ref()),
        ("datagram", config.datagram.as_ref()),
        ("binrpc", config.binrpc.as_ref()),
    ];
    let mut problems = Vec::new();
    let mut seen: BTreeMap<&Path, &str> = BTreeMap::new();
    for (key, path) in sockets {
        let Some(path) = path else { continue };
        if let Some(other) = seen.insert(path, key) {
            let what = format!("{} is {} too", path.display(), name(other));
            problems.push(Problem::of(&name(key), what, "give each control socket its own path"));
        }
        problems.extend(check_path(key, path));
    }
    if config.fifo.is_some() && !config.fifo_reply_dir.is_dir() {
        let what = format!("{} is not a folder", config.fifo_reply_dir.display());
        let right = "name the folder in which kamctl creates its reply pipes, usually /tmp";
        problems.push(Problem::of(&name("fifo_reply_dir"), what, right));
    }
    problems
}

fn check_path(key: &str, path: &Path) -> Option<Problem> {
    let folder = path.parent()?;
    if !folder.is_dir() {
        let what = format!("{}: its folder is missing", path.display());
        return Some(Problem::of(&name(key), what, "create the folder, or name another path"));
    }
    if access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let what =
            format!("{}: the relay's user may not create files in its folder", path.display());
        return Some(Problem::of(&name(key), what, RIGHT));
    }
    let found = fs::symlink_metadata(path).ok()?.file_type();
    let (is_right, wanted) =
        if key == "fifo" { (found.is_fifo(), "FIFO") } else { (found.is_socket(), "socket") };
    (!is_right).then(|| in_the_way(key, path, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_seen_before() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        let config = ControlConfig {
            socket: ControlSocket::At(at("no/folder")),
            fifo: Some(at("file")),
            fifo_reply_dir: at("file"),
            datagram: Some(at("same")),
            binrpc: Some(at("same")),
            http: None,
        };
        let told = check(&config).iter().map(ToString::to_string).collect::<Vec<_>>();
        let wants = [
            ("control.socket: ", "its folder is missing"),
            ("control.fifo: ", "exists and is not a FIFO"),
            ("control.binrpc: ", "is control.datagram too"),
            ("control.fifo_reply_dir: ", "is not a folder"),
        ];
        assert_eq!(told.len(), wants.len(), "{told:?}");
        for (told, (key, what)) in told.iter().zip(wants) {
            assert!(told.starts_with(key) && told.contains(what), "{told}");
        }
        assert!(check(&ControlConfig::default()).is_empty());
    }
}
