//! `strowger import`, compared with what Kamailio itself says of the same files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import").join(name)
}

fn strowger(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strowger"));
    command.args(arguments).stdin(Stdio::null()).output().expect("our own binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Whether Kamailio takes a file, and what it says.
fn kamailio_takes(file: &Path) -> (bool, String) {
    let mut command = Command::new("kamailio");
    let output = command.arg("-c").arg("-f").arg(file).output().expect("kamailio is installed");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Imports into a file, checks the file with `strowger check`, and gives what was written and told.
fn imported(cfg: &Path) -> (String, String) {
    let files = tempfile::tempdir().expect("a temporary folder");
    let toml = files.path().join("strowger.toml");
    let toml_name = toml.to_str().expect("text");
    let output = strowger(&["import", cfg.to_str().expect("text"), "-o", toml_name]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let mode = fs::metadata(&toml).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it may hold a password");
    let left = fs::read_dir(files.path()).expect("a folder").count();
    assert_eq!(left, 1, "nothing else was written");

    // The control sockets are where Kamailio's tools look, and the database where it is: here neither is.
    let written = fs::read_to_string(&toml).expect("text");
    let folder = files.path().display();
    let here = written
        .replace("\"/run/kamailio/", &format!("\"{folder}/"))
        .replace("\"/run/carrier/", &format!("\"{folder}/"));
    let (checked, list) = (files.path().join("here.toml"), files.path().join("dispatcher.list"));
    fs::write(&checked, here).expect("a writable folder");
    fs::write(&list, "1 sip:192.0.2.11\n7 sip:192.0.2.12\n").expect("a writable folder");
    let [checked, list] = [&checked, &list].map(|path| path.to_str().expect("text"));
    let check = strowger(&["check", "--config", checked, "--list", list]);
    assert!(check.status.success(), "{}", text(&check.stdout));
    (written, text(&output.stdout))
}

#[test]
fn straight_and_curly_quotes_make_the_same() {
    let wants = fs::read_to_string(data("round-robin.toml")).expect("it is there");
    for name in ["round-robin.cfg", "round-robin-curly.cfg"] {
        let (toml, told) = imported(&data(name));
        assert_eq!(toml.replace(name, "round-robin.cfg"), wants, "{name}");
        assert!(told.contains("mysql://localhost/kamailio"), "{told}");
        assert!(!told.contains("kamailioro"), "the password is not told: {told}");
        for part in ["Carried over (17)", "Not carried over (3)", "log.dispatch", "mode 0600"] {
            assert!(told.contains(part), "{name} lacks {part:?}: {told}");
        }
    }
}

#[test]
fn what_a_carrier_has() {
    let wants = fs::read_to_string(data("carrier.toml")).expect("it is there");
    let (toml, _) = imported(&data("carrier.cfg"));
    assert_eq!(toml, wants);
}

#[test]
fn kamailio_takes_the_same_files() {
    let (takes, said) = kamailio_takes(&data("carrier.cfg"));
    assert!(takes, "{said}");
    // The parameters that end in _avp are those of its older versions.
    let files = tempfile::tempdir().expect("a temporary folder");
    for (name, wants) in [("round-robin.cfg", true), ("round-robin-curly.cfg", false)] {
        let cfg = fs::read_to_string(data(name)).expect("text");
        let lines = cfg.lines().filter(|line| !line.contains("_avp"));
        let file = files.path().join(name);
        fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("a writable folder");
        let (takes, said) = kamailio_takes(&file);
        assert_eq!(takes, wants, "{name}: {said}");
    }
}

#[test]
fn the_configuration_that_comes_with_kamailio() {
    let cfg = Path::new("/etc/kamailio/kamailio.cfg");
    let (toml, told) = imported(cfg);
    for part in [
        "{ address = \"udp:0.0.0.0:5060\", force_rport = true },",
        "foreign_route = \"remove\"",
        "fifo = \"/run/kamailio/kamailio_rpc.fifo\"",
        "binrpc = \"/run/kamailio/kamailio_ctl\"",
    ] {
        assert!(toml.contains(part), "no {part} in {toml}");
    }
    for part in ["loadmodule \"registrar\"", "the dispatcher is not loaded", "failure_route"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    assert!(!told.contains("\"auth\""), "what #!ifdef leaves out is not told: {told}");

    let name = cfg.to_str().expect("text");
    let output = strowger(&["import", name, "-A", "WITH_MYSQL", "--define", "WITH_AUTH", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let left = report["not_carried_over"].as_array().expect("a list");
    assert!(left.iter().any(|item| item["what"] == "loadmodule \"auth\""), "{left:?}");
    assert_eq!(report["ok"], true);
}

#[test]
fn a_file_that_is_there_stays() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let toml = files.path().join("strowger.toml");
    fs::write(&toml, "# mine\n").expect("a writable folder");
    let (cfg, toml_name) = (data("carrier.cfg"), toml.to_str().expect("text"));
    let arguments = ["import", cfg.to_str().expect("text"), "-o", toml_name];

    let output = strowger(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("is there already: give another name, or --force"));
    assert_eq!(fs::read_to_string(&toml).expect("text"), "# mine\n");

    let output = strowger(&[&arguments[..], &["--force"]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::read_to_string(&toml).expect("text").contains("set = 7"));
    let mode = fs::metadata(&toml).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn without_a_file_the_toml_goes_to_standard_output() {
    let output = strowger(&["import", data("round-robin.cfg").to_str().expect("text")]);
    let wants = fs::read_to_string(data("round-robin.toml")).expect("it is there");
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), wants);
    let told = text(&output.stderr);
    assert!(told.contains("Carried over (17)") && !told.contains("kamailioro"), "{told}");
}

#[test]
fn what_cannot_be_imported() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let other = files.path().join("other.cfg");
    fs::write(&other, "[relay]\nlisten = []\n").expect("a writable folder");
    for (file, wants) in [
        (other.to_str().expect("text"), "not a kamailio.cfg: there is no loadmodule"),
        ("/does/not/exist.cfg", "there is no such file"),
        ("/tmp", "is no file"),
    ] {
        let output = strowger(&["import", file]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert_eq!(output.stdout, b"");
        let told = text(&output.stderr);
        assert!(told.contains(file) && told.contains(wants), "{told}");
    }
}
