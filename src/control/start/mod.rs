//! What a start, a reload and a check have in common: reads the destinations, checks them against the
//! listeners, and describes the result.

pub(super) mod check;
pub(super) mod load;
pub(super) mod ready;
