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
