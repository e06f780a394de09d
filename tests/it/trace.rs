//! `strowger trace` with real calls: live, and from the capture that it wrote, which the real tshark
//! reads. And the same calls at a receiver of HEP3, the real sngrep.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::harness::cli::{ask, start, start_alone};
use crate::harness::process::Process;
use crate::harness::sipp::{list, servers};
use crate::harness::{Ends, Relay, Sipp, loopback, wait};

/// Waits until so many traces run.
fn wait_armed(relay: &Relay, count: u64) {
    wait::until("the traces that run", || {
        let stats = ask(relay, &["stats", "--all", "--json"]).json();
        (stats["capture.armed"] == count).then_some(())
    });
}

/// The rows of the ladders without their times, and what is said of decisions.
fn rows(said: &str) -> Vec<&str> {
    let rows = said.lines().filter(|line| line.starts_with("   +") || line.contains(" then: "));
    rows.map(|line| line.get(9..).unwrap_or_default().trim()).collect()
}

/// Addresses, ports and what it is, of each SIP message of a capture, as tshark reads it, in the order
/// of their times.
fn tshark(file: &Path) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-Y", "sip", "-T", "fields", "-E", "separator=/s"]);
    for field in [
        "frame.time_epoch",
        "ip.src",
        "udp.srcport",
        "ip.dst",
        "udp.dstport",
        "sip.CSeq.method",
        "sip.Status-Code",
    ] {
        command.args(["-e", field]);
    }
    let output = command.stderr(Stdio::null()).output().expect("the package tshark");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines: Vec<_> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    lines.sort_by_key(|(time, _)| *time);
    lines.into_iter().map(|(_, line)| line.trim().to_owned()).collect()
}

/// What tshark says of a call between these addresses.
fn call(caller: SocketAddr, relay: SocketAddr, server: SocketAddr) -> Vec<String> {
    let hop = |from: SocketAddr, to: SocketAddr, what: &str| {
        format!("{} {} {} {} {what}", from.ip(), from.port(), to.ip(), to.port())
    };
    let mut all = Vec::new();
    for (is_request, what) in [
        (true, "INVITE"),
        (false, "INVITE 180"),
        (false, "INVITE 200"),
        (true, "ACK"),
        (true, "BYE"),
        (false, "BYE 200"),
    ] {
        let (from, to) = if is_request { (caller, server) } else { (server, caller) };
        all.extend([hop(from, relay, what), hop(relay, to, what)]);
    }
    all
}

const LADDER: [&str; 15] = [
    "|------------ INVITE ----------->|                                |",
    "decided then: forwarded.chosen, because it is new",
    "|                                |------------ INVITE ----------->|",
    "|                                |<-------- 180 Ringing ----------|",
    "|<-------- 180 Ringing ----------|                                |",
    "|                                |<----------- 200 OK ------------|",
    "|<----------- 200 OK ------------|                                |",
    "|------------- ACK ------------->|                                |",
    "decided then: forwarded.token, because the token in its Route says so",
    "|                                |------------- ACK ------------->|",
    "|------------- BYE ------------->|                                |",
    "decided then: forwarded.token, because the token in its Route says so",
    "|                                |------------- BYE ------------->|",
    "|                                |<-------- 200 OK (BYE) ---------|",
    "|<-------- 200 OK (BYE) ---------|                                |",
];

#[test]
fn a_call_live_with_the_reasons_and_again_from_what_was_written() {
    let servers = servers("uas_call", 1);
    let server = servers[0].address;
    let mut relay = Relay::with_list(&list(&servers)).start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("call.pcap");
    let path = file.to_str().unwrap();
    let local = loopback::fresh();

    let arguments = ["trace", "--from", "sip:caller@", "--count", "1", "--write", path];
    let trace = start(&relay, &arguments, None);
    wait_armed(&relay, 1);
    let caller = Sipp::scenario("uac_call").at(local).calls_in_turn(relay.address(), 1).run();
    caller.assert_all_succeeded(1);
    let said = trace.wait().well();

    assert_eq!(rows(&said), LADDER, "{said}");
    for part in [
        format!("  from sip:caller@{local}\n"),
        "           explain says now: set 1, round-robin, 1 destination\n".into(),
        format!("             -> sip:{server} active, this one\n"),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    assert_eq!(tshark(&file), call(local, relay.address(), server));

    let again = start_alone(&["trace", "--pcap", path, "--to", "sip:service@"], None, None);
    let arrows: Vec<_> = LADDER.into_iter().filter(|row| row.starts_with('|')).collect();
    assert_eq!(rows(&again.wait().well()), arrows);
    let json = start_alone(&["trace", "--pcap", path, "--json"], None, None).wait().well();
    assert_eq!(json.lines().count(), 12);
    let none = start_alone(&["trace", "--pcap", path, "--call-id", "x y"], None, None).wait();
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert!(none.err.contains("no call was shown"), "{}", none.err);

    // Nothing is copied any more.
    wait_armed(&relay, 0);
    relay.wait_log(0, &["trace 1 of calls, From \"sip:caller@\" begun by a command of "]);
    relay.wait_log(0, &["trace 1 has ended"]);
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 1).run();
    caller.assert_all_succeeded(1);
    relay.stop().assert(&[("capture.recorded", 12), ("capture.lost", 0), ("chosen", 2)]);
}

