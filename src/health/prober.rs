//! When which address is probed: intervals with jitter, timeouts, repetitions, the limit per second.
//!
//! One probe serves all destinations that have its address, listener and settings. A probe is sent
//! again like any request that is not an INVITE (RFC 3261 §17.1.2.2): after T1, then after twice as
//! long each time. T1 is at most a quarter of the timeout, so three copies leave before a probe has
//! failed, and one lost datagram makes no difference. If the limit per second delays the second
//! copy, the timeout waits for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::random::Random;
use super::rate::Rate;
use super::{Probe, Probing};
use crate::clock::Now;
use crate::destination::Slot;
use crate::limits;
use crate::listener::ListenerId;
use crate::pin::NO_SLOT;

/// The number of an endpoint.
pub(super) type EndpointId = u32;

/// What one probe serves.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) settings: Arc<Probing>,
    /// The destinations, each in its set.
    pub(super) members: Vec<Slot>,
    /// How long its last answer took.
    pub(super) answer_ms: Option<u64>,
    address: SocketAddr,
    listener: ListenerId,
    uri: Arc<str>,
    started_at: Option<Now>,
    open: Option<Open>,
    /// When a datagram is to be sent: the next copy of the open probe, or the next probe.
    send: Option<Planned>,
}

/// A probe that has neither an answer nor failed.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u32,
    started_at: Now,
    copies: u32,
    /// Until the next copy.
    pause_ms: u64,
    fails_at: Now,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Planned {
    at: Now,
    is_urgent: bool,
}

/// How soon an endpoint is to be probed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Want {
    /// Not at all.
    No,
    /// After the interval.
    Ordinary,
    /// After the shorter interval of doubt.
    Doubt,
}

/// A probe that has failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    pub(super) endpoint: EndpointId,
    pub(super) started_at: Now,
}

/// All endpoints and their probes.
#[derive(Debug)]
pub(super) struct Prober {
    endpoints: BTreeMap<EndpointId, Endpoint>,
    ids: HashMap<Key, EndpointId>,
    /// Endpoints by the number of their open probe.
    open: HashMap<u32, EndpointId>,
    urgent: BTreeSet<(u64, EndpointId)>,
    ordinary: BTreeSet<(u64, EndpointId)>,
    fails: BTreeSet<(u64, EndpointId)>,
    /// Whether the last datagram was urgent, although another was due.
    was_urgent: bool,
    rate: Rate,
    random: Random,
    last_id: EndpointId,
    last_number: u32,
}

impl Endpoint {
    /// Returns where its probes go.
    pub(super) fn to(&self) -> SocketAddr {
        self.settings.outbound_proxy.unwrap_or(self.address)
    }
}

type Key = (SocketAddr, ListenerId, Arc<Probing>);

