//! The key file: any bytes. The result is one to four keys with different numbers, or problems that
//! name lines but no secret.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use strowger::config::{Config, keyfile};
use strowger::keys::Keys;
use strowger::limits;
use tempfile::TempDir;

use super::list::assert_problems;

pub(crate) fn run(input: &[u8]) {
    thread_local! {
        static FOLDER: TempDir = TempDir::new().unwrap();
    }
    FOLDER.with(|folder| {
        let path = folder.path().join(keyfile::FILE_NAME);
        fs::write(&path, input).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut relay = Config::default().relay;
        relay.state_dir = Some(folder.path().into());
        match keyfile::load(&relay) {
            Ok(loaded) => {
                assert_eq!(loaded.file.as_deref(), Some(&*path));
                assert!((1..=limits::KEYS_MAX).contains(&loaded.keys.len()));
                let numbers: HashSet<_> = loaded.keys.iter().map(|key| key.id).collect();
                assert_eq!(numbers.len(), loaded.keys.len());
                let _ = Keys::new(&loaded.keys);
            }
            Err(problems) => {
                assert_problems(&problems, input.split(|byte| *byte == b'\n').count());
                for problem in problems {
                    let told = format!("{} {}", problem.what, problem.right);
                    let longest = told.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
                    assert!(longest < Some(16), "a secret? {told}");
                }
            }
        }
    });
}
