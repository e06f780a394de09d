//! Whom we may choose: the operator's records, the sets made of them, and the choice.

mod record;

pub use record::{
    Algorithm, Attributes, DestinationUri, Flags, Host, Record, Resolved, SocketName, UriError,
};

use crate::clock::Now;
use crate::pin::PinTable;
use crate::proxy::Listeners;

/// The destinations as the workers see them: finished and immutable.
#[derive(Debug, Default)]
pub struct Table {}

/// The control thread's side: it gives each destination its slot, keeps what must outlive a
/// reload, and builds the tables.
#[derive(Debug, Default)]
pub struct Registry {}

/// A load that cannot be taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// More addresses than there are slots.
    #[error("{wanted} destination addresses, but at most {max} fit: split the list over several relays", max = crate::limits::SLOTS_MAX)]
    TooMany {
        /// How many slots this load needs beside those still in quarantine.
        wanted: usize,
    },
    /// A `socket=` attribute that names none of our listeners.
    #[error("line {line}: socket={socket} is not one of our listeners ({listeners})")]
    NoSuchSocket {
        /// The line of the list.
        line: usize,
        /// What it says.
        socket: std::net::SocketAddr,
        /// What would be right.
        listeners: String,
    },
}

impl Registry {
    /// Builds the table for these records; nothing changes when it fails.
    pub fn load(
        &mut self,
        _now: Now,
        _records: &[Resolved],
        _listeners: &Listeners,
        _pins: &PinTable,
    ) -> Result<Table, Vec<LoadError>> {
        Ok(Table::default())
    }
}
