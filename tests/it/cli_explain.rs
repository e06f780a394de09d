//! `strowger explain`: the explanation comes true, and explaining changes nothing.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use crate::harness::cli::{ask, pipe};
use crate::harness::{Ends, Relay, loopback};

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-1
From: <sip:alice@example.org>;tag=1
To: <sip:bob@example.com>
Call-ID: one
CSeq: 1 INVITE
Max-Forwards: 70
Content-Length: 0

";

#[test]
fn a_new_call_by_file_and_by_pipe_as_text_and_as_json() {
    let list = "1 sip:127.0.0.1:5071 0 0\n1 sip:127.0.0.1:5072 0 0\n1 sip:127.0.0.1:5073 4 0\n\
                1 sip:127.0.0.1:5074 1 0\n2 sip:127.0.0.1:5075 0 0\n";
    let relay = Relay::with_list(list).start();
    let file = tempfile::NamedTempFile::new().unwrap();
    // As an editor writes it.
    fs::write(file.path(), INVITE).unwrap();
    let path = file.path().to_str().unwrap();
    let wants = "\
INVITE sip:bob@example.com SIP/2.0
  from 198.51.100.7:5062, as it says itself
  to udp:RELAY

forwarded to sip:127.0.0.1:5071 (127.0.0.1:5071)
  it is new: round-robin of set 1, with 2 to choose from

set 1, which new requests are dispatched to:
     turn  destination         address         state
 ->     1  sip:127.0.0.1:5071  127.0.0.1:5071  active (AX)    this one
        2  sip:127.0.0.1:5072  127.0.0.1:5072  active (AX)    may be chosen
           sip:127.0.0.1:5073  127.0.0.1:5073  disabled (DX)  disabled by the operator
           sip:127.0.0.1:5074  127.0.0.1:5074  inactive (IX)  inactive
not asked: the destinations of set 2

This would leave udp:RELAY for 127.0.0.1:5071:

  INVITE sip:bob@example.com SIP/2.0
  Via: SIP/2.0/UDP RELAY;branch="
        .replace("RELAY", &relay.address().to_string());
    for said in [
        ask(&relay, &["explain", path]),
        pipe(&relay, &["explain"], INVITE.as_bytes()),
        pipe(&relay, &["explain", "-"], INVITE.replace('\n', "\r\n").as_bytes()),
    ] {
        let said = said.well();
        assert!(said.starts_with(&wants), "{said}");
    }
    let json = ask(&relay, &["explain", path, "--json", "--from", "198.51.100.9:5099"]).json();
    assert_eq!((&json["verdict"], &json["set"]), (&"forwarded".into(), &1.into()));
    assert_eq!(json["counter"], "forwarded.chosen");
    assert_eq!(
        (&json["source"], &json["source_is"]),
        (&"198.51.100.9:5099".into(), &"given".into())
    );
    assert_eq!(json["candidates"][2]["excluded"], "disabled by the operator");
    assert!(json["leaves"]["message"].as_str().unwrap().contains(";received=198.51.100.9"));

    let told = ask(&relay, &["explain", "/no/such/file"]).refused();
    assert!(told.contains("/no/such/file"), "{told}");
    let told =
        pipe(&relay, &["explain", "--to", "udp:192.0.2.9:5060"], INVITE.as_bytes()).refused();
    assert!(told.contains("not one of the relay's listeners"), "{told}");
    relay.stop().assert(&[("received", 0), ("chosen", 0)]);
}

