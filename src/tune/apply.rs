//! Writes what was advised, after a record of what was there, and takes it back.
//!
//! The record is `tune.json` in the state directory. It names the start of the machine (its boot id):
//! nothing of it survives a restart, so an undo after one has nothing to do. A file is restored only
//! if it still holds what was written, so that no later decision is lost.

use std::path::Path;

use super::advice::{Change, meaning};
use super::record::Place;
use super::settings::Settings;

/// A file that was to be written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// Of which advice.
    pub id: String,
    /// Its path.
    pub path: String,
    /// What it held.
    pub from: String,
    /// What it was to hold.
    pub to: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It holds what it was to hold.
    Done,
    /// It held that before.
    Already,
    /// Somebody has changed it since; it is left as it is.
    Overtaken,
    /// It could not be written, and why.
    Failed(String),
}

/// Writes these changes to the files below `root`.
///
/// # Errors
/// The record cannot be written; then nothing was changed.
pub fn apply(
    root: &Path,
    state: &Path,
    changes: &[(&str, &Change)],
) -> Result<Vec<Written>, String> {
    let machine = Settings { root };
    let place = Place::lock(state)?;
    let boot = machine.boot()?;
    // After a restart what it says is gone.
    let mut record = place.read()?.filter(|record| record.boot == boot).unwrap_or_default();
    record.boot = boot;
    let mut written: Vec<Written> = Vec::new();
    for (id, Change { path, to }) in changes {
        if written.iter().any(|other| other.path == *path) {
            continue;
        }
        let now = machine.read(path);
        let fate = match &now {
            Ok(now) if meaning(path, now) == meaning(path, to) => Fate::Already,
            Ok(_) => Fate::Done,
            Err(why) => Fate::Failed(why.clone()),
        };
        let from = now.unwrap_or_default();
        written.push(Written {
            id: (*id).to_owned(),
            path: path.clone(),
            from,
            to: to.clone(),
            fate,
        });
    }
    for change in written.iter().filter(|change| change.fate == Fate::Done) {
        match record.changes.iter_mut().find(|old| old.path == change.path) {
            // What was there first is what an undo brings back.
            Some(old) => old.to.clone_from(&change.to),
            None => record.changes.push(change.clone()),
        }
    }
    place.write(&record)?;
    for change in &mut written {
        if change.fate == Fate::Done {
            change.fate = machine.write(&change.path, &change.to);
        }
    }
    Ok(written)
}

/// What an undo found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Undone {
    /// Nothing was applied.
    Nothing,
    /// The machine was restarted since, which has undone everything.
    Restarted,
    /// These files, the last one written first.
    Written(Vec<Written>),
}

