//! The real scanners of `SIPVicious`, from an unknown address.

use std::io;
use std::process::{Command, Stdio};

use super::super::arena::{Arena, RELAY};
use super::super::stage::{Row, Stage};

/// Program and arguments, the address of the relay last.
const SCANS: &[(&str, &[&str])] = &[
    ("svmap", &["-v", "-p", "5060", "-m", "OPTIONS"]),
    ("svmap", &["-v", "-p", "5060", "-m", "INVITE"]),
    ("svwar", &["-e", "100-160", "-m", "REGISTER", "--force"]),
    ("svwar", &["-e", "100-160", "-m", "INVITE", "--force"]),
    ("svcrack", &["-u", "100", "-r", "1000-1060"]),
];

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (program, arguments) in SCANS {
        let (packets, strangers, said) = scan(stage, program, arguments)?;
        let figure = format!("{strangers} to servers, {packets} back; {said}");
        let method = arguments.iter().find(|a| ["INVITE", "OPTIONS", "REGISTER"].contains(a));
        let what = format!("{program} {}", method.unwrap_or(&""));
        rows.push(Row::new(what.trim(), "<= 1 answer each", figure, None));
    }
    Ok(rows)
}

pub(super) fn run_closed(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let mut sums = [0, 0];
    for (program, arguments) in SCANS {
        let (packets, strangers, _) = scan(stage, program, arguments)?;
        sums[0] += packets;
        sums[1] += strangers;
    }
    let [packets, strangers] = sums;
    let figure = format!("{strangers} to servers, {packets} back");
    let must = "0 to servers, 0 back";
    Ok(vec![Row::new("all scans", must, figure, packets == 0 && strangers == 0)])
}

/// What came back, what reached the servers, and what the scanner believes.
fn scan(stage: &Stage, program: &str, arguments: &[&str]) -> io::Result<(u64, u64, String)> {
    stage.watch.reset();
    let strangers = stage.servers.strangers();
    let output = command(&stage.arena, program, arguments).output()?;
    stage.settle()?;
    let says = String::from_utf8_lossy(&output.stdout).into_owned();
    // Its table has a row for each thing found.
    let found = says.lines().filter(|line| line.starts_with("| ")).count().saturating_sub(1);
    let said = format!("finds {found}");
    Ok((stage.watch.packets(), stage.servers.strangers() - strangers, said))
}

fn command(arena: &Arena, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", arena.world.name(), "timeout", "8", program])
        .args(arguments)
        .args(["-P", "5090", "-x", "203.0.113.2", &RELAY.ip().to_string()])
        .env("HOME", std::env::temp_dir())
        .stdin(Stdio::null());
    command
}
