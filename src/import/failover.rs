//! Transactions and failure routes, as `forwarding` and `[dispatch.failover]`.

use super::draft::{Draft, quoted};
use super::lexer::Place;
use super::script::{Modparam, Script};

const SECTION: &str = "dispatch.failover";

/// Why a timer of transactions is not carried over.
pub(super) const NO_TIMERS: &str = "the timers are those of RFC 3261, but for first_response_ms, progress_ms and ringing_ms: [dispatch.failover]";

/// What the routes say of transactions.
#[derive(Debug, Default)]
pub(super) struct Relaying {
    /// The first `t_relay()`.
    pub(super) relay: Option<Place>,
    /// The first `ds_next_dst()` of a failure route, or the like.
    pub(super) next: Option<Place>,
    /// The codes of `t_check_status()` in failure routes; `None` for one that is no plain code.
    pub(super) codes: Vec<(Place, Option<u16>)>,
}

impl Relaying {
    /// Puts it into the draft.
    pub(super) fn put(&self, script: &Script, draft: &mut Draft) {
        let Some(relay) = self.relay else {
            draft.entries.retain(|entry| entry.section != SECTION);
            return;
        };
        draft.set("dispatch", "forwarding", quoted("stateful"), Some(relay), "t_relay()");
        if self.next.is_none() {
            let what = "no failure route calls ds_next_dst()";
            draft.set(SECTION, "tries", "1".into(), None, what);
        }
        for parameter in script.modparams_of("tm") {
            timer(parameter, draft);
        }
        self.put_codes(draft);
    }

    fn put_codes(&self, draft: &mut Draft) {
        if self.next.is_none() {
            return;
        }
        let mut codes = Vec::new();
        for (place, code) in &self.codes {
            match code {
                Some(code @ 300..=599) if !codes.contains(code) => codes.push(*code),
                Some(300..=599) => {}
                _ => {
                    let why = "not one code from 300 to 599: see [dispatch.failover] codes";
                    draft.left(*place, "t_check_status()", why);
                    return;
                }
            }
        }
        let Some((place, _)) = self.codes.first() else { return };
        codes.sort_unstable();
        let list: Vec<_> = codes.iter().map(u16::to_string).collect();
        draft.set(
            SECTION,
            "codes",
            format!("[{}]", list.join(", ")),
            Some(*place),
            "t_check_status()",
        );
    }
}

/// A timer of the transaction module.
fn timer(parameter: &Modparam, draft: &mut Draft) {
    let key = match parameter.name.as_str() {
        "fr_timer" => "first_response_ms",
        "fr_inv_timer" => "ringing_ms",
        _ => return,
    };
    if let Some(ms) = parameter.value.number() {
        let place = Some(parameter.place);
        draft.set(SECTION, key, ms.to_string(), place, parameter.shown("tm"));
    }
}

/// Returns whether [`Relaying`] carries over this parameter of the transaction module.
pub(super) fn is_carried(name: &str) -> bool {
    matches!(name, "fr_timer" | "fr_inv_timer")
}
