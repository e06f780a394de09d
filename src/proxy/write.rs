//! Writes a forwarded request (RFC 3261 §16.6): the received bytes with only the permitted edits.

use std::net::SocketAddr;

use super::branch::Branch;
use super::neighbour;
use super::request::Request;
use super::verdict::{Answer, Forwarded, Reason, Verdict};
use super::via_parameter::{Bound, ViaParameter};
use super::{Arrival, Cause, Core, Flow, ForeignRoute, ListenerId, Outbox, Rewrite};
use crate::destination::Slot;
use crate::dialog::{Token, TokenText};
use crate::limits;
use crate::message::{Edits, MaxBreadth, Method, Span, StartLine, UriScheme};

/// The next hop of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    pub(super) address: SocketAddr,
    /// The listener that sends it.
    pub(super) listener: ListenerId,
    /// The destination's slot, or [`crate::pin::NO_SLOT`].
    pub(super) slot: Slot,
    /// How the hop was found.
    pub(super) how: Forwarded,
}

/// Max-Forwards for a request that has none, or one above 255 (§16.6 item 3).
const MAX_FORWARDS: u32 = 70;

impl Core {
    pub(super) fn forward(
        &mut self,
        at: &Arrival,
        outbox: &mut Outbox,
        request: &Request,
        hop: Hop,
    ) -> Verdict {
        let Some((via, response_address)) = self.message.via.zip(self.response_address(at)) else {
            return Verdict::Dropped(Reason::Unanswerable);
        };
        // The set's policy applies to what is dispatched to the set: a request outside a dialog,
        // and its CANCEL and ACK, which must be written the same way.
        let is_dispatched = matches!(hop.how, Forwarded::Chosen | Forwarded::Pinned);
        let set_policy = at.snapshot.set_policy(at.snapshot.policy.set);
        if is_dispatched && set_policy.foreign_route != ForeignRoute::Keep {
            self.routes.remove_all();
        }
        if is_dispatched && set_policy.rewrite == Rewrite::Domain {
            self.rewrite_domain(at, hop.slot);
        }
        let has_record_route = is_dispatched
            && set_policy.record_route
            && self.message.to_tag.is_none()
            && request.method.may_begin_dialog();
        let token = has_record_route.then(|| self.token(at, hop, response_address));

        self.route_strictly(at);
        self.insert_rows(at, request, hop, response_address, token.as_ref());
        let force_rport = at.force_rport();
        neighbour::edit_top_via(&mut self.edits, at.bytes, at.flow.peer, &via, force_rport);
        if let Some((value, hops)) = self.message.max_forwards {
            let hops = hops.map_or(MAX_FORWARDS, |hops| u32::from(hops.saturating_sub(1)));
            self.edits.replace_with(value, |edits| edits.write_number(hops));
        }
        if let Some(max) = at.snapshot.policy.max_breadth
            && let Some(MaxBreadth::Is(value, breadth)) = self.message.max_breadth
            && breadth > max
        {
            self.edits.replace_with(value, |edits| edits.write_number(max));
        }
        self.routes.edit(&mut self.edits);

        if self.post(outbox, Flow::udp(hop.listener, hop.address)) {
            return Verdict::Forwarded(hop.how);
        }
        self.refuse_too_large(at, outbox)
    }

    /// Adds the edited message to the outbox; returns false if it does not fit.
    pub(super) fn post(&mut self, outbox: &mut Outbox, flow: Flow) -> bool {
        let (start, end) = (self.message.start, self.message.end);
        let is_applied = self.edits.apply(start, end, outbox, Outbox::received, Outbox::write);
        is_applied && outbox.finish(flow, Cause::Forward, payload_max(flow.peer))
    }

    fn refuse_too_large(&mut self, at: &Arrival, outbox: &mut Outbox) -> Verdict {
        outbox.clear();
        if self.message.method == Method::Ack {
            return Verdict::Dropped(Reason::TooLarge);
        }
        self.refuse(at, outbox, Answer::TooLarge)
    }

    fn token(&self, at: &Arrival, hop: Hop, response_address: SocketAddr) -> TokenText {
        let listeners = &at.shared.listeners;
        let token = Token {
            destination: hop.address,
            egress: listeners.hash_of(hop.listener),
            response_address,
            arrival: listeners.hash_of(at.flow.listener),
        };
        let of = |span: Option<Span>| span.unwrap_or_default().of(at.bytes);
        token.sign(&at.shared.keys, of(self.message.call_id), of(self.message.from_tag))
    }

