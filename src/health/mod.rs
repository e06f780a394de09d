//! Watches the destinations: decides when each is probed, and what probes and live traffic make of
//! its state.
//!
//! It owns no socket, clock or thread. The control thread tells it what happened, sends the probes
//! it asks for and puts the changes of state it decides into force. Its only randomness, for jitter,
//! comes from a seed.
//!
//! # Which one counts
//!
//! Probes and live traffic can contradict each other. Four rules decide:
//!
//! 1. **A proof counts at once**: an answer to a probe, an ICMP error that quotes a message of ours,
//!    unanswered requests from three sources, failed calls of three callers to three numbers whose
//!    share is clearly above that of the others. Anything less (an ICMP error that may be forged,
//!    silence towards one of several callers, failed calls of one of them) only asks for a probe at
//!    once.
//! 2. **Answered requests count more than an unanswered probe.** A destination that answers new
//!    requests while a probe waits for its timeout has not failed: it does not answer probes, or is
//!    too busy to. A probe that it *refuses* counts, since that is the server's own statement.
//! 3. **Unanswered requests count more than an answered probe**, but an answered probe has the next
//!    word: live traffic takes a destination out, and the first probe that it answers from then on
//!    brings it back. If traffic then takes it out again before it has answered a single request,
//!    answers to probes do not count for a pause, which doubles each time.
//!    An answered probe says nothing about calls that are answered with 5xx.
//! 4. **A destination that never answered a probe is judged by its traffic alone.** After a pause it
//!    gets calls again, as a trial.
//!
//! With passive detection off, what remains is Kamailio's state machine.

mod latency;
mod member;
mod pace;
mod prober;
mod random;
mod rate;
mod reason;
mod rule;
mod settings;
mod share;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

pub use latency::Latency;
pub use reason::{ChangeReason, FailedShare};
pub use settings::{Codes, Mode, Passive, Probing, probe_method, proxy_address};

use crate::clock::Now;
use crate::destination::{Flags, Slot};
use crate::limits::{SENDERS_MS, WINDOW_MS};
use crate::listener::ListenerId;
use member::{Busy, Judged, Member, Outcome};
use prober::{EndpointId, Prober, Want};
use rule::is_disabled;
use share::{Numbers, Share, median_of_others};

/// A destination to watch: a slot of the registry.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its slot.
    pub slot: Slot,
    /// Its set.
    pub set: u32,
    /// Its address.
    pub address: SocketAddr,
    /// The listener that probes leave from.
    pub listener: ListenerId,
    /// Its URI, for the Request-URI and To of probes.
    pub uri: Arc<str>,
    /// Its flags in force.
    pub flags: Flags,
    /// Whether an operator or the source has set these flags since the last
    /// [`follow`](Health::follow).
    pub from_operator: bool,
    /// How long it takes to answer, as the source says, in milliseconds.
    pub latency_ms: Option<u32>,
    /// Only what its latency now is above its average counts: the attribute `cc`.
    pub congestion_control: bool,
    /// How it is probed: [`Probing::with_attributes`].
    pub probing: Arc<Probing>,
    /// How its live traffic counts.
    pub passive: Arc<Passive>,
}

/// A probe to send. Copies of a probe have the same number, and are the same message.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its number, which comes back with the answer.
    pub number: u32,
    /// When it was sent first.
    pub started_at: Now,
    /// The destination that it is for; the first of those that share it.
    pub slot: Slot,
    /// The listener that it leaves from.
    pub listener: ListenerId,
    /// Where it goes.
    pub to: SocketAddr,
    /// The URI in its first line and in To.
    pub uri: Arc<str>,
    /// Its method, From and Max-Forwards.
    pub settings: Arc<Probing>,
}

/// A change of state to put into force.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The destination.
    pub slot: Slot,
    /// All of its flags from now on.
    pub flags: Flags,
    /// Why.
    pub reason: ChangeReason,
}

/// What to do now.
#[derive(Debug, Default)]
pub struct Actions {
    /// Probes to send.
    pub probes: Vec<Probe>,
    /// States that change.
    pub changes: Vec<Change>,
}

