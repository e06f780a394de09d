//! Overload control, tracked from outside: what each destination asked for in the responses that went
//! back, and until when.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use strowger::destination::SourceMatch;
use strowger::proxy::Verdict;

use crate::observer::{Case, wants};
use crate::relay::{List, Relay};
use crate::sip::{Sip, parameter};
use crate::truth::{Pass, RelayId};

/// A report in force.
#[derive(Clone, Copy, Debug)]
struct Report {
    percent: u64,
    seq: u64,
    until: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Overloads {
    reports: BTreeMap<(RelayId, SocketAddr), Report>,
}

impl Overloads {
    /// A response that goes back.
    pub(crate) fn response(&mut self, case: Case, sip: &Sip, pass: Pass) {
        let Case { relay, handled, datagram, now, number, .. } = case;
        let via = sip.get("Via");
        // A process that did not write the Via goes by the response's source.
        let is_ours = pass.incarnation == relay.incarnation;
        let by_source = || relay.destination_of(handled.list, datagram.from);
        let destination = if is_ours { Some(pass.next) } else { by_source() };
        let is_from = |destination: SocketAddr| match relay.spec.policy.source_match {
            SourceMatch::AddressAndPort => datagram.from == destination,
            SourceMatch::Address => datagram.from.ip() == destination.ip(),
        };
        let known = &relay.lists[handled.list].known;
        let destination = destination.filter(|at| known.contains(at) && is_from(*at));
        let number_of = |name| parameter(via, name).and_then(|text| text.parse::<u64>().ok());
        let seq = parameter(via, "oc-seq").and_then(|text| text.split('.').next()?.parse().ok());
        if !relay.spec.set.overload_control || parameter(via, "sw").is_none() {
            return;
        }
        let read = number_of("oc").zip(number_of("oc-validity")).zip(seq);
        let Some((((percent, validity), seq), destination)) = read.zip(destination) else { return };
        let report = self.reports.entry((number, destination));
        let report = report.or_insert(Report { percent: 0, seq: 0, until: 0 });
        if report.until <= now || seq > report.seq {
            *report = Report { percent, seq, until: now + validity };
        }
    }

    pub(crate) fn restarted(&mut self, number: RelayId) {
        self.reports.retain(|(relay, _), _| *relay != number);
    }

    fn percent(&self, number: RelayId, destination: SocketAddr, now: u64) -> u64 {
        let report = self.reports.get(&(number, destination));
        report.filter(|report| report.until > now).map_or(0, |report| report.percent)
    }

    /// A new request was refused: every destination asks for less.
    pub(crate) fn refused(&self, case: Case, list: &List) -> Result<(), String> {
        let mut all = list.active().flat_map(|line| &line.addresses);
        let is_right = all.all(|at| self.percent(case.number, *at, case.now) > 0);
        wants(is_right, "a destination that asks for nothing")
    }

    /// A new request went to this destination.
    pub(crate) fn chosen(&self, case: Case, to: SocketAddr) -> Result<(), String> {
        let is_full = self.percent(case.number, to, case.now) == 100;
        wants(!is_full, "one that takes new requests")
    }

    /// Whether some destination asks for less, so that the turns are not the algorithm's alone.
    pub(crate) fn are_any(&self, relay: &Relay, number: RelayId, now: u64) -> bool {
        let mut of_relay = self.reports.iter().filter(|((of, _), _)| *of == number);
        relay.spec.set.overload_control && of_relay.any(|(_, report)| report.until > now)
    }
}

/// Whether the relay refused it because all are overloaded.
pub(crate) fn is_overloaded(verdict: Verdict) -> bool {
    verdict == Verdict::Answered(strowger::proxy::Answer::Overloaded)
}
