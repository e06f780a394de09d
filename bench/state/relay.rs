//! The relay, in a process of its own, with a worker for each core.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, free_address};

/// The relay.
pub(crate) struct Relay {
    process: Process,
    listen: SocketAddrV4,
    /// The destination whose state changes.
    uri: String,
    /// The other destinations: nobody reads what they get.
    _others: Vec<UdpSocket>,
}

impl Relay {
    /// Starts it with this destination and so many others, and returns when it answers.
    pub(crate) fn start(destination: SocketAddrV4, others: usize) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let bind = |_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let others = (0..others).map(bind).collect::<io::Result<Vec<_>>>()?;
        let listen = free_address()?;
        let uri = format!("sip:{destination}");
        let mut list = format!("1 {uri} 0 0\n");
        for other in &others {
            writeln!(list, "1 sip:{} 0 0", other.local_addr()?).expect("a string takes all");
        }
        let place = folder.path().display();
        fs::write(folder.path().join("dispatcher.list"), list)?;
        // The destinations answer nothing, and that is no failure here.
        let config = format!(
            "[relay]\nlisten = [\"udp:{listen}\"]\ngrace_s = 0\nstate_dir = \"{place}\"\n\
             [dispatch]\npassive = false\n\
             [destinations]\nsource = \"list:{place}/dispatcher.list\"\n"
        );
        let file = folder.path().join("strowger.toml");
        fs::write(&file, config)?;
        let binary = env!("CARGO_BIN_EXE_strowger");
        let arguments = [binary, "run", "--config", &file.display().to_string()];
        let process = Process::start(folder, &arguments.map(str::to_owned), None, listen)?;
        let relay = Self { process, listen, uri, _others: others };
        let end = Instant::now() + Duration::from_secs(20);
        while let Err(error) = relay.set_state("a") {
            if Instant::now() > end {
                let log = relay.process.log();
                return Err(io::Error::other(format!("the relay does not start: {error}\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(relay)
    }

    pub(crate) fn listen(&self) -> SocketAddrV4 {
        self.listen
    }

    /// Sets the state of the destination by a command, and returns when that is answered.
    pub(crate) fn set_state(&self, state: &str) -> io::Result<()> {
        let mut stream = UnixStream::connect(self.process.folder().join("strowger.sock"))?;
        let params = json!([state, 1, self.uri]);
        let question = json!({ "jsonrpc": "2.0", "method": "dispatcher.set_state", "params": params, "id": 1 });
        stream.write_all(question.to_string().as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let reply: Value = serde_json::from_str(&reply)?;
        match reply.get("error") {
            None => Ok(()),
            Some(error) => Err(io::Error::other(error.to_string())),
        }
    }
}
