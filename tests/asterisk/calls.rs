//! Every kind of call through a stateful set of two Asterisks. Every second call is at the other one.

use crate::asterisk::{Asterisk, Service, list, pair};
use crate::harness::relay::Summary;
use crate::harness::sipp::Outcome;
use crate::harness::{Relay, Sipp};

const ANSWERS: &[&str] = &["Answer()", "Wait(60)"];

/// What came of some calls.
struct Calls {
    caller: Outcome,
    summary: Summary,
    /// Kept so that their files are there until all is asserted.
    _servers: [Asterisk; 2],
}

/// Ten calls by this scenario, which all have to succeed.
fn calls(scenario: &str, service: Service) -> Calls {
    let servers = pair(service);
    let config = "[dispatch]\nforwarding = \"stateful\"\n";
    let relay = Relay::with_list(&list(&servers)).config(config).start();
    let caller = Sipp::scenario(scenario)
        .calls(relay.address(), CALLS, 10)
        .with(&["-d", "200", "-au", "caller", "-ap", "secret"])
        .run();
    caller.assert_all_succeeded(CALLS);
    let summary = relay.stop();
    // Nobody failed, so nobody was tried in vain.
    summary.assert(&[("transactions.further_tries", 0), ("transactions.none_left", 0)]);
    Calls { caller, summary, _servers: servers }
}

fn steps(steps: &'static [&'static str]) -> Service {
    Service { steps, challenges: None }
}

impl Calls {
    /// Each server took half of them.
    fn assert_halves(&self) {
        let taken = self.caller.taken_by();
        let of = |name| taken.iter().filter(|taken| **taken == name).count() as u64;
        assert_eq!((of("ms1"), of("ms2")), (CALLS / 2, CALLS / 2), "{taken:?}");
    }

    /// So many INVITEs outside a dialog, and so many other messages by our Record-Route.
    fn assert_counts(&self, chosen: u64, by_token: u64) {
        self.summary.assert(&[("chosen", chosen), ("token", by_token)]);
    }
}

#[test]
fn the_caller_hangs_up() {
    let calls = calls("uac_call", steps(ANSWERS));
    calls.assert_halves();
    calls.caller.assert_stayed(CALLS as usize);
    // ACK and BYE.
    calls.assert_counts(CALLS, 2 * CALLS);
}

#[test]
fn the_server_hangs_up() {
    let calls = calls("uac_hung_up", steps(&["Answer()", "Wait(0.3)", "Hangup()"]));
    calls.assert_halves();
    calls.assert_counts(CALLS, 2 * CALLS);
}

#[test]
fn early_media() {
    let calls =
        calls("uac_early_media", steps(&["Progress()", "Wait(0.3)", "Answer()", "Wait(60)"]));
    calls.assert_halves();
    calls.assert_counts(CALLS, 2 * CALLS);
}

#[test]
fn a_reliable_183_is_acknowledged_by_prack() {
    let calls = calls("uac_prack", steps(&["Progress()", "Wait(0.3)", "Answer()", "Wait(60)"]));
    calls.assert_halves();
    // PRACK, ACK and BYE.
    calls.assert_counts(CALLS, 3 * CALLS);
}

#[test]
fn hold_and_unhold() {
    let calls = calls("uac_hold", steps(ANSWERS));
    calls.assert_halves();
    // ACK, two times INVITE and ACK, BYE.
    calls.assert_counts(CALLS, 6 * CALLS);
}

#[test]
fn a_session_is_refreshed_by_update() {
    let calls = calls("uac_refresh", steps(ANSWERS));
    calls.assert_halves();
    // ACK, UPDATE and BYE.
    calls.assert_counts(CALLS, 3 * CALLS);
}

/// The INVITE with credentials goes to the server that has asked for them.
#[test]
fn digest_for_calls() {
    let service = Service { steps: ANSWERS, challenges: Some("caller") };
    let calls = calls("uac_auth", service);
    calls.assert_halves();
    calls.caller.assert_stayed(CALLS as usize);
    // The 401 is acknowledged by the relay and by the caller, each on its own side.
    calls.assert_counts(2 * CALLS, 2 * CALLS);
}

#[test]
fn digest_for_registrations() {
    let service = Service { steps: ANSWERS, challenges: Some("caller") };
    let calls = calls("uac_register", service);
    calls.assert_halves();
    calls.caller.assert_stayed(CALLS as usize);
    calls.assert_counts(2 * CALLS, 0);
}

#[test]
fn a_cancel_while_it_rings() {
    let calls = calls("uac_cancel", steps(&["Ringing()", "Wait(60)"]));
    calls.assert_counts(CALLS, 0);
    calls.summary.assert(&[("200", CALLS), ("487", 0), ("transactions.cancels", CALLS)]);
}

#[test]
fn a_486_reaches_the_caller() {
    let calls = calls("uac_busy", steps(&["Hangup(17)"]));
    calls.assert_counts(CALLS, 0);
    calls.summary.assert(&[("tries.code", 0)]);
}

/// The caller transfers the other side of its call to another number, hears how that goes, and leaves.
#[test]
fn a_blind_transfer() {
    let calls = calls("uac_refer", steps(&["Dial(Local/inner@calls)"]));
    calls.assert_halves();
    // ACK, REFER, two times NOTIFY, BYE.
    calls.assert_counts(CALLS, 5 * CALLS);
}

const CALLS: u64 = 10;
