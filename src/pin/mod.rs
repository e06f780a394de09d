//! What we chose before: the lock-free table of pins that all workers share.
//!
//! A *transaction pin*, keyed by our branch, sends copies of a request, its CANCEL and the ACK to
//! its non-2xx where the request went (RFC 3261 §16.11). A *call pin*, keyed by Call-ID and the
//! caller's tag, serves callers that ignore Record-Route. The table never grows and never blocks,
//! and a full bucket evicts: see `table`.

mod entry;
mod look;
mod memory;
#[cfg(all(test, not(loom)))]
mod stress;
mod table;

pub use entry::{Kind, Pin, State};
pub use look::{OpenInvites, Remembered};
pub use memory::PinMemory;
#[cfg(all(test, loom))]
pub(crate) use memory::WAYS;
pub(crate) use table::RETRY;
pub use table::{Claim, Claimed, PinCounters, PinTable};

use crate::destination::Slot;
use crate::limits::SLOTS_MAX;

/// The key of a pin: a keyed hash, so that outsiders cannot target a bucket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PinKey(pub u64);

/// Stored instead of a destination: we answered the request ourselves.
pub const ANSWERED_NO_DESTINATION: Slot = Slot(u16::MAX);
/// Stored instead of a destination: we answered 503.
pub const ANSWERED_UNAVAILABLE: Slot = Slot(u16::MAX - 1);
/// Stored instead of a destination: we answered that it was over a limit of calls per second.
pub const ANSWERED_OVER_RATE: Slot = Slot(u16::MAX - 3);
/// Stored instead of a destination: we answered that it was over a limit of calls in progress.
pub const ANSWERED_OVER_CALLS: Slot = Slot(u16::MAX - 4);
/// Stored instead of a destination: we answered that its source was over its limit.
pub const ANSWERED_OVER_SOURCE_RATE: Slot = Slot(u16::MAX - 5);
/// Stored instead of a destination: we answered that all destinations are overloaded.
pub const ANSWERED_OVERLOADED: Slot = Slot(u16::MAX - 6);
/// Stored instead of a destination: none is known.
pub const NO_SLOT: Slot = Slot(u16::MAX - 2);

/// Returns whether this number is a destination's and not reserved.
pub(crate) fn is_destination(slot: Slot) -> bool {
    usize::from(slot.0) < SLOTS_MAX
}
