//! The way to a running relay: its socket, one question and one reply.
//!
//! The question is JSON-RPC 2.0; after it our half of the connection is closed, and the reply ends with
//! the other half. Where the socket is, is asked of the flag, the configuration, or the places where a
//! relay puts it by itself.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Value, json};
use strowger::config::{ControlSocket, Draft, Flags, RelayConfig};
use strowger::limits::{ASK_TIME_MAX, REPLY_BYTES_MAX};

/// Selects the relay by its control socket.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct RelaySocket {
    /// Socket of the relay [default: strowger.sock in its state directory]
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// Configuration file of the relay: it says where the socket is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why there is no reply, or none that helps; one sentence each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Trouble(pub(crate) Vec<String>);

impl Trouble {
    fn one(text: impl Into<String>) -> Self {
        Self(vec![text.into()])
    }

    /// Tells standard error.
    pub(crate) fn tell(&self) -> ExitCode {
        let mut err = io::stderr().lock();
        for line in &self.0 {
            // When standard error is gone there is nobody left to tell.
            let _ = writeln!(err, "strowger: {}", shown(line));
        }
        ExitCode::FAILURE
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl RelaySocket {
    /// Asks the relay, and returns the result that it replies with.
    pub(crate) fn ask(&self, method: &str, params: &Value) -> Result<Value, Trouble> {
        let (mut stream, path) = connect(&self.places()?)?;
        let question =
            json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": 1 }).to_string();
        let reply = exchange(&mut stream, question.as_bytes())
            .map_err(|error| Trouble::one(format!("the relay at {}: {error}", path.display())))?;
        read_reply(&reply, &path)
    }

    /// Returns the arguments that select the same relay.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let pair = |flag: &str, path: &Option<PathBuf>| {
            path.iter().flat_map(|path| [flag.into(), path.clone().into()]).collect::<Vec<_>>()
        };
        [pair("--control", &self.control), pair("--config", &self.config)].concat()
    }

    /// Where the socket may be, the likeliest first.
    fn places(&self) -> Result<Vec<PathBuf>, Trouble> {
        if let Some(path) = &self.control {
            return Ok(vec![path.clone()]);
        }
        let Some(file) = &self.config else {
            return Ok(in_state_directories(&RelayConfig::default()));
        };
        let name = file.display().to_string();
        std::fs::File::open(file).map_err(|error| Trouble::one(format!("{name}: {error}")))?;
        // What is wrong elsewhere in it is not our business: the relay that runs has read it.
        let flags = Flags { config: Some(file.clone()), ..Flags::default() };
        let Draft { config, .. } = Draft::load(&flags);
        match config.control.socket {
            ControlSocket::At(path) => Ok(vec![path]),
            ControlSocket::InStateDirectory => Ok(in_state_directories(&config.relay)),
            ControlSocket::Off => Err(Trouble::one(format!(
                "{name} closes the control socket: leave out [control] socket = \"off\""
            ))),
        }
    }
}

fn in_state_directories(relay: &RelayConfig) -> Vec<PathBuf> {
    let directories = strowger::config::state_directories(relay);
    directories.into_iter().map(|directory| directory.join(SOCKET_NAME)).collect()
}

/// The socket's name in the state directory.
const SOCKET_NAME: &str = "strowger.sock";

/// The first socket that somebody listens at.
fn connect(places: &[PathBuf]) -> Result<(UnixStream, PathBuf), Trouble> {
    let mut silent = None;
    for path in places {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok((stream, path.clone())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => silent = Some(path),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(Trouble::one(forbidden(path)));
            }
            Err(error) => {
                return Err(Trouble::one(format!("cannot use {}: {error}", path.display())));
            }
        }
    }
    let why = match silent {
        Some(path) if !is_socket(path) => format!("{} is not a socket", path.display()),
        Some(path) => format!("nobody listens at {} any more", path.display()),
        None => {
            let paths: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            format!("no socket at {}", paths.join(" or "))
        }
    };
    Err(Trouble::one(format!(
        "no relay is running here: {why}; start one with strowger run, or say with --control where \
         its socket is"
    )))
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Who may use this socket.
fn forbidden(path: &Path) -> String {
    let place = path.display();
    match path.metadata() {
        Ok(metadata) => {
            let owner = name_of("/etc/passwd", metadata.uid());
            let group = name_of("/etc/group", metadata.gid());
            format!(
                "no permission to use {place}: it is for the user {owner} and the group {group}; \
                 join that group, or use sudo"
            )
        }
        Err(_) => format!("no permission to look into the directory of {place}: use sudo"),
    }
}

/// The name of this number in a file of the form of passwd(5) and group(5).
fn name_of(file: &str, number: u32) -> String {
    let number = number.to_string();
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&number));
    line.and_then(|line| line.split(':').next()).map_or(number.clone(), str::to_owned)
}

/// Writes the question and reads the whole reply.
fn exchange(stream: &mut UnixStream, question: &[u8]) -> io::Result<Vec<u8>> {
    let end = Instant::now() + ASK_TIME_MAX;
    let left = || {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    };
    stream.set_write_timeout(left()?)?;
    // A relay that has heard enough may close before it has read all, and then says why.
    let written = stream.write_all(question).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut reply = Vec::new();
    let mut part = vec![0; 1 << 16];
    loop {
        stream.set_read_timeout(left().map_err(|error: io::Error| late(&error))?)?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(len) => reply.extend_from_slice(&part[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) if !reply.is_empty() && written.is_err() => break,
            Err(error) => return Err(late(&error)),
        }
        if reply.len() > REPLY_BYTES_MAX {
            return Err(io::Error::other("its reply does not end"));
        }
    }
    if reply.is_empty() {
        written?;
        return Err(io::Error::other("it closed the connection without a reply"));
    }
    Ok(reply)
}

