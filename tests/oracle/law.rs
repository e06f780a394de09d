//! The law of forwarding: what must hold between any datagram that comes to a relay, from anybody,
//! and what leaves because of it. It says who may get a message and what may stand in it; which of
//! several destinations it must be is for others to say.
//!
//! It knows the relay's configuration and its lists, remembers who has asked what, and reads
//! messages with the slow reader. Of the relay's code it uses the names of verdicts and settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use strowger::destination::{Host, Resolved};
use strowger::limits;
use strowger::proxy::{
    Answer, Cause, ForeignRoute, Forwarded, InDialog, Listener, ListenerId, Listeners, Outbox,
    Reason, Rewrite, SetPolicy, Snapshot, Verdict, split_host_port,
};

use super::edits::{self, How};
use super::liberal;
use super::rows::Parts;
use super::text::text_of;
use super::via::{Rport, Via};
use super::{NextVia, Reading, StartLine};

/// What a forwarded message may be longer, besides three times a sent-by: the rest of the Via (153
/// bytes in a stateful set with overload control), of two Record-Routes with tokens of IPv6 addresses
/// (138 each), `received` and `rport` (67), Max-Forwards (18) and Max-Breadth (21).
const GROWTH_MAX: usize = 535;

/// A message that left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) cause: Cause,
    pub(crate) to: SocketAddr,
    pub(crate) listener: ListenerId,
    pub(crate) bytes: Vec<u8>,
}

/// A datagram, and what one worker did with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    /// What the worker decided by.
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) came: &'a [u8],
    pub(crate) source: SocketAddr,
    /// The listener that it came to.
    pub(crate) listener: ListenerId,
    pub(crate) verdict: Verdict,
    pub(crate) sent: &'a [Sent],
    /// There is one transaction more than before.
    pub(crate) begins_transaction: bool,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) bytes: Vec<u8>,
    pub(crate) source: SocketAddr,
    pub(crate) listener: ListenerId,
    forms: Forms,
}

/// How the sets write requests at one moment. A transaction goes on with what was in force when it began.
#[derive(Clone, Debug)]
struct Forms {
    default: (Rewrite, ForeignRoute),
    sets: BTreeMap<u32, (Rewrite, ForeignRoute)>,
}

impl Forms {
    fn of(snapshot: &Snapshot) -> Self {
        let form = |policy: &SetPolicy| (policy.rewrite, policy.foreign_route);
        let sets = snapshot.sets.iter().map(|(set, policy)| (*set, form(policy))).collect();
        Self { default: form(&snapshot.set_default), sets }
    }

    fn get(&self, set: u32) -> (Rewrite, ForeignRoute) {
        self.sets.get(&set).copied().unwrap_or(self.default)
    }
}

/// A destination of a list.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Destination {
    address: SocketAddr,
    set: u32,
    /// As the list says it.
    host_port: String,
}

/// The law for one relay, over all its processes.
#[derive(Debug)]
pub(crate) struct Law {
    listeners: Vec<Listener>,
    /// Hosts and ports that mean the relay.
    names: Vec<(String, u16)>,
    /// All that were ever listed: tokens and pins may still name them.
    destinations: BTreeSet<Destination>,
    /// What can be chosen, as set and address, by the first version of a snapshot.
    active: BTreeMap<u64, BTreeSet<(u32, SocketAddr)>>,
    /// The response addresses of all requests that were forwarded.
    callers: BTreeSet<SocketAddr>,
    /// Requests with a transaction, and those that were tried again, by their branch without the
    /// number of the try.
    begun: HashMap<String, Origin>,
    is_stateful: bool,
    /// Messages are read. That takes time.
    pub(crate) is_thorough: bool,
    /// There were relays before it with the same keys, of whose callers and destinations nothing is
    /// known.
    pub(crate) has_ancestors: bool,
}

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

