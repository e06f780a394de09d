//! One message of a trace: what a ladder shows of it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use strowger::capture::Facts;
use strowger::capture::pcap::Datagram;
use strowger::message::{Message, StartLine};

use super::super::client::shown;

/// A SIP message that was seen on its way.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) datagram: Datagram,
    /// The relay's end of it, if that is known.
    pub(super) relay: Option<SocketAddr>,
    pub(super) call_id: String,
    /// The URIs of From and To.
    pub(super) parties: (String, String),
    pub(super) line: Line,
    pub(super) cseq: (u32, String),
    /// The branch of the topmost Via, and the To tag: copies have the same.
    pub(super) same: (String, String),
    /// What the relay said of it, as it said it.
    pub(super) told: Value,
}

/// The first line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// The method.
    Request(String),
    /// The code and the reason.
    Response(u16, String),
}

impl Seen {
    /// Reads a datagram; `None` if it is no SIP or has no Call-ID.
    pub(super) fn read(datagram: Datagram) -> Option<Self> {
        let bytes = &datagram.bytes;
        let text = |bytes: &[u8]| shown(&String::from_utf8_lossy(bytes));
        let facts = Facts::read(bytes);
        if facts.call_id().is_empty() {
            return None;
        }
        let message = Message::read(bytes);
        let first = bytes[message.start..].split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = match message.start_line {
            StartLine::Request { method, .. } | StartLine::OtherVersion { method, .. } => {
                Line::Request(text(method.of(bytes)))
            }
            StartLine::Response { code } => {
                let reason = first.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
                Line::Response(code, text(reason))
            }
            _ => return None,
        };
        let cseq_method = text(message.cseq_method_place().unwrap_or_default().of(bytes));
        let branch = message.via.and_then(|via| via.branch).unwrap_or_default();
        let tag = message.to_tag.unwrap_or_default();
        Some(Self {
            call_id: text(facts.call_id()),
            parties: (text(facts.from()), text(facts.to())),
            line,
            cseq: (message.cseq_number, cseq_method),
            same: (text(branch.of(bytes)), text(tag.of(bytes))),
            told: Value::Null,
            relay: None,
            datagram,
        })
    }

    /// Reads a message that the relay told of.
    pub(super) fn told(told: &Value) -> Option<Self> {
        let address = |name: &str| told[name].as_str()?.parse().ok();
        let bytes = match told["message"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => unhex(told["message_hex"].as_str()?)?,
        };
        let (from, to) = (address("from")?, address("to")?);
        let at = Duration::from_micros(told["at_us"].as_u64()?);
        let is_received = told["direction"] == "received";
        let seen = Self::read(Datagram { at, from, to, bytes })?;
        let relay = Some(if is_received { to } else { from });
        Some(Self { relay, told: told.clone(), ..seen })
    }

    /// What is known of it, for programs.
    pub(super) fn json(&self) -> Value {
        if !self.told.is_null() {
            return self.told.clone();
        }
        let Datagram { at, from, to, bytes } = &self.datagram;
        json!({
            "at_us": at.as_micros() as u64,
            "from": from.to_string(),
            "to": to.to_string(),
            "length": bytes.len(),
            "message": String::from_utf8_lossy(bytes),
        })
    }

    /// Whether it is another copy of the same message on the same way.
    pub(super) fn is_copy_of(&self, other: &Self) -> bool {
        let way = |seen: &Self| (seen.datagram.from, seen.datagram.to);
        way(self) == way(other)
            && self.line == other.line
            && self.cseq == other.cseq
            && self.same == other.same
    }

    pub(super) fn is_request(&self, method: &str) -> bool {
        matches!(&self.line, Line::Request(own) if own == method)
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}
