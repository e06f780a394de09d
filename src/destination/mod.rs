//! The destinations: the operator's records, the sets made of them, and how one is chosen.

mod algorithm;
mod budget;
mod choose;
mod even_share;
mod flags;
pub mod hash;
mod key;
mod load;
mod overload;
mod record;
mod set;
mod source_rates;
mod table;
mod turns;
mod wheel;

pub use algorithm::{Algorithm, Choosing, SpillOver};
pub use budget::Budget;
pub use choose::Ask;
pub use flags::{DestinationState, Flags};
pub use key::{HeaderField, Key, KeyHasher, Part, UriOf};
pub use load::{Limits, Load, Over, WHOLE_SHARE, default_burst};
pub use overload::{Asked, Overload};
pub use record::{
    Address, Attributes, DestinationUri, Host, Origin, Record, Resolved, SocketName, UriError,
};
pub use set::{Fit, Picked, Set};
pub use source_rates::{Pair, SourceRates};
pub use table::{Destination, Known, NextHop, SourceMatch, Table};

pub(crate) use choose::{Candidate, Chooser, Standing};
pub(crate) use even_share::EvenShares;
pub(crate) use key::identity;
pub(crate) use table::Index;
pub(crate) use turns::{Place, Turns};
pub(crate) use wheel::wheel;

/// The number of a destination in this process: of one URI, one socket and one resolved address in
/// one set.
///
/// Pins and our Via contain this number. It keeps its meaning until the destination is no longer
/// listed and every pin that can name it has expired; then the number is free for another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Slot(pub u16);
