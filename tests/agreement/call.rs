//! One call through a relay, as the messages that its parties send.

use crate::oracle::server::{self, Habits};
use crate::relay::{CALLER, DESTINATION, Relay, Sent};

/// A request with this Via, in this dialog; `cseq` is number and method.
pub(crate) fn request(uri: &str, from_caller: bool, via: &str, cseq: &str, more: &str) -> String {
    let method = cseq.split(' ').nth(1).unwrap();
    let (alice, bob) = ("<sip:alice@example.org>;tag=alice", "<sip:bob@example.com>");
    let (from, to) = match (from_caller, method) {
        (true, "INVITE") if more.is_empty() => (alice.to_owned(), bob.to_owned()),
        (true, _) => (alice.to_owned(), format!("{bob};tag=bob")),
        (false, _) => (format!("{bob};tag=bob"), alice.to_owned()),
    };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\n\
         Call-ID: one-call\r\nCSeq: {cseq}\r\n{more}Content-Length: 4\r\n\r\nbody"
    )
}

/// What a server answers to a request that it got.
pub(crate) fn response(to: &Sent, status: &str) -> String {
    let text = server::response(&to.bytes, status, "bob", Habits::default());
    String::from_utf8(text).unwrap().replace("Length: 0\r\n\r\n", "Length: 4\r\n\r\nbody")
}

/// All messages of a call, each with its sender: outside the dialog, in it from both sides, with a
/// strict router before and behind the relay, and the responses.
pub(crate) fn messages(relay: &mut Relay) -> Vec<(&'static str, Vec<u8>)> {
    let caller_via = format!("SIP/2.0/UDP {CALLER};rport;branch=z9hG4bK-alice");
    let server_via = format!("SIP/2.0/UDP {DESTINATION};branch=z9hG4bK-bob");
    let bob = "sip:bob@192.168.7.7:5060";
    let alice = "sip:alice@198.51.100.7:5062";
    let invite = request("sip:bob@example.com", true, &caller_via, "1 INVITE", "");
    let (_, sent) = relay.send(CALLER, invite.as_bytes());
    let sent = sent.expect("the INVITE is forwarded");
    let route = sent.rows("Record-Route").join(", ");
    let route_uri = sent.rows("Record-Route")[0].trim_matches(['<', '>']).to_owned();

    let from_caller = |uri: &str, cseq: &str, more: &str| {
        (CALLER, request(uri, true, &format!("{caller_via}{}", &cseq[..1]), cseq, more))
    };
    let from_server = |uri: &str, cseq: &str, more: &str| {
        (DESTINATION, request(uri, false, &format!("{server_via}{}", &cseq[..1]), cseq, more))
    };
    let messages = [
        (CALLER, invite.clone()),
        (DESTINATION, response(&sent, "180 Ringing")),
        (DESTINATION, response(&sent, "200 OK")),
        from_caller(bob, "1 ACK", &format!("Route: {route}\r\n")),
        from_caller(bob, "2 BYE", &format!("Route: {route}\r\n")),
        from_caller(bob, "3 INVITE", &format!("Route: {route}\r\nRoute: <sip:10.0.0.9;lr>\r\n")),
        from_caller(
            bob,
            "4 BYE",
            &format!("Route: {route}, <sip:10.0.0.9>, <sip:10.0.0.8;lr>\r\n"),
        ),
        from_caller(&route_uri, "5 BYE", &format!("Route: <sip:10.0.0.9>\r\nRoute: <{bob}>\r\n")),
        from_server(alice, "6 BYE", &format!("Route: {route}\r\n")),
        from_server(
            &route_uri,
            "7 BYE",
            &format!("Route: <sip:203.0.113.5;lr>,\r\n <{alice}>\r\n"),
        ),
    ];
    messages.map(|(from, text)| (from, text.into_bytes())).to_vec()
}
