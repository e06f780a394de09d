//! What the core tells of a datagram, or of what is due, besides its verdict.

use std::net::SocketAddr;

use super::failed_call::FailedCall;
use crate::destination::Slot;
use crate::message::Method;
use crate::transaction::Left;

/// Something that others want to know of: the dispatch log, the counters of destinations, the prober.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A new request got a destination. It is told before the request is edited.
    Dispatched(Dispatched<'a>),
    /// A try of a stateful set was left.
    Left(LeftTry<'a>),
    /// A destination answered a request that we relayed.
    Heard(Heard),
    /// A probe of ours was answered.
    ProbeAnswered(ProbeAnswer),
}

/// A new request that got a destination.
#[derive(Clone, Copy, Debug)]
pub struct Dispatched<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The Request-URI.
    pub request_uri: &'a [u8],
    /// The whole From value.
    pub from: &'a [u8],
    /// The whole To value.
    pub to: &'a [u8],
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The URI of the destination.
    pub destination: &'a str,
    /// The slot of the destination.
    pub slot: Slot,
    /// The address that the request came from.
    pub source: SocketAddr,
    /// It is an INVITE.
    pub is_invite: bool,
}

/// A try that was left: no response to it went to the caller as the final one.
#[derive(Clone, Copy, Debug)]
pub struct LeftTry<'a> {
    /// The request, and the destination that was left.
    pub of: Dispatched<'a>,
    /// Why it was left.
    pub why: Left,
    /// Milliseconds since the request was first sent to this destination.
    pub after_ms: u32,
}

/// A response from a destination to a request that we relayed. Every copy of a response is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Heard {
    /// The destination that the request was sent to.
    pub slot: Slot,
    /// The method of the request.
    pub method: Method,
    /// The status code.
    pub code: u16,
    /// The request was new and had no response before. Its copies never count again.
    pub is_first: bool,
    /// The request was new and had no final response before this one.
    pub is_final: bool,
    /// Milliseconds since the request, or its last copy, was sent; `None` if we do not know.
    pub age_ms: Option<u32>,
    /// Retry-After of a first final response with code 503, in seconds.
    pub retry_after_s: Option<u32>,
    /// Whose call it was if it is a first final response to an INVITE with a code of 5xx.
    pub failed: Option<FailedCall>,
}

impl Heard {
    /// Returns whether it is the final response to a call, with a code of 5xx.
    pub fn is_failed_call(&self) -> bool {
        self.is_final && self.method == Method::Invite && (500..600).contains(&self.code)
    }
}

/// The response to a probe of ours: its Via verifies, and this process sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProbeAnswer {
    /// The number of the probe.
    pub number: u32,
    /// The status code.
    pub code: u16,
    /// Milliseconds since the probe was sent.
    pub age_ms: u32,
    /// Retry-After in seconds if the code is 503.
    pub retry_after_s: Option<u32>,
    /// The address that it came from, which may differ from the one that the probe was sent to.
    pub source: SocketAddr,
}

/// The machine reported that something could not be delivered to this address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unreachable {
    /// The address. Several destinations may have it.
    pub address: SocketAddr,
    /// The destination that the message was sent to if it is proven, else the first with this
    /// address.
    pub slot: Slot,
    /// The error number, `ECONNREFUSED` or the like.
    pub errno: i32,
    /// The report quotes a message that this process has just sent to that destination, which is
    /// proven by the tag of our Via. Anybody can forge a report without that proof.
    pub is_proven: bool,
    /// The number of the probe if the proven quote is one.
    pub probe: Option<u32>,
    /// The worker that has the transaction if the proven quote is a try of one, and it is another than
    /// this.
    pub owner: Option<u16>,
}
