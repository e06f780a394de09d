//! Requests with a Route of ours: what its token says, and the resulting next hop (RFC 3261 §16.4,
//! §16.12).

use std::net::SocketAddr;

use super::forward::Hop;
use super::neighbour;
use super::request::Request;
use super::verdict::{Forwarded, Reason, Verdict};
use super::{Arrival, Core, InDialog, Outbox, Policy, Prefix};
use crate::dialog::{Found, Speaker, Token};
use crate::limits::OWN_ROUTES_MAX;
use crate::message::{Span, StartLine, Uri, UriScheme, parse_ip};
use crate::pin::NO_SLOT;

/// What our own Routes said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialog {
    /// There was no token of ours: that proves nothing.
    Unproven,
    /// A token that verifies, and who sends the request.
    Verified(Speaker, Token),
    /// A token that does not verify.
    Forged,
    /// The route leads through us more often than we follow it in one pass.
    Loop,
}

impl Core {
    /// Removes our own Routes from the top and reads their tokens. The last one that verifies
    /// counts: it belongs to our Route that is nearest to the next hop.
    pub(super) fn take_own_routes(&mut self, at: &Arrival) -> Dialog {
        let mut dialog = self.undo_strict_routing(at);
        if matches!(dialog, Dialog::Forged) {
            return dialog;
        }
        let mut last_user: Option<&[u8]> = None;
        let mut taken = 0;
        while let Some((number, route)) = self.routes.top() {
            if !is_us(at, &route.parts) {
                break;
            }
            let user = route.parts.user.unwrap_or_default().of(at.bytes);
            self.routes.remove(number);
            // If the call changed listeners, we wrote the same token twice.
            if last_user.is_some_and(|last| !last.is_empty() && last.eq_ignore_ascii_case(user)) {
                continue;
            }
            taken += 1;
            if taken > OWN_ROUTES_MAX {
                return Dialog::Loop;
            }
            last_user = Some(user);
            match self.verify(at, user) {
                Found::NoToken => {}
                Found::Forged => return Dialog::Forged,
                Found::Verified(speaker, token) => dialog = Dialog::Verified(speaker, token),
            }
        }
        dialog
    }

    /// §16.4: undoes what a strict router before us did. It put our Route into the Request-URI, and
    /// the Request-URI at the end of the route.
    fn undo_strict_routing(&mut self, at: &Arrival) -> Dialog {
        let StartLine::Request { uri: request_uri, .. } = self.message.start_line else {
            return Dialog::Unproven;
        };
        let uri = self.message.uri;
        let Some(user) =
            uri.user.filter(|user| Token::looks_like(user.of(at.bytes)) && is_us(at, &uri))
        else {
            return Dialog::Unproven;
        };
        let (speaker, token) = match self.verify(at, user.of(at.bytes)) {
            Found::NoToken => return Dialog::Unproven,
            Found::Forged => return Dialog::Forged,
            Found::Verified(speaker, token) => (speaker, token),
        };
        if let Some((number, route)) = self.routes.last() {
            self.routes.remove(number);
            self.edits.replace(request_uri, route.uri.of(at.bytes));
            self.request_uri_edited = Some(route.uri);
        }
        Dialog::Verified(speaker, token)
    }

    fn verify(&self, at: &Arrival, user: &[u8]) -> Found {
        let of = |span: Option<Span>| span.unwrap_or_default().of(at.bytes);
        let message = &self.message;
        Token::verify(
            &at.shared.keys,
            user,
            of(message.call_id),
            of(message.from_tag),
            of(message.to_tag),
        )
    }

    /// Forwards a request whose token verified.
    pub(super) fn forward_by_token(
        &mut self,
        at: &Arrival,
        outbox: &mut Outbox,
        request: &Request,
        speaker: Speaker,
        token: Token,
    ) -> Verdict {
        // With equal tags the sender decides: a destination is the callee.
        let is_callee = match speaker {
            Speaker::Caller => false,
            Speaker::Callee => true,
            Speaker::Either => request.sender.is_some(),
        };
        let (address, listener_hash, slot) = if is_callee {
            let routed = request.sender.and_then(|_| self.routed_by_callee(at, &token));
            (routed.unwrap_or(token.response_address), token.arrival, NO_SLOT)
        } else {
            let known = at.snapshot.destinations.by_address(token.destination);
            let slot = known.map_or(NO_SLOT, |known| known.slot);
            let routed = self.routed_by_caller(at, &token);
            (routed.unwrap_or(token.destination), token.egress, slot)
        };
        let listeners = &at.shared.listeners;
        // The address in the token may have become our own since.
        if listeners.is_our_address(address.ip(), address.port()) {
            return Verdict::Dropped(Reason::SelfLoop);
        }
        let named = listeners
            .by_hash(listener_hash)
            .filter(|id| listeners.get(*id).local.is_ipv4() == address.is_ipv4());
        let Some(listener) = named.or_else(|| listeners.for_family(at.flow.listener, &address))
        else {
            return Verdict::Dropped(Reason::NoListener);
        };
        self.forward(at, outbox, request, Hop { address, listener, slot, how: Forwarded::Token })
    }

    /// Returns the next hop of a caller's request if its set follows the callers' routes. Only
    /// addresses that the operator listed are allowed; this machine itself only if the destination
    /// is on it.
    fn routed_by_caller(&self, at: &Arrival, token: &Token) -> Option<SocketAddr> {
        let destinations = &at.snapshot.destinations;
        let known = destinations.by_address(token.destination)?;
        let set = destinations.set_of(known.slot)?;
        if at.snapshot.set_policy(set).in_dialog != InDialog::Route {
            return None;
        }
        self.next_hop_address(at).filter(|address| {
            is_in(&at.snapshot.policy.in_dialog_to, *address)
                && (token.destination.ip().is_loopback() || !address.ip().is_loopback())
                && neighbour::may_send_to(*address, &at.shared.listeners)
        })
    }

    /// Returns the next hop of a callee's request along its route, if it may name that address:
    /// allowed, one host that is not us, and not inside a network if the caller is outside.
    fn routed_by_callee(&self, at: &Arrival, token: &Token) -> Option<SocketAddr> {
        let Policy { in_dialog_to, .. } = &at.snapshot.policy;
        self.next_hop_address(at).filter(|address| {
            is_in(in_dialog_to, *address)
                && !address.ip().is_loopback()
                && neighbour::may_send_to(*address, &at.shared.listeners)
                && (neighbour::is_private(token.response_address.ip())
                    || !neighbour::is_private(address.ip()))
        })
    }

    /// Returns the next Route, or else the Request-URI, if it is an address that some listener can
    /// reach.
    fn next_hop_address(&self, at: &Arrival) -> Option<SocketAddr> {
        let uri = match (self.routes.top(), self.request_uri_edited) {
            (Some((_, route)), _) => route.parts,
            (None, Some(edited)) => Uri::read(at.bytes, edited)?,
            (None, None) => self.message.uri,
        };
        if uri.scheme != UriScheme::Sip {
            return None;
        }
        let ip = parse_ip(uri.host.of(at.bytes))?.to_canonical();
        let address = SocketAddr::new(ip, uri.port_or_default());
        at.shared.listeners.for_family(at.flow.listener, &address).map(|_| address)
    }
}

fn is_in(prefixes: &[Prefix], address: SocketAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address.ip()))
}

fn is_us(at: &Arrival, uri: &Uri) -> bool {
    uri.scheme == UriScheme::Sip
        && at.shared.listeners.is_us(uri.host.of(at.bytes), uri.port_or_default())
}
