//! Resolves host names to addresses by RFC 3263, off the message path. Names are resolved when
//! destinations are loaded and again when their time to live is over; the last good answer stays
//! until there is another.
//!
//! | File | Purpose |
//! |---|---|
//! | `wanted` | which name a record asks for |
//! | `locate`, `rank` | which questions must be asked; the resulting addresses and their order (sends nothing) |
//! | `memory` | what was answered, and how long that is valid |
//! | `system`, `servers` | what this machine knows itself, and what name servers say |
//! | `errand` | asks all questions that are needed, within a time limit |

mod errand;
mod locate;
mod memory;
mod question;
mod rank;
mod servers;
mod system;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::destination::{Address, Host, Record, Resolved};
use crate::limits::{NAMES_TOLD_MAX, REFRESH_TIME_MAX, RESOLVE_TIME_MAX};
use errand::{Errand, Errands};
use locate::{Cut, Located};
use memory::Memory;
use system::System;
use wanted::Wanted;

/// Resolves names and remembers the answers.
#[derive(Debug)]
pub struct Resolver {
    /// Questions are asked on this runtime, while the caller waits.
    runtime: Arc<Runtime>,
    state: Mutex<NameCache>,
}

/// The result of a refresh.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Refreshed {
    /// The records with their current addresses, if any address has changed.
    pub records: Option<Vec<Resolved>>,
    /// New warnings, one sentence each.
    pub notes: Vec<String>,
}

#[derive(Debug, Default)]
struct NameCache {
    system: Option<Arc<System>>,
    memory: Memory,
    names: HashMap<Wanted, Name>,
    /// Addresses were found that may not be in force yet.
    is_news: bool,
}

/// What is known of a name.
#[derive(Clone, Debug)]
struct Name {
    /// The last addresses that were found.
    addresses: Vec<Address>,
    trouble: Option<Trouble>,
    /// Where it has more records than are used.
    cuts: Vec<Cut>,
    /// When it must be looked up again.
    due: Instant,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Trouble {
    /// It has no address, and never had one.
    Unknown,
    /// Nobody answers; the addresses from before are used.
    Silent,
    /// Name servers say that it has no address any more; the addresses from before are used.
    Gone,
    /// Nobody answers for SRV records; the addresses of the name itself are used.
    Fallback,
}

impl Resolver {
    /// Creates a resolver that asks on this runtime.
    pub fn new(runtime: Arc<Runtime>) -> Self {
        Self { runtime, state: Mutex::default() }
    }

