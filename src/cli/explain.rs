//! `strowger explain`: what the running relay would do with a message, and why.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use strowger::limits::SLOT_BYTES;

use super::client::{RelaySocket, Trouble, shown};
use super::show::{self, all, cell, field};

/// Say what the running relay would do with a SIP message, and why
///
/// Nothing is sent and nothing changes: no counter, no turn, nothing that is remembered.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Example:
  strowger explain invite.sip --from 198.51.100.7:5060")]
pub(crate) struct ExplainArgs {
    /// File with the message; - or none: standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where it comes from [default: what its top Via says]
    #[arg(long, value_name = "ADDR:PORT")]
    from: Option<SocketAddr>,
    /// Listener that it comes to, by address or name [default: the first of that family]
    #[arg(long, value_name = "LISTENER")]
    to: Option<String>,
    #[command(flatten)]
    socket: RelaySocket,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ExplainArgs) -> ExitCode {
    let message = match read(args.file.as_deref()) {
        Ok(message) => with_line_ends(message),
        Err(trouble) => return trouble.tell(),
    };
    let mut params = json!({});
    // As a text it may be escaped to six times its length; digits are twice as long, always.
    match std::str::from_utf8(&message) {
        Ok(text) if !text.chars().any(is_escaped) => params["message"] = text.into(),
        _ => params["message_hex"] = hex(&message).into(),
    }
    if let Some(from) = args.from {
        params["from"] = from.to_string().into();
    }
    if let Some(to) = &args.to {
        params["to"] = to.as_str().into();
    }
    show::reply(args.socket.ask("strowger.explain", &params), args.json, text)
}

/// Whether it is one of the characters that JSON writes as a number.
fn is_escaped(c: char) -> bool {
    c.is_control() && !matches!(c, '\r' | '\n' | '\t')
}

fn read(file: Option<&Path>) -> Result<Vec<u8>, Trouble> {
    let (name, source): (_, Box<dyn std::io::Read>) = match file {
        Some(path) if path != Path::new("-") => {
            let name = path.display().to_string();
            match std::fs::File::open(path) {
                Ok(file) => (name, Box::new(file)),
                Err(error) => return Err(Trouble(vec![format!("{name}: {error}")])),
            }
        }
        _ => ("standard input".to_owned(), Box::new(std::io::stdin())),
    };
    let mut message = Vec::new();
    let read = source.take(SLOT_BYTES as u64 + 1).read_to_end(&mut message);
    let trouble = |what: String| Trouble(vec![format!("{name}: {what}")]);
    match read {
        Err(error) => Err(trouble(error.to_string())),
        Ok(len) if len > SLOT_BYTES => Err(trouble("longer than any datagram".into())),
        Ok(_) => Ok(message),
    }
}