/// The traffic of a destination, summed up over all workers. All but the last four only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SlotTraffic {
    /// New requests sent to it.
    pub requests: u64,
    /// New requests that it answered, counted at the first response.
    pub answered: u64,
    /// Responses of any kind.
    pub heard: u64,
    /// New INVITEs sent to it.
    pub calls: u64,
    /// INVITEs whose time to the first response is known.
    pub calls_answered: u64,
    /// The sum of these times, in milliseconds.
    pub answer_ms: u64,
    /// INVITEs answered with 503.
    pub busy: u64,
    /// INVITEs answered with another 5xx.
    pub failed: u64,
    /// A bit for each source of requests since it was last heard, by a hash of its address.
    pub sources: u64,
    /// A bit for each caller of calls that failed since the last reading, by a hash.
    pub failed_callers: u64,
    /// The same of the called numbers.
    pub failed_numbers: u64,
    /// The longest Retry-After of the calls answered with 503 since the last reading, in seconds.
    pub retry_after_s: Option<u32>,
}

/// What is known of a destination, for lists.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Its flags.
    pub flags: Flags,
    /// Why it has them.
    pub reason: ChangeReason,
    /// Kamailio's `PROBING_COUNT`: consecutive failures, or successes while it is inactive.
    pub count: u32,
    /// Since when it is out because of what was seen here.
    pub out_since: Option<Now>,
    /// Until when no answer to a probe brings it back.
    pub out_until: Option<Now>,
    /// Until when it is full.
    pub full_until: Option<Now>,
    /// When it gets calls to see whether it answers, unless it answers a probe before.
    pub trial_at: Option<Now>,
    /// It gets calls to see whether it answers.
    pub is_on_trial: bool,
    /// How long its last answer to a probe took.
    pub answer_ms: Option<u64>,
    /// How long its answers took.
    pub latency: Latency,
    /// When it sent a response last, to whatever request.
    pub heard_at: Option<Now>,
    /// Since when requests wait while nothing at all is heard from it.
    pub silent_since: Option<Now>,
}

/// What the algorithms that go by latency know of a destination.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// For `fastest`: how long it takes to answer, in microseconds; 0 if that is not known.
    pub answer_us: u64,
    /// For `latency`: what is taken from its priority, in milliseconds.
    pub late_ms: u64,
}

/// What happened, as counters that only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Datagrams of probes, copies included.
    pub probes_sent: u64,
    /// Copies among them.
    pub probes_repeated: u64,
    /// Probes that were answered.
    pub probes_answered: u64,
    /// Probes without an answer within their timeout.
    pub probes_unanswered: u64,
    /// Answers that came too late, or twice.
    pub answers_late: u64,
    /// Answers that came from another address than the one probed.
    pub answers_from_elsewhere: u64,
    /// Unanswered probes that did not count, because requests were answered meanwhile.
    pub probes_contradicted: u64,
    /// ICMP errors that could not be told from forged ones.
    pub unproven_errors: u64,
    /// Changes of state.
    pub changes: u64,
}

/// All destinations and what is known of them. Its size is bounded by the number of slots.
#[derive(Debug)]
pub struct Health {
    /// By slot number.
    members: Vec<Option<Box<Member>>>,
    by_address: HashMap<SocketAddr, Vec<Slot>>,
    sets: BTreeMap<u32, Vec<Slot>>,
    prober: Prober,
    is_probing: bool,
    timers: BTreeSet<(u64, u16)>,
    /// Destinations whose flags may differ from those told.
    changed: BTreeSet<u16>,
    /// Sets in which the number of selectable destinations may have changed.
    changed_sets: BTreeSet<u32>,
    /// When the first of these changed.
    changed_at: Option<Now>,
    /// When the counters were last read.
    read_at: Option<Now>,
    /// The sources of requests now, and in the 10 s before.
    senders: [u64; 2],
    /// Since when they are those of now.
    senders_at: Option<Now>,
    counters: Counters,
}

impl Health {
    /// Creates it without destinations.
    pub fn new(seed: u64) -> Self {
        Self {
            members: Vec::new(),
            by_address: HashMap::new(),
            sets: BTreeMap::new(),
            prober: Prober::new(seed),
            is_probing: true,
            timers: BTreeSet::new(),
            changed: BTreeSet::new(),
            changed_sets: BTreeSet::new(),
            changed_at: None,
            read_at: None,
            senders: [0; 2],
            senders_at: None,
            counters: Counters::default(),
        }
    }

    /// Sets the limit of probes per second over all destinations.
    pub fn limit_probes(&mut self, per_second: u32) {
        self.prober.limit(per_second);
    }