impl Sent {
    /// All that the outbox holds.
    pub(crate) fn all(outbox: &Outbox, slot: &[u8]) -> Vec<Self> {
        let entries = outbox.entries();
        assert!(entries.len() <= limits::OUTBOX_MAX, "{} messages for one", entries.len());
        let sent = entries.iter().map(|entry| {
            let bytes = outbox.bytes(entry, slot).to_vec();
            assert_eq!(entry.len(), bytes.len());
            Self { cause: entry.cause, to: entry.flow.peer, listener: entry.flow.listener, bytes }
        });
        sent.collect()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The values of all rows that begin with this name, written like this.
    pub(crate) fn rows(&self, name: &str) -> Vec<String> {
        let text = self.text();
        let header = text.split("\r\n\r\n").next().unwrap_or_default();
        let values = header.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")));
        values.map(str::to_owned).collect()
    }

    /// The branch of the topmost Via, in lower case.
    pub(crate) fn branch(&self) -> String {
        branch_of(&self.bytes).expect("a Via with a branch")
    }
}

impl Law {
    pub(crate) fn new(listeners: &Listeners, aliases: &[(String, u16)]) -> Self {
        let listeners: Vec<_> = listeners.iter().map(|(_, listener)| listener.clone()).collect();
        let mut names = aliases.to_vec();
        for Listener { local, sent_by, .. } in &listeners {
            let (ip, port) = (local.ip(), local.port());
            names.push((if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }, port));
            names.extend(split_host_port(sent_by).map(|(host, port)| (host.to_owned(), port)));
        }
        Self {
            listeners,
            names,
            destinations: BTreeSet::new(),
            active: BTreeMap::new(),
            callers: BTreeSet::new(),
            begun: HashMap::new(),
            is_stateful: false,
            is_thorough: true,
            has_ancestors: false,
        }
    }

    /// From this version of the snapshot on these are the destinations.
    pub(crate) fn load(&mut self, version: u64, records: &[Resolved]) {
        let active = self.active.entry(version).or_default();
        for Resolved { record, addresses } in records {
            let host = match &record.uri.host {
                Host::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
                Host::Address(ip) => ip.to_string(),
                Host::Name(name) => name.clone(),
            };
            let host_port = record.uri.port.map_or(host.clone(), |port| format!("{host}:{port}"));
            for address in addresses {
                let (address, set) = (address.socket, record.set);
                let host_port = host_port.clone();
                self.destinations.insert(Destination { address, set, host_port });
                if record.flags.is_selectable() {
                    active.insert((set, address));
                }
            }
        }
    }

    /// Another process without the transactions of the last one.
    pub(crate) fn restart(&mut self) {
        self.begun.clear();
    }

    /// Somebody has asked without the relay's knowledge.
    pub(crate) fn has_asked(&mut self, address: SocketAddr) {
        self.callers.insert(address);
    }

    /// Whether this is one of the relay's own addresses.
    pub(crate) fn is_ours(&self, address: SocketAddr) -> bool {
        self.listeners.iter().any(|listener| listener.local == address)
    }

    /// The request that has or had the transaction of this message of the relay.
    pub(crate) fn origin(&self, sent: &[u8]) -> Option<&Origin> {
        self.begun.get(&without_try(&branch_of(sent)?))
    }

    /// Whether everything was as it must be, with all of it in the error if not.
    pub(crate) fn judge(&mut self, case: &Case) -> Result<(), String> {
        self.judge_datagram(case).map_err(|what| {
            let left: String = case.sent.iter().map(shown).collect();
            let Case { source, listener, verdict, came, .. } = case;
            let came = readable(came);
            format!("{what}\n{verdict:?}: came from {source} to {listener:?}:\n{came}\n{left}")
        })
    }

    /// The same of what was due without a datagram.
    pub(crate) fn judge_due(&mut self, snapshot: &Snapshot, sent: &[Sent]) -> Result<(), String> {
        for one in sent {
            let judged = match one.cause {
                Cause::Transaction => self.of_transaction(snapshot, None, one),
                other => Err(format!("{other:?} without a datagram")),
            };
            judged.map_err(|what| format!("{what}\n{}", shown(one)))?;
        }
        Ok(())
    }

