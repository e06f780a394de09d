//! Kamailio as a relay to compare with: its configuration for a given route, and its command line.

use std::net::SocketAddrV4;
use std::path::Path;

/// Where Debian puts it.
pub(super) const PROGRAM: &str = "/usr/sbin/kamailio";

/// A configuration with the dispatcher module and this list: UDP only, no names; `settings` before
/// that module, which must be loaded after those that it uses, and `route` behind it.
pub(super) fn config(
    listen: SocketAddrV4,
    children: usize,
    list: &str,
    settings: &str,
    route: &str,
) -> String {
    format!(
        "#!KAMAILIO\nlog_stderror=yes\nchildren={children}\ndisable_tcp=yes\nauto_aliases=no\n\
         dns=no\nrev_dns=no\nlisten=udp:{listen}\n\
         {settings}\
         loadmodule \"dispatcher.so\"\n\
         modparam(\"dispatcher\", \"list_file\", \"{list}\")\n\
         {route}"
    )
}

/// The command line: in the foreground, with its best allocator and its files in `folder`.
pub(super) fn arguments(config: &Path, folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let arguments = [
        PROGRAM,
        "-f",
        &config.display().to_string(),
        "-DD",
        "-E",
        "-x",
        "tlsf",
        "-X",
        "tlsf",
        "-m",
        "512",
        "-M",
        "32",
        "-w",
        &folder,
        "-Y",
        &folder,
    ];
    arguments.map(str::to_owned).to_vec()
}

/// Two seconds without a response are a failure, also of a probe; the default is 30 s.
#[allow(dead_code, reason = "not every bench compares all of it")]
pub(super) const MODULES: &str = "\
loadmodule \"tm.so\"
loadmodule \"tmx.so\"
loadmodule \"sl.so\"
loadmodule \"pv.so\"
loadmodule \"rr.so\"
loadmodule \"textops.so\"
loadmodule \"siputils.so\"
modparam(\"tm\", \"fr_timer\", 2000)
modparam(\"rr\", \"enable_full_lr\", 1)
";

/// A copy of an INVITE gets the next destination; requests in a dialog follow their Route.
#[allow(dead_code, reason = "not every bench compares all of it")]
pub(super) const FORWARD_ROUTE: &str = "\
request_route {
    if (has_totag()) { loose_route(); forward(); exit; }
    if (is_method(\"INVITE\")) record_route();
    if (!ds_select_dst(\"1\", \"4\")) { sl_send_reply(\"404\", \"No destination\"); exit; }
    forward();
}
";

/// The destinations that were not chosen are kept for further tries.
#[allow(dead_code, reason = "not every bench compares all of it")]
pub(super) const FAILOVER_SETTINGS: &str = "\
modparam(\"dispatcher\", \"flags\", 2)
modparam(\"dispatcher\", \"xavp_dst\", \"_dsdst_\")
modparam(\"tm\", \"failure_reply_mode\", 3)
";

/// A destination that fails is marked inactive, and the next one is tried.
#[allow(dead_code, reason = "not every bench compares all of it")]
pub(super) const FAILOVER_ROUTE: &str = "\
request_route {
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method(\"ACK\")) { if (t_check_trans()) t_relay(); exit; }
        sl_send_reply(\"404\", \"Not here\");
        exit;
    }
    if (!is_method(\"ACK\") && t_precheck_trans()) { t_check_trans(); exit; }
    t_check_trans();
    if (is_method(\"INVITE\")) record_route();
    if (!ds_select_dst(\"1\", \"4\")) { sl_send_reply(\"404\", \"No destination\"); exit; }
    t_on_failure(\"NEXT\");
    if (!t_relay()) sl_reply_error();
}
failure_route[NEXT] {
    if (t_is_canceled()) exit;
    if (t_check_status(\"5[0-9][0-9]\") || (t_branch_timeout() && !t_branch_replied())) {
        ds_mark_dst(\"ip\");
        if (ds_next_dst()) { t_on_failure(\"NEXT\"); t_relay(); exit; }
    }
}
";
