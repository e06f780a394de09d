//! Explains what the relay would do with a message: the core's own verdict, and all destinations of
//! the set, even those that the core never looks at, each with the reason why it is not chosen.

#[cfg(test)]
mod tests;
mod words;

pub(super) use words::rule_of;

use std::collections::HashMap;
use std::net::SocketAddr;

use super::error::Error;
use super::{Commands, Listing};
use crate::config::Problem;
use crate::destination::{DestinationState, Flags, Slot};
use crate::proxy::{
    Explained, Explainer, Flow, ListenerId, Listeners, Rule, Shared, Snapshot, Verdict,
    likely_listener, likely_source,
};
use crate::transport::monotonic_now;
use crate::worker::catch_here;

/// What the relay would do with a message, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its first line.
    pub message: String,
    /// The source address that is assumed.
    pub source: SocketAddr,
    /// Where that address comes from.
    pub source_is: SourceIs,
    /// The listener that the message is assumed to arrive at, `udp:ADDRESS:PORT`.
    pub listener: String,
    /// The core's verdict.
    pub verdict: Verdict,
    /// The verdict in words.
    pub says: String,
    /// The reasons, one sentence each.
    pub because: Vec<String>,
    /// The rule that selected its next hop.
    pub rule: Rule,
    /// The set that new requests are dispatched to.
    pub set: u32,
    /// How one of its destinations is chosen.
    pub algorithm: &'static str,
    /// The destinations of that set, in dispatch order.
    pub candidates: Vec<Candidate>,
    /// The other sets; no destination is chosen from them.
    pub other_sets: Vec<u32>,
    /// The message that would be sent.
    pub leaves: Option<Leaving>,
}

/// How the source address of a message is determined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SourceIs {
    /// Given with the question.
    Given,
    /// Read from the message: the top Via of a request, the transaction of a response.
    Read,
    /// Made up, because the message does not contain it.
    MadeUp,
}

/// A destination of the set: one address of one record.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The URI of its record.
    pub uri: String,
    /// Its address; `None` if its name is not resolved.
    pub address: Option<SocketAddr>,
    /// Its flags in force.
    pub flags: Flags,
    /// The message goes to it or came from it.
    pub is_taken: bool,
    /// How many new requests until its turn, this one included; `None` if it is excluded.
    pub turn: Option<usize>,
    /// Why it is not chosen; `None` if it can be.
    pub excluded: Option<String>,
    /// Why it does not get this request, though it can be chosen; `None` if it is only not its turn.
    pub passed_over: Option<String>,
}

/// A message that would be sent.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// Where it would go.
    pub to: SocketAddr,
    /// The listener it would be sent from, `udp:ADDRESS:PORT`.
    pub by: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Commands {
    /// Returns what the relay would do with this message if it came now from `source` to `listener`
    /// (a name or `[udp:]ADDRESS:PORT`). Guesses both if they are not given. Changes nothing: no
    /// counter, no turn, no pin.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn explain(
        &self,
        message: &[u8],
        source: Option<SocketAddr>,
        listener: Option<&str>,
    ) -> Result<Explanation, Vec<Error>> {
        let inner = self.inner();
        let shared = &*inner.shared;
        let snapshot = inner.current.snapshot();
        let listing = self.list();
        let now = monotonic_now();
        let asked = listener.map(|name| find_listener(&shared.listeners, name)).transpose()?;
        let (source, source_is) = match source {
            Some(source) => (source, SourceIs::Given),
            None => match likely_source(now, shared, &snapshot, message) {
                Some(source) => (source, SourceIs::Read),
                None => (made_up(shared, asked), SourceIs::MadeUp),
            },
        };
        let listener = asked.unwrap_or_else(|| likely_listener(shared, source));
        let flow = Flow::new(&shared.listeners, listener, source);
        // A message that makes the core panic can be explained without harm.
        let explained =
            catch_here(|| Explainer::new().explain(now, shared, &snapshot, flow, message))
                .ok_or_else(|| vec![Error::Panicked("the core, at this message,")])?;
        let listed = Listed { shared, snapshot: &snapshot, listing: &listing };
        Ok(listed.compose(explained, flow, source_is, message))
    }
}

/// What an explanation needs besides the core's verdict.
struct Listed<'a> {
    shared: &'a Shared,
    snapshot: &'a Snapshot,
    listing: &'a Listing,
}

