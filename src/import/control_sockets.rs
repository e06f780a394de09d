//! The control sockets of jsonrpcs and ctl: kamctl, kamcli and kamcmd go on finding theirs.

use super::draft::{Draft, quoted};
use super::script::{Modparam, Script, Value};

/// The control sockets of jsonrpcs and ctl are open where the modules are loaded, at places of their own
/// choice when nothing is said.
pub(super) fn read(script: &Script, draft: &mut Draft) {
    let last = |module, name: &str| script.modparams_of(module).filter(|p| p.name == name).last();
    if script.module("jsonrpcs").is_some() {
        let transport = last("jsonrpcs", "transport").and_then(|p| p.value.number()).unwrap_or(6);
        for (bit, name, key, default) in [
            (2, "fifo_name", "fifo", "/run/kamailio/kamailio_rpc.fifo"),
            (4, "dgram_socket", "datagram", "/run/kamailio/kamailio_rpc.sock"),
        ] {
            if transport == 0 || transport & bit != 0 {
                control_socket(("jsonrpcs", name, key, default), last("jsonrpcs", name), draft);
            }
        }
        if let Some(directory) = last("jsonrpcs", "fifo_reply_dir") {
            control_socket(
                ("jsonrpcs", "fifo_reply_dir", "fifo_reply_dir", "/tmp"),
                Some(directory),
                draft,
            );
        }
        for name in
            ["fifo_mode", "fifo_user", "fifo_group", "dgram_mode", "dgram_user", "dgram_group"]
        {
            if let Some(parameter) = last("jsonrpcs", name) {
                let what = parameter.shown("jsonrpcs");
                draft.left(
                    parameter.place,
                    what,
                    "a control socket has mode 0660 and the relay's own user and group",
                );
            }
        }
        if let Some(tcp) = last("jsonrpcs", "tcp_socket") {
            let why = "no JSON-RPC over TCP: [control] http = \"127.0.0.1:8060\" has it over HTTP";
            draft.left(tcp.place, tcp.shown("jsonrpcs"), why);
        }
    }
    if script.module("ctl").is_some() {
        // The only parameter that may be given more than once.
        let sockets = script.modparams_of("ctl").filter(|p| p.name == "binrpc");
        let unix = sockets.filter(|parameter| {
            let text = parameter.value.text().unwrap_or("");
            let is_unix = ["unix:", "unixs:", "/"].iter().any(|begin| text.starts_with(begin))
                || !text.contains(':');
            if !is_unix {
                let why = "BINRPC is spoken over a unix stream alone: [control] binrpc";
                draft.left(parameter.place, parameter.shown("ctl"), why);
            }
            is_unix
        });
        let unix = unix.last();
        control_socket(("ctl", "binrpc", "binrpc", "/run/kamailio/kamailio_ctl"), unix, draft);
    }
}

fn control_socket(
    (module, name, key, default): (&str, &str, &'static str, &str),
    parameter: Option<&Modparam>,
    draft: &mut Draft,
) {
    let Some(parameter) = parameter else {
        let what = format!("{name} of {module} is not set: Kamailio's default");
        draft.set("control", key, quoted(default), None, what);
        return;
    };
    let what = parameter.shown(module);
    let path = parameter.value.text().unwrap_or("").trim();
    let schemes = ["unixs:", "unixd:", "unix:"];
    let path = schemes.iter().find_map(|scheme| path.strip_prefix(scheme)).unwrap_or(path);
    if path.is_empty() {
        // An empty one closes the socket, in Kamailio too.
        if parameter.value == Value::Unknown {
            draft.left(parameter.place, what, "its value is known only at run time");
        }
    } else if path.contains(':') {
        draft.left(parameter.place, what, "a control socket is a path on this machine: [control]");
    } else {
        let path =
            if path.starts_with('/') { path.into() } else { format!("/run/kamailio/{path}") };
        draft.set("control", key, quoted(&path), Some(parameter.place), what);
    }
}
