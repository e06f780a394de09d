//! Judges reports that a message could not be delivered: ICMP errors, which anybody can forge, and
//! refusals of our own machine.

use std::net::SocketAddr;

use nix::errno::Errno;

use super::branch::Branch;
use super::event::Unreachable;
use super::own_via::{age_of_own, verify_own};
use super::via_parameter::Purpose;
use super::{Arrival, Core, Flow, ListenerId, Proxy, Snapshot};
use crate::clock::Now;
use crate::limits::REPORT_AGE_MAX_MS;
use crate::message::StartLine;

impl Proxy {
    /// Judges a report that a message to `address` was not delivered: `errno` says why, and `quote`
    /// is as much of the message as the report has, or empty. Returns `None` if it says nothing about
    /// a destination.
    ///
    /// It proves something only if the quote has a Via of ours on top whose own tag verifies, written
    /// by this process a short time ago for a destination at that address. Changes no pin. If it is a try
    /// of a transaction, [`Proxy::expire`] leaves it.
    pub fn send_failed(
        &mut self,
        now: Now,
        snapshot: &Snapshot,
        address: SocketAddr,
        errno: i32,
        quote: &[u8],
    ) -> Option<Unreachable> {
        if !is_about_destination(errno) {
            return None;
        }
        let known = snapshot.destinations.by_address(address)?;
        let quote = &quote[..quote.len().min(usize::from(u16::MAX))];
        let flow = Flow::new(&self.shared.listeners, ListenerId(0), address);
        let at = &Arrival { now, shared: &self.shared, snapshot, flow, bytes: quote };
        let hint = Unreachable {
            address,
            slot: known.slot,
            errno,
            is_proven: false,
            probe: None,
            owner: None,
        };
        Some(self.core.prove(at, hint).unwrap_or(hint))
    }
}

impl Core {
    /// Returns the proven report; `None` if its quote proves nothing.
    fn prove(&mut self, at: &Arrival, hint: Unreachable) -> Option<Unreachable> {
        self.message.read_again(at.bytes);
        // A quote ends anywhere, so faults behind our Via do not matter.
        let StartLine::Request { .. } = self.message.start_line else {
            return None;
        };
        let via = self.message.via.filter(|via| via.is_well_formed)?;
        if !at.shared.listeners.is_us(via.host.of(at.bytes), via.port_or_default()) {
            return None;
        }
        let branch = Branch::read(via.branch?.of(at.bytes))?;
        let parameter = verify_own(at, &via, branch).ok()??.parameter;
        let is_recent = age_of_own(at, &parameter).is_some_and(|age| age < REPORT_AGE_MAX_MS);
        let hop = at.snapshot.destinations.hop(parameter.slot)?;
        if !is_recent || hop.address != hint.address {
            return None;
        }
        let (probe, owner) = match parameter.purpose {
            Purpose::Probe(number) => (Some(number), None),
            Purpose::Relayed(_) => (None, None),
            Purpose::Try(_, owner) if owner == self.owner() => {
                self.undelivered(branch.hash, branch.try_number);
                (None, None)
            }
            Purpose::Try(_, owner) => {
                (None, Some(owner.worker).filter(|worker| *worker != self.number))
            }
        };
        Some(Unreachable { slot: parameter.slot, is_proven: true, probe, owner, ..hint })
    }
}

/// Returns whether this error can mean that a destination is gone. A message that is too long
/// (`EMSGSIZE`), a full buffer or a firewall of our own says nothing about it.
fn is_about_destination(errno: i32) -> bool {
    matches!(
        Errno::from_raw(errno),
        Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::ENOPROTOOPT
            | Errno::EACCES
    )
}