impl Listed<'_> {
    fn compose(
        &self,
        explained: Explained,
        flow: Flow,
        source_is: SourceIs,
        message: &[u8],
    ) -> Explanation {
        let facts = words::Facts {
            message,
            explained: &explained,
            snapshot: self.snapshot,
            source: flow.peer,
            describe: &|slot| self.describe(slot),
        };
        let (says, because) = (facts.says(), facts.because());
        let local = |id| format!("udp:{}", self.shared.listeners.get(id).local);
        Explanation {
            message: first_line(message),
            source: flow.peer,
            source_is,
            listener: local(flow.listener),
            verdict: explained.verdict,
            says,
            because,
            rule: explained.rule,
            set: explained.set,
            algorithm: self.snapshot.set_policy(explained.set).choosing.algorithm.name(),
            candidates: self.candidates(&explained),
            other_sets: self.other_sets(explained.set),
            leaves: explained.leaves.map(|leaves| Leaving {
                to: leaves.flow.peer,
                by: local(leaves.flow.listener),
                bytes: leaves.bytes,
            }),
        }
    }

    fn candidates(&self, explained: &Explained) -> Vec<Candidate> {
        let turns: HashMap<Slot, usize> =
            explained.round.iter().enumerate().map(|(at, slot)| (*slot, at + 1)).collect();
        let mut candidates = Vec::new();
        let choosing = &self.snapshot.set_policy(explained.set).choosing;
        let stays_in_tier = choosing.stays_in_tier() && choosing.algorithm.has_tiers();
        let sets = self.listing.sets.iter().filter(|set| set.id == explained.set);
        for record in sets.flat_map(|set| &set.records) {
            let candidate = |address, flags, slot: Option<Slot>, excluded| Candidate {
                uri: record.uri.clone(),
                address,
                flags,
                is_taken: slot.is_some() && slot == explained.destination,
                turn: slot.and_then(|slot| turns.get(&slot).copied()),
                excluded,
                passed_over: slot.and_then(|slot| {
                    let mut reasons = explained.passed_over.iter();
                    let (_, why) = reasons.find(|(of, _)| *of == slot)?;
                    Some(words::passed_over(*why))
                }),
            };
            if record.addresses.is_empty() {
                let unresolved = "its name is not resolved".to_owned();
                candidates.push(candidate(None, record.flags, None, Some(unresolved)));
            }
            for address in &record.addresses {
                let may_be_chosen = address.slot.is_some_and(|slot| turns.contains_key(&slot));
                let excluded = (!may_be_chosen).then(|| match address.slot {
                    None => format!(
                        "no listener has an {} address",
                        if address.address.socket.is_ipv4() { "IPv4" } else { "IPv6" }
                    ),
                    Some(_) => not_chosen(address.flags, stays_in_tier).into(),
                });
                let socket = Some(address.address.socket);
                candidates.push(candidate(socket, address.flags, address.slot, excluded));
            }
        }
        candidates
    }

    fn other_sets(&self, set: u32) -> Vec<u32> {
        let others = self.listing.sets.iter().filter(|other| other.id != set);
        others.filter(|other| !other.records.is_empty()).map(|other| other.id).collect()
    }

    /// Describes a destination by URI and address and, if relevant, its state.
    fn describe(&self, slot: Slot) -> String {
        let Some(destination) = self.snapshot.destinations.get(slot) else {
            return "a destination that was removed".into();
        };
        let named = format!("{} ({})", destination.uri, destination.address);
        let records = self.listing.sets.iter().flat_map(|set| &set.records);
        let mut addresses = records.flat_map(|record| &record.addresses);
        match addresses.find(|address| address.slot == Some(slot)) {
            Some(address) if address.flags.is_selectable() => named,
            Some(address) => format!("{named}, which is {} now", state_word(address.flags)),
            None => format!("{named}, which is no longer listed"),
        }
    }
}

/// Returns the word for the state in these flags.
pub fn state_word(flags: Flags) -> &'static str {
    match flags.state() {
        DestinationState::Active => "active",
        DestinationState::Trying => "trying",
        DestinationState::Full => "full",
        DestinationState::Inactive => "inactive",
        DestinationState::Disabled => "disabled",
    }
}

fn not_chosen(flags: Flags, stays_in_tier: bool) -> &'static str {
    match flags.state() {
        DestinationState::Disabled => "disabled by the operator",
        DestinationState::Full => "full: it takes no new calls for now",
        DestinationState::Inactive if !flags.is_last_resort() => "inactive",
        _ if stays_in_tier => {
            "not used: others have a better priority, and calls do not spill over"
        }
        DestinationState::Active | DestinationState::Trying | DestinationState::Inactive => {
            "not used: other addresses of its record have priority"
        }
    }
}

fn find_listener(listeners: &Listeners, name: &str) -> Result<ListenerId, Vec<Error>> {
    let bare = name.strip_prefix("udp:").unwrap_or(name);
    let found = listeners.iter().find(|(_, listener)| {
        listener.name == name || listener.sent_by == bare || listener.local.to_string() == bare
    });
    found.map(|(id, _)| id).ok_or_else(|| {
        let all: Vec<_> = listeners.iter().map(|(_, l)| format!("udp:{}", l.local)).collect();
        let what = format!("{name:?} is not one of the relay's listeners");
        vec![Problem::of("to", what, format!("write {}", all.join(" or "))).into()]
    })
}

/// An address reserved for documentation (RFC 5737, RFC 3849), of the listener's family.
fn made_up(shared: &Shared, listener: Option<ListenerId>) -> SocketAddr {
    let listener = shared.listeners.get(listener.unwrap_or(ListenerId(0)));
    if listener.local.is_ipv4() {
        SocketAddr::from(([192, 0, 2, 1], 5060))
    } else {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 5060))
    }
}

/// Returns the first line, shortened and with unprintable characters replaced.
fn first_line(message: &[u8]) -> String {
    let line = message.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty());
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let shown: String = line.chars().take(LINE_CHARS_MAX).collect();
    if shown.len() < line.len() { format!("{shown}…") } else { shown }
}

/// Characters shown of a first line.
const LINE_CHARS_MAX: usize = 200;
