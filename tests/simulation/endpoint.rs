//! A caller or a server below its user: RFC 3261's transactions with their timers (§17), and
//! dialogs (§12).

use std::net::SocketAddr;

use crate::sip::{Sip, Spelling, sent_by, tag};
use crate::truth::{CallId, EndId, InDialog, Pass, TxId};

pub(crate) const T1: u64 = 500;
pub(crate) const T2: u64 = 4_000;
/// Timers B, F and H.
pub(crate) const TRANSACTION_MS: u64 = 64 * T1;
/// A caller lets nobody ring for longer.
pub(crate) const RINGING_MS: u64 = 240_000;

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: EndId,
    pub(crate) name: String,
    pub(crate) is_server: bool,
    /// Where it is reached.
    pub(crate) address: SocketAddr,
    /// Where its datagrams come from: not the same behind a NAT.
    pub(crate) source: SocketAddr,
    /// What it writes in Via.
    pub(crate) via_host: String,
    pub(crate) has_rport: bool,
    /// It is not older than RFC 3261.
    pub(crate) has_branch: bool,
    pub(crate) contact: String,
    pub(crate) follows_record_route: bool,
    pub(crate) is_behind_nat: bool,
    pub(crate) spelling: Spelling,
    pub(crate) vias: ViaHabit,
    /// How much less it asks for, in percent, of a relay that offers that.
    pub(crate) asks: Option<u8>,
    /// The relay's listener that it sends to when no Route says otherwise.
    pub(crate) home: SocketAddr,
    pub(crate) clients: Vec<Client>,
    pub(crate) served: Vec<Served>,
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) branches: u32,
}

/// What a server makes of the Vias in its responses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ViaHabit {
    Keeps,
    /// Parameters that it does not know are gone.
    Drops,
    Reorders,
    /// In capitals, and reordered.
    Shouts,
}

/// A client transaction.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) tx: TxId,
    pub(crate) call: CallId,
    pub(crate) purpose: Purpose,
    pub(crate) request: Sip,
    pub(crate) bytes: Vec<u8>,
    pub(crate) to: SocketAddr,
    pub(crate) started: u64,
    pub(crate) interval: u64,
    pub(crate) state: ClientState,
    /// The ACKs that answer copies of final responses: dialog, transaction, bytes, next hop.
    pub(crate) acks: Vec<(usize, TxId, Vec<u8>, SocketAddr)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClientState {
    Calling,
    Proceeding,
    Done,
}

/// Why a request was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    Initial,
    Cancel,
    /// A step of the plan in the early dialog, or in the dialog.
    Step {
        is_early: bool,
        dialog: usize,
    },
    /// Ends a dialog that nobody wants.
    Tidy,
}

/// A server transaction.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) tx: TxId,
    pub(crate) call: CallId,
    pub(crate) request: Sip,
    pub(crate) key: (String, String),
    pub(crate) method: String,
    pub(crate) passes: Vec<Pass>,
    pub(crate) back_to: SocketAddr,
    pub(crate) last: Option<Vec<u8>>,
    pub(crate) final_code: Option<u16>,
    pub(crate) is_acked: bool,
    pub(crate) answered_at: u64,
    pub(crate) interval: u64,
    /// Where its request came from.
    pub(crate) source: SocketAddr,
}

#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call: CallId,
    pub(crate) is_callers: bool,
    pub(crate) call_id: String,
    /// From and To of the requests sent in it.
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) routes: Vec<String>,
    pub(crate) target: String,
    pub(crate) cseq: u32,
    pub(crate) passes: Vec<Pass>,
    pub(crate) peer: EndId,
    pub(crate) is_established: bool,
}

impl Endpoint {
    /// The Via of a new request.
    pub(crate) fn new_via(&mut self) -> String {
        self.branches += 1;
        let mut via = format!("SIP/2.0/UDP {}", self.via_host);
        if self.has_rport {
            via.push_str(";rport");
        }
        if self.has_branch {
            via.push_str(&format!(";branch=z9hG4bK-{}-{}", self.name, self.branches));
        } else {
            // An old stack's branch tells transactions apart for itself only.
            via.push_str(&format!(";x={}", self.branches));
        }
        via
    }

    /// The client transaction that a response belongs to (§17.1.3).
    pub(crate) fn client_of(&self, response: &Sip) -> Option<usize> {
        let branch = response.branch();
        let (number, method) = response.cseq();
        self.clients.iter().position(|client| {
            let request = &client.request;
            request.get("Call-ID") == response.get("Call-ID")
                && request.cseq() == (number, method)
                && if self.has_branch {
                    request.branch() == branch
                } else {
                    // Two dialogs of one call may use the same number.
                    let own = tag(request.get("To"));
                    own.is_empty() || own.eq_ignore_ascii_case(tag(response.get("To")))
                }
        })
    }

    /// The server transaction of a request (§17.2.3); an ACK's is its INVITE's.
    pub(crate) fn served_by(&self, request: &Sip) -> Option<usize> {
        let key = key_of(request);
        let method = if request.method() == "ACK" { "INVITE" } else { request.method() };
        self.served.iter().position(|served| served.key == key && served.method == method)
    }

    /// The dialog that a request belongs to, as this side sees it.
    pub(crate) fn dialog_of(&self, request: &Sip) -> Option<usize> {
        let (own, other) = (tag(request.get("To")), tag(request.get("From")));
        self.dialogs.iter().position(|dialog| {
            dialog.call_id == request.get("Call-ID")
                && tag(&dialog.local).eq_ignore_ascii_case(own)
                && tag(&dialog.remote).eq_ignore_ascii_case(other)
        })
    }
}

impl Dialog {
    /// What a request in it is to the relays.
    pub(crate) fn class(&self, is_routed: bool) -> InDialog {
        InDialog {
            passes: self.passes.clone(),
            is_by_caller: self.is_callers,
            is_routed,
            right: self.peer,
            target: crate::sip::host_port(&self.target).parse().ok(),
        }
    }
}

/// Branch and sent-by of the topmost Via.
pub(crate) fn key_of(request: &Sip) -> (String, String) {
    (request.branch(), request.sent_by().to_ascii_lowercase())
}

/// Where a response with this topmost Via goes (§18.2.2): to the packet's source, at the port of
/// sent-by.
pub(crate) fn response_address(via: &str, source: SocketAddr) -> SocketAddr {
    if crate::sip::parameter(via, "rport").is_some() {
        return source;
    }
    let written = sent_by(via);
    let port = written
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'))
        .and_then(|(_, port)| port.parse().ok());
    SocketAddr::new(source.ip(), port.unwrap_or(5060))
}
