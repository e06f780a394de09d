//! The command line as a user has it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

#[test]
fn a_run_is_printed_saved_and_compared() {
    let folder = TempDir::new().unwrap();
    let run = |name: &str, rate: &str| {
        let json = format!("{name}.json");
        let html = format!("{name}.html");
        let arguments = [
            "calls",
            "--servers",
            "127.0.0.1:0,127.0.0.1:0",
            "--rate",
            rate,
            "--time",
            "500ms",
            "--patience",
            "20s",
            "--json",
            &json,
            "--html",
            &html,
        ];
        let output = loadtest(folder.path(), &arguments);
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    let first = run("a", "100");
    assert!(
        first.starts_with("50 calls in 0.5 s: 100/s of 100 planned, 100 % good, 0 bad\n"),
        "{first}"
    );
    assert!(first.contains("by itself this program does "), "{first}");
    run("b", "200");
    let html = fs::read_to_string(folder.path().join("a.html")).unwrap();
    assert!(html.contains("<h1>Load test: 50 calls</h1>"));

    let compared = loadtest(folder.path(), &["compare", "a.json", "b.json"]);
    assert!(compared.status.success());
    let compared = text(&compared.stdout);
    let row = compared.lines().find(|line| line.trim_start().starts_with("started  ")).unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(words, ["started", "50", "100", "2.00"], "{compared}");
}

#[test]
fn what_goes_wrong_is_in_the_exit_status() {
    let folder = TempDir::new().unwrap();
    // Nobody is there.
    let arguments = [
        "options",
        "--relay",
        "127.0.0.1:9",
        "--servers",
        "127.0.0.1:0",
        "--rate",
        "100",
        "--time",
        "100ms",
        "--patience",
        "100ms",
        "--no-limits",
    ];
    let output = loadtest(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stdout).contains("10 bad"), "{output:?}");
}

#[test]
fn mistakes_are_told_with_what_would_be_right() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("other.json"), "{}").unwrap();
    for (arguments, wants) in [
        (&["calls", "--rate", "many"][..], "no rate"),
        (&["calls", "--bytes", "100"], "too few for a request"),
        (&["calls", "--rows", "4"], "it must be 5 to 60"),
        (&["calls", "--cancel", "60%", "--refuse", "60%"], "0 to 1"),
        (&["calls", "--servers", "none"], "name a --relay"),
        (&["calls", "--servers", "5081"], "write 127.0.0.1:5081"),
        (&["calls", "--servers", "192.0.2.1:5081"], "cannot listen at udp:192.0.2.1:5081"),
        (&["calls", "--json", "/does/not/exist/a.json"], "cannot write /does/not/exist/a.json"),
        (&["compare", "nowhere.json", "other.json"], "cannot read nowhere.json"),
        (&["compare", "other.json", "other.json"], "no result of loadtest"),
        (&["replay", "nowhere.pcap", "--config", "x.toml"], "nowhere.pcap: cannot be read"),
    ] {
        let output = loadtest(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.contains(wants), "{arguments:?}: {told}");
    }
}

#[test]
fn a_list_of_the_servers() {
    let folder = TempDir::new().unwrap();
    let output = loadtest(folder.path(), &["list", "--servers", "[::1]:5081-5082", "--set", "7"]);
    let wants = "# setid destination flags priority\n7 sip:[::1]:5081 0 0\n7 sip:[::1]:5082 0 0\n";
    assert_eq!(text(&output.stdout), wants);
}

#[test]
fn a_flood_to_its_own_sinks() {
    let folder = TempDir::new().unwrap();
    let arguments = [
        "flood",
        "--sinks",
        "127.0.0.1:0",
        "--rate",
        "5000",
        "--time",
        "300ms",
        "--no-limits",
        "--json",
        "flood.json",
    ];
    let output = loadtest(folder.path(), &arguments);
    assert!(output.status.success(), "{output:?}");
    let json = fs::read_to_string(folder.path().join("flood.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ends"]["started"], json["ends"]["completed"]);
    assert!(json["ends"]["started"].as_u64().is_some_and(|count| count > 0));
}

fn loadtest(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("our own binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}