#[test]
fn only_the_call_that_failed_and_only_the_one_of_a_server() {
    let busy = servers("uas_busy", 1);
    let good = servers("uas_call", 1);
    let addresses = [good[0].address, busy[0].address];
    let text: String = addresses.iter().map(|address| format!("1 sip:{address}\n")).collect();
    let relay = Relay::with_list(&text).unwatched().start();

    let failed = start(&relay, &["trace", "--failed", "--count", "1"], None);
    let destination = addresses[0].to_string();
    let of_one =
        start(&relay, &["trace", "--destination", &destination, "--count", "1", "--json"], None);
    wait_armed(&relay, 2);
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 1).run();
    caller.assert_all_succeeded(1);
    let caller = Sipp::scenario("uac_busy").calls_in_turn(relay.address(), 1).run();
    caller.assert_all_succeeded(1);

    let said = failed.wait().well();
    assert!(said.contains("  failed: 486 Busy Here to INVITE\n"), "{said}");
    assert!(said.contains(&format!("-> sip:{} active, this one", addresses[1])), "{said}");
    assert_eq!(said.matches("Call-ID ").count(), 1, "{said}");
    let said = of_one.wait().well();
    let messages: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages.len(), 12, "{said}");
    assert_eq!(messages[0]["counter"], "forwarded.chosen");
    assert_eq!(messages[0]["now"]["candidates"][0]["uri"], format!("sip:{destination}"));
    assert_eq!(messages[1]["to"], destination);
    relay.stop().assert(&[("chosen", 2), ("capture.lost", 0)]);
}

#[test]
fn a_trace_whose_reader_has_gone_ends_by_itself_and_one_is_ended_by_a_signal() {
    let mut ends = Ends::new();
    let relay = Relay::with_list(&ends.list()).unwatched().start();
    let mut all: Vec<_> = (0..4).map(|_| start(&relay, &["trace"], None)).collect();
    wait_armed(&relay, 4);
    let refused = ask(&relay, &["trace"]).refused();
    assert!(refused.contains("4 taps are in use"), "{refused}");
    let refused = ask(&relay, &["trace", "--from", ""]).refused();
    assert!(refused.contains("write a text of 1 to 256 bytes"), "{refused}");
    ends.send(relay.address(), 1);
    for trace in &mut all {
        trace.wait_says("INVITE");
    }
    all.pop().unwrap().signal(Signal::SIGKILL);
    for trace in &all {
        trace.signal(Signal::SIGINT);
    }
    for trace in all {
        assert!(trace.wait().well().contains("INVITE"));
    }
    wait_armed(&relay, 0);
    relay.stop().assert(&[("received", 1), ("chosen", 1)]);
}

/// sngrep as Homer: it decodes what it gets and writes what it found as a capture.
struct Homer {
    address: SocketAddr,
    folder: TempDir,
    process: Process,
}

