//! What the world knows of each datagram besides its bytes: which transaction it belongs to and
//! which relays it has passed. The relays never see it; the observer uses it.

use std::net::SocketAddr;

use strowger::proxy::ListenerId;

pub(crate) type TxId = usize;
pub(crate) type CallId = usize;
pub(crate) type EndId = usize;
pub(crate) type RelayId = usize;

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
    pub(crate) truth: Truth,
}

#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) part: Part,
    /// The relays that the request passed on its way to whoever has it now, in order; a response
    /// goes back through them.
    pub(crate) passes: Vec<Pass>,
}

/// What it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Request(TxId),
    /// Of this party's to that transaction.
    Response(TxId, EndId),
    /// Our relay's own answer to that transaction, on its way back.
    Answer(TxId),
    Attack(usize),
}

/// How a request passed a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    pub(crate) relay: RelayId,
    /// The listener that it came in by.
    pub(crate) arrival: ListenerId,
    /// Where RFC 3261 §18.2.2 and RFC 3581 want its responses.
    pub(crate) back_to: SocketAddr,
    /// The listener that it left by.
    pub(crate) egress: ListenerId,
    pub(crate) next: SocketAddr,
    /// Which process of that relay it was, and which key it signed with.
    pub(crate) incarnation: u16,
    pub(crate) key_generation: u8,
}

/// What a transaction is to the relay.
#[derive(Clone, Debug)]
pub(crate) enum Class {
    /// Outside a dialog: to be dispatched.
    New,
    /// A question to the relay itself.
    AsksUs,
    Cancel(TxId),
    /// The ACK to a non-2xx.
    AckFailure(TxId),
    InDialog(InDialog),
}

#[derive(Clone, Debug)]
pub(crate) struct InDialog {
    /// How the request that began the dialog went.
    pub(crate) passes: Vec<Pass>,
    pub(crate) is_by_caller: bool,
    /// It carries the Routes that the relays wrote.
    pub(crate) is_routed: bool,
    /// The party that it is for.
    pub(crate) right: EndId,
    /// The address in the Request-URI, when it is one.
    pub(crate) target: Option<SocketAddr>,
}
