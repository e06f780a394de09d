//! Runs the program in this machine's kernel, with and without the privilege for it.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use socket2::Socket;

use super::spellings;
use crate::config::Steering;
use crate::owners::Owners;
use crate::transport::socket::{Share, open};
use crate::transport::steering::program::{Purpose, assemble};
use crate::transport::steering::{Refusal, Spread, load, steer};
use crate::transport::sys;

const SOCKETS: usize = 4;
const CALLS: u32 = 2_000;
const NOBODY: u32 = 65_534;

/// A listener's sockets and their address.
fn group(host: &str) -> (Vec<Socket>, SocketAddr) {
    let address = SocketAddr::new(host.parse().unwrap(), 0);
    let first = open(address, Share::First, 1 << 20).unwrap();
    let address = first.local_addr().unwrap().as_socket().unwrap();
    let rest = (1..SOCKETS).map(|_| open(address, Share::Join, 1 << 20).unwrap());
    (std::iter::once(first).chain(rest).collect(), address)
}

/// Reads everything from the sockets.
fn drain(group: &[Socket], mut each: impl FnMut(usize, &[u8])) {
    let mut room = vec![0; 65_536];
    for (number, mut socket) in group.iter().enumerate() {
        while let Ok(len) = socket.read(&mut room) {
            each(number, &room[..len]);
        }
    }
}

/// Returns a line of `/proc/self/status`, without its name.
fn owners(group: &[Socket]) -> Owners {
    Owners::new(group.len()).unwrap()
}

fn status(name: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().to_owned()
}

fn is_root() -> bool {
    status("Uid:").starts_with("0\t")
}

/// Returns whether the kernel must allow it: for root, or with `CAP_BPF` and `CAP_PERFMON`, or with
/// `CAP_SYS_ADMIN`.
fn is_privileged() -> bool {
    let capabilities = u64::from_str_radix(&status("CapEff:"), 16).unwrap();
    let has = |bit: u32| capabilities & 1 << bit != 0;
    is_root() || has(21) || has(38) && has(39)
}

/// Steers, which must succeed with the privilege and be refused without. Returns whether it did.
fn steer_if_privileged(group: Vec<Socket>) -> (Vec<Socket>, bool) {
    let groups = [group];
    let spread = steer(&groups, Steering::Auto, &owners(&groups[0]));
    let is_steered = is_privileged();
    if is_steered {
        assert!(matches!(spread, Spread::ByCallId), "{spread}");
    } else {
        let refused = matches!(spread, Spread::Refused(Refusal::NotPermitted));
        assert!(refused, "{spread}");
    }
    let [group] = groups;
    (group, is_steered)
}

/// Sends all messages of many calls from one port. When steered, each call is at one socket and all
/// sockets get a share; otherwise one socket gets everything. In either case nothing is lost.
fn one_port_calls(host: &str, steered: impl FnOnce(Vec<Socket>) -> (Vec<Socket>, bool)) {
    let (group, address) = group(host);
    let (group, is_steered) = steered(group);
    let caller = UdpSocket::bind((address.ip(), 0)).unwrap();
    let mut messages = [0; SOCKETS];
    let mut calls = HashMap::<u32, Vec<usize>>::new();
    for call in 0..CALLS {
        let spellings = spellings(call);
        let with_body = format!("{}{}", spellings[0], "a=\r\n".repeat(2_000));
        for message in spellings.iter().chain([&with_body]) {
            caller.send_to(message.as_bytes(), address).unwrap();
        }
        drain(&group, |socket, bytes| {
            let text = str::from_utf8(bytes).unwrap();
            let (before, _) = text.split_once("-1732@192.0.2.1").unwrap();
            let (_, number) = before.rsplit_once([' ', ':']).unwrap();
            messages[socket] += 1;
            calls.entry(number.parse().unwrap()).or_default().push(socket);
        });
    }
    assert_eq!(messages.iter().sum::<u32>(), 4 * CALLS);
    assert_eq!(calls.len(), CALLS as usize);
    for (call, sockets) in calls {
        assert_eq!(sockets, [sockets[0]; 4], "call {call}");
    }
    if is_steered {
        let share = 4 * CALLS * 15 / 100..4 * CALLS * 35 / 100;
        assert!(messages.iter().all(|n| share.contains(n)), "{messages:?}");
    } else {
        assert!(messages.contains(&(4 * CALLS)), "{messages:?}");
    }
}

