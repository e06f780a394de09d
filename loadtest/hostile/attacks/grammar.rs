//! An INVITE in which one field at a time has a bad value, every field with every value: long,
//! empty, format strings, UTF-8, numbers too large, separators. Each case comes from a different
//! host, so its answers can be counted; after every fifty a good request must be served.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use memchr::memmem;

use super::super::arena::{RELAY, STRANGER};
use super::super::stage::{Row, Stage};
use super::texts::request;

/// A group: its name, the row (or part of one) around the value, and whether a relay has no use for
/// it, so that it must pass on whatever stands there.
struct Group {
    name: &'static str,
    before: &'static str,
    after: &'static str,
    is_unused: bool,
}

const fn group(name: &'static str, before: &'static str, after: &'static str) -> Group {
    Group { name, before, after, is_unused: false }
}

const fn unused(name: &'static str, before: &'static str, after: &'static str) -> Group {
    Group { name, before, after, is_unused: true }
}

const GROUPS: &[Group] = &[
    group("method", "", " sip:bob@example.net SIP/2.0\r\n"),
    group("Request-URI", "INVITE ", " SIP/2.0\r\n"),
    group("version", "INVITE sip:bob@example.net ", "\r\n"),
    group("Via version", "Via: ", " 10.0.0.1;branch=z9hG4bKx\r\n"),
    group("Via host", "Via: SIP/2.0/UDP ", ";branch=z9hG4bKx\r\n"),
    group("Via colon", "Via: SIP/2.0/UDP 10.0.0.1", "5060;branch=z9hG4bKx\r\n"),
    group("Via port", "Via: SIP/2.0/UDP 10.0.0.1:", ";branch=z9hG4bKx\r\n"),
    group("Via tag", "Via: SIP/2.0/UDP 10.0.0.1:5060;", "\r\n"),
    group("Via branch", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=", "\r\n"),
    group("From", "From: ", "\r\n"),
    group("From tag", "From: <sip:mallory@example.org>;tag=", "\r\n"),
    group("To", "To: ", "\r\n"),
    group("To tag", "To: <sip:bob@example.net>;tag=", "\r\n"),
    group("Call-ID", "Call-ID: ", "\r\n"),
    group("CSeq number", "CSeq: ", " INVITE\r\n"),
    group("CSeq method", "CSeq: 1 ", "\r\n"),
    group("Max-Forwards", "Max-Forwards: ", "\r\n"),
    group("Content-Length", "Content-Length: ", "\r\n"),
    group("line end", "X-Line: x", ""),
    group("Route", "Route: ", "\r\n"),
    group("Proxy-Require", "Proxy-Require: ", "\r\n"),
    unused("Contact", "Contact: ", "\r\n"),
    unused("Expires", "Expires: ", "\r\n"),
    unused("Content-Type", "Content-Type: ", "\r\n"),
    unused("Record-Route", "Record-Route: ", "\r\n"),
    unused("Authorization", "Authorization: ", "\r\n"),
    unused("SDP version", "v=", "\r\n"),
    unused("SDP origin", "o=", "\r\n"),
    unused("SDP connection", "c=IN IP4 ", "\r\n"),
    unused("SDP media", "m=audio ", "\r\n"),
];

/// What the rows of the INVITE are where a case does not say otherwise, and the first bytes by which
/// a case replaces one.
const ROWS: &[(&str, &str)] = &[
    ("Via:", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKNUMBER\r\n"),
    ("Max-F", "Max-Forwards: 70\r\n"),
    ("From:", "From: <sip:mallory@example.org>;tag=m\r\n"),
    ("To:", "To: <sip:bob@example.net>\r\n"),
    ("Call-", "Call-ID: NUMBER@mallory\r\n"),
    ("CSeq:", "CSeq: 1 INVITE\r\n"),
    ("Conta", "Contact: <sip:mallory@10.0.0.1>\r\n"),
];

pub(super) fn run(stage: &mut Stage) -> io::Result<Vec<Row>> {
    let values = values();
    let cases: Vec<(usize, &Vec<u8>)> = (0..GROUPS.len())
        .flat_map(|group| values.iter().map(move |value| (group, value)))
        .collect();
    let probe = stage.arena.world.enter(|| UdpSocket::bind((*STRANGER.ip(), 5070)))?;
    probe.set_read_timeout(Some(Duration::from_secs(1)))?;
    touch_memory(stage)?;
    // Once for the pages that it touches, and once for the counts.
    let mut served = 0;
    let mut number = 0;
    let mut rss = 0;
    for round in 0..2_u32 {
        stage.settle()?;
        stage.watch.reset();
        stage.servers.record();
        rss = stage.subject.rss_kib()?;
        served = 0;
        for (part, fifty) in cases.chunks(50).enumerate() {
            let mut flood = stage.flood();
            flood.datagrams(
                fifty.len() as u64,
                |n| {
                    let case = part * 50 + n as usize;
                    let (group, value) = cases[case];
                    (source(case), message(&GROUPS[group], value, case, round))
                },
                RELAY,
            )?;
            number += 1;
            served += usize::from(is_served(&probe, number)?);
        }
    }
    stage.settle()?;
    let grown = stage.subject.rss_kib()?.saturating_sub(rss);
    let tally = stage.watch.tally();
    let recorded = stage.servers.recorded();
    let probes = cases.len().div_ceil(50);
    let most = (0..cases.len()).map(|case| tally.to(*source(case).ip())).max().unwrap_or(0);
    let answered = (0..cases.len()).filter(|case| tally.to(*source(*case).ip()) > 0).count();

    let mut rows = vec![
        Row::new(
            "good requests in between",
            "all served",
            format!("{served} of {probes}"),
            served == probes,
        ),
        Row::new(
            format!("answers to one of {} cases", cases.len()),
            "<= 1",
            format!("at most {most}; {answered} cases answered"),
            most <= 1,
        ),
        Row::new("memory grows by", "< 1 MiB", format!("{grown} KiB"), grown < 1_024),
    ];
    let mut untouched = (0, 0);
    for (case, (number, value)) in cases.iter().enumerate() {
        let group = &GROUPS[*number];
        // A line end within a value makes other rows, or a message that two readers see apart.
        if !group.is_unused || value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
            continue;
        }
        let mark = format!("{:08x}@mallory", mark(case, 1));
        let wanted = [group.before.as_bytes(), value, group.after.as_bytes()].concat();
        untouched.1 += 1;
        untouched.0 += usize::from(recorded.iter().any(|message| {
            memmem::find(message, mark.as_bytes()).is_some()
                && memmem::find(message, &wanted).is_some()
        }));
    }
    let figure = format!("{} of {}", untouched.0, untouched.1);
    let row = "fields without use to a relay, as they came";
    rows.push(Row::new(row, "all forwarded", figure, untouched.0 == untouched.1));
    Ok(rows)
}

/// New INVITEs, so that every page of a table that remembers them has been used.
fn touch_memory(stage: &Stage) -> io::Result<()> {
    stage.servers.be_silent(true);
    stage.flood().datagrams(
        100_000,
        |n| {
            (
                STRANGER,
                request("INVITE", "sip:bob@example.net", STRANGER, n, "Max-Forwards: 70\r\n"),
            )
        },
        RELAY,
    )?;
    stage.settle()?;
    stage.servers.be_silent(false);
    Ok(())
}

/// A host for each case.
fn source(case: usize) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(0x0a80_0000 + case as u32), 5060)
}

