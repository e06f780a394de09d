//! baresip and linphone call a stateful set of two Asterisks.

use std::io::Write as _;

use nix::sys::signal::Signal;

use crate::asterisk::{Service, list, pair};
use crate::failures::wait_counted;
use crate::harness::phones::{baresip, linphone};
use crate::harness::{Relay, loopback, wait};

const STATEFUL: &str = "[dispatch]\nforwarding = \"stateful\"\n";

/// It registers, calls, and is asked for its password each time.
#[test]
fn baresip_with_a_password() {
    let servers = pair(Service { steps: &["Answer()", "Wait(60)"], challenges: Some("service") });
    let relay = Relay::with_list(&list(&servers)).config(STATEFUL).start();
    let account = format!(";regint=60;auth_pass=secret;outbound=\"sip:{};lr\"", relay.address());
    let dial = format!("/dial sip:service@{}", relay.address());
    let (mut phone, _files) = baresip(loopback::fresh(), &account, &["-e", &dial]);

    // Asterisk's list shows only the first part of a contact.
    wait::until("its registration", || {
        let mut contacts = servers.iter().map(|server| server.console("pjsip show contacts"));
        contacts.any(|contacts| contacts.contains("Contact:  service/sip:service-")).then_some(())
    });
    // The ACK to the 200.
    wait_counted(&relay, "forwarded.token", 1);
    phone.signal(Signal::SIGTERM);
    phone.wait();

    let summary = relay.stop();
    summary.assert(&[("token", 2), ("transactions.further_tries", 0)]);
    // REGISTER and INVITE, each without and with credentials. It also ends its registration.
    assert!(summary.get("chosen") >= 4, "{summary:?}");
}

#[test]
fn linphone_without_one() {
    let servers = pair(Service { steps: &["Answer()", "Wait(60)"], challenges: None });
    let relay = Relay::with_list(&list(&servers)).config(STATEFUL).start();
    let service = format!("sip:service@{}", relay.address());
    let (mut phone, _files) = linphone(loopback::fresh(), &["-s", &service]);

    wait_counted(&relay, "forwarded.token", 1);
    let mut keyboard = phone.child().stdin.take().expect("a pipe");
    writeln!(keyboard, "terminate").expect("linphone reads");
    wait_counted(&relay, "forwarded.token", 2);

    relay.stop().assert(&[("chosen", 1), ("token", 2), ("transactions.further_tries", 0)]);
}
