//! Replays the SIP of a capture against a configuration of Strowger: through the relay's own core,
//! without sockets, on the clock of the capture.
//!
//! The capture was made at another relay. Its callers' requests are taken as they are. What servers
//! and callers sent after it had forwarded something holds that relay's Vias and Routes; these are
//! replaced by those that the configuration's relay wrote, and servers speak from the destination
//! that it chose.

mod core;
mod rewrite;
mod session;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use strowger::capture::pcap::{self, Datagram};
use thiserror::Error;

use core::Core;
use session::Session;

use crate::sip::Message;

/// What is replayed.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    /// The capture: pcap or pcapng.
    pub capture: PathBuf,
    /// The configuration.
    pub config: PathBuf,
    /// Where the captured relay listened; none: where the configuration's listeners do.
    pub at: Vec<SocketAddr>,
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Since the first message of the capture, in ms.
    pub at_ms: u64,
    /// Where it came from.
    pub from: SocketAddr,
    /// Its request line or status line.
    pub first_line: String,
    /// The verdict, by the name of its counter.
    pub verdict: String,
    /// Where it would go.
    pub to: Option<SocketAddr>,
}

/// What became of all messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// Each message that the relay would get, in order.
    pub rows: Vec<Row>,
    /// How many messages had each verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// How many new requests each destination would get.
    pub destinations: BTreeMap<SocketAddr, u64>,
    /// Messages that the relay would send because time passed: further tries, timeouts.
    pub by_time: u64,
    /// Datagrams of the capture that the captured relay sent; they are not replayed.
    pub sent_by_relay: u64,
    /// Datagrams of the capture that are not for the relay, or are no SIP.
    pub others: u64,
    /// From the first to the last message that is replayed.
    pub span: Duration,
    /// What is allowed but perhaps not meant, of the configuration and the capture.
    pub warnings: Vec<String>,
}

/// Why nothing is replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The capture cannot be read.
    #[error("{file}: {what}")]
    Capture {
        /// Its name.
        file: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The configuration, or its destinations, are wrong.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// Nothing in the capture is for the relay.
    #[error(
        "no SIP of {file} goes to {at}: most goes to {most}; --at names the address that the captured relay listened on"
    )]
    NothingForUs {
        /// The capture's name.
        file: String,
        /// Where the relay was looked for.
        at: String,
        /// Where SIP goes.
        most: String,
    },
}

/// Replays a capture.
pub fn replay(plan: &ReplayPlan) -> Result<Replayed, ReplayError> {
    let (datagrams, cut) = pcap::read(&plan.capture).map_err(|what| {
        let file = plan.capture.display().to_string();
        ReplayError::Capture { file, what }
    })?;
    let mut core = Core::of(&plan.config, &plan.at)?;
    let at = if plan.at.is_empty() { core.listeners() } else { plan.at.clone() };
    let mut replayed = Replayed { warnings: core.warnings().to_vec(), ..Replayed::default() };
    if cut > 0 {
        replayed.warnings.push(format!(
            "{cut} packets were cut short or lack fragments: capture with a larger snapshot length"
        ));
    }
    let mut session = Session::new(at.clone());
    let mut begun = None;
    for datagram in &datagrams {
        let Some(arrival) = session.arrival(datagram) else {
            let is_ours = at.contains(&datagram.from);
            *if is_ours { &mut replayed.sent_by_relay } else { &mut replayed.others } += 1;
            continue;
        };
        let begun = *begun.get_or_insert(datagram.at);
        let since = datagram.at.saturating_sub(begun);
        replayed.span = since;
        replayed.by_time += core.pass_until(since);
        let outcome = core.datagram(arrival.listener, arrival.from, &arrival.bytes);
        if let Some((to, bytes)) = &outcome.sent {
            session.sent(&arrival, *to, bytes);
            if outcome.is_new {
                *replayed.destinations.entry(*to).or_default() += 1;
            }
        }
        *replayed.verdicts.entry(outcome.verdict.clone()).or_default() += 1;
        replayed.rows.push(Row {
            at_ms: since.as_millis() as u64,
            from: arrival.from,
            first_line: arrival.first_line,
            verdict: outcome.verdict,
            to: outcome.sent.map(|(to, _)| to),
        });
    }
    if replayed.rows.is_empty() {
        return Err(nothing(plan, &at, &datagrams));
    }
    Ok(replayed)
}

fn nothing(plan: &ReplayPlan, at: &[SocketAddr], datagrams: &[Datagram]) -> ReplayError {
    let mut counts = BTreeMap::<SocketAddr, u64>::new();
    let is_sip = |datagram: &&Datagram| {
        Message::read(&datagram.bytes)
            .is_some_and(|message| message.status().is_some() || message.method().is_some())
    };
    for datagram in datagrams.iter().filter(is_sip) {
        *counts.entry(datagram.to).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let most: Vec<_> = counts.iter().take(3).map(|(to, count)| format!("{to} ({count})")).collect();
    let at: Vec<_> = at.iter().map(ToString::to_string).collect();
    ReplayError::NothingForUs {
        file: plan.capture.display().to_string(),
        at: at.join(" or "),
        most: if most.is_empty() { "nowhere, it has none".into() } else { most.join(", ") },
    }
}

#[cfg(test)]
mod tests;