    fn judge_datagram(&mut self, case: &Case) -> Result<(), String> {
        let Case { snapshot, verdict, .. } = *case;
        self.is_stateful |= snapshot.policy.is_stateful;
        let wanted = match verdict {
            Verdict::Forwarded(_) => Some(Cause::Forward),
            Verdict::Answered(_) => Some(Cause::Answer),
            Verdict::Dropped(_) | Verdict::HandedOver(_) => None,
        };
        ensure!(verdict != Verdict::Dropped(Reason::Panicked), "it panicked");
        let (of_transactions, others): (Vec<_>, Vec<_>) =
            case.sent.iter().partition(|sent| sent.cause == Cause::Transaction);
        let causes: Vec<_> = others.iter().map(|sent| sent.cause).collect();
        ensure!(
            causes == Vec::from_iter(wanted),
            "one message as the verdict says, not {causes:?}"
        );
        ensure!(of_transactions.is_empty() || self.is_stateful, "a transaction that nobody wanted");
        if let Verdict::HandedOver(_) = verdict {
            ensure!(case.sent.is_empty() && snapshot.policy.is_stateful, "handed over, and sent");
        }
        if let Some(sent) = others.first() {
            self.leaves_well(sent)?;
        }
        match (verdict, others.first()) {
            (Verdict::Answered(answer), Some(sent)) => self.answered(case, answer, sent)?,
            (Verdict::Forwarded(how), Some(sent)) => self.forwarded(case, how, sent)?,
            _ => {}
        }
        for sent in of_transactions {
            self.of_transaction(snapshot, Some(case.source), sent)?;
        }
        Ok(())
    }

    /// From a listener of its family, to an address of somebody else.
    fn leaves_well(&self, Sent { to, listener, .. }: &Sent) -> Result<(), String> {
        let local = self.listener(*listener).local;
        ensure!(local.is_ipv4() == to.is_ipv4(), "from {local} to {to}");
        ensure!(to.port() != 0, "to port 0");
        ensure!(!self.is_ours(*to), "to itself, {to}");
        Ok(())
    }

    /// To the sender only, by the way it came, hardly more than came, and neither to an ACK nor to a
    /// response (§8.2.6, §17, §18.2.2).
    fn answered(&self, case: &Case, answer: Answer, sent: &Sent) -> Result<(), String> {
        let text = case.came.trim_ascii_start();
        let is_silent =
            text.starts_with(b"ACK ") || text.to_ascii_uppercase().starts_with(b"SIP/2.0 ");
        ensure!(!is_silent, "an answer to an ACK or a response");
        if answer == Answer::Repeated {
            // A destination's response, or an answer of a transaction, which goes to who has sent the
            // request first.
            let has_asked = sent.to.ip() == case.source.ip() || self.is_caller(sent.to);
            ensure!(has_asked, "{} has asked nothing", sent.to);
            let reading = Reading::of(&sent.bytes);
            let is_response = matches!(reading.start_line, StartLine::Response { .. });
            ensure!(is_response, "no response: {:?}", reading.start_line);
            return Ok(());
        }
        let is_back = sent.to.ip() == case.source.ip() && sent.listener == case.listener;
        ensure!(is_back, "an answer to {} from {:?}", sent.to, sent.listener);
        let len_max = case.came.len() + case.came.len() / 8;
        ensure!(sent.bytes.len() <= len_max, "{} bytes are answered with more", case.came.len());
        if !self.is_thorough {
            return Ok(());
        }
        let (asked, read) = (Reading::of(case.came), Reading::of(&sent.bytes));
        ensure!(!is_ack_or_response(&asked.start_line), "an answer to an ACK or a response");
        let StartLine::Response { code } = read.start_line else {
            return Err(format!("no response: {:?}", read.start_line));
        };
        let codes = codes_of(answer, case.snapshot);
        ensure!(codes.contains(&code), "{code} instead of one of {codes:?}");
        let (Some(via), None) = (&asked.top_via, asked.fault) else { return Ok(()) };
        ensure!(read.fault.is_none(), "a malformed answer: {:?}", read.fault);
        let to = self.response_address(via, case.source, case.listener);
        ensure!(sent.to == to, "an answer to {}, not to {to}", sent.to);
        let force_rport = self.listener(case.listener).force_rport;
        edits::check_answer((case.came, &asked), (&sent.bytes, &read), case.source, force_rport)
    }