    /// Creates a resolver that asks on its callers' threads and needs none of its own.
    ///
    /// # Errors
    /// The kernel has no file descriptors left to wait for answers with.
    pub fn alone() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self::new(Arc::new(runtime)))
    }

    /// Resolves the addresses of all records, and returns warnings. It asks these name servers, or
    /// else those of the machine, and only what it does not remember. It waits for them until the
    /// deadline, at most [`RESOLVE_TIME_MAX`] from now. Records keep their order.
    pub fn resolve(
        &self,
        records: Vec<Record>,
        name_servers: &[SocketAddr],
        deadline: Instant,
    ) -> (Vec<Resolved>, Vec<String>) {
        let wanted: Vec<_> = records.iter().map(Wanted::of).collect();
        let names: BTreeSet<_> = wanted.iter().flatten().cloned().collect();
        let deadline = deadline.min(Instant::now() + RESOLVE_TIME_MAX);
        let errands = self.run(names, name_servers, deadline);
        let mut state = self.state();
        // The caller may refuse the records for another reason.
        state.is_news |= state.take_over(errands);
        let resolved = records.into_iter().zip(wanted).map(|(record, wanted)| {
            let addresses = state.addresses(&record, wanted.as_ref());
            Resolved { record, addresses }
        });
        let resolved: Vec<_> = resolved.collect();
        let wanted: BTreeSet<_> = resolved.iter().filter_map(|r| Wanted::of(&r.record)).collect();
        let notes = state.notes(wanted.iter());
        (resolved, notes)
    }

    /// Returns when [`Resolver::refresh`] has something to do; `None` if there are no names.
    pub fn next_refresh(&self) -> Option<Instant> {
        let state = self.state();
        let due = state.names.values().map(|name| name.due).min();
        if state.is_news { due.map(|due| due.min(Instant::now())) } else { due }
    }

    /// Makes a refresh due now, because its last result was not put in force.
    pub fn look_again(&self) {
        self.state().is_news = true;
    }

    /// Resolves the expired names of these records again, and forgets all other names. May take
    /// [`REFRESH_TIME_MAX`].
    pub fn refresh(&self, records: &[Resolved], name_servers: &[SocketAddr]) -> Refreshed {
        let names: BTreeSet<_> = records.iter().filter_map(|r| Wanted::of(&r.record)).collect();
        let deadline = Instant::now() + REFRESH_TIME_MAX;
        let errands = self.run(names.clone(), name_servers, deadline);
        let mut state = self.state();
        state.is_news = false;
        state.forget_but(&errands);
        let before = state.names.clone();
        state.take_over(errands);
        let is_new = |wanted: &&Wanted| {
            let now = &state.names[*wanted];
            before
                .get(*wanted)
                .is_none_or(|before| (before.trouble, &before.cuts) != (now.trouble, &now.cuts))
        };
        let notes = state.notes(names.iter().filter(is_new));
        let mut changed = false;
        let records = records.iter().map(|resolved| {
            let record = resolved.record.clone();
            let addresses = state.addresses(&record, Wanted::of(&record).as_ref());
            changed |= addresses != resolved.addresses;
            Resolved { record, addresses }
        });
        let records: Vec<_> = records.collect();
        Refreshed { records: changed.then_some(records), notes }
    }

    fn run(
        &self,
        names: BTreeSet<Wanted>,
        name_servers: &[SocketAddr],
        deadline: Instant,
    ) -> Vec<Errand> {
        if names.is_empty() {
            return Vec::new();
        }
        let system = {
            let mut state = self.state();
            let system = System::read(name_servers, state.system.take());
            state.system = Some(Arc::clone(&system));
            system
        };
        let errands = Errands::new(&system, &self.state, names);
        self.runtime.block_on(errands.run(deadline))
    }

    fn state(&self) -> MutexGuard<'_, NameCache> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<NameCache>) -> MutexGuard<'_, NameCache> {
    // The answers are usable after a panic: each is stored whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NameCache {
    /// Stores the results; if a name was not found, its last addresses stay. Returns whether an
    /// address changed.
    fn take_over(&mut self, errands: Vec<Errand>) -> bool {
        let mut changes = false;
        for Errand { wanted, located } in errands {
            let before = self.names.get(&wanted);
            let name = Name::of(located, before);
            changes |= name.addresses != before.map(|name| &*name.addresses).unwrap_or_default();
            self.names.insert(wanted, name);
        }
        changes
    }

    fn addresses(&self, record: &Record, wanted: Option<&Wanted>) -> Vec<Address> {
        match (&record.uri.host, wanted.and_then(|wanted| self.names.get(wanted))) {
            (Host::Address(ip), _) => {
                vec![SocketAddr::new(*ip, record.uri.port_or_default()).into()]
            }
            (Host::Name(_), Some(name)) => name.addresses.clone(),
            (Host::Name(_), None) => Vec::new(),
        }
    }

    fn forget_but(&mut self, errands: &[Errand]) {
        let names: HashSet<_> = errands.iter().map(|errand| &errand.wanted).collect();
        self.names.retain(|wanted, _| names.contains(wanted));
        let located = errands.iter().filter_map(|errand| errand.located.as_ref());
        let used = located.flat_map(|located| located.questions.iter().cloned()).collect();
        // The questions of a lookup that was cut short will soon be asked again.
        if errands.iter().all(|errand| errand.located.is_some()) {
            self.memory.keep(&used, Instant::now());
        }
    }

    /// Returns the warnings for these names.
    fn notes<'a>(&self, names: impl Iterator<Item = &'a Wanted>) -> Vec<String> {
        let mut troubled: BTreeMap<Trouble, BTreeSet<String>> = BTreeMap::new();
        let mut cut = BTreeSet::new();
        for wanted in names {
            let Some(name) = self.names.get(wanted) else { continue };
            if let Some(trouble) = name.trouble {
                troubled.entry(trouble).or_default().insert(wanted.name.clone());
            }
            cut.extend(name.cuts.iter().map(|Cut { of, used, all }| {
                format!("{used} of the {all} {of} of {}", wanted.name)
            }));
        }
        let mut notes: Vec<_> =
            troubled.iter().map(|(trouble, names)| trouble.note(names)).collect();
        let problem = self.system.as_ref().and_then(|system| system.problem.clone());
        if let Some(problem) = problem.filter(|_| !notes.is_empty()) {
            notes.push(format!("there is no name server to ask: {problem}"));
        }
        if !cut.is_empty() {
            notes
                .push(format!("more records than a destination may have: used are {}", list(&cut)));
        }
        notes
    }
}

