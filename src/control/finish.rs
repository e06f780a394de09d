//! Graceful shutdown: the relay continues until the INVITEs that it has forwarded are answered.
//!
//! Only those INVITEs need this process, because their responses come back to its sockets. Requests
//! in a dialog carry all that is needed, so any relay with the same keys can forward them.

use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Relay;
use crate::limits::{LOOK_AGAIN, TIMER_B};
use crate::pin::OpenInvites;
use crate::transport::monotonic_now;

impl Relay {
    /// Waits for the INVITEs that have no final response now, and then one more second for the ACK
    /// to the last response. Waits at most 32 s ([`TIMER_B`]) for an unanswered INVITE and at most
    /// `grace` for a ringing one, and never longer than `grace` in all. Returns at once if `hurry`
    /// returns true.
    ///
    /// Everything else continues meanwhile, new calls too, but nothing that starts now is waited
    /// for.
    pub fn finish(&self, grace: Duration, mut hurry: impl FnMut() -> bool) {
        let begin = Instant::now();
        let pins = &self.inner.shared.pins;
        let mut invites = pins.open_invites(monotonic_now());
        self.say_that_it_ends(&invites, grace);
        let mut is_over = false;
        while !is_over {
            let is_open =
                invites.ringing > 0 || invites.unanswered > 0 && begin.elapsed() < TIMER_B;
            is_over = !is_open;
            let next_look = Instant::now() + LOOK_AGAIN;
            while Instant::now() < next_look {
                if hurry() || begin.elapsed() >= grace {
                    if is_open {
                        warn!("ending with {}", open(&invites));
                    }
                    return;
                }
                thread::sleep(LOOK_AGAIN / 50);
            }
            pins.look_again(monotonic_now(), &mut invites);
        }
    }

    fn say_that_it_ends(&self, invites: &OpenInvites, grace: Duration) {
        let new = if self.inner.in_force().is_draining() {
            "the relay is drained, so new requests get 503"
        } else {
            "new requests are served meanwhile"
        };
        let waits = if invites.ringing + invites.unanswered == 0 {
            "no INVITE waits for its final response".into()
        } else {
            let (open, grace) = (open(invites), grace.as_secs());
            format!("waits for {open}, at most {grace} s (grace_s)")
        };
        info!("ending: {waits}; {new}");
        self.inner.notices.stopping(format!("ending: {waits}"));
    }
}

fn open(invites: &OpenInvites) -> String {
    let OpenInvites { unanswered, ringing, .. } = invites;
    format!("INVITEs without a final response: {unanswered} unanswered, {ringing} ringing")
}
