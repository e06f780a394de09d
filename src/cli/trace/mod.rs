//! `strowger trace`: calls as ladders, live from the running relay or from a capture.

mod calls;
mod ladder;
mod message;
#[cfg(test)]
mod tests;
mod why;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use strowger::capture::pcap::{self, Writer};
use strowger::capture::{Facts, Filter, Subject};

use super::client::{RelaySocket, Trouble};
use super::show::{self, all};
use calls::{Calls, Wanted};
use ladder::Page;
use message::Seen;

/// Show calls as ladders, live or from a capture, and why each request went where it went
///
/// A live trace copies the messages of the selected calls while it runs, and only those. Without a
/// selection it shows every call.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  strowger trace --from alice@example.org --count 1
  strowger trace --failed --for 30s --write failed.pcap
  strowger trace --pcap capture.pcap --call-id a84b4c76e66710")]
pub(crate) struct TraceArgs {
    /// Calls whose Call-ID contains this
    #[arg(long, value_name = "TEXT")]
    call_id: Option<String>,
    /// Calls whose From URI contains this
    #[arg(long, value_name = "TEXT")]
    from: Option<String>,
    /// Calls whose To URI contains this
    #[arg(long, value_name = "TEXT")]
    to: Option<String>,
    /// Calls with a message from or to this address
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = destination)]
    destination: Option<(IpAddr, Option<u16>)>,
    /// Calls with a response of 400 or more, or without an answer
    #[arg(long)]
    failed: bool,
    /// End after this many calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// End after this time, such as 30s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Read this capture (pcap or pcapng) instead of asking the relay
    #[arg(long, value_name = "FILE", conflicts_with_all = ["time", "control", "config"])]
    pcap: Option<PathBuf>,
    /// Also write the messages to this file, for Wireshark and tshark
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// A line of JSON for each message instead of ladders
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: RelaySocket,
}

pub(crate) fn run(args: &TraceArgs) -> ExitCode {
    let done = Output::new(args).and_then(|output| match &args.pcap {
        Some(file) => from_file(args, file, output),
        None => live(args, output),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.tell(),
    }
}

/// `ADDRESS` or `ADDRESS:PORT`.
fn destination(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok((socket.ip(), Some(socket.port())));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().map_err(|_| "write ADDRESS or ADDRESS:PORT".to_owned())?;
    Ok((address, None))
}

/// Where what is shown goes.
struct Output {
    calls: Calls,
    is_json: bool,
    file: Option<(String, Writer<BufWriter<File>>)>,
}

impl Output {
    fn new(args: &TraceArgs) -> Result<Self, Trouble> {
        let wanted = Wanted { failed: args.failed, count: args.count.map(|count| count as usize) };
        let calls = Calls::new(page(), wanted);
        let file = args.write.as_ref().map(|path| {
            let name = path.display().to_string();
            let made = File::create(path).and_then(|file| Writer::new(BufWriter::new(file)));
            made.map(|writer| (name.clone(), writer)).map_err(|error| in_file(&name, &error))
        });
        Ok(Self { calls, is_json: args.json, file: file.transpose()? })
    }

    /// Shows what is new; returns false if nobody reads it any more.
    fn show(&mut self) -> Result<bool, Trouble> {
        let (mut text, messages) = self.calls.news();
        if self.is_json {
            text = messages.iter().map(|seen| format!("{}\n", seen.json())).collect();
        }
        if let Some((name, writer)) = &mut self.file {
            let written = messages.iter().try_for_each(|seen| writer.write(&seen.datagram));
            written.and_then(|()| writer.flush()).map_err(|error| in_file(name, &error))?;
        }
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            written => show::written(written).map(|()| true),
        }
    }

    /// Says what is missing.
    fn end(&self, lost: u64) {
        let mut err = io::stderr().lock();
        // When standard error is gone there is nobody left to tell.
        if lost > 0 {
            let _ = writeln!(
                err,
                "strowger: {lost} messages are missing: the relay had no room for them; select \
                 fewer calls"
            );
        }
        if self.calls.lost > 0 {
            let _ = writeln!(
                err,
                "strowger: {} calls or messages are missing: there were too many at the same time",
                self.calls.lost
            );
        }
        if !self.calls.is_any_shown() && !self.is_json {
            let _ = writeln!(err, "strowger: no call was shown: none is as it was asked for");
        }
    }
}

