//! Files that are written as a whole and outlive a power cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file that its owner alone may read, whatever was there; `finish` may change whose it is and
/// who may read it. Its bytes are on the disk when this returns.
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

/// Has the names in a directory outlive a power cut as the bytes of its files do. Not every file
/// system can do that.
pub(crate) fn keep_names(directory: &Path) {
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}