impl Prober {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let last_number = random.next() as u32;
        Self {
            endpoints: BTreeMap::new(),
            ids: HashMap::new(),
            open: HashMap::new(),
            urgent: BTreeSet::new(),
            ordinary: BTreeSet::new(),
            fails: BTreeSet::new(),
            was_urgent: false,
            rate: Rate::new(limits::PROBES_PER_SECOND_DEFAULT),
            random,
            last_id: 0,
            last_number,
        }
    }

    pub(super) fn limit(&mut self, per_second: u32) {
        self.rate.set(per_second);
    }

    pub(super) fn get(&self, id: EndpointId) -> Option<&Endpoint> {
        self.endpoints.get(&id)
    }

    pub(super) fn ids(&self) -> Vec<EndpointId> {
        self.endpoints.keys().copied().collect()
    }

    /// Returns the number of probes without an answer.
    pub(super) fn open_probes(&self) -> usize {
        self.open.len()
    }

    /// Forgets which destinations the endpoints serve.
    pub(super) fn clear_members(&mut self) {
        self.endpoints.values_mut().for_each(|endpoint| endpoint.members.clear());
    }

    /// Adds a destination to the endpoint that serves it, perhaps a new one.
    pub(super) fn add_member(
        &mut self,
        slot: Slot,
        address: SocketAddr,
        listener: ListenerId,
        uri: &Arc<str>,
        settings: &Arc<Probing>,
    ) -> EndpointId {
        let key = (address, listener, Arc::clone(settings));
        let id = *self.ids.entry(key).or_insert_with(|| {
            self.last_id = self.last_id.wrapping_add(1);
            self.last_id
        });
        let endpoint = self.endpoints.entry(id).or_insert_with(|| Endpoint {
            settings: Arc::clone(settings),
            members: Vec::new(),
            answer_ms: None,
            address,
            listener,
            uri: Arc::clone(uri),
            started_at: None,
            open: None,
            send: None,
        });
        endpoint.members.push(slot);
        id
    }

    /// Removes the endpoints that serve no destination any more.
    pub(super) fn remove_unused(&mut self) {
        let unused: Vec<_> = self
            .endpoints
            .iter()
            .filter_map(|(id, endpoint)| endpoint.members.is_empty().then_some(*id))
            .collect();
        for id in unused {
            self.close(id);
            self.set_plan(id, None);
            self.endpoints.remove(&id);
        }
        let endpoints = &self.endpoints;
        self.ids.retain(|_, id| endpoints.contains_key(id));
    }

    /// Plans the next probe of an endpoint.
    pub(super) fn plan(&mut self, now: Now, id: EndpointId, want: Want) {
        let Some(endpoint) = self.endpoints.get(&id) else { return };
        // The open probe comes first, and when it ends this is called again.
        if endpoint.open.is_some() {
            return;
        }
        let settings = &endpoint.settings;
        let planned = match (want, endpoint.started_at, endpoint.send) {
            (Want::No, ..) => None,
            // It has its time.
            (Want::Ordinary, _, Some(planned)) if !planned.is_urgent => Some(planned),
            (Want::Ordinary, started_at, _) => {
                let interval_ms = u64::from(settings.interval_ms);
                // The first ones spread over an interval.
                let at = match started_at {
                    Some(at) => at.plus_ms(self.random.jittered(interval_ms)),
                    None => now.plus_ms(self.random.below(interval_ms)),
                };
                Some(Planned { at: at.max(now), is_urgent: false })
            }
            (Want::Doubt, started_at, planned) => {
                let pause_ms = u64::from(settings.doubt_interval_ms.min(settings.interval_ms));
                let at = started_at.map_or(now, |at| at.plus_ms(pause_ms)).max(now);
                let at = planned.map_or(at, |planned| planned.at.min(at));
                Some(Planned { at, is_urgent: true })
            }
        };
        self.set_plan(id, planned);
    }

    /// Takes the answer to a probe; `None` if there is no such probe.
    pub(super) fn answered(&mut self, now: Now, number: u32) -> Option<EndpointId> {
        let id = *self.open.get(&number)?;
        let open = self.close(id)?;
        let endpoint = self.endpoints.get_mut(&id)?;
        endpoint.answer_ms = Some(now.ms().saturating_sub(open.started_at.ms()));
        Some(id)
    }

    /// Ends a probe that the network has reported as undeliverable; `None` if there is no such
    /// probe.
    pub(super) fn undelivered(&mut self, number: u32) -> Option<EndpointId> {
        let id = *self.open.get(&number)?;
        self.close(id)?;
        Some(id)
    }

    /// Returns the probes that have failed by now.
    pub(super) fn failed(&mut self, now: Now) -> Vec<Failed> {
        let mut failed = Vec::new();
        while let Some((ms, id)) = self.fails.first().copied().filter(|(ms, _)| *ms <= now.ms()) {
            let Some(open) = self.endpoints.get_mut(&id).and_then(|e| e.open.as_mut()) else {
                self.fails.remove(&(ms, id));
                continue;
            };
            if open.copies < COPIES_MIN {
                self.fails.remove(&(ms, id));
                open.fails_at = now.plus_ms(open.pause_ms.max(1));
                self.fails.insert((open.fails_at.ms(), id));
                continue;
            }
            let started_at = open.started_at;
            self.close(id);
            failed.push(Failed { endpoint: id, started_at });
        }
        failed
    }

    /// Adds the probes to send now, as far as the limit allows; returns how many are copies.
    pub(super) fn send(&mut self, now: Now, probes: &mut Vec<Probe>) -> u64 {
        let mut copies = 0;
        while let Some(id) = self.next_due(now) {
            if !self.rate.take(now) {
                break;
            }
            let is_copy = self.send_one(now, id, probes);
            copies += u64::from(is_copy);
        }
        copies
    }

    /// Returns when there is something to do.
    pub(super) fn due(&self) -> Option<Now> {
        let first = |set: &BTreeSet<(u64, EndpointId)>| set.first().map(|(ms, _)| *ms);
        let send = [first(&self.urgent), first(&self.ordinary)].into_iter().flatten().min();
        let send = send.map(|ms| ms.max(self.rate.ready_at().map_or(0, Now::ms)));
        [send, first(&self.fails)].into_iter().flatten().min().map(Now::from_ms)
    }

    /// Returns the endpoint whose datagram goes next. If both are due, urgent and ordinary ones take
    /// turns, so that many dead destinations do not keep the others from being probed.
    fn next_due(&mut self, now: Now) -> Option<EndpointId> {
        let due = |set: &BTreeSet<(u64, EndpointId)>| {
            set.first().filter(|(ms, _)| *ms <= now.ms()).map(|(_, id)| *id)
        };
        let (urgent, ordinary) = (due(&self.urgent), due(&self.ordinary));
        let is_urgent = match (urgent, ordinary) {
            (Some(_), Some(_)) => !self.was_urgent,
            (urgent, _) => urgent.is_some(),
        };
        self.was_urgent = is_urgent;
        if is_urgent { urgent } else { ordinary }
    }

    fn send_one(&mut self, now: Now, id: EndpointId, probes: &mut Vec<Probe>) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return false };
        let settings = Arc::clone(&endpoint.settings);
        let timeout_ms = u64::from(settings.timeout_ms);
        let is_copy = endpoint.open.is_some();
        let open = if let Some(open) = endpoint.open {
            let pause_ms = (2 * open.pause_ms).min(T2_MS);
            Open { copies: open.copies + 1, pause_ms, ..open }
        } else {
            self.last_number = self.last_number.wrapping_add(1);
            endpoint.started_at = Some(now);
            self.open.insert(self.last_number, id);
            let fails_at = now.plus_ms(timeout_ms);
            self.fails.insert((fails_at.ms(), id));
            let (number, pause_ms) = (self.last_number, T1_MS.min(timeout_ms / 4));
            Open { number, started_at: now, copies: 1, pause_ms, fails_at }
        };
        endpoint.open = Some(open);
        probes.push(Probe {
            number: open.number,
            started_at: open.started_at,
            slot: endpoint.members.first().copied().unwrap_or(NO_SLOT),
            listener: endpoint.listener,
            to: endpoint.to(),
            uri: Arc::clone(&endpoint.uri),
            settings,
        });
        let again_at = now.plus_ms(open.pause_ms);
        let has_copy = again_at < open.fails_at || open.copies < COPIES_MIN;
        self.set_plan(id, has_copy.then_some(Planned { at: again_at, is_urgent: true }));
        is_copy
    }

    /// Ends the open probe of an endpoint.
    fn close(&mut self, id: EndpointId) -> Option<Open> {
        let open = self.endpoints.get_mut(&id)?.open.take()?;
        self.open.remove(&open.number);
        self.fails.remove(&(open.fails_at.ms(), id));
        // That was its next copy.
        self.set_plan(id, None);
        Some(open)
    }

    fn set_plan(&mut self, id: EndpointId, planned: Option<Planned>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut endpoint.send, planned) {
            let set = if before.is_urgent { &mut self.urgent } else { &mut self.ordinary };
            set.remove(&(before.at.ms(), id));
        }
        if let Some(planned) = planned {
            let set = if planned.is_urgent { &mut self.urgent } else { &mut self.ordinary };
            set.insert((planned.at.ms(), id));
        }
    }
}