    /// Starts or stops probing as a whole (`dispatcher.ping_active`). Probes on their way end as
    /// always.
    pub fn set_probing(&mut self, now: Now, is_on: bool) {
        if self.is_probing == is_on {
            return;
        }
        self.is_probing = is_on;
        for slot in self.slots() {
            self.with(now, slot, |member| member.put_off_trial(now));
        }
        for id in self.prober.ids() {
            self.plan(now, id);
        }
    }

    /// Takes over the destinations in force, after every change of the snapshot. New ones start
    /// fresh. A known one keeps its counts if its slot, set, address and URI are the same, unless an
    /// operator or the source has set its flags.
    pub fn follow(&mut self, now: Now, targets: Vec<Target>) {
        let mut known = std::mem::take(&mut self.members);
        self.by_address.clear();
        self.sets.clear();
        self.changed.clear();
        self.prober.clear_members();
        for target in targets {
            let at = usize::from(target.slot.0);
            let (slot, set) = (target.slot, target.set);
            let endpoint = self.prober.add_member(
                slot,
                target.address,
                target.listener,
                &target.uri,
                &target.probing,
            );
            self.by_address.entry(target.address).or_default().push(slot);
            self.sets.entry(set).or_default().push(slot);
            self.changed_sets.insert(set);
            let before = known.get_mut(at).and_then(Option::take);
            let member = match before.filter(|member| is_same(&member.target, &target)) {
                Some(mut member) => {
                    member.follow(now, target, endpoint);
                    member
                }
                None => Box::new(Member::new(now, target, endpoint)),
            };
            if member.flags != member.told {
                self.changed.insert(slot.0);
            }
            if self.members.len() <= at {
                self.members.resize_with(at + 1, || None);
            }
            self.members[at] = Some(member);
        }
        self.prober.remove_unused();
        // Timers of destinations that are gone.
        self.timers.clear();
        for slot in self.slots() {
            if let Some(member) = self.member_mut(slot) {
                member.timer = None;
            }
            self.with(now, slot, |_| ());
        }
        for id in self.prober.ids() {
            self.plan(now, id);
        }
        self.changed_at = Some(now);
    }

    /// Takes the answer to a probe. A provisional one is none.
    ///
    /// An answer from another address counts, too: who sends it has read the probe, and servers with
    /// several addresses do that.
    pub fn probe_answered(
        &mut self,
        now: Now,
        probe: u32,
        code: u16,
        retry_after_s: Option<u32>,
        source: SocketAddr,
    ) {
        if code < 200 {
            return;
        }
        let Some(id) = self.prober.answered(now, probe) else {
            self.counters.answers_late += 1;
            return;
        };
        self.counters.probes_answered += 1;
        if self.prober.get(id).is_some_and(|endpoint| endpoint.to() != source) {
            self.counters.answers_from_elsewhere += 1;
        }
        self.conclude(now, id, Outcome::Answered { code, retry_after_s });
    }

    /// Takes an ICMP error about something sent to this address.
    ///
    /// `is_proven`: it quotes a message of ours. `probe`: that message is this probe. Errors that do
    /// not mean that a destination is unreachable are ignored, such as "message too long".
    pub fn unreachable(
        &mut self,
        now: Now,
        address: SocketAddr,
        errno: i32,
        is_proven: bool,
        probe: Option<u32>,
    ) {
        if reason::name_of(errno).is_none() {
            return;
        }
        if !is_proven {
            self.counters.unproven_errors += 1;
            for slot in self.at(address) {
                self.doubt(now, slot, |member| member.is_watched() && member.hears_icmp());
            }
            return;
        }
        if let Some(id) = probe.and_then(|probe| self.prober.undelivered(probe)) {
            self.conclude(now, id, Outcome::Unreachable { errno });
        }
        for slot in self.at(address) {
            let reason = ChangeReason::Unreachable { errno };
            self.judge(now, slot, |member| {
                if member.hears_icmp() {
                    member.take_out(now, reason);
                }
            });
        }
    }

