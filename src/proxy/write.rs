//! Writes a message that goes on: the received bytes with only the permitted edits. For a request
//! these are RFC 3261 §16.6, for a response §16.7 item 3.

use super::decision::{Hop, Request};
use super::neighbour;
use super::overload::OFFER;
use super::via_parameter::{Bound, OwnVia, Purpose, ViaParameter};
use super::{Arrival, Core, ForeignRoute, Rewrite, SetPolicy};
use crate::destination::Slot;
use crate::dialog::{Connection, Token, TokenText};
use crate::message::{Edits, MaxBreadth, Span, StartLine, UriScheme};
use crate::pin;
use crate::transaction::Form;

/// Max-Forwards for a request that has none, or one above 255 (§16.6 item 3).
const MAX_FORWARDS: u32 = 70;

impl Core {
    /// Collects the edits of a request; returns false if its top Via cannot be read. It has this form, or
    /// that of its set.
    pub(super) fn edit_request(
        &mut self,
        at: &Arrival,
        request: &Request,
        hop: &Hop,
        form_before: Option<Form>,
    ) -> bool {
        let Some((via, response_address)) = self.message.via.zip(self.response_address(at)) else {
            return false;
        };
        let policy = set_policy(at, hop);
        let form = form_before.or_else(|| policy.map(form));
        if form.is_some_and(|form| form.removes_routes) {
            self.routes.remove_all();
        }
        let has_record_route = policy.is_some_and(|policy| policy.record_route)
            && self.message.to_tag.is_none()
            && self.message.method.may_begin_dialog();
        let token = has_record_route.then(|| {
            let listeners = &at.shared.listeners;
            let token = Token {
                destination: hop.flow.peer,
                egress: listeners.hash_of(hop.flow.listener),
                response_address,
                arrival: listeners.hash_of(at.flow.listener),
                connection: self.connection(at),
            };
            token.sign_digest(&at.shared.keys, &self.dialog)
        });

        if !self.route_strictly(at, request.restored_uri) {
            if let Some(uri) = request.restored_uri
                && let StartLine::Request { uri: request_uri, .. } = self.message.start_line
            {
                self.edits.replace(request_uri, uri.of(at.bytes));
            } else if form.is_some_and(|form| form.rewrites_uri) {
                self.rewrite_domain(at, hop.slot);
            }
        }
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
        true
    }

    /// Collects the edit of a response: our Via goes. Returns false if it cannot be read.
    pub(super) fn edit_response(&mut self, at: &Arrival) -> bool {
        let Some(top) = self.message.top_via_whole(at.bytes) else {
            return false;
        };
        self.edits.remove(top);
        true
    }

    fn purpose(&self, arrival: u32, is_try: bool) -> Purpose {
        if is_try { Purpose::Try(arrival, self.owner()) } else { Purpose::Relayed(arrival) }
    }

    /// Returns the connection that the request arrived by.
    fn connection(&self, at: &Arrival) -> Option<Connection> {
        let number = at.flow.connection;
        (number != 0).then_some(Connection { epoch: self.epoch, number })
    }

    /// Inserts everything that we add right after the first line, so it is above all Vias and
    /// Record-Routes, wherever they are.
    fn insert_rows(
        &mut self,
        at: &Arrival,
        request: &Request,
        hop: &Hop,
        response_address: std::net::SocketAddr,
        token: Option<&TokenText>,
    ) {
        let listeners = &at.shared.listeners;
        let parameter = ViaParameter {
            incarnation: at.shared.incarnation,
            from_destination: request.from_destination,
            slot: hop.slot,
            sent_ms: at.now.ms() as u32,
            purpose: self.purpose(listeners.hash_of(at.flow.listener), request.is_try),
            connection: self.connection(at),
        };
        let sent_by = *listeners.sent_by_key(hop.flow.listener);
        let parameter = parameter.sign(
            &at.shared.keys,
            &OwnVia { branch: request.branch, sent_by },
            &Bound { response_address, dialog: &self.dialog },
        );
        let max_breadth =
            at.snapshot.policy.max_breadth.filter(|_| self.message.max_breadth.is_none());
        let controls_overload = at.controls_overload(hop.slot);
        let has_max_forwards = self.message.max_forwards.is_some();
        let texts = listeners.texts(hop.flow.listener);

        let place = Span::new(self.message.rows_start, self.message.rows_start);
        self.edits.replace_with(place, |edits| {
            edits.write(&texts.via);
            edits.write_fixed(&request.branch.text());
            edits.write_fixed(b";sw=");
            edits.write(parameter.as_bytes());
            if controls_overload {
                edits.write_fixed(OFFER);
            }
            edits.write_fixed(b"\r\n");
            if let Some(token) = token {
                write_record_route(edits, token, &texts.record_route_end);
                // Arrival and egress listener differ: write both, the egress on top.
                if hop.flow.listener != at.flow.listener {
                    let arrival = listeners.texts(at.flow.listener);
                    write_record_route(edits, token, &arrival.record_route_end);
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
    /// Request-URI at the end of the route. Returns whether there is one.
    fn route_strictly(&mut self, at: &Arrival, restored_uri: Option<Span>) -> bool {
        let StartLine::Request { uri: request_uri, .. } = self.message.start_line else {
            return false;
        };
        let strict = self.routes.top().filter(|(_, route)| !route.is_loose(at.bytes));
        let Some(((number, route), end_of_rows)) = strict.zip(self.routes.end_of_rows()) else {
            return false;
        };
        // With strict routers before and after us, the two swaps become one.
        let old = restored_uri.unwrap_or(request_uri).of(at.bytes);
        self.edits.replace_with(Span::new(end_of_rows, end_of_rows), |edits| {
            edits.write(b"Route: <");
            edits.write(old);
            edits.write(b">\r\n");
        });
        self.edits.replace(request_uri, route.uri.of(at.bytes));
        self.routes.remove(number);
        true
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

/// Returns the form of requests with these settings.
pub(super) fn form(policy: &SetPolicy) -> Form {
    Form {
        removes_routes: policy.foreign_route != ForeignRoute::Keep,
        rewrites_uri: policy.rewrite == Rewrite::Domain,
    }
}

/// Returns the settings of the set that this request is dispatched to: those of its destination's
/// set, so that a CANCEL and an ACK are written like their INVITE. `None` in a dialog.
fn set_policy<'a>(at: &Arrival<'a>, hop: &Hop) -> Option<&'a SetPolicy> {
    if !hop.rule.is_dispatched() {
        return None;
    }
    debug_assert!(pin::is_destination(hop.slot));
    let set = at.snapshot.destinations.set_of(hop.slot).unwrap_or_else(|| at.set_for_new());
    Some(at.snapshot.set_policy(set))
}

fn write_record_route(edits: &mut Edits, token: &TokenText, end: &[u8]) {
    edits.write_fixed(b"Record-Route: <sip:");
    edits.write(token.as_bytes());
    edits.write(end);
}
