//! Independent SIP stacks: baresip and linphone must copy our Via and Record-Route, and use them to
//! reach us again.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::harness::process::Process;
use crate::harness::sipp::{list_of, servers};
use crate::harness::{Relay, Sipp, loopback};

#[test]
fn baresip_calls() {
    let (mut servers, relay) = one_server();
    // It sends everything along a Route to the relay, as a phone behind an outbound proxy does.
    let account = format!(";outbound=\"sip:{};lr\"", relay.address());
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
    let (mut baresip, _files) = baresip(phone, ";answermode=auto", &[]);
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

/// baresip without a sound card: what it plays goes nowhere.
fn baresip(address: SocketAddr, account: &str, arguments: &[&str]) -> (Process, TempDir) {
    let modules = Path::new("/usr/lib/baresip/modules");
    let files = folder(&[
        (
            "config",
            format!(
                "sip_listen {address}\n\
                 audio_source aubridge,none\naudio_player aubridge,none\naudio_alert aubridge,none\n\
                 module_path {}\nmodule g711.so\nmodule aubridge.so\n\
                 module_app account.so\nmodule_app menu.so\n",
                modules.display()
            ),
        ),
        ("accounts", format!("<sip:service@{}>;regint=0{account}\n", address.ip())),
        ("contacts", String::new()),
    ]);
    let mut command = Command::new("baresip");
    command.arg("-f").arg(files.path()).args(arguments).stdin(Stdio::null());
    (Process::start("baresip", &mut command), files)
}

/// linphone's console phone; without a sound card it plays nothing.
fn linphone(address: SocketAddr, arguments: &[&str]) -> (Process, TempDir) {
    let configuration = format!(
        "[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nbind_address={ip}\nuse_ipv6=0\n\
         default_proxy=-1\nguess_hostname=0\ncontact=sip:service@{ip}\n\
         [sound]\nplayback_dev_id=none\ncapture_dev_id=none\n\
         [video]\nenabled=0\n",
        port = address.port(),
        ip = address.ip(),
    );
    let files = folder(&[("linphonerc", configuration)]);
    let data = files.path().join(".local/share/linphone");
    fs::create_dir_all(data).expect("a writable temporary folder");
    let mut command = Command::new("linphonec");
    command
        .arg("-c")
        .arg(files.path().join("linphonerc"))
        .args(arguments)
        .env("HOME", files.path())
        .stdin(Stdio::piped());
    (Process::start("linphonec", &mut command), files)
}

fn folder(files: &[(&str, String)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a writable temporary folder");
    }
    folder
}