fn late(error: &io::Error) -> io::Error {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        return io::Error::other(format!("no reply within {} s", ASK_TIME_MAX.as_secs()));
    }
    io::Error::new(error.kind(), error.to_string())
}

/// The result of a reply, or the error that it tells.
fn read_reply(reply: &[u8], path: &Path) -> Result<Value, Trouble> {
    let not_ours =
        || Trouble::one(format!("what listens at {} is not a relay of ours", path.display()));
    let mut reply: Value = serde_json::from_slice(reply).map_err(|_| not_ours())?;
    if let Some(error) = reply.get("error") {
        // All errors one by one, where the relay tells them so.
        let many = error["data"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>());
        let one = error["message"].as_str().ok_or_else(not_ours)?;
        let lines = many.filter(|many| !many.is_empty());
        return Err(Trouble(lines.unwrap_or_else(|| one.lines().map(str::to_owned).collect())));
    }
    reply.get_mut("result").map(Value::take).ok_or_else(not_ours)
}

/// A text as a terminal may show it: what stands in a database or a message may hold anything.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    fn socket(path: &Path) -> RelaySocket {
        RelaySocket { control: Some(path.into()), config: None }
    }

    /// Asks somebody who reads the question to its end and replies with these bytes.
    fn ask(reply: &'static [u8]) -> (Result<Value, Trouble>, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream.write_all(reply).unwrap();
            question
        });
        let result = socket(&path).ask("strowger.list", &json!({ "set": 1 }));
        (result, server.join().unwrap())
    }

    #[test]
    fn one_question_and_one_reply() {
        let (result, question) = ask(b"{\"jsonrpc\":\"2.0\",\"result\":{\"sets\":[]},\"id\":1}\n");
        assert_eq!(result, Ok(json!({ "sets": [] })));
        let question: Value = serde_json::from_str(&question).unwrap();
        assert_eq!(question["method"], "strowger.list");
        assert_eq!(question["params"]["set"], 1);
        assert_eq!(question["jsonrpc"], "2.0");
    }

    #[test]
    fn replies_that_do_not_help() {
        let error = br#"{"jsonrpc":"2.0","error":{"code":500,"message":"a\nb"},"id":1}"#;
        let data = br#"{"error":{"code":500,"message":"2 errors","data":["a","b"]},"id":1}"#;
        for (reply, wants) in [
            (&error[..], "a; b"),
            (&data[..], "a; b"),
            (b"", "without a reply"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not a relay of ours"),
            (b"{\"id\":1}", "not a relay of ours"),
            (b"{\"result\":", "not a relay of ours"),
        ] {
            let trouble = ask(reply).0.unwrap_err().to_string();
            assert!(trouble.contains(wants), "{trouble}");
        }
    }

    #[test]
    fn nobody_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let told = |path: &Path| socket(path).ask("m", &json!({})).unwrap_err().to_string();
        let absent = told(&path);
        assert!(absent.starts_with("no relay is running here: no socket at "), "{absent}");
        assert!(absent.contains("strowger run"), "{absent}");
        drop(UnixListener::bind(&path).unwrap());
        assert!(told(&path).contains("nobody listens at"), "{}", told(&path));
        let file = directory.path().join("f");
        std::fs::write(&file, "").unwrap();
        assert!(told(&file).contains("is not a socket"), "{}", told(&file));
    }

    #[test]
    fn the_configuration_says_where() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("strowger.toml");
        let places = |text: &str| {
            std::fs::write(&file, text).unwrap();
            RelaySocket { control: None, config: Some(file.clone()) }.places()
        };
        assert_eq!(places("[control]\nsocket = \"/run/x\"\n"), Ok(vec!["/run/x".into()]));
        let state = places("[relay]\nstate_dir = \"/srv/state\"\nworkers = \"many\"\n");
        assert_eq!(state, Ok(vec!["/srv/state/strowger.sock".into()]));
        let off = places("[control]\nsocket = \"off\"\n").unwrap_err().to_string();
        assert!(off.contains("closes the control socket"), "{off}");
        let absent = RelaySocket { control: None, config: Some("/no/such/file".into()) };
        assert!(absent.places().unwrap_err().to_string().contains("/no/such/file"));
    }

    #[test]
    fn who_may_use_it() {
        let directory = tempfile::tempdir().unwrap();
        let told = forbidden(directory.path());
        let us = name_of("/etc/passwd", directory.path().metadata().unwrap().uid());
        assert!(told.contains(&format!("for the user {us} and the group ")), "{told}");
        assert!(forbidden(Path::new("/no/such/place")).contains("sudo"));
    }

    #[test]
    fn names_of_owners() {
        assert_eq!(name_of("/etc/passwd", 0), "root");
        assert_eq!(name_of("/etc/group", 4_000_000_000), "4000000000");
        assert_eq!(shown("a\u{1b}[31m\tb"), "a\\u{1b}[31m\\tb");
    }
}