/// A message typed with an editor has line ends of LF; SIP's are CRLF.
fn with_line_ends(message: Vec<u8>) -> Vec<u8> {
    if message.contains(&b'\r') {
        return message;
    }
    message.split_inclusive(|byte| *byte == b'\n').fold(Vec::new(), |mut out, line| {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
        out
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The explanation for people.
pub(super) fn text(explained: &Value) -> String {
    let source_is = match explained["source_is"].as_str() {
        Some("read") => ", as it says itself",
        Some("made_up") => ", made up: the message does not say; --from does",
        _ => "",
    };
    let mut text = format!(
        "{}\n  from {}{source_is}\n  to {}\n\n",
        shown(&field(explained, "message")),
        field(explained, "source"),
        field(explained, "listener"),
    );
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", shown(&field(explained, "says")));
    for sentence in all(explained, "because").iter().filter_map(Value::as_str) {
        let _ = writeln!(text, "  {}", shown(sentence));
    }
    if !field(explained, "message").starts_with("SIP/") {
        let _ = write!(text, "\n{}", candidates(explained));
    }
    if let Some(leaves) = explained["leaves"].as_object() {
        let leaves = Value::Object(leaves.clone());
        let by = field(&leaves, "by");
        let _ = writeln!(text, "\nThis would leave {by} for {}:\n", field(&leaves, "to"));
        text.push_str(&head(&field(&leaves, "message")));
    }
    text
}

fn candidates(explained: &Value) -> String {
    let set = field(explained, "set");
    let mut table = show::table(&["", "turn", "destination", "address", "state", ""]);
    let candidates = all(explained, "candidates");
    for candidate in candidates {
        let is_taken = candidate["is_taken"] == true;
        let reasons = ["excluded", "passed_over"].map(|name| field(candidate, name));
        let reason = reasons.iter().find(|reason| !reason.is_empty());
        let address = field(candidate, "address");
        table.add_row([
            cell(if is_taken { "->" } else { "" }),
            cell(&field(candidate, "turn")),
            cell(&field(candidate, "uri")),
            cell(if address.is_empty() { "-" } else { &address }),
            show::state(&field(candidate, "state"), &field(candidate, "flags")),
            cell(match reason {
                _ if is_taken => "this one",
                Some(reason) => reason,
                None => "may be chosen",
            }),
        ]);
    }
    show::right(&mut table, &[1]);
    let mut text = if candidates.is_empty() {
        format!("set {set} has no destinations\n")
    } else {
        format!("set {set}, which new requests are dispatched to:\n{}\n", show::text(&table))
    };
    let others: Vec<String> = all(explained, "other_sets").iter().map(Value::to_string).collect();
    if !others.is_empty() {
        let _ = writeln!(text, "not asked: the destinations of set {}", others.join(", "));
    }
    text
}

/// The header of a message, a line each; of the body only that there is one.
fn head(message: &str) -> String {
    let (header, body) = message.split_once("\r\n\r\n").unwrap_or((message, ""));
    let lines: String = header.split("\r\n").map(|line| format!("  {}\n", shown(line))).collect();
    if body.is_empty() { lines } else { format!("{lines}  (and a body of {} bytes)\n", body.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_of_an_editor_become_those_of_sip() {
        for (given, wants) in [
            ("A\nB\n\n", "A\r\nB\r\n\r\n"),
            ("A\r\nB\n", "A\r\nB\n"),
            ("A", "A"),
            ("", ""),
            ("\n", "\r\n"),
        ] {
            assert_eq!(with_line_ends(given.into()), wants.as_bytes(), "{given:?}");
        }
    }

    #[test]
    fn an_explanation_for_people() {
        let candidate = |uri: &str, turn: Option<u32>, excluded: Option<&str>, is_taken: bool| {
            json!({ "uri": format!("sip:{uri}"), "address": uri, "state": "active",
                    "flags": "AX", "is_taken": is_taken, "turn": turn, "excluded": excluded })
        };
        let mut starting = candidate("10.0.0.4:5060", Some(3), None, false);
        starting["passed_over"] = json!("slow start");
        let explained = json!({
            "message": "INVITE sip:bob@example.com SIP/2.0",
            "source": "198.51.100.7:5062", "source_is": "read", "listener": "udp:192.0.2.1:5060",
            "verdict": "forwarded.chosen", "says": "forwarded to sip:10.0.0.1:5060 (10.0.0.1:5060)",
            "because": ["it is new: round-robin of set 1, of 2 that may be chosen"], "set": 1,
            "candidates": [candidate("10.0.0.1:5060", Some(1), None, true),
                           candidate("10.0.0.2:5060", Some(2), None, false),
                           starting,
                           candidate("10.0.0.3:5060", None, Some("disabled by the operator"), false)],
            "other_sets": [2],
            "leaves": { "to": "10.0.0.1:5060", "by": "udp:192.0.2.1:5060",
                        "message": "INVITE sip:bob@example.com SIP/2.0\r\nVia: \u{7}\r\n\r\nv=0" },
        });
        let wants = "\
INVITE sip:bob@example.com SIP/2.0
  from 198.51.100.7:5062, as it says itself
  to udp:192.0.2.1:5060

forwarded to sip:10.0.0.1:5060 (10.0.0.1:5060)
  it is new: round-robin of set 1, of 2 that may be chosen

set 1, which new requests are dispatched to:
     turn  destination        address        state
 ->     1  sip:10.0.0.1:5060  10.0.0.1:5060  active (AX)  this one
        2  sip:10.0.0.2:5060  10.0.0.2:5060  active (AX)  may be chosen
        3  sip:10.0.0.4:5060  10.0.0.4:5060  active (AX)  slow start
           sip:10.0.0.3:5060  10.0.0.3:5060  active (AX)  disabled by the operator
not asked: the destinations of set 2

This would leave udp:192.0.2.1:5060 for 10.0.0.1:5060:

  INVITE sip:bob@example.com SIP/2.0
  Via: \\u{7}
  (and a body of 3 bytes)
";
        assert_eq!(text(&explained), wants, "\n{}", text(&explained));
    }
}
