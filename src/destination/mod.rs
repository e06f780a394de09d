//! Whom we may choose: the operator's records, the sets made of them, and the choice.

mod flags;
pub mod hash;
mod record;
mod set;
mod table;
mod wheel;

pub use flags::{Flags, State};
pub use record::{
    Address, Algorithm, Attributes, DestinationUri, Host, Origin, Record, Resolved, SocketName,
    UriError,
};
pub use set::Set;
pub use table::{Destination, Known, SourceMatch, Table};

pub(crate) use set::{Place, Turns};
pub(crate) use wheel::wheel;

/// The number of a destination in this process: of one URI, one socket and one resolved address.
///
/// It is what pins and our Via carry. Its address never changes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u16);
