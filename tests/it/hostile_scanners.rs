//! The scanners that visit every address on the Internet: `SIPVicious`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::harness::loopback;
use crate::hostile::Scene;

/// Runs one against the relay, from an address of its own, and returns what it printed.
fn scan(program: &str, arguments: &[&str], relay: SocketAddr) -> String {
    let own = loopback::fresh();
    let output = Command::new(program)
        .args(arguments)
        .args(["-p", &relay.port().to_string(), "-P", &own.port().to_string()])
        .args(["-b", &own.ip().to_string(), "-x", &own.ip().to_string()])
        .arg(relay.ip().to_string())
        // It keeps its notes there.
        .env("HOME", std::env::temp_dir())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}, from the package sipvicious: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    eprintln!("{program}: {text}");
    text
}

#[test]
fn a_scanner_gets_no_word_of_the_relay_itself() {
    let scene = Scene::begin();
    scan("svmap", &["-m", "OPTIONS"], scene.relay.address());
    // One question, passed on like anybody's.
    scene.end().assert(&[("chosen", 31), ("answered", 0), ("dropped", 0)]);
}

#[test]
fn a_scanner_that_is_no_neighbour_finds_nothing() {
    let scene = Scene::with("allow = [NEIGHBOURS]\n");
    let relay = scene.relay.address();
    let found = scan("svmap", &["-m", "INVITE"], relay);
    assert!(!found.contains(&relay.to_string()), "{found}");
    let tried = scan("svwar", &["-e", "100-105", "-m", "REGISTER"], relay);
    assert!(!tried.contains("| 10"), "{tried}");
    let summary = scene.end();
    summary.assert(&[("chosen", 30), ("answered", 0)]);
    let silenced = summary.get("not_allowed");
    assert!(silenced >= 2, "{silenced} of what was sent by two scans");
    summary.assert(&[("dropped", silenced)]);
}
