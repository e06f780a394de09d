//! What is known of the calls of a capture while it is replayed.

use std::collections::HashMap;
use std::net::SocketAddr;

use strowger::capture::pcap::Datagram;

use super::rewrite::{rows, with_rows};
use crate::sip::Message;

/// The calls so far.
pub(super) struct Session {
    /// Where the captured relay listened.
    at: Vec<SocketAddr>,
    /// By Call-ID.
    calls: HashMap<String, Call>,
    /// By Call-ID and `CSeq`: what left for a request.
    requests: HashMap<(String, String), Left>,
}

#[derive(Default)]
struct Call {
    /// Where the captured relay sent its requests, and where this one does.
    captured_server: Option<SocketAddr>,
    destination: Option<SocketAddr>,
    /// The Record-Routes that this relay wrote.
    routes: Vec<String>,
}

struct Left {
    to: SocketAddr,
    vias: Vec<String>,
    record_routes: Vec<String>,
}

/// A message as it would come to this relay.
pub(super) struct Arrival {
    /// The number of the listener.
    pub(super) listener: usize,
    pub(super) from: SocketAddr,
    pub(super) first_line: String,
    pub(super) bytes: Vec<u8>,
    call_id: String,
    cseq: String,
    is_request: bool,
}

impl Session {
    pub(super) fn new(at: Vec<SocketAddr>) -> Self {
        Self { at, calls: HashMap::new(), requests: HashMap::new() }
    }

    /// The message of this datagram as it would come to this relay; `None` if it would not.
    pub(super) fn arrival(&mut self, datagram: &Datagram) -> Option<Arrival> {
        let message = Message::read(&datagram.bytes)?;
        let call_id = message.row("Call-ID").unwrap_or_default().to_owned();
        let cseq = message.row("CSeq").unwrap_or_default().to_owned();
        let is_request = message.status().is_none();
        message.status().map(|_| ()).or_else(|| message.method().map(|_| ()))?;
        if self.at.contains(&datagram.from) {
            if is_request {
                self.calls.entry(call_id).or_default().captured_server = Some(datagram.to);
            }
            return None;
        }
        let listener = self.at.iter().position(|at| *at == datagram.to)?;
        let mut arrival = Arrival {
            listener,
            from: datagram.from,
            first_line: message.first_line.to_owned(),
            bytes: datagram.bytes.clone(),
            call_id,
            cseq,
            is_request,
        };
        if is_request {
            self.translate_request(&mut arrival);
        } else {
            self.translate_response(&mut arrival);
        }
        Some(arrival)
    }

    /// This relay has sent something because of it.
    pub(super) fn sent(&mut self, arrival: &Arrival, to: SocketAddr, bytes: &[u8]) {
        let is_request = Message::read(bytes).is_some_and(|message| message.status().is_none());
        if !arrival.is_request || !is_request {
            return;
        }
        let record_routes = rows(bytes, "Record-Route");
        let call = self.calls.entry(arrival.call_id.clone()).or_default();
        if !record_routes.is_empty() {
            // The first is the one that this relay wrote.
            call.routes = record_routes[..1].to_vec();
        }
        call.destination.get_or_insert(to);
        let key = (arrival.call_id.clone(), arrival.cseq.clone());
        self.requests.insert(key, Left { to, vias: rows(bytes, "Via"), record_routes });
    }

    /// A server answers what this relay sent it: with its Vias and Record-Routes, from its address.
    fn translate_response(&self, arrival: &mut Arrival) {
        let key = (arrival.call_id.clone(), arrival.cseq.clone());
        let Some(left) = self.requests.get(&key) else { return };
        arrival.from = left.to;
        arrival.bytes = with_rows(&arrival.bytes, "Via", &left.vias);
        arrival.bytes = with_rows(&arrival.bytes, "Record-Route", &left.record_routes);
    }

    /// The Routes of a dialog are those that this relay wrote, and a server speaks from where this
    /// relay has sent the call.
    fn translate_request(&self, arrival: &mut Arrival) {
        let Some(call) = self.calls.get(&arrival.call_id) else { return };
        if let (Some(captured), Some(destination)) = (call.captured_server, call.destination)
            && captured == arrival.from
        {
            arrival.from = destination;
        }
        let routes = rows(&arrival.bytes, "Route");
        if call.routes.is_empty() || !routes.iter().any(|route| self.is_captured(route)) {
            return;
        }
        let mut others: Vec<String> = call.routes.clone();
        others.extend(routes.into_iter().filter(|route| !self.is_captured(route)));
        arrival.bytes = with_rows(&arrival.bytes, "Route", &others);
    }

    /// Whether a Route names the captured relay. Its default port may be left out.
    fn is_captured(&self, route: &str) -> bool {
        let Some((_, rest)) = route.split_once("sip:") else { return false };
        let host = rest.split([';', '>', '?']).next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        self.at.iter().any(|at| {
            let text = at.to_string();
            let short = if at.port() == 5060 { text.strip_suffix(":5060") } else { None };
            host == text || Some(host) == short
        })
    }
}