    /// Inserts everything that we add right after the first line, so it is above all Vias and
    /// Record-Routes, wherever they are.
    fn insert_rows(
        &mut self,
        at: &Arrival,
        request: &Request,
        hop: Hop,
        response_address: SocketAddr,
        token: Option<&TokenText>,
    ) {
        let listeners = &at.shared.listeners;
        let egress = listeners.get(hop.listener).sent_by.as_bytes();
        let parameter = ViaParameter {
            incarnation: at.shared.incarnation,
            from_destination: request.sender.is_some(),
            slot: hop.slot,
            sent_ms: at.now.ms() as u32,
            arrival: listeners.hash_of(at.flow.listener),
        };
        let sent_by = listeners.sent_by_key(hop.listener).as_bytes();
        let of = |span: Option<Span>| span.unwrap_or_default().of(at.bytes);
        let bound = Bound {
            branch: request.branch,
            sent_by,
            response_address,
            call_id: of(self.message.call_id),
            from_tag: of(self.message.from_tag),
        };
        let parameter = parameter.sign(&at.shared.keys, &bound);
        let has_max_forwards = self.message.max_forwards.is_some();
        let max_breadth =
            at.snapshot.policy.max_breadth.filter(|_| self.message.max_breadth.is_none());

        let place = Span::new(self.message.rows_start, self.message.rows_start);
        self.edits.replace_with(place, |edits| {
            write_via(edits, egress, request.branch, &parameter);
            if let Some(token) = token {
                write_record_route(edits, token, egress);
                // Arrival and egress listener differ: write both, the egress on top.
                if hop.listener != at.flow.listener {
                    write_record_route(
                        edits,
                        token,
                        listeners.get(at.flow.listener).sent_by.as_bytes(),
                    );
                }
            }
            if !has_max_forwards {
                edits.write(b"Max-Forwards: ");
                edits.write_number(MAX_FORWARDS);
                edits.write(b"\r\n");
            }
            if let Some(breadth) = max_breadth {
                edits.write(b"Max-Breadth: ");
                edits.write_number(breadth);
                edits.write(b"\r\n");
            }
        });
    }

    /// §16.6 item 6: a next Route without `lr` expects its URI in the Request-URI, and the
    /// Request-URI at the end of the route.
    fn route_strictly(&mut self, at: &Arrival) {
        let StartLine::Request { uri: request_uri, .. } = self.message.start_line else {
            return;
        };
        let Some((number, route)) =
            self.routes.top().filter(|(_, route)| !route.is_loose(at.bytes))
        else {
            return;
        };
        let Some(end_of_rows) = self.routes.end_of_rows() else {
            return;
        };
        // With strict routers before and after us, the two swaps become one.
        let old = self.request_uri_edited.unwrap_or(request_uri).of(at.bytes);
        self.edits.replace_with(Span::new(end_of_rows, end_of_rows), |edits| {
            edits.write(b"Route: <");
            edits.write(old);
            edits.write(b">\r\n");
        });
        self.edits.retract(request_uri);
        self.edits.replace(request_uri, route.uri.of(at.bytes));
        self.routes.remove(number);
    }

    /// Sets the host and port of the Request-URI to the destination's, like `ds_select_domain`.
    fn rewrite_domain(&mut self, at: &Arrival, slot: Slot) {
        let uri = self.message.uri;
        if let Some(destination) = at.snapshot.destinations.get(slot)
            && uri.scheme == UriScheme::Sip
        {
            let place = Span::new(uri.host.start(), uri.host_port_end);
            self.edits.replace(place, destination.host_port.as_bytes());
        }
    }
}

/// Returns the largest UDP payload that can be sent to this address.
pub(super) fn payload_max(address: SocketAddr) -> usize {
    if address.is_ipv4() { limits::PAYLOAD_IPV4_MAX } else { limits::PAYLOAD_IPV6_MAX }
}

fn write_via(edits: &mut Edits, sent_by: &[u8], branch: Branch, parameter: &[u8]) {
    edits.write(b"Via: SIP/2.0/UDP ");
    edits.write(sent_by);
    edits.write(b";branch=");
    edits.write(&branch.text());
    edits.write(b";sw=");
    edits.write(parameter);
    edits.write(b"\r\n");
}

fn write_record_route(edits: &mut Edits, token: &TokenText, sent_by: &[u8]) {
    edits.write(b"Record-Route: <sip:");
    edits.write(token.as_bytes());
    edits.write(b"@");
    edits.write(sent_by);
    edits.write(b";lr>\r\n");
}
