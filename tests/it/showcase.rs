//! `strowger demo`, the way a new user tries it.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::harness::process::Process;

#[test]
fn the_demo_is_good_and_says_so() {
    let output = demo(&["--seconds", "2", "--rate", "303", "--json"]);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("a report in JSON");
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["good"], true);
    assert_eq!(report["calls"]["completed"], 606);
    let shares: Vec<_> = (0..4).map(|n| report["destinations"][n]["calls"].as_u64()).collect();
    assert_eq!(shares, [152, 152, 151, 151].map(Some));
    assert_eq!(report["relay"]["forwarded.chosen"], 606);
}

#[test]
fn the_demo_tells_people_too() {
    let output = demo(&["--seconds", "1", "--rate", "100", "--servers", "2", "--workers", "4"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    for part in ["100 calls", "4 workers", "50.00 %", "p99.9", "even to the call"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn ctrl_c_ends_the_demo_with_the_report_so_far() {
    let mut command = command(&["--seconds", "600", "--rate", "100", "--json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = Process::start("strowger demo", &mut command);
    // Its first line of progress tells that calls are under way.
    let stderr = demo.child().stderr.take().expect("a pipe");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
    let line = lines.next().expect("a line of progress").expect("text");
    assert!(line.contains("calls"), "{line}");

    demo.signal(Signal::SIGINT);

    let stdout = demo.child().stdout.take().expect("a pipe");
    let report: serde_json::Value = serde_json::from_reader(stdout).expect("a report in JSON");
    let status = demo.wait();
    assert!(status.success(), "{status}: {report:#}");
    assert_eq!(report["stopped_early"], true);
    assert_eq!(report["calls"]["completed"], report["calls"]["started"]);
    assert!(report["seconds"].as_f64().is_some_and(|s| s < 60.0));
}

fn demo(arguments: &[&str]) -> std::process::Output {
    command(arguments).output().expect("our own binary")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strowger"));
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}