/// Takes back what [`apply`] wrote.
///
/// # Errors
/// The record cannot be read or written.
pub fn undo(root: &Path, state: &Path) -> Result<Undone, String> {
    if !state.is_dir() {
        return Ok(Undone::Nothing);
    }
    let machine = Settings { root };
    let place = Place::lock(state)?;
    let Some(mut record) = place.read()? else { return Ok(Undone::Nothing) };
    if record.boot != machine.boot()? {
        place.remove()?;
        return Ok(Undone::Restarted);
    }
    let mut written = Vec::new();
    for change in record.changes.iter().rev() {
        let path = &change.path;
        let fate = match machine.read(path) {
            Err(why) => Fate::Failed(why),
            Ok(now) if meaning(path, &now) == meaning(path, &change.from) => Fate::Already,
            Ok(now) if meaning(path, &now) == meaning(path, &change.to) => {
                machine.write(path, &change.from)
            }
            Ok(_) => Fate::Overtaken,
        };
        let (from, to) = (change.to.clone(), change.from.clone());
        written.push(Written { from, to, fate, ..change.clone() });
    }
    // What failed can be tried again.
    record.changes.retain(|change| {
        let is_of = |written: &&Written| written.path == change.path;
        written.iter().find(is_of).is_some_and(|written| matches!(written.fate, Fate::Failed(_)))
    });
    if record.changes.is_empty() {
        place.remove()?;
    } else {
        place.write(&record)?;
    }
    Ok(Undone::Written(written))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::PathBuf;

    use super::*;

    const RMEM: &str = "/proc/sys/net/core/rmem_max";
    const PAGES: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
    const RPS: &str = "/sys/class/net/eth0/queues/rx-0/rps_cpus";

    struct Rig {
        folder: tempfile::TempDir,
    }

    impl Rig {
        fn new() -> Self {
            let rig = Self { folder: tempfile::tempdir().unwrap() };
            rig.set("/proc/sys/kernel/random/boot_id", "first\n");
            rig.set(RMEM, "212992\n");
            rig.set(PAGES, "always within_size advise [never] deny force\n");
            rig.set(RPS, "00000000\n");
            fs::create_dir(rig.state()).unwrap();
            rig
        }

        fn state(&self) -> PathBuf {
            self.folder.path().join("state")
        }

        fn record(&self) -> PathBuf {
            self.state().join("tune.json")
        }

        fn set(&self, path: &str, content: &str) {
            let path = self.folder.path().join(&path[1..]);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn get(&self, path: &str) -> String {
            fs::read_to_string(self.folder.path().join(&path[1..])).unwrap()
        }

        fn apply(&self, changes: &[(&str, &str)]) -> Vec<Fate> {
            let changes: Vec<Change> =
                changes.iter().map(|(path, to)| Change::new(*path, *to)).collect();
            let changes: Vec<_> = changes.iter().map(|change| ("id", change)).collect();
            let written = apply(self.folder.path(), &self.state(), &changes).unwrap();
            written.into_iter().map(|written| written.fate).collect()
        }

        fn undo(&self) -> Vec<(String, Fate)> {
            match undo(self.folder.path(), &self.state()).unwrap() {
                Undone::Written(all) => all.into_iter().map(|one| (one.path, one.fate)).collect(),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_undo_brings_back_what_was_there() {
        let rig = Rig::new();
        let fates = rig.apply(&[(RMEM, "4194304"), (PAGES, "advise"), (RPS, "3"), (RMEM, "5")]);
        assert_eq!(fates, [Fate::Done, Fate::Done, Fate::Done]);
        assert_eq!((rig.get(RMEM), rig.get(RPS)), ("4194304".into(), "3".into()));
        // Once more, with another value: what was there first counts.
        assert_eq!(rig.apply(&[(RMEM, "8388608"), (PAGES, "advise")]), [Fate::Done, Fate::Already]);
        let done = |path: &str, from: &str, to: &str| Written {
            id: "id".into(),
            path: path.into(),
            from: from.into(),
            to: to.into(),
            fate: Fate::Done,
        };
        let all = [
            done(RPS, "3", "00000000"),
            done(PAGES, "advise", "never"),
            done(RMEM, "8388608", "212992"),
        ];
        assert_eq!(undo(rig.folder.path(), &rig.state()), Ok(Undone::Written(all.into())));
        assert_eq!(rig.get(RMEM), "212992");
        assert_eq!(rig.get(PAGES), "never");
        assert_eq!(rig.get(RPS), "00000000");
        assert!(!rig.record().exists());
        assert_eq!(undo(rig.folder.path(), &rig.state()), Ok(Undone::Nothing));
        assert_eq!(undo(rig.folder.path(), &rig.state().join("none")), Ok(Undone::Nothing));
    }

    #[test]
    fn a_later_decision_stays() {
        let rig = Rig::new();
        rig.apply(&[(RMEM, "4194304"), (RPS, "00000003")]);
        rig.set(RMEM, "1000000\n");
        // In other words the same.
        rig.set(RPS, "00000000,00000003\n");
        assert_eq!(rig.undo(), [(RPS.into(), Fate::Done), (RMEM.into(), Fate::Overtaken)]);
        assert_eq!(rig.get(RMEM), "1000000\n");
        assert!(!rig.record().exists());
    }

    #[test]
    fn after_a_restart_there_is_nothing_to_undo() {
        let rig = Rig::new();
        rig.apply(&[(RMEM, "4194304")]);
        rig.set("/proc/sys/kernel/random/boot_id", "second\n");
        let state = rig.state();
        assert_eq!(undo(rig.folder.path(), &state), Ok(Undone::Restarted));
        assert_eq!(rig.get(RMEM), "4194304");
        assert_eq!(undo(rig.folder.path(), &state), Ok(Undone::Nothing));
        // A record of before a restart is no record of now.
        rig.apply(&[(RMEM, "5000000")]);
        rig.set("/proc/sys/kernel/random/boot_id", "third\n");
        rig.apply(&[(PAGES, "advise")]);
        assert_eq!(rig.undo(), [(PAGES.into(), Fate::Done)]);
    }

    #[test]
    fn what_cannot_be_written_is_told_and_kept() {
        let rig = Rig::new();
        let absent = "/proc/sys/net/core/wmem_max";
        let fates = rig.apply(&[(absent, "1"), (RMEM, "4194304"), ("/etc/passwd", "root")]);
        assert!(
            matches!(&fates[0], Fate::Failed(why) if why.contains("No such file")),
            "{fates:?}"
        );
        assert_eq!(fates[1], Fate::Done);
        assert_eq!(fates[2], Fate::Failed("is no setting of ours".into()));
        // Never written is as it was.
        let path = rig.folder.path().join(&RMEM[1..]);
        fs::remove_file(&path).unwrap();
        let undone = rig.undo();
        assert!(matches!(&undone[..], [(_, Fate::Failed(_))]), "{undone:?}");
        rig.set(RMEM, "212992");
        assert_eq!(rig.undo(), [(RMEM.into(), Fate::Already)]);
    }

    #[test]
    fn nothing_changes_without_a_record() {
        let rig = Rig::new();
        let change = Change::new(RMEM, "4194304");
        let tried = |state: &Path| apply(rig.folder.path(), state, &[("id", &change)]);
        let absent = rig.folder.path().join("absent");
        assert!(tried(&absent).unwrap_err().contains("absent"));
        fs::write(rig.record(), "{}").unwrap();
        assert!(tried(&rig.state()).unwrap_err().contains("is no record"));
        assert!(undo(rig.folder.path(), &rig.state()).unwrap_err().contains("is no record"));
        fs::remove_file(rig.record()).unwrap();
        fs::create_dir(rig.state().join("tune.new")).unwrap();
        assert!(tried(&rig.state()).is_err());
        fs::remove_dir(rig.state().join("tune.new")).unwrap();
        let other = File::open(rig.state()).unwrap();
        other.lock().unwrap();
        assert!(tried(&rig.state()).unwrap_err().contains("another strowger tune"));
        assert_eq!(rig.get(RMEM), "212992\n");
    }

    #[test]
    fn what_the_kernel_does_not_take_is_told() {
        let rig = Rig::new();
        let path = rig.folder.path().join(&RMEM[1..]);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert_eq!(rig.apply(&[(RMEM, "5")]), [Fate::Failed("the kernel made \"\" of it".into())]);
    }

    #[test]
    fn links_in_the_state_directory_lead_nowhere() {
        let rig = Rig::new();
        let secret = rig.folder.path().join("secret");
        fs::write(&secret, "{\"boot\":\"first\",\"changes\":[]}").unwrap();
        std::os::unix::fs::symlink(&secret, rig.record()).unwrap();
        assert!(undo(rig.folder.path(), &rig.state()).is_err());
        fs::remove_file(rig.record()).unwrap();
        std::os::unix::fs::symlink(&secret, rig.state().join("tune.new")).unwrap();
        assert_eq!(rig.apply(&[(RMEM, "4194304")]), [Fate::Done]);
        assert!(fs::read_to_string(&secret).unwrap().ends_with("[]}"));
    }
}
