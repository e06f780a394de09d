//! What is in force, how it changes, and how the workers get it.

pub(super) mod change;
pub(super) mod in_force;
pub(super) mod low_priority;
pub(super) mod publisher;
