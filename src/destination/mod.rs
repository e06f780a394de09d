//! The destinations: the operator's records, the sets made of them, and how one is chosen.

mod flags;
pub mod hash;
mod record;
mod round_robin;
mod set;
mod table;
mod wheel;

pub use flags::{DestinationState, Flags};
pub use record::{
    Address, Algorithm, Attributes, DestinationUri, Host, Origin, Record, Resolved, SocketName,
    UriError,
};
pub use set::Set;
pub use table::{Destination, Known, NextHop, SourceMatch, Table};

pub(crate) use round_robin::{Place, RoundRobin, Turns};
pub(crate) use set::Chooser;
pub(crate) use table::Index;
pub(crate) use wheel::wheel;

/// The number of a destination in this process: of one URI, one socket and one resolved address in
/// one set.
///
/// Pins and our Via contain this number. It keeps its meaning until the destination is no longer
/// listed and every pin that can name it has expired; then the number is free for another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u16);
