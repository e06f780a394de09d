//! The algorithms, by name and by Kamailio's number, and the settings that go with them.

use super::key::Part;

/// How a set chooses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Algorithm {
    /// By the Call-ID; Kamailio's algorithm 0.
    CallIdHash,
    /// By the URI in From; 1.
    FromHash,
    /// By the URI in To; 2.
    ToHash,
    /// By the Request-URI; 3.
    RequestUriHash,
    /// One after the other; 4.
    #[default]
    RoundRobin,
    /// By the user name in the credentials; without credentials, round robin; 5.
    AuthHash,
    /// At random; 6.
    Random,
    /// By what `hash_over` names; 7.
    KeyHash,
    /// The first one that can be chosen; 8.
    First,
    /// By `weight`; 9.
    Weight,
    /// The one with the fewest calls in progress; 10.
    CallLoad,
    /// By `rweight`; 11.
    RelativeWeight,
    /// Round robin among those with the highest priority, from which a long latency takes something
    /// away; 13.
    Latency,
    /// Round robin if all have the same priority and it is above 0, otherwise the first one; 14.
    RoundRobinOrFirst,
    /// By `weight` among those with the lowest priority number; 15.
    PriorityWeight,
    /// Round robin, with overload control; 64.
    OverloadControl,
    /// By `weight`, without bursts.
    Weighted,
    /// Of two at random, the one with fewer calls in progress.
    LeastCalls,
    /// Of two at random, the one that answers faster.
    Fastest,
    /// By a hash, such that a change of the list moves as few calls as possible.
    Consistent,
}

/// What becomes of a call when every destination of the best priority is at its limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SpillOver {
    /// It goes to the next priority.
    #[default]
    Next,
    /// It is refused.
    Never,
}

impl Choosing {
    /// Returns whether calls stay with the best priority.
    pub fn stays_in_tier(&self) -> bool {
        self.spill_over == SpillOver::Never
    }

    /// Returns whether calls in progress must be counted for it.
    pub fn counts_calls(&self) -> bool {
        self.algorithm.counts_calls() || self.load_factor() > 0
    }

    /// Returns `load_factor_percent` if the algorithm reads it, else 0.
    pub fn load_factor(&self) -> u32 {
        if self.algorithm.hashes() { self.load_factor_percent } else { 0 }
    }
}

impl Algorithm {
    /// All algorithms: name, and number in Kamailio.
    pub const ALL: &'static [(Self, &'static str, Option<u8>)] = &[
        (Self::CallIdHash, "call-id-hash", Some(0)),
        (Self::FromHash, "from-hash", Some(1)),
        (Self::ToHash, "to-hash", Some(2)),
        (Self::RequestUriHash, "request-uri-hash", Some(3)),
        (Self::RoundRobin, "round-robin", Some(4)),
        (Self::AuthHash, "auth-hash", Some(5)),
        (Self::Random, "random", Some(6)),
        (Self::KeyHash, "key-hash", Some(7)),
        (Self::First, "first", Some(8)),
        (Self::Weight, "weight", Some(9)),
        (Self::CallLoad, "call-load", Some(10)),
        (Self::RelativeWeight, "relative-weight", Some(11)),
        (Self::Latency, "latency", Some(13)),
        (Self::RoundRobinOrFirst, "round-robin-or-first", Some(14)),
        (Self::PriorityWeight, "priority-weight", Some(15)),
        (Self::OverloadControl, "overload-control", Some(64)),
        (Self::Weighted, "weighted", None),
        (Self::Consistent, "consistent", None),
        (Self::LeastCalls, "least-calls", None),
        (Self::Fastest, "fastest", None),
    ];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(known, ..)| *known == self).map_or("", |(_, name, _)| name)
    }

    /// Returns whether it goes by the calls in progress.
    pub fn counts_calls(self) -> bool {
        matches!(self, Self::CallLoad | Self::LeastCalls)
    }

    /// Returns whether it goes by how long destinations take to answer.
    pub fn reads_latency(self) -> bool {
        matches!(self, Self::Latency | Self::Fastest)
    }

    /// Returns whether it reads `hash_over`.
    pub fn reads_hash_over(self) -> bool {
        matches!(self, Self::KeyHash | Self::Consistent)
    }

    /// Returns whether it prefers some destinations by their priority.
    pub fn has_tiers(self) -> bool {
        matches!(self, Self::First | Self::RoundRobinOrFirst | Self::PriorityWeight | Self::Latency)
    }

    /// Returns whether it hashes something of the request.
    pub fn hashes(self) -> bool {
        matches!(
            self,
            Self::CallIdHash
                | Self::FromHash
                | Self::ToHash
                | Self::RequestUriHash
                | Self::AuthHash
                | Self::KeyHash
                | Self::Consistent
        )
    }

    /// Returns whether it reads `hash_user_only`.
    pub fn reads_user_only(self) -> bool {
        matches!(self, Self::FromHash | Self::ToHash | Self::RequestUriHash)
    }
}

/// The settings of a set's choice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Choosing {
    /// How destinations are chosen.
    pub algorithm: Algorithm,
    /// Choose as Kamailio does: with its order, its hash and its defects.
    pub is_kamailio: bool,
    /// What [`Algorithm::KeyHash`] and [`Algorithm::Consistent`] hash; empty if it is not set.
    pub hash_over: Vec<Part>,
    /// Hash only the user of a URI, not its host: Kamailio's `flags` 1.
    pub hash_user_only: bool,
    /// The last destination of the set is the last resort: it gets a request only if no other can be
    /// chosen.
    pub use_default: bool,
    /// How long a destination that came back takes less than its share, in milliseconds; 0 is not at
    /// all.
    pub slow_start_ms: u32,
    /// What becomes of a call when every destination of the best priority is at its limit.
    pub spill_over: SpillOver,
    /// The most calls in progress that a destination holds when a hash chooses, in percent of its even
    /// share; 0 is any number.
    pub load_factor_percent: u32,
}