    /// Takes the counters of all workers, every [`WINDOW_MS`]. `senders` has a bit for each address
    /// that sent requests since the last reading, and `of` returns the counters of a slot.
    pub fn traffic(&mut self, now: Now, senders: u64, of: impl Fn(Slot) -> SlotTraffic) {
        self.note_senders(now, senders);
        let passed_ms = self.read_at.map_or(0, |at| now.ms().saturating_sub(at.ms()));
        let windows = (passed_ms / WINDOW_MS) as usize;
        // The rest of a window counts with the next reading.
        if self.read_at.is_none() || windows > 0 {
            self.read_at = Some(Now::from_ms(now.ms() - passed_ms % WINDOW_MS));
        }
        let mut heard_while_out = Vec::new();
        let mut silent = Vec::new();
        let mut failing = BTreeSet::new();
        for slot in self.slots() {
            let counters = of(slot);
            let Some(member) = self.member_mut(slot) else { continue };
            member.pace.calls(now, counters);
            if !member.is_passive() {
                continue;
            }
            let seen = member.traffic.read(now, windows, counters);
            let limit = u64::from(member.target.passive.silence_requests);
            let is_out = member.out.is_some() && seen.was_heard;
            let is_silent =
                limit > 0 && member.is_watched() && member.traffic.silence(now).requests >= limit;
            if seen.has_failed_calls && member.is_watched() {
                failing.insert(member.target.set);
            }
            if seen.has_answered && member.is_unproven() {
                self.judge(now, slot, Member::has_answered_requests);
            }
            if is_out {
                heard_while_out.push(slot);
            }
            if is_silent {
                silent.push(slot);
            }
        }
        for slot in heard_while_out {
            self.doubt(now, slot, |member| member.out.is_some());
        }
        for slot in silent {
            self.is_silent(now, slot);
        }
        for set in failing {
            self.compare_shares(now, set);
        }
    }

    /// Tells the figures of each destination that differ from those told before.
    pub fn figures(&mut self, now: Now, mut tell: impl FnMut(Slot, Figures)) {
        for member in self.members.iter_mut().flatten() {
            let figures = member.figures(now);
            if member.told_figures != Some(figures) {
                member.told_figures = Some(figures);
                tell(member.target.slot, figures);
            }
        }
    }

    /// Returns when [`Health::tick`] has something to do.
    pub fn next_due(&self) -> Option<Now> {
        let timer = self.timers.first().map(|(ms, _)| Now::from_ms(*ms));
        [timer, self.prober.due(), self.changed_at].into_iter().flatten().min()
    }

    /// Adds the probes to send now, and the states that change.
    pub fn tick(&mut self, now: Now, out: &mut Actions) {
        for failed in self.prober.failed(now) {
            self.counters.probes_unanswered += 1;
            let started_at = failed.started_at;
            self.conclude(now, failed.endpoint, Outcome::Unanswered { started_at });
        }
        while let Some((ms, number)) =
            self.timers.first().copied().filter(|(ms, _)| *ms <= now.ms())
        {
            self.timers.remove(&(ms, number));
            let is_probing = self.is_probing;
            self.judge(now, Slot(number), |member| {
                member.timer = None;
                member.timeout(now, is_probing);
            });
        }
        let before = out.probes.len();
        self.counters.probes_repeated += self.prober.send(now, &mut out.probes);
        self.counters.probes_sent += (out.probes.len() - before) as u64;
        for set in std::mem::take(&mut self.changed_sets) {
            self.look_at_set(set);
        }
        for number in std::mem::take(&mut self.changed) {
            let Some(member) = self.member_mut(Slot(number)) else { continue };
            if member.flags == member.told {
                continue;
            }
            member.told = member.flags;
            let (flags, reason) = (member.flags, member.reason);
            out.changes.push(Change { slot: Slot(number), flags, reason });
            self.counters.changes += 1;
        }
        self.changed_at = None;
    }

    /// Returns what is known of a destination; `None` if it is not watched.
    pub fn view(&self, slot: Slot) -> Option<View> {
        let member = self.members.get(usize::from(slot.0))?.as_deref()?;
        Some(View {
            flags: member.flags,
            reason: member.reason,
            count: member.count,
            out_since: member.out.map(|out| out.since),
            out_until: member.out.map(|out| out.until),
            full_until: member.full_until(),
            trial_at: member.trial_at(),
            is_on_trial: member.is_on_trial(),
            answer_ms: self.prober.get(member.endpoint).and_then(|endpoint| endpoint.answer_ms),
            latency: member.latency,
            heard_at: member.pace.heard_at(),
            silent_since: member.traffic.silent_since(),
        })
    }

    /// Returns what happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the number of probes without an answer.
    pub fn open_probes(&self) -> usize {
        self.prober.open_probes()
    }

