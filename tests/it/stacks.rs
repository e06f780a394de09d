//! Independent SIP stacks: baresip and linphone must copy our Via and Record-Route, and use them to
//! reach us again.

use std::io::Write as _;
use std::net::SocketAddr;

use nix::sys::signal::Signal;

use crate::harness::phones::{baresip, linphone};
use crate::harness::sipp::{list_of, servers};
use crate::harness::{Relay, Sipp, loopback};

#[test]
fn baresip_calls() {
    let (mut servers, relay) = one_server();
    // It sends everything along a Route to the relay, as a phone behind an outbound proxy does.
    let account = format!(";regint=0;outbound=\"sip:{};lr\"", relay.address());
    let dial = format!("/dial sip:service@{}", relay.address());
    let (mut baresip, _files) = baresip(loopback::fresh(), &account, &["-e", &dial]);

    servers[0].wait_logged("established", 1);
    // Its way to hang up and leave.
    baresip.signal(Signal::SIGTERM);
    baresip.wait();

    assert_one_call(servers, relay);
}

#[test]
fn baresip_is_called() {
    let phone = loopback::fresh();
    let (mut baresip, _files) = baresip(phone, ";regint=0;answermode=auto", &[]);
    baresip.wait_bound(phone);
    call_once(phone);
}

#[test]
fn linphone_calls() {
    let (mut servers, relay) = one_server();
    let service = format!("sip:service@{}", relay.address());
    let (mut linphone, _files) = linphone(loopback::fresh(), &["-s", &service]);

    servers[0].wait_logged("established", 1);
    let mut keyboard = linphone.child().stdin.take().expect("a pipe");
    writeln!(keyboard, "terminate").expect("linphone reads");

    assert_one_call(servers, relay);
}

#[test]
fn linphone_is_called() {
    let phone = loopback::fresh();
    let (mut linphone, _files) = linphone(phone, &["-a"]);
    linphone.wait_bound(phone);
    call_once(phone);
}

fn one_server() -> (Vec<crate::harness::sipp::Running>, Relay) {
    let servers = servers("uas_call", 1);
    let relay = Relay::with_list(&list_of([servers[0].address])).start();
    (servers, relay)
}

/// The server saw INVITE, ACK and BYE, and the relay passed the last two by its Record-Route.
fn assert_one_call(servers: Vec<crate::harness::sipp::Running>, relay: Relay) {
    for server in servers {
        server.stop().assert_all_succeeded(1);
    }
    relay.stop().assert(&[("chosen", 1), ("token", 2)]);
}

/// SIPp calls a phone through the relay; its ACK and BYE need the Record-Route that the phone
/// copied, and its check of the Via needs the one that the phone gave back.
fn call_once(phone: SocketAddr) {
    let relay = Relay::with_list(&list_of([phone])).start();
    let caller = Sipp::scenario("uac_call").calls(relay.address(), 1, 1).with(&["-d", "200"]).run();
    caller.assert_all_succeeded(1);
    relay.stop().assert(&[("chosen", 1), ("token", 2)]);
}
