//! One destination: its state, and what decides how it changes.

use std::collections::VecDeque;

use super::latency::Latency;
use super::pace::Pace;
use super::reason::{ChangeReason, FailedShare};
use super::rule::{after_probe, is_disabled, is_probed};
use super::traffic::Traffic;
use super::{EndpointId, Figures, Mode, Target, Want};
use crate::clock::Now;
use crate::destination::{DestinationState, Flags};
use crate::limits::{CALM_MS, FLAP_WINDOW_MS, PAUSE_MS, QUICK_MS, REFUSES_AGAIN_MS, TRIAL_MS};

/// One destination.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) target: Target,
    pub(super) endpoint: EndpointId,
    /// The flags in force, as far as this module is concerned.
    pub(super) flags: Flags,
    /// The flags that the caller was told last.
    pub(super) told: Flags,
    /// Why it got its flags.
    pub(super) reason: ChangeReason,
    /// Kamailio's count of failures or successes.
    pub(super) count: u32,
    pub(super) traffic: Traffic,
    /// How long answers to probes take.
    pub(super) latency: Latency,
    /// How long answers to calls and probes take now.
    pub(super) pace: Pace,
    /// The figures that the caller was told last.
    pub(super) told_figures: Option<Figures>,
    /// Set while it is inactive because of what was seen here.
    pub(super) out: Option<Out>,
    trial_until: Option<Now>,
    full: Option<Full>,
    /// Until when it was full the last time because it refused calls, and how often the pause was
    /// doubled.
    refused: Option<(Now, u32)>,
    /// The called numbers, each a bit, because of which it is out or full.
    pub(super) blamed_for: u64,
    /// Live traffic, or an ICMP error that proves nothing, asks for a probe.
    is_in_doubt: bool,
    /// Some probe was answered.
    has_answered_probe: bool,
    /// It came back because of a probe, and has not answered a request since.
    is_unconfirmed: bool,
    /// When it became selectable.
    up_since: Now,
    /// How often its pause was doubled.
    pauses: u32,
    /// When it became inactive and when it came back, within a minute.
    changes: VecDeque<Now>,
    /// When its timer is due, as it stands in the list of timers.
    pub(super) timer: Option<Now>,
}

/// Why and since when it is out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Out {
    pub(super) since: Now,
    /// Until then no answer to a probe brings it back.
    pub(super) until: Now,
    /// Live traffic took it out, so it is probed whatever the mode.
    is_by_traffic: bool,
    /// Whether the end of the pause is still ahead.
    is_pausing: bool,
    /// When it gets a trial, if no probe was answered.
    trial_at: Option<Now>,
}

#[derive(Clone, Copy, Debug)]
struct Full {
    since: Now,
    until: Now,
    /// It refused calls, so a probe that it answers says nothing.
    is_by_calls: bool,
}

/// Most of the calls that failed were answered with 503.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy {
    /// The longest Retry-After of these.
    pub(super) retry_after_s: Option<u32>,
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Answered { code: u16, retry_after_s: Option<u32> },
    Unanswered { started_at: Now },
    Unreachable { errno: i32 },
}

/// Whether the result of a probe counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Judged {
    Yes,
    No,
    /// It did not, because requests were answered.
    Contradicted,
}

impl Member {
    pub(super) fn new(now: Now, target: Target, endpoint: EndpointId) -> Self {
        let flags = target.flags;
        let latency = target.latency_ms.map(Latency::preset).unwrap_or_default();
        Self {
            target,
            endpoint,
            flags,
            told: flags,
            reason: ChangeReason::Operator,
            count: 0,
            traffic: Traffic::default(),
            latency,
            pace: Pace::default(),
            told_figures: None,
            out: None,
            trial_until: None,
            full: None,
            refused: None,
            blamed_for: 0,
            is_in_doubt: false,
            has_answered_probe: false,
            is_unconfirmed: false,
            up_since: now,
            pauses: 0,
            changes: VecDeque::new(),
            timer: None,
        }
    }

