//! The calls that must succeed: SIPp calls through the relay until they are stopped.

use super::arena::{Arena, CALLER, RELAY};
use super::harness::Sipp;
use super::harness::sipp::{Outcome, Running};

/// SIPp at work.
pub(super) struct Calls(Running);

impl Calls {
    /// Begins with this many calls a second.
    pub(super) fn begin(arena: &Arena, per_second: u64) -> Self {
        let rate = per_second.to_string();
        Self(
            Sipp::scenario("uac_call")
                .inside(&arena.caller)
                .at(CALLER.into())
                .with(&[&RELAY.to_string(), "-r", &rate, "-d", "200", "-timeout", "300"])
                // A call that is lost for good ends after 10 s.
                .with(&["-recv_timeout", "10000"])
                .start(),
        )
    }

    /// Begins no more, waits for the rest, and says what came of them.
    pub(super) fn end(self) -> Outcome {
        self.0.stop()
    }
}
