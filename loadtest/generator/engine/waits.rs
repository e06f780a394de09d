//! How long things take on purpose, and what is waited for, in ns.

use crate::plan::Plan;

/// What both ends of a call know of the plan.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    /// A server rings this long before it answers, a caller that cancels before it does.
    pub(super) ring: u64,
    /// An answered call lasts this long.
    pub(super) talk: u64,
    /// A caller waits this long for a response, and then gives up.
    pub(super) patience: u64,
    /// Calls that have ended are remembered this long, for copies that come late.
    pub(super) linger: u64,
    /// Whether messages are sent again as RFC 3261 says.
    pub(super) retransmits: bool,
    /// RFC 3261 §17.1.1.1
    pub(super) t1: u64,
    /// RFC 3261 §17.1.2.2
    pub(super) t2: u64,
    /// With which code a busy server refuses.
    pub(super) refuse_code: u16,
    /// With which code a server fails.
    pub(super) fail_code: u16,
    /// Whether the outcome of each call is kept.
    pub(super) keeps_calls: bool,
    /// Whether both ends are here, so that times at one mean something at the other.
    pub(super) is_one_clock: bool,
}

impl Waits {
    pub(super) fn of(plan: &Plan) -> Self {
        let ns = |time: std::time::Duration| time.as_nanos() as u64;
        Self {
            ring: ns(plan.ring),
            talk: ns(plan.talk),
            patience: ns(plan.patience),
            linger: if plan.retransmits { ns(plan.patience) } else { LINGER },
            retransmits: plan.retransmits,
            t1: T1,
            t2: T2,
            refuse_code: plan.refuse_code,
            fail_code: plan.fail_code,
            keeps_calls: plan.keeps_calls,
            is_one_clock: !plan.servers.is_empty(),
        }
    }
}

const T1: u64 = 500_000_000;
const T2: u64 = 4_000_000_000;
const LINGER: u64 = 1_000_000_000;