impl Homer {
    fn start() -> Self {
        let (address, folder) = (loopback::fresh(), TempDir::new().unwrap());
        let mut command = Command::new("sngrep");
        command
            .args(["-F", "-N", "-q", "-L", &format!("udp:{address}"), "-O"])
            .arg(folder.path().join("heard.pcap"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut process = Process::start("sngrep", &mut command);
        process.wait_bound(address);
        Self { address, folder, process }
    }

    /// What it has heard, once it is as much.
    fn heard(mut self, count: usize) -> Vec<String> {
        let file = self.folder.path().join("heard.pcap");
        wait::until("all messages at sngrep", || {
            let len = file.metadata().map_or(0, |file| file.len());
            let is_some = len > 24;
            (is_some && tshark(&file).len() >= count).then_some(())
        });
        self.process.signal(Signal::SIGINT);
        self.process.wait();
        tshark(&file)
    }
}

#[test]
fn homer_gets_each_message_with_its_addresses_over_udp() {
    let servers = servers("uas_call", 1);
    let homer = Homer::start();
    let config = format!("[hep]\naddress = \"udp:{}\"\npassword = \"pw\"\n", homer.address);
    let relay = Relay::with_list(&list(&servers)).config(&config).start();
    let local = loopback::fresh();
    let caller = Sipp::scenario("uac_call").at(local).calls_in_turn(relay.address(), 1).run();
    caller.assert_all_succeeded(1);
    assert_eq!(homer.heard(12), call(local, relay.address(), servers[0].address));
    relay.stop().assert(&[("hep.sent", 12), ("hep.lost", 0), ("capture.lost", 0)]);
}

/// Packets of a stream, by the lengths in their heads.
fn packets(stream: &mut impl std::io::Read, count: usize) -> Vec<Vec<u8>> {
    let packet = |_| {
        let mut packet = vec![0; 6];
        stream.read_exact(&mut packet).expect("the head of a packet");
        assert_eq!(&packet[..4], b"HEP3");
        packet.resize(u16::from_be_bytes([packet[4], packet[5]]).into(), 0);
        stream.read_exact(&mut packet[6..]).expect("a packet");
        packet
    };
    (0..count).map(packet).collect()
}

#[test]
fn homer_gets_them_over_tcp_also_when_it_was_away() {
    let servers = servers("uas_call", 1);
    // Nobody listens here yet.
    let address = loopback::fresh();
    let config = format!("[hep]\naddress = \"tcp:{address}\"\ncapture_id = 7\n");
    let mut relay = Relay::with_list(&list(&servers)).config(&config).start();
    relay.wait_log(0, &["hep:", "takes no messages"]);
    let local = loopback::fresh();
    let caller = Sipp::scenario("uac_call").at(local).calls_in_turn(relay.address(), 1).run();
    caller.assert_all_succeeded(1);
    let listener = TcpListener::bind(address).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let heard = packets(&mut stream, 12);
    let homer = Homer::start();
    let forward = UdpSocket::bind("127.0.0.1:0").unwrap();
    for packet in heard {
        // The chunk of the capture id.
        assert!(packet.windows(10).any(|chunk| chunk == b"\0\0\0\x0c\0\x0a\0\0\0\x07"));
        forward.send_to(&packet, homer.address).unwrap();
    }
    assert_eq!(homer.heard(12), call(local, relay.address(), servers[0].address));
    relay.wait_log(0, &["hep:", "takes messages again"]);

    // It goes away, and comes back.
    drop(stream);
    wait::until("a failed write", || {
        let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 1).run();
        caller.assert_all_succeeded(1);
        let stats = ask(&relay, &["stats", "--all", "--json"]).json();
        (stats["hep.lost"].as_u64() > Some(0)).then_some(())
    });
    let (mut stream, _) = listener.accept().unwrap();
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 1).run();
    caller.assert_all_succeeded(1);
    packets(&mut stream, 12);
    drop(listener);
    let summary = relay.stop();
    let received = summary.get("received");
    assert_eq!(summary.get("hep.sent") + summary.get("hep.lost"), 2 * received);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

/// Without steering, datagrams come to workers that do not have the transaction of their call, and are
/// handed over: each is shown once, with what became of it.
#[test]
fn each_datagram_is_shown_once_also_when_it_is_handed_over() {
    let servers = servers("uas_call", 2);
    let config = "[relay]\nsteering = \"off\"\n[dispatch]\nforwarding = \"stateful\"\n";
    let relay = Relay::with_list(&list(&servers)).config(config).workers(2).start();
    let trace = start(&relay, &["trace", "--to", "service", "--count", "20", "--json"], None);
    wait_armed(&relay, 1);
    let caller = Sipp::scenario("uac_call").calls_in_turn(relay.address(), 20).run();
    caller.assert_all_succeeded(20);
    let said = trace.wait().well();
    let summary = relay.stop();
    assert!(summary.get("handed_over") > 0, "20 calls came to their own workers by chance");
    let shown = |part: &str| said.lines().filter(|line| line.contains(part)).count() as u64;
    assert_eq!(shown("\"direction\":\"received\""), summary.get("received"));
    assert_eq!(shown("\"counter\":\"forwarded.chosen\""), summary.get("chosen"));
    assert_eq!(shown("handed_over"), 0);
    let sent = ["sent.forward", "sent.answer", "sent.transaction"].map(|name| summary.get(name));
    assert_eq!(shown("\"direction\":\"sent\""), sent.iter().sum::<u64>());
}
