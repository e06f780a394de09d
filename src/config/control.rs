//! `[control]`: the control sockets through which operators and their tools talk to a running relay.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::document::{Document, Section};

const KEYS: &[&str] = &["socket", "fifo", "fifo_reply_dir", "datagram", "binrpc", "http"];

/// `[control]`: each socket but the first is open only when it is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ControlConfig {
    /// `socket`: the unix stream that `strowger list` and the like talk to.
    pub socket: ControlSocket,
    /// `fifo`: the named pipe of `kamctl`.
    pub fifo: Option<PathBuf>,
    /// `fifo_reply_dir`: where the pipes are that `kamctl` wants its answers in; `/tmp` by default.
    pub fifo_reply_dir: PathBuf,
    /// `datagram`: the unix datagram socket of `kamcli` and `kamcmd -j`.
    pub datagram: Option<PathBuf>,
    /// `binrpc`: the unix stream of `kamcmd`.
    pub binrpc: Option<PathBuf>,
    /// `http`: a loopback address for JSON-RPC over HTTP.
    pub http: Option<SocketAddr>,
}

/// The socket of our own command line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ControlSocket {
    /// `strowger.sock` in the state directory.
    #[default]
    InStateDirectory,
    /// `"off"`
    Off,
    /// At this path.
    At(PathBuf),
}

/// Reads `[control]`.
pub(super) fn read(document: &mut Document, section: &Section) -> ControlConfig {
    section.only(document, KEYS, &[]);
    let mut read = ControlConfig::default();
    if let Some(path) = path(document, section, "socket") {
        read.socket =
            if path == Path::new("off") { ControlSocket::Off } else { ControlSocket::At(path) };
    }
    read.fifo = path(document, section, "fifo");
    if let Some(directory) = path(document, section, "fifo_reply_dir") {
        read.fifo_reply_dir = directory;
    }
    read.datagram = path(document, section, "datagram");
    read.binrpc = path(document, section, "binrpc");
    read.http = http(document, section);
    read
}

/// A relative path would be relative to wherever the relay happens to be started.
fn path(document: &mut Document, section: &Section, key: &str) -> Option<PathBuf> {
    let (text, place) = section.string(document, key)?;
    let is_off = key == "socket" && text == "off";
    // Kamailio's own notations for the same.
    let path = ["unixs:", "unixd:", "unix:"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let path = Path::new(path.unwrap_or(text));
    if is_off || (path.is_absolute() && path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX) {
        return Some(path.into());
    }
    let what = section.what(&format!("{key}: {text:?} is not an absolute path"));
    let right = format!("write a path from /, of at most {SOCKET_PATH_BYTES_MAX} bytes");
    document.wrong(&place, what, right);
    None
}

/// Who reaches this socket commands the relay, so nobody but this machine may.
fn http(document: &mut Document, section: &Section) -> Option<SocketAddr> {
    let (text, place) = section.string(document, "http")?;
    let right = "write a loopback address and port, such as 127.0.0.1:8060";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(address),
        Ok(_) => {
            let what = section.what(&format!("http: {text} can be reached from other machines"));
            document.wrong(&place, what, right);
            None
        }
        Err(_) => {
            let what = section.what(&format!("http: {text:?} is not an address and port"));
            document.wrong(&place, what, right);
            None
        }
    }
}

/// What a unix socket's address has room for, with the zero at its end (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            socket: ControlSocket::default(),
            fifo: None,
            fifo_reply_dir: "/tmp".into(),
            datagram: None,
            binrpc: None,
            http: None,
        }
    }
}
