//! Requests with a Route of ours: what its token says, and the resulting next hop (RFC 3261 §16.4,
//! §16.12).

use std::net::SocketAddr;

use super::decision::{Action, Hop, Request, Rule};
use super::neighbour;
use super::prefix::Prefix;
use super::verdict::Reason;
use super::{Arrival, Core, Flow, InDialog, Policy};
use crate::destination::Slot;
use crate::dialog::{Found, Speaker, Token};
use crate::limits::OWN_ROUTES_MAX;
use crate::message::{Span, Uri, UriScheme, parse_ip};
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
    /// Marks our own Routes at the top for removal and reads their tokens. The last one that verifies
    /// counts: it belongs to our Route that is nearest to the next hop.
    ///
    /// Also returns the Request-URI, if a strict router before us had put it elsewhere.
    pub(super) fn take_own_routes(&mut self, at: &Arrival) -> (Dialog, Option<Span>) {
        let user = self.strictly_routed_user(at);
        // A request outside a dialog has neither: nothing is copied.
        if user.is_none() && self.routes.is_empty() {
            return (Dialog::Unproven, None);
        }
        let (mut dialog, restored_uri) = match user {
            Some(user) => self.undo_strict_routing(at, user),
            None => (Dialog::Unproven, None),
        };
        if matches!(dialog, Dialog::Forged) {
            return (dialog, restored_uri);
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
                return (Dialog::Loop, restored_uri);
            }
            last_user = Some(user);
            match self.verify(at, user) {
                Found::NoToken => {}
                Found::Forged => return (Dialog::Forged, restored_uri),
                Found::Verified(speaker, token) => dialog = Dialog::Verified(speaker, token),
            }
        }
        (dialog, restored_uri)
    }

    /// §16.4: undoes what a strict router before us did. It put our Route into the Request-URI, and
    /// the Request-URI at the end of the route.
    fn undo_strict_routing(&mut self, at: &Arrival, user: Span) -> (Dialog, Option<Span>) {
        let (speaker, token) = match self.verify(at, user.of(at.bytes)) {
            Found::NoToken => return (Dialog::Unproven, None),
            Found::Forged => return (Dialog::Forged, None),
            Found::Verified(speaker, token) => (speaker, token),
        };
        let restored_uri = self.routes.last().map(|(number, route)| {
            self.routes.remove(number);
            route.uri
        });
        (Dialog::Verified(speaker, token), restored_uri)
    }

    /// Returns the user part of the Request-URI if that is a Route of ours.
    fn strictly_routed_user(&self, at: &Arrival) -> Option<Span> {
        let uri = &self.message.uri;
        uri.user.filter(|user| Token::looks_like(user.of(at.bytes)) && is_us(at, uri))
    }

    fn verify(&self, at: &Arrival, user: &[u8]) -> Found {
        Token::verify_digest(&at.shared.keys, user, |key_id| self.dialog_under(at, key_id))
    }

    /// Returns the next hop of a request whose token verified.
    pub(super) fn by_token(
        &self,
        at: &Arrival,
        request: &Request,
        speaker: Speaker,
        token: &Token,
    ) -> Action {
        // With equal tags the sender decides: a destination is the callee.
        let is_callee = match speaker {
            Speaker::Caller => false,
            Speaker::Callee => true,
            Speaker::Either => request.from_destination,
        };
        let next_hop = || self.next_hop_address(at, request);
        let (address, listener_hash, slot) = if is_callee {
            let may_route = request.from_destination;
            let routed = may_route.then(next_hop).flatten().filter(|to| by_callee(at, token, *to));
            (routed.unwrap_or(token.response_address), token.arrival, NO_SLOT)
        } else {
            let known = at.snapshot.destinations.by_address(token.destination);
            let slot = known.map_or(NO_SLOT, |known| known.slot);
            let may_route = follows_routes(at, slot);
            let routed = may_route.then(next_hop).flatten().filter(|to| by_caller(at, token, *to));
            (routed.unwrap_or(token.destination), token.egress, slot)
        };
        let listeners = &at.shared.listeners;
        // The address in the token may have become our own since.
        if listeners.is_our_address(address.ip(), address.port()) {
            return Action::Drop(Reason::SelfLoop);
        }
        let named = listeners
            .by_hash(listener_hash)
            .filter(|id| listeners.get(*id).local.is_ipv4() == address.is_ipv4());
        let Some(listener) = named.or_else(|| listeners.for_family(at.flow.listener, &address))
        else {
            return Action::Drop(Reason::NoListener);
        };
        let flow = Flow::new(listeners, listener, address);
        Action::Forward(*request, Hop { flow, slot, rule: Rule::Token })
    }

    /// Returns the next Route, or else the Request-URI, if it is an address that some listener can
    /// reach.
    fn next_hop_address(&self, at: &Arrival, request: &Request) -> Option<SocketAddr> {
        let uri = match (self.routes.top(), request.restored_uri) {
            (Some((_, route)), _) => route.parts,
            (None, Some(restored)) => Uri::read(at.bytes, restored)?,
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

/// Returns whether callers' requests to this destination follow their routes.
fn follows_routes(at: &Arrival, slot: Slot) -> bool {
    let set = at.snapshot.destinations.set_of(slot);
    set.is_some_and(|set| at.snapshot.set_policy(set).in_dialog == InDialog::Route)
}

/// Returns whether a caller's request may go to this address along its route. Only addresses that
/// the operator listed are allowed; this machine itself only if the destination is on it.
fn by_caller(at: &Arrival, token: &Token, to: SocketAddr) -> bool {
    is_in(&at.snapshot.policy.in_dialog_to, to)
        && (token.destination.ip().is_loopback() || !to.ip().is_loopback())
        && neighbour::may_send_to(to, &at.shared.listeners)
}

/// Returns whether a callee's request may go to this address along its route: allowed, one host that
/// is not us, and not inside a network if the caller is outside.
fn by_callee(at: &Arrival, token: &Token, to: SocketAddr) -> bool {
    let Policy { in_dialog_to, .. } = &at.snapshot.policy;
    is_in(in_dialog_to, to)
        && !to.ip().is_loopback()
        && neighbour::may_send_to(to, &at.shared.listeners)
        && (neighbour::is_private(token.response_address.ip()) || !neighbour::is_private(to.ip()))
}

fn is_in(prefixes: &[Prefix], address: SocketAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address.ip()))
}

fn is_us(at: &Arrival, uri: &Uri) -> bool {
    let host = uri.host.of(at.bytes);
    uri.scheme == UriScheme::Sip
        && at.shared.listeners.is_us_at(at.flow.listener, host, uri.port_or_default())
}