/// Before each call it is asked where that would go.
#[test]
fn what_it_says_of_the_next_calls_comes_true() {
    let bind = || {
        let socket = UdpSocket::bind(loopback::fresh()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    };
    let (caller, servers) = (bind(), [bind(), bind(), bind()]);
    let addresses = servers.each_ref().map(|server| server.local_addr().unwrap());
    let list: String = addresses.iter().map(|address| format!("1 sip:{address} 0 0\n")).collect();
    let relay = Relay::with_list(&list).start();
    for call in 0..7 {
        let message = INVITE
            .replace('\n', "\r\n")
            .replace("198.51.100.7:5062", &caller.local_addr().unwrap().to_string())
            .replace("Call-ID: one", &format!("Call-ID: {call}"));
        // Of a new call and, twice, of one that is remembered.
        for wants in ["forwarded.chosen", "forwarded.pinned", "forwarded.pinned"] {
            let json = pipe(&relay, &["explain", "--json"], message.as_bytes()).json();
            assert_eq!(json["counter"], wants);
            caller.send_to(message.as_bytes(), relay.address()).unwrap();
            let at = addresses.iter().position(|to| json["leaves"]["to"] == to.to_string());
            let server = &servers[at.unwrap_or_else(|| panic!("{json}"))];
            let mut bytes = [0; 4096];
            let (len, _) = server.recv_from(&mut bytes).expect("the message that was told");
            let arrived = String::from_utf8_lossy(&bytes[..len]).into_owned();
            // All but the time and the seal of our Via parameter.
            let plain = |text: &str| {
                text.lines()
                    .map(|line| line.split(";sw=").next().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            assert_eq!(plain(json["leaves"]["message"].as_str().unwrap()), plain(&arrived));
        }
    }
    relay.stop().assert(&[("received", 21), ("chosen", 7), ("pinned", 14)]);
}

#[test]
fn a_call_in_progress_keeps_its_destination_and_new_ones_get_404() {
    let mut ends = Ends::new();
    let relay = Relay::with_list(&ends.list()).unwatched().workers(1).start();
    ends.send(relay.address(), 1);
    ends.wait_arrived(1);
    let server = ends.server();
    assert_eq!(ask(&relay, &["set-state", "disabled", "1", "all"]).code, 0);

    let first = ends.invite(relay.address(), 1, "", "");
    let said = pipe(&relay, &["explain"], first.as_bytes()).well();
    for part in [
        format!("forwarded to sip:{server} ({server}), which is disabled now\n"),
        "  it belongs to a transaction that the relay remembers\n".into(),
        "not answered yet\n".into(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
    let next = ends.invite(relay.address(), 2, "", "");
    let said = pipe(&relay, &["explain"], next.as_bytes()).well();
    assert!(said.contains("answered with 404 No destination\n  no destination of set 1"), "{said}");
    assert!(said.contains("disabled by the operator"), "{said}");
    relay.stop().assert(&[("received", 1), ("chosen", 1), ("no_destination", 0)]);
}

#[test]
fn bad_messages() {
    let relay = Relay::with_list("1 sip:127.0.0.1:5071\n").start();
    let own = relay.address().to_string();
    for (message, parts) in [
        (&b""[..], &["dropped (keep_alive)"][..]),
        (b"\xff\xfe\x00rubbish", &["dropped (not_sip)", "its first line is not SIP"]),
        (
            &INVITE.replace("CSeq: 1 INVITE", "CSeq: 1 BYE").into_bytes(),
            &["answered with 400", "malformed: its CSeq"],
        ),
        (
            &INVITE.replace("198.51.100.7:5062", "pbx.example.com").into_bytes(),
            &["from 192.0.2.1:5060, made up", "forwarded to sip:127.0.0.1:5071"],
        ),
        (
            &INVITE.replace("INVITE sip:bob@example.com", "SIP/2.0 200 OK\nX: ").into_bytes(),
            &["dropped (foreign_via)", "not the relay's"],
        ),
        (
            &INVITE.replace("Max-Forwards: 70", "Max-Forwards: 0").into_bytes(),
            &["answered with 483"],
        ),
        (&INVITE.replace("\n\n", "\n").into_bytes(), &["the blank line after the header"]),
        (&INVITE.replace("198.51.100.7:5062", &own).into_bytes(), &["made up"]),
    ] {
        let said = pipe(&relay, &["explain"], message).well();
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains('\u{fe}') && !said.contains('\0'), "{said:?}");
    }
    let told = pipe(&relay, &["explain"], &vec![b'x'; 70_000]).refused();
    assert!(told.contains("longer than any datagram"), "{told}");
    relay.stop().assert(&[("received", 0), ("keep_alive", 0), ("400", 0)]);
}