fn in_file(name: &str, error: &io::Error) -> Trouble {
    Trouble(vec![format!("{name}: {error}")])
}

fn page() -> Page {
    let environment = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = show::width().or_else(environment).map_or(WIDTH, usize::from).clamp(WIDTH_MIN, 300);
    Page { width, has_colours: show::has_colours() }
}

fn from_file(args: &TraceArgs, path: &Path, mut output: Output) -> Result<(), Trouble> {
    let name = path.display();
    let (datagrams, cut) =
        pcap::read(path).map_err(|what| Trouble(vec![format!("{name}: {what}")]))?;
    let filter = Filter {
        call_id: args.call_id.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        destination: args.destination,
        share: None,
    };
    let last = datagrams.last().map(|datagram| datagram.at).unwrap_or_default();
    for datagram in datagrams {
        let is_selected = {
            let facts = Facts::read(&datagram.bytes);
            let next_hops = [datagram.to];
            let subject = Subject { facts: &facts, peer: datagram.from, next_hops: &next_hops };
            filter.selects(&subject)
        };
        if let Some(seen) = Seen::read(datagram) {
            output.calls.add(seen, is_selected);
        }
    }
    output.calls.give_up(last, Duration::ZERO);
    output.show()?;
    if cut > 0 {
        eprintln!("strowger: {cut} packets of {name} were cut short or lack fragments");
    }
    output.end(0);
    Ok(())
}

fn live(args: &TraceArgs, mut output: Output) -> Result<(), Trouble> {
    let destination = args.destination.map(|(ip, port)| match port {
        Some(port) => SocketAddr::new(ip, port).to_string(),
        None => ip.to_string(),
    });
    let texts = [
        ("call_id", &args.call_id),
        ("from", &args.from),
        ("to", &args.to),
        ("destination", &destination),
    ];
    let mut filter = json!({});
    for (name, text) in texts {
        if let Some(text) = text {
            filter[name] = text.as_str().into();
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Trouble(vec![format!("cannot wait for signals: {error}")]))?;
    }
    let trace = json!({ "trace": args.socket.ask("strowger.trace", &filter)?["trace"] });
    if io::stderr().is_terminal() {
        eprintln!("strowger: watching; Ctrl-C ends it");
    }
    let end = args.time.map(|time| Instant::now() + time);
    let lost = loop {
        // Read once more after the end, so that all is shown that came before.
        let is_last = stop.load(Ordering::Relaxed)
            || end.is_some_and(|end| Instant::now() >= end)
            || output.calls.is_complete();
        let reply = args.socket.ask("strowger.trace_read", &trace)?;
        for seen in all(&reply, "messages").iter().filter_map(Seen::told) {
            output.calls.add(seen, true);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        output.calls.give_up(now, if is_last { UNANSWERED_AT_END } else { UNANSWERED });
        let is_read = output.show()?;
        let has_more = reply["more"] == true;
        if is_last && !has_more || !is_read {
            break reply["lost"].as_u64().unwrap_or_default();
        }
        if !has_more {
            let left = end.map_or(POLL, |end| end.saturating_duration_since(Instant::now()));
            thread::sleep(POLL.min(left));
        }
    };
    let ended: Result<Value, Trouble> = args.socket.ask("strowger.trace_end", &trace);
    output.end(lost);
    ended.map(drop)
}

/// How often the relay is asked.
const POLL: Duration = Duration::from_millis(100);
/// How long a call may be without an answer: Timer B, when its caller gives up.
const UNANSWERED: Duration = Duration::from_secs(32);
/// The same when the trace ends: two copies of the request have not helped.
const UNANSWERED_AT_END: Duration = Duration::from_secs(2);
/// Characters of a line that is no terminal's.
const WIDTH: usize = 80;
/// A ladder has no room in less.
const WIDTH_MIN: usize = 40;
