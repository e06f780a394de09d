//! The operator's settings that the core follows. All are part of the snapshot, so a reload changes
//! them together.

use std::net::SocketAddr;
use std::sync::Arc;

use super::emergency::Emergency;
use super::prefix::Prefix;
use crate::destination::{Algorithm, Choosing, Limits, SourceMatch};
use crate::health::{Passive, Probing};
use crate::limits;
use crate::transaction::Failover;

/// A status code and reason phrase, for the responses that can be configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusLine {
    /// 400 to 699.
    pub code: u16,
    /// The reason phrase.
    pub reason: String,
}

/// The response to a call that is over a limit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OverLimit {
    /// Its first line.
    pub status: StatusLine,
    /// Its Retry-After in seconds; 0 leaves the field out.
    pub retry_after_s: u16,
}

/// What happens to someone else's Route in a request outside a dialog.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ForeignRoute {
    /// It is removed, as in Kamailio's sample configuration.
    #[default]
    Remove,
    /// It stays in the message, but is not followed.
    Keep,
    /// The request gets 403.
    Refuse,
}

/// What happens to the Request-URI of a request that goes to a destination.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Rewrite {
    /// It stays as it is, as with Kamailio's `ds_select_dst`.
    #[default]
    None,
    /// Its host and port become the destination's, as with `ds_select_domain`.
    Domain,
}

/// What happens to a request outside a dialog with a `sips:` Request-URI if it would be sent over
/// anything but TLS (RFC 3261 §26.2.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sips {
    /// It gets 416.
    #[default]
    Refuse,
    /// It is sent over UDP like any other.
    Forward,
}

/// Where the caller's requests in a dialog go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum InDialog {
    /// To the destination that took the call.
    #[default]
    Destination,
    /// To the next Route or the Request-URI, if it is an address in `in_dialog_to`.
    Route,
}

/// Settings of the whole relay.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who may send at all, besides destinations and participants in a call of ours. All other
    /// sources get no answer.
    pub allow: Vec<Prefix>,
    /// The set that requests are dispatched to.
    pub set: u32,
    /// Where a callee's request in a dialog may go, besides the caller's response address.
    pub in_dialog_to: Vec<Prefix>,
    /// What counts as coming from a destination.
    pub source_match: SourceMatch,
    /// Answer 200 to an OPTIONS to us even if no destination is active.
    pub options_always_ok: bool,
    /// Max-Breadth (RFC 5393 §5.3.3): the greatest value forwarded; `None` does not change the
    /// field.
    pub max_breadth: Option<u32>,
    /// Which calls are emergency calls.
    pub emergency: Emergency,
    /// Probes per second over all destinations.
    pub probes_per_second_max: u32,
    /// Some set forwards statefully, so each call belongs to one worker.
    pub is_stateful: bool,
    /// Some set uses overload control.
    pub controls_overload: bool,
}

/// Settings that each set may override.
#[derive(Clone, Debug)]
pub struct SetPolicy {
    /// How destinations are chosen.
    pub choosing: Choosing,
    /// Destinations may ask for fewer requests, with any algorithm (RFC 7339).
    pub overload_control: bool,
    /// Whether to add Record-Route.
    pub record_route: bool,
    /// The response if no destination is active.
    pub no_destination: StatusLine,
    /// The limits of the set as a whole.
    pub limits: Limits,
    /// The limit of the calls from each source to each destination: a rate only.
    pub source_limits: Limits,
    /// The response if a call is over a limit.
    pub over_limit: OverLimit,
    /// What happens to someone else's Route.
    pub foreign_route: ForeignRoute,
    /// What happens to the Request-URI.
    pub rewrite: Rewrite,
    /// What happens to a request for a `sips:` URI.
    pub sips: Sips,
    /// Where the caller's requests in a dialog go.
    pub in_dialog: InDialog,
    /// A copy of an unanswered request goes to another destination if the first one has become
    /// inactive. A stateful set does not need that.
    pub retry: bool,
    /// Requests are forwarded statefully, and how; `None` if statelessly.
    pub stateful: Option<Arc<Failover>>,
    /// How destinations are probed.
    pub probing: Arc<Probing>,
    /// How live traffic tells that a destination fails.
    pub passive: Arc<Passive>,
}

impl Default for Policy {
    fn default() -> Self {
        let everyone = vec![Prefix::ALL_IPV4, Prefix::ALL_IPV6];
        Self {
            in_dialog_to: everyone.clone(),
            allow: everyone,
            set: 1,
            source_match: SourceMatch::default(),
            options_always_ok: false,
            max_breadth: None,
            emergency: Emergency::default(),
            probes_per_second_max: limits::PROBES_PER_SECOND_DEFAULT,
            is_stateful: false,
            controls_overload: false,
        }
    }
}

impl Default for OverLimit {
    fn default() -> Self {
        let status = StatusLine { code: 503, reason: "Over limit".into() };
        Self { status, retry_after_s: 1 }
    }
}

impl Default for SetPolicy {
    fn default() -> Self {
        Self {
            choosing: Choosing::default(),
            overload_control: false,
            record_route: true,
            no_destination: StatusLine { code: 404, reason: "No destination".into() },
            limits: Limits::default(),
            source_limits: Limits::default(),
            over_limit: OverLimit::default(),
            foreign_route: ForeignRoute::default(),
            rewrite: Rewrite::default(),
            sips: Sips::default(),
            in_dialog: InDialog::default(),
            retry: true,
            stateful: None,
            probing: Arc::default(),
            passive: Arc::default(),
        }
    }
}

impl SetPolicy {
    /// Returns whether a request may get no destination, or another one than is chosen first, because
    /// of a limit of the set or of its sources, or because a destination asks for fewer.
    pub fn refuses_some(&self) -> bool {
        self.limits.is_any() || self.source_limits.is_any() || self.controls_overload()
    }

    /// Returns whether destinations may ask for fewer requests.
    pub fn controls_overload(&self) -> bool {
        self.overload_control || self.choosing.algorithm == Algorithm::OverloadControl
    }
}

impl Policy {
    /// Returns whether this source may send to us.
    pub fn allows(&self, source: &SocketAddr) -> bool {
        self.allow.iter().any(|prefix| prefix.contains(source.ip()))
    }
}
