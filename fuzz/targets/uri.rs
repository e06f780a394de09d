//! URIs from every source: from a message, from a list, and the host in them.
//!
//! The parts of a URI joined together are the URI. A host is an address exactly if the standard
//! library says so. Every URI that may be listed as a destination can be written into a
//! Request-URI.

use std::net::{IpAddr, SocketAddr};

use strowger::destination::{DestinationUri, Host};
use strowger::message::{Message, StartLine, Uri, UriScheme};
use strowger::proxy::{Listener, Listeners, Transport, split_host_port};

const OURS: [&str; 3] = ["192.0.2.1:5060", "[2001:db8::1]:5060", "[::ffff:192.0.2.1]:5060"];

pub(crate) fn run(input: &[u8]) {
    let bytes = &input[..input.len().min(4_096)];
    of_a_request(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        of_a_destination(text);
        let _ = split_host_port(text);
    }
}

fn of_a_request(text: &[u8]) {
    let datagram = [b"OPTIONS ", text, b" SIP/2.0\r\n\r\n"].concat();
    let message = Message::read(&datagram);
    let StartLine::Request { uri: place, .. } = message.start_line else {
        return;
    };
    let Some(uri) = Uri::read(&datagram, place) else {
        return;
    };
    let text = place.of(&datagram);
    let Some(colon) = text.iter().position(|b| *b == b':') else {
        panic!("a URI without a scheme")
    };
    assert!(!text.iter().any(|b| b.is_ascii_control() || b" <>\"".contains(b)));
    if uri.scheme != UriScheme::Sip {
        assert_eq!(uri.scheme == UriScheme::Tel, text[..colon].eq_ignore_ascii_case(b"tel"));
        return;
    }
    let host = uri.host.of(&datagram);
    let mut whole = text[..=colon].to_vec();
    if let Some(user) = uri.user {
        whole.extend_from_slice(user.of(&datagram));
        whole.push(b'@');
    }
    whole.extend_from_slice(host);
    let port_text = &datagram[uri.host.end()..uri.host_port_end];
    if let Some(port) = uri.port {
        assert_eq!(std::str::from_utf8(&port_text[1..]).unwrap().parse(), Ok(port));
        assert!(port > 0 && port_text[0] == b':');
    } else {
        assert!(port_text.is_empty());
    }
    whole.extend_from_slice(port_text);
    whole.extend_from_slice(uri.parameters.of(&datagram));
    assert!(text.starts_with(&whole));
    assert_eq!(uri.has_headers, text.len() > whole.len());
    assert!(!uri.has_headers || text[whole.len()] == b'?');
    for name in [&b"lr"[..], b"x", b""] {
        let parameters = String::from_utf8_lossy(uri.parameters.of(&datagram)).to_ascii_lowercase();
        let name_text = String::from_utf8_lossy(name);
        let there = parameters.split(';').any(|p| p.split('=').next() == Some(&*name_text));
        assert_eq!(uri.has_parameter(&datagram, name), there);
    }
    assert_address(host, uri.port_or_default());
}

/// A host means us exactly when the standard library reads one of our addresses in it.
fn assert_address(host: &[u8], port: u16) {
    thread_local! {
        static LISTENERS: Listeners = listeners();
    }
    let text = String::from_utf8_lossy(host).into_owned();
    let ip = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok().map(IpAddr::V4),
    };
    let is_us = match ip {
        Some(ip) => OURS.iter().any(|ours| ours.parse() == Ok(SocketAddr::new(ip, port))),
        None => text.eq_ignore_ascii_case("sip.example.net") && port == 5060,
    };
    assert_eq!(LISTENERS.with(|listeners| listeners.is_us(host, port)), is_us, "{text}:{port}");
}

fn listeners() -> Listeners {
    let listener = |address: &str| Listener {
        name: address.into(),
        local: address.parse().unwrap(),
        transport: Transport::Udp,
        sent_by: address.into(),
        force_rport: false,
        set: None,
    };
    Listeners::new(OURS.map(listener).into(), &[("sip.example.net".to_owned(), 5060)])
}

fn of_a_destination(text: &str) {
    let Ok(uri) = DestinationUri::parse(text) else {
        return;
    };
    assert_eq!(DestinationUri::parse(&uri.text), Ok(uri.clone()), "written again it is the same");
    // `rewrite = "domain"` writes it into Request-URIs, whose readers are strict.
    let host_port = uri.text[4..].split(';').next().unwrap();
    let datagram = format!("OPTIONS sip:{host_port} SIP/2.0\r\n\r\n").into_bytes();
    let StartLine::Request { uri: place, .. } = Message::read(&datagram).start_line else {
        panic!("{host_port:?} breaks a first line");
    };
    let read = Uri::read(&datagram, place).expect("a host that we may write");
    assert_eq!(read.port, uri.port);
    let host = String::from_utf8_lossy(read.host.of(&datagram)).into_owned();
    match uri.host {
        Host::Address(IpAddr::V4(ip)) => assert_eq!(host.parse(), Ok(ip)),
        Host::Address(IpAddr::V6(ip)) => assert_eq!(host[1..host.len() - 1].parse(), Ok(ip)),
        Host::Name(name) => assert_eq!(host.to_ascii_lowercase(), name),
    }
}
