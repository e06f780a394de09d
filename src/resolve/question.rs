//! DNS questions, and what is known of each at some time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// One question: a record type and a name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Question {
    pub(super) kind: QuestionType,
    /// Fully qualified, in lower case, without the dot at its end.
    pub(super) name: String,
}

/// The record types that lead to servers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum QuestionType {
    Naptr,
    Srv,
    A,
    Aaaa,
}

/// The data of a record that matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Data {
    Naptr {
        order: u16,
        preference: u16,
        /// Its flags, service and regular expression, in capitals.
        flags: String,
        service: String,
        regexp: String,
        /// In lower case, without the dot at its end; empty for none.
        replacement: String,
    },
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        /// In lower case, without the dot at its end; empty for none.
        target: String,
    },
    Ip(IpAddr),
}

/// The answer of a name server.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// These records, valid for this many seconds; an empty list says that there are none.
    Records(Vec<Data>, Option<u32>),
    /// Nothing usable: silence, a refusal, an error.
    Failed(String),
}

/// What is known now.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The records of the last answer; `None` if there never was one.
    pub(super) records: Option<Arc<[Data]>>,
    /// Nobody answered the last time, so the records are older than they should be.
    pub(super) is_failing: bool,
    /// Until when it is not asked again.
    pub(super) until: Instant,
}

impl Question {
    pub(super) fn new(kind: QuestionType, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}
