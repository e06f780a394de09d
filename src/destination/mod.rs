//! The destinations: the operator's records, the sets made of them, and how one is chosen.

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
/// Pins and our Via contain this number. Its address never changes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u16);
