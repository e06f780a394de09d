//! Whose call a destination refuses: two hashes, for whoever counts callers and called numbers.

use std::net::IpAddr;

use super::key::user_or_host;
use super::neighbour::next_via_address;
use super::{Arrival, Core};
use crate::destination::UriOf;

/// Who made a call that failed, and whom it was for. The hashes are keyed, so nobody can choose whom
/// a call looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FailedCall {
    /// Of the caller: the address that the call came from, and the user in From.
    pub caller: u64,
    /// Of the called number: the user in To.
    pub number: u64,
}

impl Core {
    /// Returns whose call this response refuses.
    #[cold]
    pub(super) fn failed_call(&self, at: &Arrival) -> FailedCall {
        let mut caller = at.shared.keys.caller();
        // The response goes to where the call came from.
        let via = self.message.next_via(at.bytes).and_then(Result::ok);
        match via.and_then(|via| next_via_address(&via, at.bytes)).map(|a| a.ip().to_canonical()) {
            Some(IpAddr::V4(ip)) => caller.field(&ip.octets()),
            // One sender has many addresses of one network.
            Some(IpAddr::V6(ip)) => caller.field(&ip.octets()[..8]),
            None => {}
        }
        caller.field(self.user_of(at, UriOf::From));
        let mut number = at.shared.keys.caller();
        number.field(self.user_of(at, UriOf::To));
        FailedCall { caller: caller.spread(), number: number.spread() }
    }

    fn user_of<'a>(&self, at: &Arrival<'a>, which: UriOf) -> &'a [u8] {
        let uri = self.uri_of(at.bytes, which);
        uri.map(|(span, uri)| user_or_host(at.bytes, span, &uri)).unwrap_or_default()
    }
}
