//! The thread that watches the destinations: it feeds [`Health`] with what the workers see and
//! count, sends the probes that it asks for, and puts the changes that it decides in force.
//!
//! It makes no decision itself. It never waits for a worker, and no worker waits for it.

mod targets;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, TryRecvError};
use tracing::{error, warn};

use super::error::Error;
use super::history::{Cause, Reason};
use super::{Inner, threads};
use crate::clock::Now;
use crate::destination::{Flags, Slot};
use crate::health::{Actions, Change, Health, Probe, SlotTraffic};
use crate::limits::{HINTS_MAX, SIGHTINGS_MAX, WINDOW_MS};
use crate::log::Limited;
use crate::proxy::probe::{self, ProbeRequest};
use crate::registry::FlagChange;
use crate::transport::monotonic_now;
use crate::worker::{Sighting, catch};

/// What the thread keeps.
struct Watch {
    /// The version of what is in force that the health follows.
    version: Option<u64>,
    /// The flags of each destination, as far as the health knows of them.
    flags: HashMap<Slot, Flags>,
    /// How many responses each destination had sent at the last reading.
    heard: HashMap<Slot, u64>,
    read_at: Now,
    /// The version of what is in force whose sets are in order.
    ranked: u64,
    actions: Actions,
    /// Changes that are not in force yet, the last one of each destination.
    pending: HashMap<Slot, Change>,
    /// When the next changes may be put in force.
    apply_after: Instant,
    datagram: Vec<u8>,
}

/// Starts it.
pub(in crate::control) fn spawn(
    inner: Arc<Inner>,
    gone: Receiver<()>,
) -> Result<JoinHandle<()>, Vec<Error>> {
    threads::spawn("watch", move || {
        inner.sightings.watch_here();
        let mut watch = Watch::new();
        while gone.try_recv() != Err(TryRecvError::Disconnected) {
            let due = catch(|| watch.step(&inner)).unwrap_or_else(|| {
                // The hook has reported the panic. What is known of the destinations is lost; their
                // states are not.
                watch = Watch::new();
                *inner.health() = Health::new(monotonic_now().ms());
                monotonic_now().plus_ms(WINDOW_MS)
            });
            let wait = due.ms().saturating_sub(monotonic_now().ms());
            thread::park_timeout(Duration::from_millis(wait));
        }
    })
}

impl Watch {
    fn new() -> Self {
        Self {
            version: None,
            flags: HashMap::new(),
            heard: HashMap::new(),
            read_at: Now::from_ms(0),
            ranked: 0,
            actions: Actions::default(),
            pending: HashMap::new(),
            apply_after: Instant::now(),
            datagram: Vec::new(),
        }
    }

    /// Does what is due, and returns when to do so again.
    fn step(&mut self, inner: &Inner) -> Now {
        inner.fault_point(b"strowger watch");
        let now = monotonic_now();
        let mut health = inner.health();
        self.follow(inner, now, &mut health);
        // Bounded, so that a flood of reports does not keep probes from being sent.
        for _ in 0..SIGHTINGS_MAX + HINTS_MAX {
            match inner.sightings.pop() {
                Some(sighting) => see(&mut health, now, sighting),
                None => break,
            }
        }
        if now >= self.read_at.plus_ms(WINDOW_MS) {
            self.read_at = now;
            let heard = RefCell::new(&mut self.heard);
            health.traffic(now, inner.traffic.take_senders(), |slot| {
                let traffic = traffic_of(inner, slot);
                // A worker forgets only the sources that it counted itself.
                let before = heard.borrow_mut().insert(slot, traffic.heard);
                if before.is_some_and(|before| before != traffic.heard) {
                    inner.traffic.forget_sources(slot);
                }
                traffic
            });
            self.tell_figures(inner, now, &mut health);
        }
        let mut actions = std::mem::take(&mut self.actions);
        health.tick(now, &mut actions);
        let due = health.next_due();
        drop(health);
        for probe in actions.probes.drain(..) {
            self.send(inner, now, &probe);
        }
        self.pending.extend(actions.changes.drain(..).map(|change| (change.slot, change)));
        self.actions = actions;
        let window = self.read_at.plus_ms(WINDOW_MS);
        let due = due.map_or(window, |due| due.min(window));
        let wait = self.apply_after.saturating_duration_since(Instant::now());
        if self.pending.is_empty() {
            return due;
        }
        if wait.is_zero() {
            self.apply(inner);
            return due;
        }
        due.min(now.plus_ms(wait.as_millis() as u64 + 1))
    }

    /// Takes over what others have put in force.
    fn follow(&mut self, inner: &Inner, now: Now, health: &mut Health) {
        // Relaxed: the flag carries nothing but itself.
        health.set_probing(now, inner.ping_active.load(Ordering::Relaxed));
        let in_force = inner.in_force();
        if self.version == Some(in_force.version()) {
            return;
        }
        self.version = Some(in_force.version());
        health.limit_probes(in_force.config().policy.probes_per_second_max);
        let targets = targets::of(&in_force, &inner.shared.listeners, &self.flags);
        self.flags = targets.iter().map(|target| (target.slot, target.flags)).collect();
        for target in targets.iter().filter(|target| health.view(target.slot).is_none()) {
            inner.traffic.forget_sources(target.slot);
            inner.traffic.take_failed(target.slot);
        }
        self.heard.retain(|slot, _| self.flags.contains_key(slot));
        health.follow(now, targets);
    }

