//! The parser: any datagram.
//!
//! It never panics. Every span is inside the datagram, part within whole. A message without a fault
//! stays the same message after each edit that a relay makes. The slow reader of `tests/oracle`
//! reads the same.

use strowger::message::{Edits, Message, Routes, Span, StartLine, Via};

use crate::agreement;

/// The slow reader takes a second for the longest datagrams.
const SLOWLY_READ_MAX: usize = 4_096;

pub(crate) fn run(input: &[u8]) {
    let bytes = &input[..input.len().min(usize::from(u16::MAX))];
    let message = Message::read(bytes);
    // Elsewhere in memory, and with the buffer's end at the datagram's.
    let copy: Box<[u8]> = bytes.into();
    assert_eq!(format!("{message:?}"), format!("{:?}", Message::read(&copy)));
    assert_places(&message, bytes);
    if bytes.len() <= SLOWLY_READ_MAX {
        agreement::assert_same(bytes);
    }
    let mut routes = Routes::default();
    let has_routes = routes.read(&message, bytes);
    if message.fault.is_some() || message.start_line == StartLine::NotSip {
        return;
    }
    assert_complete(&message, bytes);
    without_its_top_via(&message, bytes);
    with_a_row_on_top(&message, bytes);
    if has_routes {
        without_routes(&message, bytes);
    }
}

/// What was read lies inside what it was read from.
fn assert_places(message: &Message, bytes: &[u8]) {
    let Message { start, rows_start, end, .. } = *message;
    assert!(start <= bytes.len() && bytes[..start].iter().all(|b| matches!(b, b'\r' | b'\n')));
    if message.start_line == StartLine::NotSip {
        return;
    }
    assert!(bytes[..rows_start].ends_with(b"\r\n"));
    assert!(start < rows_start && rows_start <= end && end <= bytes.len());
    let line = (start, rows_start - 2);
    match message.start_line {
        StartLine::Request { method, uri } | StartLine::OtherVersion { method, uri } => {
            assert_within(Some(method), line);
            assert_within(Some(uri), (method.end() + 1, line.1));
        }
        StartLine::BadRequest { method } => assert_within(Some(method), line),
        _ => {}
    }
    let rows = (rows_start, bytes.len());
    assert_within(Some(message.via_row).filter(|row| !row.is_empty()), rows);
    for value in [message.from, message.to, message.call_id] {
        assert_within(value, rows);
    }
    for (tag, value) in [(message.from_tag, message.from), (message.to_tag, message.to)] {
        assert!(tag.is_none() || value.is_some());
        assert_within(tag, value.map_or((0, 0), |value| (value.start(), value.end())));
    }
    assert_within(message.max_forwards.map(|(value, _)| value), rows);
    if let Some(via) = message.via {
        assert_via(&via, (message.via_row.start(), message.via_row.end()));
    }
    if let Some(Ok(next)) = message.next_via(bytes) {
        let top = message.via.expect("only below another").value;
        assert_via(&next, (top.end(), bytes.len()));
    }
    assert_within(message.top_via_whole(bytes), rows);
}

fn assert_via(via: &Via, outer: (usize, usize)) {
    assert_within(Some(via.value), outer);
    let inner = (via.value.start(), via.value.end());
    assert!(!via.host.is_empty());
    for part in [Some(via.host), via.branch, via.received, via.received_whole, via.rport_whole] {
        assert_within(part, inner);
    }
    assert_within(via.own, inner);
    assert!(via.next.is_none_or(|next| next > via.value.end()));
}

fn assert_within(span: Option<Span>, (start, end): (usize, usize)) {
    if let Some(span) = span {
        assert!(start <= span.start() && span.end() <= end, "{span:?} in {start}..{end}");
    }
}

fn assert_complete(message: &Message, bytes: &[u8]) {
    let via = message.via.expect("no fault");
    assert!(via.is_well_formed);
    let call_id = message.call_id.expect("no fault").of(bytes);
    assert!(!call_id.is_empty() && !call_id.iter().any(u8::is_ascii_whitespace));
    assert!(message.from.is_some() && message.to.is_some());
    let header = bytes[..message.end].windows(4).any(|end| end == b"\r\n\r\n");
    assert!(header, "a header without its end");
    if let StartLine::Request { uri, .. } = message.start_line {
        assert!(!message.uri.has_headers && !uri.is_empty());
    }
}

/// What is used of a message, as texts.
fn texts<'a>(message: &Message, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let spans = [message.from, message.from_tag, message.to, message.to_tag, message.call_id];
    spans.into_iter().map(|span| span.unwrap_or_default().of(bytes)).collect()
}