#[test]
fn calls_from_one_port_spread_and_stay_whole() {
    for host in ["127.0.0.1", "::1"] {
        one_port_calls(host, steer_if_privileged);
    }
}

#[test]
fn steering_off_leaves_it_to_the_kernel() {
    one_port_calls("127.0.0.1", |group| {
        let groups = [group];
        let spread = steer(&groups, Steering::Off, &owners(&groups[0]));
        assert!(matches!(spread, Spread::BySource), "{spread}");
        let [group] = groups;
        (group, false)
    });
}

#[test]
fn one_worker_needs_no_steering() {
    let (mut group, _) = group("127.0.0.1");
    group.truncate(1);
    let owners = owners(&group);
    let spread = steer(&[group], Steering::Auto, &owners);
    assert!(matches!(spread, Spread::OneWorker), "{spread}");
}

#[test]
fn without_the_privilege_everything_still_works() {
    if !is_root() {
        one_port_calls("127.0.0.1", steer_if_privileged);
        return;
    }
    // Root changes to another user for it, in a separate process.
    let name = "transport::steering::tests::kernel::without_the_privilege_everything_still_works";
    let output = Command::new("/proc/self/exe")
        .args(["--exact", name])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn what_has_no_call_id_is_not_lost() {
    let (group, address) = group("127.0.0.1");
    let (group, _) = steer_if_privileged(group);
    let long = "x".repeat(60_000);
    let odd = ["", "\r\n\r\n", "\0\x01\0\0", "Call-ID: a", &"\n".repeat(3_000), &long];
    let mut received = 0;
    for text in odd {
        for _ in 0..20 {
            let caller = UdpSocket::bind((address.ip(), 0)).unwrap();
            caller.send_to(text.as_bytes(), address).unwrap();
            drain(&group, |_, bytes| {
                assert_eq!(bytes, text.as_bytes());
                received += 1;
            });
        }
    }
    assert_eq!(received, 20 * odd.len());
}

#[test]
fn sockets_that_are_no_group_are_refused() {
    let stranger = || Socket::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let group = vec![stranger(), stranger()];
    let owners = owners(&group);
    let spread = steer(&[group], Steering::Auto, &owners);
    let says = spread.to_string();
    if !is_privileged() {
        assert!(matches!(spread, Spread::Refused(Refusal::NotPermitted)), "{says}");
        return;
    }
    assert!(matches!(spread, Spread::Refused(Refusal::Other { .. })), "{says}");
    assert!(says.contains("putting a socket into a map"), "{says}");
}

#[test]
fn the_verifier_has_far_less_to_look_at_than_it_could() {
    let owners = Owners::new(2).unwrap();
    let buffer = load::buffer();
    if !is_privileged() {
        assert!(matches!(buffer, Err(Refusal::NotPermitted)), "{buffer:?}");
        return;
    }
    let buffer = buffer.unwrap();
    let sockets = sys::bpf_map(sys::MapKind::ReusePortSockets, 4, 2).unwrap();
    let program = assemble(Purpose {
        buffer: buffer.as_raw_fd(),
        sockets: sockets.as_raw_fd(),
        owners: &owners,
    });
    let mut log = vec![0; 1 << 16];
    let loaded = sys::bpf_load_reuseport(&program, Some((4, &mut log)));
    let log = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap());
    assert!(loaded.is_ok(), "{loaded:?}: {log}");
    let (_, counted) = log.rsplit_once("processed ").unwrap();
    let (counted, _) = counted.split_once(' ').unwrap();
    println!("{counted} of 1,000,000 instructions, program of {}", program.len());
    assert!(counted.parse::<u32>().unwrap() < 250_000, "{log}");
}