    /// Takes the result of a probe for all destinations that it serves.
    fn conclude(&mut self, now: Now, id: EndpointId, outcome: Outcome) {
        let Some(endpoint) = self.prober.get(id) else { return };
        let (members, answer_ms) = (endpoint.members.clone(), endpoint.answer_ms);
        let mut is_contradicted = false;
        for slot in members {
            if let Some(member) = self.member_mut(slot) {
                member.measure(now, outcome, answer_ms);
            }
            let judged = self.with(now, slot, |member| member.judge(now, outcome));
            is_contradicted |= judged == Some(Judged::Contradicted);
        }
        self.counters.probes_contradicted += u64::from(is_contradicted);
        self.plan(now, id);
    }

    /// Asks for a probe at once.
    fn doubt(&mut self, now: Now, slot: Slot, asks: impl Fn(&Member) -> bool) {
        let is_probing = self.is_probing;
        self.judge(now, slot, |member| {
            if asks(member) && is_probing {
                member.doubt();
            }
        });
    }

    /// A destination has answered too few requests. It counts by itself if several sources say so,
    /// or the only one there is; a single one of them may have sent what no server answers.
    fn is_silent(&mut self, now: Now, slot: Slot) {
        let is_only_source = self.senders() == 1;
        let Some(member) = self.member_mut(slot) else { return };
        let silence = member.traffic.silence(now);
        if silence.sources >= SOURCES_MIN || is_only_source || member.is_on_trial() {
            let traffic::Silence { requests, sources, ms } = silence;
            let reason = ChangeReason::Silent { requests, sources, ms };
            self.judge(now, slot, |member| member.take_out(now, reason));
        } else {
            self.doubt(now, slot, Member::is_watched);
        }
    }

    fn note_senders(&mut self, now: Now, senders: u64) {
        if now >= self.senders_at.get_or_insert(now).plus_ms(SENDERS_MS) {
            self.senders_at = Some(now);
            self.senders = [0, self.senders[0]];
        }
        self.senders[0] |= senders;
    }

    /// Returns how many addresses sent requests in the last 10 s.
    fn senders(&self) -> u32 {
        (self.senders[0] | self.senders[1]).count_ones()
    }

    /// Compares the shares of failed calls within a set, those of the last 10 s and those of the
    /// latest calls. Of fewer calls, a larger share is needed.
    fn compare_shares(&mut self, now: Now, set: u32) {
        for is_latest in [true, false] {
            let mut numbers = Numbers::default();
            let mut shares = Vec::new();
            let slots = self.sets.get(&set).into_iter().flatten();
            for member in slots.filter_map(|slot| self.members[usize::from(slot.0)].as_deref()) {
                let calls = member.traffic.calls();
                let all = calls.all(now);
                let failed_for = member.blamed_for | all.numbers;
                numbers.add(failed_for);
                let calls_min = u64::from(member.target.passive.failure_calls.max(1));
                let share = if is_latest { calls.latest(now, calls_min) } else { all };
                let is_chosen = member.is_watched() && !member.flags.is_full();
                if share.calls >= calls_min && is_chosen {
                    shares.push((member.target.slot, share, failed_for));
                }
            }
            let mut percents: Vec<_> = shares.iter().map(|(_, share, _)| share.percent()).collect();
            percents.sort_unstable();
            for (slot, share, failed_for) in shares {
                let others = median_of_others(&percents, share.percent());
                // Alone, it cannot be told from calls that no server could take.
                let Some(others_percent) = others else { break };
                let numbers = numbers.only_in(share.numbers, failed_for);
                self.judge_share(
                    now,
                    slot,
                    &Compared { share, is_latest, others_percent, numbers },
                );
            }
        }
    }

    fn judge_share(&mut self, now: Now, slot: Slot, compared: &Compared) {
        let Compared { share, is_latest, others_percent, numbers } = *compared;
        let callers_min = SOURCES_MIN.min(self.senders());
        let Some(member) = self.member_mut(slot) else { return };
        let limit = u64::from(member.target.passive.failure_percent);
        let limit_here = if is_latest { u64::midpoint(limit, 100) } else { limit };
        if limit == 0 || !share.is_clearly_above(limit_here, others_percent) {
            return;
        }
        if share.callers.count_ones() < callers_min || numbers < NUMBERS_MIN {
            self.doubt(now, slot, Member::is_watched);
            return;
        }
        let Share { calls, ms, .. } = share;
        let failed = FailedShare { failed: share.all_failed(), calls, ms, others_percent };
        let is_busy = share.busy > share.failed;
        self.judge(now, slot, |member| {
            let retry_after_s = member.traffic.retry_after_s(now);
            member.fails_calls(now, failed, is_busy.then_some(Busy { retry_after_s }));
            member.blamed_for = share.numbers;
        });
    }

