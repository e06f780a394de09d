//! What makes two records of two loads the same.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use crate::destination::{Record, SocketName};

/// A record as it is known from one load to the next: whatever else of it changes, its state, its
/// turns and its place in the round stay.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RecordIdentity {
    set: u32,
    uri: String,
    socket: Option<SocketName>,
    duid: Option<String>,
}

impl RecordIdentity {
    /// The identity of this record.
    pub fn of(record: &Record) -> Self {
        Self {
            set: record.set,
            uri: record.uri.text.clone(),
            socket: record.attributes.socket,
            duid: record.attributes.duid.clone(),
        }
    }

    /// A short name for it, in logs and lists: Kamailio's IUID. Here it is the same in every process,
    /// since it is a hash; among 10,000 records two share one with a probability of 3 in 10^12.
    pub fn iuid(&self) -> String {
        // The key is none: nobody gains by two destinations of the same name in a list.
        let mut hasher = SipHasher13::new();
        self.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}
