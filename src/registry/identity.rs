//! Decides whether records of two loads are the same.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use crate::destination::{Record, SocketName};

/// Identifies a record across loads. Whatever else changes, it keeps its state, its turns and its
/// place in the round.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RecordIdentity {
    set: u32,
    uri: String,
    socket: Option<SocketName>,
    duid: Option<String>,
}

impl RecordIdentity {
    /// Returns the identity of this record.
    pub fn of(record: &Record) -> Self {
        Self {
            set: record.set,
            uri: record.uri.text.clone(),
            socket: record.attributes.socket,
            duid: record.attributes.duid.clone(),
        }
    }

    /// Returns the number of its set.
    pub fn set(&self) -> u32 {
        self.set
    }

    /// Returns its URI as listed.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns a short name for logs and lists: Kamailio's IUID. Here it is a hash and therefore
    /// the same in every process; among 10,000 records, two share one with a probability of 3 in
    /// 10^12.
    pub fn iuid(&self) -> String {
        // No secret key is needed: nobody gains from two destinations with the same name in a list.
        let mut hasher = SipHasher13::new();
        self.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
