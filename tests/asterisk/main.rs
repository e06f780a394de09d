//! Stateful sets with real servers: two Asterisk 22, of which one is killed now and then, and SIPp,
//! baresip and linphone as callers. tests/asterisk/run fetches Asterisk and runs this.

// What the tests of the relay's binary have and these do not need.
#[allow(dead_code, unused_imports)]
#[path = "../it/harness/mod.rs"]
mod harness;

mod asterisk;
mod calls;
mod failures;
mod phones;
