//! Writing one record into the source, or out of it: the table of a database, or the list.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::Path;

use super::row::Reading;
use super::{database, list};
use crate::config::{Config, Problem, Source};
use crate::destination::{Attributes, DestinationUri, Origin, Record};
use crate::disk;

/// Writes a record into the source; says where it stands there.
///
/// # Errors
/// Why the source does not take it; then it is as it was.
pub fn add(config: &Config, record: &Record) -> Result<Origin, Vec<Problem>> {
    let Source::List(path) = &config.destinations.source else {
        return Ok(database::insert(&config.destinations, record)?);
    };
    let line = line_of(path, record)?;
    change(path, |bytes| {
        let is_dos = bytes.windows(2).any(|pair| pair == b"\r\n");
        let end: &[u8] = if is_dos { b"\r\n" } else { b"\n" };
        let mut new = bytes.to_vec();
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            new.extend(end);
        }
        new.extend(line.as_bytes());
        new.extend(end);
        let number = memchr::memchr_iter(b'\n', &new).count();
        (Some(new), Origin::Line(number))
    })
}

/// Removes the records of a set with this URI from the source, written with `sip:` or without; says how
/// many rows or lines there were.
///
/// # Errors
/// As [`add`].
pub fn remove(config: &Config, set: u32, uri: &str) -> Result<u64, Vec<Problem>> {
    let uri = DestinationUri::parse(uri).map_or_else(|_| uri.to_owned(), |uri| uri.text);
    let Source::List(path) = &config.destinations.source else {
        return Ok(database::delete(&config.destinations, set, &uri)?);
    };
    let is_meant = |line: &[u8]| {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let record = list::read_line(line, 0).and_then(|reading| reading.record);
        record.is_some_and(|record| record.set == set && record.uri.text == uri)
    };
    change(path, |bytes| {
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let (gone, kept): (Vec<_>, Vec<_>) = lines.partition(|line| is_meant(line));
        ((!gone.is_empty()).then(|| kept.concat()), gone.len() as u64)
    })
}

/// The line of a record, which reads back as that record.
fn line_of(path: &Path, record: &Record) -> Result<String, Vec<Problem>> {
    let Record { set, uri, flags, priority, attributes, .. } = record;
    let mut line = format!("{set} {} {} {priority}", uri.text, flags.bits());
    if !attributes.text.is_empty() {
        line.push(' ');
        line.push_str(&attributes.text);
    }
    let origin = record.origin;
    let read = list::read_line(line.as_bytes(), 0).map(Reading::strict).transpose();
    // A listener's name was looked up meanwhile.
    let socket = record.attributes.socket;
    let read = read.map(|read| {
        let attributes = |read: Attributes| Attributes { socket, ..read };
        read.map(|read| Record { origin, attributes: attributes(read.attributes), ..read })
    });
    if read.as_ref().is_ok_and(|read| read.as_ref() == Some(record)) {
        return Ok(line);
    }
    let name = path.display().to_string();
    let told = match read {
        Err(mistakes) => mistakes,
        Ok(_) => vec![(
            "a line of a list cannot hold this record".into(),
            "write attributes without blanks".into(),
        )],
    };
    Err(told.into_iter().map(|(what, right)| Problem::of(&name, what, right)).collect())
}

/// Puts another file in the place of a list, unless nothing is different; nobody sees half of it.
fn change<T>(
    path: &Path,
    new: impl FnOnce(&[u8]) -> (Option<Vec<u8>>, T),
) -> Result<T, Vec<Problem>> {
    let old = list::bytes_of(path)?;
    let (new, changed) = new(&old);
    let Some(new) = new else { return Ok(changed) };
    let problem =
        |what: String, right: &str| vec![Problem::of(&path.display().to_string(), what, right)];
    match replace(path, &old, &new) {
        Ok(true) => Ok(changed),
        Ok(false) => Err(problem("was changed meanwhile".into(), "ask once more")),
        Err(error) => {
            let right = "let the relay's user own it, and write to its directory";
            Err(problem(format!("cannot be written ({error})"), right))
        }
    }
}

