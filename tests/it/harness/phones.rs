//! Phones of other makers: baresip and linphone, without sound cards.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::process::Process;

/// baresip without a sound card: what it plays goes nowhere. `account` has the parameters of its account.
pub(crate) fn baresip(
    address: SocketAddr,
    account: &str,
    arguments: &[&str],
) -> (Process, TempDir) {
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
        ("accounts", format!("<sip:service@{}>{account}\n", address.ip())),
        ("contacts", String::new()),
    ]);
    let mut command = Command::new("baresip");
    command.arg("-f").arg(files.path()).args(arguments).stdin(Stdio::null());
    (Process::start("baresip", &mut command), files)
}

/// linphone's console phone; without a sound card it plays nothing.
pub(crate) fn linphone(address: SocketAddr, arguments: &[&str]) -> (Process, TempDir) {
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
