//! Creates the files of the control sockets, and removes them at the end if they are still ours.
//!
//! Stale files of a relay that died are replaced; sockets with a live listener are not. Files that
//! are neither a socket nor a FIFO are left alone, and symbolic links are not followed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::stat::Mode;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::Problem;
use crate::words::with_remedy;

/// A file that we created. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Placed {
    path: PathBuf,
    file: Inode,
}

/// Identifies a file. Inode numbers are soon reused, so the creation time is included if the file
/// system stores it.
#[derive(Debug, Eq, PartialEq)]
struct Inode(u64, u64, Option<SystemTime>);

/// Creates a FIFO that we read. We also hold it open for writing, so that reads never see its end.
pub(super) fn fifo(key: &str, path: &Path) -> Result<(File, Placed), Problem> {
    let told = |error: io::Error| cannot_be_made(key, path, &error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(told(error)),
        Ok(found) if !found.file_type().is_fifo() => return Err(in_the_way(key, path, "FIFO")),
        Ok(_) => {
            // Opening for writing succeeds only if a reader has the FIFO open.
            let writer = OpenOptions::new().write(true).custom_flags(NOFOLLOW).open(path);
            match writer {
                Ok(_) => return Err(taken(key, path)),
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                    fs::remove_file(path).map_err(told)?;
                }
                Err(error) => return Err(told(error)),
            }
        }
    }
    let mode = Mode::from_bits_truncate(MODE);
    nix::unistd::mkfifo(path, mode).map_err(|error| told(error.into()))?;
    let made = OpenOptions::new().read(true).write(true).custom_flags(NOFOLLOW).open(path);
    let file = made.map_err(told)?;
    // Sets the mode regardless of the umask, on the file that is open.
    file.set_permissions(Permissions::from_mode(MODE)).map_err(told)?;
    let placed = Placed::of(path, &file.metadata().map_err(told)?);
    Ok((file, placed))
}

/// Creates and binds a non-blocking unix socket of this type.
pub(super) fn socket(key: &str, path: &Path, kind: Type) -> Result<(Socket, Placed), Problem> {
    let told = |error: io::Error| cannot_be_made(key, path, &error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(told(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(in_the_way(key, path, "socket")),
        Ok(_) => {
            let address = SockAddr::unix(path).map_err(told)?;
            let caller = Socket::new(Domain::UNIX, kind, None).map_err(told)?;
            caller.set_nonblocking(true).map_err(told)?;
            match caller.connect(&address) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(told)?;
                }
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(told(error));
                }
                // Also a live listener of another type, or one with a full queue.
                _ => return Err(taken(key, path)),
            }
        }
    }
    let address = SockAddr::unix(path).map_err(told)?;
    let socket = Socket::new(Domain::UNIX, kind, None).map_err(told)?;
    socket.set_nonblocking(true).map_err(told)?;
    socket.bind(&address).map_err(told)?;
    // The umask applies to the new file. Its mode is set through a descriptor, because the path may
    // name another file by now.
    let handle = OpenOptions::new().read(true).custom_flags(libc::O_PATH | NOFOLLOW).open(path);
    let handle = handle.map_err(told)?;
    let found = handle.metadata().map_err(told)?;
    if !found.file_type().is_socket() {
        return Err(in_the_way(key, path, "socket"));
    }
    let placed = Placed::of(path, &found);
    let itself = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
    fs::set_permissions(itself, Permissions::from_mode(MODE)).map_err(told)?;
    Ok((socket, placed))
}

impl Placed {
    fn of(path: &Path, metadata: &fs::Metadata) -> Self {
        Self { path: path.to_owned(), file: Inode::of(metadata) }
    }
}

impl Inode {
    fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino(), metadata.created().ok())
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        let Ok(found) = fs::symlink_metadata(&self.path) else { return };
        if Inode::of(&found) == self.file {
            // If removal fails, the next start replaces the file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns the key that problems of this control socket are reported under.
pub(super) fn name(key: &str) -> String {
    format!("control.{key}")
}

pub(super) fn cannot_be_made(key: &str, path: &Path, error: &io::Error) -> Problem {
    let what = format!("{} cannot be created ({})", path.display(), with_remedy(error));
    Problem::of(&name(key), what, RIGHT)
}

pub(super) fn in_the_way(key: &str, path: &Path, wanted: &str) -> Problem {
    let what = format!("{} exists and is not a {wanted}", path.display());
    Problem::of(&name(key), what, "remove it, or name another path")
}

fn taken(key: &str, path: &Path) -> Problem {
    let what = format!("another process is listening on {}", path.display());
    Problem::of(&name(key), what, "stop it, or name another path")
}

/// What to do when a file cannot be created.
pub(super) const RIGHT: &str = "name a path in a folder that the relay's user may write to";

/// Read and write for the relay's user and group.
const MODE: u32 = 0o660;

const NOFOLLOW: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_stale_fifo_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let (file, placed) = fifo("fifo", &path).unwrap();
        assert_eq!(mode(&path), 0o660);
        let told = fifo("fifo", &path).unwrap_err().to_string();
        assert!(told.starts_with("control.fifo: another process is listening on "), "{told}");
        drop(file);
        // Nobody reads any more: it is stale.
        let (_file, second) = fifo("fifo", &path).unwrap();
        drop(placed);
        assert!(path.exists(), "the first one is not ours any more");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for (name, kind) in [("stream", Type::STREAM), ("datagram", Type::DGRAM)] {
            let path = folder.path().join(name);
            if kind == Type::STREAM {
                drop(UnixListener::bind(&path).unwrap());
            } else {
                drop(UnixDatagram::bind(&path).unwrap());
            }
            let (socket_, placed) = socket("socket", &path, kind).unwrap();
            if kind == Type::STREAM {
                socket_.listen(1).unwrap();
            }
            assert_eq!(mode(&path), 0o660);
            for kind in [Type::STREAM, Type::DGRAM] {
                let told = socket("socket", &path, kind).unwrap_err().to_string();
                assert!(told.contains("another process is listening on "), "{told}");
            }
            drop((socket_, placed));
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_is_not_ours_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "precious").unwrap();
        symlink(&file, &link).unwrap();
        let nowhere = folder.path().join("no/such/folder");
        for path in [&file, &link, &folder.path().to_owned(), &nowhere] {
            for told in [
                fifo("fifo", path).unwrap_err().to_string(),
                socket("binrpc", path, Type::STREAM).unwrap_err().to_string(),
            ] {
                assert!(told.contains(&path.display().to_string()), "{told}");
            }
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
