//! What a relay may change in a message, and what it copies into an answer (RFC 3261 §16.6, §16.11, §18.2.1; RFC 3581 §4): everything
//! else must be sent as it came, byte for byte and in the same order.
//!
//! The checker builds the expected message from the received one, step by step, and compares. It
//! cannot predict what depends on a key, so it takes that from the sent message: the relay's
//! branch, its Via parameter and its token, each of which must have the right form.

use std::net::{IpAddr, SocketAddr};

use super::name_addr::Route;
use super::rows::{Parts, Row};
use super::text::{BLANKS, bytes_of, split_outside, text_of, trim};
use super::uri::Uri;
use super::via::{Rport, Via};
use super::{Reading, StartLine};

/// What is known of the relay and of the way the request took.
#[derive(Clone, Debug)]
pub(crate) struct Relay<'a> {
    /// What it writes in Via where the request leaves: `192.0.2.1:5060`.
    pub(crate) sent_by: &'a str,
    /// The same of each Record-Route if it writes any: of the way out, and below it of the way in
    /// if that is another listener.
    pub(crate) records: Vec<&'a str>,
    /// Hosts and ports that mean it: its addresses, IPv6 ones in brackets, and its aliases.
    pub(crate) names: &'a [(String, u16)],
    /// A foreign Route of a dispatched request travels on.
    pub(crate) keeps_foreign_routes: bool,
    pub(crate) max_breadth: Option<u32>,
    pub(crate) force_rport: bool,
}

/// The way a request took.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// To a destination that was chosen for it or for the request it belongs to. The text is the
    /// destination's host and port when the Request-URI is rewritten to it.
    Dispatched { rewrite: Option<String> },
    /// By a token in a Route or, behind a strict router, in the Request-URI.
    Token,
    /// In any other way.
    Other,
}

/// Checks a request that came from `source` and was forwarded.
pub(crate) fn check_request(
    (came, reading): (&[u8], &Reading),
    left: &[u8],
    source: SocketAddr,
    relay: &Relay,
    how: &How,
) -> Result<(), String> {
    let StartLine::Request { method, uri } = &reading.start_line else {
        return Err(format!("forwarded as a request: {:?}", reading.start_line));
    };
    let routes = reading.routes.clone().ok_or("forwarded with a malformed Route")?;
    let mut wants = message_of(came, reading)?;
    let leaving = Parts::of(&text_of(left))?;

    // Routes and the Request-URI.
    let plan = plan_routes(reading, &routes, relay, how);
    wants.rows = with_routes(wants.rows, &plan);
    let request_uri = plan.request_uri.clone().unwrap_or_else(|| rewritten(uri, how));
    wants.first_line = wants.first_line.replacen(uri, &request_uri, 1);

    // Hops and breadth.
    if let Some(hops) = reading.max_forwards {
        let hops = if hops > 255 { 70 } else { hops.saturating_sub(1) };
        set_value(&mut wants.rows, "max-forwards", hops);
    }
    if let (Some(max), Some(super::MaxBreadth::Is(breadth))) =
        (relay.max_breadth, reading.max_breadth)
        && breadth > max
    {
        set_value(&mut wants.rows, "max-breadth", max);
    }

    // The neighbour's Via.
    let via = reading.top_via.as_ref().ok_or("no Via")?;
    let row = wants.rows.iter_mut().find(|row| row.is("via")).ok_or("no Via row")?;
    row.whole = with_source(&row.whole, via, source, relay.force_rport);

    // Our rows, on top of all others.
    let own = own_rows(&leaving.rows, wants.rows.len(), reading, method, relay, how)?;
    wants.rows.splice(0..0, own);
    compare(&wants.text(), left)
}

/// Checks a response that was forwarded.
pub(crate) fn check_response(came: &[u8], reading: &Reading, left: &[u8]) -> Result<(), String> {
    if !matches!(reading.start_line, StartLine::Response { .. }) {
        return Err(format!("forwarded as a response: {:?}", reading.start_line));
    }
    let mut wants = message_of(came, reading)?;
    let at = wants.rows.iter().position(|row| row.is("via")).ok_or("no Via row")?;
    let (name, values, end) = pieces(&wants.rows[at].whole);
    if values.len() == 1 {
        wants.rows.remove(at);
    } else {
        let stays: Vec<_> = (0..values.len()).map(|number| number > 0).collect();
        wants.rows[at].whole = format!("{name}{}{end}", without(&values, &stays));
    }
    compare(&wants.text(), left)
}