impl Name {
    /// Returns what is known of a name after a lookup; if nothing was found, its last addresses
    /// stay.
    fn of(located: Option<Located>, before: Option<&Self>) -> Self {
        let now = Instant::now();
        let had = before.map(|name| name.addresses.clone()).unwrap_or_default();
        let was_fallback = before.is_some_and(|name| name.trouble == Some(Trouble::Fallback));
        let due = located.as_ref().and_then(|located| located.until).unwrap_or(now);
        let is_silent = located.as_ref().is_none_or(|located| located.is_failing);
        match located {
            // Addresses from an SRV record are better than a guess, so they stay if name servers
            // fail for a while.
            Some(located)
                if !located.addresses.is_empty()
                    && (!located.is_fallback || had.is_empty() || was_fallback) =>
            {
                let trouble = match (located.is_fallback, located.is_stale) {
                    (true, _) => Some(Trouble::Fallback),
                    (false, true) => Some(Trouble::Silent),
                    (false, false) => None,
                };
                Self { addresses: located.addresses, trouble, cuts: located.cuts, due }
            }
            _ => {
                let trouble = match (had.is_empty(), is_silent) {
                    (true, _) => Trouble::Unknown,
                    (false, true) if was_fallback => Trouble::Fallback,
                    (false, true) => Trouble::Silent,
                    (false, false) => Trouble::Gone,
                };
                let cuts = before.map(|name| name.cuts.clone()).unwrap_or_default();
                Self { addresses: had, trouble: Some(trouble), cuts, due }
            }
        }
    }
}

impl Trouble {
    /// Formats one sentence for all names with this trouble.
    fn note(self, names: &BTreeSet<String>) -> String {
        let told = list(names);
        match self {
            Self::Unknown => format!("no address is known for {told}: listed, but not used"),
            Self::Silent => format!("no answer for {told}: the addresses from before stay"),
            Self::Gone => {
                format!("name servers know no address of {told} any more: those from before stay")
            }
            Self::Fallback => {
                let example = names.first().map_or("", String::as_str);
                format!(
                    "name servers fail for the SRV records of {told}: its A and AAAA addresses and \
                     port 5060 are used. If it has no SRV records, write the port, as in \
                     sip:{example}:5060, and neither NAPTR nor SRV is asked for"
                )
            }
        }
    }
}

fn list(names: &BTreeSet<String>) -> String {
    let told: Vec<_> = names.iter().take(NAMES_TOLD_MAX).map(String::as_str).collect();
    let told = told.join(", ");
    match names.len() - names.len().min(NAMES_TOLD_MAX) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// Resolves the names of these records for a caller that asks only once.
pub fn once(records: Vec<Record>, config: &Config) -> (Vec<Resolved>, Vec<String>) {
    match Resolver::alone() {
        Ok(resolver) => resolver.resolve(records, &config.destinations.name_servers, deadline()),
        Err(error) => {
            let literal = |record| {
                let addresses = NameCache::default().addresses(&record, None);
                Resolved { record, addresses }
            };
            let note = format!("names were not resolved: {error}");
            (records.into_iter().map(literal).collect(), vec![note])
        }
    }
}

/// Returns the deadline for a load that starts now.
pub fn deadline() -> Instant {
    Instant::now() + RESOLVE_TIME_MAX
}

#[cfg(test)]
mod tests;
