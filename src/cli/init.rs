//! `strowger init`: a configuration for this machine to begin with, and what comes next.
//!
//! It is the file that the package ships, with this machine's addresses and the wanted source.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use strowger::config::{Draft, Flags};
use strowger::transport;

use super::client::Trouble;
use super::show;

/// Write a commented configuration for this machine, and say what comes next
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
It names each address of this machine as a listener: take out those that no calls come to. A file
that is there already is left as it is, except with --force.

Examples:
  strowger init
  strowger init /etc/strowger/strowger.toml --list /etc/kamailio/dispatcher.list
  strowger init --stdout --listen udp:192.0.2.1:5060")]
pub(crate) struct InitArgs {
    /// File to write
    #[arg(value_name = "FILE", default_value = "strowger.toml", conflicts_with = "stdout")]
    file: PathBuf,
    /// Write to standard output instead
    #[arg(long)]
    stdout: bool,
    /// Write over a file that is there
    #[arg(long, conflicts_with = "stdout")]
    force: bool,
    /// Listener; may be given several times [default: port 5060 of each address of this machine]
    #[arg(long, value_name = "udp:ADDRESS:PORT")]
    listen: Vec<String>,
    /// File with the destinations, Kamailio's dispatcher.list; made with an example if it does not exist
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Database with the destinations [default: strowger.db beside the configuration, made at the first start]
    #[arg(long, value_name = "URL", conflicts_with = "list")]
    db: Option<String>,
}

pub(crate) fn run(args: &InitArgs) -> ExitCode {
    match init(args) {
        Ok(said) => show::print(&said),
        Err(trouble) => trouble.tell(),
    }
}

/// Returns what goes to standard output.
fn init(args: &InitArgs) -> Result<String, Trouble> {
    let listen = if args.listen.is_empty() { found()? } else { args.listen.clone() };
    // What is wrong with the flags would be wrong with the file.
    let (list, db) = (args.list.clone(), args.db.clone());
    let Draft { problems, .. } =
        Draft::load(&Flags { listen: listen.clone(), list, db, ..Flags::default() });
    if !problems.is_empty() {
        return Err(Trouble(problems.iter().map(ToString::to_string).collect()));
    }
    let text = filled(&listen, &source(args)?);
    if args.stdout {
        return Ok(text);
    }
    // A database may have a password.
    let mode = if args.db.is_some() { 0o640 } else { 0o644 };
    write(&args.file, &text, mode, args.force)?;
    let mut said = format!("{} written\n", args.file.display());
    if let Some(list) = &args.list
        && !list.exists()
    {
        write(list, LIST, 0o644, false)?;
        // Writing to a string cannot fail.
        let _ = writeln!(said, "{} written: no destinations yet", list.display());
    }
    let _ = write!(said, "\n{}", next(args));
    Ok(said)
}

/// Port 5060 of each address that others reach this machine by; loopback if it has none.
fn found() -> Result<Vec<String>, Trouble> {
    let addresses = transport::local_addresses()
        .map_err(|error| Trouble(vec![format!("cannot read this machine's addresses: {error}")]))?;
    let mut addresses: Vec<_> = addresses.into_iter().filter(|ip| !ip.is_loopback()).collect();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    let listener = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => format!("udp:{ip}:5060"),
        IpAddr::V6(ip) => format!("udp:[{ip}]:5060"),
    };
    Ok(addresses.iter().map(listener).collect())
}

fn source(args: &InitArgs) -> Result<String, Trouble> {
    let Some(list) = &args.list else {
        return Ok(args.db.clone().unwrap_or_else(|| "sqlite:strowger.db".into()));
    };
    // In the file, a relative path starts at the file's folder.
    let list = std::path::absolute(list)
        .map_err(|error| Trouble(vec![format!("{}: {error}", list.display())]))?;
    Ok(format!("list:{}", list.display()))
}

/// The shipped file with these values.
fn filled(listen: &[String], source: &str) -> String {
    let quoted = |text: &String| toml::Value::from(text.as_str()).to_string();
    let listen: Vec<_> = listen.iter().map(quoted).collect();
    let listen = match &listen[..] {
        [one] => format!("listen = [{one}]"),
        several => format!("listen = [\n    {},\n]", several.join(",\n    ")),
    };
    let source = format!("source = {}", quoted(&source.to_owned()));
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let workers = format!("{WORKERS} This machine has {}.", show::count(cores as u64, "core"));
    SHIPPED.replace(LISTEN, &listen).replace(WORKERS, &workers).replace(SOURCE, &source)
}

/// A new file, or with `force` one in its place, or nothing.
fn write(path: &Path, text: &str, mode: u32, force: bool) -> Result<(), Trouble> {
    let mut options = OpenOptions::new();
    options.write(true).mode(mode);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let path = path.display();
        Trouble(vec![match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{path}: is there already: give another name, or --force")
            }
            _ => format!("{path}: cannot be written: {error}"),
        }])
    })
}

fn next(args: &InitArgs) -> String {
    let file = args.file.display();
    let destinations = match (&args.list, &args.db) {
        (Some(list), _) => format!("edit {}", list.display()),
        (None, Some(_)) => "strowger list".into(),
        (None, None) => "strowger add 1 sip:10.0.0.1:5060 --save".into(),
    };
    let add = if args.list.is_some() { "" } else { &destinations };
    let edit = if args.list.is_some() { &destinations } else { "" };
    let steps = [
        (format!("edit {file}"), "see which addresses it listens at"),
        (edit.to_owned(), "a line for each server: 1 sip:10.0.0.1:5060"),
        (format!("strowger check {file}"), "says what is wrong"),
        (format!("strowger run --config {file}"), "relays until Ctrl-C"),
        (add.to_owned(), "in another terminal: the servers that get the calls"),
    ];
    let mut text = String::from("What comes next:\n");
    for (command, why) in steps.iter().filter(|(command, _)| !command.is_empty()) {
        let _ = writeln!(text, "  {command:<44} {why}");
    }
    text
}

const SHIPPED: &str = include_str!("../../tuning/strowger.toml");
const LISTEN: &str = "listen = [\"udp:127.0.0.1:5060\"]";
const WORKERS: &str = "# Worker threads: one for each core, or a number.";
const SOURCE: &str = "source = \"sqlite:/var/lib/strowger/strowger.db\"";

const LIST: &str = "\
# Destinations: set, URI, flags, priority, attributes. Kamailio's format.
#1 sip:10.0.0.1:5060
#1 sip:10.0.0.2:5060 0 0 weight=50
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_has_the_lines_that_are_filled_in() {
        let text = filled(&["udp:192.0.2.1:5060".into()], "/a \"quoted\" list");
        assert!(text.contains("\nlisten = [\"udp:192.0.2.1:5060\"]\n"), "{text}");
        assert!(text.contains("\nsource = '/a \"quoted\" list'\n"), "{text}");
        let several = filled(&["udp:192.0.2.1:5060".into(), "udp:[2001:db8::1]:5060".into()], "x");
        let wants = "listen = [\n    \"udp:192.0.2.1:5060\",\n    \"udp:[2001:db8::1]:5060\",\n]\n";
        assert!(several.contains(wants), "{several}");
        assert!(several.contains("or a number. This machine has "), "{several}");
        assert!(
            !several.contains("127.0.0.1:5060\"]") && !several.contains("/var/lib"),
            "{several}"
        );
    }
}