/// Checks an answer of the relay's own to a request without a fault (§8.2.6.2): the request's Via, From,
/// To, Call-ID and `CSeq` as they came, but for what is noted in the topmost Via and a To tag, and
/// nothing else that a server could take for something.
pub(crate) fn check_answer(
    (came, reading): (&[u8], &Reading),
    (left, answer): (&[u8], &Reading),
    source: SocketAddr,
    force_rport: bool,
) -> Result<(), String> {
    let mut wants = message_of(came, reading)?;
    wants.rows.retain(|row| ["via", "from", "to", "call-id", "cseq"].iter().any(|n| row.is(n)));
    let via = reading.top_via.as_ref().ok_or("no Via")?;
    let row = wants.rows.iter_mut().find(|row| row.is("via")).ok_or("no Via row")?;
    row.whole = with_source(&row.whole, via, source, force_rport);

    let mut leaving = Parts::of(&text_of(left))?;
    let of_relay = ["unsupported", "retry-after", "content-length"];
    leaving.rows.retain(|row| !of_relay.iter().any(|name| row.is(name)));
    if reading.to_tag.is_none() && answer.start_line != (StartLine::Response { code: 100 }) {
        let tag =
            answer.to_tag.as_ref().filter(|tag| is_hex(tag, 16..=16)).ok_or("no To tag of ours")?;
        let row = wants.rows.iter_mut().find(|row| row.is("to")).ok_or("no To")?;
        row.whole = format!("{};tag={tag}\r\n", row.whole.trim_end_matches(BLANKS));
    }
    wants.first_line.clone_from(&leaving.first_line);
    wants.body.clear();
    compare(&wants.text(), &bytes_of(&leaving.text()))
}

/// The message without line ends before it and without what lies behind its body.
fn message_of(came: &[u8], reading: &Reading) -> Result<Parts, String> {
    if let Some(fault) = reading.fault {
        return Err(format!("forwarded in spite of its fault {fault:?}"));
    }
    Parts::of(&text_of(&came[..came.len() - reading.behind_body]))
}

/// What becomes of the Routes.
struct Plan {
    /// For each value, in order, whether it stays.
    stays: Vec<bool>,
    /// A further Route row, behind the last one.
    appended: Option<String>,
    /// The new Request-URI.
    request_uri: Option<String>,
}

/// §16.4 and §16.6 item 6.
fn plan_routes(reading: &Reading, routes: &[Route], relay: &Relay, how: &How) -> Plan {
    let StartLine::Request { uri: request_uri, .. } = &reading.start_line else {
        unreachable!("it is a request");
    };
    let mut plan = Plan { stays: vec![true; routes.len()], appended: None, request_uri: None };
    // A strict router before us has put our Route into the Request-URI.
    let holds_our_route =
        reading.uri.as_ref().is_some_and(|uri| relay.is_named_by(uri) && has_token(uri));
    if matches!(how, How::Token) && holds_our_route && !routes.is_empty() {
        let last = routes.len() - 1;
        plan.stays[last] = false;
        plan.request_uri = Some(routes[last].text.clone());
    }
    // Our own Routes on top.
    for (number, route) in routes.iter().enumerate() {
        if !plan.stays[number] || !relay.is_named_by(&route.uri) {
            break;
        }
        plan.stays[number] = false;
    }
    if matches!(how, How::Dispatched { .. }) && !relay.keeps_foreign_routes {
        plan.stays.fill(false);
    }
    // A strict router behind us wants to find itself in the Request-URI.
    if let Some(top) = plan.stays.iter().position(|stays| *stays)
        && !routes[top].is_loose
    {
        plan.stays[top] = false;
        let old = plan.request_uri.take().unwrap_or_else(|| request_uri.clone());
        plan.appended = Some(format!("Route: <{old}>\r\n"));
        plan.request_uri = Some(routes[top].text.clone());
    }
    plan
}

impl Relay<'_> {
    fn is_named_by(&self, uri: &Uri) -> bool {
        let is_same_host = |name: &str| match host_address(&uri.host) {
            Some(address) => host_address(name) == Some(address),
            None => name.eq_ignore_ascii_case(&uri.host),
        };
        let port = uri.port.unwrap_or(5060);
        uri.is_sip() && self.names.iter().any(|name| is_same_host(&name.0) && name.1 == port)
    }
}

/// A user part that has the form of a token: 60 to 112 hexadecimal digits, escaped or not.
fn has_token(uri: &Uri) -> bool {
    let user = uri.user.clone().unwrap_or_default();
    user.len() >= 60 && user.chars().all(|c| c.is_ascii_hexdigit() || c == '%')
}