    /// Makes the inactive destinations of a set its last resort, or ends that.
    fn look_at_set(&mut self, set: u32) {
        let slots = self.sets.get(&set).cloned().unwrap_or_default();
        let (mut selectable, mut all, mut percent) = (0u32, 0u32, 0);
        for member in slots.iter().filter_map(|slot| self.members[usize::from(slot.0)].as_ref()) {
            if member.is_passive() {
                percent = member.target.passive.panic_percent;
            }
            all += u32::from(!is_disabled(member.flags));
            selectable += u32::from(member.flags.with_last_resort(false).is_selectable());
        }
        let is_needed = u64::from(selectable) * 100 < u64::from(percent) * u64::from(all);
        for slot in slots {
            let Some(member) = self.member_mut(slot) else { continue };
            let is_last_resort = is_needed
                && member.is_passive()
                && member.flags.is_inactive()
                && member.out.is_some();
            let flags = member.flags.with_last_resort(is_last_resort);
            let reason = if is_last_resort {
                ChangeReason::LastResort { selectable, all }
            } else {
                ChangeReason::NoLastResort
            };
            if member.becomes(flags, reason) {
                self.changed.insert(slot.0);
            }
        }
    }

    /// Changes a destination, and plans its next probe.
    fn judge(&mut self, now: Now, slot: Slot, change: impl FnOnce(&mut Member)) {
        self.with(now, slot, change);
        if let Some(endpoint) = self.member_mut(slot).map(|member| member.endpoint) {
            self.plan(now, endpoint);
        }
    }

    /// Changes a destination, and keeps the lists of changes and timers up to date.
    fn with<T>(
        &mut self,
        now: Now,
        slot: Slot,
        change: impl FnOnce(&mut Member) -> T,
    ) -> Option<T> {
        let member = self.members.get_mut(usize::from(slot.0))?.as_deref_mut()?;
        let before = member.flags;
        let result = change(member);
        if member.flags != before {
            self.changed.insert(slot.0);
            self.changed_sets.insert(member.target.set);
            self.changed_at.get_or_insert(now);
        }
        let due = member.due();
        if due != member.timer {
            if let Some(before) = member.timer {
                self.timers.remove(&(before.ms(), slot.0));
            }
            if let Some(due) = due {
                self.timers.insert((due.ms(), slot.0));
            }
            member.timer = due;
        }
        Some(result)
    }

    /// Plans the next probe of an endpoint as its most impatient destination wants it.
    fn plan(&mut self, now: Now, id: EndpointId) {
        let Some(endpoint) = self.prober.get(id) else { return };
        let members = endpoint.members.iter();
        let wants = members.filter_map(|slot| {
            let member = self.members.get(usize::from(slot.0))?.as_deref()?;
            Some(member.want(now, self.is_probing))
        });
        let want = wants.max().unwrap_or(Want::No);
        self.prober.plan(now, id, want);
    }

    fn at(&self, address: SocketAddr) -> Vec<Slot> {
        self.by_address.get(&address).cloned().unwrap_or_default()
    }

    fn slots(&self) -> Vec<Slot> {
        let members = self.members.iter().zip(0..=u16::MAX);
        members.filter_map(|(member, number)| member.as_ref().map(|_| Slot(number))).collect()
    }

    fn member_mut(&mut self, slot: Slot) -> Option<&mut Member> {
        self.members.get_mut(usize::from(slot.0))?.as_deref_mut()
    }
}

/// A destination's share of failed calls, beside those of the others.
#[derive(Clone, Copy, Debug)]
struct Compared {
    share: Share,
    /// It is of the latest calls only.
    is_latest: bool,
    others_percent: u64,
    /// How many of the called numbers failed at this destination only.
    numbers: u32,
}

/// Returns whether both are the same destination.
fn is_same(a: &Target, b: &Target) -> bool {
    (a.slot, a.set, a.address) == (b.slot, b.set, b.address) && a.uri == b.uri
}

/// Sources whose unanswered requests count by themselves, and callers whose failed calls do.
const SOURCES_MIN: u32 = 3;

/// Called numbers whose failed calls count by themselves.
const NUMBERS_MIN: u32 = 3;
