//! Whom we may choose: the operator's records, the sets made of them, and the choice.

mod record;
mod set;
mod table;

pub use record::{
    Algorithm, Attributes, DestinationUri, Flags, Host, Record, Resolved, SocketName, UriError,
};
pub use set::Set;
pub use table::{Destination, Known, SourceMatch, Table};

pub(crate) use set::{Place, Turns};

/// The number of a destination in this process: of one URI, one socket and one resolved address.
///
/// It is what pins and our Via carry. Its address never changes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u16);