/// False when the file is not `old` any more.
fn replace(path: &Path, old: &[u8], new: &[u8]) -> io::Result<bool> {
    // What a link names is replaced, and not the link.
    let path = fs::canonicalize(path)?;
    let metadata = fs::metadata(&path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".strowger-new");
    let temporary = path.with_file_name(name);
    let result = disk::write(&temporary, new, |file| look_like(file, &metadata)).and_then(|()| {
        if fs::read(&path)? != old {
            return Ok(false);
        }
        fs::rename(&temporary, &path)?;
        Ok(true)
    });
    if !matches!(result, Ok(true)) {
        let _ = fs::remove_file(&temporary);
    }
    if let Some(directory) = path.parent() {
        disk::keep_names(directory);
    }
    result
}

/// Owner, group and mode as those of the file whose place it takes.
fn look_like(file: &File, like: &fs::Metadata) -> io::Result<()> {
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;
    use crate::source::record;

    struct List {
        directory: tempfile::TempDir,
        config: Config,
    }

    impl List {
        fn holding(text: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("dispatcher.list");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let mut config = Config::default();
            config.destinations.source = Source::List(path);
            Self { directory, config }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("dispatcher.list")
        }

        fn text(&self) -> String {
            fs::read_to_string(self.path()).unwrap()
        }
    }

    #[test]
    fn a_line_is_added_at_the_end() {
        for (before, after, line) in [
            ("", "2 sip:192.0.2.9 8 5 duid=x\n", 1),
            ("# mine\n1 a.example", "# mine\n1 a.example\n2 sip:192.0.2.9 8 5 duid=x\n", 3),
            ("# mine\r\n", "# mine\r\n2 sip:192.0.2.9 8 5 duid=x\r\n", 2),
        ] {
            let list = List::holding(before);
            let record = record(&list.config, 2, "192.0.2.9", 8, 5, "duid=x").unwrap();
            assert_eq!(add(&list.config, &record).unwrap(), Origin::Line(line));
            assert_eq!(list.text(), after);
            assert_eq!(fs::metadata(list.path()).unwrap().mode() & 0o777, 0o640);
            assert_eq!(fs::read_dir(list.directory.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_a_line_cannot_hold() {
        let list = List::holding("");
        for (priority, attributes, what) in [
            (-1, "", "priority \"-1\""),
            (0, "a=x y", "after the attributes"),
            (0, "a=1; b=2", "after"),
        ] {
            let record = record(&list.config, 1, "sip:192.0.2.9", 0, priority, attributes).unwrap();
            let problems = add(&list.config, &record).unwrap_err();
            assert!(problems[0].what.contains(what), "{problems:?}");
            assert_eq!(list.text(), "");
        }
    }

    #[test]
    fn a_line_is_removed_and_all_else_stays() {
        let text = "\u{feff}1 192.0.2.1\r\n# sip:192.0.2.1\n2 sip:192.0.2.1\nrubbish\n  1 sip:192.0.2.1 4 # old\n1 sip:192.0.2.10";
        let list = List::holding(text);
        assert_eq!(remove(&list.config, 1, "192.0.2.1").unwrap(), 2);
        let wants = "# sip:192.0.2.1\n2 sip:192.0.2.1\nrubbish\n1 sip:192.0.2.10";
        assert_eq!(list.text(), wants);
        assert_eq!(remove(&list.config, 1, "sip:192.0.2.1").unwrap(), 0);
        assert_eq!(remove(&list.config, 1, "sip:192.0.2.10").unwrap(), 1);
        assert_eq!(list.text(), "# sip:192.0.2.1\n2 sip:192.0.2.1\nrubbish\n");
    }

    #[test]
    fn a_link_stays_one() {
        let list = List::holding("# real\n");
        let link = list.directory.path().join("link");
        std::os::unix::fs::symlink(list.path(), &link).unwrap();
        let mut config = list.config.clone();
        config.destinations.source = Source::List(link.clone());
        let record = record(&config, 1, "sip:192.0.2.1", 0, 0, "").unwrap();
        add(&config, &record).unwrap();
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
        assert_eq!(list.text(), "# real\n1 sip:192.0.2.1 0 0\n");
    }
}