    /// Puts what is known of latencies where the workers read it.
    fn tell_figures(&mut self, inner: &Inner, now: Now, health: &mut Health) {
        let snapshot = inner.current.snapshot();
        let destinations = &snapshot.destinations;
        let mut has_changed = self.ranked != snapshot.version;
        health.figures(now, |slot, figures| {
            let Some(destination) = destinations.get(slot) else { return };
            destination.load.set_answer_us(figures.answer_us);
            destination.load.set_late_ms(figures.late_ms);
            has_changed = true;
        });
        if has_changed {
            self.ranked = snapshot.version;
            let late_ms = |slot| destinations.get(slot).map_or(0, |of| of.load.late_ms());
            destinations.sets().iter().for_each(|set| set.rank(late_ms));
        }
    }

    fn send(&mut self, inner: &Inner, now: Now, probe: &Probe) {
        let Probe { number, started_at, slot, listener, to, uri, settings } = probe;
        let request = ProbeRequest {
            number: *number,
            method: &settings.method,
            uri,
            from: &settings.from,
            max_forwards: settings.max_forwards,
            slot: *slot,
            listener: *listener,
        };
        let is_written = probe::write(&inner.shared, &request, *started_at, &mut self.datagram);
        debug_assert!(is_written, "the configuration was checked: {request:?}");
        let result = inner.sockets.send_probe(*listener, &self.datagram, *to);
        if let Err(error) = result
            && let Some(more) = NOT_SENT.allow(now)
        {
            warn!("a probe to {to} could not be sent: {error}{more}");
        }
    }

    /// Puts the changes in force, except where an operator has changed the destination meanwhile.
    ///
    /// The larger a set, the longer its tables take. Then changes gather for a few milliseconds, so
    /// that this takes a third of a core, and not all of it, when thousands of destinations fail one
    /// after the other.
    fn apply(&mut self, inner: &Inner) {
        let begin = Instant::now();
        let changes: Vec<_> = self.pending.drain().map(|(_, change)| change).collect();
        self.put_in_force(inner, &changes);
        let pause = (begin.elapsed() * 3).min(PAUSE_MAX);
        self.apply_after = Instant::now() + pause;
    }

    fn put_in_force(&mut self, inner: &Inner, changes: &[Change]) {
        let reason = |change: &Change| {
            let (word, text) = (change.reason.word(), change.reason.to_string());
            (change.slot, Reason { word, text })
        };
        let reasons = changes.iter().map(reason).collect();
        let changes: Vec<_> = changes
            .iter()
            .filter_map(|change| {
                let from = *self.flags.get(&change.slot)?;
                Some(FlagChange { slot: change.slot, from, to: change.flags })
            })
            .collect();
        let (mut took_effect, mut before) = (Vec::new(), 0);
        let result = inner.change(Cause::Health(&reasons), |in_force| {
            before = in_force.version();
            let (next, changed) = in_force.with_flags(&changes);
            took_effect = changed;
            Ok((!took_effect.is_empty()).then_some(next))
        });
        match result {
            // Nothing else has changed, so there is nothing to follow.
            Ok(version) if took_effect.len() == changes.len() && self.version == Some(before) => {
                self.version = version;
            }
            Ok(_) => self.version = None,
            Err(errors) => errors.iter().for_each(|error| error!("{error}")),
        }
        self.flags.extend(took_effect.iter().map(|change| (change.slot, change.to)));
    }
}

fn see(health: &mut Health, now: Now, sighting: Sighting) {
    match sighting {
        Sighting::ProbeAnswered(answer) => {
            let (number, code, source) = (answer.number, answer.code, answer.source);
            health.probe_answered(now, number, code, answer.retry_after_s, source);
        }
        Sighting::Unreachable(report) => {
            let (address, errno) = (report.address, report.errno);
            health.unreachable(now, address, errno, report.is_proven, report.probe);
        }
    }
}

fn traffic_of(inner: &Inner, slot: Slot) -> SlotTraffic {
    let counted = inner.traffic.of(slot);
    let whose = inner.traffic.take_failed(slot);
    SlotTraffic {
        requests: counted.requests,
        answered: counted.answered,
        heard: counted.heard,
        calls: counted.calls,
        calls_answered: counted.calls_answered,
        answer_ms: counted.answer_ms,
        busy: counted.busy.into(),
        failed: counted.failed.into(),
        sources: counted.sources,
        failed_callers: whose.callers,
        failed_numbers: whose.numbers,
        retry_after_s: whose.retry_after_s,
    }
}

/// So that a change is in force within 50 ms.
const PAUSE_MAX: Duration = Duration::from_millis(30);

static NOT_SENT: Limited = Limited::new();