/// The rows without the values that go. A row that is left empty goes as a whole; in others what
/// stays is as it came, and a comma stands between two values.
fn with_routes(rows: Vec<Row>, plan: &Plan) -> Vec<Row> {
    let last_row = rows.iter().rposition(|row| row.is("route"));
    let mut number = 0;
    let mut kept = Vec::new();
    for (at, mut row) in rows.into_iter().enumerate() {
        let template = row.clone();
        if row.is("route") {
            let (name, values, end) = pieces(&row.whole);
            let stays = &plan.stays[number..number + values.len()];
            number += values.len();
            row.whole = format!("{name}{}{end}", without(&values, stays));
            if stays.contains(&true) {
                kept.push(row);
            }
        } else {
            kept.push(row);
        }
        if Some(at) == last_row
            && let Some(appended) = &plan.appended
        {
            kept.push(Row { whole: appended.clone(), ..template });
        }
    }
    kept
}

/// What is left of a list. A value goes with its comma up to the next value; at the end of the list
/// it goes with the comma before it.
fn without(values: &[String], stays: &[bool]) -> String {
    let list = values.join(",");
    let mut places = Vec::new();
    let mut at = 0;
    for value in values {
        let start = at + value.len() - value.trim_start_matches(BLANKS).len();
        places.push((start, start + trim(value).len()));
        at += value.len() + 1;
    }
    let mut is_kept = vec![true; list.len()];
    for (number, _) in stays.iter().enumerate().filter(|(_, stays)| !**stays) {
        let gone = if stays[number..].contains(&true) {
            places[number].0..places[number + 1].0
        } else if number > 0 {
            places[number - 1].1..places[number].1
        } else {
            places[0].0..places[0].1
        };
        is_kept[gone].fill(false);
    }
    list.char_indices().filter(|(at, _)| is_kept[*at]).map(|(_, c)| c).collect()
}

/// `ds_select_domain`: host and port of a sip URI become the destination's.
fn rewritten(uri: &str, how: &How) -> String {
    let How::Dispatched { rewrite: Some(host_port) } = how else {
        return uri.to_owned();
    };
    if !Uri::read(uri).is_some_and(|uri| uri.is_sip()) {
        return uri.to_owned();
    }
    let start = uri.find('@').or_else(|| uri.find(':')).map_or(0, |at| at + 1);
    let end = uri[start..].find([';', '?']).map_or(uri.len(), |len| start + len);
    format!("{}{host_port}{}", &uri[..start], &uri[end..])
}

/// Puts a number in the place of the field's value.
fn set_value(rows: &mut [Row], long: &str, number: u32) {
    for row in rows.iter_mut().filter(|row| row.is(long)) {
        let (name, value) = row.whole.split_once(':').expect("a good row");
        let before = &value[..value.len() - value.trim_start_matches(BLANKS).len()];
        let after = &value[value.trim_end_matches(BLANKS).len()..];
        row.whole = format!("{name}:{before}{number}{after}");
    }
}

/// §18.2.1 and RFC 3581 §4: `rport` and `received` in the first value of the row, in their old
/// places or behind all other parameters.
fn with_source(row: &str, via: &Via, source: SocketAddr, force_rport: bool) -> String {
    let uses_port = force_rport || via.rport != Rport::Absent;
    let ip = source.ip();
    let is_same_host = host_address(&via.host) == Some(ip);
    // Without brackets as RFC 3261 writes it, and with them (RFC 5118 §4.5).
    let received = via.received.as_ref();
    let is_told =
        received.is_some_and(|text| host_address(text).or_else(|| text.parse().ok()) == Some(ip));
    let needs_received = (via.received.is_some() || uses_port || !is_same_host) && !is_told;

    let (name, values, end) = pieces(row);
    let mut parameters: Vec<String> =
        split_outside(&values[0], ';').into_iter().map(str::to_owned).collect();
    let mut set = |name: &str, new: String| {
        let is_it = |text: &&mut String| {
            trim(text.split('=').next().unwrap_or("")).eq_ignore_ascii_case(name)
        };
        if let Some(old) = parameters.iter_mut().skip(1).find(is_it) {
            *old = format!("{new}{}", &old[old.trim_end_matches(BLANKS).len()..]);
        } else {
            // Blanks at the end of the value stay at its end.
            let last = parameters.last_mut().expect("the sent-by");
            let blanks = last.split_off(last.trim_end_matches(BLANKS).len());
            parameters.push(format!("{new}{blanks}"));
        }
    };
    if uses_port && via.rport != Rport::Port(source.port()) {
        set("rport", format!("rport={}", source.port()));
    }
    if needs_received {
        set("received", format!("received={ip}"));
    }
    let first = parameters.join(";");
    let values: Vec<_> = std::iter::once(first).chain(values[1..].iter().cloned()).collect();
    format!("{name}{}{end}", values.join(","))
}

