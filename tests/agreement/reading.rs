//! Compares both readings of one datagram.

use strowger::message::{
    MaxBreadth, Message, Method, Routes, Rport, Span, StartLine, Uri, UriScheme, Via,
};

use crate::oracle::text::text_of;
use crate::oracle::{self, NextVia, Reading};

/// Compares everything that a relay decides by; gives the slow reading.
///
/// Where a row is none, the readers need only agree that it is the first thing wrong: the message
/// is refused.
pub(crate) fn assert_same(bytes: &[u8]) -> Reading {
    let slow = Reading::of(bytes);
    if let Err(difference) = compare(bytes, &slow) {
        panic!("{difference}\n{}\n{}", bytes.escape_ascii(), String::from_utf8_lossy(bytes));
    }
    slow
}

/// The same without panicking.
pub(crate) fn compare(bytes: &[u8], slow: &Reading) -> Result<(), String> {
    let message = Message::read(bytes);
    let of = |span: Span| unfolded(span.of(bytes));
    same("start line", &start_line(&message, bytes), &slow.start_line)?;
    same(
        "fault",
        &message.fault.map(|fault| format!("{fault:?}")),
        &slow.fault.map(|fault| format!("{fault:?}")),
    )?;
    if !slow.has_clean_rows {
        return Ok(());
    }
    let text = |span: Option<Span>| span.map(of);
    same("From", &text(message.from), &slow.from)?;
    same("From tag", &text(message.from_tag), &slow.from_tag)?;
    same("To", &text(message.to), &slow.to)?;
    same("To tag", &text(message.to_tag), &slow.to_tag)?;
    same("Call-ID", &text(message.call_id), &slow.call_id)?;
    let max_breadth = message.max_breadth.map(|breadth| match breadth {
        MaxBreadth::Is(_, breadth) => oracle::MaxBreadth::Is(breadth),
        MaxBreadth::Bad => oracle::MaxBreadth::Bad,
    });
    same("Max-Breadth", &max_breadth, &slow.max_breadth)?;
    same("Proxy-Require", &message.has_proxy_require, &slow.has_proxy_require)?;
    same("credentials", &message.has_credentials, &slow.has_credentials)?;
    same("routes", &routes(&message, bytes), &slow_routes(slow))?;
    if slow.fault.is_some() {
        return Ok(());
    }
    let is_request =
        matches!(message.start_line, StartLine::Request { .. } | StartLine::OtherVersion { .. });
    let uri = is_request.then(|| fast_uri(&message.uri, bytes));
    same("Request-URI", &uri, &slow.uri.as_ref().map(slow_uri))?;
    same("CSeq number", &Some(message.cseq_number), &slow.cseq_number)?;
    let cseq_method = slow.cseq_method.as_ref().map(|method| Method::of(method.as_bytes()));
    same("CSeq method", &Some(message.cseq_method), &cseq_method)?;
    same("top Via", &message.via.map(|via| fast_via(&via, bytes)), &slow.top_via)?;
    let max_forwards = message.max_forwards.map(|(_, hops)| hops.map_or(256, u32::from));
    same("Max-Forwards", &max_forwards, &slow.max_forwards.map(|hops| hops.min(256)))?;
    let next_via = match message.next_via(bytes) {
        None => NextVia::Absent,
        Some(Err(_)) => NextVia::Bad,
        Some(Ok(via)) => NextVia::Is(fast_via(&via, bytes)),
    };
    same("next Via", &next_via, &slow.next_via)?;
    let behind_body = bytes.len() - message.end;
    same("bytes behind the body", &behind_body, &slow.behind_body)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, fast: &T, slow: &T) -> Result<(), String> {
    if fast == slow {
        return Ok(());
    }
    Err(format!("{what}: the fast reader says {fast:?}, the slow one {slow:?}"))
}

fn unfolded(bytes: &[u8]) -> String {
    text_of(bytes).replace("\r\n", " ")
}

fn start_line(message: &Message, bytes: &[u8]) -> oracle::StartLine {
    let of = |span: Span| text_of(span.of(bytes));
    match message.start_line {
        StartLine::Request { method, uri } => {
            oracle::StartLine::Request { method: of(method), uri: of(uri) }
        }
        StartLine::OtherVersion { method, uri } => {
            oracle::StartLine::OtherVersion { method: of(method), uri: of(uri) }
        }
        StartLine::BadRequest { method } => oracle::StartLine::BadRequest { method: of(method) },
        StartLine::Response { code } => oracle::StartLine::Response { code },
        StartLine::BadResponse => oracle::StartLine::BadResponse,
        StartLine::NotSip => oracle::StartLine::NotSip,
    }
}

/// Scheme, user, host, port, `lr`, headers.
type UriParts = (UriScheme, Option<String>, String, Option<u16>, bool, bool);

fn fast_uri(uri: &Uri, bytes: &[u8]) -> UriParts {
    let user = uri.user.map(|span| text_of(span.of(bytes)));
    let host = text_of(uri.host.of(bytes));
    (uri.scheme, user, host, uri.port, uri.has_parameter(bytes, b"lr"), uri.has_headers)
}

fn slow_uri(uri: &oracle::uri::Uri) -> UriParts {
    let scheme = match uri.scheme.as_str() {
        "sip" | "sips" => UriScheme::Sip,
        "tel" => UriScheme::Tel,
        _ => UriScheme::Other,
    };
    let is_loose = uri.parameters.iter().any(|name| name == "lr");
    (scheme, uri.user.clone(), uri.host.clone(), uri.port, is_loose, uri.has_headers)
}

fn fast_via(via: &Via, bytes: &[u8]) -> oracle::via::Via {
    let text = |span: Option<Span>| span.map(|span| text_of(span.of(bytes)));
    // The fast reader looks at neither of these two.
    let unread = oracle::via::Via::read(&unfolded(via.value.of(bytes)));
    let (transport, maddr) = unread.map(|via| (via.transport, via.maddr)).unwrap_or_default();
    oracle::via::Via {
        transport,
        host: text_of(via.host.of(bytes)),
        port: via.port,
        branch: text(via.branch),
        received: text(via.received),
        rport: match via.rport {
            Rport::Absent => oracle::via::Rport::Absent,
            Rport::Asked => oracle::via::Rport::Asked,
            Rport::Port(port) => oracle::via::Rport::Port(port),
        },
        maddr,
        own: text(via.own),
    }
}

/// The URIs of the Routes and whether they are loose; `None` when they cannot be read.
fn routes(message: &Message, bytes: &[u8]) -> Option<Vec<(String, bool)>> {
    let mut routes = Routes::default();
    if !routes.read(message, bytes) {
        return None;
    }
    let mut values = Vec::new();
    while let Some((number, route)) = routes.top() {
        values.push((unfolded(route.uri.of(bytes)), route.is_loose(bytes)));
        routes.remove(number);
    }
    Some(values)
}

fn slow_routes(slow: &Reading) -> Option<Vec<(String, bool)>> {
    let routes = slow.routes.as_ref()?;
    Some(routes.iter().map(|route| (route.text.clone(), route.is_loose)).collect())
}
