//! What the tests need from a database server of any kind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::process::Process;

/// A private database server, or a file that is one.
pub(crate) trait Server {
    /// The source that names this database: a URL, as this user with this password.
    fn source(&self, user: &str, password: &str, database: &str) -> String;

    /// Plays these statements in this database; returns what they answer, a line for each row.
    fn play(&self, database: &str, sql: &str) -> String;

    /// A new database that the user `kamailio` may read, with Kamailio's own tables.
    fn make(&self, database: &str);

    /// A client that plays these statements, and then does nothing for half a minute or until the server
    /// ends.
    fn leave_playing(&self, database: &str, sql: &str) -> Process;

    /// Ends the server, without waiting for its clients.
    fn stop(&mut self);

    /// Starts it once more, at the same address and with the same data.
    fn start_again(&mut self);

    /// Kamailio's folder with the statements that make its tables.
    fn folder(&self) -> &'static str;

    /// The source of a database of the user `kamailio`.
    fn kamailio(&self, database: &str) -> String {
        self.source("kamailio", PASSWORD, database)
    }

    /// Plays a file of Kamailio's.
    fn play_file(&self, database: &str, name: &str) {
        let file = Path::new("/usr/share/kamailio").join(self.folder()).join(name);
        let sql = fs::read_to_string(&file);
        let sql = sql.unwrap_or_else(|error| panic!("{} of Kamailio: {error}", file.display()));
        self.play(database, &sql);
    }
}

/// The password of the user `kamailio`, with every sign that means something in a URL but one, and no
/// part of it a word that might stand in a log anyhow.
pub(crate) const PASSWORD: &str = "pw:x@y/z?a=b&c#d%zz";

/// Starts a client that nobody reads.
pub(crate) fn start_client(command: &mut Command) -> Process {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Process::start("a client", quiet)
}

/// Runs a client with these statements as its input; fails when it fails.
pub(crate) fn client(command: &mut Command, sql: &str) -> String {
    use std::io::Write as _;

    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(sql.as_bytes()).expect("a client that reads");
    drop(input);
    let output = child.wait_with_output().expect("our own child");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}\n{sql}");
    String::from_utf8(output.stdout).expect("a client that writes UTF-8")
}

/// Whether we are root, whom servers want to be started in another way by.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;

    fs::metadata("/proc/self").expect("a /proc").uid() == 0
}
