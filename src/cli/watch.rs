//! `strowger list --watch`: what each destination got, answered and failed, again and again.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{RelaySocket, Trouble};
use super::show::{self, all, cell, field};

/// Shows what `pick` leaves of the status, until the reader has enough.
pub(super) fn run(
    socket: &RelaySocket,
    is_json: bool,
    interval: Duration,
    pick: impl Fn(Value) -> Result<Value, Trouble>,
) -> ExitCode {
    match watch(socket, is_json, interval, pick) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => trouble.tell(),
    }
}

fn watch(
    socket: &RelaySocket,
    is_json: bool,
    interval: Duration,
    pick: impl Fn(Value) -> Result<Value, Trouble>,
) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    let is_screen = out.is_terminal() && !is_json;
    loop {
        let status = pick(socket.ask("strowger.status", &json!({}))?)?;
        let text = match (is_json, is_screen) {
            (true, _) => format!("{status}\n"),
            // From the top, then what is left of the picture before is cleared.
            (false, true) => format!("\x1b[H\x1b[2J{}\n", text(&status)),
            (false, false) => format!("{}\n\n", text(&status)),
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => show::written(written)?,
        }
        thread::sleep(interval);
    }
}

/// Reads `1s`, `500ms`, `1m`.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a time such as 1s or 500ms"))?;
    if (MIN..=MAX).contains(&interval) {
        return Ok(interval);
    }
    Err("write a time from 100ms to 1h".into())
}

fn text(status: &Value) -> String {
    let drained = show::drained(status["draining"] == true);
    let columns = ["set", "destination", "state", "sent", "answered", "failed", "heard", "silent"];
    let mut table = show::table(&columns);
    for set in all(status, "sets") {
        for destination in all(set, "destinations") {
            let of = |name: &str| field(destination, name);
            let mut row = vec![
                cell(&field(set, "set")),
                cell(&place(&of("uri"), &of("address"))),
                show::state(&of("state"), &of("flags")),
            ];
            row.extend(["requests", "answered", "failed"].map(|name| cell(&of(name))));
            row.extend(["heard_ms_ago", "silent_ms"].map(|name| cell(&time(&destination[name]))));
            table.add_row(row);
        }
    }
    show::right(&mut table, &[0, 3, 4, 5, 6, 7]);
    format!("{}\n\n{drained}{}", field(status, "time"), show::text(&table))
}

/// The URI, and the address where that says more.
pub(super) fn place(uri: &str, address: &str) -> String {
    // Every text contains the empty one.
    if uri.contains(address) { uri.to_owned() } else { format!("{uri} {address}") }
}

/// Milliseconds for people, to a tenth of a second; nothing if there are none.
fn time(ms: &Value) -> String {
    let Some(ms) = ms.as_u64() else { return String::new() };
    match ms / 1_000 {
        s @ 0..60 => format!("{s}.{} s", ms % 1_000 / 100),
        s @ 60..3_600 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3_600, s / 60 % 60),
    }
}

const MIN: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_each_destination() {
        let destination = |state: &str, address: Value, heard: Value, silent: Value| {
            json!({"uri": "sip:a.example", "state": state, "flags": "AP", "address": address,
                "requests": 12, "answered": 10, "failed": 2, "heard_ms_ago": heard,
                "silent_ms": silent})
        };
        let null = Value::Null;
        let status = json!({"time": "2026-11-30T06:41:12.000Z", "draining": false, "sets": [
            {"set": 1, "destinations": [
                destination("active", json!("192.0.2.1:5060"), json!(250), null.clone()),
                destination("inactive", json!("192.0.2.2:5060"), json!(7_260_000), json!(61_000)),
                destination("active", json!("192.0.2.3:5060"), json!(3_599_999), json!(59_999)),
            ]},
            {"set": 2, "destinations": [{"uri": "sip:b", "state": "unresolved", "flags": "AX"}]},
        ]});
        let wants = "\
2026-11-30T06:41:12.000Z

 set  destination                   state            sent  answered  failed      heard  silent
   1  sip:a.example 192.0.2.1:5060  active (AP)        12        10       2      0.2 s
   1  sip:a.example 192.0.2.2:5060  inactive (AP)      12        10       2  2 h 1 min   1 min
   1  sip:a.example 192.0.2.3:5060  active (AP)        12        10       2     59 min  59.9 s
   2  sip:b                         unresolved (AX)";
        assert_eq!(text(&status), wants);
    }

    #[test]
    fn intervals() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["0s", "99ms", "2h", "1", "often"] {
            assert!(interval(bad).unwrap_err().contains("write a time "), "{bad}");
        }
    }
}