fn mark(case: usize, round: u32) -> u32 {
    case as u32 | round << 24
}

fn message(group: &Group, value: &[u8], case: usize, round: u32) -> Vec<u8> {
    let row = [group.before.as_bytes(), value, group.after.as_bytes()].concat();
    let is_start = ["method", "Request-URI", "version"].contains(&group.name);
    let is_body = group.name.starts_with("SDP");
    let mark = format!("{:08x}", mark(case, round));
    let mut message = Vec::new();
    if is_start {
        message.extend_from_slice(&row);
    } else {
        message.extend_from_slice(b"INVITE sip:bob@example.net SIP/2.0\r\n");
    }
    for (begin, usual) in ROWS {
        if !is_start && !is_body && row.starts_with(begin.as_bytes()) {
            message.extend_from_slice(&row);
        } else {
            message.extend_from_slice(usual.replace("NUMBER", &mark).as_bytes());
        }
    }
    let has_row = ROWS.iter().any(|(begin, _)| row.starts_with(begin.as_bytes()));
    if !(is_start || is_body || has_row) {
        message.extend_from_slice(&row);
    }
    message.extend_from_slice(b"\r\n");
    if is_body {
        message.extend_from_slice(&row);
    }
    message
}

/// Whether an OPTIONS is answered, at the third try at the latest.
fn is_served(probe: &UdpSocket, number: u64) -> io::Result<bool> {
    let from = format!("{}:5070;rport", STRANGER.ip());
    let options =
        request("OPTIONS", format_args!("sip:{RELAY}"), from, number, "Max-Forwards: 70\r\n");
    let call_id = format!("{number:016x}@mallory");
    for _ in 0..3 {
        probe.send_to(&options, RELAY)?;
        let mut answer = [0; 2_048];
        while let Ok(len) = probe.recv(&mut answer) {
            let answer = &answer[..len];
            if answer.starts_with(b"SIP/2.0 20")
                && memmem::find(answer, call_id.as_bytes()).is_some()
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The bad values.
fn values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    let long = [
        "a", "A1", "%s", "%00", "\\", "\"", "<", ">", ";", ",", ":", "@", " ", "\t", "=", "0", "9",
        "é", "\u{202e}",
    ];
    for unit in long {
        for times in [1, 2, 3, 8, 64, 255, 256, 1_000] {
            values.push(unit.repeat(times).into_bytes());
        }
    }
    for text in [
        "",
        "%n%n%n%n",
        "%x%x%x%x",
        "%p",
        "${jndi:x}",
        "../../../etc/passwd",
        "' or 1=1 --",
        "-1",
        "+1",
        "0x10",
        "1e9",
        "1.5",
        " 1",
        "1 ",
        "127",
        "128",
        "255",
        "256",
        "32767",
        "32768",
        "65535",
        "65536",
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "4294967297",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "<sip:a@b>",
        "<sip:a@b",
        "sip:a@b>",
        "<<sip:a@b>>",
        "\"a <sip:a@b>",
        "\"a\\\" <sip:a@b>",
        "<sip:a@b>;tag",
        "<sip:a@b>;tag=",
        "<sip:a@b>;tag=1;tag=2",
        "<sip:a@b>, <sip:c@d>",
        "<sip:a@b>;;",
        "sip:",
        "sip:@",
        "sip::",
        "sip:a@[::",
        "sip:[::1]:x",
        "sips:a@b",
        "tel:+1",
        "sip:a:b@c:d;e=f?g=h",
        "[::]",
        "[::1",
        "1.2.3.4.5",
        "999.999.999.999",
        "a..b",
        "-",
        ".",
        ":]",
        "]",
        "[",
        "()",
        "(a)",
        "(((((((",
        "\0",
        "\0\0\0\0",
        "a\0b",
        "\u{7f}",
        "\u{1b}[2J",
        "\r",
        "\n",
        "\r\n",
        "\n\r",
        "\r\r\n",
        "\r\n ",
        "\r\n\r\n",
        "a\rb",
        "a\nb",
        "a\r\nb: c",
        "SIP/2.0",
        "SIP/2.0/UDP",
        "SIP / 2.0 / UDP",
        "sip/2.0",
        "SIP/3.0",
        "SIP/2.1",
        "HTTP/1.1",
        "INVITE",
        "invite",
        "ACK",
        "CANCEL",
        "BYE",
        "OPTIONS",
        "SIP/2.0 200 OK",
        "branch=",
        "branch",
        "branch=z9hG4bK",
        "rport=",
        "rport=0",
        "rport=99999",
        "received=",
        "received=x",
        "maddr=255.255.255.255",
        "ttl=256",
        "comp=sigcomp",
        "text/plain",
        "multipart/mixed;boundary=",
    ] {
        values.push(text.as_bytes().to_vec());
    }
    // Bytes that are no UTF-8.
    values.extend([
        vec![0xff],
        vec![0xc0, 0x80],
        vec![0xfe; 100],
        (1..=255).filter(|b| ![b'\r', b'\n'].contains(b)).collect(),
    ]);
    values
}
