//! `strowger drain`: no new calls, and a look at what the relay remembers until that is nothing.
//!
//! The relay remembers open transactions, and calls for four minutes after the last message that needed
//! the memory. A call whose parties follow Record-Route needs none, so only its server knows of it: the
//! end of this command does not mean that the server has no calls.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use strowger::limits::LOOK_AGAIN;

use super::client::{RelaySocket, Trouble, shown};
use super::show::{self, all, count, field};

/// Send no new calls to a destination, or refuse them all, and show what is remembered
///
/// Calls in progress go on. Without SET and URI the whole relay drains: new requests get 503. The
/// command ends when nothing is remembered any more; what was drained stays so until --off.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
The relay remembers transactions, and calls for 4 minutes after the last message that needed the
memory. An established call on Record-Route needs none: ask the server itself how many it has before
you stop it. Exit status 1 when something was still remembered in the end.

Examples:
  strowger drain 1 sip:192.0.2.10:5060
  strowger drain 1 sip:192.0.2.10:5060 --off
  strowger drain --wait 600")]
pub(crate) struct DrainArgs {
    /// Set of the destination
    #[arg(requires = "uri")]
    set: Option<u32>,
    /// Its URI
    uri: Option<String>,
    /// Take new calls again
    #[arg(long)]
    off: bool,
    /// Wait at most this long; 0: do not wait
    #[arg(long, value_name = "SECONDS", conflicts_with = "off")]
    wait: Option<u64>,
    /// End after this long without traffic of new calls and open transactions
    #[arg(long, value_name = "SECONDS", conflicts_with = "off")]
    quiet: Option<u64>,
    #[command(flatten)]
    socket: RelaySocket,
}

pub(crate) fn run(args: &DrainArgs) -> ExitCode {
    match drain(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => trouble.tell(),
    }
}

/// Says whether nothing is remembered, or nothing of it was used for as long as was asked.
fn drain(args: &DrainArgs) -> Result<bool, Trouble> {
    let target = args.set.zip(args.uri.as_deref());
    switch(&args.socket, target, !args.off)?;
    let name =
        target.map_or("the relay".into(), |(set, uri)| format!("{} of set {set}", shown(uri)));
    if args.off {
        show::put(&format!("{name} takes new calls again\n"))?;
        return Ok(true);
    }
    let refused = if target.is_none() { ": new requests get 503" } else { "" };
    show::put(&format!("{name} takes no new calls{refused}\n"))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))
            .map_err(|error| Trouble(vec![format!("cannot wait for Ctrl-C: {error}")]))?;
    }
    let begin = Instant::now();
    let is_over = || {
        let wait = args.wait.map(Duration::from_secs);
        stop.load(Ordering::Relaxed) || wait.is_some_and(|wait| begin.elapsed() >= wait)
    };
    let mut view = View::default();
    loop {
        let left = Left::read(&args.socket.ask("strowger.remembered", &json!({}))?, target);
        view.show(&left)?;
        let of = target.map_or(String::new(), |_| format!(" of {name}"));
        let server = if target.is_none() {
            "the servers themselves how many they have"
        } else {
            "the server itself how many it has"
        };
        let ask = format!("An established call on Record-Route needs no memory here: ask {server}");
        if left.all() == 0 {
            view.end(&format!("the relay remembers no call or transaction{of} any more. {ask}"))?;
            return Ok(true);
        }
        if let Some(quiet) = args.quiet.filter(|quiet| left.newest_age_s >= *quiet) {
            let since = format!("no new call and no open transaction{of} for {quiet} s");
            view.end(&format!("{since}; still remembered: {left}. {ask}"))?;
            return Ok(true);
        }
        let looked = Instant::now();
        while looked.elapsed() < LOOK_AGAIN {
            if is_over() {
                view.end(&format!("still remembered: {left}. {name} stays drained until --off"))?;
                return Ok(false);
            }
            std::thread::sleep(LOOK_AGAIN / 20);
        }
    }
}

/// Drains the relay or one destination, or ends that. Whether a destination is pinged stays as it is.
fn switch(socket: &RelaySocket, target: Option<(u32, &str)>, on: bool) -> Result<(), Trouble> {
    let Some((set, uri)) = target else {
        return socket.ask("strowger.drain", &json!({ "on": on })).map(drop);
    };
    let state = if on { "disabled" } else { "active" };
    let params = json!({ "set": set, "uri": uri, "state": state });
    let reply = socket.ask("strowger.set_state", &params)?;
    show::warn(&reply);
    Ok(())
}

