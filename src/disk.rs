//! Writes files so that they are complete and survive a power failure.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file that only its owner may read, replacing an old one; `finish` may change owner and
/// permissions. The bytes are on disk when this returns.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    finish(&file)?;
    file.sync_all()
}

/// Makes the names in a directory survive a power failure, like the bytes of its files. Not every
/// file system can do that.
pub(crate) fn keep_names(directory: &Path) {
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}