fn assert_same(one: (&Message, &[u8]), other: (&Message, &[u8])) {
    assert_eq!(other.0.fault, None);
    assert_eq!(texts(one.0, one.1), texts(other.0, other.1));
    assert_eq!(one.0.cseq_number, other.0.cseq_number);
    assert_eq!(one.0.cseq_method, other.0.cseq_method);
    assert_eq!(one.0.method, other.0.method);
    assert_eq!(one.0.max_forwards.map(|(_, hops)| hops), other.0.max_forwards.map(|(_, h)| h));
}

/// §16.7 item 3: without its topmost value the next one is on top, and nothing else has changed.
fn without_its_top_via(message: &Message, bytes: &[u8]) {
    let mut edits = Edits::default();
    edits.remove(message.top_via_whole(bytes).expect("no fault"));
    let edited = applied(&mut edits, message, bytes);
    let rest = Message::read(&edited);
    match message.next_via(bytes) {
        Some(Ok(next)) => {
            assert_same((message, bytes), (&rest, &edited));
            let top = rest.via.expect("the next one");
            assert_eq!(top.value.of(&edited), next.value.of(bytes));
            assert_eq!((top.port, top.rport), (next.port, next.rport));
        }
        Some(Err(_)) => assert!(rest.via.is_none_or(|via| !via.is_well_formed)),
        None => assert!(rest.via.is_none()),
    }
}

/// What we add stands right after the first line.
fn with_a_row_on_top(message: &Message, bytes: &[u8]) {
    const VIA: &[u8] = b"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n";
    if bytes.len() + VIA.len() > usize::from(u16::MAX) {
        return;
    }
    let edited = [&bytes[..message.rows_start], VIA, &bytes[message.rows_start..]].concat();
    let more = Message::read(&edited);
    assert_same((message, bytes), (&more, &edited));
    assert_eq!(more.end, message.end + VIA.len());
    let next = more.next_via(&edited).expect("the old one").expect("well-formed");
    assert_eq!(next.value.of(&edited), message.via.expect("no fault").value.of(bytes));
}

/// Routes that are taken out leave the others as they were.
fn without_routes(message: &Message, bytes: &[u8]) {
    let uris = |routes: &mut Routes| {
        let mut uris = Vec::new();
        while let Some((number, route)) = routes.top() {
            uris.push(route.uri);
            routes.remove(number);
        }
        uris
    };
    let fresh = || {
        let mut routes = Routes::default();
        assert!(routes.read(message, bytes));
        routes
    };
    let before = uris(&mut fresh());
    // By the bits of a number that every byte has a part in.
    let chosen = bytes.iter().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    for removed in [0, 1, chosen, u32::MAX] {
        let is_removed = |number: usize| removed >> number & 1 == 1;
        let mut routes = fresh();
        (0..before.len()).filter(|n| is_removed(*n)).for_each(|number| routes.remove(number));
        let mut edits = Edits::default();
        routes.edit(&mut edits);
        let edited = applied_or_full(&mut edits, message, bytes);
        let Some(edited) = edited else {
            // More edits than fit: such a message is refused.
            continue;
        };
        let after = Message::read(&edited);
        assert_same((message, bytes), (&after, &edited));
        let mut routes = Routes::default();
        assert!(routes.read(&after, &edited));
        let left = uris(&mut routes);
        let wanted: Vec<_> = before
            .iter()
            .enumerate()
            .filter(|(n, _)| !is_removed(*n))
            .map(|(_, uri)| *uri)
            .collect();
        assert_eq!(
            left.iter().map(|uri| uri.of(&edited)).collect::<Vec<_>>(),
            wanted.iter().map(|uri| uri.of(bytes)).collect::<Vec<_>>()
        );
    }
}

fn applied(edits: &mut Edits, message: &Message, bytes: &[u8]) -> Vec<u8> {
    applied_or_full(edits, message, bytes).expect("one edit")
}

fn applied_or_full(edits: &mut Edits, message: &Message, bytes: &[u8]) -> Option<Vec<u8>> {
    let place = Span::new(message.start, message.end);
    let len = edits.len_after(place)?;
    let mut copied = Vec::with_capacity(len);
    edits.copy(bytes, place, |piece| copied.extend_from_slice(piece));
    assert_eq!(copied.len(), len);
    // Applied where the message lies, the same must result.
    let mut slot = [vec![b'?'; len], bytes.to_vec()].concat();
    let range = edits.apply(&mut slot, len, place).expect("room for all of it");
    assert_eq!(slot[range], copied);
    Some(copied)
}
