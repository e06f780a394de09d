//! The reply pipe of `kamctl`: a FIFO that the client creates and reads.
//!
//! Its name comes from any client that may write to our FIFO. Therefore only a FIFO directly in one
//! folder is accepted, and a client that does not read its pipe delays only itself.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;
use tokio::time::{sleep, timeout};

use crate::limits;

/// Returns the path of the pipe with this name.
///
/// # Errors
/// Why the name is refused.
pub(super) fn path(directory: &Path, name: &str) -> Result<PathBuf, String> {
    if name.is_empty() || name.contains(['.', '/', '\\', '\0']) {
        return Err(format!("reply_name {name:?}: write a name without . / and \\"));
    }
    let path = directory.join(name);
    if path.as_os_str().len() > limits::REPLY_PATH_BYTES_MAX {
        let max = limits::REPLY_PATH_BYTES_MAX;
        return Err(format!("reply_name {name:?}: with its folder it is longer than {max} bytes"));
    }
    Ok(path)
}

/// Writes an answer if a reader opens the pipe soon and keeps reading.
///
/// # Errors
/// Why it was not written.
pub(super) async fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let file = open(path).await?;
    let mut pipe = Sender::from_file(file).map_err(told)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let patience = Duration::from_secs(limits::REPLY_TIME_MAX_S);
        let Ok(written) = timeout(patience, pipe.write(rest)).await else {
            return Err(format!("{}: nobody reads it", path.display()));
        };
        rest = &rest[written.map_err(told)?..];
    }
    Ok(())
}

async fn open(path: &Path) -> Result<File, String> {
    for left in (0..=limits::REPLY_OPEN_TRIES).rev() {
        match open_now(path) {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) && left > 0 => {
                sleep(Duration::from_millis(limits::REPLY_OPEN_WAIT_MS)).await;
            }
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => break,
            other => return other.map_err(|error| format!("{}: {error}", path.display())),
        }
    }
    Err(format!("{}: nobody reads it", path.display()))
}

fn open_now(path: &Path) -> io::Result<File> {
    let named = fs::symlink_metadata(path)?;
    // A link, or a file with a second name, may belong to someone else.
    if !named.file_type().is_fifo() || named.nlink() != 1 {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a FIFO, or one with a second name",
        ));
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    let opened = file.metadata()?;
    if (opened.dev(), opened.ino(), opened.nlink()) != (named.dev(), named.ino(), 1) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it was replaced meanwhile"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder() {
        let folder = Path::new("/tmp");
        for name in ["", ".", "..", "../etc/x", "a/b", "a.b", "a\\b", "a\0b", &"x".repeat(200)] {
            assert!(path(folder, name).is_err(), "{name}");
        }
        let good = "kamailio_receiver_4711";
        assert_eq!(path(folder, good), Ok(folder.join(good)));
    }
}
