//! Time and the links: what happens when, and what is lost, duplicated, delayed and reordered.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::truth::{CallId, Datagram, EndId, RelayId};

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Event {
    Arrive(Datagram),
    /// The same datagram to two workers at the same moment.
    ArriveTwice(Datagram),
    Begin(CallId),
    Cancel(CallId),
    ClientTimer(EndId, usize),
    ServerTimer(EndId, usize),
    /// The server plays this answer of the plan.
    Answer(EndId, usize, usize),
    EarlyStep(CallId),
    Step(CallId),
    Rebind(EndId),
    ChangeList(RelayId),
    CatchUp(RelayId, usize),
    Restart(RelayId),
    Drain(RelayId, bool),
    ResetWorker(RelayId),
    Attack(usize),
    /// From here on nothing is lost.
    Calm,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    /// Of 100 datagrams.
    pub(crate) loss: u64,
    pub(crate) doubling: u64,
    pub(crate) delay_ms: u64,
}

/// What became of a datagram on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Lost,
    Arrives,
    Doubled,
    DoubledToTwoWorkers,
}

impl Network {
    pub(crate) fn new(loss: u64, doubling: u64, delay_ms: u64) -> Self {
        Self { loss, doubling, delay_ms, ..Self::default() }
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.events.insert((time, self.number), event);
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Event)> {
        self.events.pop_first().map(|((time, _), event)| (time, event))
    }

    pub(crate) fn send(&mut self, random: &mut Random, now: u64, datagram: Datagram) -> Fate {
        if random.chance(self.loss) {
            return Fate::Lost;
        }
        let arrives = now + random.between(1, self.delay_ms);
        if !random.chance(self.doubling) {
            self.at(arrives, Event::Arrive(datagram));
            return Fate::Arrives;
        }
        if random.chance(50) {
            self.at(arrives, Event::ArriveTwice(datagram));
            return Fate::DoubledToTwoWorkers;
        }
        let again = now + random.between(1, 4 * self.delay_ms);
        self.at(arrives, Event::Arrive(datagram.clone()));
        self.at(again, Event::Arrive(datagram));
        Fate::Doubled
    }
}