    /// Takes over the target after a change of the snapshot.
    pub(super) fn follow(&mut self, now: Now, target: Target, endpoint: EndpointId) {
        if target.from_operator {
            let mut next = Self::new(now, target, endpoint);
            next.traffic = std::mem::take(&mut self.traffic);
            next.latency = self.latency;
            next.pace = std::mem::take(&mut self.pace);
            next.has_answered_probe = self.has_answered_probe;
            *self = next;
            return;
        }
        // If a change of ours did not get through, it is told again.
        self.told = target.flags;
        self.target = target;
        self.endpoint = endpoint;
    }

    /// Returns how soon it is to be probed.
    pub(super) fn want(&self, now: Now, is_probing: bool) -> Want {
        let is_by_mode = self.is_probed_by_mode();
        if !is_probing || !self.can_be_probed() || !(is_by_mode || self.is_probed_by_us()) {
            return Want::No;
        }
        let is_coming_back = self.flags.is_inactive() && self.count > 0;
        let is_trying =
            self.flags.state() == DestinationState::Trying && self.trial_until.is_none();
        // Servers often come back soon, after a restart.
        let has_just_gone = self.is_passive()
            && self.out.is_some_and(|out| now >= out.until && now < out.until.plus_ms(QUICK_MS));
        if self.is_in_doubt || is_coming_back || is_trying || has_just_gone {
            Want::Doubt
        } else {
            Want::Ordinary
        }
    }

    /// Returns whether live traffic counts for it now: it is chosen, and it counts in its set.
    pub(super) fn is_watched(&self) -> bool {
        self.is_passive() && !is_disabled(self.flags) && !self.flags.is_inactive()
    }

    pub(super) fn is_passive(&self) -> bool {
        self.target.passive.is_on
    }

    pub(super) fn hears_icmp(&self) -> bool {
        self.is_passive() && self.target.passive.icmp
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.trial_until.is_some()
    }

    /// Returns whether an answered request would say something new.
    pub(super) fn is_unproven(&self) -> bool {
        self.is_unconfirmed || self.is_on_trial()
    }

    pub(super) fn trial_at(&self) -> Option<Now> {
        self.out?.trial_at
    }

    pub(super) fn full_until(&self) -> Option<Now> {
        self.full.map(|full| full.until)
    }

    /// Asks for a probe, unless it cannot be probed; returns whether it does.
    pub(super) fn doubt(&mut self) -> bool {
        self.is_in_doubt = self.can_be_probed();
        self.is_in_doubt
    }

    /// Returns what the algorithms that go by latency know of it.
    pub(super) fn figures(&self, now: Now) -> Figures {
        let Latency { average_ms, estimate_ms, .. } = self.latency;
        let normal_ms = if self.target.congestion_control { average_ms } else { 0.0 };
        // As Kamailio: whole milliseconds.
        #[expect(clippy::cast_sign_loss, reason = "it is not negative")]
        let late_ms = (estimate_ms - normal_ms).max(0.0) as u64;
        Figures { answer_us: self.pace.us(now), late_ms }
    }

    /// Takes how long an answer to a probe took. As in Kamailio, a 408 is none.
    pub(super) fn measure(&mut self, now: Now, outcome: Outcome, answer_ms: Option<u64>) {
        if let Outcome::Answered { .. } = outcome {
            self.pace.heard(now);
        }
        match (outcome, answer_ms.map(u32::try_from)) {
            (Outcome::Answered { code, .. }, Some(Ok(ms))) if code != 408 => {
                self.latency.answered(ms, self.target.probing.latency_alpha);
                self.pace.probe(now, ms);
            }
            _ => self.latency.timed_out(),
        }
    }

