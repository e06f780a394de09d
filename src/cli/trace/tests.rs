//! Ladders as they are printed.

use super::*;
use strowger::capture::pcap::Datagram;

const CALLER: &str = "192.0.2.7:5062";
const RELAY: &str = "192.0.2.1:5060";
const SERVER: &str = "10.0.0.1:5060";
const OTHER: &str = "10.0.0.2:5060";

/// A message at this millisecond.
fn seen(at_ms: u64, (from, to): (&str, &str), line: &str, cseq: &str) -> Seen {
    message(at_ms, (from, to), line, cseq, "one@a")
}

fn message(at_ms: u64, (from, to): (&str, &str), line: &str, cseq: &str, call: &str) -> Seen {
    let bytes = format!(
        "{line}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{cseq}\r\nFrom: <sip:alice@a>;tag=1\r\n\
         To: <sip:bob@b>\r\nCall-ID: {call}\r\nCSeq: {cseq}\r\n\r\n"
    );
    let at = Duration::from_millis(1_700_000_000_000 + at_ms);
    let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
    Seen::read(Datagram { at, from, to, bytes: bytes.into_bytes() }).unwrap()
}

fn request(at_ms: u64, way: (&str, &str), cseq: &str) -> Seen {
    let method = cseq.split(' ').nth(1).unwrap();
    seen(at_ms, way, &format!("{method} sip:bob@b SIP/2.0"), cseq)
}

fn response(at_ms: u64, way: (&str, &str), status: &str, cseq: &str) -> Seen {
    seen(at_ms, way, &format!("SIP/2.0 {status}"), cseq)
}

fn calls(width: usize, failed: bool, count: Option<usize>) -> Calls {
    Calls::new(Page { width, has_colours: false }, Wanted { failed, count })
}

fn drawn(width: usize, messages: &[Seen]) -> String {
    let mut calls = calls(width, false, None);
    for seen in messages {
        calls.add(seen.clone(), true);
    }
    let (text, shown) = calls.news();
    assert_eq!(shown.len(), messages.len());
    assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
    text
}

/// A call that is busy after a copy of its request, and another one in the same dialog.
fn busy() -> Vec<Seen> {
    let unavailable = "480 Temporarily Unavailable for a while";
    vec![
        request(0, (CALLER, RELAY), "1 INVITE"),
        request(1, (RELAY, SERVER), "1 INVITE"),
        request(501, (CALLER, RELAY), "1 INVITE"),
        request(502, (RELAY, SERVER), "1 INVITE"),
        response(600, (SERVER, RELAY), "486 Busy Here", "1 INVITE"),
        response(601, (RELAY, CALLER), "486 Busy Here", "1 INVITE"),
        request(602, (CALLER, RELAY), "1 ACK"),
        request(12_345, (CALLER, RELAY), "2 INVITE"),
        response(12_346, (RELAY, CALLER), unavailable, "2 INVITE"),
        request(100_000, (SERVER, RELAY), "1 OPTIONS"),
        response(100_001, (RELAY, SERVER), "200 OK", "1 OPTIONS"),
    ]
}

#[test]
fn a_ladder_at_80_columns() {
    let wants = "\
Call-ID one@a
  from sip:alice@a
  to sip:bob@b
  failed: 486 Busy Here to INVITE
           192.0.2.7:5062            192.0.2.1:5060                10.0.0.1:5060
   +0.000  |------------ INVITE ----------->|                                |
   +0.001  |                                |------------ INVITE ----------->|
   +0.501  |-------- INVITE, again -------->|                                |
   +0.502  |                                |-------- INVITE, again -------->|
   +0.600  |                                |<------- 486 Busy Here ---------|
   +0.601  |<------- 486 Busy Here ---------|                                |
   +0.602  |------------- ACK ------------->|                                |
  +12.345  |----------- INVITE 2 ---------->|                                |
  +12.346  |< 480 Temporarily Unavailabl… --|                                |
 +100.000  |                                |<---------- OPTIONS ------------|
 +100.001  |                                |------- 200 OK (OPTIONS) ------>|
";
    let drawn = drawn(80, &busy());
    assert_eq!(drawn, wants, "\n{drawn}");
}