    /// To where it may go, and still the message that came.
    fn forwarded(&mut self, case: &Case, how: Forwarded, sent: &Sent) -> Result<(), String> {
        let (came_len, left_len) = (case.came.len(), sent.bytes.len());
        ensure!(left_len <= came_len + self.growth_max(), "{left_len} bytes of {came_len}");
        self.is_destination(case, how, sent.to)?;
        if !self.is_thorough {
            return Ok(());
        }
        let (came, left) = (Reading::of(case.came), Reading::of(&sent.bytes));
        let faults = (came.fault, left.fault);
        ensure!(faults == (None, None), "forwarded in spite of a fault: {faults:?}");
        reads_alike(&left, case.snapshot, &sent.bytes)?;
        if matches!(how, Forwarded::Response | Forwarded::ViaParameterLost) {
            let NextVia::Is(next) = &came.next_via else {
                return Err(format!("no next Via: {:?}", came.next_via));
            };
            let said = next_address(next);
            ensure!(said == Some(sent.to), "to {}, but its next Via says {said:?}", sent.to);
            // Without our parameter nothing proves `received` and `rport` of the next Via: that address must
            // at least be one that requests may come from.
            let may_ask =
                how == Forwarded::ViaParameterLost && case.snapshot.policy.allows(&sent.to);
            ensure!(may_ask || self.is_caller(sent.to), "{} has asked nothing", sent.to);
            return edits::check_response(case.came, &came, &sent.bytes);
        }
        if how == Forwarded::Token {
            let is_of_dialog =
                self.is_listed(sent.to) || self.is_caller(sent.to) || self.is_route(case, sent.to);
            ensure!(is_of_dialog, "{} is nobody of this dialog", sent.to);
        }
        if let (Forwarded::Hash, StartLine::Request { method, .. }) = (how, &came.start_line) {
            let is_later = came.to_tag.is_some() || method == "CANCEL";
            ensure!(is_later, "a {method} outside dialogs by the hash alone");
        }
        let via = came.top_via.as_ref().ok_or("no Via")?;
        self.callers.insert(self.response_address(via, case.source, case.listener));
        let Case { source, listener, .. } = *case;
        let forms = Forms::of(case.snapshot);
        let origin = Origin { bytes: case.came.to_vec(), source, listener, forms };
        self.check_request(case.snapshot, (&origin, &came), how, sent)?;
        if case.begins_transaction || how == Forwarded::Retried {
            let branch = left.top_via.and_then(|via| via.branch).ok_or("no branch")?;
            self.begun.insert(without_try(&branch), origin);
        }
        Ok(())
    }

    /// A destination that can be chosen now if it is new, one that was ever listed if it is not.
    fn is_destination(&self, case: &Case, how: Forwarded, to: SocketAddr) -> Result<(), String> {
        let Snapshot { version, policy, draining, .. } = case.snapshot;
        let set = self.listener(case.listener).set.unwrap_or(policy.set);
        let (_, active) = self.active.range(..=version).next_back().ok_or("no list")?;
        match how {
            Forwarded::Chosen | Forwarded::Hash => {
                ensure!(active.contains(&(set, to)), "{to} is not active in set {set}");
            }
            // In the set that it was sent to first.
            Forwarded::Retried => {
                ensure!(active.iter().any(|(_, address)| *address == to), "{to} is not active");
            }
            Forwarded::Pinned | Forwarded::CallPin | Forwarded::RequestUri => {
                ensure!(self.is_listed(to), "{to} was never listed");
            }
            Forwarded::Token | Forwarded::Response | Forwarded::ViaParameterLost => {}
        }
        let is_new = matches!(how, Forwarded::Chosen | Forwarded::Retried);
        ensure!(!(is_new && *draining), "a new request in spite of draining");
        Ok(())
    }