    /// Takes the result of a probe.
    pub(super) fn judge(&mut self, now: Now, outcome: Outcome) -> Judged {
        let is_by_mode = self.is_probed_by_mode();
        if !self.can_be_probed() || !(is_by_mode || self.is_probed_by_us()) {
            return Judged::No;
        }
        match outcome {
            Outcome::Answered { code, retry_after_s } => {
                self.has_answered_probe = true;
                let settings = &self.target.probing;
                let is_accepted = settings.accept.contains(code);
                if code == 503 && !is_accepted && settings.full_s > 0 {
                    self.is_full(now, is_by_mode, retry_after_s);
                } else if is_accepted || !is_by_mode {
                    // If only we want to know whether it is alive, any answer says so.
                    self.is_in_doubt = false;
                    self.is_well(now, is_by_mode, code);
                } else {
                    let probes = self.count.saturating_add(1);
                    self.is_in_doubt = false;
                    self.has_failed(now, true, ChangeReason::Refused { code, probes });
                }
            }
            Outcome::Unanswered { started_at } => {
                if self.is_passive() && self.traffic.has_answered_since(started_at) {
                    self.is_in_doubt = false;
                    return Judged::Contradicted;
                }
                // One that never answers probes is judged by its traffic.
                let proves_nothing = !is_by_mode || self.is_on_trial();
                if proves_nothing && !self.has_answered_probe {
                    self.is_in_doubt = false;
                    return Judged::No;
                }
                let probes = self.count.saturating_add(1);
                self.has_failed(now, is_by_mode, ChangeReason::Unanswered { probes });
            }
            Outcome::Unreachable { errno } => {
                let reason = ChangeReason::Unreachable { errno };
                if self.hears_icmp() {
                    self.take_out(now, reason);
                } else {
                    self.has_failed(now, is_by_mode, reason);
                }
            }
        }
        Judged::Yes
    }

    /// Makes it inactive because of what live traffic did: as good as all the failed probes that it
    /// takes.
    pub(super) fn take_out(&mut self, now: Now, reason: ChangeReason) {
        if is_disabled(self.flags) {
            return;
        }
        self.count = 0;
        if self.flags.is_inactive() {
            return;
        }
        let has_flag = self.flags.bits() & Flags::PROBING != 0;
        let next = self.flags.in_state(DestinationState::Inactive, has_flag);
        self.goes_out(now, next, reason, true);
    }

    /// It answered too many calls with 5xx: with 503 it is full, with others it fails.
    pub(super) fn fails_calls(&mut self, now: Now, share: FailedShare, busy: Option<Busy>) {
        let Some(Busy { retry_after_s }) = busy.filter(|_| self.target.probing.full_s > 0) else {
            self.take_out(now, ChangeReason::Failing(share));
            return;
        };
        let full_s = u64::from(retry_after_s.unwrap_or(self.target.probing.full_s).max(1));
        let doubled = match self.refused {
            Some((until, doubled)) if now < until.plus_ms(REFUSES_AGAIN_MS) => doubled + 1,
            _ => 0,
        };
        let for_s = (full_s << doubled.min(FULL_DOUBLED_MAX))
            .min(u64::from(self.target.probing.full_s_max));
        let for_ms = for_s.max(1) * 1_000;
        let until = now.plus_ms(for_ms);
        self.refused = Some((until, doubled));
        self.full = Some(Full { since: now, until, is_by_calls: true });
        self.becomes(self.flags.with_full(true), ChangeReason::Refusing { share, for_ms });
    }

    /// Takes what its traffic showed.
    pub(super) fn has_answered_requests(&mut self) {
        self.is_unconfirmed = false;
        if self.trial_until.take().is_some() && self.flags.state() == DestinationState::Trying {
            self.ends_trial(ChangeReason::Proven);
        }
    }

