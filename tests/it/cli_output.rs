//! Standard output that cannot be written: every command reports it, and exits with an error.

use std::fs::{self, File};
use std::io::pipe;
use std::process::{Command, Stdio};

use crate::harness::Relay;
use crate::harness::relay::binary;

#[test]
fn what_cannot_be_written_is_told() {
    let relay = Relay::with_list("1 sip:127.0.0.1:5071\n").workers(1).start();
    let socket = relay.control_socket();
    let control = ["--control", socket.to_str().expect("a path in UTF-8")];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a writable folder");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let list = file("d.list", "1 sip:127.0.0.1:5071\n");
    let cfg = file("k.cfg", "loadmodule \"dispatcher.so\"\n");
    let options =
        file("options.sip", "OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP c;branch=z9hG4bKd\n\n");
    let asked: [&[&str]; 12] = [
        &["list"],
        &["list", "--json"],
        &["stats", "--all"],
        &["reload", "--dry-run"],
        &["set-state", "active", "1", "all"],
        &["add", "1", "sip:127.0.0.1:5072"],
        &["remove", "1", "sip:127.0.0.1:5072"],
        &["hash", "8", "a"],
        &["oclist", "1"],
        &["ping-active"],
        &["explain", &options],
        &["drain", "--off"],
    ];
    let alone: [&[&str]; 6] = [
        &["--version"],
        &["--help"],
        &["list", "--help"],
        &["check", "--listen", "udp:127.0.0.1:5060", "--list", &list],
        &["import", &cfg],
        &["demo", "--seconds", "1", "--rate", "10", "--no-progress"],
    ];
    let asked = asked.iter().map(|words| [words, &control[..]].concat());
    for words in asked.chain(alone.iter().map(|words| words.to_vec())) {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        // What was added is not added once more.
        let others = words.iter().map(|word| word.replace("5072", "5073"));
        let others: Vec<String> = others.collect();
        let said = |words: &[String], stdout: Stdio| {
            let mut command = Command::new(binary());
            command.args(words).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
            let output = command.output().expect("our own binary");
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let full = File::options().write(true).open("/dev/full").expect("a device");
        let (code, told) = said(&words, full.into());
        let wants = "cannot write to standard output: No space left on device";
        assert!(code == Some(1) && told.contains(wants), "{words:?}: {code:?} {told}");
        // A reader that has read enough is no trouble.
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let (code, told) = said(&others, writer.into());
        assert!(code == Some(0) && !told.contains("standard output"), "{words:?}: {code:?} {told}");
    }
    relay.stop();
}