    /// Only what a proxy must change was changed.
    fn check_request(
        &self,
        snapshot: &Snapshot,
        (origin, came): (&Origin, &Reading),
        how: Forwarded,
        sent: &Sent,
    ) -> Result<(), String> {
        let arrival = self.listener(origin.listener);
        let egress = &self.listener(sent.listener).sent_by;
        let check = |set: Option<(&SetPolicy, ForeignRoute)>, how| {
            let mut records = Vec::new();
            if set.is_some_and(|(set, _)| set.record_route) {
                records.push(egress.as_str());
                records.extend((origin.listener != sent.listener).then_some(&*arrival.sent_by));
            }
            let relay = edits::Relay {
                sent_by: egress,
                records,
                names: &self.names,
                keeps_foreign_routes: set.is_some_and(|(_, routes)| routes == ForeignRoute::Keep),
                max_breadth: snapshot.policy.max_breadth,
                force_rport: arrival.force_rport,
            };
            edits::check_request((&origin.bytes, came), &sent.bytes, origin.source, &relay, &how)
        };
        let repeats_invite = matches!(&came.start_line,
            StartLine::Request { method, .. } if method == "ACK" || method == "CANCEL");
        match how {
            Forwarded::Token => check(None, How::Token),
            Forwarded::Chosen | Forwarded::Retried | Forwarded::Pinned => {
                self.check_dispatched(snapshot, &origin.forms, sent.to, check)
            }
            Forwarded::Hash if repeats_invite => {
                self.check_dispatched(snapshot, &origin.forms, sent.to, check)
            }
            _ => check(None, How::Other),
        }
    }

    /// Of several destinations at one address any may be meant.
    fn check_dispatched(
        &self,
        snapshot: &Snapshot,
        forms: &Forms,
        to: SocketAddr,
        check: impl Fn(Option<(&SetPolicy, ForeignRoute)>, How) -> Result<(), String>,
    ) -> Result<(), String> {
        let of_address = self.destinations.iter().filter(|one| one.address == to);
        let checked = of_address.map(|Destination { set, host_port, .. }| {
            let (rewrite, routes) = forms.get(*set);
            let rewrite = (rewrite == Rewrite::Domain).then(|| host_port.clone());
            check(Some((snapshot.set_policy(*set), routes)), How::Dispatched { rewrite })
        });
        checked.reduce(Result::or).unwrap_or_else(|| Err(format!("{to} was never listed")))
    }

    /// What a transaction sends by itself. To a caller: a 100 or a final response. To a destination:
    /// the request as any other that is forwarded, or the ACK or CANCEL that belongs to it.
    fn of_transaction(
        &self,
        snapshot: &Snapshot,
        source: Option<SocketAddr>,
        sent: &Sent,
    ) -> Result<(), String> {
        let Sent { to, bytes, .. } = sent;
        self.leaves_well(sent)?;
        if !self.is_thorough {
            return Ok(());
        }
        let read = Reading::of(bytes);
        ensure!(read.fault.is_none(), "malformed: {:?}", read.fault);
        let method = match &read.start_line {
            StartLine::Request { method, .. } => method,
            StartLine::Response { code } => {
                let has_asked = source.is_some_and(|source| source.ip() == to.ip());
                ensure!(has_asked || self.is_caller(*to), "{to} has asked nothing");
                ensure!(*code == 100 || *code >= 200, "{code} by a transaction");
                return Ok(());
            }
            other => return Err(format!("{other:?} by a transaction")),
        };
        ensure!(self.is_listed(*to), "{to} was never listed");
        let origin = self.origin(bytes).ok_or("no request had this transaction")?;
        if method == "ACK" || method == "CANCEL" {
            let parts = Parts::of(&text_of(bytes))?;
            let is_bare = parts.all("via").count() == 1 && parts.body.is_empty();
            ensure!(is_bare, "a {method} with a body or more than one Via");
            return Ok(());
        }
        let (came_len, left_len) = (origin.bytes.len(), bytes.len());
        ensure!(left_len <= came_len + self.growth_max(), "{left_len} bytes of {came_len}");
        let came = Reading::of(&origin.bytes);
        self.check_request(snapshot, (origin, &came), Forwarded::Chosen, sent)
    }

    fn listener(&self, id: ListenerId) -> &Listener {
        &self.listeners[usize::from(id.0)]
    }

    fn growth_max(&self) -> usize {
        let sent_bys = self.listeners.iter().map(|listener| listener.sent_by.len());
        GROWTH_MAX + 3 * sent_bys.max().unwrap_or(0)
    }

    fn is_listed(&self, address: SocketAddr) -> bool {
        self.has_ancestors || self.destinations.iter().any(|one| one.address == address)
    }