/// The address that a host is, an IPv6 address in brackets.
fn host_address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// The rows that the relay put on top of the `kept` ones, each checked for its form.
fn own_rows(
    left: &[Row],
    kept: usize,
    reading: &Reading,
    method: &str,
    relay: &Relay,
    how: &How,
) -> Result<Vec<Row>, String> {
    let via = left.first().ok_or("nothing but a first line left")?;
    if !is_own_via(via, relay.sent_by) {
        return Err(format!("the topmost row is not the relay's Via: {:?}", via.whole));
    }
    let written = |text: String| Row { whole: text, ..via.clone() };
    let mut added = Vec::new();
    if reading.max_forwards.is_none() {
        added.push(written("Max-Forwards: 70\r\n".into()));
    }
    if let (Some(max), None) = (relay.max_breadth, reading.max_breadth) {
        added.push(written(format!("Max-Breadth: {max}\r\n")));
    }

    // Only what begins a dialog is recorded, and only when it is dispatched.
    let never_begins_one =
        ["ACK", "CANCEL", "OPTIONS", "REGISTER", "MESSAGE", "PUBLISH"].contains(&method);
    let is_recorded =
        matches!(how, How::Dispatched { .. }) && reading.to_tag.is_none() && !never_begins_one;
    let records = &left[1..left.len().saturating_sub(kept + added.len()).max(1)];
    let wanted = if is_recorded { &relay.records[..] } else { &[] };
    if records.len() != wanted.len() {
        return Err(format!("{} Record-Routes, should be {wanted:?}", records.len()));
    }
    if let Some((other, wanted)) =
        records.iter().zip(wanted).find(|(row, sent_by)| !is_own_record(row, sent_by))
    {
        return Err(format!("not the Record-Route of {wanted}: {:?}", other.whole));
    }
    let token = |row: &Row| row.whole.split('@').next().map(str::to_owned);
    if records.iter().any(|row| token(row) != token(&records[0])) {
        return Err("its two Record-Routes differ in their tokens".into());
    }
    Ok([std::slice::from_ref(via), records, &added].concat())
}

fn is_own_via(row: &Row, sent_by: &str) -> bool {
    let value = row.whole.strip_prefix(&format!("Via: SIP/2.0/UDP {sent_by};branch=z9hG4bK"));
    value.and_then(|value| value.strip_suffix("\r\n")).is_some_and(|value| {
        let (branch, own) = value.split_once(";sw=").unwrap_or((value, ""));
        // Where overload control is used.
        let own = own.strip_suffix(";oc;oc-algo=\"loss\"").unwrap_or(own);
        // Of a try it also names the worker that has the transaction.
        is_hex(branch, 33..=33) && (is_hex(own, 58..=58) || is_hex(own, 64..=64))
    })
}

fn is_own_record(row: &Row, sent_by: &str) -> bool {
    let value = row.whole.strip_prefix("Record-Route: <sip:");
    value.and_then(|value| value.strip_suffix(";lr>\r\n")).is_some_and(|value| {
        let (token, host_port) = value.split_once('@').unwrap_or(("", value));
        is_hex(token, 60..=112) && sent_by == host_port
    })
}

fn is_hex(text: &str, len: std::ops::RangeInclusive<usize>) -> bool {
    len.contains(&text.len()) && text.chars().all(|c| "0123456789abcdef".contains(c))
}

/// A row as name and colon, the values of its list with the blanks around them, and its line end.
fn pieces(row: &str) -> (String, Vec<String>, &'static str) {
    let (name, value) = row.split_once(':').expect("a good row");
    let value = value.strip_suffix("\r\n").expect("a good row");
    let values = split_outside(value, ',').into_iter().map(str::to_owned).collect();
    (format!("{name}:"), values, "\r\n")
}

fn compare(wants: &str, left: &[u8]) -> Result<(), String> {
    let wants = bytes_of(wants);
    if wants == left {
        return Ok(());
    }
    let same = wants.iter().zip(left).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let (start, end) = (same.saturating_sub(60), (same + 60).min(bytes.len()));
        bytes[start.min(end)..end].escape_ascii().to_string()
    };
    Err(format!(
        "differs at byte {same}:\n  should be …{}…\n  but is    …{}…",
        around(&wants),
        around(left)
    ))
}