/// RFC 3261 §17.1.1.1: the estimate of a round trip.
const T1_MS: u64 = 500;
/// RFC 3261 §17.1.2.2: the longest time between two copies.
const T2_MS: u64 = 4_000;
/// A probe fails only after this many copies were sent.
const COPIES_MIN: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn prober(settings: Probing) -> (Prober, EndpointId) {
        let mut prober = Prober::new(1);
        let address = "192.0.2.1:5060".parse().unwrap();
        let uri = Arc::from("sip:192.0.2.1");
        let id = prober.add_member(Slot(1), address, ListenerId(0), &uri, &Arc::new(settings));
        (prober, id)
    }

    /// Runs until this time; returns when datagrams left and when probes failed.
    fn run(prober: &mut Prober, until_ms: u64, want: Want) -> (Vec<u64>, Vec<u64>) {
        let (mut sent, mut failed) = (Vec::new(), Vec::new());
        while let Some(now) = prober.due().filter(|due| due.ms() <= until_ms) {
            for Failed { endpoint, .. } in prober.failed(now) {
                failed.push(now.ms());
                prober.plan(now, endpoint, want);
            }
            let mut probes = Vec::new();
            prober.send(now, &mut probes);
            sent.extend(probes.iter().map(|_| now.ms()));
        }
        (sent, failed)
    }

    #[test]
    fn three_copies_leave_before_a_probe_has_failed() {
        for (timeout_ms, sent, failed) in [
            (2_000, &[0, 500, 1_500][..], 2_000),
            (100, &[0, 25, 75], 100),
            (400, &[0, 100, 300], 400),
            (9_000, &[0, 500, 1_500, 3_500, 7_500], 9_000),
            (
                32_000,
                &[0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500],
                32_000,
            ),
        ] {
            let (mut prober, id) = prober(Probing { timeout_ms, ..Probing::default() });
            prober.plan(Now::from_ms(0), id, Want::Doubt);
            assert_eq!(run(&mut prober, 40_000, Want::No), (sent.to_vec(), vec![failed]));
            assert_eq!((prober.due(), prober.open_probes()), (None, 0));
        }
    }

    #[test]
    fn a_probe_does_not_fail_before_its_second_copy() {
        let (mut prober, id) = prober(Probing { timeout_ms: 400, ..Probing::default() });
        prober.limit(1);
        prober.plan(Now::from_ms(0), id, Want::Doubt);
        let (sent, failed) = run(&mut prober, 40_000, Want::No);
        assert_eq!(sent, [0, 1_000]);
        assert!(failed.len() == 1 && failed[0] > 1_000, "{failed:?}");
    }

    #[test]
    fn the_interval_has_jitter_and_doubt_is_quicker() {
        let settings = Probing { timeout_ms: 100, ..Probing::default() };
        let (mut one, id) = prober(settings.clone());
        one.plan(Now::from_ms(0), id, Want::Ordinary);
        let (sent, failed) = run(&mut one, 1_000_000, Want::Ordinary);
        assert!((95..=110).contains(&failed.len()), "{}", failed.len());
        let starts: Vec<_> = sent.iter().step_by(3).copied().collect();
        let gaps: BTreeSet<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(starts[0] < 10_000 && gaps.len() > 50, "{gaps:?}");
        assert!(gaps.iter().all(|gap| (9_000..=11_000).contains(gap)), "{gaps:?}");

        let (mut one, id) = prober(settings);
        one.plan(Now::from_ms(0), id, Want::Doubt);
        let (_, failed) = run(&mut one, 10_000, Want::Doubt);
        assert_eq!(failed, (0..10).map(|n| n * 1_000 + 100).collect::<Vec<_>>());
    }

    #[test]
    fn an_ordinary_plan_is_kept_and_can_only_be_hastened() {
        let (mut prober, id) = prober(Probing::default());
        prober.plan(Now::from_ms(0), id, Want::Ordinary);
        let due = prober.due();
        prober.plan(Now::from_ms(1), id, Want::Ordinary);
        assert_eq!(prober.due(), due);
        prober.plan(Now::from_ms(1), id, Want::Doubt);
        assert_eq!(prober.due(), Some(Now::from_ms(1)));
        prober.plan(Now::from_ms(2), id, Want::No);
        assert_eq!(prober.due(), None);
    }

    #[test]
    fn many_dead_ones_do_not_starve_the_others() {
        let mut prober = Prober::new(3);
        prober.limit(100);
        let settings = Arc::new(Probing { timeout_ms: 1_000, ..Probing::default() });
        let uri: Arc<str> = Arc::from("sip:x");
        let ids: Vec<_> = (0..400u16)
            .map(|n| {
                let address = SocketAddr::from(([192, 0, 2, 1], 5_000 + n));
                prober.add_member(Slot(n), address, ListenerId(0), &uri, &settings)
            })
            .collect();
        for id in &ids {
            let want = if *id <= 300 { Want::Doubt } else { Want::Ordinary };
            prober.plan(Now::from_ms(0), *id, want);
        }
        let mut ordinary = BTreeSet::new();
        while let Some(now) = prober.due().filter(|due| due.ms() < 20_000) {
            for failed in prober.failed(now) {
                let is_dead = failed.endpoint <= 300;
                prober.plan(
                    now,
                    failed.endpoint,
                    if is_dead { Want::Doubt } else { Want::Ordinary },
                );
            }
            let mut probes = Vec::new();
            prober.send(now, &mut probes);
            for probe in probes.iter().filter(|probe| probe.to.port() >= 5_300) {
                ordinary.insert(probe.to.port());
                if let Some(id) = prober.answered(now, probe.number) {
                    prober.plan(now, id, Want::Ordinary);
                }
            }
        }
        assert_eq!(ordinary.len(), 100);
    }

    #[test]
    fn only_an_open_probe_is_answered_and_only_once() {
        let (mut prober, id) = prober(Probing::default());
        prober.plan(Now::from_ms(0), id, Want::Doubt);
        let mut probes = Vec::new();
        prober.send(Now::from_ms(0), &mut probes);
        let number = probes[0].number;
        assert_eq!(prober.answered(Now::from_ms(7), number.wrapping_add(1)), None);
        assert_eq!(prober.answered(Now::from_ms(7), number), Some(id));
        assert_eq!(prober.answered(Now::from_ms(8), number), None);
        assert_eq!(prober.get(id).unwrap().answer_ms, Some(7));
        assert_eq!(prober.due(), None);

        prober.plan(Now::from_ms(9), id, Want::Doubt);
        prober.send(prober.due().unwrap(), &mut probes);
        prober.clear_members();
        prober.remove_unused();
        assert_eq!((prober.open_probes(), prober.due(), prober.ids()), (0, None, Vec::new()));
        assert_eq!(prober.answered(Now::from_ms(2_000), probes[1].number), None);
    }
}