    fn is_caller(&self, address: SocketAddr) -> bool {
        self.has_ancestors || !self.is_thorough || self.callers.contains(&address)
    }

    /// A place that the operator lets requests in a dialog be routed to, those of callers only if a set
    /// says so.
    fn is_route(&self, case: &Case, to: SocketAddr) -> bool {
        let (snapshot, ip) = (case.snapshot, to.ip());
        let is_callee = || self.destinations.iter().any(|d| d.address.ip() == case.source.ip());
        let follows_route = |set: &SetPolicy| set.in_dialog == InDialog::Route;
        let mut sets = snapshot.sets.values().chain([&snapshot.set_default]);
        if !(sets.any(follows_route) || is_callee()) {
            return false;
        }
        // Where destinations are on this machine, their callers may be.
        let is_loopback_used = self.destinations.iter().any(|one| one.address.ip().is_loopback());
        let is_one_host = !ip.is_multicast() && !ip.is_unspecified();
        is_one_host
            && (is_loopback_used || !ip.is_loopback())
            && snapshot.policy.in_dialog_to.iter().any(|prefix| prefix.contains(ip))
    }

    /// §18.2.2 and RFC 3581 §4: where answers to a request with this topmost Via go.
    fn response_address(&self, via: &Via, source: SocketAddr, to: ListenerId) -> SocketAddr {
        response_address(via, source, self.listener(to).force_rport)
    }
}

/// The same without a relay.
pub(crate) fn response_address(via: &Via, source: SocketAddr, force_rport: bool) -> SocketAddr {
    let uses_source = force_rport || via.rport != Rport::Absent;
    let port = if uses_source { source.port() } else { via.port.unwrap_or(5060) };
    SocketAddr::new(source.ip(), port)
}

/// §18.2.2: where a response with this Via on top goes, as the proxy recorded it.
fn next_address(via: &Via) -> Option<SocketAddr> {
    let host = via.received.as_ref().unwrap_or(&via.host);
    let ip = host.trim_matches(['[', ']']).parse().ok()?;
    let port = match via.rport {
        Rport::Port(port) => port,
        _ => via.port.unwrap_or(5060),
    };
    Some(SocketAddr::new(ip, port))
}

/// Whatever a server allows itself when it reads, it sees the same message.
fn reads_alike(strict: &Reading, snapshot: &Snapshot, left: &[u8]) -> Result<(), String> {
    let uses_max_breadth = snapshot.policy.max_breadth.is_some();
    for (liberty, seen) in liberal::read_all(left, &liberal::ALL) {
        if let Some(difference) = liberal::difference(strict, &seen, uses_max_breadth) {
            return Err(format!("{liberty:?} reads it differently:\n{difference}"));
        }
    }
    Ok(())
}

/// The branch of the topmost Via, in lower case.
pub(crate) fn branch_of(message: &[u8]) -> Option<String> {
    Some(Reading::of(message).top_via?.branch?.to_ascii_lowercase())
}

/// What the branches of all tries have in common: the last digit is the number of the try.
fn without_try(branch: &str) -> String {
    branch[..branch.len() - 1].to_ascii_lowercase()
}

fn is_ack_or_response(line: &StartLine) -> bool {
    match line {
        StartLine::Request { method, .. }
        | StartLine::OtherVersion { method, .. }
        | StartLine::BadRequest { method } => method == "ACK",
        StartLine::Response { .. } | StartLine::BadResponse | StartLine::NotSip => true,
    }
}

/// The status codes that an answer may have, of whichever set it is.
fn codes_of(answer: Answer, snapshot: &Snapshot) -> Vec<u16> {
    let sets = || snapshot.sets.values().chain([&snapshot.set_default]);
    match answer {
        Answer::NoDestination => sets().map(|set| set.no_destination.code).collect(),
        Answer::Overloaded => vec![503],
        answer if answer.is_over_limit() => sets().map(|set| set.over_limit.status.code).collect(),
        other => vec![other.label().parse().expect("a code")],
    }
}

fn shown(Sent { cause, to, listener, bytes }: &Sent) -> String {
    format!("left ({cause:?}) to {to} from {listener:?}:\n{}\n", readable(bytes))
}

fn readable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\r\\n", "\\r\\n\n")
}