/// What is still remembered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Left {
    open: u64,
    ended: u64,
    calls: u64,
    newest_age_s: u64,
}

impl Left {
    fn read(reply: &Value, target: Option<(u32, &str)>) -> Self {
        let mut left = Self { newest_age_s: u64::MAX, ..Self::default() };
        for destination in all(reply, "destinations") {
            let is_selected = target.is_none_or(|(set, uri)| {
                let sets = all(destination, "sets");
                // What is listed no more, such as an address that its name has lost, may come too.
                let is_of_set = sets.is_empty() || sets.iter().any(|listed| *listed == set);
                is_of_set && is_same(uri, destination)
            });
            if is_selected {
                let number = |name| destination[name].as_u64().unwrap_or(0);
                left.open += number("open") + number("challenges");
                left.ended += number("ended");
                left.calls += number("calls");
                left.newest_age_s = left.newest_age_s.min(number("newest_age_s"));
            }
        }
        left
    }

    fn all(&self) -> u64 {
        self.open + self.ended + self.calls
    }
}

/// Whether this URI, `sip:` or not, is that of the destination, or its address.
fn is_same(uri: &str, destination: &Value) -> bool {
    let bare = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_prefix("sip:").map_or(text.clone(), str::to_owned)
    };
    ["uri", "address"].iter().any(|name| bare(&field(destination, name)) == bare(uri))
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} in progress, {} ended, {}",
            count(self.open, "transaction"),
            self.ended,
            count(self.calls, "call"),
        )?;
        if self.all() > 0 {
            write!(f, ", the newest used {} s ago", self.newest_age_s)?;
        }
        Ok(())
    }
}

/// One line that is written anew on a terminal; elsewhere a line for each change.
#[derive(Default)]
struct View {
    last: Option<Left>,
    is_open: bool,
}

impl View {
    fn show(&mut self, left: &Left) -> Result<(), Trouble> {
        let text = if std::io::stdout().is_terminal() {
            self.is_open = true;
            format!("\r\x1b[K{left}")
        } else {
            // Ages change all the time.
            let is_news = self.last.as_ref().is_none_or(|last| {
                (last.open, last.ended, last.calls) != (left.open, left.ended, left.calls)
            });
            if is_news { format!("{left}\n") } else { String::new() }
        };
        self.last = Some(left.clone());
        show::put(&text)
    }

    fn end(&self, text: &str) -> Result<(), Trouble> {
        show::put(&format!("{}{text}\n", if self.is_open { "\n" } else { "" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_destination() {
        let reply = json!({ "destinations": [
            { "sets": [1, 2], "uri": "sip:10.0.0.1:5060", "address": "10.0.0.1:5060", "open": 1,
              "ended": 2, "calls": 3, "challenges": 1, "newest_age_s": 8 },
            { "sets": [1], "uri": "sip:MS.example.com", "address": "10.0.0.2:5060", "open": 0,
              "ended": 10, "calls": 0, "challenges": 0, "newest_age_s": 4 },
            { "sets": [1], "uri": "sip:MS.example.com", "address": "10.0.0.3:5060", "open": 0,
              "ended": 0, "calls": 1, "challenges": 0, "newest_age_s": 16 },
            { "sets": [], "uri": "sip:gone.example.com", "address": "10.0.0.4:5060", "open": 0,
              "ended": 1, "calls": 0, "challenges": 0, "newest_age_s": 20 } ] });
        let left = |target| Left::read(&reply, target).to_string();
        let ages = |seconds| format!("the newest used {seconds} s ago");
        for (target, wants) in [
            (None, format!("2 transactions in progress, 13 ended, 4 calls, {}", ages(4))),
            (
                Some((1, "10.0.0.1:5060")),
                format!("2 transactions in progress, 2 ended, 3 calls, {}", ages(8)),
            ),
            (
                Some((1, "sip:ms.example.com")),
                format!("0 transactions in progress, 10 ended, 1 call, {}", ages(4)),
            ),
            (
                Some((1, "sip:10.0.0.3:5060")),
                format!("0 transactions in progress, 0 ended, 1 call, {}", ages(16)),
            ),
            (
                Some((3, "gone.example.com")),
                format!("0 transactions in progress, 1 ended, 0 calls, {}", ages(20)),
            ),
            (Some((3, "sip:10.0.0.1:5060")), "0 transactions in progress, 0 ended, 0 calls".into()),
        ] {
            assert_eq!(left(target), wants);
        }
    }
}
