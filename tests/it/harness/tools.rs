//! Kamailio's own tools with the settings of one test, and the control sockets that they use.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::loopback;
use super::wait::PATIENCE;

/// A folder with control sockets, and tools that know them.
#[derive(Debug)]
pub(crate) struct Tools {
    folder: TempDir,
    http: std::net::SocketAddr,
}

impl Tools {
    /// A folder of their own; the control sockets open with a relay that has [`Tools::config`].
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let tools = Self { folder, http: loopback::fresh() };
        tools.settle("");
        tools
    }

    /// Further settings of `kamctl`.
    pub(crate) fn settle(&self, more: &str) {
        let kamctl = format!("RPCFIFOPATH={}\n{more}", self.path("rpc.fifo").display());
        fs::write(self.path(".kamctlrc"), kamctl).expect("a writable folder");
        let kamcli = format!(
            "[main]\n[db]\n[ctl]\ntype=jsonrpc\n[jsonrpc]\ntransport=socket\nsrvaddr={}\n\
             rcvaddr={}\noutformat=json\n",
            self.path("rpc.sock").display(),
            self.path("kamcli").display(),
        );
        fs::write(self.path("kamcli.ini"), kamcli).expect("a writable folder");
    }

    /// `[control]` with all control sockets.
    pub(crate) fn config(&self) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "[control]\nsocket = {:?}\nfifo = {:?}\ndatagram = {:?}\nbinrpc = {:?}\nhttp = \"{}\"\n",
            path("cli.sock"),
            path("rpc.fifo"),
            path("rpc.sock"),
            path("ctl"),
            self.http,
        )
    }

    /// A file of the folder: `rpc.fifo`, `rpc.sock`, `ctl`, `cli.sock`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the HTTP control socket is.
    pub(crate) fn http(&self) -> std::net::SocketAddr {
        self.http
    }

    /// What `kamctl` prints.
    pub(crate) fn kamctl(&self, words: &[&str]) -> String {
        self.run("kamctl", &[], words)
    }

    /// What `kamcmd` prints.
    pub(crate) fn kamcmd(&self, words: &[&str]) -> String {
        let socket = format!("unixs:{}", self.path("ctl").display());
        self.run("kamcmd", &["-s", &socket], words)
    }

    /// What `kamcli` prints.
    pub(crate) fn kamcli(&self, words: &[&str]) -> String {
        let ini = self.path("kamcli.ini").display().to_string();
        self.run("kamcli", &["-c", &ini], words)
    }

    /// All that a tool prints; none may wait for ever.
    fn run(&self, tool: &str, before: &[&str], words: &[&str]) -> String {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE.as_secs().to_string()).arg(tool).args(before).args(words);
        let output = command
            .env("HOME", self.folder.path())
            .env("TERM", "dumb")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap_or_else(|error| panic!("cannot start {tool}: {error}"));
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert_ne!(output.status.code(), Some(124), "{tool} {words:?} waits for ever: {text}");
        text
    }

    /// Writes this into the FIFO.
    pub(crate) fn write_fifo(&self, bytes: &[u8]) {
        let fifo = fs::OpenOptions::new().write(true).open(self.path("rpc.fifo"));
        fifo.expect("our FIFO").write_all(bytes).expect("a relay that reads");
    }

    /// The answer of the datagram control socket, as a client gets it that bound an address.
    pub(crate) fn datagram(&self, bytes: &[u8]) -> String {
        let path = self.path(&format!("client{}", loopback::fresh().port()));
        let client = UnixDatagram::bind(&path).expect("a free name");
        client.set_read_timeout(Some(PATIENCE)).expect("an open socket");
        client.send_to(bytes, self.path("rpc.sock")).expect("a control socket");
        let mut answer = vec![0; 16 << 20];
        let length = client.recv(&mut answer).expect("an answer");
        fs::remove_file(path).expect("our own file");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    /// What a control socket with connections says to these bytes, after which we say no more.
    pub(crate) fn stream(&self, name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut stream = UnixStream::connect(self.path(name)).expect("a control socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("an open socket");
        // Who has heard enough closes.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// What the HTTP control socket says to these bytes.
    pub(crate) fn say_http(&self, bytes: &[u8]) -> String {
        let mut stream = std::net::TcpStream::connect(self.http).expect("a control socket");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("an open socket");
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Posts this JSON.
    pub(crate) fn post(&self, rows: &str, json: &str) -> String {
        let host = self.http;
        let length = json.len();
        self.say_http(
            format!(
                "POST /RPC HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{rows}Content-Length: \
                 {length}\r\n\r\n{json}"
            )
            .as_bytes(),
        )
    }

    /// A pipe in the folder where answers of the FIFO go, and its name.
    pub(crate) fn reply_pipe(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let status = Command::new("mkfifo").arg(&path).status();
        assert!(status.expect("mkfifo").success());
        path
    }
}