    /// Returns when [`Member::timeout`] has something to do.
    pub(super) fn due(&self) -> Option<Now> {
        let out = self.out.map(|out| (out.is_pausing.then_some(out.until), out.trial_at));
        let (pause, trial) = out.unwrap_or((None, None));
        [self.full_until(), self.trial_until, pause, trial].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn timeout(&mut self, now: Now, is_probing: bool) {
        if let Some(full) = self.full.filter(|full| full.until <= now) {
            self.full = None;
            self.is_chosen_again();
            let after_ms = now.ms().saturating_sub(full.since.ms());
            self.becomes(self.flags.with_full(false), ChangeReason::NotFull { after_ms });
            if self.is_passive() {
                self.doubt();
            }
        }
        if self.trial_until.is_some_and(|until| until <= now) {
            if self.traffic.silent_since().is_some() {
                self.trial_until = Some(now.plus_ms(TRIAL_MS));
            } else {
                self.trial_until = None;
                self.ends_trial(ChangeReason::Undisputed);
            }
        }
        let Some(mut out) = self.out else { return };
        if out.is_pausing && out.until <= now {
            out.is_pausing = false;
            self.out = Some(out);
        }
        if out.trial_at.is_some_and(|at| at <= now) {
            out.trial_at = None;
            self.out = Some(out);
            if !self.has_answered_probe || !self.can_be_probed() || !is_probing {
                self.begins_trial(now);
            }
        }
    }

    /// Sets another time for the trial of a destination that is out, since probing was switched on
    /// or off.
    pub(super) fn put_off_trial(&mut self, now: Now) {
        if let Some(out) = self.out.as_mut().filter(|out| out.is_by_traffic) {
            out.trial_at = Some(out.until.max(now.plus_ms(PAUSE_MS)));
        }
    }

    /// Changes the flags; returns whether they differ.
    pub(super) fn becomes(&mut self, flags: Flags, reason: ChangeReason) -> bool {
        if flags == self.flags {
            return false;
        }
        self.flags = flags;
        self.reason = reason;
        true
    }

    fn is_probed_by_mode(&self) -> bool {
        is_probed(self.target.probing.mode, self.flags)
    }

    /// Returns whether it is probed although the mode does not ask for it.
    fn is_probed_by_us(&self) -> bool {
        let is_out = self.out.is_some_and(|out| {
            // If probing was switched off meanwhile, nothing else would bring it back.
            out.is_by_traffic || self.is_passive() && self.target.probing.mode == Mode::Off
        });
        is_out || self.is_passive() && self.is_in_doubt || self.full.is_some()
    }

    fn can_be_probed(&self) -> bool {
        self.flags.bits() & (Flags::DISABLED | Flags::NO_PING) == 0
    }

    /// A probe had a good answer.
    fn is_well(&mut self, now: Now, is_by_mode: bool, code: u16) {
        if self.out.is_some_and(|out| now < out.until) {
            return;
        }
        let settings = &self.target.probing;
        let (next, count) = after_probe(settings, is_by_mode, self.flags, self.count, true);
        self.count = count;
        let out_ms = self.out.map(|out| now.ms().saturating_sub(out.since.ms()));
        let stays_full = self.full.is_some_and(|full| full.is_by_calls);
        self.comes_to(now, next.with_full(stays_full), ChangeReason::Answered { code, out_ms });
        if !self.flags.is_inactive() && !stays_full {
            self.full = None;
        }
    }

    /// A probe was answered with 503: the server is alive and full.
    fn is_full(&mut self, now: Now, is_by_mode: bool, retry_after_s: Option<u32>) {
        self.is_in_doubt = false;
        if self.out.is_some_and(|out| now < out.until) {
            return;
        }
        let settings = &self.target.probing;
        let (next, count) = after_probe(settings, is_by_mode, self.flags, self.count, true);
        let for_s = retry_after_s.unwrap_or(settings.full_s).clamp(1, settings.full_s_max.max(1));
        self.count = count;
        if next.is_inactive() {
            return;
        }
        let for_ms = u64::from(for_s) * 1_000;
        let until = now.plus_ms(for_ms);
        self.full = Some(match self.full {
            // Its probes do not say when it takes calls again, or they would have ended it.
            Some(full) if full.is_by_calls => Full { until: full.until.max(until), ..full },
            Some(full) => Full { until, ..full },
            None => Full { since: now, until, is_by_calls: false },
        });
        self.comes_to(now, next.with_full(true), ChangeReason::Full { retry_after_s, for_ms });
    }

    /// A probe failed.
    fn has_failed(&mut self, now: Now, is_by_mode: bool, reason: ChangeReason) {
        let settings = &self.target.probing;
        let (next, count) = after_probe(settings, is_by_mode, self.flags, self.count, false);
        self.count = count;
        if next.is_inactive() && !self.flags.is_inactive() {
            self.goes_out(now, next, reason, !is_by_mode);
        } else {
            self.becomes(next, reason);
        }
    }

    /// Becomes inactive. Decides for how long at least.
    fn goes_out(&mut self, now: Now, next: Flags, reason: ChangeReason, is_by_traffic: bool) {
        let flap_changes = self.target.passive.flap_changes;
        let changes = self.note_change(now);
        if now >= self.up_since.plus_ms(CALM_MS) {
            self.pauses = 0;
        }
        // It came back because of a probe, and then answered nothing else.
        let is_refuted = is_by_traffic && self.is_unconfirmed;
        let is_flapping = flap_changes > 0 && changes > flap_changes as usize;
        // An answered probe says nothing about calls that are answered with 5xx.
        let is_failing = matches!(reason, ChangeReason::Failing(_));
        let is_paused = self.is_passive() && (is_refuted || is_flapping || is_failing);
        let never_answered = is_by_traffic && !(self.has_answered_probe && self.can_be_probed());
        let ms = if is_paused || never_answered { pause_ms(self.pauses) } else { 0 };
        self.pauses += u32::from(ms > 0);
        self.out = Some(Out {
            since: now,
            until: if is_paused { now.plus_ms(ms) } else { now },
            is_by_traffic,
            is_pausing: is_paused,
            trial_at: is_by_traffic.then(|| now.plus_ms(ms.max(PAUSE_MS))),
        });
        self.trial_until = None;
        self.full = None;
        self.is_in_doubt = false;
        self.is_unconfirmed = false;
        self.traffic.forgive();
        self.becomes(next, reason);
    }

    /// Takes the flags after a good answer; it comes back, if it was inactive.
    fn comes_to(&mut self, now: Now, next: Flags, reason: ChangeReason) {
        if self.flags.is_inactive() && !next.is_inactive() {
            self.note_change(now);
            self.is_unconfirmed = self.out.is_some_and(|out| out.is_by_traffic);
            self.out = None;
            self.up_since = now;
            self.is_chosen_again();
        }
        if !next.is_inactive() {
            self.trial_until = None;
        }
        self.becomes(next, reason);
    }

    fn begins_trial(&mut self, now: Now) {
        let Some(out) = self.out.take() else { return };
        let has_flag = self.flags.bits() & Flags::PROBING != 0;
        let next = self.flags.in_state(DestinationState::Trying, has_flag);
        self.note_change(now);
        self.trial_until = Some(now.plus_ms(TRIAL_MS));
        self.up_since = now;
        self.count = 0;
        self.is_chosen_again();
        let out_ms = now.ms().saturating_sub(out.since.ms());
        self.becomes(next, ChangeReason::Trial { out_ms });
    }

    /// What it did before does not count any more.
    fn is_chosen_again(&mut self) {
        self.blamed_for = 0;
        self.traffic.forgive();
    }

    fn ends_trial(&mut self, reason: ChangeReason) {
        let has_flag = self.flags.bits() & Flags::PROBING != 0;
        self.count = 0;
        let next = self.flags.in_state(DestinationState::Active, has_flag);
        self.becomes(next.with_full(self.flags.is_full()), reason);
    }

    /// Notes that it becomes inactive or comes back; returns how often it did within a minute.
    fn note_change(&mut self, now: Now) -> usize {
        let is_old = |at: &Now| at.plus_ms(FLAP_WINDOW_MS) <= now;
        while self.changes.front().is_some_and(is_old) {
            self.changes.pop_front();
        }
        // More than are compared with do not matter.
        if self.changes.len() > self.target.passive.flap_changes as usize {
            self.changes.pop_front();
        }
        self.changes.push_back(now);
        self.changes.len()
    }
}

/// Returns how long a destination stays out: twice as long each time, up to a bound.
fn pause_ms(pauses: u32) -> u64 {
    PAUSE_MS << pauses.min(PAUSE_DOUBLED_MAX)
}

/// 30 s doubled four times are 8 minutes.
const PAUSE_DOUBLED_MAX: u32 = 4;

/// A second doubled twelve times is more than an hour, the longest time that can be configured.
const FULL_DOUBLED_MAX: u32 = 12;