#[test]
fn a_wide_page_has_room_for_what_is_cut_in_a_narrow_one() {
    let wide = drawn(140, &busy());
    assert!(wide.contains(" 480 Temporarily Unavailable for a while (INVITE 2)"), "{wide}");
    assert!(wide.lines().any(|line| line.chars().count() > 120), "{wide}");
}

#[test]
fn a_call_that_went_to_another_server_has_a_column_more_and_arrows_cross() {
    let messages = [
        request(0, (CALLER, RELAY), "1 INVITE"),
        request(1, (RELAY, SERVER), "1 INVITE"),
        request(2, (RELAY, OTHER), "1 INVITE"),
        response(3, (OTHER, RELAY), "200 OK", "1 INVITE"),
        request(4, (RELAY, RELAY), "1 OPTIONS"),
    ];
    let wants = "\
           192.0.2.7:5062 192.0.2.1:5060         10.0.0.1:5060     10.0.0.2:5060
   +0.000  |------ INVITE ------>|                     |                     |
   +0.001  |                     |------ INVITE ------>|                     |
   +0.002  |                     |----------------- INVITE ----------------->|
   +0.003  |                     |<---------------- 200 OK ------------------|
   +0.004  |                     | OPTIONS (to itself)
";
    let drawn = drawn(80, &messages);
    assert!(drawn.ends_with(wants), "\n{drawn}");
}

#[test]
fn what_is_too_long_for_its_column_gets_a_letter_and_who_has_none_is_one_of_the_others() {
    let long = |n: u32| format!("[2001:db8:1111:2222:3333:4444:5555:{n}]:5060");
    let (first, second) = (long(1_000), long(2_000));
    let said = drawn(
        80,
        &[request(0, (&first, RELAY), "1 INVITE"), request(1, (RELAY, &second), "1 INVITE")],
    );
    let wants = format!(
        "{:>12}{:>33}{:>33}\n  A is {first}\n  B is {RELAY}\n  C is {second}\n",
        "A", "B", "C"
    );
    assert!(said.contains(&wants), "{said}");
    let to = |n: u64| format!("10.0.0.{n}:5060");
    let mut many = vec![request(0, (CALLER, RELAY), "1 INVITE")];
    many.extend((1..9).map(|n| request(n, (RELAY, &to(n)), "1 INVITE")));
    let said = drawn(80, &many);
    assert!(said.contains("others"), "{said}");
}

#[test]
fn the_relay_is_one_column_whichever_listener_it_used() {
    let ours = |seen: Seen, relay: &str| Seen { relay: relay.parse().ok(), ..seen };
    let inside = "10.0.0.9:5060";
    let said = drawn(
        80,
        &[
            ours(request(0, (CALLER, RELAY), "1 INVITE"), RELAY),
            ours(request(1, (inside, SERVER), "1 INVITE"), inside),
        ],
    );
    let wants = "
                                          relay
           192.0.2.7:5062            192.0.2.1:5060                10.0.0.1:5060
  the relay also listens on 10.0.0.9:5060
   +0.000  |------------ INVITE ----------->|                                |
   +0.001  |                                |------------ INVITE ----------->|
";
    assert!(said.ends_with(wants), "\n{said}");
}

#[test]
fn live_calls_take_turns_and_each_row_is_drawn_once() {
    let mut calls = calls(80, false, None);
    let invite = |at, call| message(at, (CALLER, RELAY), "INVITE sip:b SIP/2.0", "1 INVITE", call);
    calls.add(invite(0, "a"), true);
    assert!(calls.news().0.starts_with("Call-ID a\n"));
    calls.add(invite(500, "a"), true);
    assert_eq!(calls.news().0.lines().count(), 1);
    calls.add(invite(600, "b"), true);
    calls.add(invite(1_500, "a"), true);
    let (text, messages) = calls.news();
    assert_eq!(messages.len(), 2);
    assert!(text.starts_with("   +1.500  |"), "{text}");
    assert!(text.contains("\n\nCall-ID b\n"), "{text}");
    assert_eq!(calls.news().0, "");
    calls.add(request(0, (CALLER, RELAY), "1 INVITE"), false);
    assert_eq!(calls.news().0, "", "it is not selected");
}

