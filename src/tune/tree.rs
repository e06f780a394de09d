//! The files of a machine that advice is made from: of this machine, or recorded on another.
//!
//! A recorded machine is a text. Each file is one line, `PATH: CONTENT`; further lines of a file
//! begin with `|`. Empty lines and lines that begin with `#` say nothing. What no file tells has a
//! path of its own: `/ethtool/CARD/…` for what the card's driver answers, `/conntrack/udp/PORT` for
//! the number of tracked connections.

use std::collections::BTreeMap;
use std::fmt;

use crate::limits::MACHINE_BYTES_MAX;

/// Paths and what they hold, without white space at either end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads a recorded machine.
    ///
    /// # Errors
    /// The line that is none of a record, by its number.
    pub fn from_text(text: &str) -> Result<Self, String> {
        if text.len() > MACHINE_BYTES_MAX {
            return Err(format!("is longer than {MACHINE_BYTES_MAX} bytes"));
        }
        let mut tree = Self::default();
        let mut last = None;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(more) = line.strip_prefix('|') {
                let path: &String =
                    last.as_ref().ok_or(format!("line {number}: of which file?"))?;
                let content = tree.0.entry(path.clone()).or_default();
                content.push('\n');
                content.push_str(more);
            } else {
                let (path, content) = line
                    .split_once(':')
                    .filter(|(path, _)| path.starts_with('/'))
                    .ok_or(format!("line {number}: write /PATH: CONTENT"))?;
                tree.insert(path, content);
                last = Some(path.to_owned());
            }
        }
        Ok(tree)
    }

    pub(crate) fn insert(&mut self, path: &str, content: &str) {
        self.0.insert(path.to_owned(), content.trim().to_owned());
    }

    /// What a file holds, if it is there.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The number that a file holds.
    pub(crate) fn number(&self, path: &str) -> Option<i64> {
        self.get(path)?.parse().ok()
    }

    /// The names in a directory, each once.
    pub(crate) fn names(&self, directory: &str) -> Vec<&str> {
        let start = format!("{directory}/");
        let files = self.0.range(start.clone()..).map(|(path, _)| path);
        let names = files.map_while(|path| path.strip_prefix(&start)?.split('/').next());
        let mut names: Vec<&str> = names.collect();
        // All files below one name are neighbours, except where a name begins with another.
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl fmt::Display for Tree {
    /// Writes the text that [`Tree::from_text`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, content) in &self.0 {
            writeln!(f, "{path}: {}", content.replace('\n', "\n|"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let text = "# a machine\n\n/a/b: 1\n/a/b-c/d: x: y\n/a/b/c:\n|one\n| two\n/a/e:  3 \n";
        let tree = Tree::from_text(text).unwrap();
        assert_eq!(tree.number("/a/b"), Some(1));
        assert_eq!(tree.get("/a/b-c/d"), Some("x: y"));
        assert_eq!(tree.get("/a/b/c"), Some("\none\n two"));
        assert_eq!(tree.number("/a/e"), Some(3));
        assert_eq!(tree.get("/a"), None);
        assert_eq!(tree.names("/a"), ["b", "b-c", "e"]);
        assert_eq!(tree.names("/a/b"), ["c"]);
        assert_eq!(Tree::from_text(&tree.to_string()), Ok(tree));
    }

    #[test]
    fn what_is_no_record() {
        for (text, wants) in [
            ("|x", "line 1: of which file?"),
            ("/a: 1\nb: 2", "line 2: write /PATH: CONTENT"),
            ("/a 1", "line 1: write /PATH: CONTENT"),
        ] {
            assert_eq!(Tree::from_text(text), Err(wants.to_owned()));
        }
        let long = "#".repeat(MACHINE_BYTES_MAX);
        assert!(Tree::from_text(&long).is_ok());
        assert!(Tree::from_text(&(long + "#")).is_err());
    }
}
