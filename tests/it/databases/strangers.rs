//! Servers at the address of a database that are not a database.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use nix::sys::signal::Signal;
use strowger::source::Failure;
use tempfile::TempDir;

use super::rows;
use crate::harness::{Relay, loopback};

#[test]
fn who_says_nothing_is_away() {
    // The backlog takes the connection, and nobody ever answers.
    let listener = TcpListener::bind(loopback::fresh()).expect("an address of our own");
    let address = listener.local_addr().expect("a bound socket");
    thread::scope(|scope| {
        for scheme in ["mysql", "postgres"] {
            scope.spawn(move || {
                let wants = "it takes no connection within 5 s: see that it runs";
                assert_failure(scheme, address, true, wants);
            });
        }
    });
}

#[test]
fn who_hangs_up_is_away_and_who_speaks_otherwise_is_a_mistake() {
    for (scheme, says, is_away, wants) in [
        ("mysql", &b""[..], true, "cannot be reached ("),
        ("postgres", b"", true, "cannot be reached ("),
        ("mysql", b"SSH-2.0-OpenSSH_9.2p1\r\n", true, "cannot be reached (expected to read"),
        ("mysql", b"\x03\0\0\0\x09ab", false, "does not answer as such a database ("),
        ("postgres", b"HTTP/1.0 400 Bad\r\n\r\n", false, "does not answer as such a database ("),
        // A server that is about to end says so at once: too many connections, starting up.
        ("mysql", b"\x17\0\0\0\xff\x10\x04Too many connections", true, "not ready (Too many"),
    ] {
        let listener = TcpListener::bind(loopback::fresh()).expect("an address of our own");
        let address = listener.local_addr().expect("a bound socket");
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().expect("a connection");
                if scheme == "postgres" {
                    // It asks first.
                    let _ = stream.read(&mut [0; 8]);
                }
                let _ = stream.write_all(says);
            });
            assert_failure(scheme, address, is_away, wants);
        });
    }
}

#[test]
fn a_relay_ends_while_a_reload_waits() {
    let listener = TcpListener::bind(loopback::fresh()).expect("an address of our own");
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("relay.toml");
    let write = |source: &str| {
        fs::write(&config, format!("[destinations]\nsource = \"{source}\"\n")).expect("a file");
    };
    write("sqlite:own.db");
    let path = config.to_str().expect("a path in UTF-8");
    let relay = Relay::with_nothing().with(&["--config", path]).start();
    let address = listener.local_addr().expect("a bound socket");
    write(&format!("mysql://u:pw@{address}/d"));
    relay.signal(Signal::SIGHUP);
    let waiting = listener.accept().expect("a reload that waits");
    // Another is asked for meanwhile, and neither comes to an end.
    relay.signal(Signal::SIGHUP);
    let (_, log) = relay.stop_and_read();
    assert!(!log.iter().any(|line| line.contains("reloaded")), "{log:#?}");
    drop(waiting);
}

#[track_caller]
fn assert_failure(scheme: &str, address: SocketAddr, is_away: bool, wants: &str) {
    let failure = rows::load(&format!("{scheme}://u:pw@{address}/d"), "").expect_err("a failure");
    assert_eq!(matches!(failure, Failure::Away(_)), is_away, "{failure:?}");
    let told = failure.problems()[0].to_string();
    assert!(told.starts_with(&format!("{scheme}://{address}/d: {wants}")), "{told}");
}