#[test]
fn only_calls_that_failed_and_only_so_many() {
    let mut calls = calls(80, true, Some(2));
    let say = |calls: &mut Calls, call: &str, line: &str, cseq: &str| {
        calls.add(message(0, (CALLER, RELAY), line, cseq, call), true);
    };
    for call in ["good", "busy", "silent", "cancelled", "late"] {
        say(&mut calls, call, "INVITE sip:b SIP/2.0", "1 INVITE");
    }
    say(&mut calls, "good", "SIP/2.0 200 OK", "1 INVITE");
    say(&mut calls, "good", "SIP/2.0 481 No", "1 CANCEL");
    say(&mut calls, "cancelled", "SIP/2.0 180 Ringing", "1 INVITE");
    assert_eq!(calls.news().1.len(), 0);
    say(&mut calls, "busy", "SIP/2.0 486 Busy Here", "1 INVITE");
    let (text, messages) = calls.news();
    assert_eq!(messages.len(), 2);
    assert!(text.contains("Call-ID busy\n") && text.contains("  failed: 486 Busy Here"), "{text}");
    assert!(!calls.is_complete(), "there may be a second one");
    let at = |ms: u64| Duration::from_millis(1_700_000_000_000 + ms);
    calls.give_up(at(31_999), Duration::from_secs(32));
    assert_eq!(calls.news().1.len(), 0);
    calls.give_up(at(32_000), Duration::from_secs(32));
    let (text, messages) = calls.news();
    assert_eq!(messages.len(), 1, "{text}");
    assert!(text.contains("Call-ID silent\n") && text.contains("failed: no answer"), "{text}");
}

#[test]
fn calls_and_messages_have_bounds() {
    let mut calls = calls(80, false, None);
    for call in 0..1_100 {
        let call = call.to_string();
        calls.add(message(0, (CALLER, RELAY), "INVITE sip:b SIP/2.0", "1 INVITE", &call), true);
    }
    assert_eq!((calls.news().1.len(), calls.lost), (1_000, 100));
    let mut calls = self::calls(80, false, None);
    (0..600).for_each(|_| calls.add(request(0, (CALLER, RELAY), "1 INVITE"), true));
    assert_eq!((calls.news().1.len(), calls.lost), (500, 100));
}

#[test]
fn what_is_no_sip_is_left_out_and_control_characters_are_shown() {
    let datagram = |bytes: &[u8]| Datagram {
        at: Duration::ZERO,
        from: CALLER.parse().unwrap(),
        to: RELAY.parse().unwrap(),
        bytes: bytes.into(),
    };
    assert!(Seen::read(datagram(b"")).is_none());
    assert!(Seen::read(datagram(b"rubbish")).is_none());
    assert!(Seen::read(datagram(b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n")).is_none());
    let evil = "SIP/2.0 200 \u{1b}[31mOK";
    let said = drawn(80, &[response(0, (SERVER, RELAY), &evil[8..], "1 BYE")]);
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn a_message_of_the_relay_is_read_as_it_was_told() {
    let told = |name: &str, value: &str| {
        let mut told = json!({
            "at_us": 5_000_001, "direction": "sent", "from": RELAY, "to": SERVER,
        });
        told[name] = value.into();
        told
    };
    let text = "BYE sip:b SIP/2.0\r\nCall-ID: c\r\nCSeq: 7 BYE\r\n\r\n";
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    for told in [told("message", text), told("message_hex", &hex)] {
        let seen = Seen::told(&told).unwrap();
        assert_eq!(seen.datagram.bytes, text.as_bytes());
        assert_eq!(seen.datagram.at, Duration::from_micros(5_000_001));
        assert_eq!((seen.relay, seen.cseq.0), (RELAY.parse().ok(), 7));
        assert_eq!(seen.json(), told);
    }
    assert!(Seen::told(&json!({})).is_none());
}
