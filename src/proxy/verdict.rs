//! The result for one datagram: a closed set, each with its counter's name.

use crate::destination::Slot;
use crate::pin;

/// The result for one datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The message is in the outbox.
    Forwarded(Forwarded),
    /// Our own response is in the outbox, and nothing else.
    Answered(Answer),
    /// Nothing is sent.
    Dropped(Reason),
    /// It belongs to the worker with this number, which decides about it.
    HandedOver(u16),
}

macro_rules! closed_set {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All members, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Returns the counter's name.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

closed_set! {
    /// How a forwarded message found its next hop.
    Forwarded {
        /// A request seen for the first time, to the destination chosen for it.
        Chosen = "chosen",
        /// A copy of an unanswered request whose destination has become inactive, to another one.
        Retried = "retried",
        /// A copy, CANCEL or ACK, to where its request went.
        Pinned = "pinned",
        /// By the token in our Record-Route.
        Token = "token",
        /// In a dialog without our Record-Route, by the call's pin.
        CallPin = "call_pin",
        /// To the destination that the Request-URI names.
        RequestUri = "request_uri",
        /// Of a request that nothing is remembered of, to the destination that the set's hash chooses
        /// for it.
        Hash = "hash",
        /// A response, along its next Via.
        Response = "response",
        /// A response whose server dropped our Via parameter.
        ViaParameterLost = "via_parameter_lost",
    }
}

closed_set! {
    /// Our own answers.
    Answer {
        /// 200 to an OPTIONS to us, or to the CANCEL of a request that we answered.
        Ok = "200",
        /// 400 Bad Request: a field that we use is malformed.
        BadRequest = "400",
        /// 403 Forbidden: a token that does not verify, a foreign Route, or a request from a destination.
        Forbidden = "403",
        /// No destination, by default 404.
        NoDestination = "no_destination",
        /// A call over the limit of calls per second of its set, or of each destination in it, by
        /// default 503.
        OverRate = "over_rate",
        /// A call over the limit of calls in progress of its set, or of each destination in it.
        OverCalls = "over_calls",
        /// A call whose source is over its limit of calls per second to each destination of the set
        /// that has room.
        OverSourceRate = "over_source_rate",
        /// 503 Service Unavailable: each destination that has room is overloaded, and asks for fewer
        /// requests (RFC 7339).
        Overloaded = "overloaded",
        /// 416 Unsupported URI Scheme: a `sips:` request that would leave over UDP.
        UnsupportedScheme = "416",
        /// 420 Bad Extension.
        BadExtension = "420",
        /// 481 Call/Transaction Does Not Exist.
        NoTransaction = "481",
        /// 483 Too Many Hops.
        TooManyHops = "483",
        /// 100 to a copy of a request whose transaction has no other response yet.
        Trying = "100",
        /// A copy of a request got the response of its transaction again.
        Repeated = "repeated",
        /// 408 Request Timeout: no destination answered an INVITE in time.
        Timeout = "408",
        /// 487 Request Terminated: an INVITE was cancelled, and its destination did not confirm that.
        Terminated = "487",
        /// 500 Server Internal Error: every destination that was tried has failed.
        Failed = "500",
        /// 440 Max-Breadth Exceeded (RFC 5393).
        BreadthExceeded = "440",
        /// 503 Service Unavailable: the relay is draining, or no destination for an OPTIONS.
        Unavailable = "503",
        /// 505 Version Not Supported.
        Version = "505",
        /// 513 Message Too Large: it would not fit a datagram after our edits.
        TooLarge = "513",
    }
}

impl Answer {
    /// Returns whether it refuses a call that is over a limit.
    pub const fn is_over_limit(self) -> bool {
        matches!(self, Self::OverRate | Self::OverCalls | Self::OverSourceRate)
    }
}

closed_set! {
    /// Why nothing was sent.
    Reason {
        /// An empty datagram, or only line ends.
        KeepAlive = "keep_alive",
        /// First octet 0 or 1: STUN (RFC 5626 §4.4.2).
        Stun = "stun",
        /// Not SIP at all.
        NotSip = "not_sip",
        /// The source is neither in `allow` nor a destination, and the message belongs to no call
        /// of ours.
        NotAllowed = "not_allowed",
        /// The datagram did not fit its slot.
        Truncated = "truncated",
        /// An ACK that would have been answered with an error, had it been another request.
        BadAck = "bad_ack",
        /// The ACK to a response of ours ends here.
        OwnAck = "own_ack",
        /// An ACK that belongs to nothing we know.
        StrayAck = "stray_ack",
        /// A malformed request that cannot be answered, because its Via is unreadable.
        Unanswerable = "unanswerable",
        /// A request so short that every answer would be longer ([`crate::limits::answer_max`]).
        TooShort = "too_short",
        /// A malformed response.
        MalformedResponse = "malformed_response",
        /// A response whose top Via is not ours (§18.1.2).
        ForeignVia = "foreign_via",
        /// A response whose top Via has our name but does not verify.
        ForgedVia = "forged_via",
        /// A response that ends here, because it has no next Via.
        NoNextVia = "no_next_via",
        /// A 100 whose server left out all Vias but ours: its request counts as answered.
        LoneTrying = "lone_100",
        /// The response to a probe of ours: the prober takes it.
        ProbeReply = "probe_reply",
        /// A response whose next Via names no address that may be sent to.
        BadNextVia = "bad_next_via",
        /// A response to a try that is no longer the current one.
        OtherTry = "other_try",
        /// It ends at its transaction: an ACK, a copy, a 100, the response to a CANCEL of ours.
        Absorbed = "absorbed",
        /// A final response after which its request goes to the next destination, or that is not the
        /// best.
        TriedNext = "tried_next",
        /// A response to a try whose transaction has ended.
        NoTransaction = "no_transaction",
        /// The worker that has the transactions of its call has too many messages waiting.
        OwnerBusy = "owner_busy",
        /// The message would not fit a datagram after our edits.
        TooLarge = "too_large",
        /// No listener can reach the next hop's address family.
        NoListener = "no_listener",
        /// A message that went through us too often in one pass.
        SelfLoop = "self_loop",
        /// A copy that arrived while another worker was choosing for the same request.
        PinContended = "pin_contended",
        /// A message whose pin names a destination that is too new for this worker's list: its copy
        /// will find it.
        ListBehind = "list_behind",
        /// A bug of ours: handling it panicked.
        Panicked = "panicked",
    }
}

impl Answer {
    /// Returns what is pinned instead of a destination for a request that we answer this way.
    pub(super) fn pinned(self) -> Slot {
        match self {
            Self::NoDestination => pin::ANSWERED_NO_DESTINATION,
            Self::OverRate => pin::ANSWERED_OVER_RATE,
            Self::OverCalls => pin::ANSWERED_OVER_CALLS,
            Self::OverSourceRate => pin::ANSWERED_OVER_SOURCE_RATE,
            Self::Overloaded => pin::ANSWERED_OVERLOADED,
            _ => pin::ANSWERED_UNAVAILABLE,
        }
    }

    /// Returns the answer to copies of a request for which this is pinned.
    pub(super) fn of_pin(slot: Slot) -> Self {
        match slot {
            pin::ANSWERED_NO_DESTINATION => Self::NoDestination,
            pin::ANSWERED_OVER_RATE => Self::OverRate,
            pin::ANSWERED_OVER_CALLS => Self::OverCalls,
            pin::ANSWERED_OVER_SOURCE_RATE => Self::OverSourceRate,
            pin::ANSWERED_OVERLOADED => Self::Overloaded,
            _ => Self::Unavailable,
        }
    }
}
